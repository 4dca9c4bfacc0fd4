#!/usr/bin/python3
"""The benchmark of `make bench-webhook`: signed deliveries of 600 bytes over kept connections,
to the receiver with a private redis-server (AOF, fsync every second) and to a C server that
only answers 202, in turn. Compare figures of one run only; --against adds another build."""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import bench
from bench import Setting, cpu_s, memory_mb, merge, ratios, wait_until

SECRET = "secret-of-the-benchmark-0123456789"
FIRST, WARM, TRACED = 1000000, 2000, 3000
COLUMNS = (
    ("requests_per_s", "requests/s", "%.0f"),
    ("cpu_us", "server CPU us/request", "%.1f"),
    ("redis_cpu_us", "Redis CPU us/request", "%.1f"),
    ("p50_us", "p50 us", "%.0f"),
    ("p99_us", "p99 us", "%.0f"),
    ("rss_mb", "peak RSS MB", "%.1f"),
    ("private_mb", "private MB", "%.1f"),
    ("syscalls", "syscalls/request", "%.2f"),
)


class Floor(Setting):
    """The server that only answers."""

    redis = None

    def __init__(self, build, _):  # no Redis, no sinks
        self.folder = bench.tempfile.mkdtemp(prefix="stopgap-bench-")
        self.processes = []
        self.server = self._start([os.path.join(build, "bench-webhook-floor")],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = self.server.stdout.readline().strip()

    def kept(self, count):
        pass


class Receiver(Setting):
    """stopgap-webhook and its Redis."""

    def __init__(self, build, env):
        self.folder = bench.tempfile.mkdtemp(prefix="stopgap-bench-")
        self.processes = []
        try:
            self._start_redis()
            self._start_receiver(build, env)
        except BaseException:
            self.close()
            raise

    def _start_receiver(self, build, env):
        self.log_path = os.path.join(self.folder, "webhook.log")
        full = {
            "PATH": os.environ["PATH"],
            "STOPGAP_ALLOW_ROOT": "1",
            "STOPGAP_REDIS_URL": self.url,
            "STOPGAP_WEBHOOK_LISTEN": "127.0.0.1:0",
            "STOPGAP_WEBHOOK_SECRET": SECRET,
            "STOPGAP_SPOOL_DIR": os.path.join(self.folder, "spool"),
            **env,
        }
        with open(self.log_path, "wb") as log:
            self.server = self._start([os.path.join(build, "stopgap-webhook")],
                                      stdout=log, stderr=log, env=full)
        wait_until(lambda: all(f"event={e}" in self.log() for e in ("ready", "redis_up")),
                   "the receiver is ready")
        self.port = re.search(r"event=ready .* port (\d+),", self.log()).group(1)

    def kept(self, count):
        """Each was queued, once."""
        entries = self.client.lrange(bench.PREFIX + "inbox", 0, -1)
        if len({e.split(" ", 1)[0] for e in entries}) != count or len(entries) != count:
            raise RuntimeError(f"{len(entries)} entries of {count}")


def load(build, port, connections, first, count):
    """(seconds, p50, p99); every one must be taken."""
    out = subprocess.run(
        [os.path.join(build, "bench-webhook-load"), port, str(connections), str(first),
         str(count)], check=True, capture_output=True, text=True,
        env={"STOPGAP_WEBHOOK_SECRET": SECRET}).stdout.split()
    if int(out[0]) != count:
        raise RuntimeError(f"{out[0]} taken of {count}")
    return float(out[1]), int(out[2]), int(out[3])


def syscalls(s, tools, connections, first):
    """{} without strace."""
    if not shutil.which("strace"):
        return {}
    counted = os.path.join(s.folder, "strace")
    tracer = subprocess.Popen(["strace", "-f", "-c", "-p", str(s.server.pid), "-o", counted],
                              stderr=subprocess.PIPE, text=True)
    try:
        tracer.stderr.readline()  # attached
        load(tools, s.port, connections, first, TRACED)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        tracer.stderr.close()
    with open(counted, encoding="ascii") as f:
        total = next(line for line in f if line.rstrip().endswith(" total")).split()
    return {"syscalls": int(total[-2 if len(total) < 6 else 3]) / TRACED}


def measure(kind, build, args, env):
    s = kind(build, env)
    try:
        load(args.build, s.port, args.connections, FIRST, WARM)
        cpu = cpu_s(s.server.pid)
        of_redis = cpu_s(s.redis.pid) if s.redis else 0
        took, p50, p99 = load(args.build, s.port, args.connections, FIRST + WARM, args.requests)
        cpu = cpu_s(s.server.pid) - cpu
        of_redis = cpu_s(s.redis.pid) - of_redis if s.redis else 0
        s.kept(WARM + args.requests)
        rss, private = memory_mb(s.server.pid)
        return {"requests_per_s": args.requests / took, "cpu_us": cpu * 1e6 / args.requests,
                "redis_cpu_us": of_redis * 1e6 / args.requests, "p50_us": p50, "p99_us": p99,
                "rss_mb": rss, "private_mb": private,
                **syscalls(s, args.build, args.connections, FIRST + WARM + args.requests)}
    finally:
        s.close()


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=os.path.join(here, "..", "..", "build"))
    parser.add_argument("--against", action="append", default=[], metavar="BUILD",
                        help="another build, run in turn")
    parser.add_argument("--runs", type=int, default=5, help="of each")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="another setting of the receiver")
    parser.add_argument("--json", metavar="FILE", help="the figures for programs")
    args = parser.parse_args()
    env = dict(pair.split("=", 1) for pair in args.set)
    servers = {"only answers": (Floor, args.build), "receiver": (Receiver, args.build)}
    servers.update((other, (Receiver, other)) for other in args.against)
    rows = {name: [] for name in servers}
    for n in range(args.runs):
        for name in servers if n % 2 == 0 else reversed(servers):
            rows[name].append(measure(*servers[name], args, env))
    results = {name: merge(found) for name, found in rows.items()}
    bench.table(results, COLUMNS)
    for other in [name for name in servers if name != "receiver"]:
        found = ratios(results["receiver"], results[other])
        print(f"\nreceiver / {other}: "
              + ", ".join(f"{h} {found[k]:.2f}" for k, h, _ in COLUMNS if k in found))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"machine": {"processors": os.cpu_count()}, "figures": results}, f,
                      indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
