"""redis-sentinel://: one primary, one replica, three sentinels. Failovers under load:
tests/storm/failover.py and test_redis_replicas.py."""

import pytest
from testenv.sentinel import NAME, Sentinels


@pytest.fixture
def sentinels(folder):
    trio = Sentinels(folder)
    yield trio
    trio.stop()


@pytest.fixture
def redis(sentinels):
    return sentinels.servers[0]


@pytest.fixture
def env(env, sentinels):
    return {**env, "STOPGAP_REDIS_URL": sentinels.url, "STOPGAP_LEASE": "1s",
            "STOPGAP_MAX_PER_DAY": "0"}  # the load is more than that


@pytest.fixture
def ctl_env(sentinels):
    return {"STOPGAP_REDIS_URL": sentinels.url}


def test_found_and_not_found(sentinels, queue, start_worker, ctl, until):
    """Through the first sentinel that answers; then through none."""
    sentinels.kill(0)
    worker = start_worker()
    queue.push()
    queue.settled(1)
    worker.wait_for(lambda l: "Sentinel: cannot connect to 127.0.0.1" in l.get("msg", ""),
                    event="redis_down")
    assert ctl.run("list").out.count("done") == 1

    stranger = start_worker(STOPGAP_REDIS_URL=sentinels.url + "-unknown")
    line = stranger.wait_for(lambda l: "knows no master" in l["msg"], event="redis_down",
                             count=3)
    assert line["msg"] == f"Sentinel knows no master named {NAME}-unknown"

    for i in (1, 2):
        sentinels.kill(i)
    queue.push(ticket_id=2)
    queue.settled(2)  # who is connected stays so
    lost = start_worker()
    lost.wait_for(lambda l: "Sentinel: cannot connect" in l["msg"], event="redis_down", count=3)
    sentinels.start(2)
    lost.wait_for(event="redis_up")
