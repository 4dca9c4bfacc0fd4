"""Mail servers that others have written: Postfix, and aiosmtpd."""

import base64
import email
import email.policy
import os
import re
import shutil
import tempfile

import pytest
from testenv import postfix, process
from testenv.certs import Authority

USER, PASSWORD = "stopgap", "pass word=\u00e4"


@pytest.fixture(scope="module")
def authority():
    path = tempfile.mkdtemp(prefix="sg-")
    yield Authority(path)
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def server(authority):
    """One for all: it takes its time to start."""
    reason = postfix.missing()
    if reason:
        pytest.skip(reason)
    server = postfix.Postfix(os.path.dirname(authority.folder), *authority.issue(),
                             users={USER: PASSWORD})
    yield server
    server.stop()


@pytest.fixture
def connect(start_worker, authority):
    def start(url, **changes):
        return start_worker(**{
            "STOPGAP_SMTP_URL": url, "STOPGAP_SMTP_TLS": "required",
            "STOPGAP_CA_FILE": authority.path, "STOPGAP_SMTP_USER": USER,
            "STOPGAP_SMTP_PASSWORD": PASSWORD, **changes})
    return start


def push(queue, count):
    for n in range(count):
        queue.push(ticket_id=n + 1, email=f"c{n}@example.com", requested_by=f"agent{n}")


def encoded_license(text):
    """The attachment as it went over the wire, decoded by hand: no mail library's idea of
    line ends comes between."""
    message = email.message_from_bytes(text, policy=email.policy.default)
    assert message.defects == []
    (attachment,) = message.iter_attachments()
    assert attachment["Content-Transfer-Encoding"] == "base64"
    return base64.b64decode(attachment.get_payload())


def check_mails(jobs, texts):
    """One mail for each job, with its license byte for byte."""
    found = {job: [] for job in jobs}
    for text in texts:
        job = email.message_from_bytes(text)["X-Stopgap-Job"]
        if job in jobs:
            found[job].append(text)
    for job, mine in found.items():
        assert len(mine) == 1, job
        assert encoded_license(mine[0]) == jobs[job]["lic"].encode()
        assert email.message_from_bytes(mine[0])["Message-ID"] == jobs[job]["msgid"]


def delivered(until, server, jobs):
    """Postfix has said "queued", which is not yet in the maildir."""
    def all_there():
        there = {email.message_from_bytes(text)["X-Stopgap-Job"] for text in server.mails()}
        return set(jobs) <= there
    until(all_there, lambda: f"the mails of {len(jobs)} jobs: {server.log()}")
    check_mails(jobs, server.mails())


def test_postfix_starttls_a_hundred(queue, connect, server, until):
    connect(f"smtp://127.0.0.1:{server.starttls}")
    push(queue, 100)
    queue.settled(100, deadline=60)
    jobs = queue.jobs("done")
    assert len(jobs) == 100
    delivered(until, server, jobs)
    assert {r["attempt"] for r in jobs.values()} == {"1"}
    assert set(server.logins) == {("PLAIN", USER, PASSWORD, True)}
    assert len(server.logins) <= 8  # connections are kept
    assert all(re.search(r" 250 2\.0\.0 Ok: queued as \w+$", r["s:email"]) for r in jobs.values())
    trouble = [line for line in server.log().splitlines()
               if re.search("warning|error|fatal|panic|lost connection|timeout", line)]
    assert trouble == []


def test_postfix_smtps_and_a_refused_login(queue, connect, server, until):
    url = f"smtps://127.0.0.1:{server.smtps}"
    worker = connect(url, STOPGAP_SMTP_PASSWORD="wrong")
    worker.allow("lane_closed")
    push(queue, 5)
    line = worker.wait_for(event="lane_closed")
    assert line["class"] == "auth" and "mail server at AUTH: 535 5.7.8 " in line["err"]
    worker.stop()
    connect(url)
    queue.settled(5)
    delivered(until, server, queue.jobs("done"))
    assert len(queue.jobs("done")) == 5
    assert server.logins[-1] == ("PLAIN", USER, PASSWORD, True)


def test_postfix_refuses_a_recipient(queue, connect, server):
    """Its words, after a whole pipelined group was sent."""
    connect(f"smtp://127.0.0.1:{server.starttls}")
    push(queue, 1)
    queue.push(ticket_id=2, email="refused@example.com")
    queue.settled(2)
    ((_, failed),) = queue.jobs("failed").items()
    assert failed["err_class"] == "permanent" and failed["err_code"] == "550"
    assert "mail server at RCPT TO: 550 5.1.1" in failed["err_text"]
    assert "No such customer" in failed["err_text"]
    ((_, done),) = queue.jobs("done").items()
    assert done["attempt"] == "1"


class Keeper:
    def __init__(self):
        self.mails = []

    async def handle_DATA(self, _server, _session, envelope):
        self.mails.append(envelope.content)
        return "250 2.0.0 kept"


def test_aiosmtpd(queue, connect, authority):
    controller = pytest.importorskip("aiosmtpd.controller")
    smtp = pytest.importorskip("aiosmtpd.smtp")
    keeper, seen = Keeper(), []

    def judge(_server, _session, _envelope, mechanism, data):
        seen.append((mechanism, data.login, data.password))
        return smtp.AuthResult(success=data.password == PASSWORD.encode())

    server = controller.Controller(
        keeper, hostname="127.0.0.1", port=process.free_port(), authenticator=judge,
        auth_required=True, require_starttls=True, tls_context=authority.context())
    server.start()
    try:
        connect(f"smtp://127.0.0.1:{server.port}")
        push(queue, 10)
        jobs = queue.settled(10)
        assert len(keeper.mails) == 10
        check_mails(jobs, keeper.mails)
        assert set(seen) == {("PLAIN", USER.encode(), PASSWORD.encode())}
    finally:
        server.stop()
