"""Jobs past their retention go, however many there are, and with them all that names them."""

import json

import pytest
from testenv import memory
from testenv.queue import PREFIX
from testenv.redis import Redis

MANY = 170  # more than one run of the script takes
SHARING = 32  # more unreadable requests than have an issue of their own
DOMAIN = "retention.example"


@pytest.fixture
def redis(folder, redis_clock):
    inside = () if memory.is_sanitized("stopgap-worker") else redis_clock.inside
    server = Redis(folder, inside=inside)
    yield server
    server.stop()


def test_all_that_is_old_goes_at_once(queue, start_worker, until):
    """Not a batch a minute: a busy queue would grow for ever."""
    for state in ("done", "failed"):
        with queue.client.pipeline() as p:
            for n in range(MANY):
                p.hset(f"{PREFIX}job:{state}{n}", mapping={
                    "v": 1, "state": state, "raw": "x", "accepted_ms": 1, "ended_ms": n + 1})
                p.zadd(PREFIX + state, {f"{state}{n}": n + 1})
            p.execute()
    queue.push()
    start_worker(STOPGAP_LEASE="60s")  # one beat
    until(lambda: len(queue.jobs()) == 1, lambda: f"{len(queue.jobs())} jobs are left")
    queue.settled(1)


def push(queue, ticket, name="c", **fields):
    queue.push(ticket_id=ticket, email=f"{name}@{DOMAIN}", **fields)


def every_end(queue, ctl, smtp, until):
    """Jobs that ended in each way there is, and what operators do to some of them."""
    smtp.on(f"gone@{DOMAIN}", rcpt="550 5.1.1 no such user", times=3)
    push(queue, 990001, idempotency_key="key-1")
    queue.settled(1)
    first, _ = queue.only()
    push(queue, 990001)                                         # duplicate
    push(queue, 990001, idempotency_key="key-1")                # replay
    push(queue, 990001, users=9, idempotency_key="key-1")       # the key's other content
    push(queue, 990001, users=26)                               # correction
    queue.push(raw=json.dumps({"resend": first, "requested_by": "agent"}))
    push(queue, 990002, name="gone", idempotency_key="key-2")   # failed, and discarded
    push(queue, 990003, plan="free")                            # out of scope
    queue.push(raw="no request")
    queue.push(raw='{"resend": "' + "z" * 26 + '", "requested_by": "agent"}')
    for raw in ("{}", '{"ticket_id": 990004}'):                 # one id, other bytes
        queue.push(raw=f"{'q' * 26} {raw}")
    queue.settled(12)
    push(queue, 990005, name="gone")                            # failed, and runs again
    queue.settled(13)
    push(queue, 990005, name="gone", idempotency_key="key-3")
    queue.settled(14)
    for _ in range(SHARING):
        push(queue, 990006, users=0)
    queue.settled(14 + SHARING)
    in_email = [i for i, r in queue.jobs("failed").items() if r["err_step"] == "email"]
    ctl.run("discard", in_email[0])
    ctl.run("requeue", *in_email[1:])
    ctl.run("resend", first)
    ctl.run("submit", "--ticket", 990007, "--email", f"d@{DOMAIN}", "--users", 5)
    until(lambda: len(queue.jobs()) == 15 + SHARING, "the last one")
    ctl.run("pause", "a moment")
    ctl.run("resume")
    queue.settled(15 + SHARING)
    until(lambda: not queue.client.exists(PREFIX + "follow", PREFIX + "tell:slack"),
          "all is reported and told")


def everything(client):
    readers = {"hash": client.hgetall, "string": client.get,
               "list": lambda k: client.lrange(k, 0, -1),
               "zset": lambda k: client.zrange(k, 0, -1)}
    return {key: str(readers[client.type(key)](key)) for key in client.scan_iter("*", count=1000)}


def naming(client, words):
    return {key: text for key, text in everything(client).items()
            if any(word in key + text for word in words)}


def test_nothing_that_names_them_is_left(queue, start_worker, smtp, gitlab, slack, ctl,
                                         redis_clock, until):
    if memory.is_sanitized("stopgap-worker"):
        pytest.skip("a library in front of AddressSanitizer's: the plain build shows it")
    settings = {"STOPGAP_SLACK_WEBHOOK_URL": slack.url, "STOPGAP_LEASE": "60s"}
    worker = start_worker(**settings)
    every_end(queue, ctl, smtp, until)
    jobs = queue.jobs()
    assert {r["state"] for r in jobs.values()} == {"done", "failed"}
    for field in ("dup_of", "discarded", "clash", "requeues", "reruns", "resends", "resent",
                  "earlier", "report_shared"):
        assert any(field in r for r in jobs.values()), field
    words = [*jobs, DOMAIN, "99000"]
    assert len(naming(queue.client, words)) > len(jobs)
    worker.stop()
    redis_clock.shift(days=29)
    worker = start_worker(**settings)
    worker.wait_for(event="redis_up")
    until(lambda: int(queue.client.hget(PREFIX + "cfg", "clock_ms"))
          > int(next(iter(jobs.values()))["accepted_ms"]) + 28 * 86400000, "a beat")
    assert queue.jobs().keys() == jobs.keys()
    worker.stop()
    redis_clock.shift(days=31)
    start_worker(**settings)
    until(lambda: not queue.jobs(), lambda: f"{len(queue.jobs())} jobs are left")
    until(lambda: not naming(queue.client, words), lambda: str(naming(queue.client, words)))
    left = {key.removeprefix(PREFIX).split(":")[0] for key in everything(queue.client)}
    assert left <= {"stat", "cfg", "workers", "winfo"}, left
