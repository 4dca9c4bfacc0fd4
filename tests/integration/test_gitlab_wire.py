"""What GitLab's connections can do: how many there are, and answers that are broken on
their way. Never a second issue, never a second mail."""

import gzip

import pytest
from testenv.wire import Answer, Wire, made

CONNECTIONS = 32  # requests to GitLab at a time
PROJECT = "support%2Femergency-licenses"


@pytest.fixture
def wire(gitlab, env):
    """Between the worker and GitLab."""
    relay = Wire(gitlab)
    env["STOPGAP_GITLAB_URL"] = relay.url
    yield relay
    relay.stop()


def push_many(queue, count):
    for n in range(1, count + 1):
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"agent{n}")


def test_connections_are_kept(queue, start_worker, gitlab, wire):
    start_worker(STOPGAP_CONCURRENCY="64")
    push_many(queue, 200)
    queue.settled(200, deadline=60)
    assert len(gitlab.issues("[Success]")) == 200
    assert wire.connections <= CONNECTIONS


# --- answers that are spoilt on their way ---

def gone(_):
    return []


def cut(answer):
    return [answer.head() + answer.body[:len(answer.body) // 2]]


def header_only(answer):
    return [answer.head()]


def half_a_header(answer):
    return [answer.head()[:40]]


def too_short(answer):
    """Claims more than there is."""
    return [answer.head(length=len(answer.body) + 10) + answer.body]


def too_long(answer):
    """Claims less than there is: the rest would begin the next answer."""
    return [answer.head(length=len(answer.body) - 5) + answer.body]


def endless(answer):
    yield answer.head(length=-1)
    while True:
        yield b"x" * 65536


def endless_chunks(answer):
    yield answer.head(length=-1, Transfer_Encoding="chunked")
    while True:
        yield b"10000\r\n" + b"x" * 65536 + b"\r\n"


def endless_header(answer):
    yield answer.head()[:-2]
    while True:
        yield b"X-More: " + b"x" * 8000 + b"\r\n"


def large_header(answer):
    return [answer.head(X_More="x" * 200000) + answer.body]


def bomb(answer):
    packed = gzip.compress(b" " * (64 << 20))
    return [Answer(answer.status, [("Content-Encoding", "gzip")], packed).whole()]


def odd_coding(answer):
    return [answer.head(Content_Encoding="zork") + answer.body]


def wrong_chunks(answer):
    return [answer.head(length=-1, Transfer_Encoding="chunked") + b"zz\r\nhello\r\n"]


def no_http(_):
    return [b"SSH-2.0-OpenSSH_9.2\r\n"]


def two_lengths(answer):
    return [answer.head(length=3)[:-2] + b"Content-Length: 4\r\n\r\n" + answer.body]


def switching(_):
    return [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"]


def captive(_):
    """Of a portal, or of a wrong server."""
    return [made(200, "<html>Please log in</html>", [("Content-Type", "text/html")])]


def nul(answer):
    return [answer.head() + b"\0" * len(answer.body)]


def deep(answer):
    return [Answer(answer.status, answer.headers, b"[" * 200000).whole()]


LOST = [gone, cut, header_only, half_a_header, too_short, too_long, endless, endless_chunks,
        endless_header, large_header, bomb, odd_coding, wrong_chunks, no_http, two_lengths,
        switching, captive, nul, deep]


# Good, only in another form.

def http_1_0(answer):
    return [answer.head("HTTP/1.0", length=-1) + answer.body]


def until_closed(answer):
    return [answer.head(length=-1, Connection="close") + answer.body]


def chunks(answer):
    yield answer.head(length=-1, Transfer_Encoding="chunked")
    for byte in answer.body:
        yield b"1;x=y\r\n" + bytes([byte]) + b"\r\n"
    yield b"0\r\nTrailer: yes\r\n\r\n"


def byte_by_byte(answer):
    for byte in answer.whole():
        yield bytes([byte])


def zipped(answer):
    packed = gzip.compress(answer.body)
    return [answer.head(length=len(packed), Content_Encoding="gzip") + packed]


def informed(answer):
    return [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            + answer.whole()]


ENDING = [http_1_0, until_closed]  # by the connection's end
GOOD = [*ENDING, chunks, byte_by_byte, zipped, informed]


def judge(queue, gitlab, smtp, count):
    """Each job done, with one mail and one issue."""
    jobs = queue.settled(count)
    assert {r["state"] for r in jobs.values()} == {"done"}
    assert len(smtp.mails_to()) == count
    issues = gitlab.issues()
    assert len(issues) == count
    assert all(i["title"].startswith("[Success]") and i["state"] == "closed" for i in issues)


CALLS = {"create": ("POST", "/issues"), "close": ("PUT", ""), "find": ("GET", "/issues"),
         "project": ("GET", PROJECT)}
FAST = {"STOPGAP_BACKOFF_BASE": "5ms", "STOPGAP_BACKOFF_CAP": "30ms", "STOPGAP_GITLAB_SETTLE": "20ms"}


def spoil(wire, call, how):
    if call == "find":  # there is something to look for
        wire.spoil("POST", "/issues", gone)
    wire.spoil(*CALLS[call], how, keep=how in GOOD and how not in ENDING)


@pytest.mark.parametrize("call", ["create", "find", "close"])
def test_spoilt_answers(queue, start_worker, gitlab, smtp, wire, call):
    """After the request has taken effect. A job for each, so that each meets its own."""
    worker = start_worker(**FAST)
    for n, how in enumerate(LOST, 1):
        since = len(worker.log)
        spoil(wire, call, how)
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"agent{n}")
        jobs = queue.settled(n)
        assert [r["state"] for r in jobs.values()] == ["done"] * n, (how.__name__, worker.text())
        told = [l for l in worker.log[since:] if l.get("event") == "step" and l["outcome"] == "failed"]
        # What is safe to repeat, libcurl may have repeated itself.
        assert told or how is gone and call != "create", how.__name__
        assert {l["class"] for l in told} <= {"transient"}, (how.__name__, told)
    judge(queue, gitlab, smtp, len(LOST))


def test_spoilt_answers_about_the_project(queue, start_worker, gitlab, smtp, wire):
    for how in LOST:
        spoil(wire, "project", how)
    worker = start_worker(**FAST)
    queue.push()
    judge(queue, gitlab, smtp, 1)
    worker.wait_for(count=len(LOST) - 1, event="step", outcome="failed", **{"class": "transient"})


@pytest.mark.parametrize("how", GOOD)
def test_unusual_answers(queue, start_worker, gitlab, smtp, wire, how):
    for call in CALLS:
        spoil(wire, call, how)
    spoil(wire, "create", how)
    worker = start_worker(**FAST)
    queue.push()  # its creation is answered with nothing, so it looks
    queue.settled(1)
    queue.push(ticket_id=2)
    judge(queue, gitlab, smtp, 2)
    worker.exactly(1, event="step", outcome="failed")
