"""Steady load on receiver and worker for as long as one likes, with a share of requests
that fail, come twice or are no requests at all, connections cut and keys reopened now and
then, and a retention so short that jobs go as fast as they come. What grows meanwhile is
printed as a slope, and is a fault above its bound. `make soak` runs it.

    soak.py [--minutes N] [--rate N] [--seed N] ...      (--help: the others)

The slope is that of a straight line (least squares) through the samples of the second
half. At the end the load stops: the descriptors must be those of the beginning, and when
the retention is over, nothing of a job may be left in Redis."""

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "integration")]

# pylint: disable=wrong-import-position
from testenv import keyspace, process, webhook  # noqa: E402
from testenv.certs import Authority  # noqa: E402
from testenv.ctl import Ctl  # noqa: E402
from testenv.queue import PREFIX  # noqa: E402
from testenv.redis import Redis  # noqa: E402
from testenv.wait import wait_for  # noqa: E402
from testenv.worker import Worker  # noqa: E402

# How often which kind of request comes.
KINDS = {"good": 60, "again": 6, "pressed": 6, "faulty": 4, "refused": 3, "later": 5,
         "bare": 4, "unreadable": 2, "unsigned": 2, "asked": 8, "resent": 1, "cut": 2}
RECENT = 50  # the requests that one of these may be about
SMTP_CONNECTIONS, GITLAB_KEPT = 8, 40  # connections that a worker may keep
REST_S = 120.0  # the longest that what is under way may take
# What is there when all jobs are gone: of the queue itself, and of the issue that faulty
# requests share, which is forgotten after a day.
STANDING = {"workers", "stat", "cfg", "invalid", "shared"}
STANDING_PREFIXES = ("winfo:", "shared:")
MB, KB = 1 << 20, 1 << 10


def private_and_rss(pid):
    sizes = collections.Counter()
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        for line in f:
            name, _, rest = line.partition(":")
            if rest.endswith("kB\n"):
                sizes[name] = int(rest.split()[0]) * KB
    return sizes["Private_Clean"] + sizes["Private_Dirty"], sizes["Rss"]


def descriptors(pid, ports=()):
    """(all, those of connections to these ports)"""
    links = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f][1:]
    there = {f"socket:[{row[9]}]" for row in rows if int(row[2].split(":")[1], 16) in ports}
    return len(links), sum(link in there for link in links)


# What is measured: heading, unit, and the most that it may grow with 1,000 jobs.
MEASURES = {
    "worker_private": ("worker, private memory", "bytes", 16 * KB),
    "worker_rss": ("worker, RSS", "bytes", 16 * KB),
    "receiver_private": ("receiver, private memory", "bytes", 16 * KB),
    "receiver_rss": ("receiver, RSS", "bytes", 16 * KB),
    "redis_used": ("Redis, used_memory", "bytes", 64 * KB),
    "redis_keys": ("Redis, keys", "keys", 20),
    "worker_fds": ("worker, descriptors", "", 0.2),
    "receiver_fds": ("receiver, descriptors", "", 0.2),
}


@dataclasses.dataclass
class Sample:
    at: float
    jobs: int
    values: dict


def slope(pairs):
    """Of the straight line that is nearest to the points; 0 for too few."""
    n = len(pairs)
    mx, my = (sum(p[i] for p in pairs) / max(n, 1) for i in (0, 1))
    spread = sum((x - mx) ** 2 for x, _ in pairs)
    return sum((x - mx) * (y - my) for x, y in pairs) / spread if spread else 0.0


class Load:
    """The clients."""

    def __init__(self, soak, seed):
        self.soak, self.random = soak, random.Random(seed)
        self.number, self.counts = 0, collections.Counter()
        self.recent = collections.deque(maxlen=RECENT)  # (body, invocation, id)
        self.line = None
        self.wrong = []

    def one(self):
        kind = self.random.choices(list(KINDS), list(KINDS.values()))[0]
        if not self.recent and kind in ("again", "pressed", "asked", "resent"):
            kind = "good"
        self.number += 1
        self.counts[kind] += 1
        getattr(self, "_" + kind)()

    def request(self, name="job", **fields):
        return webhook.request(ticket_id=str(self.number), requested_by=f"agent{self.number % 7}",
                               email=f"{name}-{self.number}@example.com", **fields)

    def expect(self, status, answer):
        if answer.status != status:
            self.wrong.append(f"{answer.status}, not {status}: {answer.body[:200]}")
        return answer

    def connection(self):
        """Kept for a while."""
        if not self.line or self.random.random() < 0.02:
            self.end()
            self.line = self.soak.receiver.connect()
        return self.line

    def end(self):
        if self.line:
            self.line.close()

    def deliver(self, body, status=202, invocation=None, **how):
        invocation = invocation or self.number
        answer = self.expect(status, self.soak.receiver.deliver(
            body, connection=self.connection(), invocation=invocation,
            time=webhook.now(-self.number % 3000), **how))
        return invocation, answer

    def _good(self, name="job"):
        body = self.request(name)
        invocation, answer = self.deliver(body)
        if answer.status == 202:
            self.recent.append((body, invocation, answer.job_id))

    def _refused(self):
        self._good("refused")

    def _later(self):
        self._good("later")

    def _again(self):
        """Zendesk delivers twice."""
        body, invocation, _ = self.random.choice(self.recent)
        self.deliver(body, invocation=invocation)

    def _pressed(self):
        """Somebody presses twice."""
        self.deliver(self.random.choice(self.recent)[0])

    def _faulty(self):
        self.deliver(self.request(users="many", note="?"), status=400)

    def _unsigned(self):
        self.deliver(self.request(), status=401, secret="not the secret at all")

    def _bare(self):
        self.soak.client.lpush(PREFIX + "inbox", json.dumps(self.request()))

    def _unreadable(self):
        self.soak.client.lpush(PREFIX + "inbox", self.random.randbytes(self.random.randrange(300)))

    def _asked(self):
        _, _, job_id = self.random.choice(self.recent)
        if self.random.random() < 0.5:
            answer = self.soak.receiver.show(job_id)
        else:
            answer = self.soak.receiver.api("GET", "/requests?ticket_id=" + str(self.number))
        if answer.status not in (404, 503):  # 503: its connection has just been cut
            self.expect(200, answer)

    def _resent(self):
        _, _, job_id = self.random.choice(self.recent)
        answer = self.soak.receiver.api("POST", f"/requests/{job_id}/resend",
                                        {"requested_by": "agent"})
        if answer.status not in (404, 503):
            self.expect(202, answer)

    def _cut(self):
        """A client that goes away in the middle."""
        own = self.soak.receiver.connect()
        own.connect()
        own.sock.sendall(b"POST /zendesk HTTP/1.1\r\nHost: a.test\r\nContent-Length: 900\r\n\r\n{"
                         [:self.random.randrange(1, 70)])
        own.close()


def _secret_file(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii", opener=lambda f, how: os.open(f, how, 0o600)) as f:
        f.write(text)
    return path


class Soak:
    def __init__(self, folder, stack, options):
        self.options, self.samples = options, []
        self.redis = Redis(folder, fsync="everysec",
                           config=("--auto-aof-rewrite-min-size 8mb",))
        stack.callback(self.redis.stop)
        self.client = self.redis.client
        authority = Authority(folder)
        self.ports = self._start_outside(authority.issue(), stack)
        common = {"STOPGAP_REDIS_URL": self.redis.tcp_url, "STOPGAP_LOG_LEVEL": "error",
                  "STOPGAP_RETENTION": options.retention}
        self.worker = Worker({
            **common, "STOPGAP_LICENSE_KEY_FILE": Ctl({}).keygen(os.path.join(folder, "key")),
            "STOPGAP_SMTP_URL": f"smtps://127.0.0.1:{self.ports[0]}",
            "STOPGAP_CA_FILE": authority.path,
            "STOPGAP_SMTP_CONNECTIONS": str(SMTP_CONNECTIONS),
            "STOPGAP_MAIL_FROM": "Licenses <licenses@vendor.example>",
            "STOPGAP_GITLAB_URL": f"http://127.0.0.1:{self.ports[1]}",
            "STOPGAP_GITLAB_PROJECT": "1", "STOPGAP_GITLAB_TOKEN": "token",
            "STOPGAP_GITLAB_SETTLE": "300ms", "STOPGAP_LEASE": options.lease,
            "STOPGAP_BACKOFF_BASE": "50ms", "STOPGAP_BACKOFF_CAP": "500ms",
            "STOPGAP_GIVE_UP_AFTER": options.give_up, "STOPGAP_METRICS_LISTEN": "off",
            "STOPGAP_MAX_PER_ADDRESS": "0", "STOPGAP_MAX_PER_AGENT": "0",
            "STOPGAP_MAX_PER_DAY": "0"}, ready=False)
        stack.callback(self.worker.stop)
        secrets = {"WEBHOOK_SECRET": webhook.SECRET, "API_TOKEN": webhook.API_TOKEN,
                   "API_READ_TOKEN": webhook.READ_TOKEN}
        self.receiver = webhook.Webhook({
            **common, "STOPGAP_LOG_LEVEL": "info", "STOPGAP_WEBHOOK_LISTEN": "127.0.0.1:0",
            "STOPGAP_WEBHOOK_METRICS_LISTEN": "off",
            "STOPGAP_SPOOL_DIR": os.path.join(folder, "spool"),
            **{f"STOPGAP_{name}_FILE": _secret_file(folder, name, text)
               for name, text in secrets.items()}})
        stack.callback(self.receiver.stop)
        self.load = Load(self, options.seed)
        stack.callback(self.load.end)
        wait_for(lambda: self.client.exists(PREFIX + "workers"), self.worker.text)
        wait_for(lambda: self.receiver.call("GET", "/readyz").json["redis"], self.receiver.text)

    def _start_outside(self, certificate, stack):
        outside = process.start(
            [sys.executable, os.path.join(HERE, "soak_outside.py"), *certificate],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def stop():
            outside.stdin.close()
            outside.wait()
            outside.stdout.close()
        stack.callback(stop)
        return tuple(map(int, outside.stdout.readline().split()))

    # --- measuring ---

    def own_descriptors(self):
        """(worker's, receiver's), without those of connections to the outside."""
        return tuple(total - there for total, there in (
            descriptors(p.pid, self.ports) for p in (self.worker, self.receiver)))

    def jobs(self):
        return int(self.client.hget(PREFIX + "stat", "adopted") or 0)

    def sample(self, began):
        worker, receiver = (private_and_rss(p.pid) for p in (self.worker, self.receiver))
        self.samples.append(Sample(time.monotonic() - began, self.jobs(), {
            "worker_private": worker[0], "worker_rss": worker[1],
            "receiver_private": receiver[0], "receiver_rss": receiver[1],
            "redis_used": self.client.info("memory")["used_memory"],
            "redis_keys": self.client.dbsize(),
            "worker_fds": descriptors(self.worker.pid)[0],
            "receiver_fds": descriptors(self.receiver.pid)[0]}))
        # What the tests' helpers keep of the logs would grow for ever.
        for p in (self.worker, self.receiver):
            del p.raw[1000:-100], p.log[1000:-100]

    def slopes(self):
        """{measure: (first, last, by 1,000 jobs, by the hour)} of the second half."""
        half = self.samples[-1].at / 2
        late = [s for s in self.samples if s.at >= half]
        return {name: (late[0].values[name], late[-1].values[name],
                       slope([(s.jobs / 1000, s.values[name]) for s in late]),
                       slope([(s.at / 3600, s.values[name]) for s in late]))
                for name in MEASURES}

    # --- the run ---

    def reload(self):
        for p in (self.worker, self.receiver):
            p.signal(signal.SIGHUP)

    def cut(self):
        self.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def run_load(self):
        o, began, sent = self.options, time.monotonic(), 0
        due = {lambda: self.sample(began): (0.0, o.every), self.reload: (o.reload, o.reload),
               self.cut: (o.cut, o.cut)}
        while (now := time.monotonic() - began) < o.minutes * 60:
            for call, (at, every) in due.items():
                if now >= at:
                    call()
                    due[call] = (at + every, every)
            if sent < now * o.rate:
                sent += 1
                self.load.one()
            else:
                time.sleep(min(0.01, 1 / o.rate))
        self.sample(began)

    def story(self):
        left = [n for n in self.client.scan_iter(PREFIX + "*", count=1000)]
        return f"{left[:50]} of {len(left)}\n{self.worker.text()[-3000:]}"

    def at_rest(self):
        with self.client.pipeline(transaction=True) as p:
            for name in ("inbox", "pending", "solo", "delayed", "follow"):
                p.exists(PREFIX + name)
            busy = p.execute()
        return not any(busy) and not list(self.client.scan_iter(PREFIX + "proc:*", count=10000))

    def untidy(self):
        """What is wrong in Redis; nothing is removed while it is asked."""
        self.worker.signal(signal.SIGSTOP)
        try:
            return keyspace.complaints(self.client)
        finally:
            self.worker.signal(signal.SIGCONT)

    @staticmethod
    def becomes(condition):
        try:
            return wait_for(condition, deadline=REST_S)
        except AssertionError:
            return False

    def left_over(self):
        names = (key[len(PREFIX):] for key in self.client.scan_iter(PREFIX + "*", count=1000))
        return [n for n in names if n not in STANDING and not n.startswith(STANDING_PREFIXES)]

    def run(self):
        """Words about what is wrong."""
        before = self.own_descriptors()
        self.run_load()
        self.load.end()
        wait_for(self.at_rest, self.story, REST_S)
        wrong = self.load.wrong[:10] + self.untidy()
        if not self.becomes(lambda: self.own_descriptors() == before):
            wrong.append(f"descriptors of worker, receiver: {before} at the beginning, "
                         f"{self.own_descriptors()} at the end")
        kept = descriptors(self.worker.pid, self.ports)[1]
        if kept > SMTP_CONNECTIONS + GITLAB_KEPT:
            wrong.append(f"the worker keeps {kept} connections")
        if not self.becomes(lambda: not self.left_over()):
            wrong.append(f"left in Redis: {self.story()}")
        for p in (self.worker, self.receiver):
            p.stop()
            try:
                p.check()
            except AssertionError as e:
                wrong.append(str(e)[-3000:])
        return wrong


def table(soak):
    """The slopes in words, and those that are too steep."""
    rows, wrong = [], []
    for name, (first, last, by_jobs, by_hour) in soak.slopes().items():
        heading, unit, most = MEASURES[name]
        digits = 0 if unit else 2
        rows.append(f"| {heading} | {first:,} | {last:,} | {by_jobs:,.{digits}f} | "
                    f"{by_hour:,.{digits}f} | {most:,} |")
        if by_jobs > most:
            wrong.append(f"{heading} grows by {by_jobs:,.{digits}f} {unit} with 1,000 jobs")
    return ["| | half-way | at the end | per 1,000 jobs | per hour | bound, per 1,000 jobs |",
            "|---|--:|--:|--:|--:|--:|", *rows], wrong


def soaked(options):
    """The soak after its run, and words about what was wrong; slopes are not judged."""
    folder = tempfile.mkdtemp(prefix="sg-")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        soak = Soak(folder, stack, options)
        return soak, soak.run()


OPTIONS = (("minutes", 10.0, "how long"), ("rate", 50.0, "requests a second"), ("seed", 1, ""),
           ("retention", "30s", "STOPGAP_RETENTION"), ("give-up", "20s", "STOPGAP_GIVE_UP_AFTER"),
           ("lease", "2s", "STOPGAP_LEASE"), ("every", 5.0, "seconds between two samples"),
           ("reload", 7.0, "between two HUPs"), ("cut", 11.0, "between cuts of Redis's lines"))


def options_of(words):
    parser = argparse.ArgumentParser(prog="soak.py")
    for name, default, meaning in OPTIONS:
        parser.add_argument("--" + name, type=type(default), default=default, help=meaning)
    return parser.parse_args(words)


def main():
    soak, wrong = soaked(options_of(sys.argv[1:]))
    rows, steep = table(soak)
    last = soak.samples[-1]
    print(f"{last.jobs:,} jobs of {soak.load.number:,} requests in {last.at / 60:.1f} minutes:",
          ", ".join(f"{n} {k}" for k, n in sorted(soak.load.counts.items())))
    print("\n".join(rows))
    for words in wrong + steep:
        print("WRONG:", words)
    return 1 if wrong or steep else 0


if __name__ == "__main__":
    sys.exit(main())
