"""The receiver among many clients, at its end, and behind a proxy."""

import collections
import concurrent.futures
import contextlib
import http.client
import json
import socket

import pytest
from testenv import nginx as proxy, webhook as zendesk
from testenv.certs import Authority
from testenv.wait import wait_for

INBOX = "stopgap:{licenses}:inbox"


def ids_in(queue):
    return collections.Counter(e.split(" ", 1)[0] for e in queue.client.lrange(INBOX, 0, -1))


class Crowd:
    """Idle and slow clients, from many addresses of the loopback network."""

    def __init__(self, port, idle, slow):
        self.sockets = []
        for n in range(idle + slow):
            s = socket.socket()
            s.bind((f"127.1.{n // 50}.1", 0))
            s.connect(("127.0.0.1", port))
            self.sockets.append(s)
        self.slow = self.sockets[idle:]

    def drip(self):
        """The next byte of each slow client's head, which is given up in time."""
        for s in self.slow:
            with contextlib.suppress(OSError):
                s.send(b"P")

    def ask(self):
        """Each has an answer and stays."""
        for s in self.sockets:
            s.settimeout(30)
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: a.test\r\n\r\n")
        for s in self.sockets:
            assert s.recv(4096).startswith(b"HTTP/1.1 200 ")

    def close(self):
        for s in self.sockets:
            s.close()


def test_good_request_in_a_crowd(webhook, queue):
    crowd = Crowd(webhook.port, idle=980, slow=20)
    try:
        for _ in range(10):
            crowd.drip()
            answer = webhook.deliver()
            assert answer.status == 202
            assert ids_in(queue)[answer.job_id] == 1
    finally:
        crowd.close()


@pytest.mark.parametrize("kept", [False, True], ids=["silent", "kept alive"])
def test_good_request_when_all_places_are_idle(start_webhook, queue, kept):
    """At the cap whoever is idle longest gives its place to one who comes."""
    webhook = start_webhook(STOPGAP_WEBHOOK_MAX_CONNECTIONS="1000")
    crowd = Crowd(webhook.port, idle=1000, slow=0)
    try:
        if kept:
            crowd.ask()
        for _ in range(10):
            answer = wait_for(lambda: kept_202(webhook), "a good request is answered")
            assert ids_in(queue)[answer.job_id] == 1
        webhook.wait_for(event="connections", level="warn")
    finally:
        crowd.close()


def kept_202(webhook):
    """The answer to a new client; who was refused comes again, as Zendesk does."""
    answer = webhook.deliver()
    assert answer.status in (202, 503)
    return answer if answer.status == 202 else None


def test_drain_loses_nothing(webhook, queue):
    """TERM under load: whatever was answered 202 is there, once."""
    kept = []

    def press(n):
        while True:
            try:
                answer = webhook.deliver(invocation=f"{n}-{len(kept)}")
            except (OSError, http.client.HTTPException):
                return  # it listens no more
            assert answer.status == 202
            kept.append(answer.job_id)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = [pool.submit(press, n) for n in range(8)]
        wait_for(lambda: len(kept) > 200, "some are kept")
        webhook.term()
        for one in running:
            one.result()
    assert webhook.wait() == 0
    there = ids_in(queue)
    assert set(kept) <= set(there) and max(there.values()) == 1


@contextlib.contextmanager
def half_sent(webhook):
    """A good request whose second half has not left yet; the receiver has the first."""
    raw = zendesk.encode(zendesk.request())
    with contextlib.closing(webhook.connect()) as c:
        c.putrequest("POST", "/zendesk")
        for name, value in {**zendesk.delivery(raw), "content-length": str(len(raw))}.items():
            c.putheader(name, value)
        c.endheaders(raw[:10])
        assert webhook.call("GET", "/healthz").status == 200  # came later, so it has read that
        yield c, raw[10:]


def test_what_runs_is_finished(webhook, queue):
    """TERM in the middle of a request: it is answered, then the program ends."""
    with half_sent(webhook) as (c, rest):
        webhook.term()
        webhook.wait_for(event="drain")
        with pytest.raises(OSError):
            webhook.connect().connect()
        c.send(rest)
        answer = c.getresponse()
        assert (answer.status, answer.headers["Connection"]) == (202, "close")
    assert webhook.wait() == 0
    assert len(ids_in(queue)) == 1


def test_second_term_leaves_at_once(webhook, queue):
    with half_sent(webhook):
        webhook.term()
        webhook.wait_for(event="drain")
        webhook.term()
        assert webhook.wait() == 1
        webhook.check(status=1)
    assert not ids_in(queue)


def test_drain_has_an_end(start_webhook):
    webhook = start_webhook(STOPGAP_DRAIN_TIMEOUT="0")
    with half_sent(webhook):
        webhook.term()
        assert webhook.wait() == 0
        webhook.wait_for(event="drain", level="warn")


@pytest.fixture
def nginx(folder, start_webhook):
    if proxy.missing():
        pytest.skip(proxy.missing())
    receiver = start_webhook(STOPGAP_TRUSTED_PROXIES="127.0.0.1")
    server = proxy.Nginx(folder, Authority(folder), receiver.port)
    server.receiver = receiver
    yield server
    server.stop()


def by_tls(nginx, source="127.0.0.1"):
    return contextlib.closing(http.client.HTTPSConnection(
        "localhost", nginx.port, context=nginx.context(), timeout=30, source_address=(source, 0)))


def post(connection, raw, headers):
    connection.request("POST", "/zendesk", raw, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_behind_nginx(nginx, queue):
    raw = zendesk.encode(zendesk.request())
    with by_tls(nginx) as c:
        status, answer = post(c, raw, zendesk.delivery(raw))
        assert status == 202 and ids_in(queue)[answer["job_id"]] == 1
        status, _ = post(c, raw.replace(b"25", b"26"), zendesk.delivery(raw))
        assert status == 401
        long = b"[" * 200000
        status, answer = post(c, long, zendesk.delivery(long))
        assert status == 400 and ids_in(queue)[answer["job_id"]] == 1


def test_crowd_behind_nginx(nginx, queue):
    crowd = Crowd(nginx.port, idle=980, slow=20)
    raw = zendesk.encode(zendesk.request())
    try:
        with by_tls(nginx) as c:
            for _ in range(5):
                crowd.drip()
                assert post(c, raw, zendesk.delivery(raw))[0] == 202
    finally:
        crowd.close()
    assert len(ids_in(queue)) == 5


def test_client_behind_nginx_is_in_the_log(nginx):
    raw = zendesk.encode(zendesk.request())
    with by_tls(nginx, "127.9.8.7") as c:
        assert post(c, raw, zendesk.delivery(raw))[0] == 202
    nginx.receiver.wait_for(event="answer", status=202, peer="127.9.8.7")


def test_receiver_down_behind_nginx(nginx):
    """Zendesk tries a 503 with a short Retry-After again, and no 502."""
    nginx.receiver.stop()
    raw = zendesk.encode(zendesk.request())
    with by_tls(nginx) as c:
        c.request("POST", "/zendesk", raw, zendesk.delivery(raw))
        answer = c.getresponse()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
