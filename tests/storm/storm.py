"""One storm: jobs come in, workers work, and what weather.py has goes wrong, in an order
and with pauses that the seed decides. Then calm, and judge.py. `make storm` runs many.

    storm.py [--seed N] [--rounds N] [--jobs N] [--kills N] [--others N]
    storm.py --plain [--seed N] [--rounds N]

A round that fails is repeated by its seed: --seed N --rounds 1. --plain: 500 jobs that
are there from the start, one worker that is killed five times, as the speed comparison
of other queues does it."""

import argparse
import contextlib
import heapq
import itertools
import json
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]

# pylint: disable=wrong-import-position
import judge  # noqa: E402
import redis as client_library  # noqa: E402
import weather  # noqa: E402
from testenv import process  # noqa: E402
from testenv.ctl import Ctl  # noqa: E402
from testenv.proxy import Proxy  # noqa: E402
from testenv.redis import Redis  # noqa: E402
from testenv.wait import wait_for  # noqa: E402
from testenv.worker import Worker  # noqa: E402

P = "stopgap:{licenses}:"
WORKERS = 3
CALM_S = 90.0  # the longest that what was left behind may take
HOLD_MS = 180000  # how long a follow-up is its worker's (worker/follow.c)


class Outside:
    """outside.py, and its books."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "books")
        self._process = process.start(
            [sys.executable, os.path.join(HERE, "outside.py")], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)
        self.smtp_port, self.gitlab_port = map(int, self._process.stdout.readline().split())

    def books(self):
        """(mails, issues)"""
        url = f"http://127.0.0.1:{self.gitlab_port}/dump"
        with urllib.request.urlopen(url, data=self.path.encode(), timeout=60):
            pass
        with open(self.path, "rb") as f:
            return pickle.load(f)

    def stop(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Slot:
    """A worker and its successors."""

    def __init__(self, storm, env):
        self.storm, self.env = storm, env
        self.all = []
        self.start()

    @property
    def worker(self):
        return self.all[-1]

    def start(self):
        self.all.append(Worker(self.env, ready=False))

    def kill(self, pause_s):
        """Its successor comes after the pause. False: it was dead already."""
        if not self.worker.running:
            return False
        self.worker.kill()
        self.storm.kills += 1
        self.storm.later(pause_s, self.start)
        return True

    def signal(self, number):
        if self.worker.running:
            self.worker.signal(number)
        return self.worker.running


class Storm:
    LEASE_S = 1.0

    def __init__(self, folder, seed, jobs, kills, others):
        self.random = random.Random(seed)
        fsync = self.random.choice(("always", "everysec"))
        self.fsync, self.name = fsync, f"seed {seed}, appendfsync {fsync}"
        self.jobs, self.kills = jobs, 0
        self.forecast = weather.forecast(self.random, kills, others)
        self.events, self.order = [], itertools.count()
        self.accepted, self.pushed = set(), 0
        self.unsure = []  # tickets whose submission was not answered
        with contextlib.ExitStack() as stack:
            self._set_up(folder, fsync, stack)
            self.ending = stack.pop_all()

    def _set_up(self, folder, fsync, stack):
        debug = ("--enable-debug-command", "yes") if _redis_major() >= 7 else ()
        self.redis = Redis(folder, fsync=fsync, config=debug)
        stack.callback(self.redis.stop)
        self.redis_is_down = False
        self.client = client_library.Redis(unix_socket_path=self.redis.path, socket_timeout=1.0,
                                           decode_responses=True, encoding_errors="replace")
        stack.callback(self.client.close)
        self.outside = Outside(folder)
        stack.callback(self.outside.stop)
        self.proxies = {name: Proxy(port) for name, port in (
            ("redis", self.redis.port), ("smtp", self.outside.smtp_port),
            ("gitlab", self.outside.gitlab_port))}
        for proxy in self.proxies.values():
            stack.callback(proxy.stop)
        key = Ctl({}).keygen(os.path.join(folder, "license.key"))
        direct = [f"redis://127.0.0.1:{self.proxies['redis'].port}/0", self.redis.url]
        self.slots = [Slot(self, self._env(key, url)) for url in (*direct, direct[0])[:WORKERS]]
        stack.callback(lambda: [w.stop() for s in self.slots for w in s.all])

    def _env(self, key, redis_url):
        return {
            "STOPGAP_REDIS_URL": redis_url, "STOPGAP_LICENSE_KEY_FILE": key,
            "STOPGAP_SMTP_URL": f"smtp://127.0.0.1:{self.proxies['smtp'].port}",
            "STOPGAP_MAIL_FROM": "Licenses <licenses@vendor.example>",
            "STOPGAP_GITLAB_URL": f"http://127.0.0.1:{self.proxies['gitlab'].port}",
            "STOPGAP_GITLAB_PROJECT": "1", "STOPGAP_GITLAB_TOKEN": "token",
            "STOPGAP_GITLAB_LABELS": "", "STOPGAP_GITLAB_SETTLE": "300ms",
            "STOPGAP_BACKOFF_BASE": "20ms", "STOPGAP_BACKOFF_CAP": "300ms",
            "STOPGAP_LEASE": f"{int(self.LEASE_S * 1000)}ms", "STOPGAP_CONCURRENCY": "16",
            "STOPGAP_METRICS_LISTEN": "off", "STOPGAP_LOG_LEVEL": "warn",
            "STOPGAP_MAX_PER_ADDRESS": "0", "STOPGAP_MAX_PER_AGENT": "0",
            "STOPGAP_MAX_PER_DAY": "0", "STOPGAP_MAX_AMBIGUOUS": "5"}

    # --- for weather.py ---

    def later(self, seconds, what):
        heapq.heappush(self.events, (time.monotonic() + seconds, next(self.order), what))

    def tell(self, *command):
        """Redis may be away, or may not answer: then it is told again."""
        try:
            self.client.execute_command(*command)
        except client_library.exceptions.ResponseError:
            pass
        except client_library.exceptions.RedisError:
            if command[0] in ("CONFIG", "REPLICAOF"):
                self.later(0.3, lambda: self.tell(*command))

    def on_disk(self):
        """With everysec Redis may answer before it writes, while its disk is behind
        (test_slow_disk.py): such a death is not what a storm is about."""
        self.redis.thaw()
        with contextlib.suppress(client_library.exceptions.RedisError):
            state = self.client.info("persistence")
            return self.fsync == "always" or not state["aof_pending_bio_fsync"]
        return False

    def redis_down(self, seconds):
        if self.redis_is_down:
            return
        wait_for(self.on_disk, "Redis's disk")
        self.redis.kill()
        self.kills += 1
        self.redis_is_down = True
        self.later(seconds, self.redis_up)

    def redis_up(self):
        self.redis.start()
        self.proxies["redis"].target_port = self.redis.port
        self.redis_is_down = False

    # --- the jobs ---

    def push_up_to(self, target):
        """One LPUSH. A submission that is not answered is made again: it is the same
        request, and no second license."""
        tickets = [*self.unsure, *range(self.pushed + 1, target + 1)]
        self.pushed = max(self.pushed, target)
        self.unsure = tickets
        if not tickets:
            return
        requests = [json.dumps({"ticket_id": n, "email": f"c{n}@example.com", "users": 25,
                                "requested_by": f"agent{n % 7}"}) for n in tickets]
        with contextlib.suppress(client_library.exceptions.RedisError):
            self.client.lpush(P + "inbox", *requests)
            self.accepted |= set(tickets)
            self.unsure = []

    # --- the run ---

    def wait(self, seconds):
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if self.events and self.events[0][0] <= now:
                heapq.heappop(self.events)[2]()
            elif now >= end:
                return
            else:
                due = self.events[0][0] if self.events else end
                time.sleep(max(0.0, min(due, end) - now))

    def blow(self):
        for i, (fault, before_s, pause_s) in enumerate(self.forecast):
            self.push_up_to(self.jobs * (i + 1) // len(self.forecast))
            self.wait(before_s)
            fault(self, self.random)
            self.wait(pause_s)
        while self.events:
            self.wait(0.05)
        weather.calm(self)
        while self.unsure or self.events:
            self.wait(0.05)
            self.push_up_to(self.jobs)

    def at_rest(self):
        """No more than what a dead worker held is left of the follow-ups."""
        for member, score in self.client.zrange(P + "follow", 0, -1, withscores=True):
            now = time.time() * 1000
            if score > now + 10000 and not member.startswith("late"):
                self.client.zadd(P + "follow", {member: score - HOLD_MS}, xx=True)
        with self.client.pipeline(transaction=True) as p:
            for name in ("inbox", "pending", "solo", "delayed", "follow"):
                p.exists(P + name)
            busy = p.execute()
        return not any(busy) and not list(self.client.scan_iter(P + "proc:*", count=10000))

    def story(self):
        records = judge.records(self.client, P)
        left = {i: r for i, r in records.items() if r["state"] not in ("done", "failed")}
        return "\n".join([self.name, *(f"{i} {r}" for i, r in list(left.items())[:5]),
                          str(self.client.zrange(P + "follow", 0, -1, withscores=True)),
                          *(s.worker.text()[-3000:] for s in self.slots)])

    def settle(self):
        def rest():
            self.wait(0.05)
            with contextlib.suppress(client_library.exceptions.RedisError):
                return self.at_rest()
            return False
        wait_for(rest, self.story, CALM_S)

    def run(self):
        """(words about what is wrong, figures)"""
        begin = time.monotonic()
        with self.ending:
            self.blow()
            calm = time.monotonic()
            self.settle()
            drained = time.monotonic() - calm
            for slot in self.slots:
                slot.worker.stop()
            wrong, figures = judge.judge(self)
        figures |= {"seconds": round(time.monotonic() - begin), "drain": round(drained, 1)}
        return [f"{self.name}: {w}" for w in wrong], figures


class PlainKills(Storm):
    """One worker and nothing else that goes wrong."""

    JOBS, KILLS = 500, 5

    def __init__(self, folder, seed):
        super().__init__(folder, seed, self.JOBS, 0, 0)
        for slot in self.slots[1:]:
            slot.worker.kill()
        del self.slots[1:]

    def blow(self):
        self.push_up_to(self.JOBS)
        for n in range(self.KILLS):
            share = self.JOBS * (n + 1) // (self.KILLS + 2)
            wait_for(lambda k=share: self.client.zcard(P + "done") >= k, self.story, CALM_S)
            self.wait(self.random.uniform(0, 0.05))
            self.slots[0].kill(0)
            self.wait(0)


def _redis_major():
    text = subprocess.run(["redis-server", "--version"], capture_output=True, text=True,
                          check=True).stdout
    return int(re.search(r"v=(\d+)", text).group(1))


def run(seed, kind=Storm, **sizes):
    folder = tempfile.mkdtemp(prefix="sg-")
    try:
        return kind(folder, seed, **sizes).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(prog="storm.py")
    for name, default in (("seed", 1), ("rounds", 100), ("jobs", 1000), ("kills", 12), ("others", 12)):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--plain", action="store_true")
    args = parser.parse_args()
    sizes = {"kind": PlainKills} if args.plain else {
        "jobs": args.jobs, "kills": args.kills, "others": args.others}
    total, bad = {}, 0
    for seed in range(args.seed, args.seed + args.rounds):
        wrong, figures = run(seed, **sizes)
        bad += bool(wrong)
        print(f"seed {seed}:", judge.in_words(figures), flush=True)
        for words in wrong:
            print("  WRONG:", words, flush=True)
        for key, value in figures.items():
            total[key] = total.get(key, 0) + value
    print("all:", judge.in_words(total))
    print(f"{args.rounds - bad} storms survived, {bad} not")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
