"""STOPGAP_REDIS_WAIT: what no replica has confirmed is not promised to anybody, and no
mail leaves for it."""

import os
import threading

import pytest
from testenv.queue import PREFIX, Queue
from testenv.redis import Redis
from testenv.sentinel import Sentinels
from testenv.wait import wait_for
from testenv.webhook import request


@pytest.fixture
def replica(folder, redis):
    """A second server; `follow` and `leave` make it a replica of the first, and end it."""
    where = os.path.join(folder, "replica")
    os.mkdir(where)
    redis.client.config_set("repl-diskless-sync-delay", 0)
    server = Redis(where)

    def follow():
        server.client.execute_command("REPLICAOF", "127.0.0.1", redis.port)
        wait_for(lambda: server.client.info("replication").get("master_link_status") == "up",
                 "the replica in step")

    def leave():
        server.client.execute_command("REPLICAOF", "NO", "ONE")
        wait_for(lambda: redis.client.info("replication")["connected_slaves"] == 0, "it left")

    server.follow, server.leave = follow, leave
    follow()
    yield server
    server.stop()


@pytest.fixture
def env(env):
    return {**env, "STOPGAP_REDIS_WAIT": "1"}


@pytest.fixture
def webhook_env(webhook_env):
    return {**webhook_env, "STOPGAP_REDIS_WAIT": "1"}


def test_the_whole_way(replica, webhook, start_worker, queue, smtp, gitlab):
    start_worker()
    jobs = [webhook.deliver(request(ticket_id=n, email="c%d@example.com" % n)).job_id
            for n in range(1, 11)]
    queue.settled(10)
    assert sorted(queue.jobs("done")) == sorted(jobs)
    assert len(smtp.mails_to()) == 10 and len(gitlab.issues("[Success]")) == 10


def test_a_receiver_without_its_replica(replica, webhook, queue, until):
    """202 means the disk then; with the replica back each is one entry for each id."""
    replica.leave()
    ids = set()
    for n in range(1, 6):
        answer = webhook.deliver(request(ticket_id=n))
        assert answer.status == 202
        ids.add(answer.job_id)
    state = webhook.call("GET", "/readyz").json
    assert state["spooled"] == 5 and state["redis"] is False
    before = queue.client.llen(PREFIX + "inbox")
    assert before <= 1  # only the first was tried: the others know better
    replica.follow()
    until(lambda: webhook.call("GET", "/readyz").json == {**state, "spooled": 0, "redis": True},
          "the spool is empty")
    entries = queue.client.lrange(PREFIX + "inbox", 0, -1)
    assert {e.split(" ")[0] for e in entries} == ids
    assert len(set(entries)) == 5
    assert replica.client.llen(PREFIX + "inbox") == len(entries)


def test_a_worker_without_its_replica(replica, redis, start_worker, queue, smtp, gitlab, until):
    """The job waits, no attempt is counted, nothing of a mail leaves; then all goes on."""
    worker = start_worker()
    replica.leave()
    for n in range(1, 9):
        queue.push(ticket_id=n, email="c%d@example.com" % n, requested_by="a%d" % n)
    worker.wait_for(event="lane_closed", lane="replicas")
    until(lambda: len(queue.jobs("delayed")) == 8, "all of them wait")
    assert not smtp.mails_to() and not gitlab.issues()
    for record in queue.jobs("delayed").values():
        assert record["attempt"] == "0" and "i:email" not in record
    replica.follow()
    queue.settled(8)
    assert len(queue.jobs("done")) == 8
    assert len(smtp.mails_to()) == 8
    assert {r.get("ambiguous", "0") for r in queue.jobs().values()} == {"0"}
    worker.wait_for(event="lane_opened", lane="replicas")


def test_submit_without_a_replica(replica, ctl, ctl_env):
    words = ("submit", "--ticket", 1, "--email", "a@example.com", "--users", 3)
    ctl.run(*words, env={"STOPGAP_REDIS_WAIT": "1"})
    replica.leave()
    said = ctl.run(*words, status=1, env={"STOPGAP_REDIS_WAIT": "1"})
    assert "0 of 1 replicas have confirmed" in said.err and "submit it again" in said.err
    ctl.run(*words)


# ---- failover ----

@pytest.fixture
def sentinels(folder):
    trio = Sentinels(folder)
    yield trio
    trio.stop()


class Load(threading.Thread):
    """Deliveries, one after the other; remembers which were answered with 202."""

    def __init__(self, webhook):
        super().__init__(daemon=True)
        self.webhook, self.taken, self.enough = webhook, {}, threading.Event()
        self.start()

    def run(self):
        n = 0
        while not self.enough.wait(0.02):
            n += 1
            answer = self.webhook.deliver(request(ticket_id=n, email="c%d@example.com" % n,
                                                  requested_by="agent%d" % n))
            if answer.status == 202:
                self.taken[answer.job_id] = n

    def stop(self):
        self.enough.set()
        self.join()


def test_failover(sentinels, webhook_env, env, start_webhook, start_worker, smtp, gitlab, until):
    """The primary is killed under load. What was answered with 202 is one job each, also
    what came while there was no replica; no mail is sent twice, since each intent is
    where the job goes on."""
    old, new = sentinels.servers
    url = {"STOPGAP_REDIS_URL": sentinels.url}
    webhook = start_webhook(**url)
    start_worker(**url, STOPGAP_MAX_PER_DAY="0")
    start_worker(**url, STOPGAP_MAX_PER_DAY="0")
    load = Load(webhook)
    until(lambda: old.client.zcard(PREFIX + "done") >= 20, "work under way")
    old.kill()
    until(lambda: sentinels.primary() is new, "the failover")
    before = len(load.taken)
    until(lambda: len(load.taken) >= before + 20, "requests are taken without a replica")
    old.start()
    until(lambda: new.client.info("replication")["connected_slaves"] == 1, "the old one follows")
    load.stop()
    queue = Queue(new)
    until(lambda: set(load.taken) <= set(queue.jobs("done")),
          lambda: f"all are done: {set(load.taken) - set(queue.jobs('done'))}", 40)
    issues = gitlab.issues("[Success]")
    for job_id, n in load.taken.items():
        assert len([i for i in issues if job_id in i["description"]]) == 1
        assert len(smtp.mails_to("c%d@example.com" % n)) >= 1
    twice = sum(len(smtp.mails_to("c%d@example.com" % n)) - 1 for n in load.taken.values())
    ambiguous = sum(int(r.get("ambiguous", 0)) for r in queue.jobs().values())
    print(f"{len(load.taken)} taken, {twice} second mails, {ambiguous} ambiguous")
    assert twice <= ambiguous
