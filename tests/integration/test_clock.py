"""Wall clocks that jump. That of a program's host decides nothing but the log's stamps and
what can go by no other clock: a webhook's signature, a certificate, `stopgapctl verify`.
Redis's decides what day it is and how long something waits, so its jumps may hasten or
stamp, but must lose nothing, do nothing twice, and stop nothing."""

import datetime
import json
import signal
import time

import pytest
from testenv import memory, webhook as zendesk
from testenv.certs import Authority
from testenv.clock import Clock
from testenv.ctl import Ctl
from testenv.queue import PREFIX
from testenv.redis import Redis
from testenv.smtp import Smtp




@pytest.fixture(autouse=True)
def unsanitized():
    if memory.is_sanitized("stopgap-worker"):
        pytest.skip("a library in front of AddressSanitizer's: the plain build shows it")


@pytest.fixture
def host(folder):
    """The clock of the programs' host."""
    clock = Clock(folder, "host clock")
    yield clock
    clock.close()


@pytest.fixture
def redis(folder, redis_clock):
    server = Redis(folder, inside=redis_clock.inside)
    yield server
    server.stop()


@pytest.fixture
def start_here(start_worker, host):
    """A worker by the host's clock."""
    def start(**changes):
        return start_worker(inside=host.inside, **changes)
    return start


@pytest.fixture
def jump(host, redis_clock):
    """jump("redis", 1): those clocks a day ahead; 0: right again."""
    def go(whose, days):
        for name, clock in (("host", host), ("redis", redis_clock)):
            if whose in (name, "both"):
                clock.shift(days=days)
    return go


def hours_off(ms):
    return abs(int(ms) / 1000 - time.time()) / 3600


WHOSE = ["host", "redis", "both"]


@pytest.mark.parametrize("days", [1, -1])
@pytest.mark.parametrize("whose", WHOSE)
def test_in_the_middle_of_work(queue, start_here, smtp, gitlab, jump, until, whose, days):
    """A mail without its last answer, an issue without its number, a retry that waits, and
    jobs that come later: each done once."""
    smtp.on("held@example.com", hold_dot=True)
    smtp.on("later@example.com", rcpt="451 4.2.0 Later", times=2)
    gitlab.fail_next("slow", seconds=30)
    workers = [start_here(STOPGAP_GIVE_UP_AFTER="20d") for _ in range(2)]
    queue.push(ticket_id=1, email="slow@example.com")
    until(lambda: gitlab.requests("POST"), "an issue under way")
    queue.push(ticket_id=2, email="held@example.com")
    queue.push(ticket_id=3, email="later@example.com")
    until(lambda: smtp.dots == 2 and any("later@" in c for c in smtp.commands), "work under way")
    jump(whose, days)
    queue.push(ticket_id=4, email="meanwhile@example.com")
    until(lambda: len(queue.jobs("done")) >= 2, lambda: str(queue.jobs())+"".join(w.text() for w in workers))
    jump(whose, 0)
    queue.push(ticket_id=5, email="after@example.com")
    until(lambda: len(queue.jobs("done")) >= 3, "work goes on")
    smtp.release()
    gitlab.release()
    records = queue.settled(5)
    assert {(r["state"], r["fence"]) for r in records.values() if r["ticket"] != "3"} == {("done", "1")}
    assert sorted(m.to.split("@")[0] for m in smtp.mails_to()) == [
        "after", "held", "later", "meanwhile", "slow"]
    assert len(gitlab.issues("[Success]")) == 5
    # By Redis's clock some may have been late for a while.
    until(lambda: {i["state"] for i in gitlab.issues("[Failed]")} <= {"closed"},
          lambda: str(queue.client.zrange(PREFIX + "follow", 0, -1, withscores=True))
          + str(queue.jobs()) + str(queue.redis.client.time()) + "".join(w.text() for w in workers))
    if whose == "host":
        assert not gitlab.issues("[Failed]")
        assert all(hours_off(r[f]) < 1 for r in records.values()
                   for f in ("accepted_ms", "iat_ms", "ended_ms", "mail_date_ms"))
        stamps = {line["ts"][:10] for w in workers for line in w.log}
        day = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
        assert day.strftime("%Y-%m-%d") in stamps


@pytest.mark.parametrize("days", [1, -1])
@pytest.mark.parametrize("whose", WHOSE[:2])
def test_worker_that_dies_meanwhile(queue, start_here, smtp, jump, until, whose, days):
    """The other one has its jobs after a lease, not after a day."""
    smtp.on("", hold_dot=True)
    first = start_here(STOPGAP_LEASE="1s")
    queue.push()
    until(lambda: smtp.dots, "a mail under way")
    smtp.forget("")
    owner = queue.only("active")[1]["owner"]
    second = start_here(STOPGAP_LEASE="1s")
    first.signal(signal.SIGSTOP)
    jump(whose, days)
    records = queue.settled(1)
    (record,) = records.values()
    assert record["last"].split()[0] != owner
    smtp.release()
    first.signal(signal.SIGCONT)
    assert second.running and record["ambiguous"] == "1"
    if days > 0 and whose != "host":  # by the only clock that counts it is a day old
        assert record["state"] == "failed" and "--redo sign" in record["err_text"]
    else:
        assert record["state"] == "done"


@pytest.mark.parametrize("days", [1, -1])
@pytest.mark.parametrize("whose", WHOSE[:2])
def test_lane_that_is_closed(queue, start_here, smtp, jump, until, whose, days):
    """A probe goes out an interval later, and everybody hears of the end."""
    smtp.replies["MAIL"] = "530 5.7.0 Authentication required"
    workers = [start_here(STOPGAP_LEASE="1s", STOPGAP_GIVE_UP_AFTER="20d",
                          STOPGAP_BACKOFF_CAP="300ms") for _ in range(2)]
    for worker in workers:
        worker.allow("lane_closed")
    for n in range(4):
        queue.push(ticket_id=n + 1, email=f"c{n}@example.com")
    until(lambda: all(w.lines(event="lane_closed") for w in workers), "closed")
    jump(whose, days)
    seen = sum(c.startswith("MAIL") for c in smtp.commands)
    until(lambda: sum(c.startswith("MAIL") for c in smtp.commands) > seen, "a probe")
    del smtp.replies["MAIL"]
    assert {r["state"] for r in queue.settled(4).values()} == {"done"}
    assert len(smtp.mails_to()) == 4


@pytest.fixture
def ahead(jump, start_here):
    """A worker, and Redis's clock a day ahead, which is about to be noticed."""
    jump("redis", 1)
    return start_here(STOPGAP_GITLAB_SETTLE="1s", STOPGAP_LEASE="1s", STOPGAP_GIVE_UP_AFTER="20d")


def test_record_in_doubt(queue, ahead, gitlab, jump, until):
    """Whether there is an issue was asked by a clock that is a day behind since."""
    gitlab.fail_next("lost_before", method="POST", path="/issues")
    queue.push()
    until(lambda: gitlab.requests("POST", "/issues"), "an issue in doubt")
    jump("redis", 0)
    assert {r["state"] for r in queue.settled(1).values()} == {"done"}
    assert len(gitlab.issues("[Success]")) == 1


def test_report_in_doubt(queue, ahead, gitlab, jump, until):
    """The same of a failure's."""
    gitlab.fail_next("lost_before", method="POST", path="/issues")
    queue.push(users=0)
    until(lambda: gitlab.requests("POST", "/issues"), "an issue in doubt")
    jump("redis", 0)
    until(lambda: gitlab.issues("[Failed]"), "the failure's issue")


def test_note_in_doubt(env, queue, zendesk, start_here, jump, until):
    """The same of a ticket's note."""
    env.update(STOPGAP_ZENDESK_URL=zendesk.url, STOPGAP_ZENDESK_USER=zendesk.AGENT,
               STOPGAP_ZENDESK_TOKEN=zendesk.TOKEN, STOPGAP_ZENDESK_SETTLE="1s")
    ticket = zendesk.mail_in()
    jump("redis", 1)
    start_here(STOPGAP_LEASE="1s")
    zendesk.fail_next("lost_before", method="PUT")
    queue.push(ticket_id=ticket, email=zendesk.CUSTOMER)
    until(lambda: zendesk.requests("PUT"), "a note in doubt")
    jump("redis", 0)
    until(lambda: zendesk.notes(ticket), "the note")


def test_after_a_failover(queue, redis, ahead, gitlab, jump, until):
    """To a host whose clock is a day ahead, until somebody sets it."""
    s, us = redis.client.time()
    moved = s * 1000 + us // 1000
    redis.client.hset(PREFIX + "cfg", "moved_ms", moved)
    until(lambda: int(redis.client.hget(PREFIX + "cfg", "clock_ms") or 0) > moved + 100, "a beat")
    jump("redis", 0)
    queue.push()
    assert {r["state"] for r in queue.settled(1).values()} == {"done"}
    assert len(gitlab.issues("[Success]")) == 1


def test_clock_that_is_ahead(queue, ahead, gitlab):
    """GitLab's own clock is right: its issue is older than the intent."""
    gitlab.fail_next("lost_after", method="POST", path="/issues")
    queue.push()
    assert {r["state"] for r in queue.settled(1).values()} == {"done"}
    assert len(gitlab.issues()) == 1


@pytest.mark.parametrize("days", [1, -1])
@pytest.mark.parametrize("whose", WHOSE[:2])
def test_mail_on_hold(queue, start_here, smtp, ctl, jump, whose, days):
    """Held for an operator; released by one."""
    smtp.on("", drop="dot_taken", times=1)
    worker = start_here(STOPGAP_ON_AMBIGUOUS="hold")
    worker.allow("ambiguous")
    queue.push()
    queue.settled(1)
    job_id, record = queue.only("failed")
    assert record["err_class"] == "ambiguous"
    jump(whose, days)
    ctl.run("requeue", job_id, "--mail-arrived")
    assert queue.wait_state(job_id, "done")["lic"] == record["lic"]
    assert len(smtp.mails_to()) == 1


# --- the receiver ---

@pytest.fixture
def receiver_here(start_webhook, host):
    return lambda **changes: start_webhook(inside=host.inside, **changes)


@pytest.mark.parametrize("days", [1, -1])
def test_signatures_go_by_the_wall_clock(receiver_here, host, days):
    """Nothing else can tell how old one is. Zendesk does not retry a 401, but shows it; the
    log says what is wrong, `stopgapctl reconcile` submits what was refused."""
    webhook = receiver_here()
    assert webhook.deliver(time=zendesk.now()).status == 202
    host.shift(days=days)
    assert webhook.deliver(time=zendesk.now()).status == 401
    webhook.wait_for(lambda line: "STOPGAP_WEBHOOK_MAX_SKEW" in str(line))
    assert webhook.submit(zendesk.request(ticket_id="5")).status == 202
    host.shift()
    assert webhook.deliver(zendesk.request(ticket_id="6"), time=zendesk.now()).status == 202


@pytest.mark.parametrize("days", [1, -1])
def test_spool_keeps_its_order(receiver_here, redis, queue, host, until, days):
    """Over a jump and an end of the receiver between."""
    webhook, ids = receiver_here(), []
    redis.kill()
    for n, shift in enumerate((0, days, 0), 1):
        host.shift(days=shift)
        for m in range(2):
            ids.append(webhook.submit(zendesk.request(ticket_id=str(10 * n + m))).job_id)
    webhook.stop()
    host.shift(days=days)
    webhook = receiver_here(ready=False)
    webhook.wait_for(event="ready")
    ids.append(webhook.submit(zendesk.request(ticket_id="50")).job_id)
    redis.start()
    until(lambda: queue.client.llen(PREFIX + "inbox") == len(ids), webhook.text)
    entries = queue.client.lrange(PREFIX + "inbox", 0, -1)
    assert [e.split(" ")[0] for e in reversed(entries)] == ids


# --- TLS, and the operator's commands ---

def test_certificates_go_by_the_wall_clock(queue, start_here, folder, host, until):
    """One that is not valid by it is an outage, and mails wait."""
    today = datetime.datetime.now(datetime.timezone.utc)
    span = tuple((today + datetime.timedelta(hours=h)).strftime("%Y%m%d%H%M%SZ") for h in (-12, 12))
    authority = Authority(folder)
    server = Smtp(tls_context=authority.context(span=span), implicit_tls=True)
    try:
        worker = start_here(STOPGAP_SMTP_URL=f"smtps://127.0.0.1:{server.port}",
                            STOPGAP_CA_FILE=authority.path)
        for n, days in enumerate((1, -1), 1):
            host.shift(days=days)
            queue.push(ticket_id=n, email=f"c{n}@example.com")
            worker.wait_for(lambda f: "certificate" in f.get("err", ""), count=n)
            host.shift()
            queue.settled(n)
        assert len(server.mails_to()) == 2
        worker.stop()
    finally:
        server.stop()


@pytest.mark.parametrize("days", [1, -1])
def test_operator(queue, worker, redis, ctl_env, host, folder, key, days):
    """By Redis's clock, but for `verify`, which asks nobody."""
    queue.push()
    queue.settled(1)
    job_id, record = queue.only("done")
    path = f"{folder}/a.license"
    with open(path, "w", encoding="ascii") as f:
        f.write(record["lic"])
    ctl = Ctl(ctl_env, host.inside)
    right = Ctl(ctl_env).run("show", job_id).out
    assert [j["job_id"] for j in ctl.json("list", "--since", "1h")] == [job_id]
    host.shift(days=days)
    assert [j["job_id"] for j in ctl.json("list", "--since", "1h")] == [job_id]
    assert ctl.run("show", job_id).out.count("ago") == right.count("ago")
    assert ctl.run("workers").out.count("\n") == 2
    said = ctl.run("verify", path, "--key", key + ".pub", status=None)
    assert said.status == (0 if days > 0 else 1)
    host.shift(days=11)
    assert "expired" in ctl.run("verify", path, "--key", key + ".pub", status=1).out


# --- what day it is ---

# Days, by the dates that count: 10 days later, and the same of the day after it.
ENDS = {
    "2027-01-31": ("2027-02-10", "2027-02-11"),
    "2027-04-30": ("2027-05-10", "2027-05-11"),
    "2028-02-28": ("2028-03-09", "2028-03-10"),
    "2028-02-29": ("2028-03-10", "2028-03-11"),
    "2028-12-31": ("2029-01-10", "2029-01-11"),
}


def day_after(day, days):
    return str(datetime.date.fromisoformat(day) + datetime.timedelta(days=days))


class Night:
    """Two jobs of the last minute of a day that are not done by then: nothing of the first
    one left, the second one's mail did."""

    def __init__(self, queue, start_worker, smtp, clock, ctl, key, until):
        self.queue, self.smtp, self.clock, self.ctl = queue, smtp, clock, ctl
        self.start_worker, self.key, self.until = start_worker, key, until

    def worker(self):
        return self.start_worker(
            inside=self.clock.inside, STOPGAP_LICENSE_KEY_FILE=self.key,
            STOPGAP_BACKOFF_BASE="1h", STOPGAP_BACKOFF_CAP="1h", STOPGAP_GIVE_UP_AFTER="20d",
            STOPGAP_LATE_AFTER="1d")

    def begin(self, day):
        self.queue.client.flushall()
        self.smtp.on(f"later@{day}.example", rcpt="451 4.2.0 Later", times=1)
        self.smtp.on(f"lost@{day}.example", drop="dot_taken", times=1)
        self.clock.set(day + "T23:59:15")
        worker = self.worker()
        for ticket, name in enumerate(("later", "lost"), 1):
            self.queue.push(ticket_id=ticket, email=f"{name}@{day}.example")
        self.until(lambda: len(self.queue.jobs("delayed")) == 2, worker.text)
        worker.stop()

    def end(self, moment):
        """The two jobs then."""
        self.clock.set(moment)
        worker = self.worker()
        jobs = self.queue.settled(2)
        worker.stop()
        return sorted(jobs.values(), key=lambda record: record["ticket"])

    def days(self, record):
        """The first and the last date that the license says."""
        path = self.key + ".license"
        with open(path, "w", encoding="ascii") as f:
            f.write(record["lic"])
        said = self.ctl.json("verify", path, "--key", self.key + ".pub")
        return said["valid_from"][:10], said["valid_until"][:10]

    def mails(self, record):
        return [m.data for m in self.smtp.mails_to(json.loads(record["raw"])["email"])]


@pytest.fixture(params=["ed25519", "rsa"])
def night(request, queue, start_worker, smtp, redis_clock, ctl_env, folder, until):
    key = f"{folder}/new.key"
    ctl = Ctl(ctl_env, redis_clock.inside)
    ctl.run("keygen", key, "--type", request.param)
    night = Night(queue, start_worker, smtp, redis_clock, ctl, key, until)
    night.of_dates = request.param == "rsa"
    return night


def test_jobs_that_wait_over_midnight(night):
    """What has left stays as it was; the other is signed anew if its format counts days,
    and would have lost one."""
    for day, (end, later_end) in ENDS.items():
        night.begin(day)
        later, lost = night.end(day_after(day, 1) + "T03:00:00")
        assert (later["state"], lost["state"], lost["ambiguous"]) == ("done", "done", "1")
        if night.of_dates:
            assert night.days(later) == (day, later_end)
            assert night.days(lost) == (day_after(day, -1), end)
        else:
            assert night.days(later) == night.days(lost) == (day, end)
        first, second = night.mails(lost)
        assert first == second and len(night.mails(later)) == 1


def test_no_license_of_the_day_before_yesterday(night):
    """Older than a day: made anew while nobody can have it, else an operator's word."""
    night.begin("2028-02-28")
    later, lost = night.end("2028-03-01T01:00:00")
    assert night.days(later) == ("2028-02-29" if night.of_dates else "2028-03-01", "2028-03-11")
    assert lost["state"] == "failed" and "--redo sign" in lost["err_text"]
    assert len(night.mails(later)) == len(night.mails(lost)) == 1
    ((job_id, _),) = night.queue.jobs("failed").items()
    assert "--redo sign" in night.ctl.run("requeue", job_id, status=1).err
    night.ctl.run("requeue", job_id, "--redo", "sign")
    _, anew = night.end("2028-03-01T01:00:00")
    assert anew["state"] == "done" and night.days(anew) == night.days(later)
    assert len(night.mails(anew)) == 2
