"""HUP: templates and key are read again; a fault leaves the old ones in place. TSTP, CONT:
no jobs are taken for a while."""

import email
import email.policy
import os
import shutil
import signal

import pytest

LATER = {"STOPGAP_BACKOFF_BASE": "30s", "STOPGAP_BACKOFF_CAP": "30s"}


@pytest.fixture
def templates(env, folder):
    """write(file, text): a template of the operator's."""
    env["STOPGAP_TEMPLATE_DIR"] = os.path.join(folder, "templates")
    os.mkdir(env["STOPGAP_TEMPLATE_DIR"])

    def write(name, text):
        with open(os.path.join(env["STOPGAP_TEMPLATE_DIR"], name), "w", encoding="utf-8") as f:
            f.write(text)
    return write


def reload(worker, times=1, level="info"):
    worker.signal(signal.SIGHUP)
    worker.wait_for(event="reload", level=level, count=times)


def message(mail):
    return email.message_from_bytes(mail.data, policy=email.policy.default)


def license_of(mail):
    (part,) = message(mail).iter_attachments()
    return part.get_payload(decode=True).decode()


def one(queue, smtp, ticket):
    """The ticket-th job, run to its end; its mail."""
    queue.push(ticket_id=ticket, email=f"c{ticket}@example.com")
    queue.settled(ticket)
    return smtp.mails_to(f"c{ticket}@example.com")[-1]


def test_a_new_template_counts_for_later_mails(queue, start_worker, smtp, templates):
    templates("mail.subject", "Before {{ticket}}")
    worker = start_worker()
    assert message(one(queue, smtp, 1))["Subject"] == "Before 1"
    templates("mail.subject", "After {{ticket}} für {{users}}")
    assert message(one(queue, smtp, 2))["Subject"] == "Before 2"  # not read before it is told
    reload(worker)
    assert message(one(queue, smtp, 3))["Subject"] == "After 3 für 25"


@pytest.mark.parametrize("name,text", [
    ("mail.subject", "two\nlines"), ("mail.txt", "{{license}} {{end_date}} {{no_such}}"),
    ("mail.txt", "without what is needed"), ("mail.html", "{{license}} {{end_date"),
    ("mail.txt", "{{license}} {{end_date}}" + "x" * 40000)])
def test_a_broken_template_changes_nothing(queue, start_worker, smtp, templates, name, text):
    templates("mail.subject", "Before {{ticket}}")
    worker = start_worker()
    before = message(one(queue, smtp, 1))
    worker.allow("event=reload")
    if name != "mail.subject":
        templates("mail.subject", "After {{ticket}}")  # whole, but one fault stops all
    templates(name, text)
    reload(worker, level="error")
    (line,) = worker.lines(event="reload")
    assert "nothing changed" in line["msg"] and name in line["msg"]
    after = message(one(queue, smtp, 2))
    assert after["Subject"] == "Before 2"
    for kind in ("plain", "html"):
        assert len(after.get_body((kind,)).get_content()) == pytest.approx(
            len(before.get_body((kind,)).get_content()), abs=20)


def test_a_new_key_signs_later_licenses(queue, start_worker, smtp, ctl, key, folder):
    other = ctl.keygen(os.path.join(folder, "other.key"))
    old_pub = shutil.copy(key + ".pub", folder + "/old.pub")
    worker = start_worker()

    def signed_by(mail, pub, status):
        with open(folder + "/mailed", "w", encoding="ascii") as f:
            f.write(license_of(mail))
        ctl.run("verify", folder + "/mailed", "--key", pub, status=status)

    signed_by(one(queue, smtp, 1), old_pub, 0)
    os.replace(other, key)
    reload(worker)
    mail = one(queue, smtp, 2)
    signed_by(mail, other + ".pub", 0)
    signed_by(mail, old_pub, 1)

    # One that others may read, and one that is none: the key that there is stays.
    worker.allow("event=reload")
    os.chmod(key, 0o644)
    reload(worker, level="error")
    signed_by(one(queue, smtp, 3), other + ".pub", 0)
    os.unlink(key)
    reload(worker, level="error", times=2)
    signed_by(one(queue, smtp, 4), other + ".pub", 0)


def test_a_signed_license_keeps_its_bytes(queue, start_worker, smtp, ctl, until, key, folder,
                                          templates):
    """Mailed once with the answer lost: the resend carries the same license, although the
    worker has another key and other texts by then."""
    smtp.on("customer@example.com", drop="dot_taken", times=1)
    worker = start_worker(**LATER)
    queue.push()
    until(lambda: queue.jobs("delayed"), "it waits for its next attempt")
    job_id, record = queue.only()
    os.replace(ctl.keygen(os.path.join(folder, "other.key")), key)
    templates("mail.subject", "Other words")
    reload(worker)
    queue.client.zadd("stopgap:{licenses}:delayed", {job_id: 1000000000000})
    queue.settled(1)
    first, second = smtp.mails_to()
    assert license_of(first) == license_of(second) == record["lic"]
    assert message(first)["Message-ID"] == message(second)["Message-ID"]
    assert message(first)["Date"] == message(second)["Date"]
    assert message(second)["Subject"] == "Other words"
    done = queue.job(job_id)
    assert (done["lic"], done["kid"]) == (record["lic"], record["kid"])


def test_a_reload_in_the_middle_of_a_mail(queue, start_worker, smtp, until, templates):
    smtp.on("customer@example.com", hold_dot=True)
    worker = start_worker()
    queue.push()
    until(lambda: smtp.dots, "the mail is on its way")
    for n in range(5):
        templates("mail.subject", f"Number {n}")
        reload(worker, times=n + 1)
    smtp.release()
    queue.settled(1)
    assert len(smtp.mails_to()) == 1 and queue.only("done")


def test_quiet_takes_no_jobs(queue, start_worker, smtp, until):
    worker = start_worker()
    worker.signal(signal.SIGTSTP)
    worker.wait_for(event="quiet")
    queue.push()
    until(lambda: queue.jobs("queued"), "adopted, but not begun")
    assert not smtp.mails_to()
    assert queue.only()[1]["attempt"] == "0"
    worker.signal(signal.SIGCONT)
    worker.wait_for(event="running")
    queue.settled(1)
    assert len(smtp.mails_to()) == 1
