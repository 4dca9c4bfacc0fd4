"""Workers that die, freeze or leave: nothing lost, nothing twice."""

import signal

import pytest

JOBS = 200


def push(queue, count, start=1):
    for n in range(start, start + count):
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"agent{n}")


def judge(queue, gitlab, smtp, count):
    """All done; one [Success] issue each; a second mail only where a mail was on its way
    when its worker died, which the next one counted."""
    jobs = queue.settled(count, deadline=90)
    for job_id in queue.jobs("failed"):
        print(job_id, *queue.log(job_id), sep="\n")  # shown when the next line fails
    assert {r["state"] for r in jobs.values()} == {"done"}
    success = gitlab.issues("[Success]")
    assert len(success) == len({i["title"] for i in success}) == count
    assert {i["state"] for i in success} == {"closed"}
    ambiguous = sum(int(r.get("ambiguous") or 0) for r in jobs.values())
    mails = smtp.mails_to()
    assert len({m.to for m in mails}) == count
    assert len(mails) - count <= ambiguous, f"{len(mails) - count} second mails"
    for job_id, record in jobs.items():
        mine = [m for m in mails if f"X-Stopgap-Job: {job_id}\r\n".encode() in m.data]
        assert len({m.data for m in mine}) == 1  # byte for byte
        issue = next(i for i in success if str(i["iid"]) == record["iid"])
        assert record["lic"].strip() in issue["description"]
    return len(mails) - count, ambiguous


def test_killed_five_times_in_the_middle(queue, start_worker, gitlab, smtp, until):
    """Each worker gets some work done before it dies: a job whose third worker in a row
    dies without a checkpoint is poison, and this test is not about that."""
    smtp.on("", delay_dot=0.15)
    worker = start_worker(STOPGAP_CONCURRENCY="16")
    push(queue, JOBS)
    for _ in range(5):
        worker.wait_for(event="job", outcome="done", count=20)
        assert queue.client.zcard("stopgap:{licenses}:done") < JOBS  # in the middle indeed
        worker.kill()
        worker = start_worker(STOPGAP_CONCURRENCY="16")
    judge(queue, gitlab, smtp, JOBS)


def test_frozen_past_its_lease(queue, start_worker, gitlab, smtp, until):
    """A zombie: its jobs run elsewhere, what it still says is refused."""
    smtp.on("", delay_dot=0.3)  # or it is done before it can be frozen
    frozen = start_worker(STOPGAP_LEASE="1s")
    push(queue, 60)
    until(lambda: queue.jobs("active"), "work under way")
    frozen.signal(signal.SIGSTOP)
    other = start_worker(STOPGAP_LEASE="1s")
    queue.settled(60, deadline=60)
    other.wait_for(event="job", outcome="done")
    frozen.signal(signal.SIGCONT)
    push(queue, 20, start=1000)
    judge(queue, gitlab, smtp, 80)


def test_an_issue_that_the_next_owner_found_is_no_stray(
        queue, start_worker, gitlab, smtp, until):
    """The creation was heard, its maker froze; another worker finds the issue and closes
    it. When the first wakes, it is told that the job is not its own any more."""
    gitlab.fail_next("slow_after", seconds=30)
    frozen = start_worker(STOPGAP_LEASE="1s")
    queue.push()
    until(gitlab.issues, "the issue")
    frozen.signal(signal.SIGSTOP)
    start_worker(STOPGAP_LEASE="1s")
    queue.settled(1)
    gitlab.release()
    frozen.signal(signal.SIGCONT)
    frozen.wait_for(event="lost")
    queue.push(ticket_id=2)  # behind whatever it does about it
    queue.settled(2)
    assert frozen.stop() == 0
    assert len(gitlab.issues("[Success]")) == len(gitlab.issues()) == 2


def test_restart_takes_the_jobs_back_at_once(queue, start_worker, smtp, until):
    smtp.on("", hold_dot=True)
    first = start_worker(STOPGAP_LEASE="60s")
    queue.push()
    until(lambda: smtp.dots, "a mail on its way")
    first.kill()
    smtp.forget("")
    smtp.release()
    second = start_worker(STOPGAP_LEASE="60s")  # no lease runs out in this test
    queue.settled(1)
    job_id, record = queue.only("done")
    second.wait_for(event="predecessor")
    assert record["ambiguous"] == "1"
    second.exactly(1, event="ambiguous", job=job_id)


def test_another_host_waits_for_the_lease(queue, start_worker, smtp, until):
    """A worker that looks as if it ran elsewhere is reaped by its lease."""
    c, p = queue.client, "stopgap:{licenses}:"
    wid = "elsewhere:00000000:1:1:nonce"
    c.hset(p + "job:" + "a" * 26, mapping={
        "v": 1, "state": "active", "owner": wid, "fence": 1, "attempt": 1, "accepted_ms": 1,
        "raw": '{"ticket_id":1,"email":"a@example.com","users":1,"requested_by":"x"}'})
    c.lpush(p + "proc:" + wid, "a" * 26)
    c.zadd(p + "workers", {wid: 1})
    start_worker(STOPGAP_LEASE="1s")
    queue.settled(1)
    assert queue.only("done")[1]["attempt"] == "2"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_term_finishes_what_runs(queue, start_worker, smtp, until, number):
    smtp.on("", delay_dot=0.3)
    worker = start_worker(STOPGAP_CONCURRENCY="4", STOPGAP_SMTP_CONNECTIONS="4")
    push(queue, 12)
    until(lambda: smtp.dots >= 1, "mails on their way")
    worker.signal(number)
    assert worker.wait() == 0
    jobs = queue.jobs()
    states = {r["state"] for r in jobs.values()}
    assert "active" not in states and states <= {"done", "queued"}
    assert all(int(r.get("ambiguous") or 0) == 0 for r in jobs.values())
    start_worker()
    queue.settled(12)
    assert len(smtp.mails_to()) == 12


def test_drain_deadline_gives_back(queue, start_worker, smtp, gitlab, until):
    smtp.on("", rcpt="250 ok", delay_rcpt=30)
    worker = start_worker(STOPGAP_DRAIN_TIMEOUT="1s")
    push(queue, 5)
    until(lambda: len(queue.jobs("active")) == 5, "all taken")
    worker.term()
    worker.wait()
    jobs = queue.jobs()
    assert {(r["state"], r["attempt"]) for r in jobs.values()} == {("queued", "0")}
    smtp.forget("")
    start_worker()
    queue.settled(5)
    assert len(smtp.mails_to()) == 5


def test_quiet_and_again(queue, start_worker, until):
    worker = start_worker()
    worker.signal(signal.SIGTSTP)
    worker.wait_for(event="quiet")
    queue.push()
    until(lambda: queue.jobs("queued"), "adopted, not taken")
    worker.signal(signal.SIGCONT)
    queue.settled(1)


def test_paused_queue(queue, start_worker, ctl, until):
    worker = start_worker()
    ctl.run("pause")
    until(lambda: queue.client.exists("stopgap:{licenses}:paused"), "paused")
    queue.push()
    until(lambda: queue.jobs(), "adopted")
    assert queue.only()[1]["state"] == "queued"
    ctl.run("resume")
    queue.settled(1)


def test_redis_killed_under_load(queue, start_worker, redis, gitlab, smtp, until):
    worker = start_worker()
    worker.allow("redis_refused")
    push(queue, 60)
    for n in (10, 25):
        until(lambda: redis.client.zcard("stopgap:{licenses}:done") >= n, "some done")
        redis.kill()
        redis.start()
    judge(queue, gitlab, smtp, 60)


def test_redis_frozen_for_longer_than_the_lease(queue, start_worker, redis, gitlab, smtp, until):
    worker = start_worker(STOPGAP_LEASE="1s")
    push(queue, 60)
    until(lambda: redis.client.zcard("stopgap:{licenses}:done") >= 5, "some done")
    redis.freeze()
    until(lambda: worker.lines(event="redis_down"), "the silence noticed", 30)
    redis.thaw()
    judge(queue, gitlab, smtp, 60)


def test_scripts_flushed_and_clients_killed(queue, start_worker, redis, gitlab, smtp, until):
    worker = start_worker()
    push(queue, 60)
    until(lambda: redis.client.zcard("stopgap:{licenses}:done") >= 5, "some done")
    redis.client.script_flush()
    redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    judge(queue, gitlab, smtp, 60)


def test_poison_runs_alone_and_then_no_more(queue, start_worker, until, gitlab):
    c, p = queue.client, "stopgap:{licenses}:"
    queue.push()
    worker = start_worker(STOPGAP_LEASE="1s")
    queue.settled(1)
    job_id, _ = queue.only("done")
    worker.stop()
    # The same job in the hands of three workers that died.
    for losses in (1, 2, 3):
        wid = f"elsewhere:00000000:{losses}:1:nonce"
        c.zrem(p + "done", job_id), c.lrem(p + "pending", 0, job_id), c.lrem(p + "solo", 0, job_id)
        c.hset(p + "job:" + job_id, mapping={"state": "active", "owner": wid})
        c.hdel(p + "job:" + job_id, "s:record", "s:close", "iid")
        if losses < 3:
            c.hset(p + "job:" + job_id, "losses", losses - 1)
        c.lpush(p + "proc:" + wid, job_id)
        c.zadd(p + "workers", {wid: 1})
        if losses == 3:
            start_worker(STOPGAP_LEASE="1s")
            queue.wait_state(job_id, "failed")
            assert queue.job(job_id)["err_class"] == "poison"
            until(lambda: gitlab.issues("[Failed]"), "reported")
        else:
            c.zrem(p + "workers", wid), c.delete(p + "proc:" + wid)
            c.hset(p + "job:" + job_id, "losses", losses)
