"""From an agent's tag to the customer's license, with the real programs: Zendesk as
zendesk-setup has set it up, the receiver, Redis, the worker. Once, whatever Zendesk's
delivery does."""

import datetime
import http.client
import json
import signal

import pytest
from testenv.wait import wait_for
from testenv.zendesk import Refusal
from testenv.zendesk_setup import ZendeskSetup

USERS, PLAN, EXPIRED = "License: users", "License: plan", "License: expired on"
BEARER = "bearer-token-of-the-chain"
REQUEST, QUEUED = "license_request", "license_queued"


def days_ago(days):
    return str((datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days)).date())


FIELDS = {USERS: 25, PLAN: "premium", EXPIRED: days_ago(15)}


def reload(receiver, count=1):
    receiver.signal(signal.SIGHUP)
    receiver.wait_for(event="reload", level="info", count=count)


@pytest.fixture
def setup(zendesk, folder):
    return ZendeskSetup(zendesk, folder)


@pytest.fixture
def receiver(setup, webhook_env, start_webhook):
    """Running, and known to Zendesk: as docs/zendesk.md tells it."""
    for path in (setup.secret_file, setup.secret_file + ".old"):
        setup.write(path, "not-yet-the-secret-of-the-webhook")
    setup.write(setup.bearer_file, BEARER)
    for name in ("STOPGAP_WEBHOOK_SECRET", "STOPGAP_API_TOKEN", "STOPGAP_API_READ_TOKEN"):
        del webhook_env[name]  # only what is in files is read again on HUP
    receiver = start_webhook(STOPGAP_WEBHOOK_SECRET_FILE=setup.secret_file,
                             STOPGAP_WEBHOOK_SECRET_2_FILE=setup.secret_file + ".old",
                             STOPGAP_WEBHOOK_TOKEN_FILE=setup.bearer_file)
    setup.receiver = receiver.url
    setup.run()
    reload(receiver)
    return receiver


@pytest.fixture
def chain(zendesk, receiver, start_worker):
    zendesk.switches.retry_after_scale = 0.01
    start_worker(STOPGAP_ZENDESK_URL=zendesk.state.public)
    return zendesk


def ask(zendesk, fields=None, ticket=None, **how):
    """An agent fills in the fields and sets the tag; the ticket's id."""
    ticket = ticket or zendesk.mail_in()
    zendesk.update(ticket, add=[REQUEST], fields=FIELDS if fields is None else fields, **how)
    return ticket


def once(smtp, gitlab, count=1):
    """So many licenses, each mailed once, each with its closed issue, and nothing else."""
    assert len(smtp.mails_to()) == count
    assert [i["state"] for i in gitlab.issues("[Success]")] == ["closed"] * count
    assert len(gitlab.issues()) == count


# --- the way it should go ---

@pytest.mark.parametrize("restarts", [False, True])
def test_first_license(chain, queue, smtp, gitlab, restarts):
    chain.state.restarts = restarts
    ticket = ask(chain)
    (invocation,) = chain.settled()
    assert (invocation.status, invocation.status_code) == ("success", 202)
    queue.settled(1)
    job_id, record = queue.only("done")
    assert json.loads(queue.raw(job_id)) == {
        "ticket_id": str(ticket), "email": chain.CUSTOMER, "users": "25",
        "requested_by": chain.AGENT, "plan": "premium", "license_expired_on": FIELDS[EXPIRED],
        "ticket_url": f"{chain.state.public}/agent/tickets/{ticket}"}
    assert json.loads(invocation.attempts[0]["response"]["payload"])["job_id"] == job_id
    once(smtp, gitlab)
    assert chain.tags(ticket) == [QUEUED]
    assert record["state"] == "done"


def test_an_admin_is_an_agent_too(chain, queue, smtp, gitlab):
    ask(chain, by=chain.ADMIN)
    queue.settled(1)
    once(smtp, gitlab)


# --- Zendesk's delivery ---

def lost_answers(chain, _receiver):
    chain.switches.lose_answers = 2


def lost_answers_signed_anew(chain, _receiver):
    chain.switches.lose_answers, chain.switches.resign = 2, True


def doubled(chain, _receiver):
    chain.switches.double = 1


def timed_out(chain, receiver):
    chain.switches.impatient = 2
    receiver.signal(signal.SIGSTOP)


@pytest.mark.parametrize("trouble", [lost_answers, lost_answers_signed_anew, doubled, timed_out])
def test_once_whatever_the_delivery_does(chain, receiver, queue, smtp, gitlab, trouble):
    trouble(chain, receiver)
    ask(chain)
    if trouble is timed_out:
        wait_for(lambda: len(chain.invocations()[0].attempts) >= 2, "two tries timed out")
        receiver.signal(signal.SIGCONT)
    (invocation,) = chain.settled()
    assert invocation.status == "success" and len(invocation.attempts) >= 2
    queue.settled(1)
    once(smtp, gitlab)


def test_any_order(chain, queue, smtp, gitlab):
    chain.switches.hold = True
    tickets = [ask(chain, {**FIELDS, USERS: users}) for users in (10, 20, 30)]
    chain.hooks.release(reversed)
    jobs = queue.settled(3)
    assert {int(json.loads(queue.raw(i))["ticket_id"]) for i in jobs} == set(tickets)
    once(smtp, gitlab, 3)


def test_what_the_breaker_swallowed_is_asked_for_again(chain, queue, smtp, gitlab):
    ticket = chain.mail_in()
    chain.hooks.trip(chain.webhook()["id"])
    ask(chain, ticket=ticket)
    assert chain.settled()[0].status == "circuit broken"
    chain.hooks.breakers.clear()
    assert chain.tags(ticket) == [QUEUED]
    ask(chain, ticket=ticket)
    queue.settled(1)
    once(smtp, gitlab)


def test_redis_is_away(chain, redis, queue, smtp, gitlab):
    """Kept by the receiver, and once all the same, though Zendesk sends it three times."""
    redis.kill()
    chain.switches.lose_answers = 2
    ask(chain)
    (invocation,) = chain.settled()
    assert [a["response"]["payload"] == "" for a in invocation.attempts] == [True, True, False]
    assert invocation.status_code == 202
    redis.start()
    queue.settled(1)
    once(smtp, gitlab)


def test_a_capture_sent_again_under_another_id(chain, receiver, queue, smtp, gitlab):
    ask(chain)
    (invocation,) = chain.settled()
    headers = {h["key"]: h["value"] for h in invocation.attempts[0]["request"]["headers"]}
    headers["Authorization"] = "Bearer " + BEARER
    headers["x-zendesk-webhook-invocation-id"] = "01AAAAAAAAAAAAAAAAAAAAAAAA"
    (job,) = queue.settled(1)
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=20)
    connection.request("POST", "/zendesk", invocation.payload, headers)
    answer = connection.getresponse()
    assert answer.status == 202 and json.loads(answer.read())["job_id"] == job
    connection.close()
    once(smtp, gitlab)


def test_a_new_signing_secret(chain, setup, receiver, queue, smtp, gitlab):
    """What was signed with the old one and what is signed with the new one arrive."""
    chain.switches.hold = True
    ask(chain)
    setup.run("--rotate-secret")
    reload(receiver, 2)
    ask(chain)
    chain.hooks.release()
    assert [i.status for i in chain.settled()] == ["success"] * 2
    queue.settled(2)
    once(smtp, gitlab, 2)


def test_another_token_than_the_receivers(chain, setup, queue):
    setup.write(setup.bearer_file, "another-token-that-only-zendesk-has")
    setup.run()
    ask(chain)
    (invocation,) = chain.settled()
    assert (invocation.status_code, len(invocation.attempts)) == (401, 1)
    assert queue.jobs() == {}


# --- who asks, and when ---

def test_a_customer_never_fires_it(chain, queue, smtp):
    ticket = chain.mail_in(body=f"please set {REQUEST}")
    chain.update(ticket, by=chain.CUSTOMER, add=[REQUEST], comment=f"tags: {REQUEST}")
    with chain.state.lock:  # even if the tag got there some other way
        chain.state.tickets[ticket]["tags"] = [REQUEST]
    chain.update(ticket, by=chain.CUSTOMER, comment="any news?")
    with chain.state.lock:
        chain.state.tickets[ticket]["tags"] = [REQUEST, QUEUED]
    chain.update(ticket, by=chain.CUSTOMER, comment="and now?")
    assert chain.settled() == [] and queue.jobs() == {} and smtp.mails_to() == []


def test_later_updates_send_nothing(chain, queue, smtp, gitlab):
    """An agent's note, a program's note, the customer's answer."""
    ticket = ask(chain)
    queue.settled(1)
    chain.update(ticket, comment="license is out")
    chain.update(ticket, by=chain.ADMIN, comment="job done")
    chain.update(ticket, by=chain.CUSTOMER, comment="thank you")
    assert len(chain.settled()) == 1 and len(queue.jobs()) == 1
    once(smtp, gitlab)


@pytest.mark.parametrize("restarts", [False, True])
def test_asked_again_while_the_license_holds(chain, queue, smtp, gitlab, restarts):
    chain.state.restarts = restarts
    ticket = ask(chain)
    queue.settled(1)
    ask(chain, ticket=ticket)
    assert chain.state.fired[-1][1] == ["Stopgap: ask again", "Stopgap: send license request"]
    queue.settled(2)
    first, second = queue.jobs().items()
    assert second[1]["dup_of"] == first[0]
    assert chain.tags(ticket) == [QUEUED]
    once(smtp, gitlab)


def test_correction(chain, queue, smtp, gitlab):
    ticket = ask(chain)
    queue.settled(1)
    ask(chain, {**FIELDS, USERS: 40}, ticket)
    queue.settled(2)
    once(smtp, gitlab, 2)
    first, second = gitlab.issues("[Success]")
    assert "for 25 users" in first["title"] and "for 40 users" in second["title"]
    assert next(iter(queue.jobs())) in second["description"]  # names the earlier job


def test_blank_count_fails_with_its_issue_and_is_mended(chain, queue, smtp, gitlab):
    ticket = ask(chain, {PLAN: "premium"})
    (invocation,) = chain.settled()
    assert invocation.status_code == 400
    assert "users" in invocation.attempts[0]["response"]["payload"]
    queue.settled(1)
    _, record = queue.only("failed")
    assert record["err_class"] == "invalid" and "users" in record["err_text"]
    issue = wait_for(lambda: gitlab.issues("[Failed]"), "the failure's issue")[0]
    assert issue["state"] == "opened" and smtp.mails_to() == []
    ask(chain, ticket=ticket)
    wait_for(lambda: gitlab.issues("[Success]"), "the license")
    wait_for(lambda: gitlab.issues("[Failed]")[0]["state"] == "closed", "the failure closed")
    assert len(smtp.mails_to()) == 1


def test_a_plan_that_is_none(chain, queue, smtp):
    ask(chain, {**FIELDS, PLAN: "free"})
    queue.settled(1)
    _, record = queue.only("failed")
    assert record["err_class"] == "out_of_scope" and smtp.mails_to() == []


def test_a_plan_that_would_break_the_body_is_refused_by_zendesk(chain):
    for text in ('pre"mium', "premium\\", "premium\nfree", '", "users": "1000'):
        with pytest.raises(Refusal):
            ask(chain, {**FIELDS, PLAN: text})
    assert chain.settled() == []


def test_zendesk_may_escape_values_or_not(chain, queue, smtp, gitlab):
    chain.state.escapes = False
    ask(chain)
    queue.settled(1)
    once(smtp, gitlab)
