"""TLS and log-in at the mail server: nothing leaves before both are as the settings want
them, and the operator reads why."""

import base64
import ssl
import warnings

import pytest
from testenv.certs import LONG_AGO, Authority
from testenv.smtp import Smtp

ADDRESS = "customer@example.com"
USER, PASSWORD = "stopgap", "pass word=\u00e4"


@pytest.fixture
def authority(folder):
    return Authority(folder)


@pytest.fixture
def serve():
    """serve(context, ...): a mail server that speaks TLS."""
    servers = []

    def start(context, implicit=False, users=None):
        server = Smtp(tls_context=context, implicit_tls=implicit)
        server.users.update(users or {})
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()
        assert server.faults == []


@pytest.fixture
def connect(start_worker, authority):
    """connect(server, ...): a worker that mails through it, over TLS only."""
    def start(server, user=None, **changes):
        login = {"STOPGAP_SMTP_USER": USER, "STOPGAP_SMTP_PASSWORD": PASSWORD} if user else {}
        return start_worker(**{"STOPGAP_SMTP_URL": server.url, "STOPGAP_SMTP_TLS": "required",
                               "STOPGAP_CA_FILE": authority.path, **login, **changes})
    return start


def done(queue, server):
    queue.settled(1)
    queue.only("done")
    (mail,) = server.mails_to(ADDRESS)
    return mail


def verbs(server):
    return [c.split(" ")[0] for c in server.commands]


def waits(queue, worker, cls, outcome):
    """The job was put off, for this class of error; what the operator reads."""
    queue.push()
    line = worker.wait_for(event="job", outcome=outcome)
    assert line["class"] == cls
    assert queue.jobs("failed") == {}
    return line["err"]


def nothing_left(server):
    assert server.mails_to() == [] and server.logins == []
    assert not {"AUTH", "MAIL", "RCPT", "DATA"} & set(verbs(server))


# --- TLS ---

@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("implicit", [False, True])
def test_checked_tls(queue, authority, serve, connect, implicit, host):
    server = serve(authority.context(), implicit)
    connect(server, STOPGAP_SMTP_URL=server.url.replace("127.0.0.1", host))
    queue.push()
    assert done(queue, server).tls


def test_conversation_over_starttls(queue, authority, serve, connect):
    server = serve(authority.context(), users={USER: PASSWORD})
    connect(server, user=True)
    queue.push()
    mail = done(queue, server)
    assert (mail.tls, mail.user) == (True, USER)
    assert verbs(server)[:7] == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"]
    assert server.logins == [("PLAIN", USER, PASSWORD, True)]


REFUSED = {
    "wrong_name": (dict(names="DNS:other.example"), "IP address mismatch"),
    "expired": (dict(span=LONG_AGO), "certificate has expired"),
    "self_signed": (dict(alone=True), "self-signed certificate"),
    "unknown_authority": (dict(), "unable to get local issuer certificate"),
}


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("fault", REFUSED)
def test_refused_certificate(queue, folder, authority, serve, connect, fault, implicit):
    how, words = REFUSED[fault]
    signer = Authority(folder, "other") if fault == "unknown_authority" else authority
    server = serve(signer.context(**how), implicit, users={USER: PASSWORD})
    worker = connect(server, user=True)
    said = waits(queue, worker, "transient", "retry")
    assert f"certificate of 127.0.0.1 refused: {words}" in said
    assert "CN = " in said and "valid until" in said  # which one of a chain
    nothing_left(server)


def test_name_of_another_host(queue, authority, serve, connect):
    server = serve(authority.context(names="DNS:other.example,IP:127.0.0.1"))
    worker = connect(server, STOPGAP_SMTP_URL=server.url.replace("127.0.0.1", "localhost"))
    said = waits(queue, worker, "transient", "retry")
    assert "certificate of localhost refused: hostname mismatch" in said
    nothing_left(server)


def test_old_tls_is_refused(queue, authority, serve, connect):
    context = authority.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    server = serve(context)
    assert "TLS" in waits(queue, connect(server), "transient", "retry")
    nothing_left(server)


def test_stripped_starttls(queue, authority, serve, connect):
    """Somebody between us and the server takes STARTTLS out of its offer."""
    server = serve(None, users={USER: PASSWORD})
    server.auth_in_clear = True
    worker = connect(server, user=True)
    worker.allow("lane_closed")
    said = waits(queue, worker, "auth", "waits")
    assert "TLS is required, but the server does not offer it" in said
    nothing_left(server)


@pytest.mark.parametrize("reply, cls, outcome", [
    ("454 4.7.0 TLS not available due to temporary reason", "transient", "retry"),
    ("421 4.3.2 Closing", "transient", "retry"),
    ("502 5.5.1 Not implemented", "auth", "waits"),
])
def test_starttls_refused(queue, authority, serve, connect, reply, cls, outcome):
    server = serve(authority.context())
    server.at("STARTTLS", reply)
    worker = connect(server)
    worker.allow("lane_closed")
    assert f"mail server at STARTTLS: {reply}" in waits(queue, worker, cls, outcome)
    nothing_left(server)


@pytest.mark.parametrize("what", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03", "DROP"])
def test_broken_handshake(queue, authority, serve, connect, what):
    server = serve(authority.context())
    server.at("handshake", what, times=1)
    worker = connect(server, STOPGAP_SMTP_TIMEOUT="300ms")
    assert "mail server at STARTTLS: " in waits(queue, worker, "transient", "retry")
    assert done(queue, server).tls


def test_words_before_tls_are_thrown_away(queue, authority, serve, connect):
    """CVE-2011-0411 the other way round: were they kept, they would be the answers to EHLO
    and AUTH, and what the mail goes to is not the server of the certificate."""
    server = serve(authority.context(), users={USER: PASSWORD})
    server.injected = b"250-evil\r\n250 AUTH LOGIN\r\n235 fine\r\n250 fine\r\n554 evil\r\n"
    connect(server, user=True)
    queue.push()
    mail = done(queue, server)
    assert (mail.tls, mail.user) == (True, USER)
    assert [login[0] for login in server.logins] == ["PLAIN"]  # the real offer's first
    assert queue.only()[1]["attempt"] == "1"


# --- AUTH ---

@pytest.mark.parametrize("offer, mechanism", [
    ("AUTH PLAIN LOGIN", "PLAIN"), ("AUTH PLAIN", "PLAIN"), ("AUTH LOGIN", "LOGIN"),
    ("auth=LOGIN", "LOGIN"), ("AUTH GSSAPI login XOAUTH2", "LOGIN")])
def test_log_in(queue, authority, serve, connect, offer, mechanism):
    server = serve(authority.context(), users={USER: PASSWORD})
    server.auth = offer
    connect(server, user=True)
    queue.push()
    assert done(queue, server).user == USER
    assert server.logins == [(mechanism, USER, PASSWORD, True)]


@pytest.mark.parametrize("offer, words", [
    ("XAUTH PLAIN", "a user is set, but the server offers no AUTH"),
    ("AUTH GSSAPI", "the server offers neither AUTH PLAIN nor AUTH LOGIN"),
])
def test_no_log_in_offered(queue, authority, serve, connect, offer, words):
    server = serve(authority.context(), users={USER: PASSWORD})
    server.auth = offer
    worker = connect(server, user=True)
    worker.allow("lane_closed")
    assert words in waits(queue, worker, "auth", "waits")
    nothing_left(server)


def test_wrong_password_then_the_right_one(queue, authority, serve, connect):
    server = serve(authority.context(), users={USER: "another"})
    worker = connect(server, user=True)
    worker.allow("lane_closed")
    said = waits(queue, worker, "auth", "waits")
    assert "mail server at AUTH: 535 5.7.8 Authentication credentials invalid" in said
    server.users[USER] = PASSWORD
    done(queue, server)
    assert queue.only()[1]["attempt"] == "1"
    assert PASSWORD not in worker.text()


@pytest.mark.parametrize("reply, cls, outcome", [
    ("454 4.7.0 Temporary authentication failure", "transient", "retry"),
    ("421 4.7.0 Too many of you", "transient", "retry"),
    ("534 5.7.9 Application password required", "auth", "waits"),
    (b"334 \r\n", "transient", "retry"),  # a question where there is none
])
def test_log_in_refused(queue, authority, serve, connect, reply, cls, outcome):
    server = serve(authority.context(), users={USER: PASSWORD})
    server.at("AUTH", reply, times=1)
    worker = connect(server, user=True)
    worker.allow("lane_closed")
    assert "mail server at AUTH: " in waits(queue, worker, cls, outcome)
    done(queue, server)


@pytest.mark.parametrize("said", ["501 5.5.2 What is {}?", "535 5.7.8 Wrong: " + PASSWORD])
def test_a_password_that_is_repeated_is_not_told(queue, authority, serve, connect, said):
    """Some servers say the line again that they did not like."""
    server = serve(authority.context(), users={USER: PASSWORD})
    server.at("AUTH", said, times=1)
    worker = connect(server, user=True)
    worker.allow("lane_closed")
    words = waits(queue, worker, "auth", "waits")
    assert words == f"mail server at AUTH: {said[:3]} (words that repeat the password)"
    done(queue, server)
    everything = worker.text() + str(queue.only()) + str(queue.log(queue.only()[0]))
    for secret in PASSWORD, base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode():
        assert secret not in everything


def test_never_in_the_clear_to_another_host(start_worker):
    """Already the settings are refused."""
    worker = start_worker(ready=False, STOPGAP_SMTP_URL="smtp://mail.example.com:25",
                          STOPGAP_SMTP_TLS="off", STOPGAP_SMTP_USER=USER,
                          STOPGAP_SMTP_PASSWORD=PASSWORD)
    assert worker.wait() == 2
    assert "STOPGAP_SMTP_TLS" in worker.text()
    worker.check(status=2)


# --- what the server offers besides ---

def test_dsn_where_offered(queue, authority, serve, connect):
    server = serve(authority.context())
    connect(server)
    queue.push()
    mail = done(queue, server)
    job_id, _ = queue.only()
    assert {"RET=HDRS", f"ENVID={job_id}"} <= set(mail.mail_options)
    assert mail.rcpt_options == [["NOTIFY=FAILURE,DELAY"]]
    (size,) = [o for o in mail.mail_options if o.startswith("SIZE=")]
    assert int(size[5:]) == len(mail.data)


def test_offer_before_tls_is_forgotten(queue, authority, serve, connect):
    """What is offered in the clear may have been put there by anybody."""
    server = serve(authority.context())
    clear, server.extensions = server.extensions, []
    server.at("EHLO", "250 mail.test\n" + "\n".join(f"250 {w}" for w in clear)
              + "\n250 STARTTLS", times=1)
    connect(server)
    queue.push()
    mail = done(queue, server)
    assert mail.mail_options == [] and mail.rcpt_options == [[]]


def test_too_large_for_the_server(queue, authority, serve, connect, gitlab, until):
    server = serve(authority.context())
    server.extensions = ["SIZE 1000"]
    connect(server)
    queue.push()
    queue.settled(1)
    _, record = queue.only("failed")
    assert record["err_class"] == "permanent" and "takes 1000" in record["err_text"]
    assert "MAIL" not in verbs(server)
    until(lambda: gitlab.issues("[Failed]"), "the failure issue")
