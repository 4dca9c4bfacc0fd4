"""Names: those that do not resolve, that hang, that change, that have a dead address in
front of a good one. While one hangs, the worker's loop goes on."""

import signal
import time

import pytest
from testenv.names import Names, Silent

GOOD = "127.77.0.9"  # Redis's address here; 127.0.0.1, at the same port, is dead


@pytest.fixture
def names(folder):
    if not Names.possible():
        pytest.skip("needs root and a mount namespace, for its own /etc/hosts")
    own = Names(folder)
    yield own
    own.stop()


@pytest.fixture
def url(redis, env):
    redis.client.config_set("bind", GOOD)
    env["STOPGAP_REDIS_URL"] = f"redis://redis.test:{redis.port}/0"
    env["STOPGAP_LEASE"] = "1s"
    return env["STOPGAP_REDIS_URL"]


def test_no_such_name_and_then_one(names, url, queue, start_worker):
    worker = start_worker(inside=names.inside)
    line = worker.wait_for(event="redis_down", count=4)
    assert "Redis: cannot resolve redis.test: " in line["msg"]
    print(line["msg"])
    names.set(f"{GOOD} redis.test")
    queue.push()
    queue.settled(1)


def test_answer_changes(names, url, redis, queue, start_worker):
    """Each connection asks anew: the old address is not kept."""
    names.set("127.0.0.1 redis.test")
    worker = start_worker(inside=names.inside)
    line = worker.wait_for(event="redis_down", count=2)
    assert "connection refused" in line["msg"]
    names.set(f"{GOOD} redis.test")
    queue.push()
    queue.settled(1)


def test_first_address_refuses(names, url, queue, start_worker):
    names.set("127.0.0.1 redis.test", f"{GOOD} redis.test")
    worker = start_worker(inside=names.inside)
    queue.push()
    queue.settled(1)
    assert not worker.lines(event="redis_down")


def test_first_address_is_silent(names, url, redis, queue, start_worker):
    """It gets its share of the 5 s, and then the second has its turn."""
    names.set("127.0.0.1 redis.test", f"{GOOD} redis.test")
    dead = Silent("127.0.0.1", redis.port)
    try:
        worker = start_worker(inside=names.inside)
        queue.push()
        worker.wait_for(event="redis_up")
        queue.settled(1)
        assert not worker.lines(event="redis_down")
    finally:
        dead.close()


def test_resolver_hangs(names, url, queue, start_worker):
    names.hang(3)
    worker = start_worker(inside=names.inside)
    for number, event in ((signal.SIGTSTP, "quiet"), (signal.SIGCONT, "running"),
                          (signal.SIGHUP, "reload")):
        since = time.monotonic()
        worker.signal(number)
        worker.wait_for(event=event)
        print(f"{event} after {time.monotonic() - since:.3f} s")
    line = worker.wait_for(event="redis_down")
    assert "timed out: connect to redis.test" in line["msg"]
    print(line["msg"])
    names.set(f"{GOOD} redis.test")
    names.answer()
    queue.push()
    queue.settled(1, deadline=40)


def test_end_while_the_resolver_hangs(names, url, start_worker):
    """Nobody waits for the minute that the resolver takes."""
    names.hang(30)
    worker = start_worker(inside=names.inside)
    since = time.monotonic()
    worker.term()
    assert worker.wait() == 0
    print(f"ended after {time.monotonic() - since:.3f} s")
