"""With Zendesk credentials set, validate reads the ticket: what does not agree is refused,
an operator may let it through, and a Zendesk that is out of reach stops no license."""

import pytest
from testenv.queue import PREFIX
from testenv.zendesk import Zendesk

BY_HAND = "The ticket could not be read"


@pytest.fixture
def desk_env(env, zendesk):
    env.update(STOPGAP_ZENDESK_URL=zendesk.url, STOPGAP_ZENDESK_USER=zendesk.AGENT,
               STOPGAP_ZENDESK_TOKEN=zendesk.TOKEN, STOPGAP_ZENDESK_WAIT="600ms",
               STOPGAP_ZENDESK_SETTLE="200ms")
    return env


@pytest.fixture
def worker(desk_env, start_worker):
    return start_worker()


def reads(zendesk, ticket):
    return [r for r in zendesk.requests("GET", f"/tickets/{ticket}") if "comments" not in r.path]


@pytest.mark.parametrize("email", [Zendesk.CUSTOMER, "customer@EXAMPLE.com",
                                   "Customer@example.com"])
def test_a_ticket_that_agrees(worker, queue, zendesk, gitlab, email):
    ticket = zendesk.mail_in()
    queue.push(ticket_id=ticket, email=email)
    (job,) = queue.settled(1).values()
    assert job["state"] == "done" and job["attempt"] == "1" and "warning" not in job
    assert len(reads(zendesk, ticket)) == 1
    assert BY_HAND not in gitlab.issues("[Success]")[0]["description"]


def closed(zendesk, ticket):
    with zendesk.state.lock:
        zendesk.state.tickets[ticket]["status"] = "closed"


def somebody_elses(zendesk, ticket):
    with zendesk.state.lock:
        zendesk.state.users[zendesk.state.tickets[ticket]["requester_id"]]["email"] = \
            "other@example.com"


def without_address(zendesk, ticket):
    with zendesk.state.lock:
        zendesk.state.users[zendesk.state.tickets[ticket]["requester_id"]]["email"] = None


def not_there(zendesk, ticket):
    with zendesk.state.lock:
        del zendesk.state.tickets[ticket]


REFUSALS = {closed: "is closed", somebody_elses: "which is o***@example.com",
            without_address: "has no address", not_there: "does not show ticket"}


@pytest.mark.parametrize("fault", REFUSALS)
def test_one_that_does_not(worker, queue, zendesk, smtp, gitlab, ctl, until, fault):
    ticket = zendesk.mail_in()
    fault(zendesk, ticket)
    queue.push(ticket_id=ticket)
    queue.settled(1)
    job_id, job = queue.only("failed")
    assert (job["err_class"], job["err_step"], job["attempt"]) == ("invalid", "validate", "1")
    assert REFUSALS[fault] in job["err_text"] and not smtp.mails_to()
    assert "other@example.com" not in worker.text()
    until(lambda: gitlab.issues("[Failed]", REFUSALS[fault]), "the failure issue")
    before = len(reads(zendesk, ticket))
    ctl.run("requeue", job_id)  # an operator's word
    queue.wait_state(job_id, "done")
    assert len(smtp.mails_to()) == 1 and len(reads(zendesk, ticket)) == before
    assert queue.job(job_id)["released"] == "1"


def test_mended_and_asked_for_again(worker, queue, zendesk, until):
    """It is checked anew: the refusal released nothing."""
    ticket = zendesk.mail_in()
    closed(zendesk, ticket)
    queue.push(ticket_id=ticket)
    queue.settled(1)
    job_id, _ = queue.only("failed")
    with zendesk.state.lock:
        zendesk.state.tickets[ticket]["status"] = "open"
    queue.push(ticket_id=ticket)
    queue.wait_state(job_id, "done")
    assert len(reads(zendesk, ticket)) == 2 and "released" not in queue.job(job_id)


def test_what_cannot_be_read_is_not_released(worker, queue, ctl, until):
    queue.push(users="many")
    queue.settled(1)
    job_id, _ = queue.only("failed")
    ctl.run("requeue", job_id)
    until(lambda: queue.job(job_id)["state"] == "failed" and
          queue.job(job_id).get("requeues") == "1", "failed again")
    assert "released" not in queue.job(job_id)


@pytest.mark.parametrize("fault", [
    {"kind": "answer", "status": 503, "body": "down"}, {"kind": "lost_before"},
    {"kind": "answer", "status": 401, "body": {"error": "Couldn't authenticate you"}},
    {"kind": "answer", "status": 429, "body": "", "headers": {"Retry-After": "3000"}}])
def test_out_of_reach_stops_no_license(worker, queue, zendesk, gitlab, smtp, fault):
    """It is waited for, without an attempt; then the others go on at once."""
    worker.allow("lane_closed")
    zendesk.fail_next(times=10**6, **fault)
    queue.push()
    (job,) = queue.settled(1).values()
    assert job["state"] == "done" and job["attempt"] == "1"
    issue = gitlab.issues("[Success]")[0]["description"]
    assert BY_HAND in issue
    worker.wait_for(event="step", step="validate", outcome="waits")
    before = len(worker.lines(event="step", step="validate", outcome="waits"))
    for n in range(5):
        queue.push(ticket_id=100 + n, email=f"c{n}@example.com", requested_by=f"agent{n}")
    jobs = queue.settled(6)
    assert {r["state"] for r in jobs.values()} == {"done"}
    assert len(worker.lines(event="step", step="validate", outcome="waits")) == before
    assert all(BY_HAND in i["description"] for i in gitlab.issues("[Success]"))
    assert len(smtp.mails_to()) == 6


def test_back_in_time(desk_env, start_worker, queue, zendesk, gitlab):
    start_worker(STOPGAP_ZENDESK_WAIT="1h")
    zendesk.fail_next("answer", method="GET", status=503)
    ticket = zendesk.mail_in()
    queue.push(ticket_id=ticket)
    (job,) = queue.settled(1).values()
    assert (job["state"], job["attempt"]) == ("done", "1") and "warning" not in job
    assert BY_HAND not in gitlab.issues("[Success]")[0]["description"]


def test_no_right_to_one_ticket(worker, queue, zendesk, gitlab):
    """No use in waiting; and it says nothing of other tickets."""
    zendesk.fail_next("answer", method="GET", status=403, body={"error": "Forbidden"})
    ticket = zendesk.mail_in()
    queue.push(ticket_id=ticket)
    (job,) = queue.settled(1).values()
    assert job["state"] == "done" and BY_HAND in gitlab.issues("[Success]")[0]["description"]
    assert not worker.lines(event="lane_closed")


def test_killed_while_it_reads(desk_env, start_worker, queue, zendesk, smtp, until):
    first = start_worker()
    zendesk.fail_next("never", method="GET")
    ticket = zendesk.mail_in()
    queue.push(ticket_id=ticket)
    until(lambda: reads(zendesk, ticket), "it asks")
    first.kill()
    start_worker()
    queue.settled(1)
    assert len(smtp.mails_to()) == 1 and len(reads(zendesk, ticket)) == 2


def test_leaving_while_it_reads(desk_env, start_worker, queue, zendesk, smtp, until):
    """Past the deadline the job is given back, unchecked and unmailed."""
    worker = start_worker(STOPGAP_DRAIN_TIMEOUT="100ms")
    zendesk.fail_next("never", method="GET", times=2)
    ticket = zendesk.mail_in()
    queue.push(ticket_id=ticket)
    until(lambda: reads(zendesk, ticket), "it asks")
    worker.term()
    assert worker.wait() == 0
    job_id, job = queue.only()
    assert job["state"] == "queued" and "s:validate" not in job and not smtp.mails_to()


def test_without_credentials_nobody_is_asked(desk_env, start_worker, queue, zendesk):
    start_worker(STOPGAP_ZENDESK_USER=None, STOPGAP_ZENDESK_TOKEN=None)
    queue.push(ticket_url=None)
    queue.settled(1)
    assert not zendesk.requests() and not queue.client.keys(PREFIX + "tell*")
