"""Redis in each kind of trouble while requests come in and the receiver is killed: each
202 is one job afterwards, and the log says it once."""

import contextlib
import os
import random
import resource

import pytest
from testenv import outage
from testenv.proxy import Proxy

INBOX = "stopgap:{licenses}:inbox"
WAITS = "requests wait on the disk until Redis takes them"


@pytest.fixture
def proxy(redis):
    one = Proxy(redis.port)
    yield one
    one.stop()


@pytest.fixture
def trouble(redis, proxy, webhook_env):
    one = outage.Trouble(redis, proxy, random.Random(4711))
    webhook_env["STOPGAP_REDIS_URL"] = one.url
    return one


@pytest.fixture
def receivers(trouble, webhook_env, until):
    one = outage.Receivers(webhook_env)
    until(lambda: one.ready()["redis"], "connected")
    yield one
    one.stop()


@pytest.fixture
def clients(receivers):
    one = outage.Clients(receivers, workers=16)
    yield one
    one.stop()


def spool_lines(webhook):
    return [line["msg"] for line in webhook.lines(event="spool")
            if line["level"] != "debug"]


@pytest.mark.parametrize("name", ["killed", "frozen", "full", "readonly", "slow"])
def test_each_202_is_one_job(name, trouble, receivers, clients, redis, queue, start_worker):
    for number in range(1, 6):
        clients.send(number)
    clients.wait()
    trouble.strike(name)
    for number in range(6, 14):
        clients.send(number)
    clients.wait()
    for number in range(14, 21):
        clients.send(number)
    receivers.kill()
    clients.copies = 5
    for number in range(21, 31):
        clients.send(number, retries=3)
    clients.wait()
    assert set(range(21, 31)) <= set(clients.kept)  # these were not killed
    if name != "slow":
        assert receivers.ready()["spooled"] >= 10
        assert receivers.ready()["redis"] is False
    trouble.heal(name)
    outage.empty(receivers, 30)
    ids = {entry.split(" ")[0] for entry in redis.client.lrange(INBOX, 0, -1)}
    start_worker()
    jobs = queue.settled(len(ids))
    assert outage.verdict(clients.kept, {i: r["raw"] for i, r in jobs.items()}) == ([], [])
    assert {r["state"] for r in jobs.values()} == {"done"}


def test_it_is_told_once(trouble, webhook, redis, until):
    until(lambda: webhook.call("GET", "/readyz").json["redis"], "connected")
    trouble.strike("killed")
    until(lambda: not webhook.call("GET", "/readyz").json["redis"], "it knows")
    for number in range(5):
        assert webhook.deliver(invocation=100 + number).status == 202
    webhook.wait_for(level="debug", event="redis_down", count=2)
    trouble.heal("killed")
    until(lambda: redis.client.llen(INBOX) == 5, "queued")
    webhook.wait_for(event="spool", msg="empty again, 5 requests queued")
    assert spool_lines(webhook) == [WAITS, "empty again, 5 requests queued"]
    webhook.exactly(1, event="redis_down", level="warn")
    webhook.exactly(2, event="redis_up", level="info")


def test_read_only_is_told_once(trouble, webhook, redis, until):
    until(lambda: webhook.call("GET", "/readyz").json["redis"], "connected")
    trouble.strike("readonly")
    assert webhook.deliver().status == 202
    webhook.wait_for(level="debug", event="redis_refused", count=2)
    assert webhook.deliver().status == 202
    trouble.heal("readonly")
    until(lambda: redis.client.llen(INBOX) == 2, "queued")
    webhook.wait_for(event="redis_refused", msg="takes requests again")
    told = [line for line in webhook.lines(event="redis_refused") if line["level"] != "debug"]
    assert [line["level"] for line in told] == ["warn", "info"]
    assert not webhook.lines(event="redis_down", level="warn")
    webhook.exactly(1, event="redis_up", level="info")


def test_a_disk_that_takes_no_more(trouble, webhook, redis, until):
    until(lambda: webhook.call("GET", "/readyz").json["redis"], "connected")
    trouble.strike("killed")
    until(lambda: not webhook.call("GET", "/readyz").json["redis"], "it knows")
    kept = webhook.deliver(invocation=1)
    assert kept.status == 202
    hard = resource.prlimit(webhook.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(webhook.pid, resource.RLIMIT_FSIZE, (60, hard))
    refused = webhook.deliver(invocation=2)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
    answer = webhook.call("GET", "/readyz")
    assert answer.status == 503
    assert answer.json["spool"] is False and answer.json["spooled"] == 1
    resource.prlimit(webhook.pid, resource.RLIMIT_FSIZE, (hard, hard))
    until(lambda: webhook.call("GET", "/readyz").status == 200, "ready without a request")
    again = webhook.deliver(invocation=2)
    assert again.status == 202
    trouble.heal("killed")
    until(lambda: redis.client.llen(INBOX) == 2, "queued")
    ids = {entry.split(" ")[0] for entry in redis.client.lrange(INBOX, 0, -1)}
    assert ids == {kept.job_id, again.job_id}


def test_a_full_file_system(trouble, webhook_env, redis, folder, until):
    with contextlib.ExitStack() as stack:
        small = stack.enter_context(
            outage.small_disk(os.path.join(folder, "small"), 64 * 1024))
        if not small:
            pytest.skip("mount is not allowed here")
        receivers = outage.Receivers({**webhook_env, "STOPGAP_SPOOL_DIR": small})
        stack.callback(receivers.stop)
        clients = outage.Clients(receivers, workers=4)
        stack.callback(clients.stop)
        until(lambda: receivers.ready()["redis"], "connected")
        trouble.strike("disk")
        for number in range(1, 41):
            clients.send(number)
        clients.wait()
        assert clients.counts[503] > 0 and clients.counts[202] > 0
        receivers.kill()
        assert receivers.ready()["spooled"] == len(clients.kept)
        trouble.heal("disk")
        outage.empty(receivers, 30)
        adoption = outage.Adoption(redis)
        assert adoption.run()
        jobs = adoption.jobs()
        assert set(jobs) == set(clients.kept.values())
        assert outage.verdict(clients.kept, jobs) == ([], [])


def test_faulty_ones_are_kept_too(trouble, receivers, webhook_env, redis, until):
    trouble.strike("killed")
    until(lambda: not receivers.ready()["redis"], "it knows")
    with contextlib.closing(receivers.now.connect()) as line:
        answer = receivers.now.deliver({"no": "request"}, connection=line)
    assert answer.status == 400 and answer.json["status"] == "queued"
    assert receivers.now.show(answer.job_id).json["status"] == "queued"
    receivers.kill()
    assert receivers.now.show(answer.job_id).json["status"] == "queued"
    trouble.heal("killed")
    outage.empty(receivers, 30)
    adoption = outage.Adoption(redis)
    assert adoption.run()
    assert adoption.jobs() == {answer.job_id: '{"no": "request"}'}
