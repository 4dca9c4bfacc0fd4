"""A minute of 50 requests a second for each thing that can be wrong with Redis, the
receiver killed -9 ten times in it. Each request that was answered 202 must be exactly one
job when Redis is well again. `make storm-webhook` runs it.

    webhook.py [--seed N] [--seconds N] [--rate N] [--copies N] [--kills N] [FAULT...]

Half of the clients try twice again after anything but a 202, as Zendesk does with a 503;
the rest go away. --copies: each invocation so many times at once. Exit 1: one was lost or
is there twice. The same seed gives the same plan; the machine decides the rest."""

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "integration")]

# pylint: disable=wrong-import-position
from testenv import outage, webhook  # noqa: E402
from testenv.proxy import Proxy  # noqa: E402
from testenv.redis import Redis  # noqa: E402
from testenv.wait import wait_for  # noqa: E402

FAULTS = ["killed", "frozen", "full", "readonly", "slow", "disk", "weather"]
WEATHER = ["killed", "frozen", "full", "readonly", "slow"]
LEAD_S = 2.0  # well before the fault
DISK = 3 << 20  # of "disk": some 700 requests
DRAIN_S = 120.0  # the longest that may take; slow Redis is well by then


def plan(fault, rng, seconds, kills):
    """[(second, what)], in order."""
    first, last = LEAD_S, seconds
    events = [(rng.uniform(first, last), "kill") for _ in range(kills)]
    if fault != "weather":
        return sorted([*events, (first, f"strike {fault}"), (last, f"heal {fault}")])
    at = first
    while at < last - 3:
        name, until = rng.choice(WEATHER), min(at + rng.uniform(1, 8), last)
        events += [(at, f"strike {name}"), (until, f"heal {name}")]
        at = until + rng.uniform(0.2, 3)
    return sorted(events)


class Rain(threading.Thread):
    """The clients, who know nothing of the weather."""

    def __init__(self, options, seed, clients, adoption):
        super().__init__(daemon=True)
        self.options, self.rng = options, random.Random(seed)
        self.clients, self.adoption = clients, adoption
        self.well = True  # Redis; a worker's look at the inbox would wait otherwise
        self.fault = None

    def run(self):
        try:
            self.fall()
        except Exception as fault:  # pylint: disable=broad-except
            self.fault = fault

    def fall(self):
        began, number, adopted = time.monotonic(), 0, 0.0
        while (now := time.monotonic() - began) < self.options.seconds:
            if number * self.options.copies < now * self.options.rate:
                number += 1
                self.clients.send(number, retries=self.rng.choice([0, 2]))
            elif self.well and now - adopted > 1:
                adopted = now
                self.adoption.run()
            else:
                time.sleep(0.002)

    def end(self):
        self.join()
        if self.fault:
            raise self.fault
        self.clients.wait()


def carry_out(events, rain, trouble, receivers):
    """From the main thread: a child ends with the thread that started it."""
    began = time.monotonic()
    for at, what in events:
        time.sleep(max(0, began + at - time.monotonic()))
        verb, _, name = what.partition(" ")
        if verb == "kill":
            receivers.kill()
        else:
            rain.well = False
            getattr(trouble, verb)(name)
            rain.well = verb == "heal"


def settings(trouble, spool):
    return {
        "STOPGAP_REDIS_URL": trouble.url,
        "STOPGAP_WEBHOOK_LISTEN": "127.0.0.1:0",
        "STOPGAP_WEBHOOK_METRICS_LISTEN": "off",
        "STOPGAP_WEBHOOK_SECRET": webhook.SECRET,
        "STOPGAP_SPOOL_DIR": spool,
        "STOPGAP_WEBHOOK_MAX_PER_PEER": "512",  # all clients are one peer here
    }


def one(fault, options):
    """A minute of it; what came of it."""
    rng = random.Random(f"{options.seed} {fault}")
    with contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="sg-")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        spool = os.path.join(folder, "spool")
        if fault == "disk" and not stack.enter_context(outage.small_disk(spool, DISK)):
            return None
        redis = Redis(folder)
        stack.callback(redis.stop)
        proxy = Proxy(redis.port)
        stack.callback(proxy.stop)
        trouble = outage.Trouble(redis, proxy, rng)
        receivers = outage.Receivers(settings(trouble, spool))
        stack.callback(receivers.stop)
        clients = outage.Clients(receivers, options.copies, workers=64)
        stack.callback(clients.stop)
        adoption = outage.Adoption(redis)
        rain = Rain(options, rng.random(), clients, adoption)
        events = plan(fault, rng, options.seconds, options.kills)
        rain.start()
        carry_out(events, rain, trouble, receivers)
        healed = time.monotonic()
        rain.end()
        outage.empty(receivers, DRAIN_S)
        return judge(time.monotonic() - healed, receivers, clients, adoption)


def judge(drained, receivers, clients, adoption):
    wait_for(adoption.run, "Redis is well again")
    jobs = adoption.jobs()
    lost, twice = outage.verdict(clients.kept, jobs)
    counts = dict(clients.counts)
    return {"sent": sum(counts.values()), "202": counts.pop(202, 0),
            "503": counts.pop(503, 0), "no answer": counts.pop("lost", 0), "other": counts,
            "promised": len(clients.kept), "jobs": len(jobs), "twice": len(twice),
            "lost": len(lost), "kills": receivers.kills,
            "seconds to drain": round(drained, 1)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(FAULTS))
    options = parser.parse_args()
    bad = False
    for fault in options.faults or FAULTS:
        found = one(fault, options)
        if found is None:
            print(f"{fault}: left out, mount is not allowed here", flush=True)
            continue
        bad = bad or found["lost"] or found["twice"] or found["other"]
        print(f"{fault}: " + ", ".join(f"{k} {v}" for k, v in found.items() if v != {}),
              flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
