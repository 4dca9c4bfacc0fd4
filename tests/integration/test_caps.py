"""Caps: so many licenses in any 24 hours and no more, however many ask at once and however
they spell it; each job counts once."""

import pytest
from testenv.queue import PREFIX as P

ADDRESS, AGENT, DAY = ("STOPGAP_MAX_PER_ADDRESS", "STOPGAP_MAX_PER_AGENT", "STOPGAP_MAX_PER_DAY")
WORKERS, REQUESTS, CAP = 4, 50, 5


def counted(queue):
    return queue.client.zcard(P + "cap:day")


@pytest.mark.parametrize("setting", [ADDRESS, AGENT, DAY])
def test_all_at_once(queue, start_worker, smtp, gitlab, ctl, until, setting):
    settings = dict.fromkeys((ADDRESS, AGENT, DAY), "0") | {setting: str(CAP)}
    for _ in range(WORKERS):
        start_worker(**settings)
    ctl.run("pause")
    for n in range(1, REQUESTS + 1):
        queue.push(ticket_id=n, email="one@example.com" if setting == ADDRESS
                   else f"c{n}@example.com", requested_by="one" if setting == AGENT else f"a{n}")
    until(lambda: queue.client.llen(P + "pending") == REQUESTS, "all wait")
    ctl.run("resume")
    jobs = queue.settled(REQUESTS, deadline=60)
    failed = {i: r for i, r in jobs.items() if r["state"] == "failed"}
    assert len(failed) == REQUESTS - CAP
    assert len(smtp.mails_to()) == len(gitlab.issues("[Success]")) == CAP
    for record in failed.values():
        assert (record["err_class"], record["err_step"]) == ("limit", "sign")
        assert setting in record["err_text"] and "lic" not in record and "frozen" not in record
    until(lambda: len(gitlab.issues("[Failed]")) == REQUESTS - CAP, "their issues", 60)
    assert {i["state"] for i in gitlab.issues("[Failed]")} == {"opened"}


def test_spellings_of_an_agent(queue, start_worker, smtp):
    start_worker(**{AGENT: "1"})
    for n, name in enumerate(("Nina Weber", "nina weber", "NINA  WEBER ", "Nina\u00a0Weber",
                              "\uff2eina Weber", "Ni\u200bna Weber"), 1):
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=name)
    queue.push(ticket_id=9, email="c9@example.com", requested_by="Sam Weber")
    states = [r["state"] for r in queue.settled(7).values()]
    assert sorted(states) == ["done"] * 2 + ["failed"] * 5
    assert len(smtp.mails_to()) == 2


def test_spellings_of_an_address(queue, start_worker, smtp):
    start_worker(**{ADDRESS: "1"})
    for n, address in enumerate(("nina@example.com", "Nina@EXAMPLE.com", "nina+2@example.com"), 1):
        queue.push(ticket_id=n, email=address)
    queue.push(ticket_id=9, email="nina2@example.com")
    assert sorted(r["state"] for r in queue.settled(4).values()) == ["done"] * 2 + ["failed"] * 2


def test_each_job_counts_once(queue, start_worker, smtp, gitlab, ctl, until):
    """Retried, requeued, signed anew and sent again: one license of the day."""
    smtp.on("later@example.com", rcpt="451 4.3.0 later", times=2)
    smtp.on("lost@example.com", drop="dot_taken", times=1)
    gitlab.fail_next("error_500")
    start_worker(**{DAY: "3"})
    queue.push(ticket_id=1, email="later@example.com")
    queue.push(ticket_id=2, email="lost@example.com")
    jobs = queue.settled(2, deadline=60)
    assert {r["state"] for r in jobs.values()} == {"done"} and counted(queue) == 2
    first = next(iter(jobs))
    for words in (["resend"], ["requeue", "--redo", "email"], ["requeue", "--redo", "sign"],
                  ["requeue", "--redo", "validate"]):
        mails = len(smtp.mails_to())
        ctl.run(*words, first)
        until(lambda n=mails: len(smtp.mails_to()) == n + 1, "its mail")
        queue.wait_state(first, "done")
        assert counted(queue) == 2
    for n in (3, 4):
        queue.push(ticket_id=n, email=f"c{n}@example.com")
        queue.settled(n)
    assert sorted(r["state"] for r in queue.jobs().values()) == ["done"] * 3 + ["failed"]


def test_refused_mails_are_no_licenses(queue, start_worker, smtp):
    smtp.on("gone@example.com", rcpt="550 5.1.1 no such user")
    start_worker(**{DAY: "1"})
    for n in range(1, 4):
        queue.push(ticket_id=n, email="gone@example.com")
    queue.settled(3)
    assert counted(queue) == 0
    queue.push(ticket_id=9)
    queue.settled(4)
    assert len(queue.jobs("done")) == 1


def test_an_operator_lets_one_through(queue, start_worker, smtp, ctl, until):
    """That one alone, and it counts: the next is refused for as long."""
    start_worker(**{DAY: "1"})
    for n in (1, 2):
        queue.push(ticket_id=n, email=f"c{n}@example.com")
    jobs = queue.settled(2)
    (failed,) = [i for i, r in jobs.items() if r["state"] == "failed"]
    ctl.run("requeue", failed)  # without the word: refused again
    until(lambda: queue.job(failed)["requeues"] == "1" and queue.job(failed)["state"] == "failed",
          "refused again")
    assert counted(queue) == 1
    ctl.run("requeue", failed, "--lift-limit")
    queue.wait_state(failed, "done")
    assert counted(queue) == 2 and len(smtp.mails_to()) == 2
    queue.push(ticket_id=3, email="c3@example.com")
    assert len([r for r in queue.settled(3).values() if r["state"] == "failed"]) == 1
    assert [(r["what"], r["job_id"], r.get("more", "")) for r in ctl.json("audit")] == [
        ("requeue", failed, "limit lifted"), ("requeue", failed, "")]


def test_too_many_users(queue, start_worker, smtp, gitlab, ctl, slack, until):
    """A cap like the others: somebody who may decide it can let it pass."""
    start_worker(STOPGAP_MAX_USERS="100", STOPGAP_SLACK_WEBHOOK_URL=slack.url)
    queue.push(users=101)
    queue.settled(1)
    job, record = queue.only("failed")
    assert (record["err_class"], record["err_step"]) == ("limit", "validate")
    assert "STOPGAP_MAX_USERS" in record["err_text"] and "--lift-limit" in record["err_text"]
    assert ctl.show(job)["next"][0]["command"] == f"stopgapctl requeue {job} --lift-limit"
    issue = until(lambda: gitlab.issues("[Failed]"), "its issue")[0]
    assert issue["state"] == "opened" and "STOPGAP_MAX_USERS" in issue["description"]
    until(lambda: any("STOPGAP_MAX_USERS" in m for m in slack.messages), "Slack hears of it")
    ctl.run("requeue", job, "--lift-limit")
    queue.wait_state(job, "done")
    assert len(smtp.mails_to()) == 1 and gitlab.issues("[Success]")
    until(lambda: gitlab.issues("[Failed]")[0]["state"] == "closed", "its failure is over")


def test_more_faults_are_no_limit(queue, start_worker):
    start_worker(STOPGAP_MAX_USERS="100")
    queue.push(users=101, email="no address")
    queue.settled(1)
    assert queue.only()[1]["err_class"] == "invalid"


def test_no_more_users_than_the_format_has(queue, start_worker, ctl, until):
    start_worker(STOPGAP_MAX_USERS="100")
    queue.push(users=1000001)
    queue.settled(1)
    job, record = queue.only()
    assert record["err_class"] == "invalid"
    ctl.run("requeue", job, "--lift-limit")
    until(lambda: queue.job(job)["requeues"] == "1" and queue.job(job)["state"] == "failed",
          "refused again")
