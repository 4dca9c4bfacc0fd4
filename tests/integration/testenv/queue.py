"""The queue as it stands in Redis: what a test pushes, and what it asks about jobs."""

import json

from .wait import wait_for

PREFIX = "stopgap:{licenses}:"


class Queue:
    def __init__(self, redis):
        self.redis = redis

    @property
    def client(self):
        return self.redis.client

    def push(self, raw=None, **fields):
        """A request onto the public list, good unless changed; raw: these bytes."""
        request = {"ticket_id": 4711, "email": "customer@example.com", "users": 25,
                   "requested_by": "agent", **fields}
        request = {k: v for k, v in request.items() if v is not None}
        self.client.lpush(PREFIX + "inbox", raw if raw is not None else json.dumps(request))
        return request

    def jobs(self, state=None):
        """{id: record} in order of acceptance."""
        found = {}
        for key in self.client.scan_iter(PREFIX + "job:*", count=1000):
            record = self.client.hgetall(key)
            if record:
                found[key.rsplit(":", 1)[1]] = record
        return dict(sorted(
            ((i, r) for i, r in found.items() if state in (None, r["state"])),
            key=lambda item: (int(item[1]["accepted_ms"]), item[0])))

    def raw(self, job_id):
        """The bytes of a request as they are kept."""
        return self.redis.bytes_client.hget(PREFIX + "job:" + job_id, "raw")

    def job(self, job_id):
        return self.client.hgetall(PREFIX + "job:" + job_id)

    def log(self, job_id):
        """The timeline's events."""
        return self.client.lrange(PREFIX + "log:" + job_id, 0, -1)

    def only(self, state=None):
        """(id, record) of the only job."""
        found = self.jobs(state)
        assert len(found) == 1, found
        return next(iter(found.items()))

    def settled(self, count, deadline=20.0):
        """Waits until `count` jobs have ended (done or failed) and nothing else is left."""
        lists = [PREFIX + name for name in ("done", "failed", "inbox", "pending", "solo",
                                            "delayed")]

        def ended():
            with self.client.pipeline(transaction=True) as p:  # one moment's picture
                for key in lists[:2]:
                    p.zcard(key)
                for key in lists[2:]:
                    p.exists(key)
                done, failed, *waiting = p.execute()
            return done + failed == count and not any(waiting)
        wait_for(ended, lambda: f"{count} jobs ended: {self.states()}", deadline)
        return self.jobs()

    def states(self):
        return {i: (r["state"], r.get("err_text", "")) for i, r in self.jobs().items()}

    def wait_state(self, job_id, state, deadline=20.0):
        return wait_for(lambda: (r := self.job(job_id)).get("state") == state and r,
                        lambda: f"{job_id} {state}: {self.job(job_id)}", deadline)
