"""A run in which receivers die (case.py has the run itself): signed requests, one after the
other, each sent until it is answered with 202, as Zendesk does; then what became of them
in Redis and in the spool. Redis is away while the run's own way to it is not there."""

import http.client
import os

from case import Case
from testenv import keyspace
from testenv.outage import Adoption
from testenv.webhook import SECRET, Webhook, delivery, encode, request


class Receiving(Case):
    PROGRAM = Webhook

    def __init__(self, stand, scenario, deaths=(), must_die=True):
        super().__init__(stand, scenario, deaths, must_die)
        self.way = os.path.join(stand.folder, f"way-{self.number}")
        self.spool = os.path.join(stand.folder, f"spool-{self.number}")
        os.mkdir(self.spool, 0o700)
        self.sent, self.kept = {}, {}  # by number: the bytes, the id that was answered
        self.env = {
            "STOPGAP_REDIS_URL": f"unix://{self.way}?db=0", "STOPGAP_QUEUE": self.queue,
            "STOPGAP_WEBHOOK_LISTEN": "127.0.0.1:0", "STOPGAP_WEBHOOK_METRICS_LISTEN": "off",
            "STOPGAP_WEBHOOK_SECRET": SECRET, "STOPGAP_SPOOL_DIR": self.spool,
            "CRASH_LOG": self.log}

    def redis_comes(self):
        os.symlink(self.stand.redis.path, self.way)

    def redis_is_there(self):
        return os.path.islink(self.way)

    def end_its_holds(self):
        """A receiver has none."""

    def ready(self):
        return self.worker.lines(event="ready") and (
            not self.redis_is_there() or self.worker.lines(event="redis_up"))

    def push(self, n, **fields):
        raw = self.sent[n] = encode(request(ticket_id=str(n), email=self.address(n), **fields))
        invocation = f"{self.queue}-{n}"
        while n not in self.kept:
            self.wait(self.ready)
            try:
                answer = self.worker.call("POST", "/zendesk", raw,
                                          delivery(raw, invocation=invocation))
            except (OSError, http.client.HTTPException):
                self.wait(lambda died=self.worker: self.worker is not died)
                continue
            assert answer.status == 202, f"{self}: {answer}"
            self.kept[n] = answer.job_id

    def waiting(self):
        return sorted(set(os.listdir(self.spool)) - {"lock"})

    def at_rest(self, ended):
        return len(self.kept) == ended and not (self.redis_is_there() and self.waiting())

    def story(self):
        return f"{self.kept}\n{self.waiting()}\n{self.worker.text()}"

    def judge(self):
        if not self.died and self.deaths and self.must_die:
            yield f"{self.deaths[0]} was never passed"
        for receiver in self.workers:
            receiver.check()
        yield from (f"left in the spool: {name}" for name in self.waiting())
        adoption = Adoption(self.stand.redis, self.prefix)
        assert adoption.run()
        jobs, kept = adoption.jobs(), {i: self.sent[n].decode() for n, i in self.kept.items()}
        yield from (f"lost: {i} {raw}" for i, raw in kept.items() if jobs.get(i) != raw)
        yield from (f"nobody's job: {i} {raw}" for i, raw in jobs.items() if i not in kept)
        if len(kept) != len(self.sent):
            yield f"two requests are one job: {self.kept}"
        yield from keyspace.complaints(self.client, self.prefix, at_rest=False)
