"""stopgapctl at a terminal: the live view, colours, and requeueing many."""

import fcntl
import os
import pty
import re
import signal
import struct
import termios
import threading

import pytest
from testenv import process
from testenv.queue import PREFIX
from testenv.wait import wait_for

ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, *args, env):
        ours, theirs = pty.openpty()
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        self.ours = ours
        self.raw = b""
        self.process = process.start(
            [process.program("stopgapctl"), *args],
            env={"PATH": os.environ["PATH"], "TERM": "xterm", **env,
                 **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}},
            stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while True:
            try:
                part = os.read(self.ours, 65536)
            except OSError:  # the other end is closed
                return
            if not part:
                return
            self.raw += part

    @property
    def screen(self):
        """What was painted last."""
        return ESCAPE.sub("", self.raw.decode("utf-8", "replace").rsplit("\x1b[H", 1)[-1])

    def wait(self):
        self.process.wait(20)
        self.reader.join(20)
        return self.raw.decode("utf-8", "replace")

    def stop(self):
        status = process.stop(self.process, signal_number=signal.SIGINT)
        self.reader.join(20)
        os.close(self.ours)
        return status


@pytest.fixture
def terminal(ctl_env):
    opened = []

    def start(*args, **env):
        opened.append(Terminal(*args, env={**ctl_env, **env}))
        return opened[-1]
    yield start
    for one in opened:
        one.stop()


def test_watch_is_a_live_view(terminal, start_worker, queue, smtp, redis):
    smtp.on("slow@example.com", hold_dot=True)
    smtp.on("bad@example.com", rcpt="550 5.1.1 nobody there")
    start_worker()
    queue.push(email="slow@example.com", ticket_id=4711)
    queue.push(email="bad@example.com", ticket_id=4712)
    seen = terminal("stats", "--watch", "200ms")
    wait_for(lambda: "ticket 4711  email" in seen.screen and "nobody there" in seen.screen,
             lambda: seen.screen)
    assert re.search(r"active 1 .*failed 1 ", seen.screen)
    assert re.search(r"running, 1 busy, lag \d+ ms, lease \d", seen.screen)
    assert re.search(r"ago  \w{26}  ticket 4712  permanent at email: mail server at RCPT TO: 550",
                     seen.screen)
    smtp.release()
    wait_for(lambda: "active 0" in seen.screen and "done 1" in seen.screen and
             re.search(r"\d\.\d done, \d\.\d failed a minute", seen.screen),
             lambda: seen.screen)
    redis.kill()
    wait_for(lambda: "Redis does not answer" in seen.screen, lambda: seen.screen)
    redis.start()
    wait_for(lambda: "done 1" in seen.screen, lambda: seen.screen)
    assert seen.stop() == -signal.SIGINT
    seen.stop = lambda: None


def test_watch_without_a_terminal_is_plain(ctl_env):
    watch = process.start([process.program("stopgapctl"), "stats", "--watch"],
                          env={"PATH": os.environ["PATH"], **ctl_env}, stdout=-1)
    try:
        text = b"".join(watch.stdout.readline() for _ in range(6)).decode()
    finally:
        process.stop(watch, signal_number=signal.SIGINT)
        watch.stdout.close()
    assert "\x1b" not in text and text.startswith("queue licenses ")
    assert "queued 0   active 0   delayed 0   failed 0   done 0" in text


@pytest.fixture
def failed(ctl, queue, redis):
    """Ten jobs that have failed, the odd ones invalid."""
    ids = []
    for n in range(10):
        job = f"{n:026d}"
        redis.client.hset(PREFIX + "job:" + job, mapping={
            "v": 1, "state": "failed", "accepted_ms": 1000 + n, "ended_ms": 2000 + n,
            "raw": "{}", "ticket": n + 1, "err_class": "invalid" if n % 2 else "transient",
            "err_step": "email", "err_text": "no", "err_code": 0})
        redis.client.zadd(PREFIX + "failed", {job: 2000 + n})
        ids.append(job)
    return ids


def test_colour_is_for_a_terminal_that_wants_it(terminal, ctl, failed):
    words = ("show", failed[0])
    assert "\x1b[31mfailed\x1b[0m" in terminal(*words).wait()
    assert "\x1b" not in terminal(*words, NO_COLOR="1").wait()
    assert "\x1b" not in terminal(*words, TERM="dumb").wait()
    assert "\x1b[31mfailed" in terminal(*words, NO_COLOR="").wait()  # as if it were not set
    assert "\x1b" not in ctl.run(*words).out


def test_requeue_many_says_how_many_and_how_long(ctl, failed, redis):
    dry = ctl.run("requeue", "--where", "class=transient").out
    assert dry.splitlines()[-1] == "5 jobs would be requeued, within 250ms; add --yes to do it"
    dry = ctl.run("requeue", "--all", "--pace", "2", "--limit", "3").out
    assert dry.splitlines()[-1] == "3 jobs would be requeued, within 1.5s; add --yes to do it"
    assert [line.split()[0] for line in dry.splitlines()[1:-1]] == failed[:6:-1]
    assert redis.client.zcard(PREFIX + "failed") == 10
    done = ctl.run("requeue", "--where", "class=transient", "--limit", "2", "--pace", "100",
                   "--yes").out
    assert done.splitlines()[-1] == "2 of 2 jobs requeued"
    left = redis.client.zrange(PREFIX + "failed", 0, -1)
    assert set(failed) - set(left) == {failed[8], failed[6]}


def test_requeue_counts_refusals(ctl, failed, redis):
    redis.client.hset(PREFIX + "job:" + failed[9], "state", "active")
    done = ctl.run("requeue", "--all", "--limit", "2", "--pace", "1000", "--yes", status=1)
    assert done.out.splitlines()[-1] == "1 of 2 jobs requeued"


def test_watch_refuses(ctl):
    assert "500ms" in ctl.run("stats", "--watch", "1ms", status=2).err


@pytest.mark.parametrize("args", [
    ("--all", "--pace", "0"), ("--all", "--pace", "x"), ("--all", "--limit", "0"),
    ("0" * 26, "--pace", "5"), ("0" * 26, "--limit", "5")])
def test_requeue_refuses(ctl, args):
    assert "pace" in ctl.run("requeue", *args, status=2).err or "limit" in args[1]
