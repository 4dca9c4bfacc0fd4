"""Every answer that GitLab's documentation and source name, and those of proxies in
front of it, to every call that the worker makes: the class that it becomes, GitLab's own
words in the log, one issue, one mail."""

import dataclasses
import time

import pytest
from testenv.wire import Wire

HTML = "<html><head><title>502</title></head><body>GitLab is <b>not</b> responding</body></html>"
TOO_OFTEN = {"message": {
    "error": "This endpoint has been requested too many times. Try again later."}}
REFUSED, WAITS, AGAIN, LATER = "permanent", "auth", "transient", "rate_limited"


@dataclasses.dataclass
class Row:
    status: int
    body: object
    kind: str  # of the answer to a call about one issue
    words: str
    headers: tuple = ()
    ours: bool = False  # auth where the call is not about one issue

    def kind_for(self, call):
        if self.ours and call in ("create", "find", "project"):
            return WAITS
        # Of the project: no job can help it, none is failed for it.
        return WAITS if call == "project" and self.kind == REFUSED else self.kind


ROWS = [
    Row(400, {"error": "title is missing"}, REFUSED, "title is missing"),
    Row(400, {"message": {"title": ["is too long (maximum is 255 characters)"]}}, REFUSED,
        "title: is too long (maximum is 255 characters)"),
    Row(400, {"message": {"base": ["Your issue has been recognized as spam and has been discarded."]}},
        REFUSED, "recognized as spam"),
    Row(400, {"message": ["first", {"second": ["third"]}]}, REFUSED, "first second: third"),
    Row(400, {"message": 7}, REFUSED, "7"),
    Row(400, [1, None], REFUSED, "[1, null]"),
    Row(400, HTML, REFUSED, "GitLab is not responding"),
    Row(400, b"\xff\x00\x1b[31m", REFUSED, "[31m"),
    Row(400, "", REFUSED, "(no words)"),
    Row(401, {"message": "401 Unauthorized"}, WAITS, "401 Unauthorized"),
    Row(401, {"error": "invalid_token", "error_description": "Token was revoked. You have to re-authorize from the user."},
        WAITS, "invalid_token Token was revoked."),
    Row(403, {"message": "403 Forbidden"}, WAITS, "403 Forbidden"),
    Row(403, {"error": "insufficient_scope", "error_description": "higher privileges", "scope": "api"},
        WAITS, "insufficient_scope higher privileges"),
    Row(404, {"message": "404 Project Not Found"}, WAITS, "404 Project Not Found"),
    Row(404, {"message": "404 Not found"}, REFUSED, "404 Not found", ours=True),
    Row(404, "default backend - 404", AGAIN, "default backend - 404", ours=True),
    Row(405, {"error": "405 Not Allowed"}, REFUSED, "405 Not Allowed"),
    Row(409, {"message": "409 Conflict: Resource lock"}, AGAIN, "Resource lock"),
    Row(409, {"message": "Duplicated issue"}, REFUSED, "Duplicated issue"),
    Row(409, {"needs_captcha_response": True, "spam_log_id": 42, "captcha_site_key": "k",
              "message": {"error": "solve the reCAPTCHA to proceed."}}, REFUSED, "solve the reCAPTCHA"),
    Row(422, {"message": "422 Unprocessable Entity"}, REFUSED, "422 Unprocessable Entity"),
    Row(429, "Retry later", LATER, "Retry later", (("Retry-After", "1"),)),
    Row(500, {"message": "500 Internal Server Error"}, AGAIN, "500 Internal Server Error"),
    Row(502, HTML, AGAIN, "GitLab is not responding"),
    Row(503, "GitLab is not responding", AGAIN, "GitLab is not responding",
        (("Retry-After", "1"),)),
    Row(504, HTML, AGAIN, "GitLab is not responding"),
    Row(520, HTML, AGAIN, "GitLab is not responding"),
    Row(301, "moved", WAITS, "https://elsewhere.example/api now",
        (("Location", "https://elsewhere.example/api"),)),
    Row(307, "", WAITS, "is at https://elsewhere.example/api now",
        (("Location", "https://elsewhere.example/api"),)),
    Row(304, "", WAITS, "at another place now"),
]
PROJECT_END = "emergency-licenses"


@pytest.fixture
def wire(gitlab, env):
    relay = Wire(gitlab)
    env.update(STOPGAP_GITLAB_URL=relay.url, STOPGAP_BACKOFF_BASE="5ms", STOPGAP_BACKOFF_CAP="30ms")
    yield relay
    relay.stop()


@pytest.fixture
def worker(start_worker, wire):
    worker = start_worker()
    worker.allow("lane_closed")
    return worker


def ticket_of(issue):
    return int(issue["description"].split("- **Zendesk ticket:** ")[1].split("\n")[0])


def said(worker, row, kind, since, event, **fields):
    """The line that tells of it."""
    found = [line for line in worker.log[since:]
             if {**line, "event": event, **fields} == line
             and line.get("code") == str(row.status) and row.words in line["err"]]
    assert found, f"{row}: {worker.text()}"
    assert found[0]["class"] == kind, f"{row}: {found[0]}"


def ended(queue, count, row, deadline=20):
    """The job of ticket `count`, once it has ended."""
    jobs = queue.settled(count, deadline)
    job_id, record = next((i, r) for i, r in jobs.items() if r["ticket"] == str(count))
    return job_id, record


def judge(queue, gitlab, smtp, ctl, until, row, kind, step, n):
    """Failed only if refused for good, and then it can be requeued; one mail, one issue."""
    job_id, record = ended(queue, n, row)
    to = f"c{n}@example.com"
    if kind == REFUSED:
        assert (record["state"], record["err_class"], record["err_step"]) == ("failed", kind, step), row
        until(lambda: gitlab.issues("[Failed]", f"stopgapctl requeue {job_id}"), "the failure issue")
        ctl.run("requeue", job_id)
        record = queue.wait_state(job_id, "done")
    assert record["state"] == "done", row
    assert len(smtp.mails_to(to)) == 1, row
    mine = [i for i in gitlab.issues() if f"Job: {job_id}" in i["description"].splitlines()
            and not i["title"].startswith("[Failed]")]
    assert [(i["state"], i["title"].split("]")[0]) for i in mine] == [("closed", "[Success")], row


def push(queue, n, **fields):
    queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"a{n}", **fields)


@pytest.mark.parametrize("call", ["create", "find", "close"])
def test_about_a_record(queue, worker, wire, gitlab, smtp, ctl, until, call):
    method, path, step = {"create": ("POST", "/issues", "record"), "find": ("GET", "/issues", "record"),
                          "close": ("PUT", "", "close")}[call]
    for n, row in enumerate(ROWS, 1):
        since = len(worker.log)
        if call == "find":  # there is something to look for
            wire.spoil("POST", "/issues", lambda _: [])
        wire.answer(method, path, row.status, row.body, row.headers,
                    text="[Success]" if call == "close" else "")
        push(queue, n)
        judge(queue, gitlab, smtp, ctl, until, row, row.kind_for(call), step, n)
        said(worker, row, row.kind_for(call), since, "step")


def test_about_the_project(queue, worker, wire, gitlab, smtp, until):
    """Whatever it says of the project, no job is failed for it."""
    for row in ROWS:
        wire.answer("GET", PROJECT_END, row.status, row.body, row.headers)
    push(queue, 1)
    _, record = ended(queue, 1, None)
    assert record["state"] == "done" and len(smtp.mails_to()) == 1
    assert len(gitlab.issues()) == 1
    for row in ROWS:
        said(worker, row, row.kind_for("project"), 0, "step")


def test_about_a_note(queue, worker, wire, gitlab, smtp, until):
    """Reports are written until GitLab takes them; of an issue that is gone there is
    nothing to write."""
    for n in range(len(ROWS)):
        push(queue, n + 1, users=0)
    queue.settled(len(ROWS))
    until(lambda: len(gitlab.issues("[Failed]")) == len(ROWS), "the failure issues")
    found = {i["iid"]: ROWS[ticket_of(i) - 1] for i in gitlab.issues("[Failed]")}
    for iid, row in found.items():
        wire.answer("POST", f"/{iid}/notes", row.status, row.body, row.headers)
    for n in range(len(ROWS)):
        push(queue, n + 1)
    for iid, row in found.items():
        gone = row.status == 404 and row.kind == REFUSED
        worker.wait_for(event="follow_up", iid=iid, outcome="gone" if gone else "closed")
        (issue,) = (i for i in gitlab.issues("[Failed]") if i["iid"] == iid)
        assert (issue["state"], len(issue["notes"])) == (("opened", 0) if gone else ("closed", 1)), row
        if not gone:
            said(worker, row, row.kind_for("note"), 0, "follow_up", iid=str(iid))


@pytest.mark.parametrize("headers, least_ms, most_ms", [
    ((), 60000, 70000),
    ((("Retry-After", "99999999"),), 86400000, 86410000),
    ((("RateLimit-Reset", "@-3570"), ("Date", "@-3600")), 25000, 40000),
], ids=["none", "absurd", "reset"])
def test_rate_limits(queue, worker, wire, gitlab, headers, least_ms, most_ms):
    """How long is waited, and that it is no attempt. JSON, as the limit on issues."""
    now = time.time()
    gmt = "%a, %d %b %Y %H:%M:%S GMT"
    headers = [(k, v if v[0] != "@" else
                time.strftime(gmt, time.gmtime(now + int(v[1:]))) if k == "Date"
                else str(int(now) + int(v[1:]))) for k, v in headers]
    wire.answer("POST", "/issues", 429, TOO_OFTEN, headers)
    push(queue, 1)
    line = worker.wait_for(event="job", outcome="waits")
    assert (line["class"], line["attempt"]) == (LATER, "1")
    assert "requested too many times" in line["err"]
    assert least_ms <= int(line["again_in_ms"]) <= most_ms
    push(queue, 2)  # all wait: nobody asks meanwhile
    worker.wait_for(event="job", outcome="waits", ticket=2)
    assert [s.method for s in wire.seen] == ["GET", "POST"]
