"""Redis in trouble under a receiver, and what its clients were promised meanwhile. Counts
what was answered, and what became of it."""

import concurrent.futures
import contextlib
import http.client
import os
import subprocess
import time

import redis as client_library

from . import process, scripts
from .queue import PREFIX
from .wait import wait_for
from .webhook import Webhook, delivery, encode, request


class Trouble:
    """What may be wrong with Redis, by name: strike and heal. The receiver is to reach it
    through the proxy."""

    def __init__(self, redis, proxy, rng):
        self.redis, self.proxy, self.rng = redis, proxy, rng

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.proxy.port}/0"

    def strike(self, name):
        getattr(self, "_" + name)(True)

    def heal(self, name):
        getattr(self, "_" + name)(False)

    def _killed(self, bad):
        if bad:
            self.redis.kill()
            self.proxy.cut()
        else:
            self.redis.start()
            self.proxy.target_port = self.redis.port

    def _frozen(self, bad):
        (self.redis.freeze if bad else self.redis.thaw)()

    def _full(self, bad):
        self.redis.client.config_set("maxmemory", 1 if bad else 0)

    def _readonly(self, bad):
        if bad:
            self.redis.client.replicaof("127.0.0.1", str(process.free_port()))
        else:
            self.redis.client.replicaof("NO", "ONE")

    def _slow(self, bad):
        """Mostly slow; now and then slower than the receiver waits."""
        self.proxy.delay = (lambda: self.rng.choice([0.05, 0.2, 0.5, 2.5])) if bad else None

    def _disk(self, bad):
        """Gone, and the spool's disk is small: see small_disk."""
        self._killed(bad)


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of that many bytes. None: this user may not have one."""
    os.mkdir(folder)
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none",
                            folder], capture_output=True, check=False)
    if mount.returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


class Receivers:
    """One receiver at a time. As many as are killed -9 are there one after the other."""

    def __init__(self, env):
        self.env = env
        self.kills = 0
        self.port = None
        self.now = None
        self.start()

    def start(self):
        self.now = Webhook(self.env)
        self.port = self.now.port

    def kill(self):
        self.now.kill()
        self.now.check()
        self.kills += 1
        self.start()

    def ready(self):
        return self.now.call("GET", "/readyz").json

    def stop(self):
        self.now.stop()
        self.now.check()


class Clients:
    """Many clients. `kept`: {ticket: id} of what was answered 202; `counts` of answers."""

    def __init__(self, receivers, copies=1, workers=48):
        self.receivers, self.copies = receivers, copies
        self.kept, self.counts = {}, {}
        self.answers = 0
        self._pool = concurrent.futures.ThreadPoolExecutor(workers)
        self._waiting = []

    def send(self, number, retries=0):
        """A request of that number, so many times at once, each tried again so often."""
        raw = encode(request(ticket_id=str(number), email=f"c{number}@example.com",
                             requested_by=f"agent{number}"))
        for _ in range(self.copies):
            self._waiting.append(self._pool.submit(self._deliver, number, raw, retries))

    def _deliver(self, number, raw, retries):
        for pause in (*[0.5] * retries, None):
            status, job_id = self._once(raw, delivery(raw, invocation=900000000 + number))
            if status == 202 or pause is None:
                return number, status, job_id
            time.sleep(pause)
        return None

    def _once(self, raw, headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.receivers.port, timeout=15)
        job_id = None
        try:
            connection.request("POST", "/zendesk", raw, headers)
            answer = connection.getresponse()
            status, body = answer.status, answer.read()
            if status == 503:
                assert answer.headers["Retry-After"] == "30", answer.headers
            if status == 202:
                job_id = body.decode().split('"job_id":"')[1][:26]
        except (OSError, http.client.HTTPException):
            status = "lost"
        finally:
            connection.close()
        with contextlib.suppress(KeyError):
            self.counts[status] = self.counts.get(status, 0) + 1
        return status, job_id

    def wait(self):
        """Until each has its answer. One number has one id, however often it was sent."""
        while self._waiting:
            number, status, job_id = self._waiting.pop().result(60)
            if status == 202:
                self.answers += 1
                assert self.kept.setdefault(number, job_id) == job_id, number

    def stop(self):
        self._pool.shutdown()


class Adoption:
    """What a worker's next look at the inbox does, and no more: its jobs only come to be."""

    def __init__(self, redis, prefix=PREFIX):
        self.redis, self.prefix = redis, prefix
        self.script = scripts.source("take")

    def run(self):
        """False: Redis does not let it."""
        try:
            self.redis.client.zadd(self.prefix + "workers", {"judge": 1 << 52})
            while self.redis.client.llen(self.prefix + "inbox"):
                self.redis.client.eval(self.script, 1, self.prefix, "judge", 0, 0, 300000, 1, 0,
                                       "x" * 26, 200)
        except client_library.exceptions.RedisError:
            return False
        return True

    def jobs(self):
        """{id: the request's bytes}"""
        client = self.redis.client
        keys = list(client.scan_iter(self.prefix + "job:*", count=1000))
        return {key.rsplit(":", 1)[1]: client.hget(key, "raw") for key in keys}


def verdict(kept, jobs):
    """(lost, twice): numbers that were promised and have no job of the id told, and those
    that have more than one job."""
    tickets = {}
    for job_id, raw in jobs.items():
        tickets.setdefault(int(raw.split('"ticket_id": "')[1].split('"')[0]), []).append(job_id)
    lost = sorted(n for n, job_id in kept.items() if job_id not in tickets.get(n, []))
    return lost, sorted(n for n, ids in tickets.items() if len(ids) > 1)


def empty(receivers, deadline):
    """Waits until nothing waits on the disk; the seconds that took."""
    began = time.monotonic()
    wait_for(lambda: not receivers.ready()["spooled"], receivers.ready, deadline)
    return time.monotonic() - began
