"""What the worker asks of GitLab is what GitLab documents: a run through all operations,
each request held against a table of the documented fields and types."""

import datetime
import re

import pytest
from testenv.wire import Wire

PROJECT = "/api/v4/projects/support%2Femergency-licenses"


def text(most):
    return lambda v: isinstance(v, str) and 1 <= len(v) <= most


def one_of(*values):
    return lambda v: v in values


def flag(v):
    return isinstance(v, bool)


def names(v):
    return isinstance(v, list) and all(isinstance(n, str) and n for n in v)


def number(least, most):
    return lambda v: re.fullmatch(r"[0-9]+", v) and least <= int(v) <= most


def moment(v):
    return datetime.datetime.fromisoformat(v.replace("Z", "+00:00")).tzinfo


# Each operation: method, path, and what its body or query may hold. `!`: must be there.
# Source: GitLab's documentation of the Issues, Notes and Projects API, v4.
OPERATIONS = {
    "project": ("GET", PROJECT, {}),
    "create": ("POST", PROJECT + "/issues", {
        "title!": text(255), "description": text(1048576), "confidential": flag,
        "labels": names}),
    "find": ("GET", PROJECT + "/issues", {
        "scope": one_of("created_by_me", "assigned_to_me", "all"),
        "state": one_of("opened", "closed", "all"),
        "order_by": one_of("created_at", "updated_at", "title"),
        "sort": one_of("asc", "desc"), "per_page": number(1, 100), "page": number(1, 10 ** 6),
        "created_after": moment}),
    "update": ("PUT", PROJECT + r"/issues/[1-9][0-9]*", {
        "title": text(255), "description": text(1048576),
        "state_event": one_of("close", "reopen")}),
    "note": ("POST", PROJECT + r"/issues/[1-9][0-9]*/notes", {"body!": text(1000000)}),
}


def operation(request):
    found = [name for name, (method, path, _) in OPERATIONS.items()
             if method == request.method and re.fullmatch(path, request.path)]
    assert len(found) == 1, f"not documented: {request.method} {request.path}"
    return found[0]


def check(request):
    """The operation that it is; an assertion says what is wrong with it."""
    name = operation(request)
    fields = OPERATIONS[name][2]
    given = request.query if request.method == "GET" else request.json
    assert isinstance(given, dict)
    for field, value in given.items():
        allowed = fields.get(field) or fields.get(field + "!")
        assert allowed, f"{name}: {field} is not documented"
        assert allowed(value), f"{name}: {field}: {value!r:.200}"
    missing = [f for f in fields if f.endswith("!") and f[:-1] not in given]
    assert not missing, f"{name}: {missing}"
    assert given or name not in ("update",), "an update of nothing"
    headers = request.headers
    assert headers["PRIVATE-TOKEN"] and headers["Accept"] == "application/json"
    assert ("Content-Type" in headers) == (request.method != "GET") == bool(request.body)
    assert headers.get("Content-Type", "application/json") == "application/json"
    assert request.method == "GET" or not request.query
    return name


@pytest.fixture
def everything(queue, start_worker, gitlab, smtp, env, ctl, until):
    """A run in which the worker does all that it can do; its requests."""
    wire = Wire(gitlab)
    start_worker(STOPGAP_GITLAB_URL=wire.url)
    wire.spoil("POST", "/issues", lambda _: [])  # so that it looks
    queue.push(note="/close @all `x` é \U0001f600", requested_by="<b>&\"'\\")
    queue.settled(1)
    queue.only("done")
    smtp.on("fails@example.com", rcpt="550 5.1.1 first", times=1)
    smtp.on("fails@example.com", rcpt="550 5.1.1 second", times=1)
    queue.push(ticket_id=2, email="fails@example.com")
    queue.settled(2)
    until(lambda: gitlab.issues("[Failed]", "first"), "a failure issue")
    (job_id,) = queue.jobs("failed")
    until(lambda: queue.job(job_id).get("report_iid"), "noted")
    ctl.run("requeue", job_id)
    until(lambda: gitlab.issues("[Failed]", "second"), "its update")
    queue.wait_state(job_id, "failed")
    ctl.run("requeue", job_id)
    queue.settled(2)
    until(lambda: gitlab.issues("[Failed]")[0]["state"] == "closed", "its note and end")
    local = "a" * 64 + "@" + ".".join(["b" * 60] * 3) + ".ex"
    queue.push(ticket_id=3, email=local, users=50000, requested_by="x" * 255, note="n" * 500)
    queue.settled(3)
    wire.stop()
    return gitlab.requests()


def test_requests_are_what_gitlab_documents(everything, gitlab):
    assert {check(request) for request in everything} == set(OPERATIONS)
    assert all(request.status < 400 for request in everything)
    assert all(issue["ignored"] == [] for issue in gitlab.issues())


def test_secrets_stay_in_their_header(everything, gitlab):
    for request in everything:
        assert gitlab.TOKEN not in request.path + str(request.query) + request.body.decode()
        assert [k for k, v in request.headers.items() if gitlab.TOKEN in v] == ["PRIVATE-TOKEN"]
    assert all(r.json["confidential"] is True for r in everything if operation(r) == "create")
