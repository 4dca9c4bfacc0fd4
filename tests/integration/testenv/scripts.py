"""The queue's scripts one at a time: exact states put into Redis, one script run, and what
it changed in the whole key space. Not the queue as programs use it: that is queue.py."""

import hashlib
import json
import os
import re

import redis as client_library

LUA = os.path.join(os.path.dirname(__file__), "..", "..", "..", "common", "lua")
PREFIX = "stopgap:{licenses}:"
DAY = 86400000
RETENTION = 30 * DAY

# Which keys may live without a time to live: those that somebody empties.
OWNED = re.compile(r"(inbox|pending|solo|proc:.*|delayed|failed|done|job:.*|log:.*|follow"
                   r"|tell:\w+|workers|paused|stat|cfg)$")


def source(name):
    """As scripts/embed-lua puts it together."""
    with open(os.path.join(LUA, name + ".lua"), encoding="utf-8") as f:
        text = f.read()
    first = re.match(r"-- uses: (.*)\n", text)
    parts = []
    for part in first.group(1).split() if first else []:
        with open(os.path.join(LUA, part + ".inc.lua"), encoding="utf-8") as f:
            parts.append(f.read())
    return "".join(parts) + text


def sha(name):
    """What the programs call it by: they leave the comments out."""
    lines = [line for line in source(name).splitlines(keepends=True)
             if line.strip() and not line.lstrip(" ").startswith("--")]
    return hashlib.sha1("".join(lines).encode()).hexdigest()


def write(sets=None, dels=()):
    """The fields that end the arguments of save, finish and follow_done."""
    flat = [x for pair in (sets or {}).items() for x in pair]
    return [len(flat) // 2, *flat, len(dels), *dels]


def ident(name):
    return name.ljust(26, "x")


class Scripts:
    def __init__(self, path):
        self.redis = client_library.Redis(unix_socket_path=path, decode_responses=True,
                                          encoding_errors="surrogateescape")
        self._loaded = {}

    # ---- running ----

    def load(self, script):
        if script not in self._loaded:
            self._loaded[script] = self.redis.script_load(source(script))
        return self._loaded[script]

    def run(self, script, *args):
        return self.redis.evalsha(self.load(script), 1, PREFIX, *args)

    def changes(self, script, *args):
        """The answer, and what is different afterwards, all keys compared."""
        before = self.dump()
        answer = self.run(script, *args)
        return answer, difference(before, self.dump())

    def now(self):
        s, us = self.redis.time()
        return s * 1000 + us // 1000

    def key(self, name):
        return PREFIX + name

    # ---- states ----

    def worker(self, wid, lease=10000):
        self.redis.zadd(self.key("workers"), {wid: self.now() + lease})

    def job(self, name, state, place=None, at=0, **fields):
        """A record, and its id where a job of that state is."""
        i = ident(name)
        record = {"v": 1, "state": state, "raw": "{}", "accepted_ms": self.now(),
                  "attempt": 0, "fence": 0}
        record.update({k.replace("s_", "s:").replace("i_", "i:") if k[:2] in ("s_", "i_") else k:
                       v for k, v in fields.items()})
        self.redis.hset(self.key("job:" + i), mapping=record)
        if state == "queued":
            self.redis.lpush(self.key(place or "pending"), i)
        elif state == "active":
            self.redis.lpush(self.key("proc:" + fields["owner"]), i)
        else:
            self.redis.zadd(self.key(state), {i: self.now() + at})
        return i

    def active(self, name, wid="w1", fence=1, **fields):
        return self.job(name, "active", owner=wid, fence=fence, **{"attempt": 1, **fields})

    def field(self, i, name):
        return self.redis.hget(self.key("job:" + i), name)

    def view(self, i):
        return json.loads(self.redis.get(self.key("view:" + i)))

    # ---- the whole key space ----

    def dump(self):
        now, out = self.now(), {}
        for key in self.redis.scan_iter(count=1000):
            assert key.startswith(PREFIX)
            name = key[len(PREFIX):]
            assert (self.redis.ttl(key) == -1) == bool(OWNED.match(name)), key
            out[name] = self._value(key, now)
        return out

    def _value(self, key, now):
        kind = self.redis.type(key)
        if kind == "hash":
            return {f: readable(v, now) for f, v in self.redis.hgetall(key).items()}
        if kind == "zset":
            return {m: readable("%d" % s, now)
                    for m, s in self.redis.zrange(key, 0, -1, withscores=True)}
        if kind == "list":
            return [readable(v, now) for v in self.redis.lrange(key, 0, -1)]
        text = self.redis.get(key)
        return json.loads(text)["status"] if ":view:" in key else readable(text, now)


def readable(text, now):
    """Times become NOW, or NOW and a distance in seconds, to the nearest ten."""
    def distance(match):
        tens = round((int(match.group()) - now) / 10000) * 10
        return "NOW" if tens == 0 else f"NOW{tens:+d}"
    return re.sub(r"(?<!\w)1\d{12}(?!\w)", distance, text)


def difference(before, after):
    """Name to new value: None for what is gone, for hashes and sorted sets only what is
    different in them, for timelines only the new words."""
    out = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if isinstance(new, dict):
            old = old or {}
            new = {k: new.get(k) for k in old.keys() | new.keys() if old.get(k) != new.get(k)}
        elif name.startswith("log:") and new is not None:
            new = [line.split(" ", 1)[1] for line in new[len(old or []):]]
        out[name] = new
    return out
