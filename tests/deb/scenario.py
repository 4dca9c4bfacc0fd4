"""The package's life, inside the root that tests/deb/check has made: each check is a line,
the first that does not hold ends it."""

import http.server
import json
import os
import pathlib
import resource
import subprocess
import sys
import threading

sys.path.insert(0, "/check")
from testenv.gitlab import GitLab
from testenv.smtp import Behaviour, Smtp
from testenv.wait import wait_for

DEADLINE_S = 120
JOBS = 40
CTL = ["stopgapctl", "--env-file", "/etc/stopgap/stopgap.env"]
API_TOKEN = "token-of-the-check-0123456789"


def run(*command, ok=True, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=300, check=False, **options)
    if ok and done.returncode:
        sys.stderr.write(subprocess.run(["journalctl", "-q", "--no-pager", "-n", "25"],
                                        capture_output=True, text=True, check=False).stdout)
        raise SystemExit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip() if ok else done.returncode


def check(what, holds):
    print(f"  {'ok' if holds else 'FAILED':<8}{what}", flush=True)
    if not holds:
        raise SystemExit(f"deb-check: {what}")


def until(condition, what):
    wait_for(condition, what, DEADLINE_S)


def show(unit, name):
    return run("systemctl", "show", "-P", name, unit)


def active(unit):
    return show(unit, "ActiveState") == "active"


def write(path, text, mode=0o600):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as f:
        f.write(text)


def may_raise_limits(wanted):
    return run("prlimit", f"--nofile={wanted}:{wanted}", "true", ok=False) == 0


def drop_in(unit, *lines):
    folder = f"/run/systemd/system/{unit}.service.d"
    os.makedirs(folder, exist_ok=True)
    name = f"{folder}/check-{len(os.listdir(folder))}.conf"
    write(name, "\n".join(["[Service]", *lines, ""]), 0o644)
    run("systemctl", "daemon-reload")


def ours():
    """Every path with our name in it, but for this check's."""
    found = set()
    for top in ("/etc", "/lib", "/usr", "/var"):
        for path in pathlib.Path(top).rglob("*stopgap*"):
            if not str(path).startswith(("/var/log/", "/var/cache/", "/var/lib/dpkg/")):
                found.add(str(path))
    return found


class Hook(http.server.BaseHTTPRequestHandler):
    """What takes Slack's place."""

    heard = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        text = json.loads(body).get("text")
        if text:
            self.heard.append(text)
        self.send_response(200 if text else 400)  # the doctor asks so
        self.end_headers()

    def log_message(self, *_):
        pass


def submit(ticket):
    return run(*CTL, "submit", "--ticket", str(ticket), "--email", f"c{ticket}@customer.example",
               "--users", "25", "--requested-by", "sam")


def settled(jobs):
    return all(json.loads(run(*CTL, "--json", "show", job))["state"] == "done" for job in jobs)


def install(smtp):
    before = ours()
    run("dpkg", "-i", "/check/old.deb")
    check("installed; nothing runs before it is set up",
          not active("stopgap-worker") and not active("stopgap-webhook"))
    check("users are there", run("id", "-un", "stopgap") and run("id", "-un", "stopgap-webhook"))
    check("secrets' folders are root's alone", all(
        oct(os.stat(f"/etc/stopgap/{d}").st_mode)[-3:] == "700" for d in ("worker", "webhook")))
    check("man pages are found", pathlib.Path("/usr/share/man/man8/stopgap-worker.8.gz").exists())
    return before


def set_up(smtp, gitlab, hook):
    run("stopgapctl", "keygen", "/etc/stopgap/worker/license_key_file")
    write("/etc/stopgap/worker/gitlab_token", gitlab.TOKEN)
    write("/etc/stopgap/worker/slack_webhook_url", f"http://127.0.0.1:{hook}/slack")
    write("/etc/stopgap/webhook/webhook_secret", "secret-of-the-check-0123456789")
    write("/etc/stopgap/webhook/api_token", API_TOKEN)
    with open("/etc/stopgap/stopgap.env", "a") as f:
        f.write(f"STOPGAP_MAIL_FROM=licenses@vendor.example\nSTOPGAP_SMTP_URL={smtp.url}\n"
                f"STOPGAP_GITLAB_PROJECT={gitlab.PROJECT}\nSTOPGAP_GITLAB_URL={gitlab.url}\n"
                "STOPGAP_GITLAB_SETTLE=1s\nSTOPGAP_MAX_PER_AGENT=0\n")


def start():
    # Where even root may not raise limits, as in some containers.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    for unit in ("redis-server", "stopgap-webhook", "stopgap-worker"):
        wanted = int(show(unit, "LimitNOFILE"))
        if most < wanted and not may_raise_limits(wanted):
            drop_in(unit, f"LimitNOFILE={most}")
    run("systemctl", "start", "redis-server")
    run("systemctl", "enable", "--now", "stopgap-worker", "stopgap-webhook")
    check("both are up, as they have told systemd",
          active("stopgap-worker") and active("stopgap-webhook"))
    pid = show("stopgap-worker", "MainPID")
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    check("the worker has no capability and no way to one",
          "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status)
    check("the receiver cannot see the worker's secrets",
          run("nsenter", "-t", show("stopgap-webhook", "MainPID"), "-m", "setpriv", "--reuid",
              "stopgap-webhook", "--clear-groups", "ls", "/run/credentials/stopgap-worker.service",
              ok=False) != 0)


def one_job(smtp):
    answer = run("curl", "-sS", "-H", f"Authorization: Bearer {API_TOKEN}", "-H",
                 "Content-Type: application/json", "--data",
                 '{"ticket_id": 1, "email": "c1@customer.example", "users": 25, '
                 '"requested_by": "sam"}', "http://127.0.0.1:8080/v1/requests")
    job = json.loads(answer)["job_id"]
    until(lambda: run(*CTL, "show", job, ok=False) == 0 and settled([job]), "the job done")
    check("a request by the receiver is a license", len(smtp.mails_to("c1@customer.example")) == 1)


def reload():
    run("systemctl", "reload", "stopgap-worker")
    until(lambda: show("stopgap-worker", "SubState") == "running", "reloaded")
    check("reloaded", "read again" in run("journalctl", "-q", "-o", "cat", "-u", "stopgap-worker"))


def upgrade(smtp, gitlab):
    pids = [show(unit, "MainPID") for unit in ("stopgap-worker", "stopgap-webhook")]
    run(*CTL, "pause", "upgrade")
    jobs = [submit(100 + i) for i in range(JOBS)]
    run(*CTL, "resume")
    run("dpkg", "-i", "/check/new.deb")
    check("the new version is there", run("dpkg-query", "-W", "-f", "${Version}", "stopgap")
          .endswith("+next"))
    check("both were restarted", active("stopgap-worker") and active("stopgap-webhook") and
          not set(pids) & {show(u, "MainPID") for u in ("stopgap-worker", "stopgap-webhook")})
    check("the end was in time and clean", "Failed" not in run(
        "journalctl", "-q", "-o", "cat", "-u", "stopgap-worker", "-p", "warning"))
    until(lambda: settled(jobs), "all jobs done")
    mails = [len(smtp.mails_to(f"c{100 + i}@customer.example")) for i in range(JOBS)]
    check(f"all {JOBS} jobs that were queued are done, each with one mail", set(mails) == {1})
    check("settings and secrets are as they were",
          pathlib.Path("/etc/stopgap/worker/gitlab_token").exists())


def drain(smtp):
    drop_in("stopgap-worker", "TimeoutStopSec=1", "WatchdogSec=2")
    run("systemctl", "restart", "stopgap-worker")
    smtp.behaviours["c200@customer.example"] = [Behaviour(delay_dot=4)]
    dots = smtp.dots
    job = submit(200)
    until(lambda: smtp.dots > dots, "the mail on its way")
    run("systemctl", "restart", "stopgap-worker")
    until(lambda: settled([job]), "the job done")
    log = run("journalctl", "-q", "-o", "cat", "-u", "stopgap-worker")
    check("a restart waits for the mail under way, past TimeoutStopSec",
          len(smtp.mails_to("c200@customer.example")) == 1 and "SIGKILL" not in log)


def stuck(smtp):
    pid = int(show("stopgap-worker", "MainPID"))
    os.kill(pid, 19)  # STOP: its loop turns no more
    until(lambda: active("stopgap-worker") and int(show("stopgap-worker", "MainPID")) != pid,
          "another worker")
    check("a stuck worker was noticed by the watchdog and replaced", "atchdog" in run(
        "journalctl", "-q", "-o", "cat", "-u", "stopgap-worker"))
    job = submit(300)
    until(lambda: settled([job]), "the job done")


def alerts():
    Hook.heard.clear()  # what the worker told of its jobs
    write("/etc/stopgap/worker/gitlab_token", "")
    run("systemctl", "restart", "stopgap-worker", ok=False)
    failed = lambda: [text for text in Hook.heard if "stopgap-worker.service failed" in text]
    until(failed, "the alert")
    check("a start that fails is told in Slack, with the reason", "GITLAB_TOKEN" in failed()[0])
    write("/etc/stopgap/worker/gitlab_token", GitLab.TOKEN)
    run("systemctl", "reset-failed", "stopgap-worker", ok=False)
    run("systemctl", "start", "stopgap-worker")
    check("it starts again", active("stopgap-worker"))


def doctor():
    """It finds this place's faults (http to GitLab, say), or none: either way it ran."""
    run("systemctl", "start", "stopgap-doctor.service", ok=False)
    status = show("stopgap-doctor.service", "ExecMainStatus")
    check(f"the doctor runs as a unit (exit status {status})", status in ("0", "1"))
    status = run("systemd-run", "-qP", "-p", "User=stopgap", "-p",
                 "LoadCredential=stopgap:/etc/stopgap/worker", *CTL, "doctor", ok=False)
    check("and by hand, with the worker's secrets", status in (0, 1))
    run("systemctl", "enable", "--now", "stopgap-doctor.timer")
    check("and by its timer", active("stopgap-doctor.timer"))


def remove(before):
    run("dpkg", "-r", "stopgap")
    check("removed: nothing runs, settings and secrets stay",
          not active("stopgap-worker") and pathlib.Path(
              "/etc/stopgap/worker/license_key_file").exists())
    run("dpkg", "-P", "stopgap")
    left = ours() - before
    check(f"purged: nothing is left {sorted(left) or ''}", not left)


def main():
    smtp, gitlab = Smtp(), GitLab()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    before = install(smtp)
    set_up(smtp, gitlab, server.server_address[1])
    start()
    one_job(smtp)
    reload()
    upgrade(smtp, gitlab)
    drain(smtp)
    stuck(smtp)
    alerts()
    doctor()
    remove(before)
    check("the mail server saw no broken SMTP", smtp.faults == [])
    smtp.stop()
    gitlab.stop()
    print("deb-check: all held")


if __name__ == "__main__":
    main()
