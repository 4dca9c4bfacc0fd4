"""What is done to a queue while its programs die: phases, each begun when the one before
it has come to rest, and how many jobs have ended by then. Between them they pass every
crash point."""

import dataclasses
import json
from collections import Counter

from case import Case
from receiving import Receiving

TEN = range(1, 11)


def jobs(case):
    for n in TEN:
        case.push(n)


def faulty(case):
    for n in TEN:
        case.push(n, users=0)


def same_and_again(case):
    """Requests that come twice, and the same licenses again."""
    for n in TEN:
        case.push(n)
    for job_id in case.mailed():
        case.push_raw(json.dumps({"resend": job_id, "requested_by": "agent"}))


def refused(case):
    """The mail server refuses each once, for good; ten others are faulty."""
    for n in TEN:
        case.stand.smtp.on(case.address(n), rcpt="550 5.1.1 No such user", times=1)
        case.push(n)
        case.push(n + 10, users=0)


def requeue(case):
    for job_id in case.failed_in("email"):
        case.ctl("requeue", job_id)


def resend(case):
    for job_id in case.mailed():
        case.ctl("resend", job_id)


def fsck(case):
    """One is left where it no longer is."""
    case.client.zadd(case.prefix + "delayed", {case.mailed()[0]: 1})
    case.ctl("fsck", "--repair")


def submit(case):
    for n in TEN:
        case.submit(n)


def forget(case):
    for n in TEN:
        case.ctl("forget", case.address(n), "--yes", each=2)


def hold(case):
    for _ in range(5):
        case.ctl("pause", "for a while")
        case.ctl("resume", script="pause")
    whats = Counter(what for what, _ in case.audited())
    assert whats["pause"] >= 5 and whats["resume"] == 5, whats


def discard(case):
    for job_id in case.failed_in("validate"):
        case.ctl("discard", job_id)


def lost_claim(case):
    """A job that the worker which runs was given without hearing of it."""
    case.give_in_secret(sum(1 for _ in case.records()) + 1)


def slow(case):
    """One that people can watch: views of younger jobs wait."""
    case.stand.smtp.on(case.address(1), delay_rcpt=1.2)
    case.push(1)


def closed(case):
    """The mail server hangs up until the breaker opens; then it is well."""
    case.stand.smtp.on(case.address(1), drop="rcpt", times=5)
    case.push(1)


def watched(case):
    for n in TEN:
        case.push(n)
        case.scrape()


def redis_comes(case):
    """Before that it is away for receivers."""
    case.redis_comes()


@dataclasses.dataclass
class Scenario:
    name: str
    phases: list  # (function, how many jobs have ended after it, or requests were taken)
    by_people: tuple = ()  # scripts whose points are passed by stopgapctl
    told: bool = False  # in Slack
    sealed: bool = False  # licenses, in Redis
    again: tuple = ()  # points that die here, too, though an earlier scenario has them
    kind: type = Case  # of its runs
    settings: dict = dataclasses.field(default_factory=dict)


METRICS = {"STOPGAP_METRICS_LISTEN": "127.0.0.1:0"}


SCENARIOS = [
    Scenario("jobs", [(jobs, 10)]),
    Scenario("reports", [(faulty, 10), (jobs, 20)], again=("gitlab.",)),
    Scenario("repeats", [(jobs, 10), (same_and_again, 30)]),
    Scenario("people", [(refused, 20), (requeue, 20), (resend, 20), (discard, 20)],
             by_people=("requeue", "resend", "discard")),
    Scenario("claims", [(lost_claim, n) for n in TEN]),
    Scenario("slow", [(slow, 1)]),
    Scenario("told", [(jobs, 10)], told=True),
    Scenario("sealed", [(jobs, 10)], sealed=True,
             again=("email.", "smtp.", "redis.sent.save", "redis.handled.save",
                    "redis.sent.finish", "gitlab.sent.")),
    Scenario("mended", [(jobs, 10), (fsck, 10)], by_people=("fsck",)),
    Scenario("submitted", [(hold, 0), (submit, 10)], by_people=("submit", "pause")),
    Scenario("forgotten", [(jobs, 10), (forget, 0)], by_people=("forget",)),
    Scenario("closed", [(closed, 1)]),
    Scenario("watched", [(watched, 10)], settings=METRICS),
    Scenario("received", [(redis_comes, 0), (jobs, 10)], kind=Receiving),
    Scenario("spooled", [(jobs, 10), (redis_comes, 10)], again=("push.",), kind=Receiving),
]


# --- for pairs of deaths: few jobs, but every point of a worker, and of a receiver ---

def two_faulty(case):
    for n in (1, 2):
        case.push(n, users=0)


def two_of_each(case):
    """The corrected ones, and another that comes twice."""
    for n in (1, 2, 3):
        case.push(n)
    case.push(3)


def again_and_lost(case):
    case.push_raw(json.dumps({"resend": case.mailed()[0], "requested_by": "agent"}))
    case.give_in_secret(9)


def two(case):
    for n in (1, 2):
        case.push(n)


def two_more(case):
    for n in (3, 4):
        case.push(n)


def one_watched(case):
    case.push(1)
    case.scrape()


# A pair that an earlier one has is not in a later one again.
PAIRS = [
    Scenario("pairs", [(two_faulty, 2), (two_of_each, 6), (again_and_lost, 8)]),
    Scenario("pairs of lanes", [(closed, 1)]),
    Scenario("pairs of tellers", [(two, 2)], told=True),
    Scenario("pairs of views", [(slow, 1)]),
    Scenario("pairs of watchers", [(one_watched, 1)], settings=METRICS),
    Scenario("pairs of receivers", [(two, 2), (redis_comes, 2), (two_more, 4)],
             kind=Receiving),
]


# --- for workers that stop and go on: as few, since a lease has to run out each time ---

def three(case):
    for n in (1, 2, 3):
        case.push(n)


FROZEN = [Scenario("frozen", [(three, 3)]),
          Scenario("frozen reports", [(two_faulty, 2), (three, 5)])]
