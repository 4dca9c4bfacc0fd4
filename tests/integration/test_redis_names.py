"""Redis's name: lookups that fail, hang or change, a dead address in front of a good one.
While one hangs, the worker's loop goes on."""

import signal
import time

import pytest
from testenv.dns import NO_SUCH_NAME, Dns, Silent, missing

GOOD = "127.53.0.10"  # Redis's address here; 127.0.0.1, at the same port, is dead
DEAD = "127.0.0.1"  # the resolver puts it in front


@pytest.fixture
def start_dns(folder):
    reason = missing()
    if reason:
        pytest.skip(reason)
    servers = []

    def start(answer, **how):
        servers.append(Dns(folder, **how))
        servers[0].answer = answer
        return servers[0]
    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def env(redis, env):
    redis.client.config_set("bind", GOOD)
    return {**env, "STOPGAP_LEASE": "1s",
            "STOPGAP_REDIS_URL": f"redis://redis.example.com:{redis.port}/0"}


def test_no_such_name_and_then_one(start_dns, queue, start_worker):
    dns = start_dns(NO_SUCH_NAME)
    worker = start_worker(inside=dns.command())
    line = worker.wait_for(event="redis_down", count=3)
    assert line["msg"] == "Redis: cannot resolve redis.example.com: unknown node or service"
    dns.answer = [GOOD]
    queue.push()
    queue.settled(1)


def test_answer_changes(start_dns, queue, start_worker):
    """Each connection asks anew: the old address is not kept."""
    dns = start_dns([DEAD])
    worker = start_worker(inside=dns.command())
    line = worker.wait_for(event="redis_down", count=2)
    assert "connection refused" in line["msg"]
    dns.answer = [GOOD]
    queue.push()
    queue.settled(1)


def test_first_address_refuses(start_dns, queue, start_worker):
    worker = start_worker(inside=start_dns([DEAD, GOOD]).command())
    queue.push()
    queue.settled(1)
    assert not worker.lines(event="redis_down")


def test_first_address_is_silent(start_dns, redis, queue, start_worker):
    """It gets its share of the 5 s, and then the second has its turn."""
    dead = Silent(DEAD, redis.port)
    try:
        worker = start_worker(inside=start_dns([DEAD, GOOD]).command())
        queue.push()
        queue.settled(1)
        assert not worker.lines(event="redis_down")
    finally:
        dead.close()


def test_resolver_hangs(start_dns, queue, start_worker):
    dns = start_dns(None, patience=(1, 2))
    worker = start_worker(inside=dns.command())
    for number, event in ((signal.SIGTSTP, "quiet"), (signal.SIGCONT, "running"),
                          (signal.SIGHUP, "reload")):
        since = time.monotonic()
        worker.signal(number)
        worker.wait_for(event=event)
        print(f"{event} after {time.monotonic() - since:.3f} s")
    line = worker.wait_for(event="redis_down")
    assert line["msg"] == "Redis: cannot resolve redis.example.com: temporary failure"
    dns.answer = [GOOD]
    queue.push()
    queue.settled(1, deadline=40)


def test_end_while_the_resolver_hangs(start_dns, until, start_worker):
    """Nobody waits for the minute that the resolver takes."""
    dns = start_dns(None, patience=(30, 2))
    worker = start_worker(inside=dns.command())
    until(lambda: dns.asked, "the lookup")
    since = time.monotonic()
    worker.term()
    assert worker.wait() == 0
    print(f"ended after {time.monotonic() - since:.3f} s")
