"""The main job on real parts: a request on the list becomes a mail and a closed issue."""

import email
import email.policy
import json

import pytest
from testenv import markdown

TITLE = "[Success] - Created a license under customer@example.com for 25 users"


def license_of(mail):
    message = email.message_from_bytes(mail.data, policy=email.policy.default)
    return next(message.iter_attachments()).get_content()


@pytest.fixture
def done(queue, worker):
    """One good job, run to its end."""
    queue.push(note="grace period is over", ticket_url=None)
    queue.settled(1)
    return queue.only("done")


def test_issue(done, gitlab, smtp):
    issue = gitlab.issue()
    assert issue["title"] == TITLE
    assert (issue["state"], issue["confidential"]) == ("closed", True)
    assert issue["labels"] == ["emergency-license"]
    assert issue["ignored"] == []
    job_id, record = done
    lines = issue["description"].splitlines()
    assert f"Job: {job_id}" in lines and "Ticket: 4711" in lines
    assert record["lic"].rstrip("\n") in [f.rstrip("\n") for f in markdown.fenced(issue["description"])]
    assert record["msgid"] in issue["description"]
    assert "250 2.0.0" in issue["description"]  # the server's own words


def test_success_title_comes_with_the_closing_put(done, gitlab):
    history = gitlab.issue()["history"]
    assert [(h["title"].split("]")[0], h["state"]) for h in history] == [
        ("[Pending", "opened"), ("[Success", "closed")]
    puts = gitlab.requests("PUT")
    assert len(puts) == 1
    assert puts[0].json == {"title": TITLE, "state_event": "close"}


def test_mail(done, smtp):
    job_id, record = done
    (mail,) = smtp.mails_to()
    assert (mail.mail_from, mail.rcpt) == ("licenses@vendor.example", ["customer@example.com"])
    message = email.message_from_bytes(mail.data, policy=email.policy.default)
    assert message.defects == []
    assert [p.defects for p in message.walk()] == [[] for _ in message.walk()]
    assert message["To"] == "customer@example.com"
    assert message["From"] == "Licenses <licenses@vendor.example>"
    assert message["Reply-To"] == "support@vendor.example"
    assert message["Message-ID"] == record["msgid"]
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Stopgap-Job"] == job_id
    assert message.get_content_type() == "multipart/mixed"
    text = message.get_body(("plain",)).get_content()
    html = message.get_body(("html",)).get_content()
    for part in (text, html):
        assert "4711" in part and "25" in part
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "ticket-4711.license"
    content = attachment.get_content()
    content = content if isinstance(content, bytes) else content.encode()
    assert content.decode() == record["lic"]
    assert record["lic"].strip() in text.replace("\r\n", "\n")


def test_license_holds(done, ctl, key, folder):
    path = folder + "/mailed.license"
    with open(path, "w", encoding="ascii") as f:
        f.write(done[1]["lic"])
    said = ctl.run("verify", path, "--key", key + ".pub").out
    assert "customer@example.com" in said and "ultimate" in said
    with open(path, "w", encoding="ascii") as f:
        f.write(done[1]["lic"].replace("v4.public.e", "v4.public.f", 1))
    assert ctl.run("verify", path, "--key", key + ".pub", status=1).err


def test_term_is_ten_days(done):
    record = done[1]
    assert int(record["exp_ms"]) - int(record["iat_ms"]) == 10 * 86400 * 1000


def test_a_slow_job_shows_its_steps(queue, start_worker, gitlab, until):
    """Nothing says by itself that a job is on its way; the beat does, after a while."""
    gitlab.fail_next("slow_after", seconds=30)
    start_worker(STOPGAP_LEASE="1s")
    queue.push()
    until(gitlab.issues, "the issue")

    def steps():
        view = json.loads(queue.client.get("stopgap:{licenses}:view:t:4711") or "{}")
        return view.get("status") == "active" and view.get("steps")
    until(lambda: steps() == ["validate", "sign", "email"], lambda: f"the steps: {steps()}")
    gitlab.release()
    queue.settled(1)


def test_views_hold_no_secret(done, queue):
    job_id, record = done
    for key in (f"view:{job_id}", "view:t:4711"):
        text = queue.client.get("stopgap:{licenses}:" + key)
        view = json.loads(text)
        assert view["status"] == "done" and view["issue_url"] == record["issue_url"]
        assert view["steps"] == ["validate", "sign", "email", "record", "close"]
        assert "customer" not in text and "BEGIN" not in text


def test_nothing_left_over(done, queue):
    names = {k.split("}:")[1].split(":")[0]
             for k in queue.client.keys("stopgap:*")}
    assert names <= {"job", "log", "done", "same", "ticket", "cap", "workers", "winfo", "view",
                     "stat", "cfg"}


def test_many_at_once(queue, worker, gitlab, smtp):
    for n in range(200):
        queue.push(ticket_id=n + 1, email=f"c{n}@example.com", requested_by=f"agent{n}")
    jobs = queue.settled(200, deadline=60)
    assert {r["state"] for r in jobs.values()} == {"done"}
    assert len(smtp.mails_to()) == len({m.to for m in smtp.mails_to()}) == 200
    titles = [i["title"] for i in gitlab.issues("[Success]")]
    assert len(titles) == len(set(titles)) == 200


def test_a_worker_that_comes_later_finds_it(queue, start_worker):
    queue.push()
    start_worker()
    queue.settled(1)


def test_two_workers_share(queue, start_worker, gitlab):
    first, second = start_worker(), start_worker()
    for n in range(100):
        queue.push(ticket_id=n + 1, email=f"c{n}@example.com", requested_by=f"agent{n}")
    queue.settled(100, deadline=60)
    assert len(gitlab.issues("[Success]")) == 100
    for worker in (first, second):
        worker.wait_for(event="job", outcome="done")
