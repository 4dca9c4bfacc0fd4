"""stopgapctl as an operator uses it: on records put into Redis by hand, and with a
worker where the whole way counts."""

import base64
import ctypes
import ctypes.util
import json
import os
import re
import signal
import subprocess
import time

import pytest
from testenv import process
from testenv.ctl import Ctl

P = "stopgap:{licenses}:"
ID = re.compile(r"^[0-9a-z]{26}$")
GOOD = ("--ticket", 4711, "--email", "customer@example.com", "--users", 25)
COMMANDS = ["submit", "list", "show", "requeue", "resend", "discard", "pause", "resume",
            "stats", "workers", "keygen", "key-id", "verify", "reconcile", "fsck", "forget", "audit", "doctor", "config", "help"]
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def now_ms():
    return int(time.time() * 1000)


def make_id(n):
    return f"{n:026d}"


@pytest.fixture
def put(redis):
    """put(n, state, field=value...): a record as a worker leaves it. Returns its id."""
    def put(n, state, **fields):
        job_id = make_id(n)
        at = now_ms() - 1000 + n
        request = {"v": 1, "ticket_id": 4700 + n, "email": f"c{n}@example.com",
                   "users": 10 + n, "requested_by": "agent"}
        record = {"v": 1, "state": state, "raw": json.dumps(request), "attempt": 1,
                  "fence": 1, "accepted_ms": at, **fields}
        record = {k.replace("__", ":"): v for k, v in record.items() if v is not None}
        redis.client.hset(P + "job:" + job_id, mapping=record)
        if state in ("failed", "done", "delayed"):
            redis.client.zadd(P + state, {job_id: record.get("due_ms", at)})
        else:
            redis.client.lpush(P + "pending", job_id)
        return job_id
    return put


FAILED = {"err_class": "permanent", "err_step": "email", "err_code": 550,
          "err_text": "the mail server said 550 5.1.1 no such user"}


# ---- submit ----

def test_submit_is_one_entry_of_the_public_list(ctl, redis):
    said = ctl.run("submit", *GOOD, "--requested-by", "sam", "--note", "grace period")
    job_id = said.out.strip()
    assert ID.match(job_id)
    (entry,) = redis.client.lrange(P + "inbox", 0, -1)
    assert entry.split(" ", 1)[0] == job_id
    assert json.loads(entry.split(" ", 1)[1]) == {
        "ticket_id": "4711", "email": "customer@example.com", "users": "25",
        "requested_by": "sam", "note": "grace period"}


def test_submit_names_who_asks(ctl, redis):
    ctl.run("submit", *GOOD, env={"USER": "nina"})
    assert '"requested_by":"nina"' in redis.client.lindex(P + "inbox", 0)
    ctl.run("submit", *GOOD)  # no USER: the account's name
    assert '"requested_by":"' in redis.client.lindex(P + "inbox", 0)


def test_submit_tells_all_faults_and_queues_nothing(ctl, redis):
    err = ctl.run("submit", "--ticket", 0, "--email", "nobody", "--users", "many",
                  status=2).err
    for field in ("ticket_id", "email", "users"):
        assert f"{field}: " in err
    assert not redis.client.exists(P + "inbox")


def test_submit_reads_a_file_or_standard_input(ctl, redis, folder):
    text = '{"ticket_id": 1, "email": "a@b.example", "users": 2, "requested_by": "x"}'
    path = os.path.join(folder, "request.json")
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    ids = [ctl.run("submit", path).out.strip(),
           ctl.run("submit", "-", "--json", stdin=text).json["job_id"]]
    entries = redis.client.lrange(P + "inbox", 0, -1)
    assert entries == [f"{i} {text}" for i in reversed(ids)]


@pytest.mark.parametrize("args, words", [
    (["submit"], "--ticket"),
    (["submit", "-", "--ticket", "1"], "not both"),
    (["submit", "/nowhere/at/all"], "/nowhere/at/all"),
    (["submit", "--ticket"], "--ticket needs a value"),
    (["submit", "--ticket", "1", "--ticket", "2"], "given twice"),
    (["submit", "--expires-at", "never"], "--expires-at"),
    (["submit", "--wait=soon", "--ticket", "1"], "--wait"),
    (["list", "--state", "broken"], "queued, active"),
    (["list", "--ticket", "x"], "--ticket"),
    (["list", "--email", "x"], "--email"),
    (["list", "--limit", "0"], "--limit"),
    (["list", "--since", "yesterday"], "yesterday"),
    (["list", "more"], "more"),
    (["show"], "missing"),
    (["show", "short"], "no job id"),
    (["requeue"], "--all"),
    (["requeue", "--all", make_id(1)], "--all"),
    (["requeue", "--all", "--where", "class=auth"], "together"),
    (["requeue", "--where", "step=email"], "class=CLASS"),
    (["requeue", "--where", "class=bad"], "rate_limited"),
    (["requeue", make_id(1), "--redo", "ack"], "ack"),
    (["requeue", make_id(1), "--redo", "email", "--mail-arrived"], "together"),
    (["requeue", make_id(1), "--yes"], "--yes"),
    (["resend"], "missing"),
    (["resend", make_id(1), make_id(2)], "too much"),
    (["discard"], "missing"),
    (["reconcile", "--since"], "--since needs a value"),
    (["reconcile", "--yes"], "--yes"),
    (["workers", "--all"], "--all"),
    (["stats", "--json=1"], "no value"),
    (["physician"], "keygen"),
    (["-x"], "-x"),
])
def test_a_wrong_command_line_is_told(ctl, args, words):
    assert words in ctl.run(*args, status=2).err


def test_help_comes_from_the_table(ctl):
    for said in (ctl.run("--help").out, ctl.run("help").out,
                 ctl.run("frobnicate", status=2).err, ctl.run(status=2).err):
        for command in COMMANDS:
            assert re.search(rf"^  {command} ", said, re.M), command
    for command in COMMANDS:
        usage = f"Usage: stopgapctl {command} "
        assert ctl.run(command, "--help").out.startswith(usage)
        assert ctl.run("help", command).out.startswith(usage)
    assert re.match(r"stopgapctl \d+\.\d+", ctl.run("--version").out)


def test_common_options_stand_before_or_after(redis, folder):
    path = os.path.join(folder, "env")
    with open(path, "w", encoding="ascii") as f:
        f.write(f"STOPGAP_REDIS_URL={redis.url}\n")
    ctl = Ctl({})
    assert ctl.run("--env-file", path, "--json", "list").json == []
    assert ctl.run("list", "--json", f"--env-file={path}").json == []


# ---- show ----

def test_show_what_no_worker_has_taken(ctl):
    job_id = ctl.run("submit", *GOOD).out.strip()
    story = ctl.show(job_id)
    assert (story["state"], story["in_inbox"], story["ticket_id"]) == ("queued", True, 4711)
    assert "stopgapctl workers" in ctl.run("show", job_id).out
    assert "no job" in ctl.run("show", make_id(9), status=1).err


def test_show_a_done_job(ctl, queue, worker, gitlab):
    job_id = ctl.run("submit", *GOOD, "--wait").out.split()[0]
    said, story = ctl.run("show", job_id).out, ctl.show(job_id)
    record = queue.job(job_id)
    for text in ("4711", "customer@example.com", record["lic_id"], record["kid"],
                 record["msgid"], record["issue_url"], "250 2.0.0"):
        assert text in said
    steps = [line.split()[3] for line in said.splitlines() if " done in " in line]
    assert steps == ["validate:", "sign:", "email:", "record:", "close:"]
    assert [s["step"] for s in story["steps"]] == [s.rstrip(":") for s in steps]
    assert story["state"] == "done" and story["issue_url"] == record["issue_url"]
    assert story["next"] == []
    for text in (said, json.dumps(story)):
        assert "BEGIN STOPGAP" not in text
    assert ctl.run("show", job_id, "--license", "--json").json["license"] == record["lic"]
    assert record["lic"] in ctl.run("show", job_id, "--license").out


def test_show_leads_from_a_duplicate_to_the_first(ctl, queue, worker):
    first = ctl.run("submit", *GOOD, "--wait").out.split()[0]
    again = ctl.run("submit", *GOOD, "--requested-by", "nina", "--wait").out.split()[0]
    story = ctl.show(again)
    assert (story["job_id"], story["asked_for"]) == (first, again)
    said = ctl.run("show", again).out
    assert "duplicate" in said and "asked for again by nina" in said
    rows = {r["job_id"]: r for r in ctl.json("list")}
    assert rows[again]["duplicate_of"] == first


def test_show_names_the_command_that_works(ctl, queue, worker, smtp):
    smtp.on("customer@example.com", rcpt="550 5.1.1 No such user here")
    said = ctl.run("submit", *GOOD, "--wait", status=1).out
    job_id = said.split()[0]
    assert "failed at email, permanent" in said
    text = ctl.run("show", job_id).out
    assert "No such user here" in text and "permanent at email, code 550" in text
    command = re.search(r"stopgapctl (requeue .+)", text).group(1)
    assert ctl.show(job_id)["next"][0]["command"] == f"stopgapctl {command}"
    smtp.forget()
    assert "queued again" in ctl.run(*command.split()).out
    queue.wait_state(job_id, "done")


@pytest.mark.parametrize("fields, commands", [
    ({}, [""]),
    ({"err_class": "out_of_scope", "err_step": "validate"}, [""]),
    ({"err_class": "limit", "err_step": "sign"}, [" --lift-limit"]),
    ({"err_class": "ambiguous"}, [" --mail-arrived", " --redo email"]),
    ({"frozen": 1, "iat_ms": 1000}, [" --redo sign"]),
    ({"frozen": 1, "iat_ms": 1000, "err_class": "ambiguous"},
     [" --mail-arrived", " --redo sign"]),
])
def test_every_command_that_show_names_is_taken(ctl, put, redis, fields, commands):
    for n, command in enumerate(commands, 1):
        job_id = put(n, "failed", **{**FAILED, **fields})
        told = [c["command"] for c in ctl.show(job_id)["next"]]
        assert told == [f"stopgapctl requeue {job_id}{c}" for c in commands]
        ctl.run(*f"requeue {job_id}{command}".split())
        assert redis.client.hget(P + "job:" + job_id, "state") == "queued"


HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m \u202egpj.exe \u2066x"


def test_hostile_text_is_harmless_in_a_terminal(ctl, put, redis):
    job_id = put(1, "failed", **{**FAILED, "err_text": HOSTILE}, warning=HOSTILE,
                 issue_url=HOSTILE, discarded=HOSTILE, raw=HOSTILE,
                 s__email=f"{now_ms()} 5 {HOSTILE}",
                 i__record=f"w{HOSTILE.replace(' ', '')} 1 {now_ms()}")
    redis.client.rpush(P + "log:" + job_id, f"{now_ms()} {HOSTILE}", HOSTILE)
    redis.client.set(P + "paused", f"{now_ms()} x {HOSTILE}")
    redis.client.hset(P + "stat", HOSTILE, 1)
    redis.client.zadd(P + "workers", {HOSTILE: now_ms() + 9000})
    redis.client.hset(P + "winfo:" + HOSTILE, mapping={"host": HOSTILE, "pid": HOSTILE})
    for args in (["show", job_id], ["list"], ["requeue", "--all"], ["stats"], ["workers"],
                 ["show", job_id, "--json"], ["list", "--json"], ["stats", "--json"],
                 ["workers", "--json"]):
        said = ctl.run(*args)
        text = json.dumps(json.loads(said.out), ensure_ascii=True) if "--json" in args \
            else said.out
        assert not CONTROL.search(text + said.err), args
    assert "\\x1b[2J" in ctl.run("show", job_id).out


def test_raw_bytes_of_any_kind(ctl, redis):
    raw = b"\xff\xfe\x00{" + bytes(range(256))
    job_id = make_id(5)
    redis.client.lpush(P + "inbox", job_id.encode() + b" " + raw)
    assert base64.b64decode(ctl.show(job_id)["raw_base64"]) == raw
    assert "\\xff\\xfe\\x00{" in ctl.run("show", job_id).out
    assert [r["job_id"] for r in ctl.json("list")] == [job_id]


def test_a_newer_record_is_left_alone(ctl, put):
    job_id = put(1, "done", v=99)
    put(2, "done")
    assert "99" in ctl.run("show", job_id, status=1).err
    said = ctl.run("list", "--json")
    assert [r["job_id"] for r in said.json] == [make_id(2)]
    assert "1 record" in said.err


# ---- list ----

def test_list_filters(ctl, put, redis):
    put(1, "done", issue_url="https://gitlab.example/issues/1")
    put(2, "failed", **FAILED)
    put(3, "delayed", due_ms=now_ms() + 60000)
    put(4, "queued")
    put(5, "done", accepted_ms=now_ms() - 7200000)
    redis.client.lpush(P + "inbox", '{"ticket_id": 9, "email": "i@b.example", "users": 1,'
                       ' "requested_by": "x"}')
    ids = lambda *args: [int(r.get("job_id", 0)) for r in ctl.json("list", *args)]
    assert ids() == [0, 4, 3, 2, 1, 5]
    assert ids("--state", "queued") == [0, 4]
    assert ids("--state", "done") == [1, 5]
    assert ids("--state", "failed") == [2]
    assert ids("--state", "delayed") == [3]
    assert ids("--state", "active") == []
    assert ids("--ticket", 4702) == [2] and ids("--ticket", 9) == [0]
    assert ids("--email", "C3@Example.com") == [3]
    assert ids("--since", "1h") == [0, 4, 3, 2, 1]
    assert ids("--limit", 2) == [0, 4]
    said = ctl.run("list").out
    assert "https://gitlab.example/issues/1" in said and "permanent at email" in said
    assert "(inbox)" in said and "due " in said
    assert ctl.run("list", "--ticket", 1).out == "no jobs\n"


def test_list_pages_through_many(ctl, put, redis):
    with_email = [make_id(n) for n in range(1, 452) if n % 50 == 0]
    for n in range(1, 452):
        put(n, "done", raw=json.dumps({"ticket_id": n, "users": 1, "requested_by": "x",
                                       "email": "r@b.example" if n % 50 == 0 else
                                       "c@b.example"}))
    found = [r["job_id"] for r in ctl.json("list", "--email", "r@b.example")]
    assert found == with_email[::-1]
    assert len(ctl.json("list")) == 50
    assert len(ctl.json("list", "--limit", 1000)) == 451


# ---- what is done to jobs ----

@pytest.mark.parametrize("args, state, fields, words", [
    (["requeue"], "done", {}, "only a failed or delayed job"),
    (["requeue"], "queued", {}, "is queued"),
    (["requeue"], "failed", {"dup_of": make_id(7)}, f"duplicate of {make_id(7)}"),
    (["requeue"], "failed", {"frozen": 1, "iat_ms": 1}, "--redo sign"),
    (["requeue"], "failed", {"err_class": "ambiguous"}, "--mail-arrived"),
    (["requeue", "--mail-arrived"], "failed", {}, "did not"),
    (["resend"], "failed", {}, "only the license of a job that is done"),
    (["resend"], "done", {"lic": "x", "exp_ms": 1}, "expired"),
    (["resend"], "done", {"lic": "x", "exp_ms": 9**15, "resends": 3}, "three times"),
    (["discard"], "done", {}, "only a queued, delayed or failed job"),
])
def test_a_refusal_says_why(ctl, put, args, state, fields, words):
    job_id = put(1, state, **{**(FAILED if state == "failed" else {}), **fields})
    command, *more = args
    said = ctl.run(command, job_id, *more, status=1)
    assert words in said.err and job_id in said.err and said.out == ""
    answer = ctl.run(command, job_id, *more, "--json", status=1).json
    assert (answer["job_id"], answer["done"]) == (job_id, False)


@pytest.mark.parametrize("command", ["requeue", "resend", "discard"])
def test_a_job_that_is_not_there(ctl, command):
    assert "no such job" in ctl.run(command, make_id(1), status=1).err


def test_some_of_several(ctl, put, redis):
    good, bad = put(1, "failed", **FAILED), put(2, "done")
    said = ctl.run("requeue", bad, good, status=1)
    assert good in said.out and bad in said.err
    assert redis.client.hget(P + "job:" + good, "state") == "queued"


def test_requeue_all_is_shown_before_it_is_done(ctl, put, redis):
    mails = [put(n, "failed", **FAILED) for n in (1, 2)]
    auth = put(3, "failed", **{**FAILED, "err_class": "auth"})
    old = put(4, "failed", accepted_ms=now_ms() - 7200000, **FAILED)
    redis.client.zadd(P + "failed", {old: now_ms() - 7200000})
    said = ctl.run("requeue", "--all").out
    assert all(i in said for i in (*mails, auth, old)) and "4 jobs" in said
    assert "--yes" in said and redis.client.zcard(P + "failed") == 4
    assert "1 job " in ctl.run("requeue", "--where", "class=auth").out
    said = ctl.run("requeue", "--where", "class=permanent", "--since", "1h", "--yes").out
    assert all(i in said for i in mails) and auth not in said and old not in said
    assert redis.client.zrange(P + "failed", 0, -1) == [old, auth]
    ctl.run("requeue", "--all", "--yes")
    assert redis.client.zcard(P + "failed") == 0


def test_who_did_it_is_in_the_story(ctl, put):
    job_id = put(1, "failed", **FAILED)
    ctl.run("requeue", job_id, "--redo", "sign", env={"USER": "nina"})
    assert "requeued by nina, redo sign" in ctl.run("show", job_id).out
    ctl.run("discard", job_id, env={"USER": "evil \x1b[2J"})  # no name: the account's
    assert ctl.show(job_id)["discarded_by"] not in ("", "evil \x1b[2J")


def test_resend_mails_the_same_license(ctl, queue, worker, smtp, until):
    job_id = ctl.run("submit", *GOOD, "--wait").out.split()[0]
    license_id = ctl.show(job_id)["license_id"]
    assert "mailed again" in ctl.run("resend", job_id).out
    until(lambda: len(smtp.mails_to()) == 2, "the second mail")
    queue.wait_state(job_id, "done")
    story = ctl.show(job_id)
    assert (story["license_id"], story["resends"]) == (license_id, 1)


# ---- the queue ----

def test_pause_and_resume(ctl, queue, worker, redis):
    ctl.run("pause", "mail server moves", env={"USER": "nina"})
    said = ctl.run("stats").out
    assert "PAUSED" in said and "by nina: mail server moves" in said
    job_id = ctl.run("submit", *GOOD).out.strip()
    assert ctl.run("submit", *GOOD[:-1], 26, "--wait", 1, status=1).out
    assert ctl.show(job_id)["state"] == "queued"
    assert ctl.json("resume") == {"paused": False}
    queue.wait_state(job_id, "done")
    assert "was not paused" in ctl.run("resume").out


def test_stats(ctl, put, redis):
    put(1, "done")
    put(2, "failed", **FAILED)
    put(3, "delayed", due_ms=now_ms() + 60000)
    put(4, "queued", accepted_ms=now_ms() - 60000)
    redis.client.lpush(P + "inbox", "x")
    redis.client.lpush(P + "proc:w1", make_id(8))
    redis.client.zadd(P + "workers", {"w1": now_ms() + 60000, "dead": 5})
    redis.client.zadd(P + "follow", {"report " + make_id(2): now_ms()})
    redis.client.hset(P + "stat", mapping={"done": 12, "retry": 3})
    stats = ctl.json("stats")
    assert stats["states"] == {"queued": 2, "active": 1, "delayed": 1, "failed": 1,
                               "done": 1}
    assert (stats["inbox"], stats["workers"], stats["follow_ups"]) == (1, 1, 1)
    assert stats["counters"] == {"done": 12, "retry": 3} and not stats["paused"]
    assert stats["oldest_queued_ms"] >= 60000 and stats["oldest_failed_ms"] > 0
    assert re.search(r"^queued +2 \(oldest 1m", ctl.run("stats").out, re.M)


def test_stats_of_closed_lanes(ctl, redis):
    assert ctl.json("stats")["lanes"] == {} and "CLOSED" not in ctl.run("stats").out
    redis.client.hset(P + "lane:smtp", mapping={
        "until_ms": now_ms() + 600_000, "since_ms": now_ms() - 60_000, "by": "w1",
        "class": "auth", "code": 535, "text": "mail server at AUTH: \x1b[2J535 no"})
    lane = ctl.json("stats")["lanes"]["smtp"]
    assert lane["class"] == "auth" and lane["error"] == "mail server at AUTH: \\x1b[2J535 no"
    assert 0 < lane["next_try_ms"] <= 600_000 and lane["closed_ms"] >= 60_000
    assert re.search(r"^smtp CLOSED +for 1m\S+, tried again in (9m|10m)\S+: auth, mail server "
                     r"at AUTH: \\x1b\[2J535 no$", ctl.run("stats").out, re.M)


def test_stats_watch_goes_on_until_interrupted(ctl_env):
    watch = process.start([process.program("stopgapctl"), "stats", "--watch", "--json"],
                          env={"PATH": os.environ["PATH"], **ctl_env}, stdout=subprocess.PIPE)
    try:
        lines = [json.loads(watch.stdout.readline()) for _ in range(2)]
    finally:
        status = process.stop(watch, signal_number=signal.SIGINT)
        watch.stdout.close()
    assert [line["queue"] for line in lines] == ["licenses", "licenses"]
    assert status == -signal.SIGINT


def test_workers(ctl, worker, until):
    assert until(lambda: ctl.json("workers"), "a worker")[0]["pid"] == worker.pid
    (row,) = ctl.json("workers")
    assert row["state"] == "running" and row["busy"] == 0 and row["lease_left_ms"] > 0
    assert row["lag_ms"] >= 0
    assert str(worker.pid) in ctl.run("workers").out and "LAG MS" in ctl.run("workers").out


# ---- keys and licenses: without Redis, without settings ----

def paseto(claims, key_id, secret):
    """A v4.public token by libsodium, in our armour."""
    sodium = ctypes.CDLL(ctypes.util.find_library("sodium"))
    footer = json.dumps({"kid": key_id}, separators=(",", ":")).encode()
    body = json.dumps(claims, separators=(",", ":")).encode()
    parts = [b"v4.public.", body, footer, b""]
    signed = len(parts).to_bytes(8, "little") + b"".join(
        len(p).to_bytes(8, "little") + p for p in parts)
    signature = ctypes.create_string_buffer(64)
    sodium.crypto_sign_detached(signature, None, signed, ctypes.c_ulonglong(len(signed)),
                                secret)
    token = f"v4.public.{base64url(body + signature.raw)}.{base64url(footer)}"
    lines = [token[i:i + 64] for i in range(0, len(token), 64)]
    return "\n".join(["-----BEGIN STOPGAP LICENSE-----", *lines,
                      "-----END STOPGAP LICENSE-----", ""])


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def iso(offset_s):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + offset_s))


@pytest.fixture
def sign(key):
    """sign(days_ago, term): a license whose validity began so many days ago."""
    with open(key, encoding="ascii") as f:
        text = f.read().strip().rsplit(".", 1)[1]
    secret = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    key_id = Ctl({}).run("key-id", key).out.strip()

    def sign(days_ago, term=10):
        start = -days_ago * 86400
        return paseto({"iss": "stopgap", "sub": "customer@example.com",
                       "aud": "self-managed", "jti": make_id(1), "iat": iso(start + 300),
                       "nbf": iso(start), "exp": iso(start + 300 + term * 86400),
                       "plan": "ultimate", "trial": True, "users": 25, "ticket": 4711},
                      key_id, secret)
    return sign


@pytest.mark.parametrize("days_ago, holds, words", [
    (1.5, True, "valid for another 8d12h"),
    (20.5, False, "expired 10d11h ago"),
    (-1.5, False, "not valid for another 1d11h"),
])
def test_verify_says_whether_it_holds(key, sign, days_ago, holds, words):
    ctl, text = Ctl({}), sign(days_ago)
    said = ctl.run("verify", "-", "--key", key + ".pub", stdin=text,
                   status=0 if holds else 1).out
    assert words in said and "customer@example.com" in said and "25" in said
    answer = ctl.run("verify", "-", "--key", key + ".pub", "--json", stdin="> Hello\n" + text,
                     status=0 if holds else 1).json
    assert (answer["holds"], answer["ticket_id"], answer["users"]) == (holds, 4711, 25)


def test_verify_refuses(key, sign, folder):
    ctl, text = Ctl({}), sign(1)
    other = ctl.keygen(os.path.join(folder, "other"))
    forged = text.replace(text[60], "A" if text[60] != "A" else "B", 1)
    for args, stdin, words in ((("--key", other + ".pub"), text, "key"),
                               (("--key", key + ".pub"), forged, ""),
                               (("--key", key + ".pub"), "nothing here", "license")):
        said = ctl.run("verify", "-", *args, stdin=stdin, status=1)
        assert words in said.err and "does not hold" in said.err and said.out == ""
    assert not ctl.run("verify", "-", "--key", key + ".pub", "--json", stdin=forged,
                       status=1).json["holds"]
    assert "/nowhere" in ctl.run("verify", "/nowhere", "--key", key + ".pub", status=1).err
    assert "public" in ctl.run("verify", "-", "--key", key, stdin=text, status=2).err
    assert "STOPGAP_LICENSE_KEY_FILE" in ctl.run("verify", "-", stdin=text, status=2).err


def test_verify_with_the_key_of_the_settings(key, sign):
    ctl, text = Ctl({"STOPGAP_LICENSE_KEY_FILE": key}), sign(1)
    assert "customer@example.com" in ctl.run("verify", "-", stdin=text).out
    os.remove(key + ".pub")  # then the public half of the signing key
    assert "customer@example.com" in ctl.run("verify", "-", stdin=text).out


def test_keygen(folder):
    ctl, path = Ctl({}), os.path.join(folder, "key")
    key_id = ctl.json("keygen", path)["key_id"]
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(path + ".pub").st_mode & 0o777 == 0o644
    for args, env in ((["key-id", path], {}), (["key-id", path + ".pub"], {}),
                      (["key-id"], {"STOPGAP_LICENSE_KEY_FILE": path})):
        assert ctl.run(*args, env=env).out.strip() == key_id
    assert "not overwritten" in ctl.run("keygen", path, status=2).err
    for words, args in (("ed25519", ["--type", "dsa"]), ("no --bits", ["--bits", 2048]),
                        ("2048, 3072", ["--type", "rsa", "--bits", 1024]),
                        ("no number", ["--type", "rsa", "--bits", "big"])):
        assert words in ctl.run("keygen", path + "2", *args, status=2).err
        assert not os.path.exists(path + "2")
    os.chmod(path, 0o644)
    assert "chmod 600" in ctl.run("key-id", path, status=2).err


# ---- settings and connections ----

def test_config_shows_no_secret(ctl):
    secret = "glpat-0123456789abcdefghij"
    env = {"STOPGAP_GITLAB_TOKEN": secret, "STOPGAP_QUEUE": "other"}
    for args in (["config"], ["config", "--json"]):
        said = ctl.run(*args, env=env)
        assert secret not in said.out + said.err
        assert "STOPGAP_GITLAB_TOKEN" in said.out and "STOPGAP_SMTP_URL" in said.out
    settings = ctl.run("config", "--json", env=env).json
    assert settings["STOPGAP_QUEUE"]["value"] == "other"


def test_faults_of_the_settings_are_told_at_once(ctl):
    err = ctl.run("list", status=2, env={"STOPGAP_LEASE": "x", "STOPGAP_FOO": "1"}).err
    assert "STOPGAP_LEASE" in err and "STOPGAP_FOO" in err


def test_where_redis_is_not(redis):
    port = process.free_port()
    for url, words in ((f"redis://127.0.0.1:{port}", f"127.0.0.1:{port}"),
                       ("unix:///nowhere/s", "/nowhere/s"),
                       (f"redis://:wrong@127.0.0.1:{redis.port}", "AUTH"),
                       (f"redis://127.0.0.1:{redis.port}/999", "SELECT")):
        err = Ctl({"STOPGAP_REDIS_URL": url}).run("list", status=1).err
        assert words in err and "STOPGAP_REDIS_URL" in err


def test_a_full_redis_is_told(ctl, redis):
    redis.client.config_set("maxmemory", 1)
    assert "not queued" in ctl.run("submit", *GOOD, status=1).err
    redis.client.config_set("maxmemory", 0)


def test_a_closed_pipe_is_no_failure(ctl_env, put):
    for n in range(1, 20):
        put(n, "done")
    done = subprocess.run(
        ["sh", "-c", f"{process.program('stopgapctl')} list | true"],
        env={"PATH": os.environ["PATH"], **ctl_env}, stderr=subprocess.PIPE, timeout=30, check=True)
    assert done.stderr == b""
