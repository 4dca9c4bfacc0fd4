"""One run of a scenario in which programs die at crash points, and what is asked of the
outside servers and of Redis afterwards. Many runs share the servers: each has a queue and
a mail domain of its own, and they go on side by side."""

import email
import http.client
import itertools
import json
import os
import signal
import subprocess
import time
from collections import Counter

from testenv import keyspace, process, prometheus
from testenv.ctl import Ctl
from testenv.worker import Worker

KILLED = 137  # how a program ends at its crash point
HOLD_MS = 180000  # how long a follow-up is its worker's (worker/follow.c)
TELL_HOLD_MS = 300000  # the same of what people are told (worker/teller.c)
DEADLINE_S = 60.0


class Stand:
    """The servers."""

    def __init__(self, folder, redis, smtp, gitlab, slack, key, seal_key):
        self.folder, self.redis, self.key, self.seal_key = folder, redis, key, seal_key
        self.smtp, self.gitlab, self.slack = smtp, gitlab, slack
        self.numbers = itertools.count(1)

    def issues(self, domain):
        with self.gitlab.state.lock:
            return [dict(i) for i in self.gitlab.project().issues if domain in i["title"]]

    def mails(self, domain):
        with self.smtp.lock:
            return [m for m in self.smtp.mails if m.to.endswith("@" + domain)]


class Case:
    PROGRAM = Worker

    def __init__(self, stand, scenario, deaths=(), must_die=True, **settings):
        """deaths: (point, its how-manieth passing), one for each program that dies.
        must_die: to come to the first of them is part of the run."""
        self.stand, self.scenario = stand, scenario
        self.deaths, self.died, self.must_die = list(deaths), [], must_die
        self.number = next(stand.numbers)
        self.queue = f"q{self.number}"
        self.prefix = f"stopgap:{{{self.queue}}}:"
        self.domain = f"{self.queue}.example"
        self.log = os.path.join(stand.folder, f"passed-{self.number}")
        self.client = stand.redis.client
        self.worker, self.workers = None, []  # the program that dies, and those before it
        self.commands = Counter()
        self.env = {
            "STOPGAP_REDIS_URL": stand.redis.url, "STOPGAP_QUEUE": self.queue,
            "STOPGAP_LICENSE_KEY_FILE": stand.key, "STOPGAP_SMTP_URL": stand.smtp.url,
            "STOPGAP_MAIL_FROM": "Licenses <licenses@vendor.example>",
            "STOPGAP_GITLAB_URL": stand.gitlab.url,
            "STOPGAP_GITLAB_PROJECT": stand.gitlab.PROJECT,
            "STOPGAP_GITLAB_TOKEN": stand.gitlab.TOKEN,
            "STOPGAP_GITLAB_SETTLE": "300ms", "STOPGAP_BACKOFF_BASE": "20ms",
            "STOPGAP_BACKOFF_CAP": "200ms", "STOPGAP_LEASE": "1s",
            "STOPGAP_METRICS_LISTEN": "off", "STOPGAP_MAX_PER_ADDRESS": "0",
            "STOPGAP_MAX_PER_AGENT": "0", "STOPGAP_MAX_PER_DAY": "0",
            "STOPGAP_MAX_AMBIGUOUS": "4", "STOPGAP_CONCURRENCY": "1",
            "STOPGAP_SMTP_CONNECTIONS": "1", "CRASH_LOG": self.log, **scenario.settings, **settings}
        if scenario.told:
            self.env["STOPGAP_SLACK_WEBHOOK_URL"] = stand.slack.url
        if scenario.sealed:
            self.env["STOPGAP_SEAL_KEY_FILE"] = stand.seal_key

    def __str__(self):
        where = ", then ".join(f"{point} x{n}" for point, n in self.deaths)
        return f"{self.scenario.name}: {where or 'nothing dies'} ({self.queue})"

    # --- what scenarios do ---

    def address(self, n):
        return f"c{n}@{self.domain}"

    def push(self, n, **fields):
        self.push_raw(json.dumps({"ticket_id": n, "email": self.address(n), "users": 25,
                                  "requested_by": "agent", **fields}))

    def push_raw(self, text):
        self.client.lpush(self.prefix + "inbox", text)

    def records(self):
        for key in sorted(self.client.scan_iter(self.prefix + "job:*", count=1000)):
            yield key.rsplit(":", 1)[1], self.client.hgetall(key)

    def mailed(self):
        return [i for i, r in self.records() if "s:email" in r]

    def failed_in(self, step):
        return [i for i, r in self.records() if r["state"] == "failed" and r["err_step"] == step]

    def ctl(self, verb, *args, script=None, each=1, arrived=lambda: False):
        """A person who dies at the keyboard tries again, unless it is seen to have arrived,
        and does not mind to hear that it has been done already. each: how often a command
        runs its script."""
        script = script or verb
        self.commands[script] += 1
        command = [process.program("stopgapctl"), verb, *args]
        env = {"PATH": os.environ["PATH"], **self.env}
        point, n = self.deaths[0] if self.deaths and not self.died else ("", 0)
        if point.endswith("." + script) and (n - 1) // each + 1 == self.commands[script]:
            done = subprocess.run(process.with_parent(command), capture_output=True,
                                  env={**env, "CRASH_AT": f"{point}:{(n - 1) % each + 1}"}, timeout=DEADLINE_S,
                                  check=False)
            assert done.returncode == KILLED, done
            self.died.append(point)
            if arrived():
                return
        subprocess.run(process.with_parent(command), capture_output=True, env=env,
                       timeout=DEADLINE_S, check=False)

    def submit(self, n):
        address = self.address(n)

        def arrived():
            return any(address in raw for raw in (
                *self.client.lrange(self.prefix + "inbox", 0, -1),
                *(record.get("raw", "") for _, record in self.records())))
        self.ctl("submit", "--ticket", str(n), "--email", address, "--users", "25",
                 arrived=arrived)

    def audited(self):
        """What was done, and to which job."""
        return [tuple(line.split("\t")[3:5])
                for line in self.client.lrange(self.prefix + "audit", 0, -1)]

    def scrape(self):
        """As Prometheus does it. Who dies of it has a successor, who is asked then."""
        while True:
            self.wait(lambda: all(self.worker.lines(event=e) for e in ("metrics", "redis_up")))
            try:
                if "stopgap_queue_paused" in prometheus.call(self.worker)[2]:
                    return
            except (OSError, http.client.HTTPException):
                self.wait(lambda died=self.worker: self.worker is not died)

    def give_in_secret(self, n):
        wid = self.wait(lambda: next(
            (w for w in self.client.zrange(self.prefix + "workers", 0, -1)
             if w.split(":")[2] == str(self.worker.pid)), None))
        job_id = f"{self.number:06d}{n:02d}".ljust(26, "a")  # GitLab is everybody's
        with self.client.pipeline() as p:
            p.hset(self.prefix + "job:" + job_id, mapping={
                "v": 1, "state": "active", "owner": wid, "fence": 1, "attempt": 1,
                "accepted_ms": 1, "raw": json.dumps({
                    "ticket_id": n, "email": self.address(n), "users": 25,
                    "requested_by": "agent"})})
            p.lpush(self.prefix + "proc:" + wid, job_id)
            p.execute()

    # --- the run ---

    def wait(self, condition):
        end = time.monotonic() + DEADLINE_S
        while True:
            self.tend()
            value = condition()
            if value:
                return value
            assert time.monotonic() < end, f"{self}: stands still:\n{self.story()}"
            time.sleep(0.004)

    def story(self):
        lines = [f"{i} {r['state']} {r.get('err_text', '')} {self.client.lrange(self.prefix + 'log:' + i, 0, -1)}"
                 for i, r in self.records()]
        return "\n".join([*lines, self.worker.text()])

    def start(self):
        env = dict(self.env)
        if len(self.died) < len(self.deaths):
            point, n = self.deaths[len(self.died)]
            if point.rsplit(".", 1)[1] not in self.scenario.by_people:
                env["CRASH_AT"] = f"{point}:{n}"
        self.worker = self.PROGRAM(env, ready=False)
        self.workers.append(self.worker)

    def tend(self):
        """A worker that has died has a successor."""
        if self.worker.running:
            return
        status = self.worker.wait()
        assert status == KILLED and len(self.died) < len(self.deaths), \
            f"{self}: exit status {status}:\n{self.worker.text()}"
        self.worker.killed = True
        self.died.append(self.deaths[len(self.died)][0])
        self.end_its_holds()
        self.start()

    def end_its_holds(self):
        for name, hold in (("follow", HOLD_MS), ("tell:slack", TELL_HOLD_MS)):
            key = self.prefix + name
            for member, score in self.client.zrange(key, 0, -1, withscores=True):
                self.client.zadd(key, {member: score - hold}, xx=True)  # its hold is over

    def at_rest(self, ended):
        with self.client.pipeline(transaction=True) as p:  # one moment's picture
            for name in ("done", "failed"):
                p.zcard(self.prefix + name)
            for name in ("inbox", "pending", "solo", "delayed", "follow", "tell:slack"):
                p.exists(self.prefix + name)
            done, failed, *waiting = p.execute()
        return done + failed == ended and not any(waiting)

    def run(self):
        """Words about what is wrong; [] if nothing is."""
        self.start()
        try:
            for begin, ended in self.scenario.phases:
                begin(self)
                self.wait(lambda n=ended: self.at_rest(n))
            self.leave(self.scenario.phases[-1][1])
        except AssertionError as e:
            return [str(e)]
        finally:
            self.worker.stop()
        wrong = [*self.judge()]
        return [f"{self}: {w}" for w in wrong] + ([self.story()] if wrong else [])

    def leave(self, ended):
        """Ends the worker, which may still die of it."""
        while True:
            self.wait(lambda: self.worker.lines(event="ready"))
            if self.worker.stop() != KILLED:
                return
            self.wait(lambda: self.at_rest(ended))

    def forget(self):
        keys = list(self.client.scan_iter(self.prefix + "*", count=1000))
        if keys:
            self.client.delete(*keys)

    def passed(self):
        """How often each point was passed."""
        with open(self.log, encoding="ascii") as f:
            return Counter(line.rstrip("\n") for line in f)

    # --- judging ---

    def judge(self):
        if not self.died and self.deaths and self.must_die:
            yield f"{self.deaths[0]} was never passed"
        for worker in self.workers:
            worker.check()
        yield from keyspace.complaints(self.client, self.prefix)
        issues, mails = {}, {}
        for issue in self.stand.issues("@" + self.domain):
            issues.setdefault(self.job_of(issue["description"]), []).append(issue)
        for mail in self.stand.mails(self.domain):
            mails.setdefault(mail.data.split(b"X-Stopgap-Job: ")[1][:26].decode(), []).append(mail)
        records = dict(self.records())
        yield from self.judge_told(records)
        yield from self.judge_audit(records)
        forgotten = {key.rsplit(":", 1)[1] for key in
                     self.client.scan_iter(self.prefix + "forgotten:*", count=1000)}
        if self.scenario.phases[-1][1] == 0 and len(forgotten) != len(mails):
            yield f"{len(mails)} mails, {len(forgotten)} are forgotten"
        for job_id in {*issues, *mails} - set(records) - forgotten:
            yield f"{job_id} is known outside only"
        for job_id, record in records.items():
            for words in self.judge_job(job_id, record, issues.get(job_id, []),
                                        mails.get(job_id, [])):
                yield f"{job_id}: {words}"

    def judge_told(self, records):
        """Slack knows no repeats: who dies before its answer is saved tells once more."""
        counted = Counter(i for text in self.stand.slack.messages for i in records if i in text)
        for job_id in records if self.scenario.told else ():
            if not 1 <= counted[job_id] <= 1 + len(self.died):
                yield f"{job_id} was told {counted[job_id]} times"

    def judge_audit(self, records):
        """What was done has its line, as often as it was done."""
        counted = Counter(self.audited())
        done = {("discard", i): "discarded" in r for i, r in records.items()}
        done |= {("requeue", i): int(r.get("requeues", 0)) for i, r in records.items()}
        if "forget" in self.scenario.by_people:
            done |= {("forget", i): 1 for what, i in self.audited() if what == "forget"}
        if "resend" in self.scenario.by_people:
            done |= {("resend", i): int(r.get("resends", 0)) for i, r in records.items()}
        for what, n in done.items():
            if counted[what] != n:
                yield f"{what} was done {n} times, and has {counted[what]} audit lines"

    @staticmethod
    def job_of(description):
        return description.split("Job: ")[1][:26]

    def judge_job(self, job_id, record, issues, mails):
        issues = [i for i in issues if not self.is_stray(i)]
        if record["state"] == "failed" or "discarded" in record:
            yield from self.judge_failed(record, issues, mails)
            return
        if "dup_of" in record:
            if mails or issues:
                yield f"a pointer with {len(mails)} mails, {len(issues)} issues"
            return
        success = [i for i in issues if i["title"].startswith("[Success]")]
        if len(success) != 1 or success[0]["state"] != "closed":
            yield f"{len(success)} [Success] issues: {[(i['title'], i['state']) for i in issues]}"
        yield from self.judge_mails(job_id, record, mails, success)
        others = [i for i in issues if i not in success]
        if len(others) > ("report_iid" in record) or any(i["state"] != "closed" for i in others):
            yield f"issues left: {[(i['title'], i['state']) for i in others]}"

    def is_stray(self, issue):
        """Of a worker that was too late."""
        return False

    def judge_failed(self, record, issues, mails):
        if mails or len(issues) != 1 or not issues[0]["title"].startswith("[Failed]"):
            yield f"{len(mails)} mails, {[(i['title'], i['state']) for i in issues]}"
        elif record["state"] == "failed" and not record.get("fixed_by"):
            if issues[0]["state"] != "opened":
                yield "its issue is closed"
        elif record.get("fixed_by"):
            notes = len(issues[0]["notes"])
            if issues[0]["state"] != "closed" or not 1 <= notes <= 1 + len(self.died):
                yield f"its issue is {issues[0]['state']}, with {notes} notes"

    def license_of(self, job_id, record):
        """As whoever has the key reads it."""
        if not self.scenario.sealed:
            return record["lic"]
        assert record["lic"].startswith("sealed:v1:") and record["v"] == "2", record
        env = {k: v for k, v in self.env.items() if k != "CRASH_LOG"}
        return Ctl(env).json("show", job_id, "--license")["license"]

    def judge_mails(self, job_id, record, mails, success):
        lic = self.license_of(job_id, record)
        wanted = 1 + int(record.get("resends", 0))
        doubtful = sum(len(w.lines(event="ambiguous", job=job_id)) for w in self.workers)
        if not wanted <= len(mails) <= wanted + doubtful:
            yield f"{len(mails)} mails, not {wanted}, {doubtful} in doubt"
        if doubtful > len(self.died):
            yield f"{doubtful} mails in doubt, {len(self.died)} deaths"
        if len({m.data for m in mails}) > wanted:
            yield f"{len({m.data for m in mails})} different mails"
        for mail in mails:
            parts = email.message_from_bytes(mail.data).walk()
            licenses = [p.get_payload(decode=True) for p in parts if p.get_filename()]
            if [text.decode().split() for text in licenses] != [lic.split()]:
                yield "a mail with another license"
        if success and lic.strip() not in success[0]["description"]:
            yield "an issue with another license"


class Frozen(Case):
    """A worker that stops at a point, past its lease: another one does its jobs, then it
    wakes in the middle of its own and goes on."""

    def __init__(self, stand, scenario, at):
        super().__init__(stand, scenario, [at], CRASH_BY="stop")
        self.strays = 0

    def tend(self):
        assert self.worker.running, self.story()

    def is_stopped(self):
        with open(f"/proc/{self.worker.pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "T"

    def end_holds(self):
        key = self.prefix + "follow"
        for member, score in self.client.zrange(key, 0, -1, withscores=True):
            if member.startswith("report"):
                self.client.zadd(key, {member: score - HOLD_MS}, xx=True)

    def run(self):
        self.start()
        frozen = self.worker
        try:
            self.before_it_stops()
            self.died.append(self.deaths[0][0])
            self.start()
            self.wait(lambda: not self.client.exists(self.prefix + "proc:" + self.wid_of(frozen)))
            self.end_holds()
            self.after_it_stopped()
            frozen.signal(signal.SIGCONT)
            self.push(99)  # behind whatever it still has to say
            self.wait(lambda: self.at_rest(self.scenario.phases[-1][1] + 1))
        except AssertionError as e:
            return [str(e)]
        finally:
            for worker in self.workers:
                worker.stop()
        wrong = [*self.judge()]
        return [f"{self}: {w}" for w in wrong] + ([self.story()] if wrong else [])

    def before_it_stops(self):
        self.stage = 0
        for begin, ended in self.scenario.phases:
            begin(self)
            self.wait(lambda n=ended: self.is_stopped() or self.at_rest(n))
            if self.is_stopped():
                return
            self.stage += 1
        self.stage -= 1
        self.wait(self.is_stopped)

    def after_it_stopped(self):
        self.wait(lambda: self.at_rest(self.scenario.phases[self.stage][1]))
        for begin, ended in self.scenario.phases[self.stage + 1:]:
            begin(self)
            self.wait(lambda n=ended: self.at_rest(n))

    def wid_of(self, worker):
        return next((w for w in self.client.zrange(self.prefix + "workers", 0, -1)
                     if w.split(":")[2] == str(worker.pid)), "")

    def is_stray(self, issue):
        mine = issue["title"].startswith("[Duplicate]") and issue["state"] == "closed"
        self.strays += mine
        return mine
