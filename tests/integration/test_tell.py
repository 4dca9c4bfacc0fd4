"""What people are told: the Slack message, the note and the tag on the ticket, by the real
worker: once, inert, and never in the way of mail and issue."""

import re

import pytest
from testenv.proxy import Proxy
from testenv.queue import PREFIX
from testenv.slack import shown
from testenv.zendesk import Zendesk

HOUR_MS = 3600000


@pytest.fixture
def told_env(env, zendesk, slack):
    env.update(STOPGAP_SLACK_WEBHOOK_URL=slack.url, STOPGAP_ZENDESK_URL=zendesk.url,
               STOPGAP_ZENDESK_USER=zendesk.AGENT, STOPGAP_ZENDESK_TOKEN=zendesk.TOKEN,
               STOPGAP_ZENDESK_SETTLE="200ms", STOPGAP_ZENDESK_WAIT="300ms",
               STOPGAP_MAX_PER_ADDRESS="0")
    return env


@pytest.fixture
def ask(queue, zendesk):
    """ask(): a request for a ticket of the customer's; the ticket's id."""
    def push(**fields):
        ticket = fields.pop("ticket_id", None) or zendesk.mail_in()
        queue.push(ticket_id=ticket, **{"email": zendesk.CUSTOMER, **fields})
        return ticket
    return push


def stat(queue, name):
    return int(queue.client.hget(PREFIX + "stat", name) or 0)


def test_done(told_env, worker, queue, zendesk, slack, gitlab, ask, quiet):
    ticket = ask(requested_by="sam")
    jobs = queue.settled(1)
    quiet()
    (job_id, job), (issue,) = next(iter(jobs.items())), gitlab.issues("[Success]")
    (message,), (note,) = slack.messages, zendesk.notes(ticket)
    words, links, mentions = shown(message)
    assert "Emergency license sent" in words and f"ticket {ticket}" in words
    assert "25 users" in words and "`c***@example.com`" in words and "`sam`" in words
    assert zendesk.CUSTOMER not in message and links[-1] == issue["web_url"] and not mentions
    assert re.search(r"sends the real license by then, \w+, \d+ \w+ 20\d\d", words)
    assert zendesk.CUSTOMER in note and issue["web_url"] in note and "real license" in note
    assert note.splitlines()[-1] == f"Stopgap job {job_id} (done)"
    lines = [x for x in job["lic"].splitlines() if len(x) > 20]
    assert lines and not any(x in text for x in lines for text in (message, note))
    assert zendesk.tags(ticket) == ["license_sent"]
    assert zendesk.state.tickets[ticket]["comments"][-1]["public"] is False
    assert any("told slack: done" in e for e in queue.log(job_id))
    assert any("told zendesk: done" in e for e in queue.log(job_id))
    assert stat(queue, "told") == 2
    assert slack.url.rsplit("/", 1)[1] not in worker.text() and Zendesk.TOKEN not in worker.text()


def test_public_by_default_is_not_taken_over(told_env, worker, queue, zendesk, ask, quiet):
    """A ticket whose first comment is public makes public what does not say otherwise."""
    ticket = ask()
    assert zendesk.state.tickets[ticket]["comment_public"]
    queue.settled(1)
    quiet()
    assert len(zendesk.notes(ticket)) == 1


def test_addresses_unmasked(told_env, start_worker, queue, zendesk, slack, ask, quiet):
    start_worker(STOPGAP_SLACK_MASK="0")
    ask()
    queue.settled(1)
    quiet()
    assert f"`{zendesk.CUSTOMER}`" in slack.messages[0]


def test_failed_then_done(told_env, worker, queue, zendesk, slack, smtp, gitlab, ask, quiet,
                          ctl, until):
    smtp.on(zendesk.CUSTOMER, rcpt=f"550 5.1.1 <{zendesk.CUSTOMER}>: no such user")
    ticket = ask()
    queue.settled(1)
    quiet()
    job_id, job = queue.only("failed")
    (message,), (note,) = slack.messages, zendesk.notes(ticket)
    for text in (message, note):
        assert "Emergency license failed" in text and "no such user" in text
        assert job["report_url"] in text
    assert zendesk.CUSTOMER not in message and "c***@example.com" in message
    assert zendesk.tags(ticket) == ["license_failed"]
    ctl.run("requeue", job_id)  # it fails again: that is news
    until(lambda: len(slack.messages) == 2, "told again")
    quiet()
    assert f"Stopgap job {job_id} (failed 2)" in zendesk.notes(ticket)[1]
    smtp.forget()
    ctl.run("requeue", job_id)
    queue.wait_state(job_id, "done")
    quiet()
    assert len(slack.messages) == len(zendesk.notes(ticket)) == 3
    assert "license sent" in slack.messages[2]
    assert zendesk.tags(ticket) == ["license_failed", "license_sent"]


@pytest.mark.parametrize("gitlab_dead", [False, True])
def test_late_then_done(told_env, start_worker, queue, zendesk, slack, smtp, gitlab, ask, quiet,
                        until, gitlab_dead):
    """Also while nobody can open the failure issue."""
    smtp.down()
    if gitlab_dead:
        told_env["STOPGAP_GITLAB_URL"] = "http://127.0.0.1:9"
    start_worker(STOPGAP_LATE_AFTER="50ms").allow("lane_closed")
    ticket = ask()
    until(lambda: slack.messages and zendesk.notes(ticket), "told that it is late")
    assert "is late" in slack.messages[0] and "is late" in zendesk.notes(ticket)[0]
    assert zendesk.tags(ticket) == []
    if gitlab_dead:
        assert "not open yet" in slack.messages[0]
        return
    smtp.up()
    queue.settled(1)
    quiet()
    assert [("is late" in m, "license sent" in m) for m in slack.messages] == [
        (True, False), (False, True)]
    assert len(zendesk.notes(ticket)) == 2


def test_in_time_nothing_is_scheduled_without_channels(worker, queue):
    queue.push()
    queue.settled(1)
    assert not queue.client.keys(PREFIX + "tell*")
    assert not queue.client.hget(PREFIX + "cfg", "tell")


def test_only_one_channel(told_env, start_worker, queue, slack, quiet):
    start_worker(STOPGAP_ZENDESK_USER=None, STOPGAP_ZENDESK_TOKEN=None)
    queue.push()
    queue.settled(1)
    quiet()
    assert len(slack.messages) == 1 and queue.client.hget(PREFIX + "cfg", "tell") == "slack"


def test_duplicates_and_resends_tell_nothing(told_env, worker, queue, zendesk, slack, ask,
                                             quiet, ctl, smtp, until):
    ticket = ask()
    jobs = queue.settled(1)
    ask(ticket_id=ticket)
    queue.settled(2)
    (job_id,) = jobs
    ctl.run("resend", job_id)
    until(lambda: len(smtp.mails_to()) == 2, "mailed again")
    queue.wait_state(job_id, "done")
    quiet()
    assert len(slack.messages) == len(zendesk.notes(ticket)) == 1


def test_a_flood_of_unreadable_requests_is_not_told(told_env, worker, queue, slack, quiet):
    for n in range(40):
        queue.push(raw=f"no request {n}")
    queue.settled(40)
    quiet()
    assert len(slack.messages) == 30
    assert "an unknown ticket" in slack.messages[0]


HOSTILE = "<!channel> <@U1> @here *b* `c` <https://evil.example|x> {{ticket.requester.email}}"


def test_foreign_text_is_inert(told_env, worker, queue, zendesk, slack, smtp, ask, quiet):
    smtp.on(zendesk.CUSTOMER, rcpt="550 " + HOSTILE)
    ticket = ask(requested_by=HOSTILE)
    queue.settled(1)
    quiet()
    (message,), (note,) = slack.messages, zendesk.notes(ticket)
    words, links, mentions = shown(message)
    assert not mentions and not [x for x in links if "evil" in x]
    assert words.count("<!channel>") == 2 and "{{" not in note
    for line in message.splitlines():  # what is foreign is in code, which nothing ends
        assert line.count("`") % 2 == 0
        outside = "".join(line.split("`")[::2])
        assert "channel" not in outside and "here" not in outside.replace("there", "")


# --- what goes wrong ---

FAULTS = {
    "lost_before": {}, "lost_after": {}, "answer": {"status": 503, "body": "later"},
}


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("path", ["", "/tags"])
def test_a_note_is_there_once(told_env, worker, queue, zendesk, ask, quiet, kind, path):
    zendesk.fail_next(kind, method="PUT", path=path, times=2, **FAULTS[kind])
    ticket = ask()
    queue.settled(1)
    quiet()
    assert len(zendesk.notes(ticket)) == 1 and zendesk.tags(ticket) == ["license_sent"]


def test_a_note_on_a_ticket_with_long_mails(told_env, worker, queue, zendesk, ask, quiet):
    """A hundred of them are more than one answer may be."""
    ticket = zendesk.mail_in()
    zendesk.state.tickets[ticket]["comments"] += [
        {"id": 1000 + n, "author_id": 1, "public": True, "type": "Comment", "body": "x" * 20000,
         "html_body": "x" * 20000, "created_at": "2026-01-01T00:00:00Z"} for n in range(200)]
    zendesk.fail_next("lost_after", method="PUT", path="", times=2)
    ask(ticket_id=ticket)
    queue.settled(1)
    quiet()
    assert len(zendesk.notes(ticket)) == 1 and zendesk.tags(ticket) == ["license_sent"]


def test_not_found_means_nothing_while_it_may_be_on_its_way(told_env, start_worker, queue,
                                                            zendesk, ask, until):
    start_worker(STOPGAP_ZENDESK_SETTLE="1h")
    zendesk.fail_next("lost_before", method="PUT")
    ticket = ask()
    queue.settled(1)
    job_id, _ = queue.only()
    until(lambda: zendesk.requests("GET", "/comments"), "looked")
    until(lambda: queue.client.zscore(PREFIX + "tell:zendesk", job_id)
          > queue.client.time()[0] * 1000 + HOUR_MS / 2, "put off")
    assert zendesk.notes(ticket) == [] and len(zendesk.requests("PUT")) == 1


@pytest.mark.parametrize("kind", ["lost_before", "answer", "rate"])
def test_slack_hears_of_it_once(told_env, worker, queue, slack, ask, quiet, kind):
    if kind == "rate":
        slack.fail_next("answer", status=429, headers={"Retry-After": "1"})
    else:
        slack.fail_next(kind, times=2)
    ask()
    queue.settled(1)
    quiet()
    assert len(slack.messages) == 1
    assert ("perhaps told before" in slack.messages[0]) == (kind != "rate")


def test_slacks_lost_answer_is_told_twice_and_says_so(told_env, worker, queue, slack, ask,
                                                      quiet):
    slack.fail_next("lost_after")
    ask()
    queue.settled(1)
    quiet()
    assert ["perhaps told before" in m for m in slack.messages] == [False, True]


@pytest.mark.parametrize("target", ["slack", "zendesk"])
def test_dead_for_long(told_env, worker, queue, zendesk, slack, smtp, gitlab, ask, quiet, until,
                       target):
    """Licenses go out, the other channel is told, and all follows when it is back."""
    worker.allow("lane_closed")
    dead = slack if target == "slack" else zendesk
    fault = {"method": "PUT"} if target == "zendesk" else {}
    dead.fail_next("answer", times=10**6, status=503, body="down", **fault)
    tickets = [ask(requested_by=f"agent{n}") for n in range(4)]
    tickets += [ask(requested_by=f"agent{n}") for n in range(4, 8)]
    jobs = queue.settled(8)
    assert {r["state"] for r in jobs.values()} == {"done"}
    assert {r["attempt"] for r in jobs.values()} == {"1"}
    assert len(gitlab.issues("[Success]")) == len(smtp.mails_to()) == 8
    lane = "slack" if target == "slack" else "zendesk_note"
    worker.wait_for(event="lane_closed", lane=lane)
    until(lambda: (all(zendesk.notes(t) for t in tickets) if target == "slack"
                   else len(slack.messages) == 8), "the other channel is told")
    with zendesk.state.lock:
        zendesk.state.faults.clear()
    slack.heal()
    quiet()
    assert len(slack.messages) == 8
    assert [len(zendesk.notes(t)) for t in tickets] == [1] * 8
    assert stat(queue, "told") == 16
    worker.exactly(1, event="lane_opened", lane=lane)


def test_silent_for_long(told_env, start_worker, queue, zendesk, slack, smtp, gitlab, ask, until):
    """Both take every message and answer none: nothing else waits for them, nor does the
    worker when it leaves."""
    worker = start_worker(STOPGAP_DRAIN_TIMEOUT="200ms")
    slack.fail_next("never", times=10**6)
    zendesk.fail_next("never", method="PUT", times=10**6)
    for n in range(10):
        ask(requested_by=f"agent{n}")
    jobs = queue.settled(10)
    assert {(r["state"], r["attempt"]) for r in jobs.values()} == {("done", "1")}
    assert len(smtp.mails_to()) == len(gitlab.issues("[Success]")) == 10
    assert len(slack.posts) <= 1 and len(zendesk.requests("PUT")) <= 1
    worker.term()
    assert worker.wait() == 0
    assert len(queue.client.zrange(PREFIX + "tell:slack", 0, -1)) == 10


@pytest.fixture
def between(redis):
    """Between the worker and Redis."""
    proxy = Proxy(redis.port)
    yield proxy
    proxy.stop()


@pytest.mark.parametrize("when", ["note", "tag", "checkpoint"])
def test_killed_on_the_way(told_env, start_worker, queue, zendesk, between, ask, quiet, until,
                           when):
    first = start_worker(STOPGAP_REDIS_URL=f"redis://127.0.0.1:{between.port}/0")
    if when == "note":  # it is there, and its answer is not
        zendesk.fail_next("lost_after", method="PUT", path="/tickets")
        between.arm("drop", match=b"tries:zendesk", times=1000)
    elif when == "tag":
        zendesk.fail_next("never", method="PUT", path="/tags")
    else:
        between.arm("drop", match=b"told zendesk: done", times=1000)
    ticket = ask()
    queue.settled(1)
    until(lambda: zendesk.notes(ticket), "the note")
    if when == "tag":
        until(lambda: zendesk.requests("PUT", "/tags"), "the tag")
    else:
        until(lambda: between.struck, "the checkpoint, which is lost")
    first.kill()
    hurry(queue)
    start_worker()
    quiet()
    assert len(zendesk.notes(ticket)) == 1 and zendesk.tags(ticket) == ["license_sent"]


def test_killed_after_slack_was_told(told_env, start_worker, queue, slack, between, ask, quiet,
                                     until):
    """Nobody can ask Slack: told again, and that it may be."""
    first = start_worker(STOPGAP_REDIS_URL=f"redis://127.0.0.1:{between.port}/0")
    between.arm("drop", match=b"told slack: done", times=1000)
    ask()
    queue.settled(1)
    until(lambda: between.struck, "the checkpoint, which is lost")
    first.kill()
    hurry(queue)
    start_worker()
    quiet()
    assert ["perhaps told before" in m for m in slack.messages] == [False, True]


def hurry(queue):
    """The hold of a worker that is dead need not be waited for."""
    for key in queue.client.keys(PREFIX + "tell:*"):
        for member in queue.client.zrange(key, 0, -1):
            queue.client.zadd(key, {member: 1}, xx=True)


def test_redis_lost_before_the_checkpoint(told_env, start_worker, queue, slack, between, ask,
                                          quiet, until):
    """What Slack has been told is kept until Redis knows it."""
    worker = start_worker(STOPGAP_REDIS_URL=f"redis://127.0.0.1:{between.port}/0")
    between.arm("drop", match=b"told slack: done", times=2)
    ask()
    queue.settled(1)
    until(lambda: len(between.struck) == 2, "the checkpoint was lost twice")
    quiet()
    assert len(slack.messages) == 1
    worker.stop()  # before its way to Redis ends


@pytest.mark.parametrize("what", ["closed", "forbidden", "gone"])
def test_a_ticket_that_takes_no_note(told_env, worker, queue, zendesk, slack, ask, quiet, what):
    ticket = zendesk.mail_in()
    if what == "forbidden":
        zendesk.fail_next("answer", method="PUT", status=403, times=9,
                          body={"error": "Forbidden"})
    elif what == "gone":
        zendesk.fail_next("answer", method="PUT", status=404, times=9,
                          body={"error": "RecordNotFound", "description": "Not found"})
    else:
        zendesk.fail_next("answer", method="PUT", status=422, times=9, body={
            "error": "RecordInvalid", "description": "Status: closed prevents ticket update"})
    ask(ticket_id=ticket)
    queue.settled(1)
    quiet()
    line = worker.wait_for(event="tell", channel="zendesk", outcome="refused")
    assert line["code"] == {"closed": "422", "forbidden": "403", "gone": "404"}[what]
    assert len(zendesk.requests("PUT")) == 1 and stat(queue, "tell_refused") == 1
    assert len(slack.messages) == 1 and zendesk.notes(ticket) == []
    assert not worker.lines(event="lane_closed")


def test_the_limit_of_one_ticket(told_env, worker, queue, zendesk, ask, quiet, until):
    """Its Retry-After is obeyed, and no note is lost or doubled."""
    zendesk.state.limits.per_ticket = 1
    ticket = ask()
    queue.settled(1)
    line = worker.wait_for(event="lane_closed", lane="zendesk_note")
    assert line["class"] == "rate_limited"
    puts = len(zendesk.requests("PUT"))
    assert puts == 2 and len(zendesk.notes(ticket)) == 1  # the note, and the tag that waits
    job_id, _ = queue.only()
    until(lambda: queue.client.zscore(PREFIX + "tell:zendesk", job_id)
          > queue.client.time()[0] * 1000 + 300000, "put off for minutes")


def test_a_webhook_that_is_no_more(told_env, worker, queue, slack, ask, quiet):
    worker.allow("lane_closed")
    slack.fail_next("answer", status=404, body="no_service", times=3)
    ask()
    queue.settled(1)
    assert worker.wait_for(event="lane_closed", lane="slack")["level"] == "error"
    quiet()
    assert len(slack.messages) == 1


def test_given_up_after_days(told_env, worker, queue, slack, ask, quiet, until):
    slack.fail_next("answer", times=10**6)
    ask()
    queue.settled(1)
    job_id, job = queue.only()
    queue.client.hset(PREFIX + "job:" + job_id, "ended_ms", int(job["ended_ms"]) - 73 * HOUR_MS)
    quiet()
    worker.wait_for(event="tell", outcome="gave up")
    assert stat(queue, "tell_gave_up") == 1


def test_a_restart_tells_what_is_left(told_env, start_worker, queue, slack, zendesk, ask, quiet):
    slack.fail_next("answer", times=10**6)
    first = start_worker()
    ticket = ask()
    queue.settled(1)
    first.wait_for(event="tell", channel="slack", outcome="will try again")
    first.stop()
    slack.heal()
    start_worker()
    quiet()
    assert len(slack.messages) == len(zendesk.notes(ticket)) == 1


def test_two_workers_tell_once(told_env, start_worker, queue, slack, zendesk, ask, quiet):
    start_worker()
    start_worker()
    tickets = [ask(requested_by=f"agent{n}") for n in range(5)]
    queue.settled(5)
    quiet()
    assert len(slack.messages) == 5
    assert [len(zendesk.notes(t)) for t in tickets] == [1] * 5


def test_leaving_waits_for_what_is_being_told(told_env, start_worker, queue, slack, ask, until):
    worker = start_worker()
    slack.fail_next("never")
    ask()
    queue.settled(1)
    until(lambda: slack.posts, "under way")
    worker.term()
    slack.gone.set()  # Slack hangs up; the worker then leaves
    assert worker.wait() == 0
