"""Certificates and TLS that do not hold, at all five peers: each is named with the reason,
and nothing leaves that a stranger may not read. Asked by doctor, whose connections are
those of the worker; that the worker waits for a certificate is in test_smtp_tls.py,
test_gitlab_net.py and test_redis_urls.py."""

import base64

import pytest
from testenv import bad_certs
from testenv.certs import Authority
from testenv.ctl import Ctl
from testenv.dns import Dns, missing
from testenv.hostile import Hostile

HOST = "peer.deep.stopgap.test"
PEERS = ("redis", "smtp", "gitlab", "slack", "zendesk")
SECRETS = {peer: f"secret-of-{peer}-0123456789" for peer in PEERS}
USER = "licenses@vendor.example"

MISMATCH = f"certificate of {HOST} refused: hostname mismatch"

# What a server shows, and what is said of it.
KINDS = {
    bad_certs.self_signed: "refused: self-signed certificate",
    bad_certs.expired: "refused: certificate has expired",
    bad_certs.not_yet_valid: "refused: certificate is not yet valid",
    bad_certs.unknown_authority: "refused: unable to get local issuer certificate",
    bad_certs.wrong_name: MISMATCH,
    bad_certs.name_as_a_prefix: MISMATCH,
    bad_certs.name_as_common_name_only: MISMATCH,
    bad_certs.wildcard_over_two_labels: MISMATCH,
    bad_certs.wildcard_of_all: MISMATCH,
    bad_certs.signed_by_a_server: "refused: invalid CA certificate",
    bad_certs.of_a_client: "refused: unsuitable certificate purpose",
    bad_certs.rsa_of_1024_bits: "refused: EE certificate key too weak",
    bad_certs.signed_with_sha1: "refused: CA signature digest algorithm too weak",
    bad_certs.tls_1_1_only: "protocol version",
    bad_certs.null_ciphers: "handshake failure",
    bad_certs.nobodys: "handshake failure",
}


def all_forms(secret, user):
    """As it would be on the wire."""
    plain = [secret, f"\0{user}\0{secret}", f"{user}/token:{secret}"]
    return [p.encode() for p in plain] + [base64.b64encode(p.encode()) for p in plain]


def takes_all(line):
    line.readline()


@pytest.fixture
def context_now():
    """[context]: of the mail server, which begins TLS in the middle."""
    return [None]


@pytest.fixture
def peers(context_now):
    def mail(line):
        line.say(b"220 mail.test\r\n")
        line.readline()
        line.say(b"250-mail.test\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n")
        line.readline()
        line.say(b"220 go\r\n")
        line.start_tls(context_now[0])
        line.readline()
        line.say(b"250-mail.test\r\n250 AUTH PLAIN\r\n")
        takes_all(line)

    made = {peer: Hostile(mail if peer == "smtp" else takes_all) for peer in PEERS}
    yield made
    for peer in made.values():
        peer.stop()


@pytest.fixture
def dns(folder):
    reason = missing()
    if reason:
        pytest.skip(reason)
    server = Dns(folder)
    server.answer = ["127.0.0.1"]
    yield server
    server.stop()


@pytest.fixture
def authority(folder):
    return Authority(folder)


def settings(peers, authority, host):
    url = {peer: server.url("https", host) for peer, server in peers.items()}
    return {
        "STOPGAP_CA_FILE": authority.path,
        "STOPGAP_REDIS_URL": peers["redis"].url("rediss", f"u:{SECRETS['redis']}@{host}"),
        "STOPGAP_SMTP_URL": peers["smtp"].url("smtp", host), "STOPGAP_SMTP_TLS": "required",
        "STOPGAP_SMTP_USER": USER, "STOPGAP_SMTP_PASSWORD": SECRETS["smtp"],
        "STOPGAP_MAIL_FROM": USER,
        "STOPGAP_GITLAB_URL": url["gitlab"], "STOPGAP_GITLAB_PROJECT": "a/b",
        "STOPGAP_GITLAB_TOKEN": SECRETS["gitlab"],
        "STOPGAP_SLACK_WEBHOOK_URL": url["slack"] + "/services/" + SECRETS["slack"],
        "STOPGAP_ZENDESK_URL": url["zendesk"], "STOPGAP_ZENDESK_USER": USER,
        "STOPGAP_ZENDESK_TOKEN": SECRETS["zendesk"],
    }


def show(peers, context_now, context):
    for name, peer in peers.items():
        peer.forget()
        peer.context = None if name == "smtp" else context
    context_now[0] = context


def told(ctl):
    """{peer: what doctor says of it}"""
    report = ctl.run("doctor", "--json", status=1)
    words = {peer: " ".join(c["found"] for c in report.json["checks"]
                            if c["check"].startswith(peer) and c["result"] == "failed")
             for peer in PEERS}
    for peer in PEERS:
        for form in all_forms(SECRETS[peer], USER):
            assert form not in report.out.encode(), peer
    return words


def test_nothing_is_told_to_a_stranger(peers, context_now, authority, dns):
    ctl = Ctl(settings(peers, authority, HOST), inside=dns.command())
    for kind, want in KINDS.items():
        show(peers, context_now, kind(authority, HOST))
        words = told(ctl)
        for peer, server in peers.items():
            assert want in words[peer], (kind.__name__, peer, words[peer])
            heard = server.heard
            assert heard.count(b"\r\n") == (2 if peer == "smtp" else 0), (kind.__name__, heard)


def test_a_good_one_gets_what_is_its_own(peers, context_now, authority, dns):
    """And is told whom we want: the others learn as much."""
    show(peers, context_now, authority.context(names=f"DNS:{HOST}"))
    told(Ctl(settings(peers, authority, HOST), inside=dns.command()))
    for peer, server in peers.items():
        own = [f for f in all_forms(SECRETS[peer], USER) if f in server.heard]
        others = [f for p in PEERS for f in all_forms(SECRETS[p], USER)
                  if p != peer and f in server.heard]
        assert own and not others, (peer, server.heard)
        assert set(server.names) == {HOST} or peer == "smtp"


def test_by_address(peers, context_now, authority):
    """An address in the subject is no address of the certificate; nor is it a name to tell."""
    ctl = Ctl(settings(peers, authority, "127.0.0.1"))
    show(peers, context_now, authority.context(names="DNS:localhost", name="127.0.0.1"))
    words = told(ctl)
    for peer, server in peers.items():
        assert "certificate of 127.0.0.1 refused: IP address mismatch" in words[peer], peer
        assert set(server.names) <= {None}
        assert server.heard.count(b"\r\n") == (2 if peer == "smtp" else 0)


STRICT = """openssl_conf = top
[top]
ssl_conf = ssl
[ssl]
system_default = all
[all]
CipherString = DEFAULT@SECLEVEL=3
"""


def test_a_system_that_asks_for_more_is_obeyed(peers, context_now, authority, tmp_path):
    """128 bits: RSA of 3072 and up."""
    strict = tmp_path / "openssl.cnf"
    strict.write_text(STRICT)
    show(peers, context_now, authority.context(key=("rsa:2048",)))
    words = told(Ctl(settings(peers, authority, "127.0.0.1") | {"OPENSSL_CONF": str(strict)}))
    for peer, server in peers.items():
        assert "refused: EE certificate key too weak" in words[peer], (peer, words[peer])
        assert server.heard.count(b"\r\n") == (2 if peer == "smtp" else 0)


BEFORE_TLS = {
    "redis": b"+OK\r\n+OK\r\n+PONG\r\n" * 20,
    "smtp": b"250-evil\r\n250 AUTH LOGIN\r\n235 come in\r\n250 fine\r\n",
    "gitlab": b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{\"visibility\":\"private\"}",
    "slack": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "zendesk": b"HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{\"user\":{\"id\":1,\"role\":\"admin\"}}",
}


@pytest.mark.parametrize("tls_follows", [True, False])
def test_answers_in_the_clear_before_tls(peers, context_now, authority, tls_follows):
    """From the server, or from somebody between: not one of them is believed."""
    context = authority.context()

    def first(peer, after):
        def serve(line):
            if peer == "smtp":
                for answer in (b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n", b"220 go\r\n"):
                    line.say(answer)
                    if b"go" not in answer:
                        line.readline()
                line.read(5)  # a handshake's begin
            line.say(BEFORE_TLS[peer])
            if after:
                line.start_tls(context)
            line.read(5)
        return serve

    for peer, server in peers.items():
        server.serve = first(peer, tls_follows)
    report = told(Ctl(settings(peers, authority, "127.0.0.1")))
    for peer, server in peers.items():
        assert report[peer], peer
        assert "wrong version number" in report[peer], (peer, report[peer])
        for secret in SECRETS.values():
            assert not [f for f in all_forms(secret, USER) if f in server.heard], peer
