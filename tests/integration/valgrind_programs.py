"""Receiver, worker and stopgapctl under valgrind's memcheck, through the main job and what
goes wrong around it. No test of every day: a worker takes seconds to start. `make
valgrind` runs it."""

import os
import signal

import pytest
from testenv import webhook as zendesk
from testenv.certs import Authority
from testenv.ctl import Ctl
from testenv.smtp import Smtp
from testenv.wait import wait_for

FAULT = 99  # exit status of a program that did wrong
PATIENCE_S = 120.0
SUPPRESSIONS = os.path.join(os.path.dirname(__file__), "..", "valgrind.supp")


@pytest.fixture
def under(folder):
    """Words in front of a program; in the end nothing of valgrind's may have been said."""
    os.mkdir(os.path.join(folder, "said"))
    yield ("valgrind", "--quiet", "--leak-check=full", "--num-callers=30",
           "--show-leak-kinds=definite,possible", "--errors-for-leak-kinds=definite,possible",
           f"--suppressions={SUPPRESSIONS}", f"--error-exitcode={FAULT}",
           f"--log-file={folder}/said/%p")
    for name in os.listdir(os.path.join(folder, "said")):
        with open(os.path.join(folder, "said", name), encoding="utf-8") as f:
            assert f.read() == ""


@pytest.fixture
def env(env):
    """Time enough for everything."""
    return {**env, "STOPGAP_LEASE": "30s", "STOPGAP_BACKOFF_BASE": "100ms",
            "STOPGAP_BACKOFF_CAP": "1s"}


@pytest.fixture
def slow_worker(start_worker, under):
    def start(**changes):
        worker = start_worker(ready=False, inside=under, **changes)
        worker.wait_for(event="ready", deadline=PATIENCE_S)
        return worker
    return start


def reload(program, count=1):
    program.signal(signal.SIGHUP)
    program.wait_for(event="reload", count=count, deadline=PATIENCE_S)


def make_things_fail(smtp, gitlab):
    smtp.on("refused@example.com", rcpt="550 5.1.1 No such user")
    smtp.on("later@example.com", rcpt="451 4.2.0 Later", times=2)
    smtp.on("lost@example.com", drop="dot_taken", times=1)
    smtp.on("cut@example.com", drop="content", times=1)
    smtp.on("always@example.com", dot="554 5.6.0 No")
    for kind in ("lost_before", "lost_after", "error_500", "gateway_502_after"):
        gitlab.fail_next(kind)


def people(queue):
    names = ("customer", "refused", "later", "lost", "cut", "always")
    for ticket, name in enumerate(names, 1):
        queue.push(ticket_id=ticket, email=f"{name}@example.com", note="# note @all\n/close")
    queue.push(ticket_id=1, email="customer@example.com")  # a duplicate
    queue.push(ticket_id=8, plan="free", license_expired_on="2026-02-30", users="0")
    queue.push(raw=b"no request at all \xff")
    return len(names) + 3


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_worker(slow_worker, queue, smtp, gitlab, redis, folder, env, kind):
    key = os.path.join(folder, "a key")
    Ctl({}).run("keygen", key, "--type", kind, *(("--bits", 2048) if kind == "rsa" else ()))
    make_things_fail(smtp, gitlab)
    worker = slow_worker(STOPGAP_LICENSE_KEY_FILE=key)
    count = people(queue)
    queue.settled(count, PATIENCE_S)
    reload(worker)
    redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    queue.push(ticket_id=20, email="last@example.com")
    queue.settled(count + 1, PATIENCE_S)
    wait_for(lambda: not redis.client.exists("stopgap:{licenses}:follow"), worker.text, PATIENCE_S)
    redis.kill()
    worker.wait_for(event="redis_down", count=2, deadline=PATIENCE_S)
    redis.start()
    worker.wait_for(event="redis_up", count=3, deadline=PATIENCE_S)
    # It ends with a job in its hands, which it may finish.
    smtp.on("held@example.com", hold_dot=True)
    seen = smtp.dots
    queue.push(ticket_id=21, email="held@example.com")
    wait_for(lambda: smtp.dots > seen, worker.text, PATIENCE_S)
    worker.term()
    worker.wait_for(event="drain", deadline=PATIENCE_S)
    smtp.release()
    assert worker.wait(PATIENCE_S) == 0


def test_worker_that_leaves_at_once(slow_worker, queue, smtp):
    smtp.on("", hold_dot=True)
    worker = slow_worker()
    worker.allow("event=drain")
    queue.push()
    wait_for(lambda: smtp.dots, worker.text, PATIENCE_S)
    for count in (1, 2):
        worker.term()
        if count == 1:
            worker.wait_for(event="drain", deadline=PATIENCE_S)
    worker.wait(PATIENCE_S)
    worker.checked = True  # its status says that it left work behind
    assert worker.status != FAULT


def test_tls(slow_worker, queue, folder, under):
    authority = Authority(folder)
    server = Smtp(tls_context=authority.context(), implicit_tls=True)
    try:
        worker = slow_worker(STOPGAP_SMTP_URL=f"smtps://127.0.0.1:{server.port}",
                             STOPGAP_CA_FILE=authority.path)
        queue.push()
        queue.settled(1, PATIENCE_S)
        worker.stop()
    finally:
        server.stop()


def test_receiver(start_webhook, under, webhook_env, folder, queue, redis):
    secret = os.path.join(folder, "secret")
    with open(secret, "w", encoding="ascii",
              opener=lambda path, how: os.open(path, how, 0o600)) as f:
        f.write(zendesk.SECRET)
    del webhook_env["STOPGAP_WEBHOOK_SECRET"]
    webhook = start_webhook(ready=False, inside=under, STOPGAP_WEBHOOK_SECRET_FILE=secret)
    webhook.allow("event=reload")  # the tokens were given in the environment
    webhook.wait_for(event="ready", deadline=PATIENCE_S)
    wait_for(lambda: webhook.call("GET", "/readyz").json["redis"], webhook.text, PATIENCE_S)
    first = webhook.deliver()
    assert first.status == 202
    assert webhook.deliver(zendesk.request(users="many")).status == 400
    assert webhook.deliver(b"{").status == 400
    assert webhook.deliver(secret="not the secret at all").status == 401
    assert webhook.submit().status == 202
    assert webhook.show(first.job_id).status == 200
    assert webhook.api("GET", "/requests?ticket_id=4711").status in (200, 404)
    assert webhook.api("POST", f"/requests/{first.job_id}/resend",
                       {"requested_by": "agent"}).status in (202, 404)
    assert webhook.call("GET", "/nothing").status == 404
    assert webhook.call("POST", "/zendesk", b"x" * 300000).status in (401, 413)
    for part in (b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST /zendesk HTTP/1.1\r\nContent-Length: 9\r\n",
                 b"\x16\x03\x01 what is this\r\n\r\n"):
        line = webhook.connect()
        line.connect()
        line.sock.sendall(part)
        line.close()
    reload(webhook)
    redis.kill()
    assert webhook.deliver(zendesk.request(ticket_id="9")).status == 202  # into the spool
    redis.start()
    wait_for(lambda: queue.client.llen("stopgap:{licenses}:inbox") >= 3, webhook.text, PATIENCE_S)
    webhook.term()
    assert webhook.wait(PATIENCE_S) == 0


def test_operator(start_worker, queue, smtp, ctl_env, env, under, folder, key):
    """Each command that there is without Zendesk, on a queue with jobs of all kinds."""
    smtp.on("refused@example.com", rcpt="550 5.1.1 No such user", times=1)
    worker = start_worker()
    queue.push(ticket_id=1)
    queue.push(ticket_id=2, email="refused@example.com")
    jobs = queue.settled(2)
    (done,), (failed,) = ([i for i, r in jobs.items() if r["state"] == state]
                          for state in ("done", "failed"))
    license_path = os.path.join(folder, "a.license")
    with open(license_path, "w", encoding="ascii") as f:
        f.write(jobs[done]["lic"])
    ctl = Ctl({**env, **ctl_env}, under)
    for words in (
            ["list"], ["list", "--state", "failed", "--json"], ["list", "--ticket", 1],
            ["list", "--email", "refused@example.com", "--since", "1h"], ["show", done],
            ["show", done, "--json"], ["show", failed], ["show", done, "--license"], ["stats"],
            ["stats", "--json"], ["workers"], ["workers", "--json"], ["config"],
            ["config", "--json"], ["key-id"], ["verify", license_path, "--key", key + ".pub"],
            ["verify", license_path, "--key", key + ".pub", "--json"],
            ["keygen", os.path.join(folder, "k1")],
            ["requeue", "--all"], ["requeue", failed], ["resend", done], ["fsck"],
            ["fsck", "--tracker"], ["pause"], ["resume"], ["--help"], ["--version"],
            ["submit", "--ticket", 3, "--email", "c3@example.com", "--users", 5,
             "--requested-by", "me"]):
        assert ctl.run(*words, status=None).status in (0, 1), words
    for words in (["nonsense"], ["list", "--state", "odd"], ["show"], ["submit"],
                  ["verify", "/nowhere", "--key", key + ".pub"], ["show", "0" * 26],
                  ["requeue", failed, "--redo", "what"]):
        assert ctl.run(*words, status=None).status in (1, 2), words
    ctl.run("list", env={"STOPGAP_REDIS_URL": f"unix://{folder}/nowhere?db=0"}, status=1)
    ctl.run("discard", failed, status=None)
    assert worker.running
