"""The way to GitLab: names, addresses, TLS, silence. The mail goes out meanwhile; one
issue each when the way is free."""

import contextlib
import os
import shutil
import socket
import subprocess

import pytest
from testenv import certs, process
from testenv.wire import Wire
from testenv.worker import Worker

NAME = "gitlab.stopgap.test"
FAST = {"STOPGAP_BACKOFF_BASE": "5ms", "STOPGAP_BACKOFF_CAP": "50ms"}


@pytest.fixture
def relays():
    """relays(gitlab, ...): a Wire that ends with the test."""
    made = []

    def start(*args, **kwargs):
        made.append(Wire(*args, **kwargs))
        return made[-1]
    yield start
    for relay in made:
        relay.stop()


def judge(queue, gitlab, smtp, count=1, deadline=20):
    jobs = queue.settled(count, deadline)
    assert {r["state"] for r in jobs.values()} == {"done"}
    assert len(smtp.mails_to()) == len(gitlab.issues()) == len(gitlab.issues("[Success]")) == count


# --- TLS ---

@pytest.fixture
def authority(folder):
    return certs.Authority(folder)


def plain(authority):
    return None  # speaks HTTP to whoever wants TLS


TLS_FAULTS = {
    "wrong name": (lambda a: a.context(names="DNS:other.example", name="other"), "address mismatch"),
    "expired": (lambda a: a.context(span=certs.LONG_AGO, name="expired"), "expired"),
    "self-signed": (lambda a: a.context(alone=True, name="alone"), "self-signed certificate"),
    "another authority": (lambda a: certs.Authority(a.folder, "b").context(), "certificate"),
    "no TLS": (plain, "SSL"),
}


def test_tls(queue, start_worker, gitlab, smtp, relays, authority, until):
    """Nothing is sent to a server that cannot show who it is; the words say why."""
    good = authority.context()
    wire = relays(gitlab, good)
    worker = start_worker(STOPGAP_GITLAB_URL=wire.url, STOPGAP_CA_FILE=authority.path, **FAST)
    for n, (fault, (context, words)) in enumerate(TLS_FAULTS.items(), 1):
        wire.context = context(authority)
        wire.cut()  # no kept connection serves it
        since, before, seen = len(worker.log), wire.connections, len(wire.seen)
        queue.push(ticket_id=n, email=f"c{n}@example.com")
        until(lambda: smtp.mails_to(f"c{n}@example.com"), "the mail")
        line = worker.wait_for(lambda l: l in worker.log[since:] and l.get("outcome") == "failed",
                               event="step")
        assert line["class"] == "transient" and words in line["err"], (fault, line)
        assert wire.connections > before and len(wire.seen) == seen, fault
        wire.context = good
        judge(queue, gitlab, smtp, n)


def test_tls_of_the_system(queue, start_worker, gitlab, smtp, relays, authority, until):
    """Without STOPGAP_CA_FILE our authority is nobody."""
    wire = relays(gitlab, authority.context())
    worker = start_worker(STOPGAP_GITLAB_URL=wire.url, **FAST)
    queue.push()
    line = worker.wait_for(event="step", step="record", outcome="failed")
    assert line["class"] == "transient" and "certificate" in line["err"]
    assert not wire.seen


# --- addresses ---

def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback here")
def test_ipv6(queue, start_worker, gitlab, smtp, relays):
    wire = relays(gitlab, host="::1")
    start_worker(STOPGAP_GITLAB_URL=wire.url)
    queue.push()
    judge(queue, gitlab, smtp)


def own_mounts():
    """The command that gives a program its own /etc/hosts, or None."""
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-m", "true"], capture_output=True,
                                     check=False).returncode:
        return None
    return unshare


class Names:
    """/etc/hosts and /etc/resolv.conf of one worker."""

    def __init__(self, folder):
        self.hosts, self.resolv = (os.path.join(folder, n) for n in ("hosts", "resolv.conf"))
        self.set()
        self.ask("127.0.0.1")  # nobody is there: names that are not in the file fail at once

    def _write(self, path, text):
        with open(path, "w", encoding="ascii") as f:  # in place: it is mounted
            f.write(text)

    def set(self, *addresses):
        self._write(self.hosts, "127.0.0.1 localhost\n" + "".join(
            f"{a} {NAME}\n" for a in addresses))

    def ask(self, server):
        self._write(self.resolv, f"nameserver {server}\noptions timeout:1 attempts:1\n")


@pytest.fixture
def names(folder):
    if not own_mounts():
        pytest.skip("an /etc/hosts of one's own needs the right to mount (unshare -m)")
    return Names(folder)


@pytest.fixture
def start_named(env, names, authority):
    """A worker that sees these names."""
    workers = []

    def start(**changes):
        settings = {**env, **FAST, "STOPGAP_CA_FILE": authority.path, **changes}
        command = ["-m", "--propagation", "private", "sh", "-ec",
                   f"mount --bind {names.hosts} /etc/hosts\n"
                   f"mount --bind {names.resolv} /etc/resolv.conf\n"
                   'exec "$0"', process.program("stopgap-worker")]
        workers.append(Worker(settings, program=own_mounts(), args=command))
        return workers[-1]
    yield start
    for worker in workers:
        worker.stop()
        worker.check()


@pytest.fixture
def named(gitlab, relays, authority):
    """GitLab as https://NAME."""
    return relays(gitlab, authority.context(names=f"DNS:{NAME}"), name=NAME)


def test_name_that_comes_and_moves(queue, start_named, names, named, gitlab, smtp, until):
    worker = start_named(STOPGAP_GITLAB_URL=named.url)
    queue.push()
    line = worker.wait_for(event="step", step="record", outcome="failed")
    assert line["class"] == "transient" and "resolve host" in line["err"]
    names.set("127.0.0.2")  # where nobody listens
    worker.wait_for(lambda l: "connect" in l.get("err", ""), event="step", outcome="failed")
    names.set("127.0.0.1")
    judge(queue, gitlab, smtp)


def test_first_address_is_dead(queue, start_named, names, relays, authority, gitlab, smtp):
    """It is so for half of the connections, and there is one for each request here."""
    wire = relays(gitlab, authority.context(names=f"DNS:{NAME}"), name=NAME)
    wire.spoil("*", "", lambda a: [a.head(Connection="close") + a.body], times=100)
    names.set("127.0.0.2", "127.0.0.1")
    worker = start_named(STOPGAP_GITLAB_URL=wire.url)
    for n in range(1, 7):
        queue.push(ticket_id=n, email=f"c{n}@example.com")
    judge(queue, gitlab, smtp, 6)
    assert wire.connections >= 13
    assert not worker.lines(event="step", outcome="failed")


def test_names_that_hang(queue, start_named, names, named, gitlab, smtp, until):
    """A name server that says nothing: mails go out, and nothing on the loop waits."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as silent:
        try:
            silent.bind(("127.77.0.1", 53))
        except OSError as e:
            pytest.skip(f"no name server can be played here: {e}")
        names.ask("127.77.0.1")
        worker = start_named(STOPGAP_GITLAB_URL=named.url)
        queue.push()
        silent.settimeout(10)
        silent.recv(512)  # asked, and now waiting
        for n in (2, 3):
            queue.push(ticket_id=n, email=f"c{n}@example.com")
            until(lambda: smtp.mails_to(f"c{n}@example.com"), "the mail")
        assert not worker.lines(event="step", step="record")  # all that while
        names.set("127.0.0.1")
        judge(queue, gitlab, smtp, 3)


# --- silence ---

def test_a_silent_answer_holds_nobody_up(queue, start_worker, gitlab, smtp, relays, until):
    """Other jobs go on; a worker that leaves gives the job back, and the next one looks."""
    worker = start_worker(STOPGAP_DRAIN_TIMEOUT="50ms")
    gitlab.fail_next("never_after")
    queue.push()
    until(gitlab.issues, "the issue that nobody is told of")
    queue.push(ticket_id=2)
    until(lambda: queue.jobs("done"), "the other job")
    worker.term()
    assert worker.wait() == 0
    start_worker()
    judge(queue, gitlab, smtp, 2)
