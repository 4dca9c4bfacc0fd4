"""GitLab closed to us for a while: jobs wait without an attempt being counted, somebody is
told once, and all of them go through by themselves when it is over, without a stampede."""

import collections
import os
import signal
import time

import pytest
from testenv.gitlab import Token
from testenv.wire import Wire

PROBE_S = 0.1  # between probes
IN_FLIGHT = 32


@pytest.fixture
def wire(gitlab, env):
    relay = Wire(gitlab)
    env.update(STOPGAP_GITLAB_URL=relay.url, STOPGAP_BACKOFF_CAP=f"{PROBE_S * 1000:.0f}ms")
    yield relay
    relay.stop()


def push_many(queue, first, last):
    for n in range(first, last + 1):
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"agent{n}")


def attempts(queue, state=None):
    return {i: r["attempt"] for i, r in queue.jobs(state).items()}


def judge(queue, gitlab, smtp, count):
    jobs = queue.settled(count, deadline=60)
    assert {r["state"] for r in jobs.values()} == {"done"}
    assert len(smtp.mails_to()) == count
    assert len(gitlab.issues()) == len(gitlab.issues("[Success]")) == count
    assert {str(i["iid"]) for i in gitlab.issues()} == {r["iid"] for r in jobs.values()}


def probes(wire, until, count):
    """Waits for `count` more requests, with nothing else changed; how long that took."""
    begin, before = time.monotonic(), len(wire.seen)
    until(lambda: len(wire.seen) >= before + count, "probes")
    return time.monotonic() - begin


def per_100_ms(seen, since):
    """Prints how many requests there were, and gives the most."""
    counts = collections.Counter(int((s.at - since) * 10) for s in seen if s.at >= since)
    print("requests per 100 ms:", [counts[i] for i in range(max(counts, default=0) + 1)])
    return max(counts.values(), default=0)


def test_token_that_expires_at_midnight(queue, start_worker, gitlab, smtp, wire, until):
    """In the middle of work; then it is valid again."""
    worker = start_worker(STOPGAP_CONCURRENCY="32")
    worker.allow("lane_closed")
    push_many(queue, 1, 30)
    until(lambda: gitlab.issues("[Success]"), "work under way")
    with gitlab.state.lock:
        gitlab.token().state = "revoked"
    push_many(queue, 31, 60)
    until(lambda: len(smtp.mails_to()) == 60, "all mails: they do not wait for GitLab")
    line = worker.wait_for(event="lane_closed", lane="gitlab")
    assert (line["level"], line["class"], line["code"]) == ("error", "auth", "401")
    assert "Token was revoked" in line["err"]
    took = probes(wire, until, 5)
    assert took >= 3 * PROBE_S, "more than one probe an interval"
    assert set(attempts(queue).values()) <= {"0", "1"}  # 0: given back
    assert not queue.jobs("failed")
    back = time.monotonic()
    with gitlab.state.lock:
        gitlab.token().state = "active"
    judge(queue, gitlab, smtp, 60)
    assert set(attempts(queue).values()) == {"1"}
    worker.exactly(1, event="lane_closed")
    worker.exactly(1, event="lane_opened")
    per_100_ms(wire.seen, back)
    assert wire.connections <= IN_FLIGHT


@pytest.fixture
def token_file(env, folder, gitlab):
    """Where the worker has its token from; write(text)."""
    path = os.path.join(folder, "gitlab.token")

    def write(text):
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path + ".new", 0o600)
        os.replace(path + ".new", path)
    write(gitlab.TOKEN + "\n")
    env.update(STOPGAP_GITLAB_TOKEN_FILE=path, STOPGAP_GITLAB_TOKEN=None)
    return write


def test_token_renewed_without_a_restart(queue, start_worker, gitlab, smtp, until, token_file):
    worker = start_worker()
    worker.allow("lane_closed", "nothing changed")
    queue.push()
    queue.settled(1)
    with gitlab.state.lock:  # the old one has expired, there is a new one
        gitlab.state.tokens = {"glpat-new": Token("license-bot")}
    queue.push(ticket_id=2)
    worker.wait_for(event="lane_closed")
    for bad in ("", "glpat-\x01new"):
        token_file(bad)
        before = len(worker.lines(event="reload", level="error"))
        worker.signal(signal.SIGHUP)
        worker.wait_for(event="reload", level="error", count=before + 1)
    token_file("glpat-new\n")
    worker.signal(signal.SIGHUP)
    judge(queue, gitlab, smtp, 2)
    worker.wait_for(event="reload", level="info")
    assert "glpat" not in worker.text()


@pytest.mark.parametrize("body", ["<h1>502</h1>", None], ids=["answered", "not-answered"])
def test_breaker(queue, start_worker, gitlab, smtp, wire, until, body):
    """Five failures in a row, then one probe an interval; no attempts meanwhile."""
    worker = start_worker(STOPGAP_CONCURRENCY="32")
    if body:
        wire.answer("*", "", 502, body, times=10 ** 6)
    else:
        wire.spoil("*", "", lambda _: [], times=10 ** 6, relay=False)
    push_many(queue, 1, 100)
    until(lambda: len(smtp.mails_to()) == 100, "all mails")
    line = worker.wait_for(event="lane_closed", lane="gitlab")
    assert (line["level"], line["class"]) == ("warn", "transient")
    until(lambda: len(queue.jobs("delayed")) >= 99, "an end of what was under way")
    # Of those that wait: a job that was just taken gives its attempt back.
    before = attempts(queue, "delayed")
    took = probes(wire, until, 6)
    assert took >= 4 * PROBE_S, "more than one probe an interval"
    after = attempts(queue, "delayed")
    spent = sum(int(after[i]) - int(before[i]) for i in before.keys() & after.keys())
    assert spent <= 10, f"{spent} attempts in {took:.1f} s"  # only who probed
    back = time.monotonic()
    wire.clear()
    judge(queue, gitlab, smtp, 100)
    per_100_ms(wire.seen, back)
    assert not body or wire.connections <= IN_FLIGHT
    worker.exactly(1, event="lane_closed")
    worker.exactly(1, event="lane_opened")


def test_follow_ups_probe_one_at_a_time(queue, start_worker, gitlab, wire, until):
    """Failure reports use the same lane: they wait for it, and are all written after."""
    worker = start_worker()
    worker.allow("lane_closed")
    wire.answer("*", "", 401, {"message": "401 Unauthorized"}, times=10 ** 6)
    for n in range(1, 21):
        queue.push(ticket_id=n, users=0)
    queue.settled(20)
    worker.wait_for(event="lane_closed")
    took = probes(wire, until, 5)
    assert took >= 3 * PROBE_S, "more than one probe an interval"
    wire.clear()
    until(lambda: len(gitlab.issues("[Failed]")) == 20, "the failure issues")
    until(lambda: all(r.get("report_iid") for r in queue.jobs().values()), "noted")
    assert len(gitlab.issues()) == 20
    worker.exactly(1, event="lane_closed")


def test_redirects_are_not_followed(queue, start_worker, gitlab, smtp, wire, until):
    """A project that has moved: the token goes nowhere else."""
    elsewhere = Wire(gitlab)
    try:
        worker = start_worker()
        worker.allow("lane_closed")
        where = elsewhere.url + "/api/v4/projects/9/issues"
        wire.answer("POST", "/issues", 301, "", [("Location", where)])
        wire.answer("POST", "/issues", 308, "", [("Location", where)])
        queue.push()
        judge(queue, gitlab, smtp, 1)
        assert where in worker.lines(event="lane_closed")[0]["err"]
        assert elsewhere.connections == 0
    finally:
        elsewhere.stop()
