"""Zendesk may deliver twice, and people press twice: the table of docs/queue.md."""

import json

KEY = {"idempotency_key": "8350205582"}


def two(queue, first, second, settle_first=True):
    """Pushes two requests, the second after the first has ended; their records."""
    queue.push(**first)
    if settle_first:
        queue.settled(1)
    queue.push(**second)
    queue.settled(2)
    return list(queue.jobs().items())


def is_duplicate(queue, second, first):
    assert second[1]["state"] == "done" and second[1]["dup_of"] == first[0]
    assert any("asked for again" in e and second[0] in e for e in queue.log(first[0]))


def test_same_again_while_valid(queue, worker, smtp, gitlab):
    first, second = two(queue, {}, {"note": "pressed twice"})
    is_duplicate(queue, second, first)
    assert len(smtp.mails_to()) == len(gitlab.issues()) == 1


def test_same_at_once(queue, worker, smtp, gitlab):
    for _ in range(5):
        queue.push()
    jobs = queue.settled(5)
    assert sum("dup_of" not in r for r in jobs.values()) == 1
    assert len(smtp.mails_to()) == len(gitlab.issues("[Success]")) == 1


def test_key_and_content_again(queue, worker, smtp):
    first, second = two(queue, KEY, KEY)
    is_duplicate(queue, second, first)
    assert len(smtp.mails_to()) == 1


def test_key_again_with_other_content(queue, worker, smtp):
    _, second = two(queue, KEY, {**KEY, "users": 26})
    assert second[1]["state"] == "failed" and second[1]["err_class"] == "invalid"
    assert "idempotency_key" in second[1]["err_text"]
    assert len(smtp.mails_to()) == 1


def test_key_of_a_failed_job_is_no_requeue(queue, worker, smtp):
    smtp.on("customer@example.com", rcpt="550 no")
    first, second = two(queue, KEY, KEY)
    is_duplicate(queue, second, first)
    assert first[1]["state"] == "failed" and first[1].get("reruns") is None


def test_entry_with_an_id(queue, worker, smtp):
    entry = "0123456789abcdefghjkmnpqrs " + json.dumps(
        {"ticket_id": 1, "email": "a@example.com", "users": 1, "requested_by": "x"})
    queue.push(raw=entry)
    queue.settled(1)
    assert queue.only("done")[0] == "0123456789abcdefghjkmnpqrs"
    queue.push(raw=entry)
    queue.push(raw=entry.replace('"users": 1', '"users": 2'))
    jobs = queue.settled(2)
    other = next(r for i, r in jobs.items() if i != "0123456789abcdefghjkmnpqrs")
    assert other["state"] == "failed" and "used before" in other["err_text"]
    assert len(smtp.mails_to()) == 1


def test_failed_runs_again_three_times(queue, worker, smtp, gitlab, until):
    smtp.on("customer@example.com", rcpt="550 5.1.1 no", times=4)
    queue.push()
    queue.settled(1)
    first, _ = queue.only("failed")
    for n in range(3):
        queue.push()
        queue.settled(n + 2)
        assert queue.job(first)["state"] == "failed"
        assert queue.job(first)["reruns"] == str(n + 1)
    queue.push()
    jobs = queue.settled(5)
    assert queue.job(first)["state"] == "failed"
    assert len(smtp.mails_to()) == 0
    assert sum(r.get("dup_of") == first for r in jobs.values()) == 4


def test_failed_runs_again_and_ends_well(queue, worker, smtp, gitlab, until):
    smtp.on("customer@example.com", rcpt="550 5.1.1 no", times=1)
    queue.push()
    queue.settled(1)
    first, _ = queue.only("failed")
    queue.push()
    queue.settled(2)
    assert queue.job(first)["state"] == "done"
    assert len(smtp.mails_to()) == 1
    until(lambda: gitlab.issues("[Failed]")[0]["state"] == "closed", "failure issue closed")


def test_failed_in_validation_takes_the_new_fields(queue, worker, smtp):
    old = {"plan": "ultimate", "license_expired_on": "2020-01-01"}
    queue.push(**old)
    queue.settled(1)
    first, record = queue.only("failed")
    assert record["err_class"] == "out_of_scope"
    queue.push(note="it is a paid plan")
    queue.settled(2)
    assert queue.job(first)["state"] == "done"
    assert "paid plan" in queue.job(first)["req"]
    assert len(smtp.mails_to()) == 1


def test_correction_is_a_license_of_its_own(queue, worker, smtp, gitlab):
    first, second = two(queue, {}, {"users": 30})
    assert second[1]["state"] == "done" and "dup_of" not in second[1]
    assert second[1]["earlier"] == first[0]
    assert len(smtp.mails_to()) == 2
    assert first[0] in gitlab.issues(text=f"Job: {second[0]}")[0]["description"]


def test_resend_request(queue, worker, smtp, gitlab):
    queue.push()
    queue.settled(1)
    first, record = queue.only("done")
    for n in range(4):
        queue.push(raw=json.dumps({"resend": first, "requested_by": f"agent {n}"}))
        queue.settled(n + 2)
    mails = smtp.mails_to()
    assert len(mails) == 4  # the first and three resends
    ids = {m.data.split(b"Message-ID: ")[1].split(b"\r\n")[0] for m in mails}
    assert len(ids) == 4
    assert record["lic"] == queue.job(first)["lic"]
    assert len(gitlab.issues("[Success]")) == 1
    refused = queue.jobs("failed")
    assert len(refused) == 1 and "three times" in next(iter(refused.values()))["err_text"]


def test_caps(queue, start_worker, smtp, ctl, until, gitlab):
    start_worker(STOPGAP_MAX_PER_ADDRESS="2")
    for n in range(3):
        queue.push(ticket_id=n + 1)
    jobs = queue.settled(3)
    (failed,) = [i for i, r in jobs.items() if r["state"] == "failed"]
    assert jobs[failed]["err_class"] == "limit"
    assert "STOPGAP_MAX_PER_ADDRESS" in jobs[failed]["err_text"]
    assert "lic" not in jobs[failed]
    assert len(smtp.mails_to()) == 2
    ctl.run("requeue", failed, "--lift-limit")
    queue.wait_state(failed, "done")
    assert len(smtp.mails_to()) == 3


def test_same_while_the_first_is_delayed(queue, start_worker, smtp, gitlab, until):
    smtp.on("customer@example.com", rcpt="451 4.3.0 later", times=1)
    start_worker(STOPGAP_BACKOFF_BASE="30s", STOPGAP_BACKOFF_CAP="30s")
    queue.push()
    until(lambda: queue.jobs("delayed"), "the first waits")
    first, record = queue.only()
    queue.push(note="where is it?")
    until(lambda: queue.jobs("done"), "the second has ended")
    (second,) = queue.jobs("done")
    is_duplicate(queue, (second, queue.job(second)), (first, None))
    # Nothing has been hurried or counted.
    assert queue.job(first)["state"] == "delayed"
    assert queue.job(first)["due_ms"] == record["due_ms"] and "reruns" not in queue.job(first)
    due = queue.client.zscore("stopgap:{licenses}:delayed", first)
    queue.client.zincrby("stopgap:{licenses}:delayed", -(due - 1), first)  # its time has come
    queue.settled(2)
    assert len(smtp.mails_to()) == len(gitlab.issues("[Success]")) == 1


def test_same_while_the_first_runs(queue, worker, smtp, gitlab, until):
    smtp.on("customer@example.com", hold_dot=True)
    queue.push()
    until(lambda: smtp.dots, "the first mail is on its way")
    (first,) = queue.jobs()
    queue.push()
    until(lambda: queue.jobs("done"), "the second has ended")
    assert queue.job(first)["state"] == "active"
    smtp.release()
    queue.settled(2)
    assert len(smtp.mails_to()) == 1 and queue.job(first)["state"] == "done"


def test_same_after_the_license_has_ended(queue, worker, smtp, gitlab):
    queue.push()
    queue.settled(1)
    first, record = queue.only("done")
    queue.client.hset("stopgap:{licenses}:job:" + first, "exp_ms",
                      int(queue.client.time()[0]) * 1000 - 1)
    queue.push()
    jobs = queue.settled(2)
    second = next(r for i, r in jobs.items() if i != first)
    assert second["state"] == "done" and "dup_of" not in second
    assert second["lic_id"] != record["lic_id"] and second["earlier"] == first
    assert len(smtp.mails_to()) == len(gitlab.issues("[Success]")) == 2
    queue.push()  # and now that one counts
    jobs = queue.settled(3)
    assert list(jobs.values())[2]["dup_of"] == list(jobs)[1]
    assert len(smtp.mails_to()) == 2


def test_discard_makes_way_for_a_new_one(queue, worker, smtp, gitlab, ctl, until):
    smtp.on("customer@example.com", rcpt="550 5.1.1 no", times=1)
    queue.push(**KEY)
    queue.settled(1)
    first, _ = queue.only("failed")
    until(lambda: queue.job(first).get("report_iid"), "the report")
    ctl.run("discard", first)
    until(lambda: gitlab.issues("[Failed]")[0]["state"] == "closed", "its issue is closed")
    queue.push(idempotency_key="another")
    jobs = queue.settled(2)
    second = next(i for i in jobs if i != first)
    assert jobs[second]["state"] == "done" and "dup_of" not in jobs[second]
    assert "s:email" in jobs[second] and jobs[first].get("reruns") is None
    assert len(smtp.mails_to()) == 1
    queue.push(**KEY)  # a replay stays one: never a requeue, whatever became of the job
    jobs = queue.settled(3)
    assert list(jobs.values())[2]["dup_of"] == first and len(smtp.mails_to()) == 1


def test_discard_of_one_that_waits(queue, start_worker, smtp, ctl, until):
    smtp.on("customer@example.com", rcpt="451 4.3.0 later", times=1)
    start_worker(STOPGAP_BACKOFF_BASE="30s", STOPGAP_BACKOFF_CAP="30s")
    queue.push()
    until(lambda: queue.jobs("delayed"), "the first waits")
    first, _ = queue.only()
    ctl.run("discard", first)
    queue.push()
    jobs = queue.settled(2)
    assert sum("s:email" in r for r in jobs.values()) == len(smtp.mails_to()) == 1
    assert "s:email" not in jobs[first]


def test_what_is_the_same(queue, worker, smtp):
    """Another spelling of the same request is the same; another ticket is not."""
    queue.push(ticket_id=1, email="Customer@example.com", users=25)
    queue.settled(1)
    first, _ = queue.only()
    queue.push(ticket_id="1", email="Customer@EXAMPLE.com", users="25", requested_by="other")
    assert next(r for i, r in queue.settled(2).items() if i != first)["dup_of"] == first
    queue.push(ticket_id=2, email="Customer@example.com")
    queue.settled(3)
    assert len(smtp.mails_to()) == 2
