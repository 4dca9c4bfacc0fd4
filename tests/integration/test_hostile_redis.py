"""A Redis, or a sentinel, or somebody between, that says what it should not. It holds the
queue, so it can lie about jobs; it gets no more than that: no memory, no stall, no other
host, no password in a log. Certificates: test_hostile_tls.py; a Redis in trouble:
test_redis_wire.py."""

import pytest
from testenv import memory
from testenv.ctl import Ctl
from testenv.dns import Dns, missing
from testenv.hostile import Hostile

MOST_MIB = 90  # one reply of 64 MiB; a request on the list may be of any size
PASSWORD = "secret-of-redis"


@pytest.fixture
def elsewhere():
    """Where nobody may be led to."""
    server = Hostile(lambda line: line.readline())
    yield server
    assert (server.connections, server.heard) == (0, b"")
    server.stop()


def says(*pieces):
    """After the first word of the client; a function is called with the line."""
    def serve(line):
        line.readline()
        for piece in pieces:
            if callable(piece):
                piece(line)
            else:
                line.say(piece)
        while line.read(1):
            pass
    return serve


def for_ever(text):
    return lambda line: line.say_for_ever(text)


PROTOCOL = "Redis sent what is not its protocol"
LARGE = "Redis sent a reply of more than "
GREETING = {
    "http": (b"HTTP/1.1 400 Bad Request\r\n\r\n", PROTOCOL),
    "garbage": (bytes(range(256)) * 100, PROTOCOL),
    "an empty line": (b"\r\n\r\n", PROTOCOL),
    "a string of 2^63": (b"$9223372036854775808\r\n", PROTOCOL),
    "a string of 2^62": (b"$4611686018427387904\r\n" + b"x" * 1000, LARGE),
    "a string of -5": (b"$-5\r\n", PROTOCOL),
    "an array of -5": (b"*-5\r\n", PROTOCOL),
    "an array of 2^31": (b"*2147483647\r\n", LARGE),
    "an array of 2^64": (b"*18446744073709551616\r\n", PROTOCOL),
    "arrays in arrays": (b"*1\r\n" * 100000, PROTOCOL),
    "arrays of arrays": (b"*4000000\r\n" * 3, LARGE),
    "a push": (b">2\r\n+message\r\n+evil\r\n", PROTOCOL),
    "a map": (b"%1\r\n+a\r\n+b\r\n", PROTOCOL),
    "no number": (b":12monkeys\r\n", PROTOCOL),
    "controls": (b"-WRONGPASS \x1b]0;x\x07 \xff\xe2\x80\xae\r\n", "AUTH: Redis: WRONGPASS"),
    "no AUTH here": (b"-ERR unknown command `AUTH`, with args beginning with: `u`, `%s`, \r\n"
                     % PASSWORD.encode(), "AUTH: Redis: (words that repeat the password)"),
    "too many answers": (b"+OK\r\n" * 1000, "Redis sent a reply that"),
}


def settings(server, scheme="redis"):
    return {"STOPGAP_REDIS_URL": server.url(scheme, f"u:{PASSWORD}@127.0.0.1")}


def test_greetings(hostile):
    """The reason, at once, and nothing of ours in it."""
    ctl = Ctl(settings(hostile))
    for name, (said, words) in GREETING.items():
        hostile.serve = says(said)
        done = ctl.run("stats", status=1)
        print(name, done.err)
        assert words in done.err, (name, done.err)
        assert not [c for c in (PASSWORD, "\x1b", "\x07", "\u202e") if c in done.err], (name, done.err)


def test_a_password_that_is_repeated_in_part(hostile):
    """Of what it does not know, Redis says 128 bytes."""
    password = "0123456789abcdef" * 16
    hostile.serve = says(f"-ERR unknown command 'AUTH', with args beginning with: 'u' "
                         f"'{password[:120]}' \r\n".encode())
    url = hostile.url("redis", f"u:{password}@127.0.0.1")
    done = Ctl({"STOPGAP_REDIS_URL": url}).run("stats", status=1)
    assert "AUTH: Redis: (words that repeat the password)" in done.err
    assert password[:20] not in done.err


@pytest.mark.parametrize("word", ["MOVED", "ASK"])
@pytest.mark.parametrize("at", [b"AUTH", b"PING", b"SCRIPT"])
def test_led_elsewhere(hostile, elsewhere, word, at):
    """This is no cluster client: the place is shown, not gone to."""
    said = f"-{word} 7638 127.0.0.1:{elsewhere.port}\r\n".encode()

    def serve(line):
        while head := line.readline():
            words = [line.read(int(line.readline()[1:]) + 2) for _ in range(int(head[1:]))]
            line.say(said if words[0].startswith(at) else b"+OK\r\n")
    hostile.serve = serve
    done = Ctl(settings(hostile)).run("stats", status=1)
    assert f"Redis: {word} 7638 127.0.0.1:{elsewhere.port}" in done.err


FLOODS = {
    "a line": (b"+" + b"x" * 65535, b"x" * 65536, "Redis sent a line of more than"),
    "a string": (b"$1000000000\r\n", b"x" * 65536, LARGE),
    "an array": (b"*1000000\r\n", b"$6\r\nxxxxxx\r\n" * 5000, LARGE),
    "strings": (b"*2000000\r\n", b"$1\r\nx\r\n" * 5000, LARGE),
    "numbers": (b"", b":1\r\n" * 10000, "Redis sent a reply that"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_replies_without_end(start_worker, hostile, name):
    """The worker gives up, says so, tries again later, and leaves when it is told to."""
    first, more, words = FLOODS[name]
    hostile.serve = says(first, for_ever(more))
    worker = start_worker(**settings(hostile))
    worker.allow("redis_down")
    before = memory.peak_mib(worker.pid)
    worker.wait_for(lambda l: words in l["msg"], event="redis_down", count=3)
    grown = memory.peak_mib(worker.pid) - before
    print(f"peak: {before:.0f} MiB, and {grown:.0f} more; it sent {hostile.flood >> 20} MiB")
    assert grown < MOST_MIB or memory.is_sanitized("stopgap-worker")
    worker.term()
    assert worker.wait() == 0
    assert PASSWORD not in worker.text()


# --- sentinels, who say where Redis is ---

def pair(host, port):
    return b"*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(host), host, len(port), port)


NO_MASTER = "Sentinel knows no master named main"
NAMED = {
    "nothing": (b"*-1\r\n", NO_MASTER), "an empty array": (b"*0\r\n", NO_MASTER),
    "a text": (b"+127.0.0.1:6379\r\n", NO_MASTER), "numbers": (b"*2\r\n:1\r\n:2\r\n", NO_MASTER),
    "three": (b"*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n1\r\n", NO_MASTER),
    "arrays": (b"*2\r\n*1\r\n:1\r\n*1\r\n:1\r\n", NO_MASTER),
    "port 0": (pair(b"127.0.0.1", b"0"), NO_MASTER), "port -1": (pair(b"127.0.0.1", b"-1"), NO_MASTER),
    "port 65536": (pair(b"127.0.0.1", b"65536"), NO_MASTER),
    "port and more": (pair(b"127.0.0.1", b"6379 evil"), NO_MASTER),
    "no host": (pair(b"", b"1"), NO_MASTER),
    "controls": (pair(b"e\x1b]0;x\x07vil\r\nEHLO", b"1"), "Redis: cannot"),
    "a long host": (pair(b"x" * 60000, b"1"), NO_MASTER),
    "a path": (pair(b"/tmp/evil.sock", b"1"), "Redis: cannot"),
    "an error": (b"-ERR \x1b[31m" + b"x" * 1000 + b"\r\n", "Sentinel: Redis: ERR"),
    "no protocol": (b"HTTP/1.1 200 OK\r\n\r\n", PROTOCOL),
    "a push": (b">2\r\n+a\r\n+b\r\n", PROTOCOL),
    "a line without end": (b"+" + b"x" * 1000000, "Redis sent a line of more than 64 KiB"),
    "a large string": (b"*2\r\n$999999999\r\n", LARGE),
}


def test_sentinels(hostile, start_worker):
    """Who is named must be a host and a port; the sentinel itself hears no password."""
    url = f"redis-sentinel://u:{PASSWORD}@127.0.0.1:{hostile.port}/main"
    for name, (said, words) in NAMED.items():
        hostile.serve = says(said)
        worker = start_worker(STOPGAP_REDIS_URL=url)
        worker.allow("redis_down")
        line = worker.wait_for(event="redis_down")
        print(name, line["msg"][:200])
        assert words in line["msg"] and len(line["msg"]) < 1100, (name, line)
        worker.term()
        assert worker.wait() == 0
        assert not [c for c in (PASSWORD, "\x1b", "\x07") if c in worker.text()], name
    assert PASSWORD.encode() not in hostile.heard


def test_a_replica_that_is_named_gets_no_jobs(hostile, start_worker):
    """What the sentinel names has to say itself that it takes writes."""
    def serve(line):
        while head := line.readline():
            words = [line.read(int(line.readline()[1:]) + 2) for _ in range(int(head[1:]))]
            line.say(pair(b"127.0.0.1", str(hostile.port).encode()) if words[0].startswith(b"SENTINEL")
                     else b"*3\r\n$5\r\nslave\r\n$1\r\na\r\n:1\r\n" if words[0].startswith(b"ROLE")
                     else b"+OK\r\n")
    hostile.serve = serve
    worker = start_worker(STOPGAP_REDIS_URL=f"redis-sentinel://127.0.0.1:{hostile.port}/main")
    worker.wait_for(lambda l: "is not a master (yet)" in l["msg"], event="redis_down", count=2)
    assert b"EVAL" not in hostile.heard


def test_in_the_clear_to_another_host_there_is_a_warning(hostile, start_worker, ctl_env):
    """Before anything is sent: the password goes that way, too."""
    worker = start_worker(STOPGAP_REDIS_URL=f"redis://u:{PASSWORD}@redis.invalid:6379")
    line = worker.wait_for(lambda l: "STOPGAP_REDIS_URL: no TLS to another host" in l.get("msg", ""))
    assert line["level"] == "warn" and PASSWORD not in worker.text()


# --- the resolver ---

class Liar(Dns):
    said = b""

    def _reply(self, query, answer):
        return self.said.replace(b"ID", query[:2])


LOOP = b"ID\x85\x80\0\1\xff\xff\0\0\0\0\xc0\x0c\0\1\0\1" + b"\xc0\x0c\0\5\0\1\0\0\0\0\0\2\xc0\x0c" * 30
ANSWERS = {"nothing": b"", "garbage": bytes(range(256)), "a name that leads to itself": LOOP,
           "another question's": b"XX\x85\x80\0\1\0\1\0\0\0\0"}


@pytest.mark.parametrize("name", ANSWERS)
def test_resolvers(folder, name):
    """As if there were no answer."""
    if missing():
        pytest.skip(missing())
    dns = Liar(folder)
    try:
        dns.said, dns.answer = ANSWERS[name], []
        ctl = Ctl({"STOPGAP_REDIS_URL": f"redis://u:{PASSWORD}@redis.example.com"},
                  inside=dns.command())
        done = ctl.run("stats", status=1)
        print(done.err)
        assert "Redis: cannot resolve redis.example.com: " in done.err
        assert PASSWORD not in done.err and dns.asked
    finally:
        dns.stop()


@pytest.mark.parametrize("name", ["a line", "an array", "numbers"])
def test_the_receiver_takes_requests_all_the_same(start_webhook, hostile, name):
    """Into its spool, with answers in time."""
    first, more, words = FLOODS[name]
    hostile.serve = says(first, for_ever(more))
    webhook = start_webhook(ready=False, **settings(hostile))
    webhook.allow("redis_down")
    before = memory.peak_mib(webhook.pid)
    webhook.wait_for(lambda l: words in str(l), count=2)
    assert [webhook.deliver().status for _ in range(5)] == [202] * 5
    assert webhook.call("GET", "/readyz").json["spooled"] == 5
    grown = memory.peak_mib(webhook.pid) - before
    assert grown < MOST_MIB or memory.is_sanitized("stopgap-webhook")
    assert PASSWORD not in webhook.text() and b"customer@" not in hostile.heard
