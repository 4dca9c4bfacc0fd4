"""Shows the main job on real programs: four requests, what became of each, and a table of
everything that was checked. Called by scripts/demo.sh; the programs must be built.

    demo.py [--keep] [--build FOLDER]
"""

import argparse
import datetime
import email
import email.policy
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, f"{ROOT}/tests/integration")  # the same neighbours as the tests have

from testenv import markdown, process, webhook
from testenv.gitlab import GitLab
from testenv.redis import Redis
from testenv.smtp import Smtp
from testenv.wait import wait_for

from ctl import Ctl, CtlError, keygen, program_command, webhook_port


class DemoError(Exception):
    """The demo cannot go on."""


class Report:
    """What is printed on the way, and the checks for the table at the end."""

    def __init__(self):
        self.checks = []

    def title(self, text):
        print(f"\n{text}\n{'-' * len(text)}", flush=True)

    def say(self, text):
        print(text, flush=True)

    def block(self, text):
        for line in text.rstrip("\n").splitlines():
            print(f"    {line}".rstrip(), flush=True)

    def check(self, what, holds):
        self.checks.append((what, bool(holds)))

    def table(self):
        self.title("What was checked")
        for what, holds in self.checks:
            print(f"  {'ok' if holds else 'FAILED':<8}{what}")
        bad = sum(not holds for _, holds in self.checks)
        print(f"\n{len(self.checks) - bad} of {len(self.checks)} checks hold", flush=True)
        return bad == 0 and bool(self.checks)


class Mailbox(Smtp):
    """The mail server, which also keeps each mail as a file, for a person to open."""

    def __init__(self, folder):
        self.folder = folder
        super().__init__()

    def take(self, mail):
        super().take(mail)
        with open(f"{self.folder}/mail-{len(self.mails)}.eml", "wb") as f:
            f.write(mail.data)

    def to(self, address):
        return [mail.data for mail in self.mails_to(address)]


class Stage:
    """The neighbours, the key, the settings, receiver and worker, in a folder of their own."""

    def __init__(self, build):
        self.build = build
        self.folder = tempfile.mkdtemp(prefix="stopgap-demo-")
        self.env_file = f"{self.folder}/stopgap.env"
        self.key = f"{self.folder}/license.key"
        self.stops = []  # what ends each part, last started first
        self.ctl = Ctl(build, self.env_file)
        self.worker = None
        self.webhook = None

    def start(self):
        self.redis = Redis(self.folder)
        self.stops.append(self.redis.stop)
        self.mail = Mailbox(self.folder)
        self.stops.append(self.mail.stop)
        self.gitlab = GitLab()
        self.stops.append(self.gitlab.stop)
        keygen(self.build, self.key)
        self.write_settings()
        self.worker = self.launch("worker")
        self.webhook = self.launch("webhook")
        self.webhook_url = f"http://127.0.0.1:{self.await_port()}"

    def launch(self, name):
        """stopgap-NAME, with its log in the folder."""
        with open(f"{self.folder}/{name}.log", "wb") as log:
            running = process.start(program_command(self.build, name, self.env_file),
                                    stdout=log, stderr=subprocess.STDOUT)
        self.stops.append(lambda: process.stop(running))
        return running

    def await_port(self):
        def there():
            if self.webhook.poll() is not None:
                raise DemoError(f"the receiver ended with status {self.webhook.returncode}:\n"
                                + tail(f"{self.folder}/webhook.log"))
            with open(f"{self.folder}/webhook.log", encoding="utf-8") as f:
                return webhook_port(f.read())
        return wait_for(there, "the receiver listens")

    def write_settings(self):
        token, secret = f"{self.folder}/gitlab-token", f"{self.folder}/webhook-secret"
        settings = {
            "REDIS_URL": self.redis.tcp_url,
            "LICENSE_KEY_FILE": self.key,
            "SMTP_URL": self.mail.url,
            "MAIL_FROM": '"Emergency Licenses <licenses@vendor.example>"',
            "GITLAB_URL": self.gitlab.url,
            "GITLAB_PROJECT": self.gitlab.PROJECT,
            "GITLAB_TOKEN_FILE": token,
            "METRICS_LISTEN": "off",
            "WEBHOOK_LISTEN": "127.0.0.1:0",
            "WEBHOOK_METRICS_LISTEN": "off",
            "WEBHOOK_SECRET_FILE": secret,
            "SPOOL_DIR": f"{self.folder}/spool",
            "ALLOW_ROOT": "1",  # who looks at it may be root of a container
        }
        write_private(token, f"{self.gitlab.TOKEN}\n")
        write_private(secret, f"{webhook.SECRET}\n")
        write_private(self.env_file,
                      "".join(f"STOPGAP_{name}={value}\n" for name, value in settings.items()))

    def await_state(self, job_id, *states):
        """Waits until the job is in one of the states; returns which."""
        def there():
            if self.worker.poll() is not None:
                raise DemoError(f"the worker ended with status {self.worker.returncode}")
            state = self.ctl.state(job_id)
            return state if state in states else None
        return wait_for(there, f"job {job_id} is {' or '.join(states)}")

    def stop(self):
        while self.stops:
            self.stops.pop()()
        shutil.rmtree(self.folder, ignore_errors=True)


def write_private(path, text):
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
        f.write(text)


def tail(path):
    with open(path, errors="replace") as f:
        return "".join(f.readlines()[-20:])


def expired_recently():
    """A license whose 14 days of grace ended two days ago."""
    day = datetime.datetime.now(datetime.timezone.utc).date() - datetime.timedelta(days=16)
    return day.isoformat()


class Mailed:
    """A mail as it came, read by Python's own mail library."""

    def __init__(self, raw):
        self.message = email.message_from_bytes(raw, policy=email.policy.default)
        self.defects = [d for part in self.message.walk() for d in part.defects]
        self.text = self.message.get_body(("plain",)).get_content()
        self.files = [(part.get_filename(), part.get_content())
                      for part in self.message.iter_attachments()]

    def license(self):
        """(file name, text) of the attachment."""
        if len(self.files) != 1:
            return None, None
        name, content = self.files[0]
        return name, content if isinstance(content, str) else content.decode()


def fenced_license(issue):
    """The copy of the license in an issue's text, or None."""
    found = [f for f in markdown.fenced(issue["description"]) if f.startswith("-----BEGIN ")]
    return found[0] if found else None


def same_license(a, b):
    return bool(a) and bool(b) and a.split() == b.split()


class Demo:
    def __init__(self, stage, report):
        self.stage, self.report = stage, report
        self.ctl, self.mail, self.gitlab = stage.ctl, stage.mail, stage.gitlab

    def submit(self, ticket, address, users, *more):
        """Submits a request and shows the command; returns the job's id."""
        args = ["--ticket", str(ticket), "--email", address, "--users", str(users),
                "--requested-by", "sam", *more]
        self.report.say(f"$ stopgapctl submit {shlex.join(args)}")
        text, job_id = self.ctl.submit(*args)
        self.report.block(text)
        return job_id

    def post(self, body, headers):
        """POST /zendesk; (status, what was answered)."""
        call = urllib.request.Request(f"{self.stage.webhook_url}/zendesk", body, headers)
        try:
            with urllib.request.urlopen(call, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as e:
            return e.code, json.load(e)

    def deliver(self, **fields):
        """Sends a request as Zendesk's webhook does, and shows it; returns the job's id."""
        body = webhook.encode(fields)
        headers = webhook.delivery(body)
        self.report.say("POST /zendesk")
        for name in ("x-zendesk-webhook-invocation-id", "x-zendesk-webhook-signature-timestamp",
                     "x-zendesk-webhook-signature"):
            self.report.block(f"{name}: {headers[name]}")
        self.report.block(body.decode())
        forged, _ = self.post(body.replace(b'"250"', b'"999"'), headers)
        status, answer = self.post(body, headers)
        again, same = self.post(body, headers)
        self.report.say(f"\n{status} {json.dumps(answer)}")
        self.report.check("good request: the signed webhook is taken", status == 202)
        self.report.check("good request: with one number changed it is refused", forged == 401)
        self.report.check("good request: delivered twice, it is the same job",
                          (again, same) == (status, answer))
        if status != 202:
            raise DemoError(f"the receiver answered {status} {answer}")
        return answer["job_id"]

    def issues_of(self, ticket):
        """The ticket's issues, oldest first."""
        line = f"Ticket: {ticket}"
        return [i for i in self.gitlab.issues(text=line) if line in i["description"].splitlines()]

    def show_issues(self, ticket):
        issues = self.issues_of(ticket)
        for issue in issues:
            self.report.block(f"#{issue['iid']}  {issue['state']:<7} {issue['title']}")
        return issues

    def await_issue(self, ticket, prefix, state):
        """The ticket's issue with that beginning, once it is in that state."""
        def there():
            return [i for i in self.issues_of(ticket)
                    if i["title"].startswith(prefix) and i["state"] == state]
        return wait_for(there, f"a {state} {prefix} issue of ticket {ticket}")[0]

    def good(self):
        ticket, address, check = 4711, "nina@customer.example", self.report.check
        self.report.title("1. A good request: the license reaches the customer")
        begin = time.monotonic()
        job_id = self.deliver(ticket_id=str(ticket), email=address, users="250",
                              requested_by="sam", plan="premium",
                              license_expired_on=expired_recently(),
                              note="production is down since Saturday")
        state = self.stage.await_state(job_id, "done", "failed")
        self.report.say(f"\n{state} after {time.monotonic() - begin:.2f} s."
                        f" What is in {address}'s mailbox:\n")
        check("good request: the job is done", state == "done")
        mails = self.mail.to(address)
        check("good request: one mail, and only one", len(mails) == 1)
        if mails:
            self.good_mail(Mailed(mails[0]), ticket, job_id)
        self.report.say("\nIn GitLab:\n")
        issues = self.show_issues(ticket)
        check("good request: one issue, closed and confidential, with the agreed title",
              [(i["title"], i["state"], i["confidential"]) for i in issues]
              == [(f"[Success] - Created a license under {address} for 250 users", "closed",
                   True)])
        copies = [fenced_license(i) for i in issues]
        check("good request: the issue holds a copy of the mailed license",
              mails and same_license(copies and copies[0], Mailed(mails[0]).license()[1]))

    def good_mail(self, mailed, ticket, job_id):
        check = self.report.check
        for name in mailed.message.keys():
            self.report.block(f"{name}: {mailed.message[name]}")
        self.report.block("\n" + mailed.text)
        name, text = mailed.license()
        self.report.block(f"\n[attached: {name}]")
        check("good request: a mail library finds no defect in the mail", not mailed.defects)
        check("good request: the mail names its job", mailed.message["X-Stopgap-Job"] == job_id)
        check("good request: the license is attached under the ticket's name",
              name == f"ticket-{ticket}.license")
        if not text:
            return
        self.verify(f"{self.stage.folder}/{name}", text)

    def verify(self, path, text):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        public = f"{self.stage.key}.pub"
        self.report.say(f"\n$ stopgapctl verify {os.path.basename(path)}"
                        f" --key {os.path.basename(public)}")
        shown = self.ctl.run("verify", path, "--key", public)
        self.report.block(shown)
        self.report.check("good request: stopgapctl verifies the attached license",
                          "nina@customer.example" in shown)
        # One character in the middle of the signed text.
        middle = len(text) // 2
        other = "A" if text[middle] != "A" else "B"
        with open(f"{path}.forged", "w", encoding="ascii") as f:
            f.write(text[:middle] + other + text[middle + 1:])
        self.ctl.run("verify", f"{path}.forged", "--key", public, status=1)
        self.report.check("good request: one changed character, and it is refused", True)

    def refused(self):
        ticket, address, check = 4712, "gone@customer.example", self.report.check
        self.report.title("2. The mail server refuses the mailbox: a failed job, an open issue")
        self.mail.on(address, rcpt="550 5.1.1 No such mailbox here")
        job_id = self.submit(ticket, address, 40)
        state = self.stage.await_state(job_id, "done", "failed")
        issue = self.await_issue(ticket, "[Failed]", "opened")
        self.report.say(f"\n{state}. In GitLab:\n")
        issues = self.show_issues(ticket)
        check("refused mailbox: the job failed", state == "failed")
        check("refused mailbox: one open issue with the agreed title",
              [i["title"] for i in issues]
              == [f"[Failed] - Could not create a license under {address} for 40 users"])
        check("refused mailbox: issue and `show` give the mail server's own words",
              all("No such mailbox here" in text
                  for text in (issue["description"], self.ctl.run("show", job_id))))
        check("refused mailbox: no mail went out", not self.mail.to(address))

    def out_of_scope(self):
        ticket, address, check = 4713, "pat@prospect.example", self.report.check
        self.report.title("3. Out of scope: no license")
        job_id = self.submit(ticket, address, 10, "--plan", "free")
        state = self.stage.await_state(job_id, "done", "failed")
        issue = self.await_issue(ticket, "[Failed]", "opened")
        self.report.say(f"\n{state}. In GitLab:\n")
        self.show_issues(ticket)
        check("out of scope: the job failed", state == "failed")
        check("out of scope: `show` says so",
              re.search(r"out.of.scope", self.ctl.run("show", job_id)))
        check("out of scope: no license was made", not fenced_license(issue))
        check("out of scope: no mail went out", not self.mail.to(address))

    def requeued(self):
        ticket, address, check = 4714, "omar@customer.example", self.report.check
        self.report.title("4. Fails, is mended, and is requeued with one command")
        self.mail.on(address, rcpt="550 5.7.1 Mailbox is disabled")
        job_id = self.submit(ticket, address, 75)
        state = self.stage.await_state(job_id, "done", "failed")
        check("requeue: the job failed first", state == "failed")
        failure = self.await_issue(ticket, "[Failed]", "opened")
        self.report.say("\nfailed. The mailbox is enabled again; `show` names the command:\n")
        self.mail.forget(address)
        command = self.ctl.requeue_command(job_id)
        self.report.say(f"$ stopgapctl {shlex.join(command)}")
        self.report.block(self.ctl.run(*command))
        state = self.stage.await_state(job_id, "done")
        self.await_issue(ticket, "[Failed]", "closed")
        self.report.say(f"\n{state}. In GitLab:\n")
        self.show_issues(ticket)
        mails = [Mailed(raw) for raw in self.mail.to(address)]
        check("requeue: the command that `show` prints is enough", state == "done")
        check("requeue: one mail, and only one", len(mails) == 1)
        check("requeue: it carries the license signed before the failure",
              mails and same_license(fenced_license(failure), mails[0].license()[1]))
        titles = {i["title"]: i["state"] for i in self.issues_of(ticket)}
        check("requeue: a closed [Success] issue, and the failure issue is closed", titles == {
            f"[Success] - Created a license under {address} for 75 users": "closed",
            f"[Failed] - Could not create a license under {address} for 75 users": "closed"})
        self.report.say(f"\n$ stopgapctl show {job_id}")
        self.report.block(self.ctl.run("show", job_id))

    def overview(self):
        self.report.title("All jobs")
        self.report.say("$ stopgapctl list")
        self.report.block(self.ctl.run("list"))
        self.report.check("two mails in all", len(self.mail.mails) == 2)
        self.report.check("the worker kept to the rules of SMTP", not self.mail.faults)
        self.report.check("worker and receiver are still up", self.stage.worker.poll() is None
                          and self.stage.webhook.poll() is None)

    def run(self):
        for part in (self.good, self.refused, self.out_of_scope, self.requeued, self.overview):
            part()


def introduce(stage, report):
    report.title("Stopgap: from a request to a license, a mail and an issue")
    report.say(f"  redis-server      127.0.0.1:{stage.redis.port}\n"
               f"  mail server       127.0.0.1:{stage.mail.port}\n"
               f"  GitLab stand-in   {stage.gitlab.url}\n"
               f"  stopgap-webhook   {stage.webhook_url}\n"
               f"  stopgap-worker    process {stage.worker.pid}\n"
               f"  folder            {stage.folder}")


def show_how_to_play(stage):
    ctl = f"{os.path.relpath(stage.ctl.program)} --env-file {stage.env_file}"
    print(f"""
Left running. To play with it:

  {ctl} submit --ticket 5000 --email you@customer.example --users 10 --requested-by you
  {ctl} list
  {ctl} show ID
  redis-cli -p {stage.redis.port} LPUSH 'stopgap:{{licenses}}:inbox' \\
    '{{"ticket_id": 5001, "email": "you@customer.example", "users": 10, "requested_by": "you"}}'

  mails, one file each    {stage.folder}/mail-N.eml
  issues                  curl -s {stage.gitlab.url}/fake/issues
  the worker's log        {stage.folder}/worker.log
  the receiver's log      {stage.folder}/webhook.log

To stop it and remove its folder:

  kill {os.getpid()}
""", flush=True)


def perform(build, keep, on_finished):
    """Runs the demo; on_finished(ok) is told the result before anything is kept."""
    report, stage, ok = Report(), Stage(build), False
    try:
        try:
            stage.start()
            introduce(stage, report)
            Demo(stage, report).run()
            ok = report.table()
        except (DemoError, AssertionError, CtlError, OSError, subprocess.SubprocessError) as e:
            print(f"\ndemo: {e}", file=sys.stderr, flush=True)
            if stage.worker:
                print(f"\nthe worker's log ends with:\n{tail(f'{stage.folder}/worker.log')}",
                      file=sys.stderr, flush=True)
            report.check("the demo came to its end", False)
            report.table()
        if keep and ok:
            show_how_to_play(stage)
            on_finished(ok)
            while True:
                signal.pause()  # until one that on_signal() turns into the end
    finally:
        # A second signal must not cut the tidying short.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        stage.stop()
    return ok


def leave_terminal():
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)


def perform_kept(build):
    """The same in a child, which stays when this process returns."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        # The child ignores nothing: it gets the terminal's signals too.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda n, _frame: os.kill(child, n))
        return os.read(reader, 1) == b"1"
    os.close(reader)

    def on_finished(ok):
        leave_terminal()
        os.write(writer, b"1" if ok else b"0")
        os.close(writer)

    sys.exit(0 if perform(build, True, on_finished) else 1)


def clean_environment():
    """Settings in the caller's environment would win over the demo's own."""
    for name in list(os.environ):
        if name.startswith("STOPGAP_") or name == "CREDENTIALS_DIRECTORY":
            del os.environ[name]
    os.environ.setdefault("USER", "sam")  # stopgapctl records who did something


def on_signal(number, _frame):
    sys.exit(128 + number)


def main():
    parser = argparse.ArgumentParser(prog="demo.sh", description="Shows the main job.")
    parser.add_argument("--keep", action="store_true",
                        help="leave everything running and say how to play with it")
    parser.add_argument("--build", default=f"{ROOT}/build", help="folder of the programs")
    args = parser.parse_args()
    clean_environment()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    if args.keep:
        return perform_kept(args.build)
    return perform(args.build, False, lambda _ok: None)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
