"""Wall clocks that jump. That of a program's host decides nothing but the log's stamps and
what can go by no other clock: a webhook's signature, a certificate, `stopgapctl verify`.
Redis's decides what day it is and how long something waits, so its jumps may hasten or
stamp, but must lose nothing, do nothing twice, and stop nothing."""

import datetime
import email.utils
import time

import pytest
from testenv import memory, webhook as zendesk
from testenv.certs import Authority
from testenv.clock import Clock
from testenv.ctl import Ctl
from testenv.queue import PREFIX
from testenv.redis import Redis
from testenv.smtp import Smtp

DAY_S = 86400


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
def redis_clock(folder):
    clock = Clock(folder, "redis clock")
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
