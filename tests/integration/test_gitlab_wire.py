"""What GitLab's connections can do: how many there are, and answers that are broken on
their way. Never a second issue, never a second mail."""

import pytest
from testenv.spoil import ENDING, GOOD, LOST, gone
from testenv.wire import Wire

CONNECTIONS = 32  # requests to GitLab at a time
PROJECT = "support%2Femergency-licenses"


@pytest.fixture
def wire(gitlab, env):
    """Between the worker and GitLab."""
    relay = Wire(gitlab)
    env["STOPGAP_GITLAB_URL"] = relay.url
    yield relay
    relay.stop()


def push_many(queue, count):
    for n in range(1, count + 1):
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"agent{n}")


def test_connections_are_kept(queue, start_worker, gitlab, wire):
    start_worker(STOPGAP_CONCURRENCY="64")
    push_many(queue, 200)
    queue.settled(200, deadline=60)
    assert len(gitlab.issues("[Success]")) == 200
    assert wire.connections <= CONNECTIONS


def judge(queue, gitlab, smtp, count):
    """Each job done, with one mail and one issue."""
    jobs = queue.settled(count)
    assert {r["state"] for r in jobs.values()} == {"done"}
    assert len(smtp.mails_to()) == count
    issues = gitlab.issues()
    assert len(issues) == count
    assert all(i["title"].startswith("[Success]") and i["state"] == "closed" for i in issues)


CALLS = {"create": ("POST", "/issues"), "close": ("PUT", ""), "find": ("GET", "/issues"),
         "project": ("GET", PROJECT)}
FAST = {"STOPGAP_BACKOFF_BASE": "5ms", "STOPGAP_BACKOFF_CAP": "30ms", "STOPGAP_GITLAB_SETTLE": "20ms"}


def spoil(wire, call, how):
    if call == "find":  # there is something to look for
        wire.spoil("POST", "/issues", gone)
    wire.spoil(*CALLS[call], how, keep=how in GOOD and how not in ENDING)


@pytest.mark.parametrize("call", ["create", "find", "close"])
def test_spoilt_answers(queue, start_worker, gitlab, smtp, wire, call):
    """After the request has taken effect. A job for each, so that each meets its own."""
    worker = start_worker(**FAST)
    for n, how in enumerate(LOST, 1):
        since = len(worker.log)
        spoil(wire, call, how)
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"agent{n}")
        jobs = queue.settled(n)
        assert [r["state"] for r in jobs.values()] == ["done"] * n, (how.__name__, worker.text())
        told = [l for l in worker.log[since:] if l.get("event") == "step" and l["outcome"] == "failed"]
        # What is safe to repeat, libcurl may have repeated itself.
        assert told or how is gone and call != "create", how.__name__
        assert {l["class"] for l in told} <= {"transient"}, (how.__name__, told)
    judge(queue, gitlab, smtp, len(LOST))


def test_spoilt_answers_about_the_project(queue, start_worker, gitlab, smtp, wire):
    for how in LOST:
        spoil(wire, "project", how)
    worker = start_worker(**FAST)
    queue.push()
    judge(queue, gitlab, smtp, 1)
    worker.wait_for(count=len(LOST) - 1, event="step", outcome="failed", **{"class": "transient"})


@pytest.mark.parametrize("how", GOOD)
def test_unusual_answers(queue, start_worker, gitlab, smtp, wire, how):
    for call in CALLS:
        spoil(wire, call, how)
    spoil(wire, "create", how)
    worker = start_worker(**FAST)
    queue.push()  # its creation is answered with nothing, so it looks
    queue.settled(1)
    queue.push(ticket_id=2)
    judge(queue, gitlab, smtp, 2)
    worker.exactly(1, event="step", outcome="failed")
