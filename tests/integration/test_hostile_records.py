"""Somebody who can write to Redis changes a job that waits: what is mailed is what was
signed, to an address that is one, or nothing at all."""

import json
import os

import pytest

PREFIX = "stopgap:{licenses}:"
LATER = {"STOPGAP_BACKOFF_BASE": "30s", "STOPGAP_BACKOFF_CAP": "30s"}
PHISH = "Your account is locked: https://evil.example/login\n"


@pytest.fixture
def waiting(queue, start_worker, smtp, until):
    """A job whose license is frozen and whose mail may be out: (id, record); and later()."""
    smtp.on("customer@example.com", drop="dot_taken", times=1)
    start_worker(**LATER).allow("event=unreadable_record")
    queue.push()
    until(lambda: queue.jobs("delayed"), "it waits for its next attempt")
    return queue.only()


def again(queue, job_id, **fields):
    """Changes the record, and lets the job run now."""
    queue.client.hset(PREFIX + "job:" + job_id, mapping=fields)
    queue.client.zadd(PREFIX + "delayed", {job_id: 1000000000000})
    queue.settled(1)
    return queue.job(job_id)


def flipped(text):
    at = len(text) // 2
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:]


@pytest.mark.parametrize("change", [
    lambda r: {"lic": PHISH},
    lambda r: {"lic": PHISH + r["lic"]},
    lambda r: {"lic": r["lic"] + PHISH},
    lambda r: {"lic": r["lic"].replace("\n", "\n" + PHISH, 1)},
    lambda r: {"lic": ""},
    lambda r: {"lic": r["lic"][:-1]},
    lambda r: {"lic": flipped(r["lic"])},
    lambda r: {"lic": r["lic"] + r["lic"]},
    lambda r: {"lic": PHISH, "kid": "k4.pid.another"},
    lambda r: {"lic": PHISH, "lic_format": "gitlab"},
    lambda r: {"lic_format": "gitlab"},
    lambda r: {"lic_id": "0" * 26},
    lambda r: {"exp_ms": str(int(r["exp_ms"]) + 86400000)},
    lambda r: {"req": json.dumps({**json.loads(r["req"]), "email": "thief@example.com"})},
    lambda r: {"req": json.dumps({**json.loads(r["req"]), "users": 100000})},
], ids=["text", "before", "after", "within", "empty", "cut", "flipped", "twice", "another-key",
        "other-format", "only-format", "id", "end", "address", "users"])
def test_a_changed_license_is_not_mailed(queue, smtp, gitlab, ctl, waiting, until, change):
    job_id, record = waiting
    sent = len(smtp.mails)
    ended = again(queue, job_id, **change(record))
    assert (ended["state"], ended["err_class"]) == ("failed", "permanent")
    assert "somebody wrote to it in Redis" in ended["err_text"]
    assert "--redo sign" in ended["err_text"]
    assert len(smtp.mails) == sent
    command = f"requeue {job_id} --redo sign"
    issue = until(lambda: gitlab.issues("[Failed]", f"Job: {job_id}"), "its failure issue")[0]
    assert f"\nstopgapctl {command}\n" in issue["description"]
    assert "evil.example" not in issue["description"] and "BEGIN STOPGAP" not in issue["description"]
    assert ctl.show(job_id)["next"][0]["command"] == "stopgapctl " + command
    queue.client.hset(PREFIX + "job:" + job_id, mapping=record | {"state": "failed"})
    ctl.run(*command.split())
    queue.settled(1)
    assert queue.job(job_id)["state"] == "done"


def test_a_changed_license_is_not_recorded(queue, start_worker, smtp, gitlab, ctl):
    """After its mail, too: what is in the issue is what the customer got."""
    start_worker()
    gitlab.fail_next("answer", status=422, body={"message": {"title": ["is invalid"]}})
    queue.push()
    (job_id,) = queue.settled(1)
    lic = queue.job(job_id)["lic"]
    queue.client.hset(PREFIX + "job:" + job_id, "lic", lic + PHISH)
    ctl.run("requeue", job_id)
    ended = queue.settled(1)[job_id]
    assert (ended["state"], ended["err_step"]) == ("failed", "record")
    assert "somebody wrote to it in Redis" in ended["err_text"]
    assert not gitlab.issues("[Success]") and not gitlab.issues("", PHISH.strip())
    queue.client.hset(PREFIX + "job:" + job_id, "lic", lic)
    ctl.run("requeue", job_id)
    assert queue.settled(1)[job_id]["state"] == "done"
    assert len(smtp.mails_to("customer@example.com")) == 1


@pytest.mark.parametrize("req", [
    {"email": "customer@example.com\r\nRCPT TO:<thief@example.com>"},
    {"email": "customer@example.com>\r\nBcc: thief@example.com"},
    {"email": "customer@example.com,thief@example.com"},
    {"requested_by": "sam\n/close"},
    {"ticket_url": "javascript:alert(1)"},
    {"email": ""},
    {"users": 0},
], ids=["recipient", "header", "two", "line", "script", "nobody", "none"])
def test_a_changed_request_is_not_carried_out(queue, smtp, gitlab, waiting, until, req):
    job_id, record = waiting
    sent = len(smtp.mails)
    stored = {k: v for k, v in {**json.loads(record["req"]), **req}.items() if v != ""}
    ended = again(queue, job_id, req=json.dumps(stored))
    assert ended["state"] == "failed"
    assert "does not read" in ended["err_text"] or "no whole request" in ended["err_text"]
    assert len(smtp.mails) == sent
    until(lambda: gitlab.issues("[Failed]", f"Job: {job_id}"), "its failure issue")


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_what_was_not_touched_goes_out(queue, smtp, env, ctl, folder, request, kind):
    env["STOPGAP_LICENSE_KEY_FILE"] = os.path.join(folder, kind)
    ctl.run("keygen", env["STOPGAP_LICENSE_KEY_FILE"], "--type", kind)
    job_id, record = request.getfixturevalue("waiting")
    ended = again(queue, job_id, note="nobody reads this")
    assert ended["state"] == "done" and ended["lic"] == record["lic"]
    assert len(smtp.mails_to("customer@example.com")) == 2
