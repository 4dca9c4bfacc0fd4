"""The mail server's name: lookups that fail, hang or change, and addresses of which some
are dead."""

import socket

import pytest
from testenv import process
from testenv.certs import Authority
from testenv.dns import FAILURE, NO_SUCH_NAME, Dns, missing
from testenv.smtp import Smtp
from testenv.worker import Worker

# The resolver puts 127.0.0.1 before other loopback addresses, so the server is not there.
HOME = "127.53.0.9"


@pytest.fixture
def smtp():
    server = Smtp(host=HOME)
    yield server
    server.stop()
    assert server.faults == []


@pytest.fixture
def dns(folder):
    reason = missing()
    if reason:
        pytest.skip(reason)
    server = Dns(folder)
    yield server
    server.stop()


@pytest.fixture
def worker(env, dns, smtp):
    """Knows the mail server by name only."""
    program, *args = dns.command(process.program("stopgap-worker"))
    settings = {**env, "STOPGAP_SMTP_URL": f"smtp://mail.example.com:{smtp.port}",
                "STOPGAP_SMTP_TLS": "off", "STOPGAP_SMTP_TIMEOUT": "600ms"}
    worker = Worker(settings, program=f"/usr/bin/{program}", args=args)
    yield worker
    worker.stop()
    worker.check()


def done(queue, attempt):
    queue.settled(1)
    assert queue.only("done")[1]["attempt"] == attempt


def failed_mail(worker):
    line = worker.wait_for(event="step", step="email", outcome="failed")
    assert line["class"] == "transient"
    return line["err"]


@pytest.mark.parametrize("code, words", [
    (NO_SUCH_NAME, "unknown node or service"), (FAILURE, "temporary failure")])
def test_lookup_fails_for_a_while(queue, worker, dns, code, words):
    dns.answer = code
    queue.push()
    assert failed_mail(worker) == (
        f"mail server at connect: cannot resolve mail.example.com: {words}")
    dns.answer = [HOME]
    queue.settled(1)
    queue.only("done")


def test_lookup_hangs(queue, worker, dns, smtp, gitlab, until):
    """The loop goes on meanwhile: another job fails and is reported."""
    dns.answer = None
    queue.push()
    until(lambda: dns.asked, "the lookup")
    queue.push(ticket_id=2, users=0)
    until(lambda: gitlab.issues("[Failed]"), "the other job's report")
    assert failed_mail(worker) == (
        f"mail server at connect: timed out: connect to mail.example.com:{smtp.port}")
    dns.answer = [HOME]
    queue.settled(2)
    assert len(queue.jobs("done")) == 1


def test_end_while_a_lookup_hangs(queue, worker, dns, until):
    dns.answer = None
    queue.push()
    until(lambda: dns.asked, "the lookup")
    worker.term()
    assert worker.wait() == 0
    assert queue.only()[1]["state"] in ("delayed", "queued")


def test_the_answer_changes(queue, worker, dns):
    dns.answer = ["127.53.0.2"]
    queue.push()
    assert "mail server at connect: cannot connect to mail.example.com:" in failed_mail(worker)
    dns.answer = [HOME]
    queue.settled(1)
    queue.only("done")


@pytest.mark.parametrize("answer", [
    ["127.0.0.1", HOME], ["127.53.0.2", HOME], ["::1", HOME]])
def test_the_other_address_lives(queue, worker, dns, answer):
    dns.answer = answer
    queue.push()
    done(queue, "1")


def test_a_silent_address_leaves_time_for_the_other(queue, worker, dns, smtp):
    with socket.socket() as silent, socket.socket() as one, socket.socket() as two:
        silent.bind(("127.0.0.1", smtp.port))
        silent.listen(0)
        for s in one, two:  # its queue is full: nobody else is let in, nor refused
            s.setblocking(False)
            s.connect_ex(silent.getsockname())
        dns.answer = ["127.0.0.1", HOME]
        queue.push()
        done(queue, "1")


@pytest.fixture
def server6(folder):
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 on loopback")
    authority = Authority(folder)
    server = Smtp(tls_context=authority.context(names="IP:::1"), host="::1")
    yield server, authority
    server.stop()


def test_ipv6_address_with_tls(queue, start_worker, server6):
    server, authority = server6
    start_worker(STOPGAP_SMTP_URL=server.url, STOPGAP_SMTP_TLS="required",
                 STOPGAP_CA_FILE=authority.path)
    queue.push()
    done(queue, "1")
    assert server.mails_to()[0].tls


def test_no_server_at_an_ipv6_address(queue, start_worker):
    url = f"smtp://[::1]:{process.free_port()}"
    worker = start_worker(STOPGAP_SMTP_URL=url)
    queue.push()
    assert f"cannot connect to {url[7:]}: " in failed_mail(worker)
