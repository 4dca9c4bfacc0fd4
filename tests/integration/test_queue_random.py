"""Thousands of random moves, each made in Redis and in a model of it, compared after every
step: every id in exactly one place, its state the one of that place, every sum right, and
every key either somebody's or short-lived. SEED=N repeats a run, OPS=N makes it longer."""

import os
import random

import pytest
from testenv.ctl import Ctl
from testenv.queue_model import Model
from testenv.redis import Redis
from testenv.scripts import DAY, OWNED, PREFIX, RETENTION, Scripts, ident, write

FAR = 50 * DAY  # neither leases nor delays end by themselves
WORKERS = ["w1", "w2", "w3"]
DUMP = """
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, v = redis.call('TYPE', key).ok, ''
  if kind == 'hash' then v = redis.call('HGETALL', key)
  elseif kind == 'list' then v = redis.call('LRANGE', key, 0, -1)
  elseif kind == 'zset' then v = redis.call('ZRANGE', key, 0, -1)
  else v = redis.call('GET', key) end
  out[#out+1] = {key, kind, redis.call('PTTL', key), v}
end
return out
"""


class Run:
    """One run: the moves, by name, and the comparison."""

    def __init__(self, q, seed):
        self.q, self.r, self.m = q, random.Random(seed), Model()
        self.ticks = 0
        self.words = set()  # what claims were answered
        self.given = [ident("given%d" % n) for n in range(6)]

    def tick(self):
        self.ticks += 1
        return self.ticks

    def some_id(self):
        return self.r.choice(sorted(self.m.jobs) + [ident("nobody")])

    def some_claim(self):
        """An id, and an owner and fence that are mostly the right ones."""
        active = sorted(i for i, job in self.m.jobs.items() if job["state"] == "active")
        i = self.r.choice(active) if active and self.r.random() < 0.9 else self.some_id()
        job = self.m.jobs.get(i, {})
        last = job.get("last", ("w1", 1, ""))
        wid, fence = job.get("owner", last[0]), job.get("fence", 1)
        if self.r.random() < 0.15:
            wid, fence = self.r.choice(WORKERS), fence - self.r.randrange(2)
        return i, wid, fence

    # ---- moves ----

    def push(self):
        entry = self.r.choice(["", "{}", '{"n":%d}' % self.r.randrange(3)])
        if self.r.random() < 0.4:
            entry = self.r.choice(self.given) + " " + entry
        self.q.redis.lpush(PREFIX + "inbox", entry)
        self.m.inbox.insert(0, entry)

    def beat(self):
        wid, seed = self.r.choice(WORKERS), f"b{self.tick()} "
        got = self.q.run("beat", wid, FAR, FAR, RETENTION, seed, 200, "", "host", "h")
        assert got[0] == self.m.beat(wid, seed)
        assert got[3] == len(self.m.pending) + len(self.m.solo)

    def take(self):
        wid, seed = self.r.choice(WORKERS), f"t{self.tick()} "
        want, reap = self.r.randrange(4), self.r.randrange(2)
        idle = int(not self.m.proc.get(wid))
        got = self.q.run("take", wid, want, reap, FAR, 1, idle, seed, 200)
        wanted = self.m.take(wid, want, reap, idle, seed)
        assert (got[0] if got[0] != "OK" else [job[0] for job in got[4:]]) == wanted

    def claim_keys(self):
        i, wid, fence = self.some_claim()
        same = "s%d" % self.r.randrange(3)
        fresh = same + self.r.choice("ab"), self.r.choice(["", "", "", "i%d" % self.r.randrange(9)]), same
        digest, idem, same = self.m.jobs.get(i, {}).setdefault("claim", fresh)
        got = self.q.run("claim_keys", i, wid, fence, "{}", digest, idem, same, same[1:],
                         RETENTION, "me")
        wanted = self.m.claim_keys(i, wid, fence, digest, idem, same)
        self.words.add(got[0])
        assert got[:len(wanted)] == wanted and (got[0] == "OK" or len(got) == len(wanted))

    def save(self):
        i, wid, fence = self.some_claim()
        valid = self.r.random() < 0.7
        fields = {"lic": "L", "exp_ms": self.q.now() + FAR if valid else 1}
        got = self.q.run("save", i, wid, fence, 1, "", "", 0, *write(fields))
        assert got[:1] == [self.m.save(i, wid, fence, valid)]

    def finish(self):
        i, wid, fence = self.some_claim()
        verb = self.r.choice(["done", "fail", "fail", "fail", "retry", "snooze", "release"])
        step = self.r.choice(["validate", "email"])
        sets = {"err_step": step} if verb in ("done", "fail") else {}
        for _ in range(self.r.choice([1, 1, 2])):  # answers get lost
            got = self.q.run("finish", i, wid, fence, verb, FAR, "words", *write(sets))
            assert got == [self.m.finish(i, wid, fence, verb, step)]

    def expire(self):
        wid, at = self.r.choice(WORKERS), self.tick()
        if self.q.redis.zadd(PREFIX + "workers", {wid: at}, xx=True, ch=True):
            self.m.workers[wid] = at

    def reap_worker(self):
        wid = self.r.choice(WORKERS)
        self.q.run("reap_worker", wid)
        self.m.reap(wid)

    def come_due(self):
        if self.m.delayed:
            i, at = self.r.choice(sorted(self.m.delayed)), self.tick()
            self.q.redis.zadd(PREFIX + "delayed", {i: at})
            self.m.delayed[i] = at

    def pause(self):
        self.m.paused = not self.m.paused and self.r.random() < 0.3
        if self.m.paused:
            self.q.redis.set(PREFIX + "paused", "me")
        else:
            self.q.redis.delete(PREFIX + "paused")

    def requeue(self):
        i, redo = self.some_id(), self.r.choice(["", "", "sign", "close"])
        assert self.q.run("requeue", i, "op", redo, 0, 0, "desk") == self.m.requeue(i, redo)

    def resend(self):
        i = self.some_id()
        assert self.q.run("resend", i, "op", "", "desk") == self.m.resend(i)

    def discard(self):
        i = self.some_id()
        assert self.q.run("discard", i, "op", "desk") == self.m.discard(i)

    def trim(self):
        ended = sorted(self.m.done | self.m.failed)
        if not ended:
            return
        i = self.r.choice(ended)
        place = "done" if i in self.m.done else "failed"
        self.q.redis.zadd(PREFIX + place, {i: 1})
        assert self.q.run("trim", RETENTION) == [1]
        self.m.trim(i)

    def follow(self):
        answer = self.q.run("follow_take", 3, FAR)
        for kind, i, token, _, _, record in answer[2:]:
            assert i in self.m.jobs and record
            self.q.run("follow_done", kind, i, token, -1, *write({"report_iid": 5}))

    MOVES = {push: 20, beat: 10, take: 30, claim_keys: 20, save: 8, finish: 25, expire: 3,
             reap_worker: 4, come_due: 8, pause: 3, requeue: 5, resend: 4, discard: 3, trim: 14,
             follow: 5}

    def step(self):
        [move] = self.r.choices(list(self.MOVES), weights=list(self.MOVES.values()))
        move(self)
        return move.__name__

    # ---- comparison ----

    def check(self):
        keys, m = {}, self.m
        for key, kind, ttl, value in self.q.redis.evalsha(self.dump_sha, 0):
            name = key[len(PREFIX):]
            assert (ttl < 0) == bool(OWNED.match(name)), key
            keys[name] = dict(zip(value[::2], value[1::2])) if kind == "hash" else value
        self.check_places(keys)
        self.check_records({name[4:]: keys[name] for name in keys if name.startswith("job:")})
        for prefix, wanted in (("same:", m.same), ("idem:", m.idem)):
            assert {n[5:]: keys[n] for n in keys if n.startswith(prefix)} == wanted
        for name in keys:
            prefix, _, i = name.partition(":")
            if prefix == "log" or prefix == "view" and not i.startswith("t:"):
                assert i in m.jobs, name
        assert {i for n, v in keys.items() if n.startswith("ticket:") for i in v} <= set(m.jobs)
        assert {line.split()[1] for line in keys.get("follow", [])} <= set(m.jobs)
        assert int(keys.get("stat", {}).get("adopted", 0)) == m.adopted
        assert "orphaned" not in keys.get("stat", {})

    def check_places(self, keys):
        m, held = self.m, []
        for name in ("inbox", "pending", "solo"):
            assert keys.get(name, []) == getattr(m, name), name
        for name in ("delayed", "failed", "done"):
            assert set(keys.get(name, [])) == set(getattr(m, name)), name
        assert set(keys.get("workers", [])) == set(m.workers)
        procs = {n[5:]: v for n, v in keys.items() if n.startswith("proc:")}
        assert procs == {w: ids for w, ids in m.proc.items() if ids}
        for state, places in (("queued", [m.pending, m.solo]), ("active", procs.values()),
                              ("delayed", [m.delayed]), ("failed", [m.failed]),
                              ("done", [m.done])):
            for i in (i for place in places for i in place):
                assert m.jobs[i]["state"] == state
                held.append(i)
        assert sorted(held) == sorted(m.jobs)  # each in one place, none in two

    def check_records(self, records):
        assert records.keys() == self.m.jobs.keys()
        for i, record in records.items():
            job = self.m.jobs[i]
            for field in ("raw", "state", "attempt", "fence", "owner", "dup_of", "digest",
                          "losses", "reruns", "resends", "clash"):
                wanted = job.get(field)
                assert record.get(field) == (None if wanted is None else str(wanted)), (i, field)
            assert ("due_ms" in record) == (job["state"] == "delayed")
            assert ("ended_ms" in record) == (job["state"] in ("done", "failed"))


@pytest.fixture
def q(tmp_path):
    server = Redis(str(tmp_path), fsync="no")
    scripts = Scripts(server.path)
    scripts.url = server.url
    yield scripts
    scripts.redis.close()
    server.stop()


@pytest.mark.parametrize("seed", [int(os.environ.get("SEED", "20260131"))])
def test_random_moves(q, seed):
    run = Run(q, seed)
    run.dump_sha = q.redis.script_load(DUMP)
    seen = []
    for n in range(int(os.environ.get("OPS", "3000"))):
        try:
            seen.append(run.step())
            run.check()
        except AssertionError as e:
            raise AssertionError(f"SEED={seed}, move {n} after {seen[-5:]}: {e}") from e
    assert len(set(seen)) == len(Run.MOVES)
    assert run.m.adopted > 100
    assert {"OK", "LOST", "DUP", "REPLAY", "CLASH", "RERUN"} <= run.words
    assert Ctl({"STOPGAP_REDIS_URL": q.url}).json("fsck", status=None)["findings"] == []
