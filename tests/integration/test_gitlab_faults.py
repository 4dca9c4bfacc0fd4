"""What GitLab can do to a job: never a second [Success] issue, never a second mail."""

import pytest


def ends_well(queue, gitlab, smtp):
    queue.settled(1)
    job_id, record = queue.only("done")
    assert len(smtp.mails_to()) == 1
    (issue,) = gitlab.issues("[Success]")
    assert issue["state"] == "closed" and str(issue["iid"]) == record["iid"]
    return job_id, record


@pytest.mark.parametrize("fault", [
    "lost_after", "error_500_after", "gateway_502_after", "timeout_504_after", "malformed",
    "no_iid", "empty", "cut"])
def test_created_but_not_told(queue, worker, gitlab, smtp, fault):
    gitlab.fail_next(fault)
    queue.push()
    ends_well(queue, gitlab, smtp)
    assert len(gitlab.issues()) == 1


@pytest.mark.parametrize("fault", [
    "lost_before", "error_500", "gateway_502", "gateway_503", "lock_409"])
def test_not_created_and_not_told(queue, worker, gitlab, smtp, fault):
    gitlab.fail_next(fault, times=2)
    queue.push()
    ends_well(queue, gitlab, smtp)
    assert len(gitlab.issues()) == 1


@pytest.mark.parametrize("fault", ["throttle_429"])
def test_rate_limit_is_obeyed_and_is_no_attempt(queue, worker, gitlab, smtp, fault):
    gitlab.fail_next(fault, retry_after=1)
    queue.push()
    _, record = ends_well(queue, gitlab, smtp)
    assert record["attempt"] == "1"


@pytest.mark.parametrize("fault", ["unauthorized_401", "forbidden_403"])
def test_our_token(queue, start_worker, gitlab, smtp, fault):
    worker = start_worker()
    worker.allow("lane_closed")
    gitlab.fail_next(fault, times=2)
    queue.push()
    _, record = ends_well(queue, gitlab, smtp)
    worker.exactly(1, event="lane_closed", lane="gitlab")
    worker.exactly(1, event="lane_opened", lane="gitlab")


@pytest.mark.parametrize("fault", ["spam_400", "unprocessable_422", "captcha_409"])
def test_refused_for_good_then_requeued(queue, worker, gitlab, smtp, ctl, until, fault):
    gitlab.fail_next(fault)
    queue.push()
    queue.settled(1)
    job_id, record = queue.only("failed")
    assert (record["err_class"], record["err_step"]) == ("permanent", "record")
    failed = until(lambda: gitlab.issues("[Failed]"), "the failure issue")[0]
    ctl.run("requeue", job_id)
    queue.wait_state(job_id, "done")
    assert len(smtp.mails_to()) == 1  # the mail was out already
    (success,) = gitlab.issues("[Success]")
    closed = until(lambda: (i := gitlab.issues("[Failed]")[0])["state"] == "closed" and i,
                   "the failure issue closed")
    assert failed["iid"] == closed["iid"]
    assert any(success["web_url"] in n["body"] for n in closed["notes"])


@pytest.mark.parametrize("fault", ["lost_after", "error_500", "gateway_502", "not_closed", "lost_before"])
def test_closing_is_repeated(queue, worker, gitlab, smtp, fault):
    gitlab.fail_next(fault, times=2, method="PUT", path="")
    queue.push()
    ends_well(queue, gitlab, smtp)


def test_public_project_is_refused(queue, start_worker, gitlab, smtp, until):
    worker = start_worker()
    worker.allow("lane_closed")
    gitlab.project().visibility = "public"
    queue.push()
    until(lambda: worker.lines(event="job", outcome="waits"), "the job waits")
    assert not gitlab.issues()
    gitlab.project().visibility = "private"
    ends_well(queue, gitlab, smtp)


def test_gitlab_down_does_not_hold_the_mail(queue, worker, gitlab, smtp, until):
    gitlab.down()
    queue.push()
    until(smtp.mails_to, "the mail")
    gitlab.up()
    ends_well(queue, gitlab, smtp)


def test_report_is_written_when_gitlab_is_back(queue, worker, gitlab, smtp, until):
    gitlab.down()
    queue.push(users=0)
    queue.settled(1)
    gitlab.up()
    until(lambda: gitlab.issues("[Failed]"), "the failure issue")


@pytest.mark.parametrize("fault", ["lost_after", "error_500_after", "lost_before"])
def test_one_report_only(queue, worker, gitlab, until, fault):
    gitlab.fail_next(fault)
    queue.push(users=0)
    queue.settled(1)
    until(lambda: queue.only()[1].get("report_iid"), "the report noted")
    assert len(gitlab.issues("[Failed]")) == 1


def test_failing_again_updates_the_same_issue(queue, worker, gitlab, smtp, ctl, until):
    smtp.on("customer@example.com", rcpt="550 5.1.1 first words", times=1)
    smtp.on("customer@example.com", rcpt="550 5.1.1 other words")
    queue.push()
    queue.settled(1)
    job_id, _ = queue.only("failed")
    until(lambda: queue.job(job_id).get("report_iid"), "the report")
    ctl.run("requeue", job_id)
    until(lambda: "other words" in gitlab.issues("[Failed]")[0]["description"], "the update")
    assert len(gitlab.issues("[Failed]")) == 1


def test_another_jobs_success_closes_the_tickets_failures(queue, worker, smtp, gitlab, until):
    """A correction of a ticket that failed: both failure issues are closed, with the link."""
    queue.push(users=0)
    smtp.on("wrong@example.com", rcpt="550 5.1.1 no")
    queue.push(email="wrong@example.com")
    queue.settled(2)
    until(lambda: len(gitlab.issues("[Failed]")) == 2, "both failure issues")
    queue.push()
    queue.settled(3)
    (success,) = gitlab.issues("[Success]")
    until(lambda: {i["state"] for i in gitlab.issues("[Failed]")} == {"closed"}, "both closed")
    assert all(success["web_url"] in i["notes"][0]["body"] for i in gitlab.issues("[Failed]"))


@pytest.mark.parametrize("fault, event", [
    ("not_confidential", "not_confidential"), ("labels_dropped", "labels_missing")])
def test_made_with_less_than_asked_for(queue, start_worker, gitlab, smtp, fault, event):
    """The issue is there: it is kept, never made again, and somebody is told, once."""
    worker = start_worker()
    worker.allow("not_confidential")
    gitlab.fail_next(fault, times=2)
    queue.push()
    queue.push(ticket_id=2)
    queue.settled(2)
    assert len(queue.jobs("done")) == len(gitlab.issues()) == 2
    worker.exactly(1, event=event)


def test_record_deleted_before_it_is_closed(queue, worker, gitlab, smtp, ctl, until):
    """The mail is out and stays so; an operator can have the record made once more."""
    gitlab.fail_next("slow", method="PUT", path="", seconds=60)
    queue.push()
    until(lambda: gitlab.requests("PUT"), "its closing")
    gitlab.delete(1)
    gitlab.release()
    queue.settled(1)
    job_id, record = queue.only("failed")
    assert (record["err_class"], record["err_step"], record["err_code"]) == ("permanent", "close", "404")
    until(lambda: gitlab.issues("[Failed]"), "the failure issue")
    ctl.run("requeue", job_id, "--redo", "record")
    queue.wait_state(job_id, "done")
    (issue,) = gitlab.issues("[Success]")
    assert str(issue["iid"]) == queue.job(job_id)["iid"]
    assert len(smtp.mails_to()) == 1


def test_failure_issue_deleted_while_the_job_is_failed(queue, worker, gitlab, smtp, ctl, until):
    """A failed job has an open one, always."""
    smtp.on("customer@example.com", rcpt="550 5.1.1 first words", times=1)
    smtp.on("customer@example.com", rcpt="550 5.1.1 other words", times=1)
    queue.push()
    queue.settled(1)
    job_id, _ = queue.only("failed")
    until(lambda: queue.job(job_id).get("report_iid"), "the report")
    gitlab.delete(1)
    ctl.run("requeue", job_id)
    until(lambda: gitlab.issues("[Failed]", "other words"), "another one")
    until(lambda: queue.job(job_id).get("report_iid") == "2", "noted")
    ctl.run("requeue", job_id)
    queue.wait_state(job_id, "done")
    until(lambda: gitlab.issues("[Failed]")[0]["state"] == "closed", "closed")
    assert len(gitlab.issues("[Failed]")) == 1
