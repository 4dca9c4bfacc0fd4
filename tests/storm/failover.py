"""Failovers: a primary, two replicas and three sentinels, two workers, somebody who submits
all the while; the primary is killed, or frozen until another one is there, and comes back.
Then it is counted what was lost and what was done twice.

    failover.py [--rounds N] [--wait N] [--fault kill|freeze] [--min-replicas N]

Each round is one failover for each of the waits and faults that are not named. The old
primary takes itself for one until it is demoted: two [Success] issues for a job are
wrong always, the rest where replicas are waited for."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "integration")]

# pylint: disable=wrong-import-position
import judge  # noqa: E402
import redis as client_library  # noqa: E402
import storm  # noqa: E402
from testenv.ctl import Ctl  # noqa: E402
from testenv.sentinel import NAME, Sentinels  # noqa: E402
from testenv.wait import wait_for  # noqa: E402
from testenv.worker import Worker  # noqa: E402

P = storm.P
AWAY = client_library.exceptions.RedisError
WORKERS = 2


class Load(threading.Thread):
    """Submits by LPUSH; with replicas to wait for, only what they confirmed is accepted.
    What was not is not pushed again, so that each job shows what became of it."""

    def __init__(self, sentinels, wait):
        super().__init__(daemon=True)
        self.finder = client_library.sentinel.Sentinel(
            [("127.0.0.1", port) for port in sentinels.ports], socket_timeout=0.5)
        self.replicas, self.accepted, self.unsure = wait, [], []
        self.enough = threading.Event()
        self.start()

    def run(self):
        client = self.finder.master_for(NAME, socket_timeout=1.0)
        n = 0
        while not self.enough.wait(0.02):
            n += 1
            request = {"ticket_id": n, "email": f"c{n}@example.com", "users": 1,
                       "requested_by": f"agent{n}"}
            try:
                with client.pipeline(transaction=False) as p:
                    p.lpush(P + "inbox", json.dumps(request))
                    p.execute_command("WAIT", self.replicas, 250)
                    sure = p.execute()[1] >= self.replicas
            except AWAY:
                sure = False
            (self.accepted if sure else self.unsure).append(n)

    def stop(self):
        self.enough.set()
        self.join()


def is_demoted(server):
    """Its clients are cut off when it is told; that is no answer yet."""
    try:
        return server.client.info("replication")["role"] == "slave"
    except client_library.exceptions.ConnectionError:
        return False


class Disturbed(Exception):
    """The sentinels made another failover than the one that was meant: this machine was too
    busy for a second. Two in a row are not what is shown here."""


class Failover:
    def __init__(self, folder, wait, fault, min_replicas=0):
        self.wait, self.fault, self.folder = wait, fault, folder
        self.words = f"WAIT {wait}, {fault}"
        self.sentinels = Sentinels(
            folder, replicas=2, config=(f"--min-replicas-to-write {min_replicas}",)
            if min_replicas else ())
        self.outside, self.workers, self.load = None, [], None
        self.new, self.history = None, None

    def _env(self, key):
        return {
            "STOPGAP_REDIS_URL": self.sentinels.url, "STOPGAP_REDIS_WAIT": str(self.wait),
            "STOPGAP_LICENSE_KEY_FILE": key,
            "STOPGAP_SMTP_URL": f"smtp://127.0.0.1:{self.outside.smtp_port}",
            "STOPGAP_MAIL_FROM": "Licenses <licenses@vendor.example>",
            "STOPGAP_GITLAB_URL": f"http://127.0.0.1:{self.outside.gitlab_port}",
            "STOPGAP_GITLAB_PROJECT": "1", "STOPGAP_GITLAB_TOKEN": "token",
            "STOPGAP_GITLAB_LABELS": "",
            "STOPGAP_GITLAB_SETTLE": "2s",  # both workers leave an old primary at once
            "STOPGAP_BACKOFF_BASE": "20ms", "STOPGAP_BACKOFF_CAP": "300ms",
            "STOPGAP_METRICS_LISTEN": "off", "STOPGAP_LOG_LEVEL": "warn",
            "STOPGAP_MAX_PER_ADDRESS": "0", "STOPGAP_MAX_PER_AGENT": "0",
            "STOPGAP_MAX_PER_DAY": "0", "STOPGAP_MAX_AMBIGUOUS": "5"}

    def run(self):
        """(words about what is wrong, figures)"""
        try:
            self.outside = storm.Outside(self.folder)
            env = self._env(Ctl({}).keygen(os.path.join(self.folder, "license.key")))
            self.workers = [Worker(env, ready=False) for _ in range(WORKERS)]
            self.load = Load(self.sentinels, self.wait)
            self._fail_over()
            self.load.stop()
            wait_for(lambda: self._at_rest(self.new.client), self._story(self.new), 60)
            said = self._judge(self.new)
        except (AssertionError, AWAY) as e:
            if self._disturbed():
                raise Disturbed from e
            raise
        finally:
            disturbed = self._disturbed()
            self.stop()
        if disturbed:
            raise Disturbed
        return said

    def _fail_over(self):
        old = self.sentinels.servers[0]
        wait_for(lambda: old.client.zcard(P + "done") >= 40, self._story(old))
        if self._primary() is not old:
            raise Disturbed
        old.kill() if self.fault == "kill" else old.freeze()
        self.new = wait_for(lambda: (s := self.sentinels.primary()) is not old and s,
                            "the failover")
        self.history = self.new.client.info("replication")["master_replid"]
        old.start() if self.fault == "kill" else old.thaw()
        wait_for(lambda: is_demoted(old), "the old one is demoted")
        done, before = self.new.client.zcard, self.new.client.zcard(P + "done")
        wait_for(lambda: done(P + "done") >= before + 40, self._story(self.new), 40)

    def _primary(self):
        return wait_for(self.sentinels.primary, "the sentinels agree")

    def _disturbed(self):
        return self.new and (
            self._primary() is not self.new
            or self.new.client.info("replication")["master_replid"] != self.history)

    def _at_rest(self, client):
        with client.pipeline(transaction=True) as p:
            for name in ("inbox", "pending", "solo", "delayed"):
                p.exists(P + name)
            busy = p.execute()
        return not any(busy) and not list(client.scan_iter(P + "proc:*", count=10000))

    def _story(self, server):
        def words():
            records = judge.records(server.client, P)
            left = [(i, r) for i, r in records.items() if r["state"] not in ("done", "failed")]
            return "\n".join([self.words, *map(str, left[:5]),
                              *(w.text()[-3000:] for w in self.workers)])
        return words

    def _judge(self, new):
        jobs = judge.records(new.client, P)
        books = judge.Books(*self.outside.books())
        doubts = Counter(line["job"] for w in self.workers for line in w.lines(event="ambiguous"))
        tickets = {int(r["ticket"]) for r in jobs.values() if "ticket" in r}
        lost = sorted(set(self.load.accepted) - tickets)
        second = {i: len(books.mails[i]) - 1 for i in jobs if len(books.mails.get(i, ())) > 1}
        uncounted = sum(max(0, n - doubts[i]) for i, n in second.items())
        success = {i: [x["title"].split()[0] for x in found].count("[Success]")
                   for i, found in books.issues.items()}
        twice = [i for i, n in success.items() if n > 1]
        strange = set(books.mails) - set(jobs)  # what only the old primary knew
        wrong = [f"{i} has {success[i]} [Success] issues" for i in twice]
        wrong += [f"{i} is {r['state']}: {r.get('err_text')}" for i, r in jobs.items()
                  if r["state"] != "done"]
        wrong += [f"{i} is done, without a record" for i in jobs if not success.get(i)]
        if self.wait:
            wrong += [f"ticket {n} is lost" for n in lost]
            wrong += [f"{uncounted} second mails that nobody counted"] * bool(uncounted)
            wrong += [f"{i} was mailed, and is in no record" for i in strange]
        return [f"{self.words}: {w}" for w in wrong], {
            "accepted": len(self.load.accepted), "unsure": len(self.load.unsure),
            "jobs": len(jobs), "lost": len(lost), "second_mails": sum(second.values()),
            "uncounted": uncounted, "in_doubt": sum(doubts.values()),
            "two_success": len(twice), "mailed_but_unknown": len(strange),
            "left_pending": books.count("[Pending]"), "strays": books.count("[Duplicate]")}

    def stop(self):
        if self.load:
            self.load.stop()
        for worker in self.workers:
            worker.stop()
        if self.outside:
            self.outside.stop()
        self.sentinels.stop()


def run(wait, fault, min_replicas=0):
    for tries in range(3):
        folder = tempfile.mkdtemp(prefix="sg-")
        try:
            return Failover(folder, wait, fault, min_replicas).run()
        except Disturbed:
            print("a failover that nobody meant: once more", flush=True)
            if tries == 2:
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return None


def main():
    parser = argparse.ArgumentParser(prog="failover.py")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--wait", type=int, choices=(0, 1, 2))
    parser.add_argument("--fault", choices=("kill", "freeze"))
    parser.add_argument("--min-replicas", type=int, default=0)
    args = parser.parse_args()
    waits = (0, 1, 2) if args.wait is None else (args.wait,)
    bad = 0
    for fault in ("kill", "freeze") if args.fault is None else (args.fault,):
        for wait in waits:
            total = Counter()
            for _ in range(args.rounds):
                begin = time.monotonic()
                wrong, figures = run(wait, fault, args.min_replicas)
                total.update(figures | {"seconds": round(time.monotonic() - begin)})
                bad += bool(wrong)
                for words in wrong:
                    print("  WRONG:", words, flush=True)
            print(f"{fault}, WAIT {wait}, {args.rounds} times:", judge.in_words(total), flush=True)
    print(f"{bad} failovers were not survived")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
