"""What goes wrong in a storm: one function a fault, in a table with how often it comes.
Each begins something; what has to end again is put off with storm.later()."""

import contextlib
import signal

from redis.exceptions import RedisError


def kill(storm, random):
    """kill -9 of a worker; its successor comes at once, or after the others have had to
    take its jobs back by lease."""
    slot = random.choice(storm.slots)
    slot.kill(random.choice((0, 0, 0, 1.6)) * storm.LEASE_S)


def kill_all(storm, random):
    for slot in storm.slots:
        slot.kill(0)


def zombie(storm, random):
    """Frozen past its lease: it wakes when its jobs are others'."""
    slot = random.choice(storm.slots)
    if slot.signal(signal.SIGSTOP):
        storm.later(random.uniform(1.2, 2.2) * storm.LEASE_S,
                    lambda worker=slot.worker: worker.running and worker.signal(signal.SIGCONT))


def redis_killed(storm, random):
    storm.redis_down(0)


def redis_away(storm, random):
    """For longer than the lease."""
    storm.redis_down(random.uniform(1.2, 1.8) * storm.LEASE_S)


def redis_frozen(storm, random):
    storm.redis.freeze()
    storm.later(random.uniform(0.2, 1.6) * storm.LEASE_S, storm.redis.thaw)


def clients_cut(storm, random):
    storm.tell("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def paused(storm, random):
    storm.tell("CLIENT", "PAUSE", random.randrange(100, 1500), random.choice(("WRITE", "ALL")))


def scripts_flushed(storm, random):
    storm.tell("SCRIPT", "FLUSH")


def full(storm, random):
    storm.tell("CONFIG", "SET", "maxmemory", 1)
    storm.later(random.uniform(0.1, 0.8), lambda: storm.tell("CONFIG", "SET", "maxmemory", 0))


def asleep(storm, random):
    storm.tell("DEBUG", "SLEEP", round(random.uniform(0.2, 1.4), 1))


def read_only(storm, random):
    """As a primary that is demoted and comes back."""
    storm.tell("REPLICAOF", "127.0.0.1", 1)
    storm.later(random.uniform(0.1, 0.8), lambda: storm.tell("REPLICAOF", "NO", "ONE"))


# What of a conversation may be spoilt, by who hears it.
WORDS = {
    "redis": (b"EVALSHA", b"BLMOVE", b"i:email", b"s:email", b"i:record", b"s:close"),
    "smtp": (b"EHLO", b"MAIL FROM", b"\r\n.\r\n"),
    "gitlab": (b"POST ", b"PUT ", b"GET "),
}


def line_spoilt(storm, random):
    """Bytes dropped, answers cut, closed, trickling, or none at all until the line is
    cut."""
    whom = random.choice(sorted(WORDS))
    kind = random.choice(("drop", "cut", "close", "stall", "trickle"))
    proxy = storm.proxies[whom]
    proxy.arm(kind, match=random.choice(WORDS[whom]), after=random.choice((0, 0, 1, 7, 40)),
              times=random.choice((1, 1, 4)))
    if kind == "stall":
        storm.later(random.uniform(0.3, 2.0), proxy.cut)


def lines_cut(storm, random):
    storm.proxies[random.choice(sorted(WORDS))].cut()


KILLS = {kill: 12, kill_all: 1, redis_killed: 3, redis_away: 1}
OTHERS = {zombie: 4, redis_frozen: 2, clients_cut: 3, paused: 2, scripts_flushed: 2, full: 2,
          asleep: 1, read_only: 2, line_spoilt: 8, lines_cut: 2}


def forecast(random, kills, others):
    """[(fault, how long after the jobs that it is to meet, how long until the next)]"""
    faults = [random.choices(list(table), list(table.values()))[0]
              for table, n in ((KILLS, kills), (OTHERS, others)) for _ in range(n)]
    random.shuffle(faults)
    return [(fault, random.uniform(0.01, 0.15), random.expovariate(1 / 0.2)) for fault in faults]


def calm(storm):
    """Everything that may still be wrong is put right."""
    with contextlib.suppress(RedisError):
        storm.redis.thaw()
    for command in (("CONFIG", "SET", "maxmemory", 0), ("REPLICAOF", "NO", "ONE"),
                    ("CLIENT", "UNPAUSE")):
        storm.tell(*command)
    for proxy in storm.proxies.values():
        proxy.disarm()
        proxy.cut()
