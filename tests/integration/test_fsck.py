"""`stopgapctl fsck`: each inconsistency made by hand is found, named and mended; beside
live workers, and after all that people and workers do, there is nothing to find."""

import datetime
import threading

import pytest
from testenv.scripts import DAY, Scripts, ident

WID = "h:b:1:1:dead"


@pytest.fixture
def q(redis):
    scripts = Scripts(redis.path)
    scripts.redis.hset(scripts.key("stat"), mapping={"adopted": 50, "done": 50, "failed": 50})
    yield scripts
    scripts.redis.close()


def place(q, i):
    """Every list and sorted set that has it."""
    found = []
    for key in q.redis.scan_iter(q.key("*")):
        kind = q.redis.type(key)
        ids = (q.redis.lrange(key, 0, -1) if kind == "list" else
               q.redis.zrange(key, 0, -1) if kind == "zset" else [])
        if not key.startswith((q.key("log:"), q.key("follow"), q.key("ticket:"))):
            found += [key[len(q.key("")):]] * ids.count(i)
    return sorted(found)


# ---- damage: each returns the job's id, what is found, and where the job ends ----

def orphan(q):
    q.redis.lpush(q.key("pending"), ident("a"))
    return ident("a"), "orphan", []


def orphan_at_its_end(q):
    q.redis.zadd(q.key("failed"), {ident("a"): 1})
    q.redis.zadd(q.key("done"), {ident("a"): 1})
    return ident("a"), "orphan", []


def queued_nowhere(q):
    i = q.job("a", "queued")
    q.redis.delete(q.key("pending"))
    return i, "nowhere", ["pending"]


def queued_nowhere_after_two_losses(q):
    i = q.job("a", "queued", losses=2)
    q.redis.delete(q.key("pending"))
    return i, "nowhere", ["solo"]


def active_nowhere(q):
    i = q.active("a", WID)
    q.worker(WID)
    q.redis.delete(q.key("proc:" + WID))
    return i, "nowhere", ["pending"]


def done_nowhere(q):
    i = q.job("a", "done", ended_ms=q.now())
    q.redis.delete(q.key("done"))
    return i, "nowhere", ["done"]


def failed_nowhere(q):
    i = q.job("a", "failed", report_iid=1)
    q.redis.delete(q.key("failed"))
    return i, "nowhere", ["failed"]


def delayed_nowhere(q):
    i = q.job("a", "delayed", due_ms=q.now() + DAY)
    q.redis.delete(q.key("delayed"))
    return i, "nowhere", ["delayed"]


def queued_twice(q):
    i = q.job("a", "queued")
    q.redis.lpush(q.key("pending"), ident("b"), i)
    q.redis.lrem(q.key("pending"), 0, ident("b"))
    return i, "twice", ["pending"]


def queued_and_failed(q):
    i = q.job("a", "queued")
    q.redis.zadd(q.key("failed"), {i: 1})
    return i, "twice", ["pending"]


def active_and_queued(q):
    q.worker(WID)
    i = q.active("a", WID)
    q.redis.lpush(q.key("pending"), i)
    return i, "twice", ["proc:" + WID]


def done_and_in_hands(q):
    q.worker(WID)
    i = q.job("a", "done")
    q.redis.lpush(q.key("proc:" + WID), i)
    return i, "twice", ["done"]


def queued_among_done(q):
    i = q.job("a", "queued")
    q.redis.delete(q.key("pending"))
    q.redis.zadd(q.key("done"), {i: 1})
    return i, "astray", ["pending"]


def failed_among_pending(q):
    i = q.job("a", "failed", report_iid=1, ended_ms=q.now())
    q.redis.delete(q.key("failed"))
    q.redis.lpush(q.key("pending"), i)
    return i, "astray", ["failed"]


def active_in_other_hands(q):
    q.worker(WID)
    q.worker("other")
    i = q.active("a", WID)
    q.redis.rename(q.key("proc:" + WID), q.key("proc:other"))
    return i, "astray", ["pending"]


def no_state(q):
    i = q.job("a", "done")
    q.redis.hdel(q.key("job:" + i), "state", "attempt")
    return i, "unreadable", ["pending"]


def strange_state(q):
    i = q.job("a", "done")
    q.redis.hset(q.key("job:" + i), "state", "burnt")
    return i, "unreadable", ["pending"]


def no_record_to_speak_of(q):
    i = ident("a")
    q.redis.hset(q.key("job:" + i), "mail_serial", 1)
    return i, "unreadable", []


def owner_of_a_queued_one(q):
    return q.job("a", "queued", owner="me"), "owner", ["pending"]


def delayed_without_a_time(q):
    return q.job("a", "delayed", at=DAY), "due", ["delayed"]


def failed_in_silence(q):
    return q.job("a", "failed"), "unreported", ["failed"]


JOBS = [orphan, orphan_at_its_end, queued_nowhere, queued_nowhere_after_two_losses,
        active_nowhere, done_nowhere, failed_nowhere, delayed_nowhere, queued_twice,
        queued_and_failed, active_and_queued, done_and_in_hands, queued_among_done,
        failed_among_pending, active_in_other_hands, no_state, strange_state,
        no_record_to_speak_of, owner_of_a_queued_one, delayed_without_a_time,
        failed_in_silence]


@pytest.mark.parametrize("damage", JOBS, ids=lambda f: f.__name__)
def test_a_job(ctl, q, damage):
    i, kind, home = damage(q)
    before = q.dump()
    found = ctl.json("fsck", status=1)
    assert [(f["kind"], f["where"], f["mended"]) for f in found["findings"]] == \
        [(kind, i, False)]
    assert found["findings"][0]["what"] and found["findings"][0]["repair"]
    assert q.dump() == before  # nothing was written
    mended = ctl.json("fsck", "--repair")
    assert [(f["kind"], f["mended"]) for f in mended["findings"]] == [(kind, True)]
    assert place(q, i) == home
    assert ctl.json("fsck")["findings"] == []
    if home in (["pending"], ["solo"]):
        assert q.field(i, "state") == "queued" and not q.field(i, "owner")
    if kind == "unreported":
        assert q.redis.zscore(q.key("follow"), "report " + i)
    if kind == "due":
        assert int(q.field(i, "due_ms")) == q.redis.zscore(q.key("delayed"), i)


def test_what_an_old_owner_writes_counts_no_more(ctl, q):
    i, _, _ = active_nowhere(q)
    ctl.run("fsck", "--repair")
    assert q.run("save", i, WID, 1, 1, "", "", 0, 0, 0)[0] == 0
    assert q.field(i, "fence") == "2"


def test_jobs_of_a_worker_that_is_not_registered(ctl, q):
    ids = [q.active("j%d" % n, WID) for n in range(3)]
    (found,) = ctl.json("fsck", status=1)["findings"]
    assert found["kind"] == "worker" and found["where"] == "proc:" + WID
    ctl.run("fsck", "--repair")
    assert {place(q, i)[0] for i in ids} == {"pending"}
    assert {q.field(i, "losses") for i in ids} == {"1"}
    assert ctl.json("fsck")["findings"] == []


LEFT = {
    "log:": lambda q, name: q.redis.rpush(q.key(name), "1 words"),
    "view:": lambda q, name: q.redis.set(q.key(name), "{}", px=DAY),
}
MORTAL = ["view:t:1", "cap:day", "invalid", "winfo:w"]


@pytest.mark.parametrize("name", ["log:", "view:"])
def test_leftovers(ctl, q, name):
    LEFT[name](q, name + ident("a"))
    check_gone(ctl, q, name + ident("a"))


@pytest.mark.parametrize("name", ["same:x", "idem:x"])
def test_pointers_at_nothing(ctl, q, name):
    q.redis.set(q.key(name), ident("a"), px=DAY)
    check_gone(ctl, q, name)


def check_gone(ctl, q, name):
    (found,) = ctl.json("fsck", status=1)["findings"]
    assert (found["kind"], found["where"]) == ("leftover", name)
    ctl.run("fsck", "--repair")
    assert not q.redis.exists(q.key(name))
    assert ctl.json("fsck")["findings"] == []


def test_members_of_jobs_that_are_gone(ctl, q):
    i = q.job("a", "done")
    q.redis.zadd(q.key("ticket:1"), {i: 1, ident("b"): 2})
    q.redis.pexpire(q.key("ticket:1"), DAY)
    q.redis.zadd(q.key("follow"), {"report " + ident("b"): 1, "shared " + ident("b"): 1,
                                   "late " + i: 1})
    found = ctl.json("fsck", status=1)["findings"]
    assert sorted(f["where"] for f in found) == ["follow", "follow", "ticket:1"]
    ctl.run("fsck", "--repair")
    assert q.redis.zrange(q.key("ticket:1"), 0, -1) == [i]
    assert q.redis.zrange(q.key("follow"), 0, -1) == ["late " + i]
    assert ctl.json("fsck")["findings"] == []


def test_messages_of_jobs_that_are_gone(ctl, q):
    there, gone = q.job("a", "done"), ident("b")
    q.redis.zadd(q.key("tell:slack"), {there: 1, gone: 2})
    q.redis.zadd(q.key("tell:zendesk"), {gone: 3})
    found = ctl.json("fsck", status=1)["findings"]
    assert [(f["kind"], f["where"], f["detail"]) for f in found] == [
        ("leftover", "tell", "slack " + gone), ("leftover", "tell", "zendesk " + gone)]
    assert ctl.json("fsck", "--repair")["mended"] == 2
    assert q.redis.zrange(q.key("tell:slack"), 0, -1) == [there]
    assert not q.redis.exists(q.key("tell:zendesk"))
    assert ctl.json("fsck")["findings"] == []


def test_a_record_that_goes_takes_its_messages_along(ctl, q):
    i, _, _ = no_record_to_speak_of(q)
    q.redis.zadd(q.key("tell:slack"), {i: 1})
    q.redis.zadd(q.key("tell:zendesk"), {i: 1})
    ctl.run("fsck", "--repair")
    assert ctl.json("fsck")["findings"] == []
    assert not q.redis.exists(q.key("tell:slack"), q.key("tell:zendesk"))


def test_messages_of_no_channel(ctl, q):
    q.redis.zadd(q.key("tell:pigeon"), {ident("a"): 1})
    (found,) = ctl.json("fsck", "--repair", status=1)["findings"]
    assert found["kind"] == "stranger"


def test_a_view_before_its_job(ctl, q):
    """The receiver writes it behind the entry that no worker has taken yet."""
    q.redis.lpush(q.key("inbox"), ident("a") + " {}")
    q.redis.set(q.key("view:" + ident("a")), "{}", px=DAY)
    assert ctl.json("fsck")["findings"] == []


@pytest.mark.parametrize("name", MORTAL)
def test_a_key_without_its_time(ctl, q, name):
    q.redis.set(q.key(name), "x")
    (found,) = ctl.json("fsck", status=1)["findings"]
    assert (found["kind"], found["where"]) == ("immortal", name)
    ctl.run("fsck", "--repair")
    assert 0 < q.redis.pttl(q.key(name)) <= 30 * DAY
    assert ctl.json("fsck")["findings"] == []


def test_a_key_that_nobody_knows_is_left(ctl, q):
    q.redis.set(q.key("mine\x1b"), "x")
    q.redis.set("stopgap:{other}:mine", "x")
    said = ctl.run("fsck", "--repair", status=1)
    assert "stranger" in said.out and "a person has to" in said.out and "\x1b" not in said.out
    assert q.redis.exists(q.key("mine\x1b"))
    assert ctl.json("fsck", status=1)["mended"] == 0


@pytest.mark.parametrize("name,value,least", [
    ("adopted", "0", "2"), ("done", "nonsense", "1"), ("failed", None, "1")])
def test_counters(ctl, q, name, value, least):
    q.job("a", "done")
    q.job("b", "failed", report_iid=1)
    q.redis.hdel(q.key("stat"), name)
    if value:
        q.redis.hset(q.key("stat"), name, value)
    (found,) = ctl.json("fsck", status=1)["findings"]
    assert found["kind"] == "counter" and name in found["detail"]
    ctl.run("fsck", "--repair")
    assert q.redis.hget(q.key("stat"), name) == least


def test_a_newer_record_is_left_alone(ctl, q):
    q.job("a", "queued", v=3, owner="x")
    q.redis.delete(q.key("pending"))
    before = q.dump()
    found = ctl.json("fsck", "--repair")
    assert found["findings"] == [] and found["newer"] == 1
    assert q.dump() == before


def test_no_report_for_a_ticket_that_was_solved(ctl, q):
    """Its report was called off when another job of the ticket was mailed."""
    failed = q.job("a", "failed", ticket=1)
    done = q.job("b", "done", ticket=1, s_email="1 0 x")
    q.redis.zadd(q.key("ticket:1"), {failed: 1, done: 2})
    q.redis.pexpire(q.key("ticket:1"), DAY)
    assert ctl.json("fsck")["findings"] == []


def test_words(ctl, q):
    assert ctl.run("fsck").out == "0 jobs: nothing is wrong\n"
    failed_in_silence(q)
    assert "--repair` mends" in ctl.run("fsck", status=1).out
    assert "1 found, 1 mended" in ctl.run("fsck", "--repair").out
    ctl.run("fsck", "now", status=2)
    ctl.run("fsck", "--mend", status=2)


def test_beside_live_workers(ctl, start_worker, queue, smtp):
    """What is under way is no inconsistency, however often one looks; nothing that a
    repair does then gets in a job's way."""
    for _ in range(2):
        start_worker(STOPGAP_MAX_PER_DAY="0")
    stop, pushed = threading.Event(), []

    def push():
        while not stop.is_set() and len(pushed) < 400:
            n = len(pushed) + 1
            pushed.append(queue.push(ticket_id=n, email="c%d@example.com" % n,
                                     requested_by="a%d" % n))

    pushing = threading.Thread(target=push)
    pushing.start()
    try:
        for _ in range(15):
            assert ctl.json("fsck", "--repair")["findings"] == []
    finally:
        stop.set()
        pushing.join()
    queue.settled(len(pushed))
    assert ctl.json("fsck")["findings"] == []


# ---- the tracker; after a restore: test_restore.py ----

P = "stopgap:{licenses}:"


@pytest.fixture
def tracking(ctl, env):
    ctl.env.update({k: env[k] for k in (
        "STOPGAP_GITLAB_URL", "STOPGAP_GITLAB_PROJECT", "STOPGAP_GITLAB_TOKEN")})
    return ctl


def test_the_tracker_repairs_a_paused_queue_only(tracking, q, gitlab):
    ctl = tracking
    i = q.job("a", "queued", ticket=1)
    with gitlab.state.lock:
        gitlab.state.create_issue(gitlab.project(), gitlab.token(), {
            "title": "[Success] - Created a license under c@example.com for 5 users",
            "description": "Ticket: 1\n\nJob: " + i, "confidential": True})
        # Recorded before it was accepted: it came once more after the restore.
        gitlab.project().issues[0]["created_at"] -= datetime.timedelta(days=6)
    before = q.dump()
    assert "not paused" in ctl.run("fsck", "--tracker", "--repair", status=1).err
    assert [f["mended"] for f in ctl.json("fsck", "--tracker", status=1)["findings"]] == [False]
    ctl.run("pause")
    q.redis.lpush(q.key("inbox"), "{}")
    assert "in the inbox" in ctl.run("fsck", "--tracker", "--repair", status=1).err
    q.redis.delete(q.key("inbox"), q.key("paused"), q.key("audit"))
    assert q.dump() == before
    ctl.run("pause")
    q.worker(WID)
    q.active("b", WID)
    said = ctl.run("fsck", "--tracker", "--repair", status=1)
    assert "1 jobs are in the hands of worker " + WID in said.err
    assert q.field(i, "state") == "queued"


def test_a_record_without_a_job(tracking, q, gitlab):
    """Unless its request waits in the inbox, or its job would be gone by now."""
    waiting, old, lost = ident("a"), ident("b"), ident("c")
    with gitlab.state.lock:
        for i in (waiting, old, lost):
            gitlab.state.create_issue(gitlab.project(), gitlab.token(), {
                "title": "[Success] - Created a license under c@example.com for 5 users",
                "description": "Ticket: 1\n\nJob: " + i, "confidential": True})
        gitlab.project().issues[1]["created_at"] -= datetime.timedelta(days=3)
    q.redis.lpush(q.key("inbox"), waiting + " {}")
    tracking.env["STOPGAP_RETENTION"] = "2d"
    (found,) = tracking.json("fsck", "--tracker", status=1)["findings"]
    assert (found["kind"], found["where"], "repair" in found) == ("unknown", lost, False)
    assert found["detail"] == gitlab.issue(text="Job: " + lost)["web_url"]
    q.job("c", "done")
    assert tracking.json("fsck", "--tracker")["findings"] == []


def test_a_record_of_another_clock(tracking, q, gitlab):
    """Redis's clock was a day ahead of GitLab's when the job was accepted."""
    accepted = q.now() - 8 * DAY
    i = q.job("a", "queued", ticket=1, accepted_ms=accepted)
    with gitlab.state.lock:
        gitlab.state.create_issue(gitlab.project(), gitlab.token(), {
            "title": "[Success] - Created a license under c@example.com for 5 users",
            "description": "Ticket: 1\n\nJob: " + i, "confidential": True})
        gitlab.project().issues[0]["created_at"] -= datetime.timedelta(days=9)
    tracking.run("pause")
    tracking.run("fsck", "--tracker", "--repair")
    assert q.field(i, "state") == "done"


@pytest.mark.parametrize("fault", ["unauthorized_401", "not_found_404", "malformed", "lost_before"])
def test_a_tracker_that_cannot_be_read(tracking, q, gitlab, fault):
    q.job("a", "queued")
    gitlab.fail_next(fault, times=3, method="GET", path="/issues")
    if fault == "malformed":
        gitlab.fail_next("answer", times=3, method="GET", path="/issues", status=200, body="[{")
    tracking.run("pause")
    said = tracking.run("fsck", "--tracker", "--repair", status=1)
    assert "cannot read the tracker" in said.err


def test_the_trackers_settings(ctl, q):
    assert "STOPGAP_GITLAB_PROJECT" in ctl.run("fsck", "--tracker", status=2).err
    ctl.run("fsck")
