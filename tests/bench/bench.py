#!/usr/bin/python3
"""The benchmark of `make bench`: a private redis-server (AOF, fsync every second), the two
sinks of sink.c, one worker, N jobs; docs/performance.md says how to read what it prints.
Compare figures of one run only. With --against each measurement is taken from both builds in
turn and the ratio of the medians is printed."""

import argparse
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import redis

PREFIX = "stopgap:{licenses}:"
IN_FLIGHT = 64
READY_S = 20
TRICKLE_RATE, TRICKLE_S, IDLE_S, SYSCALL_JOBS = 20, 10, 10, 500
BACKLOG_JOBS, BACKLOG_S = 3000, 600
FLEET, FLEET_IN_FLIGHT, FLEET_JOBS = (1, 2, 4), 16, 600

# What is printed: key in the JSON, heading, format.
COLUMNS = (
    ("jobs_per_s", "jobs/s", "%.0f"),
    ("worker_cpu_ms", "worker CPU ms/job", "%.3f"),
    ("redis_cpu_ms", "Redis CPU ms/job", "%.3f"),
    ("scripts", "scripts/job", "%.2f"),
    ("calls", "commands in scripts/job", "%.1f"),
    ("syscalls", "syscalls/job", "%.1f"),
    ("rss_mb", "peak RSS MB", "%.1f"),
    ("private_mb", "private MB", "%.1f"),
    ("written_mb", "of it written MB", "%.1f"),
    ("mail_p50_ms", "push to mail p50 ms", "%.2f"),
    ("mail_p99_ms", "p99", "%.2f"),
    ("closed_p50_ms", "push to closed p50 ms", "%.2f"),
    ("closed_p99_ms", "p99", "%.2f"),
    ("idle_cpu_percent", "idle CPU %", "%.4f"),
    ("idle_rss_mb", "idle RSS MB (its peak)", "%.1f"),
    ("idle_private_mb", "idle private MB", "%.1f"),
    ("idle_written_mb", "of it written MB", "%.1f"),
    ("idle_commands_per_s", "idle Redis commands/s", "%.2f"),
    ("stall_ms", "longest turn ms", "%.0f"),
    ("backlog_worker_cpu_ms", "with a backlog: worker CPU ms/job", "%.3f"),
    ("backlog_redis_cpu_ms", "Redis CPU ms/job", "%.3f"),
    ("backlog_bytes", "Redis bytes a waiting job", "%.0f"),
    *((f"fleet_{n}_jobs_per_s", f"jobs/s, workers with 16 in flight: {n}", "%.0f")
      for n in FLEET),
)


def cpu_s(pid):
    """Processor time of all threads, to the nanosecond."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
        except FileNotFoundError:  # a thread that has just ended
            pass
    return total / 1e9


def memory_mb(pid):
    """Peak RSS; what is only the process's now; and what of that it wrote itself: the rest
    are pages of libraries that no other program has mapped at this moment."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        private = {line.split()[0]: int(line.split()[1]) / 1024 for line in f
                   if line.startswith("Private_")}
    return peak / 1024, sum(private.values()), private["Private_Dirty:"]


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p / 100))]


def wait_until(true, what, seconds=READY_S):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


class Setting:
    """Redis, sinks and a worker of one build, in a folder of their own; pinned: the worker
    has the first processor to itself."""

    pinned = False

    def __init__(self, build, latency_ms, expected, env, workers=1):
        self.folder = tempfile.mkdtemp(prefix="stopgap-bench-")
        self.processes = []
        try:
            self._start_redis()
            self._start_sink(build, latency_ms, expected)
            for n in range(1, workers + 1):
                self._start_worker(build, env, n)
        except BaseException:
            self.close()
            raise

    def _start(self, words, **options):
        if self.pinned and words[0].endswith("stopgap-worker"):
            words = ["taskset", "-c", "0", *words]
        process = subprocess.Popen(words, **options)
        self.processes.append(process)
        return process

    def _start_redis(self):
        path = os.path.join(self.folder, "redis.sock")
        with open(os.path.join(self.folder, "redis.log"), "wb") as log:
            self.redis = self._start(
                ["redis-server", "--port", "0", "--unixsocket", path, "--dir", self.folder,
                 "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
                 "--daemonize", "no"], stdout=log, stderr=log)
        self.client = redis.Redis(unix_socket_path=path, decode_responses=True)
        wait_until(self._answers, "redis-server answers")
        self.url = f"unix://{path}?db=0"

    def _answers(self):
        try:
            return self.client.ping()
        except redis.ConnectionError:
            return False

    def _start_sink(self, build, latency_ms, expected):
        self.sink = self._start(
            [os.path.join(build, "bench-sink"), str(latency_ms), str(expected)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.smtp_port, self.http_port = self.sink.stdout.readline().split()

    def _start_worker(self, build, env, number):
        key = os.path.join(self.folder, f"key{number}")
        subprocess.run([os.path.join(build, "stopgapctl"), "keygen", key], check=True,
                       stdout=subprocess.DEVNULL, env={})
        full = {
            "PATH": os.environ["PATH"],
            "STOPGAP_ALLOW_ROOT": "1",
            "STOPGAP_REDIS_URL": self.url,
            "STOPGAP_LICENSE_KEY_FILE": key,
            "STOPGAP_SMTP_URL": f"smtp://127.0.0.1:{self.smtp_port}",
            "STOPGAP_SMTP_CONNECTIONS": str(IN_FLIGHT),
            "STOPGAP_CONCURRENCY": str(IN_FLIGHT),
            "STOPGAP_MAIL_FROM": "Licenses <licenses@desk.example>",
            "STOPGAP_GITLAB_URL": f"http://127.0.0.1:{self.http_port}",
            "STOPGAP_GITLAB_PROJECT": "1",
            "STOPGAP_GITLAB_TOKEN": "glpat-bench",
            "STOPGAP_METRICS_LISTEN": "off",
            "STOPGAP_MAX_PER_ADDRESS": "0",
            "STOPGAP_MAX_PER_AGENT": "0",
            "STOPGAP_MAX_PER_DAY": "0",
            **env,
        }
        self.log_path = os.path.join(self.folder, "worker.log")
        with open(self.log_path, "ab") as log:
            self._start([os.path.join(build, "stopgap-worker")], stdout=log, stderr=log, env=full)
        wait_until(lambda: self.client.zcard(PREFIX + "workers") == number,
                   f"the worker registers: {self.log()}")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def pids(self):
        return [int(wid.split(":")[2]) for wid in self.client.zrange(PREFIX + "workers", 0, -1)]

    def pid(self):
        return self.pids()[0]

    def signal(self, number):
        for pid in self.pids():
            os.kill(pid, number)

    def fill(self, count):
        """While all workers are quiet; their beats adopt 200 entries each even now."""
        self.signal(signal.SIGTSTP)
        wait_until(lambda: self.log().count("event=quiet") == len(self.pids()), "all are quiet")
        for first in range(1, count + 1, 500):
            self.push(first, min(500, count + 1 - first))

    def push(self, first, count):
        pipe = self.client.pipeline(transaction=False)
        for n in range(first, first + count):
            pipe.lpush(PREFIX + "inbox", json.dumps(
                {"ticket_id": n, "email": f"job-{n}@customer.example", "users": 25,
                 "requested_by": "agent"}))
        pipe.execute()

    def wait_closed(self, count):
        """All issues closed at the sink, and all jobs done."""
        line = self.sink.stdout.readline()
        if line.strip() != "all":
            raise RuntimeError(f"the sink ended: {self.log()[-3000:]}")
        wait_until(lambda: self.client.zcard(PREFIX + "done") == count, "all jobs done")

    def calls(self):
        """Scripts run, and commands that they gave."""
        stats = self.client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()}
        scripts = calls.get("evalsha", 0) + calls.get("eval", 0)
        mine = {"evalsha", "eval", "info", "blmove", "ping", "config|resetstat", "lpush",
                "script|load", "client|setname"}
        inside = sum(n for name, n in calls.items() if name not in mine)
        # lpush is also what adopting does, once a job
        return scripts, inside

    def commands(self):
        """Sent by the worker: those inside scripts are not."""
        stats = self.client.info("commandstats")
        return sum(row["calls"] for name, row in stats.items()
                   if name in ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_blmove",
                               "cmdstat_ping"))

    def stall_ms(self):
        wid = self.client.zrange(PREFIX + "workers", 0, 0)[0]
        return float(self.client.hget(PREFIX + "winfo:" + wid, "lag_ms") or 0)

    def jobs(self):
        """{number: (mails, issues, closings, mailed, closed)}, in seconds; ends the sink."""
        self.sink.stdin.close()
        rows = [line.split() for line in self.sink.stdout]
        return {int(r[0]): (*map(int, r[1:4]), int(r[4]) / 1e6, int(r[5]) / 1e6)
                for r in rows}

    def close(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe and not pipe.closed:
                    pipe.close()
        shutil.rmtree(self.folder)


def check(jobs, count):
    wrong = {n: row for n, row in jobs.items() if row[:3] != (1, 1, 1)}
    if wrong or len(jobs) != count:
        raise RuntimeError(f"{len(jobs)} jobs of {count}; not once each: {wrong}")


def rate(jobs):
    """Closings a second, without the start and the end."""
    closed = sorted(row[4] for row in jobs.values())
    a, b = int(len(closed) * 0.10), int(len(closed) * 0.95)
    return (b - a) / (closed[b] - closed[a])


def throughput(build, latency_ms, count, env):
    """A full queue: the worker is quiet until all is pushed."""
    s = Setting(build, latency_ms, count, env)
    try:
        pid = s.pid()
        s.fill(count)
        s.client.config_resetstat()
        worker, server = cpu_s(pid), cpu_s(s.redis.pid)
        s.signal(signal.SIGCONT)
        s.wait_closed(count)
        worker, server = cpu_s(pid) - worker, cpu_s(s.redis.pid) - server
        scripts, calls = s.calls()
        rss, private, written = memory_mb(pid)
        beat = float(env.get("STOPGAP_LEASE", "10s").removesuffix("s")) / 5
        time.sleep(beat + 0.1)  # the next beat tells the longest turn
        stall = s.stall_ms()
        jobs = s.jobs()
        check(jobs, count)
        return {"jobs_per_s": rate(jobs),
                "worker_cpu_ms": worker * 1000 / count, "redis_cpu_ms": server * 1000 / count,
                "scripts": scripts / count, "calls": calls / count,
                "rss_mb": rss, "private_mb": private, "written_mb": written,
                "stall_ms": stall}
    finally:
        s.close()


def trickle(build, latency_ms, env):
    """Jobs at a slow, even rate, the first second left out; then nothing at all."""
    count = TRICKLE_RATE * TRICKLE_S
    s = Setting(build, latency_ms, count, env)
    try:
        pid, pushed = s.pid(), {}
        start = time.monotonic()
        for n in range(1, count + 1):
            time.sleep(max(0.0, start + n / TRICKLE_RATE - time.monotonic()))
            pushed[n] = time.time()
            s.push(n, 1)
        s.wait_closed(count)
        time.sleep(1)
        worker, commands = cpu_s(pid), s.commands()
        time.sleep(IDLE_S)
        worker, commands = cpu_s(pid) - worker, s.commands() - commands
        rss, private, written = memory_mb(pid)
        jobs = s.jobs()
        check(jobs, count)
        late = [n for n in jobs if n > TRICKLE_RATE]
        mail = [(jobs[n][3] - pushed[n]) * 1000 for n in late]
        closed = [(jobs[n][4] - pushed[n]) * 1000 for n in late]
        return {"mail_p50_ms": percentile(mail, 50), "mail_p99_ms": percentile(mail, 99),
                "closed_p50_ms": percentile(closed, 50),
                "closed_p99_ms": percentile(closed, 99),
                "idle_cpu_percent": worker * 100 / IDLE_S,
                "idle_commands_per_s": commands / IDLE_S, "idle_rss_mb": rss,
                "idle_private_mb": private, "idle_written_mb": written}
    finally:
        s.close()


def syscalls(build, latency_ms, env):
    """From the first job to the last, the start left out; {} without strace."""
    if not shutil.which("strace"):
        return {}
    count = SYSCALL_JOBS
    s = Setting(build, latency_ms, count, env)
    counted = os.path.join(s.folder, "strace")
    try:
        pid = s.pid()
        s.fill(count)
        tracer = subprocess.Popen(["strace", "-f", "-c", "-p", str(pid), "-o", counted],
                                  stderr=subprocess.PIPE, text=True)
        tracer.stderr.readline()  # attached
        s.signal(signal.SIGCONT)
        s.wait_closed(count)
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        tracer.stderr.close()
        with open(counted, encoding="ascii") as f:
            total = next(line for line in f if line.rstrip().endswith(" total"))
        return {"syscalls": int(total.split()[-2 if len(total.split()) < 6 else 3]) / count}
    finally:
        s.close()


def backlog(build, waiting, env):
    """What a job costs while at least so many others wait, all of them adopted."""
    s = Setting(build, 0, waiting + BACKLOG_JOBS, env)
    try:
        pid, empty = s.pid(), s.client.info("memory")["used_memory"]
        s.fill(waiting + BACKLOG_JOBS)
        s.signal(signal.SIGCONT)
        wait_until(lambda: not s.client.llen(PREFIX + "inbox"), "all adopted", BACKLOG_S)
        ended = s.client.zcard(PREFIX + "done")
        used = s.client.info("memory")["used_memory"] - empty
        most = s.client.llen(PREFIX + "pending")
        worker, server = cpu_s(pid), cpu_s(s.redis.pid)
        measured = min(BACKLOG_JOBS, waiting + BACKLOG_JOBS - ended - IN_FLIGHT) // 2
        wait_until(lambda: s.client.zcard(PREFIX + "done") >= ended + measured, "jobs done",
                   BACKLOG_S)
        worker, server = cpu_s(pid) - worker, cpu_s(s.redis.pid) - server
        measured = s.client.zcard(PREFIX + "done") - ended
        return {"backlog_worker_cpu_ms": worker * 1000 / measured,
                "backlog_redis_cpu_ms": server * 1000 / measured, "backlog_bytes": used / most}
    finally:
        s.close()


def fleet(build, latency_ms, env):
    """Workers that together have more and more in flight, until the machine is full."""
    out = {}
    for workers in FLEET:
        count = FLEET_JOBS * workers
        s = Setting(build, latency_ms, count, {"STOPGAP_CONCURRENCY": str(FLEET_IN_FLIGHT), **env},
                    workers)
        try:
            s.fill(count)
            s.signal(signal.SIGCONT)
            s.wait_closed(count)
            jobs = s.jobs()
            check(jobs, count)
            out[f"fleet_{workers}_jobs_per_s"] = rate(jobs)
        finally:
            s.close()
    return out


def measure(build, latency_ms, args, env):
    row = {}
    if "throughput" in args.parts:
        row.update(throughput(build, latency_ms, args.jobs[latency_ms], env))
    if "trickle" in args.parts:
        row.update(trickle(build, latency_ms, env))
    if "syscalls" in args.parts:
        row.update(syscalls(build, latency_ms, env))
    if "backlog" in args.parts:
        row.update(backlog(build, args.waiting, env))
    if "fleet" in args.parts:
        row.update(fleet(build, latency_ms, env))
    return row


def merge(rows):
    """Each figure as median, least and most."""
    out = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        out[key] = {"median": statistics.median(values), "least": min(values),
                    "most": max(values)}
    return out


def cell(figure, form):
    text = form % figure["median"]
    if figure["least"] == figure["most"]:
        return text
    return f"{text} ({form % figure['least']} to {form % figure['most']})"


def table(results, columns=COLUMNS):
    """One column a build and latency; the ratio where there are two builds."""
    names = list(results)
    print("| | " + " | ".join(names) + " |")
    print("|---|" + "--:|" * len(names))
    for key, heading, form in columns:
        if any(key in results[name] for name in names):
            cells = [cell(results[n][key], form) if key in results[n] else "-"
                     for n in names]
            print(f"| {heading} | " + " | ".join(cells) + " |")


def ratios(new, old):
    return {key: new[key]["median"] / old[key]["median"]
            for key in new if key in old and old[key]["median"]}


def run(args, env):
    results, both = {}, {}
    builds = [("", args.build)] + ([(" before", args.against)] if args.against else [])
    for latency in args.latency:
        rows = {name: [] for name, _ in builds}
        for pair in range(args.runs):
            for name, build in builds if pair % 2 == 0 else reversed(builds):
                rows[name].append(measure(build, latency, args, env))
        for name, _ in reversed(builds):
            results[f"{latency} ms{name}"] = merge(rows[name])
        if args.against:
            both[f"{latency} ms"] = ratios(results[f"{latency} ms"],
                                           results[f"{latency} ms before"])
    return results, both


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=os.path.join(here, "..", "..", "build"))
    parser.add_argument("--against", metavar="BUILD", help="another build, run in turn")
    parser.add_argument("--runs", type=int, default=3, help="of each measurement")
    parser.add_argument("--latency", default="0,20", help="of the sinks, in ms")
    parser.add_argument("--jobs", default="", help="LATENCY=N,...; default 0=6000,20=2000")
    parser.add_argument("--parts", default="throughput,trickle,syscalls",
                        help="of these, and: backlog (at 0 ms), fleet")
    parser.add_argument("--waiting", type=int, default=100, help="jobs, for the backlog")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="another setting of the worker")
    parser.add_argument("--pin", action="store_true",
                        help="the worker has the first processor to itself: its longest turn "
                        "is then its own work, not a wait for a processor")
    parser.add_argument("--json", metavar="FILE", help="the figures for programs")
    args = parser.parse_args()
    if args.pin and os.cpu_count() < 2:
        parser.error("--pin needs a second processor")
    args.latency = [int(x) for x in args.latency.split(",")]
    args.parts = args.parts.split(",")
    jobs = {latency: 6000 if latency == 0 else 2000 for latency in args.latency}
    jobs.update({int(k): int(v) for k, v in
                 (pair.split("=") for pair in args.jobs.split(",") if pair)})
    args.jobs = jobs
    Setting.pinned = args.pin
    if args.pin:
        os.sched_setaffinity(0, range(1, os.cpu_count()))  # of what it starts, too
    results, both = run(args, dict(pair.split("=", 1) for pair in args.set))
    table(results)
    for name, found in both.items():
        print(f"\n{name}, after / before: " + ", ".join(
            f"{h} {found[k]:.2f}" for k, h, _ in COLUMNS if k in found))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"machine": {"processors": os.cpu_count(),
                                   "redis": redis.__version__}, "figures": results,
                       "ratios": both}, f, indent=1)
    return 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE,
                       (min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    sys.exit(main())
