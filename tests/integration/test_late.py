"""Jobs that are not mailed in time: each is told of once, and what was told ends with it.
And of no job anything stays behind in Redis, however it ended."""

import pytest
from testenv.queue import PREFIX
from testenv.scripts import Scripts

JOBS = 6
# What a queue has that no job owns.
LASTING = {"workers", "stat", "cfg"}


def keys(queue):
    return {k[len(PREFIX):] for k in queue.client.keys("*")}


def of_jobs(queue):
    """Names without what they are the key of: {"job:ID": ...} -> {"job"}."""
    return {k.split(":")[0] for k in keys(queue)} - LASTING - {"winfo"}


def push_all(queue):
    for n in range(JOBS):
        queue.push(ticket_id=n + 1, email=f"c{n}@example.com", requested_by=f"agent{n}")


def all_told(queue, gitlab):
    """Each job has its own issue; its number is noted."""
    jobs = queue.jobs()
    issues = {str(i["iid"]): i["description"] for i in gitlab.issues("[Failed]")}
    return (len(jobs) == JOBS and all(r.get("report_iid") in issues for r in jobs.values())
            and all(f"Job: {i}" in issues[r["report_iid"]] for i, r in jobs.items()))


@pytest.mark.parametrize("workers", [1, 2])
def test_each_is_told_of_once(queue, start_worker, gitlab, smtp, until, workers):
    smtp.down()
    running = [start_worker(STOPGAP_LATE_AFTER="100ms") for _ in range(workers)]
    push_all(queue)
    until(lambda: all_told(queue, gitlab), "each has its issue")
    until(lambda: not queue.client.exists(PREFIX + "follow"), "nothing more to tell")
    assert len(gitlab.issues()) == JOBS
    assert all(i["state"] == "opened" and "still trying" in i["description"]
               for i in gitlab.issues())
    # They go on failing, and nobody is told again.
    attempts = {i: int(r["attempt"]) for i, r in queue.jobs().items()}
    until(lambda: running[0].lines(event="lane_closed") or
          all(int(queue.job(i)["attempt"]) > n + 1 for i, n in attempts.items()), "more attempts")
    assert sum(len(w.lines(event="follow_up", outcome="said that it is late"))
               for w in running) == JOBS
    assert len(gitlab.issues()) == len(gitlab.requests("POST")) == JOBS

    smtp.up()
    queue.settled(JOBS)
    until(lambda: all(i["state"] == "closed" for i in gitlab.issues()), "all are closed")
    assert len(gitlab.issues("[Failed]")) == len(gitlab.issues("[Success]")) == JOBS
    assert len(smtp.mails_to()) == JOBS
    assert all(len(i["notes"]) == 1 for i in gitlab.issues("[Failed]"))


def test_late_and_then_failed_is_one_issue(queue, start_worker, gitlab, smtp, until):
    smtp.on("customer@example.com", rcpt="451 4.3.0 later")
    start_worker(STOPGAP_LATE_AFTER="50ms", STOPGAP_BACKOFF_CAP="50ms")
    queue.push()
    until(lambda: gitlab.issues("[Failed]", "still trying"), "told that it is late")
    smtp.forget()
    smtp.on("customer@example.com", rcpt="550 5.1.1 no such user")
    queue.settled(1)
    until(lambda: gitlab.issues("[Failed]", "no such user"), "told that it failed")
    (issue,) = gitlab.issues()
    assert issue["state"] == "opened" and "still trying" not in issue["description"]


def test_in_time_is_not_late(queue, start_worker, gitlab, smtp, until):
    worker = start_worker(STOPGAP_LATE_AFTER="1500ms")
    push_all(queue)
    queue.settled(JOBS)
    assert not queue.client.exists(PREFIX + "follow")  # so nothing can come later
    assert not gitlab.issues("[Failed]") and not worker.lines(event="follow_up")


def test_nothing_stays_behind(queue, start_worker, gitlab, smtp, ctl, until, redis):
    """Jobs that end in each way leave the same keys, and with their retention none."""
    start_worker(STOPGAP_LATE_AFTER="50ms")
    smtp.on("late@example.com", rcpt="451 4.3.0 later", times=3)
    smtp.on("bad@example.com", rcpt="550 5.1.1 no")
    smtp.on("gone@example.com", rcpt="550 5.1.1 no")
    queue.push(ticket_id=1, idempotency_key="k1")
    queue.push(ticket_id=2, email="late@example.com")
    queue.push(ticket_id=3, email="bad@example.com", idempotency_key="k3")
    queue.push(ticket_id=4, email="gone@example.com")
    queue.push(raw=b"\xff not a request")
    queue.settled(5)
    queue.push(ticket_id=1, idempotency_key="k1")
    queue.push(ticket_id=1)
    queue.settled(7)
    (gone,) = [i for i, r in queue.jobs().items() if r.get("ticket") == "4"]
    until(lambda: queue.job(gone).get("report_iid"), "the report")
    ctl.run("discard", gone)
    until(lambda: not queue.client.exists(PREFIX + "follow"), "all follow-ups are over")

    ids, here = set(queue.jobs()), keys(queue)
    assert of_jobs(queue) == {"job", "log", "done", "failed", "same", "idem", "ticket", "cap",
                              "view", "invalid", "audit"}
    for name in ("job", "log", "view"):
        owners = {k.split(":")[1] for k in here if k.startswith(name + ":") and ":t:" not in k}
        assert owners == ids, name
    # A discarded job, and one that never said what it is for, hold no key of duplicates.
    held = {queue.client.get(PREFIX + k) for k in here if k.startswith(("same:", "idem:"))}
    assert held < ids and gone not in held and len(held) == 3
    for key in here:  # what has no owner to remove it ends by itself
        if key.split(":")[0] in ("same", "idem", "ticket", "cap", "view", "winfo", "invalid", "audit"):
            assert queue.client.pttl(PREFIX + key) > 0, key

    scripts = Scripts(redis.path)
    until(lambda: queue.client.time()[0] * 1000 > max(
        int(r["ended_ms"]) for r in queue.jobs().values()) + 1000, "a second later")
    assert scripts.run("trim", 1) == [len(ids) + 1]  # and the audit line of the discard
    scripts.redis.close()
    left = {k for k in of_jobs(queue)}
    assert left <= {"cap", "view", "ticket", "invalid", "audit"}, keys(queue)  # these have their time to live
    assert not {k for k in keys(queue) if any(i in k for i in ids)}


def test_told_however_long_ago_it_was_due(queue, start_worker, gitlab, smtp, until):
    """Longer ago than the host is up: nobody was there for a night, then it was booted."""
    smtp.on("", rcpt="550 5.1.1 No such user")
    gitlab.down()
    worker = start_worker()
    queue.push()
    queue.settled(1)
    job_id, _ = queue.only("failed")
    worker.stop()
    queue.client.zadd(PREFIX + "follow", {"report " + job_id: 1})
    gitlab.up()
    start_worker()
    until(lambda: gitlab.issues("[Failed]"), "its issue")
