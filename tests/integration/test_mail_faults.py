"""What the mail server can do to a job."""

import pytest

ADDRESS = "customer@example.com"


def test_refused_mailbox_fails_at_once(queue, worker, smtp, gitlab, until):
    smtp.on(ADDRESS, rcpt="550 5.1.1 No such user here")
    queue.push()
    queue.settled(1)
    job_id, record = queue.only("failed")
    assert (record["err_class"], record["err_code"]) == ("permanent", "550")
    assert record["attempt"] == "1"
    issue = until(lambda: gitlab.issues("[Failed]"), "the failure issue")[0]
    assert issue["title"] == f"[Failed] - Could not create a license under {ADDRESS} for 25 users"
    assert (issue["state"], issue["confidential"]) == ("opened", True)
    assert "550 5.1.1 No such user here" in issue["description"]
    assert f"stopgapctl requeue {job_id}" in issue["description"]
    assert smtp.mails_to() == []
    assert len(smtp.refused) == 1


def test_later_is_tried_again(queue, worker, smtp, gitlab):
    smtp.on(ADDRESS, rcpt="451 4.7.1 Greylisted, come back", times=2)
    queue.push()
    queue.settled(1)
    _, record = queue.only("done")
    assert record["attempt"] == "3"
    assert len(smtp.mails_to()) == 1
    assert not gitlab.issues("[Failed]")


@pytest.mark.parametrize("where", ["rcpt", "data", "content", "dot_lost"])
def test_break_is_tried_again(queue, worker, smtp, where):
    smtp.on(ADDRESS, drop=where, times=1)
    queue.push()
    queue.settled(1)
    queue.only("done")
    assert len(smtp.mails_to()) == 1


def test_lost_answer_is_ambiguous_and_sent_again_byte_for_byte(queue, worker, smtp):
    smtp.on(ADDRESS, drop="dot_taken", times=1)
    queue.push()
    queue.settled(1)
    job_id, record = queue.only("done")
    first, second = smtp.mails_to()
    assert first.data == second.data
    assert record["ambiguous"] == "1"
    worker.exactly(1, event="ambiguous", job=job_id)


def test_ambiguous_too_often_fails(queue, worker, smtp, gitlab, until):
    smtp.on(ADDRESS, drop="dot_taken")
    queue.push()
    queue.settled(1)
    job_id, record = queue.only("failed")
    assert record["err_class"] == "ambiguous"
    assert len(smtp.mails_to()) == 3  # the first, and two again
    issue = until(lambda: gitlab.issues("[Failed]"), "the failure issue")[0]
    assert "--mail-arrived" in issue["description"]


def test_hold_sends_once_until_told(queue, start_worker, smtp, ctl):
    start_worker(STOPGAP_ON_AMBIGUOUS="hold")
    smtp.on(ADDRESS, drop="dot_taken", times=1)
    queue.push()
    queue.settled(1)
    job_id, record = queue.only("failed")
    assert record["err_class"] == "ambiguous"
    assert len(smtp.mails_to()) == 1
    assert "--mail-arrived" in ctl.run("requeue", job_id, status=1).err
    ctl.run("requeue", job_id, "--mail-arrived")
    queue.wait_state(job_id, "done")
    assert len(smtp.mails_to()) == 1


def test_hold_and_redo(queue, start_worker, smtp, ctl):
    start_worker(STOPGAP_ON_AMBIGUOUS="hold")
    smtp.on(ADDRESS, drop="dot_taken", times=1)
    queue.push()
    queue.settled(1)
    job_id, _ = queue.only("failed")
    ctl.run("requeue", job_id, "--redo", "email")
    queue.wait_state(job_id, "done")
    first, second = smtp.mails_to()
    assert first.data != second.data  # a new Message-ID: filters drop repeats


def test_our_fault_pauses_the_lane_not_the_jobs(queue, start_worker, smtp, until):
    worker = start_worker()
    worker.allow("lane_closed")
    smtp.replies["MAIL"] = "530 5.7.0 Authentication required"
    for n in range(5):
        queue.push(ticket_id=n + 1, email=f"c{n}@example.com")
    until(lambda: len(worker.lines(event="job", outcome="waits")) >= 8, "jobs that wait")
    del smtp.replies["MAIL"]
    jobs = queue.settled(5)
    assert {r["state"] for r in jobs.values()} == {"done"}
    assert {r["attempt"] for r in jobs.values()} == {"1"}  # waiting is no attempt
    worker.exactly(1, event="lane_closed")
    worker.exactly(1, event="lane_opened")


def test_server_down_for_a_while(queue, worker, smtp, until):
    smtp.down()
    queue.push()
    until(lambda: worker.lines(event="job", outcome="retry"), "a retry")
    smtp.up()
    queue.settled(1)
    queue.only("done")


def test_gives_up_in_the_end(queue, start_worker, smtp, gitlab, until):
    start_worker(STOPGAP_GIVE_UP_AFTER="1s")
    smtp.down()
    queue.push()
    queue.settled(1)
    _, record = queue.only("failed")
    assert record["err_class"] == "transient" and "gave up" in record["err_text"]
    until(lambda: gitlab.issues("[Failed]"), "the failure issue")


def test_late_is_said_once_and_closed(queue, start_worker, smtp, gitlab, until):
    start_worker(STOPGAP_LATE_AFTER="300ms")
    smtp.on(ADDRESS, rcpt="451 4.3.0 Not now")
    queue.push()
    issue = until(lambda: gitlab.issues("[Failed]"), "the late issue")[0]
    assert "still" in issue["description"].lower()
    smtp.forget(ADDRESS)
    queue.settled(1)
    queue.only("done")
    until(lambda: gitlab.issue(title="[Failed]")["state"] == "closed", "the late issue closed")
    assert len(gitlab.issues("[Failed]")) == 1


@pytest.mark.parametrize("words,mails", [(["--mail-arrived"], 1), (["--redo", "email"], 2)])
def test_hold_when_the_worker_died_in_the_gap(queue, start_worker, smtp, gitlab, ctl, until,
                                              words, mails):
    """Nobody knows whether the mail left: the job is held, with its issue, until one
    command says how to go on; the issue is closed then."""
    smtp.on(ADDRESS, hold_dot=True)
    first = start_worker(STOPGAP_ON_AMBIGUOUS="hold")
    queue.push()
    until(lambda: smtp.dots, "a mail on its way")
    first.kill()
    smtp.forget(ADDRESS)
    smtp.release()
    start_worker(STOPGAP_ON_AMBIGUOUS="hold")
    queue.settled(1)
    job_id, record = queue.only("failed")
    assert (record["err_class"], record["ambiguous"]) == ("ambiguous", "1")
    issue = until(lambda: gitlab.issues("[Failed]"), "the failure issue")[0]
    assert issue["state"] == "opened" and "--redo email" in issue["description"]
    assert "--mail-arrived" in ctl.run("requeue", job_id, status=1).err
    assert len(smtp.mails_to()) == 1
    ctl.run("requeue", job_id, *words)
    queue.wait_state(job_id, "done")
    assert len(smtp.mails_to()) == mails
    until(lambda: gitlab.issues("[Failed]")[0]["state"] == "closed", "its issue is closed")
    assert len(gitlab.issues("[Success]")) == 1
