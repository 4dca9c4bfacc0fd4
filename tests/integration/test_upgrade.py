"""Old and new worker on one queue: a record newer than a worker knows waits for a newer
worker, and what a newer one has added to a record is left alone. The newer worker is
played by its calls of the queue's scripts."""

import pytest
from testenv.scripts import DAY, Scripts

NEW = "elsewhere:boot:1:1:new"


@pytest.fixture
def q(redis):
    scripts = Scripts(redis.path)
    yield scripts
    scripts.redis.close()


def record(n, **fields):
    return {"raw": '{"ticket_id":%d,"email":"c%d@example.com","users":1,"requested_by":"x"}'
            % (n, n), "future": "kept as it is", **fields}


def test_a_newer_record_waits_for_a_newer_worker(q, start_worker, queue, smtp, gitlab, ctl, until):
    """However long only old workers are there: no attempt, no failure, no issue; also its
    follow-ups stay. Others go by."""
    newer = q.job("newer", "queued", **record(1, v=3))
    q.redis.zadd(q.key("follow"), {"late " + newer: 1})
    older = q.job("older", "queued", **record(2))
    start_worker()
    queue.wait_state(older, "done")
    assert q.field(older, "future") == "kept as it is"
    for _ in range(3):  # it comes up again and again
        queue.wait_state(newer, "delayed")
        seen = int(q.redis.hget(q.key("stat"), "newer"))
        q.redis.zadd(q.key("delayed"), {newer: 1}, xx=True)
        queue.push(ticket_id=10 + seen, email="more@example.com")  # somebody looks
        until(lambda s=seen: int(q.redis.hget(q.key("stat"), "newer")) > s, "put off again")
    was = queue.job(newer)
    assert (was["state"], was["attempt"], was["fence"], was["v"]) == ("delayed", "0", "0", "3")
    assert was["future"] == "kept as it is" and "err_class" not in was
    assert q.redis.zscore(q.key("follow"), "late " + newer)
    assert not smtp.mails_to("c1@example.com") and not gitlab.issues("[Failed]")
    assert ctl.json("fsck", "--repair", status=None)["newer"] == 1
    assert queue.job(newer)["state"] == "delayed"

    def claimed():
        """By a newer worker, as soon as the job is due."""
        q.worker(NEW, lease=DAY)
        q.redis.zadd(q.key("delayed"), {newer: 1}, xx=True)
        return [j for j in q.run("take", NEW, 1, 0, DAY, 3, 1, "seed", 200)[4:] if j[0] == newer]
    until(claimed, "the newer worker has it")
    fence = q.field(newer, "fence")
    assert q.run("finish", newer, NEW, fence, "done", 0, "", 0, 0) == [1]
    assert queue.job(newer)["state"] == "done"
    q.redis.zrem(q.key("workers"), NEW)


def test_a_dead_newer_workers_job_is_given_back(q, start_worker, queue, until):
    """An old worker may reap it: it waits again, and still for a newer worker."""
    q.redis.zadd(q.key("workers"), {NEW: 1})
    newer = q.active("newer", NEW, **record(1, v=3))
    start_worker()
    queue.wait_state(newer, "delayed")
    was = queue.job(newer)
    assert (was["fence"], was["losses"], was["attempt"]) == ("2", "1", "1")
    assert was["future"] == "kept as it is" and "err_class" not in was
