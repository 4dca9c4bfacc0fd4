"""Narrow windows: answers that were lost, moments at which a worker leaves or stops, and
rules that an earlier attempt must not undo."""

import json
import signal

import pytest

P = "stopgap:{licenses}:"
ADDRESS = "customer@example.com"


def wid_of(queue, until):
    return until(lambda: queue.client.zrange(P + "workers", 0, -1), "a worker")[0]


def in_hands(queue, wid, job_id="a" * 26, **fields):
    """A job as a claim leaves it whose answer its worker never read."""
    queue.client.hset(P + "job:" + job_id, mapping={
        "v": 1, "state": "active", "owner": wid, "fence": 1, "attempt": 1, "accepted_ms": 1,
        "raw": json.dumps({"ticket_id": 1, "email": ADDRESS, "users": 1,
                           "requested_by": "x"}), **fields})
    queue.client.lpush(P + "proc:" + wid, job_id)
    return job_id


def test_claim_whose_answer_was_lost(queue, worker, smtp, until):
    """The worker lives and beats, so nobody else takes the job back."""
    job_id = in_hands(queue, wid_of(queue, until))
    record = queue.wait_state(job_id, "done")
    assert record["attempt"] == "1" and "losses" not in record
    assert len(smtp.mails_to()) == 1


def test_what_is_in_flight_is_not_handed_back(queue, worker, smtp, until):
    smtp.on("slow@example.com", hold_dot=True)
    queue.push(email="slow@example.com", ticket_id=2)
    until(lambda: smtp.dots, "a mail on its way")
    other = in_hands(queue, wid_of(queue, until))
    queue.wait_state(other, "done")
    smtp.release()
    queue.settled(2)
    assert {r["attempt"] for r in queue.jobs().values()} == {"1"}
    assert len(smtp.mails_to()) == 2


def test_record_that_cannot_be_read_fails(queue, start_worker, gitlab, until):
    worker = start_worker()
    worker.allow("unreadable_record", "follow_up")
    queue.client.hset(P + "job:" + "b" * 26, mapping={
        "v": 1, "state": "queued", "fence": 0, "attempt": 0, "accepted_ms": 1, "raw": "{}",
        "iat_ms": "soon"})
    queue.client.lpush(P + "pending", "b" * 26)
    record = queue.wait_state("b" * 26, "failed")
    assert record["err_class"] == "bug" and "iat_ms" in record["err_text"]
    assert not queue.client.keys(P + "proc:*")
    issue = until(lambda: gitlab.issues("[Failed]"), "the failure issue")[0]
    assert "iat_ms" in issue["description"]
    until(lambda: not queue.client.exists(P + "follow"), "reported once")


def test_cap_counts_also_after_a_retry(queue, start_worker, smtp, gitlab):
    """The first attempt ended before anything was sent: the license still counts."""
    start_worker(STOPGAP_MAX_PER_ADDRESS="1")
    smtp.on(ADDRESS, rcpt="451 4.7.1 Later", times=2)
    for n in range(2):
        queue.push(ticket_id=n + 1)
    jobs = queue.settled(2)
    assert sorted(r["state"] for r in jobs.values()) == ["done", "failed"]
    (failed,) = [r for r in jobs.values() if r["state"] == "failed"]
    assert failed["err_class"] == "limit" and "lic" not in failed
    assert len(smtp.mails_to()) == 1


def test_dies_three_times_before_the_mail_is_poison(queue, start_worker, smtp, until):
    """Reading the request anew is no progress."""
    smtp.on(ADDRESS, rcpt="250 ok", delay_rcpt=60)
    queue.push()
    for n in range(3):
        worker = start_worker(STOPGAP_LEASE="60s")
        until(lambda: len(smtp.commands) and sum(
            c.startswith("RCPT") for c in smtp.commands) > n, "the mail begun")
        worker.kill()
    start_worker(STOPGAP_LEASE="60s")
    job_id, _ = queue.only()
    assert queue.wait_state(job_id, "failed")["err_class"] == "poison"


def test_equal_request_does_not_decide_about_a_mail(queue, start_worker, smtp):
    """Held as ambiguous: only a person's word sends again."""
    start_worker(STOPGAP_ON_AMBIGUOUS="hold")
    smtp.on(ADDRESS, drop="dot_taken", times=1)
    queue.push()
    queue.settled(1)
    first, _ = queue.only("failed")
    queue.push()
    jobs = queue.settled(2)
    assert jobs[first]["state"] == "failed" and jobs[first]["err_class"] == "ambiguous"
    assert len(smtp.mails_to()) == 1


def test_waiting_for_the_server_is_not_ambiguous_again(queue, start_worker, smtp, until):
    """Mails were on their way when their worker died; then the server is away for long."""
    smtp.on("", hold_dot=True)
    first = start_worker(STOPGAP_LEASE="60s")
    for n in range(2):
        queue.push(ticket_id=n + 1, email=f"c{n}@example.com")
    until(lambda: smtp.dots == 2, "mails on their way")
    first.kill()
    smtp.forget("")
    smtp.release()
    smtp.replies["MAIL"] = "530 5.7.0 Authentication required"
    second = start_worker(STOPGAP_LEASE="60s", STOPGAP_CONCURRENCY="1")
    second.allow("lane_closed")
    until(lambda: len(second.lines(event="job", outcome="waits")) >= 12, "waits")
    del smtp.replies["MAIL"]
    jobs = queue.settled(2)
    assert {(r["state"], r["ambiguous"]) for r in jobs.values()} == {("done", "1")}


def test_expired_license_is_never_mailed(queue, start_worker, smtp, ctl, until):
    """Asked for while it was valid, but the server was away until it was not."""
    worker = start_worker()
    queue.push()
    queue.settled(1)
    first, _ = queue.only("done")
    worker.stop()
    ctl.run("resend", first)
    queue.client.hset(P + "job:" + first, mapping={"iat_ms": 1, "exp_ms": 2})
    start_worker()
    record = queue.wait_state(first, "failed")
    assert "--redo sign" in record["err_text"]
    assert len(smtp.mails_to()) == 1


def test_resend_does_not_give_up_for_old_troubles(queue, start_worker, smtp, ctl):
    start_worker(STOPGAP_GIVE_UP_AFTER="1s")
    smtp.on(ADDRESS, rcpt="451 4.7.1 Later", times=1)
    queue.push()
    queue.settled(1)
    first, record = queue.only("done")
    assert "first_error_ms" not in record
    # As an older worker left it.
    queue.client.hset(P + "job:" + first, "first_error_ms", 1)
    smtp.on(ADDRESS, rcpt="451 4.7.1 Later", times=1)
    ctl.run("resend", first)
    queue.settled(1)
    assert queue.job(first)["state"] == "done"
    assert len(smtp.mails_to()) == 2


def test_resend_asked_once_is_done_once(queue, start_worker, smtp, until):
    """Its worker dies after it asked, before the request has ended."""
    worker = start_worker(STOPGAP_LEASE="60s")
    queue.push()
    queue.settled(1)
    first, _ = queue.only("done")
    worker.stop()
    raw = json.dumps({"resend": first, "requested_by": "agent"})
    request = in_hands(queue, "w:00000000:1:1:n", raw=raw)
    queue.client.zadd(P + "workers", {"w:00000000:1:1:n": 1})
    # What that worker did before it died.
    from testenv.scripts import Scripts
    Scripts(queue.redis.path).run("resend", first, "agent", request)
    start_worker(STOPGAP_LEASE="1s")
    queue.settled(2)
    assert queue.job(request)["state"] == "done"
    assert queue.job(request)["dup_of"] == first
    assert queue.job(first)["resends"] == "1"
    assert len(smtp.mails_to()) == 2


def test_one_greylisted_mailbox_is_not_the_server(queue, worker, smtp, until):
    smtp.on(ADDRESS, rcpt="451 4.7.1 Greylisted, come back", times=7)
    queue.push()
    queue.settled(1)
    queue.only("done")
    assert not worker.lines(event="lane_closed")


def take_in_hand(queue, worker, redis, until):
    """TERM with a claim under way that Redis answers later."""
    worker.signal(signal.SIGTSTP)
    worker.wait_for(event="quiet")
    queue.push()
    until(lambda: queue.jobs("queued"), "adopted, not taken")
    redis.freeze()
    worker.signal(signal.SIGCONT)
    worker.wait_for(event="running")
    worker.term()
    worker.wait_for(event="drain")


def test_term_while_a_claim_is_under_way(queue, start_worker, redis, until):
    """The worker hears of what it was given before it leaves, and finishes it."""
    worker = start_worker()
    take_in_hand(queue, worker, redis, until)
    redis.thaw()
    assert worker.wait() == 0
    assert queue.only()[1]["state"] == "done"


def test_claim_that_comes_after_the_drain_deadline(queue, start_worker, redis, until):
    worker = start_worker(STOPGAP_DRAIN_TIMEOUT="100ms")
    take_in_hand(queue, worker, redis, until)
    worker.wait_for(lambda line: "deadline" in line["msg"], event="drain")
    redis.thaw()
    assert worker.wait() == 0
    _, record = queue.only()
    assert (record["state"], record["attempt"]) == ("queued", "0")


def make_failure_issue(queue, gitlab, until, what):
    """A failed job whose issue GitLab is at; "stray": another worker has made one meanwhile."""
    gitlab.fail_next("slow", seconds=600)
    queue.push(users=0)
    failed, _ = queue.settled(1).popitem()
    until(lambda: gitlab.requests("POST", "/issues"), "its creation is under way")
    if what == "stray":
        queue.client.hset(P + "job:" + failed, "report_iid", "4711")
    return failed


def judge_failure_issue(queue, gitlab, failed, what):
    """It counts, or it was closed by its maker."""
    (issue,) = gitlab.issues()
    kept = queue.client.hget(P + "job:" + failed, "report_iid")
    if what == "stray":
        assert kept == "4711"
        assert issue["title"].startswith("[Duplicate]") and issue["state"] == "closed"
        return
    assert kept == str(issue["iid"]) and issue["state"] == "opened"
    assert queue.client.zscore(P + "follow", "report " + failed) is None


@pytest.mark.parametrize("what", ["create", "stray"])
def test_term_while_a_failure_issue_is_made(queue, start_worker, gitlab, until, what):
    """The worker hears what became of it before it leaves, and closes its own if another
    worker has made one meanwhile."""
    worker = start_worker()
    failed = make_failure_issue(queue, gitlab, until, what)
    worker.term()
    worker.wait_for(event="drain")
    gitlab.release()
    assert worker.wait() == 0
    judge_failure_issue(queue, gitlab, failed, what)


@pytest.mark.parametrize("what", ["kept", "stray"])
def test_failure_issue_that_redis_cannot_be_told_of(queue, start_worker, redis, gitlab, until,
                                                    what):
    """Redis hears of it as soon as it is back; if another worker has made one meanwhile,
    as after a freeze, it is closed."""
    worker = start_worker()
    failed = make_failure_issue(queue, gitlab, until, what)
    redis.kill()
    worker.wait_for(event="redis_down")
    gitlab.release()
    worker.wait_for(event="follow_up", outcome="reported")
    worker.term()  # it does not leave before
    redis.start()
    assert worker.wait() == 0
    judge_failure_issue(queue, gitlab, failed, what)


def test_follow_up_that_comes_after_the_drain_deadline(queue, start_worker, redis, smtp, gitlab,
                                                       until):
    """It was asked for in time, but its answer finds GitLab's client gone."""
    worker = start_worker(STOPGAP_DRAIN_TIMEOUT="2s")
    queue.push(users=0)
    queue.settled(1)
    failed, _ = queue.only("failed")
    until(lambda: not queue.client.zcard(P + "follow"), "reported")
    smtp.on(ADDRESS, hold_dot=True)
    queue.push()
    until(lambda: smtp.dots, "a mail on its way")
    s, us = queue.client.time()
    queue.client.zadd(P + "follow", {"report " + failed: s * 1000 + us // 1000 + 1500})
    seen = queue.client.hget(P + "winfo:" + wid_of(queue, until), "beat_ms")
    until(lambda: queue.client.hget(P + "winfo:" + wid_of(queue, until), "beat_ms") > seen,
          "a beat")
    redis.freeze()
    worker.term()
    worker.wait_for(lambda line: "deadline" in line["msg"], event="drain")
    redis.thaw()
    worker.wait()
    worker.check(status=worker.status if worker.status in (0, 1) else 0)
    assert queue.client.zscore(P + "follow", "report " + failed)


def test_connections_cut_again_and_again(queue, start_worker, redis, smtp, gitlab, until):
    """Any answer may be the one that is lost."""
    smtp.on("", delay_dot=0.02)
    worker = start_worker(STOPGAP_LEASE="1s")
    for n in range(100):
        queue.push(ticket_id=n + 1, email=f"c{n}@example.com", requested_by=f"agent{n}")

    def cut():
        redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        return len(worker.lines(event="redis_down")) >= 8
    until(cut, "cut off eight times", 60)
    jobs = queue.settled(100, deadline=60)
    assert {r["state"] for r in jobs.values()} == {"done"}
    assert not any("losses" in r for r in jobs.values())
    assert len(gitlab.issues("[Success]")) == len(smtp.mails_to()) == 100
    assert not queue.client.keys(P + "proc:*")
