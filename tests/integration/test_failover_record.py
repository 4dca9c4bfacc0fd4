"""After a failover a job may have been recorded without the new primary's knowing: then
its issue is looked for before another one is made. (tests/storm/failover.py has real
failovers; here the new primary's state is made by hand, so that each case is met.)"""

import datetime
import os

import pytest

P = "stopgap:{licenses}:"


@pytest.fixture
def env(env):
    return {**env, "STOPGAP_GITLAB_SETTLE": "1s"}


def moves(redis):
    """As the beat notes it that finds another server."""
    s, us = redis.client.time()
    redis.client.hset(P + "cfg", "moved_ms", s * 1000 + us // 1000)
    return s + us / 1e6


def test_what_the_old_primary_was_told_last(folder, redis, queue, start_worker, ctl, smtp,
                                            gitlab, until):
    """All is done there, and here the jobs wait: their mails are sent once more, but each
    has one [Success] issue."""
    copy = os.path.join(folder, "copy")
    ctl.run("pause")
    first = start_worker()
    for n in range(1, 4):
        queue.push(ticket_id=n, email=f"c{n}@example.com")
    until(lambda: len(queue.jobs("queued")) == 3, "all are adopted")
    redis.backup(copy)
    ctl.run("resume")
    done = queue.settled(3)
    issues = {i["iid"]: i["title"] for i in gitlab.issues()}
    first.kill()

    redis.restore(copy)
    moves(redis)
    ctl.run("resume")
    start_worker()
    again = queue.settled(3)
    assert len(smtp.mails_to()) == 6
    assert {i["iid"]: i["title"] for i in gitlab.issues()} == issues
    assert {i: r["iid"] for i, r in again.items()} == {i: r["iid"] for i, r in done.items()}


def test_not_there_is_believed_late(redis, queue, start_worker, smtp, gitlab, until):
    """Somebody may be at it still, who has not heard of the failover."""
    worker = start_worker()
    smtp.on("", hold_dot=True)
    queue.push()
    until(lambda: smtp.dots, "its mail is under way")
    moved = moves(redis)
    worker.kill()
    smtp.forget("")
    smtp.release()
    start_worker()
    queue.settled(1)
    assert len(queue.jobs("done")) == 1
    (issue,) = gitlab.issues("[Success]")
    assert issue["created_at"] >= datetime.datetime.fromtimestamp(
        moved + 1 - 0.1, datetime.timezone.utc)  # GitLab's clock is not Redis's


def test_later_jobs_are_not_looked_for(redis, queue, start_worker, gitlab):
    moves(redis)
    start_worker()
    queue.push()
    queue.settled(1)
    assert not gitlab.requests("GET", "/issues")
