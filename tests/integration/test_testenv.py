"""The neighbours do what the tests believe they do."""

import os
import smtplib
import socket
import ssl
import subprocess

import pytest
from testenv import logfmt, process
from testenv.smtp import DEFAULT, Smtp
from testenv.wait import wait_for
from testenv.worker import Worker

A, B = "a@example.com", "b@example.com"
TEXT = b"Subject: x\r\n\r\n.dot\r\nline\r\n"


def mail(smtp, to=A):
    with smtplib.SMTP("127.0.0.1", smtp.port, "client.test", timeout=20) as client:
        return client.sendmail("from@example.com", [to], TEXT, ["RET=HDRS"])


# --- mail server ---

def test_mail_is_kept(smtp):
    mail(smtp)
    kept = smtp.mails_to(A)[0]
    assert (kept.data, kept.mail_from, kept.rcpt) == (TEXT, "from@example.com", [A])
    assert "RET=HDRS" in kept.mail_options
    assert smtp.names == ["client.test"]
    assert smtp.mails_to(B) == []


@pytest.mark.parametrize("stage, error", [
    ("rcpt", smtplib.SMTPRecipientsRefused), ("data", smtplib.SMTPDataError),
    ("dot", smtplib.SMTPDataError)])
def test_refusals(smtp, stage, error):
    smtp.on(A, **{stage: "451 4.7.1 Later"}, times=1)
    with pytest.raises(error):
        mail(smtp)
    assert smtp.mails_to() == []
    mail(smtp, B)
    mail(smtp)  # once only
    assert len(smtp.mails_to(A)) == 1


@pytest.mark.parametrize("where, taken, dots", [
    ("rcpt", 0, 0), ("data", 0, 0), ("content", 0, 0), ("dot_lost", 0, 1), ("dot_taken", 1, 1)])
def test_drops(smtp, where, taken, dots):
    smtp.on(DEFAULT, drop=where, times=1)
    with pytest.raises((smtplib.SMTPException, ConnectionError)):
        mail(smtp)
    assert (len(smtp.mails_to()), smtp.dots) == (taken, dots)
    assert all(not m.answered for m in smtp.mails_to())
    mail(smtp)


def test_in_order_then_forget(smtp):
    smtp.on(A, rcpt="550 5.1.1 first", times=1)
    smtp.on(A, rcpt="551 5.1.6 then")
    for code in (550, 551, 551):
        with pytest.raises(smtplib.SMTPRecipientsRefused) as no:
            mail(smtp)
        assert no.value.recipients[A][0] == code
    smtp.forget(A)
    mail(smtp)


def test_held_answer(smtp):
    smtp.on(A, hold_dot=True)
    with smtplib.SMTP("127.0.0.1", smtp.port, "c", timeout=20) as client:
        client.ehlo()
        for line in (b"MAIL FROM:<x@example.com>", f"RCPT TO:<{A}>".encode(), b"DATA"):
            client.send(line + b"\r\n")
            client.getreply()
        client.send(b"text\r\n.\r\n")
        wait_for(lambda: smtp.mails_to(A), "it is taken")
        smtp.release()
        assert client.getreply()[0] == 250


def test_pipelining(smtp):
    with socket.create_connection(("127.0.0.1", smtp.port), timeout=20) as s:
        s.sendall(b"EHLO c\r\nMAIL FROM:<x@example.com>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n"
                  b"text\r\n.\r\nQUIT\r\n")
        text = b"".join(iter(lambda: s.recv(65536), b""))
    assert text.count(b"\r\n250 ") == 4  # EHLO, MAIL, RCPT, the dot
    assert smtp.mails_to(A)[0].data == b"text\r\n"


def test_lone_dot_after_refused_recipient(smtp):
    smtp.on(A, rcpt="550 5.1.1 no")
    with socket.create_connection(("127.0.0.1", smtp.port), timeout=20) as s:
        s.sendall(b"EHLO c\r\nMAIL FROM:<x@example.com>\r\nRCPT TO:<a@example.com>\r\nDATA\r\nQUIT\r\n")
        text = b"".join(iter(lambda: s.recv(65536), b""))
    assert b"550 5.1.1 no" in text and b"503 5.5.1 No valid" in text
    assert smtp.refused == [(A, "550 5.1.1 no")]


def test_rule_breakers_show():
    smtp = Smtp()
    try:
        with socket.create_connection(("127.0.0.1", smtp.port), timeout=20) as s:
            s.sendall(b"NOOP\nEHLO c\r\nRCPT TO:<x>\r\nMAIL FROM:x\r\nNONSENSE\r\n"
                      b"MAIL FROM:<x>\r\nRCPT TO:<y>\r\nDATA\r\na\nb\r\n.\r\nQUIT\r\n")
            while s.recv(65536):
                pass
        assert len(smtp.faults) == 4
    finally:
        smtp.stop()


def test_replies_for_a_verb(smtp):
    smtp.replies["MAIL"] = "550 5.7.1 We know you"
    with pytest.raises(smtplib.SMTPSenderRefused):
        mail(smtp)
    smtp.replies.clear()
    smtp.greeting = "421 4.3.2 Closing"
    with pytest.raises(smtplib.SMTPConnectError):
        mail(smtp)


def test_down_and_up(smtp):
    smtp.down()
    with pytest.raises(ConnectionRefusedError):
        mail(smtp)
    smtp.up()
    mail(smtp)


def test_tls_and_auth(folder):
    pem = os.path.join(folder, "tls.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pem,
                    "-out", pem + ".crt", "-days", "2", "-subj", "/CN=localhost"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem + ".crt", pem)
    smtp = Smtp(tls_context=context)
    smtp.users["user"] = "password"
    plain = ssl._create_unverified_context()
    try:
        with smtplib.SMTP("127.0.0.1", smtp.port, "c", timeout=20) as client:
            client.ehlo()
            assert "auth" not in client.esmtp_features
            client.starttls(context=plain)
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("user", "wrong")
            client.login("user", "password")
            client.sendmail("x@example.com", [A], TEXT)
        assert (smtp.mails_to()[0].tls, smtp.mails_to()[0].user) == (True, "user")
    finally:
        smtp.stop()


# --- Redis ---

def test_redis_survives_a_kill(redis):
    redis.client.set("key", "value")
    redis.kill()
    redis.start()
    assert redis.client.get("key") == "value"
    assert redis.client.config_get("appendonly") == {"appendonly": "yes"}


def test_redis_by_port(redis):
    with socket.create_connection(("127.0.0.1", redis.port), timeout=20) as s:
        s.sendall(b"PING\r\n")
        assert s.recv(100) == b"+PONG\r\n"


# --- programs ---

@pytest.mark.parametrize("line, fields", [
    ("level=info event=ready", {"level": "info", "event": "ready"}),
    ('a="x y" b="q\\"\\\\\\n\\u0001" c=', {"a": "x y", "b": 'q"\\\n\x01', "c": ""}),
    ('{"level":"info","n":5}', {"level": "info", "n": "5"}),
    ("free text", None), ('a="unclosed', None), ("{broken", None), ("", None)])
def test_log_lines(line, fields):
    assert logfmt.parse(line + "\n") == fields


def pretend(folder, monkeypatch, script):
    """A worker that is a shell script."""
    path = os.path.join(folder, "stopgap-worker")
    with open(path, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + script)
    os.chmod(path, 0o700)
    monkeypatch.setenv("BUILD_DIR", folder)
    return Worker({"STOPGAP_X": "y"}, ready=False)


READY = "echo level=info event=ready x=$STOPGAP_X build=$BUILD_DIR\n"


def test_worker_is_read_and_ends(folder, monkeypatch):
    worker = pretend(folder, monkeypatch, READY + "exec sleep 1000\n")
    assert worker.wait_for(event="ready")["x"] == "y"
    assert worker.lines()[0]["build"] == ""  # nothing of our own environment
    worker.kill()
    worker.check()
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)


@pytest.mark.parametrize("script, words", [
    ("echo level=error event=boom\n", "errors in the log"),
    ("echo 'x.c:5:3: runtime error: shift'\n", "runtime error:"),
    ("echo 'w: x.c:5: f: Assertion `0'\"' failed.\"\n", "Assertion"),
    ("exit 3\n", "exit status 3"),
])
def test_worker_is_judged(folder, monkeypatch, script, words):
    worker = pretend(folder, monkeypatch, script)
    worker.wait()
    with pytest.raises(AssertionError, match=words):
        worker.check()


def test_expected_errors_are_allowed(folder, monkeypatch):
    worker = pretend(folder, monkeypatch, "echo level=error event=boom\n")
    worker.allow("event=boom")
    worker.wait()
    worker.check()


def test_waiting_ends_with_the_worker(folder, monkeypatch):
    worker = pretend(folder, monkeypatch, "exit 2\n")
    with pytest.raises(AssertionError, match="the worker ended"):
        worker.wait_for(event="ready")
    worker.wait()


def test_children_end_with_us():
    assert process.stop(process.start(["sleep", "1000"])) == -15
