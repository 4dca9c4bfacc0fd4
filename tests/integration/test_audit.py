"""Each thing that an operator does leaves a line in the audit, written with it; what was
only looked at, tried or refused leaves none."""

import getpass
import json
import socket

import pytest
from testenv.queue import PREFIX as P

GOOD = {"ticket_id": 4711, "email": "customer@example.com", "users": 25,
        "requested_by": "agent"}
SUBMIT = ("submit", "--ticket", 4711, "--email", "customer@example.com", "--users", 25)
ME = f"{getpass.getuser()}@{socket.gethostname()}"


def job_id(n):
    return f"{n:026d}"


@pytest.fixture
def put(redis):
    def put(n, state, **fields):
        redis.client.hset(P + "job:" + job_id(n), mapping={
            "v": 1, "state": state, "raw": json.dumps(GOOD), "attempt": 1, "fence": 1,
            "accepted_ms": 1, **fields})
        redis.client.zadd(P + state, {job_id(n): 2})
        return job_id(n)
    return put


def rows(ctl, *args):
    """(what, job, more) of each line, the oldest first."""
    return [(r["what"], r.get("job_id", ""), r.get("more", ""))
            for r in reversed(ctl.json("audit", *args))]


FAILED = {"err_class": "permanent", "err_step": "email", "err_text": "no", "err_code": 1}


def test_each_action_has_its_line(ctl, put):
    failed = [put(n, "failed", **FAILED) for n in range(1, 5)]
    done = put(9, "done", lic="L", exp_ms=9**15)
    put(10, "failed", **{**FAILED, "err_class": "ambiguous"})
    submitted = ctl.run(*SUBMIT).out.strip()
    ctl.run("pause", "mail server moves")
    ctl.run("resume")
    ctl.run("requeue", failed[0], "--redo", "sign", "--lift-limit")
    ctl.run("requeue", job_id(10), "--mail-arrived")
    ctl.run("resend", done)
    ctl.run("discard", failed[1], failed[2])
    ctl.run("requeue", "--all", "--yes")
    assert rows(ctl) == [
        ("submit", submitted, ""), ("pause", "", "mail server moves"), ("resume", "", ""),
        ("requeue", failed[0], "redo sign, limit lifted"),
        ("requeue", job_id(10), "mail arrived"), ("resend", done, ""),
        ("discard", failed[1], ""), ("discard", failed[2], ""), ("requeue", failed[3], "")]


def test_what_fsck_mends(ctl, put, redis):
    i = put(1, "done", owner="w1")
    redis.client.set(P + "idem:x", job_id(7), px=99999)
    assert rows(ctl) == []
    ctl.run("fsck", status=1)
    assert rows(ctl) == []
    ctl.run("fsck", "--repair")
    assert ("fsck", i, "owner") in rows(ctl)
    assert ("fsck", "", "leftover pointer idem:x") in rows(ctl)


def test_what_changed_nothing_leaves_none(ctl, put, redis):
    put(1, "failed", **FAILED)
    done = put(2, "done")
    for words, status in ((["requeue", "--all"], 0), (["requeue", done], 1), (["resend", done], 1),
                          (["discard", done], 1), (["resume"], 0), (["list"], 0),
                          (["show", done], 0), (["fsck"], None), (["audit"], 0),
                          (["submit", "--ticket", 1, "--email", "no", "--users", 1], 2)):
        ctl.run(*words, status=status)
    assert not redis.client.exists(P + "audit")


def test_a_client_that_asks_for_a_resend_is_no_operator(queue, worker, redis):
    queue.push()
    queue.settled(1)
    first, _ = queue.only()
    queue.push(raw=json.dumps({"resend": first, "requested_by": "agent"}))
    queue.settled(2)
    assert queue.job(first)["resends"] == "1" and not redis.client.exists(P + "audit")


@pytest.mark.parametrize("env,who,more", [
    ({}, getpass.getuser(), ""),
    ({"USER": "nina"}, "nina", ""),
    ({"USER": "root", "SUDO_USER": "nina"}, "nina", ""),
    ({"USER": "n i", "SUDO_USER": "\x1b[2J"}, getpass.getuser(), ""),
    ({"USER": "n\tx", "SSH_CONNECTION": "203.0.113.7 50022 198.51.100.1 22"},
     getpass.getuser(), " ssh 203.0.113.7"),
    ({"SSH_CONNECTION": "fe80::1%eth0 1 2 3"}, getpass.getuser(), " ssh fe80::1%eth0"),
    ({"SSH_CONNECTION": "\x1b[2J 1 2 3"}, getpass.getuser(), ""),
    ({"SSH_CONNECTION": "x" * 65 + " 1 2 3"}, getpass.getuser(), ""),
])
def test_who_and_from_where(ctl, env, who, more):
    ctl.run("pause", env=env)
    (row,) = ctl.json("audit")
    assert row["who"] == who
    assert row["from"].startswith(ME) and row["from"].endswith(more)
    assert ("ssh" in row["from"]) == bool(more)


def test_filters(ctl, put):
    a, b = put(1, "failed", **FAILED), put(2, "failed", **FAILED)
    ctl.run("discard", a, b, env={"USER": "nina"})
    ctl.run("pause", env={"USER": "sam"})
    assert rows(ctl, "--job", a) == [("discard", a, "")]
    assert rows(ctl, "--who", "sam") == [("pause", "", "")]
    assert rows(ctl, "--limit", 2) == [("discard", b, ""), ("pause", "", "")]
    assert len(rows(ctl, "--since", "1h")) == 3 and rows(ctl, "--since", "0s") == []
    for words in (["--job", "x"], ["--limit", 0], ["--since", "soon"], ["more"]):
        assert ctl.run("audit", *words, status=2).err
    assert ctl.run("audit", "--who", "nobody").out == "nothing was done\n"


def test_the_table(ctl):
    ctl.run("pause", "why\tnot \x1b[2J \u202e", env={"USER": "nina"})
    head, row = ctl.run("audit").out.splitlines()
    assert head.split() == ["WHEN", "WHO", "FROM", "WHAT", "JOB", "MORE"]
    assert "nina" in row and "pause" in row and "why\\tnot \\x1b[2J \\u{202e}" in row
    assert "\x1b" not in row and "\u202e" not in row


def test_lines_that_do_not_read(ctl, redis):
    redis.client.rpush(P + "audit", "rubbish", "1", "x\ty\tz\ta\tb\tc", b"5\tw\xff\tf\td\t-\tm")
    said = ctl.run("audit", "--json")
    assert [r["who"] for r in said.json] == ["w\\xff"] and "3 lines" in said.err


def test_is_there_or_nothing_is(ctl, redis):
    """A full Redis takes neither the action nor its line."""
    redis.client.config_set("maxmemory", 1)
    try:
        assert "not queued" in ctl.run(*SUBMIT, status=1).err
        ctl.run("pause", status=1)
    finally:
        redis.client.config_set("maxmemory", 0)
    assert not redis.client.exists(P + "audit", P + "inbox", P + "paused")


def test_a_submitted_job_is_one_like_others(ctl, queue, worker, redis):
    """What is submitted is on the public list as ever: a worker takes it."""
    job = ctl.run(*SUBMIT, "--wait").out.split()[0]
    assert queue.job(job)["state"] == "done"
    assert rows(ctl, "--job", job) == [("submit", job, "")]
    assert 0 < redis.client.pttl(P + "audit") <= 30 * 86400000
