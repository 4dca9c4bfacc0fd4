"""How long jobs stand still when their worker is killed -9, by Redis's clock: from the kill
to the moment when another worker has the last of them. `make recovery` runs it.

    recovery.py [--seed N] [--runs N] [--lease 10s] [--jobs N]

Twice --runs: the worker is started again on the same host, at once; and nobody starts it
again, but there is a worker on another host (another host name). Prints the figures, and
fails only if a job was lost."""

import argparse
import contextlib
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "integration")]

# pylint: disable=wrong-import-position
from testenv.ctl import Ctl  # noqa: E402
from testenv.gitlab import GitLab  # noqa: E402
from testenv.queue import PREFIX, Queue  # noqa: E402
from testenv.redis import Redis  # noqa: E402
from testenv.smtp import Smtp  # noqa: E402
from testenv.wait import wait_for  # noqa: E402
from testenv.worker import Worker  # noqa: E402

KINDS = {"same host, restarted": False, "another host": True}
LEASE = "10s"


def another_host():
    """Words in front of a program that give it another host name; None: not allowed here."""
    words = ["unshare", "-u", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]
    if not shutil.which("unshare"):
        return None
    tried = subprocess.run([*words, "true"], capture_output=True, check=False)
    return None if tried.returncode else words


class Bench:
    """The servers, the workers, and the jobs under way."""

    def __init__(self, folder, stack, lease, jobs, elsewhere):
        self.jobs, self.ticket = jobs, 0
        self.redis = Redis(folder)
        stack.callback(self.redis.stop)
        self.smtp, gitlab = Smtp(), GitLab()
        stack.callback(self.smtp.stop)
        stack.callback(gitlab.stop)
        self.queue = Queue(self.redis)
        self.env = {
            "STOPGAP_REDIS_URL": self.redis.url, "STOPGAP_SMTP_URL": self.smtp.url,
            "STOPGAP_LICENSE_KEY_FILE": Ctl({}).keygen(os.path.join(folder, "license.key")),
            "STOPGAP_MAIL_FROM": "Licenses <licenses@vendor.example>",
            "STOPGAP_GITLAB_URL": gitlab.url, "STOPGAP_GITLAB_PROJECT": gitlab.PROJECT,
            "STOPGAP_GITLAB_TOKEN": gitlab.TOKEN, "STOPGAP_METRICS_LISTEN": "off",
            "STOPGAP_MAX_PER_ADDRESS": "0", "STOPGAP_MAX_PER_AGENT": "0",
            "STOPGAP_MAX_PER_DAY": "0", "STOPGAP_LEASE": lease}
        self.workers = []
        stack.callback(lambda: [w.stop() for w in self.workers])
        self.other = self.start(elsewhere) if elsewhere else None
        self.worker = self.start()

    def start(self, inside=()):
        self.workers.append(Worker(self.env, inside=inside))
        return self.workers[-1]

    def quiet(self, yes):
        """Whether the other host takes jobs."""
        name = "quiet" if yes else "running"
        seen = len(self.other.lines(event=name))
        self.other.signal(signal.SIGTSTP if yes else signal.SIGCONT)
        self.other.wait_for(event=name, count=seen + 1)

    def work_under_way(self):
        """All in the hands of one worker, at the mail server."""
        self.smtp.on("", delay_rcpt=60)
        for _ in range(self.jobs):
            self.ticket += 1
            self.queue.push(ticket_id=self.ticket, email=f"c{self.ticket}@example.com")
        wait_for(lambda: len(self.queue.jobs("active")) == self.jobs, "all taken")
        return list(self.queue.jobs("active"))

    def taken_since(self, ids, ms):
        started = [int(self.queue.client.hget(PREFIX + "job:" + i, "started_ms")) for i in ids]
        return max(started) if min(started) > ms else None

    def run(self, pause_s):
        """Milliseconds from the kill until all its jobs run again."""
        if self.other:
            self.quiet(True)
        ids = self.work_under_way()
        if self.other:
            self.quiet(False)
        time.sleep(pause_s)  # anywhere between two beats
        self.smtp.forget()
        seconds, micros = self.queue.client.time()
        killed = seconds * 1000 + micros // 1000
        self.worker.kill()
        if not self.other:
            self.worker = self.start()
        took = wait_for(lambda: self.taken_since(ids, killed), "all run again", 120) - killed
        records = self.queue.settled(self.ticket, 60)
        assert {r["state"] for r in records.values()} == {"done"}
        if self.other:
            self.worker = self.start()
        return took


def measure(runs, seed=1, lease=LEASE, jobs=16, kinds=tuple(KINDS)):
    """{kind: [ms]}"""
    rng, figures = random.Random(seed), {}
    for kind in kinds:
        elsewhere = another_host() if KINDS[kind] else None
        if KINDS[kind] and not elsewhere:
            print(f"{kind}: not here: unshare -u is not allowed")
            continue
        folder = tempfile.mkdtemp(prefix="sg-")
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            bench = Bench(folder, stack, lease, jobs, elsewhere)
            figures[kind] = [bench.run(rng.uniform(0, 2)) for _ in range(runs)]
    return figures


def in_words(kind, took, lease):
    return (f"kill -9 to all jobs running again, lease {lease}, {kind}: median "
            f"{statistics.median(took) / 1000:.2f} s, worst {max(took) / 1000:.2f} s "
            f"of {len(took)}")


def main():
    parser = argparse.ArgumentParser(prog="recovery.py")
    for name, default in (("seed", 1), ("runs", 20), ("jobs", 16)):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--lease", default=LEASE)
    options = parser.parse_args()
    for kind, took in measure(**vars(options)).items():
        print(in_words(kind, took, options.lease), flush=True)


if __name__ == "__main__":
    main()
