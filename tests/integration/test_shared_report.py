"""A flood of unreadable requests: past 30 reports in an hour the rest share one open issue
that counts them."""

import json
import time

import pytest
from testenv import markdown
from testenv.queue import PREFIX

TITLE = "[Failed] - Could not read"


@pytest.fixture
def thirty(queue):
    """The hour's thirty are spent."""
    queue.client.zadd(PREFIX + "invalid", {f"{n:026}": now_ms() for n in range(30)})
    queue.client.pexpire(PREFIX + "invalid", 3600000)


def now_ms():
    return int(time.time() * 1000)


def push(queue, count, first=0):
    for n in range(first, first + count):
        queue.push(raw=f"no request {n}")


def hurry(queue):
    """What waits for some seconds to be over need not; what is under way is left alone."""
    soon = now_ms()
    for item, due in queue.client.zrange(PREFIX + "follow", 0, -1, withscores=True):
        if soon < due < soon + 60000:
            queue.client.zadd(PREFIX + "follow", {item: soon})


@pytest.fixture
def shared(queue, gitlab, until):
    """shared(count): waits until the only shared issue counts so many and nothing more is
    to be reported; the issue."""
    def there(count):
        words = [f"{TITLE} {count} request" + ("s" if count > 1 else "")]
        until(lambda: hurry(queue) or not queue.client.exists(PREFIX + "follow")
              and [i["title"] for i in gitlab.issues(TITLE)] == words,
              lambda: f"{words}: {[i['title'] for i in gitlab.issues()]}")
        return gitlab.issues(TITLE)[0]
    return there


def test_the_first_thirty_have_their_own(queue, worker, gitlab, shared):
    push(queue, 42)
    jobs = queue.settled(42)
    issue = shared(12)
    assert (issue["state"], issue["confidential"], issue["labels"]) == (
        "opened", True, ["emergency-license"])
    assert issue["ignored"] == []
    own = {i: r for i, r in jobs.items() if queue.job(i).get("report_iid")}
    others = [i for i in jobs if i not in own]
    assert len(own) == 30 and len(gitlab.issues()) == 31
    assert str(issue["iid"]) not in {r.get("report_iid") for r in queue.jobs().values()}
    for i in others:
        assert queue.job(i)["report_url"] == issue["web_url"]
        view = json.loads(queue.client.get(PREFIX + "view:" + i))
        assert view["report_url"] == issue["web_url"] and view["status"] == "failed"
        assert f"`{i}`" in issue["description"] or len(others) > 10
    assert sum(f"`{i}`" in issue["description"] for i in others) == 10
    assert {kind for kind, _ in markdown.effects(issue["description"])} <= {"heading"}
    # Once for those that came before it was there, and once or twice for the rest.
    assert len(gitlab.requests("PUT")) <= 3
    assert len(gitlab.requests("POST")) == 31


def test_more_of_them_are_counted_and_it_is_open(queue, worker, gitlab, thirty, shared):
    push(queue, 1)
    issue = shared(1)
    push(queue, 2, first=1)
    issue = shared(3)
    assert gitlab.requests("PUT")[-1].json["title"] == issue["title"]
    gitlab.project().issues[0]["state"] = "closed"  # by hand
    push(queue, 1, first=3)
    assert shared(4)["state"] == "opened"
    assert len(gitlab.issues()) == 1


def test_writings_are_seconds_apart(queue, worker, gitlab, thirty, shared, until):
    push(queue, 1)
    shared(1)
    puts = len(gitlab.requests("PUT"))
    for n in range(1, 6):
        push(queue, 1, first=n)
        queue.settled(n + 1)
    # Each points at it at once; the writing is put off, for all of them together.
    until(lambda: all(r.get("report_url") for r in queue.jobs().values()), "all have it")
    (item, due), = queue.client.zrange(PREFIX + "follow", 0, -1, withscores=True)
    told = int(queue.client.hget(PREFIX + item.replace(" ", ":"), "told_ms"))
    assert due == told + 5000 and len(gitlab.requests("PUT")) == puts
    shared(6)
    assert len(gitlab.requests("PUT")) == puts + 1


@pytest.mark.parametrize("fault", ["lost_after", "error_500_after", "lost_before", "throttle_429"])
def test_only_one_is_created(queue, worker, gitlab, thirty, shared, fault):
    gitlab.fail_next(fault, **({"retry_after": 1} if fault == "throttle_429" else {}))
    push(queue, 3)
    queue.settled(3)
    shared(3)
    assert len(gitlab.issues()) == 1


def test_two_workers_share_it_too(queue, start_worker, gitlab, thirty, shared, until):
    start_worker()
    start_worker()
    push(queue, 100)
    queue.settled(100)
    shared(100)
    assert len(gitlab.issues()) == 1


def test_an_hour_later_they_have_their_own_again(queue, worker, gitlab, thirty, until):
    for member in queue.client.zrange(PREFIX + "invalid", 0, -1):
        queue.client.zincrby(PREFIX + "invalid", -3600001, member)
    push(queue, 1)
    queue.settled(1)
    until(lambda: queue.only()[1].get("report_iid"), "an issue of its own")
    assert queue.client.zcard(PREFIX + "invalid") == 1
    assert 0 < queue.client.pttl(PREFIX + "invalid") <= 3600000


def test_other_failures_have_their_own(queue, worker, gitlab, thirty, smtp, until):
    smtp.on("customer@example.com", rcpt="550 5.1.1 no")
    queue.push()
    queue.push(ticket_id=2, plan="free")
    queue.settled(2)
    until(lambda: all(r.get("report_iid") for r in queue.jobs().values()), "both reported")
    assert len(gitlab.issues("[Failed]")) == 2


def test_requeued_and_failing_again(queue, worker, gitlab, thirty, shared, ctl):
    push(queue, 1)
    shared(1)
    job_id, _ = queue.only("failed")
    gitlab.project().issues[0]["state"] = "closed"
    ctl.run("requeue", job_id)
    queue.settled(1)
    assert shared(1)["state"] == "opened"  # counted once, and open again
    ctl.run("discard", job_id)
    assert not queue.client.exists(PREFIX + "follow")


def test_nothing_of_it_stays(queue, worker, gitlab, thirty, shared, until):
    push(queue, 2)
    shared(2)
    name = queue.client.get(PREFIX + "shared")
    for key in ("shared", "shared:" + name, "invalid"):
        assert 0 < queue.client.pttl(PREFIX + key) <= 86400000, key
    queue.client.delete(PREFIX + "shared", PREFIX + "shared:" + name)  # a day without any
    push(queue, 1, first=2)
    queue.settled(3)
    until(lambda: [i["title"] for i in gitlab.issues(TITLE)] == [
        f"{TITLE} 2 requests", f"{TITLE} 1 request"], lambda: str(gitlab.issues(TITLE)))
