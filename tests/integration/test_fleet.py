"""Lanes are the fleet's: one worker's bad experience spares the others theirs, one probe of
all of them goes out per interval, and one success wakes everybody who waited."""

import json
import time

import pytest
from testenv import certs
from testenv.dns import NO_SUCH_NAME, Dns, missing
from testenv.queue import PREFIX
from testenv.smtp import SILENT
from testenv.wire import Wire

WORKERS, JOBS, CONNECTIONS = 3, 30, 4
PROBE_S = 0.3
NAME = "mail.stopgap.test"


@pytest.fixture
def start_fleet(start_worker):
    def start(inside=(), count=WORKERS, **changes):
        workers = [start_worker(inside=inside, **{
            "STOPGAP_LEASE": "1s", "STOPGAP_CONCURRENCY": "16",
            "STOPGAP_SMTP_CONNECTIONS": str(CONNECTIONS), "STOPGAP_SMTP_TIMEOUT": "300ms",
            "STOPGAP_BACKOFF_CAP": f"{PROBE_S * 1000:.0f}ms", **changes})
            for _ in range(count)]
        for worker in workers:
            worker.allow("lane_closed")
        return workers
    return start


def push_many(queue, first=1, last=JOBS):
    for n in range(first, last + 1):
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"agent{n}")


def count(workers, **fields):
    return sum(len(w.lines(**fields)) for w in workers)


def attempts(queue, state=None):
    return {i: int(r["attempt"]) for i, r in queue.jobs(state).items()}


def all_wait(queue, until, workers, lane):
    """Everybody knows, and nothing of the beginning is under way any more."""
    until(lambda: all(w.lines(event="lane_closed", lane=lane) for w in workers), "all know")
    until(lambda: len(queue.jobs("delayed")) >= JOBS - 1, "an end of what was under way")


def one_probe_an_interval(queue, until, tries):
    """Seven more, counted outside; what waits spends nothing of its own. A slow machine may
    bring those of three intervals at once; without each other the workers would need less
    than three for all."""
    before, begin, seen = attempts(queue, "delayed"), time.monotonic(), tries()
    until(lambda: tries() >= seen + 7, "probes")
    took, probes = time.monotonic() - begin, tries() - seen
    after = attempts(queue, "delayed")
    assert took >= (probes - 3) * PROBE_S, f"{probes} probes in {took:.2f} s"
    spent = sum(after[i] - before[i] for i in before.keys() & after.keys())
    assert spent <= probes + 2, f"{spent} attempts in {probes} probes"


def judge(queue, gitlab, smtp, until, workers, lane, jobs=JOBS):
    records = queue.settled(jobs, deadline=60)
    assert {r["state"] for r in records.values()} == {"done"}
    assert len(smtp.mails_to()) == len(gitlab.issues()) == len(gitlab.issues("[Success]")) == jobs
    until(lambda: all(len(w.lines(event="lane_opened", lane=lane)) ==
                      len(w.lines(event="lane_closed", lane=lane)) for w in workers), "all know")
    assert not queue.client.exists(PREFIX + "lane:" + lane)
    assert not any("lane" in r for r in records.values())


# --- the mail server ---

def greeting(what=None, **how):
    def spoil(smtp):
        smtp.at("greeting", what, **how)
    return spoil


def no_sender(smtp):
    smtp.replies["MAIL"] = "530 5.7.0 Authentication required"


def mend(smtp):
    smtp.forget()
    smtp.replies.clear()
    smtp.release()


SMTP_FAULTS = {
    "half-dead": greeting(SILENT),
    "slow": greeting(delay=20),
    "limiting": greeting("421 4.7.0 Too many connections"),
    "nonsense": greeting(b"\x00\xff\x16\x03\x01 HTTP/1.1 200 OK\r\n"),
    "refusing": no_sender,
}


@pytest.mark.parametrize("fault", SMTP_FAULTS)
def test_mail_server(queue, start_fleet, gitlab, smtp, until, fault):
    SMTP_FAULTS[fault](smtp)
    workers = start_fleet()
    push_many(queue)
    all_wait(queue, until, workers, "smtp")
    one_probe_an_interval(queue, until, lambda: max(
        smtp.connections if fault != "refusing" else 0,
        sum(c.startswith("MAIL") for c in list(smtp.commands))))
    mend(smtp)
    judge(queue, gitlab, smtp, until, workers, "smtp")
    assert not gitlab.issues("[Failed]")


def test_mail_server_dead(queue, start_fleet, gitlab, smtp, until):
    workers = start_fleet()
    smtp.down()
    push_many(queue)
    all_wait(queue, until, workers, "smtp")
    one_probe_an_interval(queue, until,
                          lambda: count(workers, event="step", step="email", outcome="failed"))
    smtp.up()
    judge(queue, gitlab, smtp, until, workers, "smtp")


def test_certificate_expires_in_the_middle(queue, start_fleet, gitlab, smtp, folder, until):
    authority = certs.Authority(folder)
    good = smtp.tls_context = authority.context()
    workers = start_fleet(STOPGAP_CA_FILE=authority.path, STOPGAP_SMTP_TLS="required")
    queue.push(ticket_id=1000, email="first@example.com")
    queue.settled(1)
    smtp.tls_context = authority.context(span=certs.LONG_AGO, name="expired")
    smtp.cut()  # no kept connection serves them
    push_many(queue)
    all_wait(queue, until, workers, "smtp")
    one_probe_an_interval(queue, until, lambda: smtp.connections)
    assert any("expired" in r["err_text"] for r in queue.jobs("delayed").values())
    smtp.tls_context = good
    judge(queue, gitlab, smtp, until, workers, "smtp", JOBS + 1)


@pytest.mark.skipif(missing() != "", reason=missing())
def test_names_gone(queue, start_fleet, gitlab, smtp, folder, until):
    dns = Dns(folder)
    try:
        dns.answer = NO_SUCH_NAME
        workers = start_fleet(inside=dns.command(), STOPGAP_SMTP_TLS="off",
                              STOPGAP_SMTP_URL=f"smtp://{NAME}:{smtp.port}")
        push_many(queue)
        all_wait(queue, until, workers, "smtp")
        one_probe_an_interval(queue, until, lambda: count(
            workers, event="step", step="email", outcome="failed"))
        dns.answer = ["127.0.0.1"]
        judge(queue, gitlab, smtp, until, workers, "smtp")
    finally:
        dns.stop()


def test_no_stampede(queue, start_fleet, gitlab, smtp, until):
    """While the one that is allowed to try has no answer nobody else comes, however many
    intervals pass; then one success lets all come, of themselves."""
    greeting("421 4.3.2 Not now")(smtp)
    workers = start_fleet(STOPGAP_SMTP_TIMEOUT="60s")
    push_many(queue)
    all_wait(queue, until, workers, "smtp")
    smtp.on("", hold_dot=True)
    with smtp.lock:
        smtp.places.clear()
    until(lambda: smtp.dots, "the probe")
    lane = PREFIX + "lane:smtp"
    first, before = int(queue.client.hget(lane, "until_ms")), smtp.connections
    until(lambda: int(queue.client.hget(lane, "until_ms")) > first + 3000 * PROBE_S,
          "three more intervals")
    assert (smtp.dots, smtp.connections) == (1, before)
    with smtp.lock:
        smtp.behaviours.clear()
    smtp.release()
    judge(queue, gitlab, smtp, until, workers, "smtp")
    print("connections at once after recovery:", smtp.most)
    assert smtp.most <= WORKERS * CONNECTIONS


# --- GitLab ---

@pytest.fixture
def wire(gitlab, env):
    relay = Wire(gitlab)
    env.update(STOPGAP_GITLAB_URL=relay.url)
    yield relay
    relay.stop()


ALWAYS = 10 ** 6
GITLAB_FAULTS = {
    "refusing": lambda w: w.answer("*", "", 401, {"message": "401 Unauthorized"}, times=ALWAYS),
    "broken": lambda w: w.answer("*", "", 502, "<h1>502</h1>", times=ALWAYS),
    "nonsense": lambda w: w.answer("*", "", 500, b"\x00\xff{]", times=ALWAYS),
    "hanging-up": lambda w: w.spoil("*", "", lambda _: [], times=ALWAYS, relay=False),
}


@pytest.mark.parametrize("fault", GITLAB_FAULTS)
def test_gitlab(queue, start_fleet, gitlab, smtp, wire, until, fault):
    GITLAB_FAULTS[fault](wire)
    workers = start_fleet()
    push_many(queue)
    all_wait(queue, until, workers, "gitlab")
    assert len(smtp.mails_to()) == JOBS  # they do not wait
    one_probe_an_interval(queue, until, lambda: len(wire.seen))
    wire.clear()
    judge(queue, gitlab, smtp, until, workers, "gitlab")


def test_late_is_told_once_when_everything_was_away(
        queue, start_fleet, gitlab, smtp, wire, until):
    """Neither system answers; GitLab is back first: each job has its issue, once, while its
    mail goes on waiting; then the mail server is back, and all of them end."""
    greeting("421 4.3.2 Not now")(smtp)
    GITLAB_FAULTS["broken"](wire)
    workers = start_fleet(STOPGAP_LATE_AFTER="100ms")
    push_many(queue)
    all_wait(queue, until, workers, "smtp")
    until(lambda: all(w.lines(event="lane_closed", lane="gitlab") for w in workers), "all know")
    one_probe_an_interval(queue, until, lambda: len(wire.seen))
    wire.clear()
    until(lambda: all(r.get("report_iid") for r in queue.jobs().values()), "each has its issue")
    until(lambda: not queue.client.exists(PREFIX + "follow"), "nothing more to tell")
    assert len(gitlab.issues()) == JOBS and not smtp.mails_to()
    assert all("still trying" in i["description"] for i in gitlab.issues())
    mend(smtp)
    queue.settled(JOBS, deadline=60)
    until(lambda: all(i["state"] == "closed" for i in gitlab.issues()), "all are closed")
    assert len(gitlab.issues("[Failed]")) == len(gitlab.issues("[Success]")) == JOBS
    assert len(gitlab.issues()) == 2 * JOBS and len(smtp.mails_to()) == JOBS


def test_everybody_obeys_retry_after(queue, start_fleet, gitlab, smtp, wire, until):
    wire.answer("POST", "/issues", 429, {"message": "slow down"}, [("Retry-After", "600")])
    workers = start_fleet()
    queue.push(ticket_id=1000, email="first@example.com")
    until(lambda: all(w.lines(event="lane_closed", lane="gitlab") for w in workers), "all know")
    before = len(wire.seen)
    push_many(queue)
    until(lambda: len(queue.jobs("delayed")) == JOBS + 1, "all wait")
    assert len(wire.seen) == before and len(smtp.mails_to()) == JOBS + 1
    left = queue.client.hget(PREFIX + "lane:gitlab", "until_ms")
    assert int(left) - queue.client.time()[0] * 1000 > 500_000
    assert all(int(r["due_ms"]) > int(left) for r in queue.jobs().values())
    assert sum(w.lines(event="lane_closed")[0].get("by") is None for w in workers) == 1
    # Ten minutes later, for the one who was told so and one more, whose clock it is: its
    # success wakes all the others.
    queue.client.hset(PREFIX + "lane:gitlab", "until_ms", 1)
    for i, record in list(queue.jobs().items()):
        if json.loads(record["raw"])["ticket_id"] in (1, 1000):
            queue.client.zadd(PREFIX + "delayed", {i: 1})
    judge(queue, gitlab, smtp, until, workers, "gitlab", JOBS + 1)


def test_a_new_worker_knows_at_once(queue, start_fleet, gitlab, smtp, until):
    no_sender(smtp)
    workers = start_fleet(count=1, STOPGAP_BACKOFF_CAP="30s")
    queue.push()
    until(lambda: workers[0].lines(event="job", outcome="waits"), "it waits")
    before = sum(c.startswith("MAIL") for c in smtp.commands)
    workers += start_fleet(count=1, STOPGAP_BACKOFF_CAP="30s")
    line = workers[1].wait_for(event="lane_closed", lane="smtp")
    assert (line["class"], line["code"], line["level"]) == ("auth", "530", "info")
    assert line["by"].split(":")[2] == str(workers[0].pid)
    push_many(queue)
    until(lambda: len(queue.jobs("delayed")) == JOBS + 1, "all wait")
    assert sum(c.startswith("MAIL") for c in smtp.commands) == before


def test_what_redis_missed_it_is_told(queue, start_fleet, redis, gitlab, smtp, until):
    """Without Redis each worker has a view of its own; it counts when Redis is back. Each
    can hold its share of the jobs and no more, so that each has failures enough."""
    greeting(SILENT)(smtp)
    workers = start_fleet(STOPGAP_SMTP_TIMEOUT="60s", STOPGAP_CONCURRENCY=str(JOBS // WORKERS))
    push_many(queue)
    until(lambda: count(workers, step="sign") == JOBS, "all at the mail")
    until(lambda: smtp.connections >= WORKERS * CONNECTIONS, "all at work")
    redis.kill()
    until(lambda: all(w.lines(event="redis_down") for w in workers), "Redis gone")
    smtp.release()  # those that got no greeting are hung up on
    for worker in workers:
        assert "by" not in worker.wait_for(event="lane_closed", lane="smtp")
    redis.start()
    until(lambda: queue.client.exists(PREFIX + "lane:smtp"), "told")
    lane = queue.client.hgetall(PREFIX + "lane:smtp")
    assert lane["class"] == "transient" and "mail server at greeting" in lane["text"]
    assert 0 < queue.client.pttl(PREFIX + "lane:smtp") <= 3_600_000 + 2000 * PROBE_S
    all_wait(queue, until, workers, "smtp")
    assert not count(workers, event="lane_opened")
    mend(smtp)
    judge(queue, gitlab, smtp, until, workers, "smtp")


def test_waiting_costs_next_to_nothing(queue, start_fleet, gitlab, smtp, until):
    """Counted, not timed: what Redis is asked while a closed lane is waited for."""
    no_sender(smtp)
    workers = start_fleet(STOPGAP_BACKOFF_CAP="30s", STOPGAP_LEASE="2s")
    push_many(queue)
    all_wait(queue, until, workers, "smtp")
    until(lambda: not queue.jobs("active"), "rest")

    def scripts():
        calls = queue.client.info("commandstats")
        return sum(calls.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))
    beats = lambda: [int(queue.client.hget(k, "beat_ms"))  # noqa: E731
                     for k in queue.client.scan_iter(PREFIX + "winfo:*")]
    before, since, commands = scripts(), max(beats()), len(smtp.commands)
    until(lambda: min(beats()) > since + 2000, "two more seconds of each")
    spent = scripts() - before
    print("scripts in two seconds of three workers:", spent)
    # Each beats five times in 2 s; a take may follow a beat.
    assert spent <= 2 * WORKERS * (max(beats()) - since) / 400 + 2 * WORKERS
    assert len(smtp.commands) == commands
