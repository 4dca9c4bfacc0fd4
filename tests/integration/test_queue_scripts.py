"""What workers do to the queue, each move on an exact state: everything that a script
changes is compared, so nothing else has changed."""

import pytest
from testenv.redis import Redis
from testenv.scripts import DAY, RETENTION, Scripts, ident, write

LATE = 300000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Redis(str(tmp_path_factory.mktemp("q")), fsync="no")
    yield server
    server.stop()


@pytest.fixture
def q(server):
    scripts = Scripts(server.path)
    scripts.redis.flushall()
    yield scripts
    scripts.redis.config_set("maxmemory", 0)
    scripts.redis.close()


def take(q, wid="w1", want=10, reap=0, version=1, idle=0, seed="seed"):
    return q.changes("take", wid, want, reap, LATE, version, idle, seed, 200)


def beat(q, wid="w1", seed="seed", server=""):
    return q.changes("beat", wid, 10000, LATE, RETENTION, seed, 200, server, "host", "h")


def save(q, i, *sets, wid="w1", fence=1, checkpoint=1, late="", guard="", caps=()):
    flat = [x for cap in caps for x in cap]
    return q.changes("save", i, wid, fence, checkpoint, late, guard, len(caps), *flat,
                     *write(*sets))


def finish(q, i, verb, delay=0, event="", sets=None, dels=(), wid="w1", fence=1):
    return q.changes("finish", i, wid, fence, verb, delay, event, *write(sets, dels))


# ---- a clock that was set back ----

def clock_was(q, ahead_ms):
    """At the last beat."""
    q.redis.hset(q.key("cfg"), mapping={"retention_ms": RETENTION,
                                        "clock_ms": q.now() + ahead_ms})


def test_clock_set_back(q):
    """What was put off by the clock of before waits no longer for it."""
    soon = q.job("soon", "delayed", at=DAY + 100000, due_ms=q.now() + DAY + 100000)
    over = q.job("over", "delayed", at=DAY - 100000, due_ms=q.now() + DAY - 100000)
    past = q.job("past", "delayed", at=-100000, due_ms=q.now() - 100000)
    q.worker("dead", lease=DAY + 10000)
    q.redis.zadd(q.key("follow"), {
        "late " + soon: q.now() + DAY + 50000, "report " + over: q.now() + DAY + 30000,
        "late " + over: q.now() + LATE - 20000})  # adopted since
    q.redis.zadd(q.key("tell:slack"), {soon: q.now() + DAY + 50000})
    q.redis.hset(q.key("lane:smtp"), mapping={"until_ms": q.now() + DAY + 30000})
    q.redis.pexpire(q.key("lane:smtp"), DAY)
    clock_was(q, DAY)
    _, changed = beat(q)
    assert changed == {
        "delayed": {soon: "NOW+100", over: "NOW"},
        "job:" + soon: {"due_ms": "NOW+100"}, "job:" + over: {"due_ms": "NOW"},
        "workers": {"dead": "NOW+10", "w1": "NOW+10"}, "follow": {"late " + soon: "NOW+50", "report " + over: "NOW+30"},
        "tell:slack": {soon: "NOW+50"}, "lane:smtp": {"until_ms": "NOW+30"},
        "cfg": {"clock_ms": "NOW"}, "stat": {"clock_set_back": "1"},
        "winfo:w1": {"beat_ms": "NOW", "host": "h"}}
    assert q.field(past, "due_ms")
    assert beat(q)[1] == {}  # once


@pytest.mark.parametrize("ahead_ms", [-DAY, -2000, 0, 500])
def test_clock_that_goes(q, ahead_ms):
    i = q.job("a", "delayed", at=100000, due_ms=q.now() + 100000)
    clock_was(q, ahead_ms)
    _, changed = beat(q)
    assert "delayed" not in changed and "job:" + i not in changed and "stat" not in changed


# ---- adopt ----

def adopted(q, entry):
    """The id of the one job that the entry became, and what changed."""
    q.redis.lpush(q.key("inbox"), entry)
    answer, changed = beat(q)
    assert "inbox" not in q.dump()
    return answer, changed


@pytest.mark.parametrize("raw", [
    '{"ticket_id":1}', "", " ", "no json", "x" * 27, "A" * 26 + " {}", "a" * 25 + " {}",
    "a" * 27 + " {}", b"\x00\xff\xfe\r\n\x00", "{" + "x" * 300000,
], ids=range(10))
def test_adopt_bare(q, raw):
    answer, changed = adopted(q, raw)
    [i] = changed["pending"]
    assert len(i) == 26 and i.isalnum() and i == i.lower()
    if isinstance(raw, bytes):
        raw = raw.decode("utf-8", "surrogateescape")
    assert changed == {
        "inbox": None,
        "pending": [i],
        "job:" + i: {"v": "1", "state": "queued", "raw": raw, "accepted_ms": "NOW",
                     "attempt": "0", "fence": "0"},
        "follow": {"late " + i: "NOW+300"},
        "stat": {"adopted": "1"},
        "workers": {"w1": "NOW+10"},
        "winfo:w1": {"beat_ms": "NOW", "host": "h"},
        "cfg": {"retention_ms": str(RETENTION), "clock_ms": "NOW"},
    }
    assert answer[0] == 0 and answer[2:5] == [0, 1, -1]
    assert abs(answer[5] - q.now() - LATE) < 5000


@pytest.mark.parametrize("raw", ["{}", "", b"\x00 \xff", "ab c"], ids=range(4))
def test_adopt_with_id(q, raw):
    i = ident("given")
    entry = raw if isinstance(raw, bytes) else raw.encode()
    _, changed = adopted(q, i.encode() + b" " + entry)
    assert changed["pending"] == [i]
    assert changed["job:" + i]["raw"] == entry.decode("utf-8", "surrogateescape")
    assert "clash" not in changed["job:" + i]


@pytest.mark.parametrize("state", ["queued", "active", "delayed", "failed", "done"])
def test_adopt_replay(q, state):
    i = q.job("given", state, raw="{}", **({"owner": "w2"} if state == "active" else {}))
    q.worker("w1")
    q.run("beat", "w1", 10000, LATE, RETENTION, "s", 200, "", "host", "h")
    _, changed = adopted(q, i + " {}")
    assert changed == {"inbox": None, "stat": {"replayed": "1"},
                       "log:" + i: ["replay: the same request came again"]} or state == "queued"
    assert changed["stat"] == {"replayed": "1"}
    assert "pending" not in changed and "job:" + i not in changed


def test_adopt_clash(q):
    i = q.job("given", "done", raw="{}")
    _, changed = adopted(q, i + ' {"other":1}')
    [fresh] = changed["pending"]
    assert fresh != i
    assert changed["job:" + fresh]["clash"] == i
    assert changed["job:" + fresh]["raw"] == '{"other":1}'
    assert "job:" + i not in changed and "log:" + i not in changed


def test_adopt_order_and_most(q):
    entries = ["{%d}" % n for n in range(7)]
    q.redis.lpush(q.key("inbox"), *entries)
    q.run("beat", "w1", 10000, LATE, RETENTION, "s", 5, "")
    assert q.redis.llen(q.key("inbox")) == 2
    raws = [q.field(i, "raw") for i in reversed(q.redis.lrange(q.key("pending"), 0, -1))]
    assert raws == entries[:5]
    q.run("beat", "w1", 10000, LATE, RETENTION, "other seed", 5, "")
    assert q.redis.llen(q.key("pending")) == 7


# ---- beat ----

def test_beat_known(q):
    assert beat(q)[0][0] == 0
    assert beat(q)[0][0] == 1
    q.worker("w1", -10000)
    answer, changed = beat(q)
    assert answer[0] == 2 and changed["workers"] == {"w1": "NOW+10"}


def test_beat_tells(q):
    q.redis.set(q.key("paused"), "1 me")
    q.job("a", "queued")
    q.job("b", "queued", "solo", losses=2)
    q.job("c", "delayed", at=20000)
    q.worker("w2", 10000)
    answer = beat(q)[0]
    assert answer[2:4] == [1, 2]
    assert answer[4] == int(q.redis.zscore(q.key("workers"), "w2"))
    q.active("d"), q.active("e"), q.active("f", "w2")
    assert beat(q)[0][6] == 2


def test_beat_notes_a_failover(q):
    """Which server it is comes from Sentinel; the first one that is named is none."""
    assert beat(q)[0][8] == 0
    answer, changed = beat(q, server="a:1")
    assert answer[8] == 0 and changed["cfg"] == {"server": "a:1"}
    answer, changed = beat(q, server="a:1")
    assert answer[8] == 0 and "cfg" not in changed
    answer, changed = beat(q, server="b:1")
    assert changed["cfg"] == {"server": "b:1", "moved_ms": "NOW"}
    assert abs(answer[8] - q.now()) < 5000
    again, changed = beat(q, server="b:1")
    assert again[8] == answer[8] and "cfg" not in changed
    assert beat(q)[0][8] == answer[8]  # a worker without Sentinel does not know better


def moves(q, wid, server):
    """Does that beat note a failover?"""
    q.redis.hset(q.key("cfg"), "moved_ms", 5)
    return beat(q, wid=wid, server=server)[0][8] != 5


def test_two_names_of_one_server_are_no_failover(q):
    """Sentinels may be told of it in two ways; a worker keeps to its own."""
    beat(q, wid="w1", server="a:1")
    assert moves(q, "w2", "127.0.0.1:1")  # it is new: nobody can know
    assert not any(moves(q, *said) for said in (("w1", "a:1"), ("w2", "127.0.0.1:1")) * 2)


def test_who_moves_later_is_noted_too(q):
    """Until then it was perhaps told by the old primary what it may do."""
    for wid in ("w1", "w2"):
        beat(q, wid=wid, server="a:1")
    assert moves(q, "w1", "b:1") and moves(q, "w2", "b:1")
    assert not moves(q, "w1", "b:1") and not moves(q, "w3", "b:1")


# ---- take ----

def test_claim(q):
    q.worker("w1")
    first = q.job("a", "queued", attempt=3, fence=7)
    q.job("b", "queued")
    answer, changed = take(q, want=1)
    assert changed == {
        "pending": [ident("b")],
        "proc:w1": [first],
        "job:" + first: {"state": "active", "owner": "w1", "attempt": "4", "fence": "8",
                         "started_ms": "NOW"},
    }
    assert answer[0] == "OK" and answer[2:4] == [-1, 0]
    assert answer[4][:2] == [first, 0]
    record = dict(zip(answer[4][2][::2], answer[4][2][1::2]))
    assert record["owner"] == "w1" and record["raw"] == "{}"


def test_claim_oldest_first_as_far_as_there_is_room(q):
    q.worker("w1")
    ids = [q.job("j%d" % n, "queued") for n in range(5)]
    assert [job[0] for job in take(q, want=3)[0][4:]] == ids[:3]
    assert [job[0] for job in take(q, want=9)[0][4:]] == ids[3:]
    assert take(q)[1] == {}


def test_no_room_no_claim(q):
    q.worker("w1")
    q.job("a", "queued")
    q.job("b", "queued", "solo", losses=2)
    assert take(q, want=0)[1] == {}
    assert take(q, want=0, idle=1)[1] == {}


@pytest.mark.parametrize("lease", [None, -20])
def test_expired_lease_is_refused(q, lease):
    if lease is not None:
        q.worker("w1", lease * 1000)
    q.job("a", "queued")
    q.worker("dead", -10000)
    q.redis.lpush(q.key("inbox"), "{}")
    answer, changed = take(q, reap=1)
    assert answer[0] == "EXPIRED" and changed == {}


def test_paused(q):
    q.worker("w1")
    q.redis.set(q.key("paused"), "x")
    q.job("a", "queued")
    due = q.job("b", "delayed", at=-10000, due_ms=1)
    q.redis.lpush(q.key("inbox"), "{}")
    answer, changed = take(q)
    assert answer[0] == "PAUSED" and len(answer) == 4
    assert changed["pending"][1:] == [due, ident("a")]  # promoted and adopted, not claimed
    assert not any(key.startswith("proc:") for key in changed)


def test_promote(q):
    q.worker("w1")
    q.redis.set(q.key("paused"), "x")
    old = q.job("old", "delayed", at=-20000, due_ms=1)
    new = q.job("new", "delayed", at=-10000, due_ms=1)
    q.job("later", "delayed", at=20000, due_ms=1)
    answer, changed = take(q)
    gone = {"state": "queued", "due_ms": None}
    assert changed == {"pending": [new, old], "delayed": {old: None, new: None},
                       "job:" + old: gone, "job:" + new: gone}
    assert abs(answer[2] - q.now() - 20000) < 5000


def test_newer_version(q):
    q.worker("w1")
    i = q.job("a", "queued", v=2)
    answer, changed = take(q)
    assert len(answer) == 4
    assert changed == {"pending": None, "delayed": {i: "NOW+30"}, "stat": {"newer": "1"},
                       "job:" + i: {"state": "delayed", "due_ms": "NOW+30"}}
    assert abs(answer[2] - q.now() - 30000) < 5000
    assert take(q, version=2)[1] == {}


def test_id_without_a_record(q):
    q.worker("w1")
    q.redis.lpush(q.key("pending"), ident("ghost"))
    assert take(q)[1] == {"pending": None, "stat": {"orphaned": "1"}}


# ---- reap ----

def lost(q, losses):
    q.worker("w1")
    q.worker("dead", -10000)
    q.redis.hset(q.key("winfo:dead"), "pid", 1)
    q.redis.expire(q.key("winfo:dead"), 100)
    q.redis.set(q.key("paused"), "x")  # so that nothing is claimed in the same run
    q.job("other", "queued")
    more = {"losses": losses} if losses else {}
    return q.active("a", "dead", fence=4, ticket=7, **more)


GONE = {"proc:dead": None, "workers": {"dead": None}, "winfo:dead": None}


@pytest.mark.parametrize("script", ["take", "reap_worker"])
@pytest.mark.parametrize("losses", [0, 1])
def test_reap(q, script, losses):
    i = lost(q, losses)
    _, changed = take(q, reap=1) if script == "take" else q.changes("reap_worker", "dead")
    assert changed == {
        **GONE,
        **({"pending": [ident("other"), i]} if losses == 0 else {"solo": [i]}),
        "job:" + i: {"state": "queued", "owner": None, "fence": "5", "losses": str(losses + 1)},
        "log:" + i: ["lost its worker dead"],
        "stat": {"reclaimed": "1"},
    }


def test_third_loss_is_poison(q):
    i = lost(q, 2)
    q.redis.zadd(q.key("follow"), {"late " + i: q.now() + 10000})
    _, changed = take(q, reap=1)
    words = "three workers died while they ran this job"
    assert changed == {
        **GONE,
        "failed": {i: "NOW"},
        "follow": {"late " + i: None, "report " + i: "NOW"},
        "job:" + i: {"state": "failed", "owner": None, "fence": "5", "losses": "3",
                     "ended_ms": "NOW", "err_class": "poison", "err_code": "0",
                     "err_text": words},
        "log:" + i: ["lost its worker dead", "failed poison: " + words],
        "stat": {"reclaimed": "1", "failed": "1"},
        "ticket:7": {i: "NOW"},
        "view:" + i: "failed",
        "view:t:7": "failed",
    }


def test_reap_keeps_the_order(q):
    q.worker("w1")
    q.worker("dead", -10000)
    oldest, middle, youngest = [q.active(name, "dead") for name in "abc"]
    q.changes("reap_worker", "dead")
    assert [job[0] for job in take(q, want=3)[0][4:]] == [oldest, middle, youngest]


def test_disown(q):
    mine, lost_one, alone = q.active("a"), q.active("b"), q.active("c", losses=2)
    q.job("other", "queued")
    answer, changed = q.changes("disown", "w1", mine)
    back = {"state": "queued", "owner": None, "fence": "2", "attempt": "0"}
    words = ["given back: the answer to its claim was lost"]
    assert answer == [2] and changed == {
        "proc:w1": [mine],
        "pending": [ident("other"), lost_one], "job:" + lost_one: back, "log:" + lost_one: words,
        "solo": [alone], "job:" + alone: back, "log:" + alone: words,
        "view:" + lost_one: "queued", "view:" + alone: "queued"}
    assert q.changes("disown", "w1", mine) == ([0], {})


def test_reap_leaves_the_living(q):
    q.worker("w1")
    q.worker("w2", 10000)
    q.active("a", "w2")
    assert take(q, reap=1)[1] == {}
    q.worker("w2", -10000)
    assert take(q, reap=0)[1] == {}


def test_reap_skips_what_somebody_else_has(q):
    i = lost(q, 0)
    q.redis.hset(q.key("job:" + i), "owner", "w9")
    q.redis.lpush(q.key("proc:w9"), i)
    assert take(q, reap=1)[1] == GONE


def test_who_does_not_reap_yet_is_not_woken_for_it(q):
    q.worker("w1")
    q.worker("dead", -10000)
    assert take(q, reap=0)[0][2] == -1
    assert beat(q)[0][4] > 0
    q.worker("w2", 20000)
    assert take(q, reap=0)[0][2] == int(q.redis.zscore(q.key("workers"), "w2"))


def test_solo_only_for_an_idle_worker(q):
    q.worker("w1")
    alone = q.job("alone", "queued", "solo", losses=2)
    others = [q.job("o%d" % n, "queued") for n in range(2)]
    answer, changed = take(q, want=5, idle=0)
    assert answer[3] == 1 and [job[0] for job in answer[4:]] == others
    assert "solo" not in changed
    answer, changed = take(q, want=5, idle=1)
    assert [job[:2] for job in answer[4:]] == [[alone, 1]]
    assert changed["solo"] is None and changed["proc:w1"] == [alone, *reversed(others)]


def test_solo_comes_alone(q):
    q.worker("w1")
    q.job("alone", "queued", "solo", losses=2)
    q.job("a", "queued")
    assert len(take(q, want=5, idle=1)[0]) == 5


def test_solo_stays_solo_when_put_off_for_a_newer_worker(q):
    q.worker("w1")
    i = q.job("alone", "queued", "solo", losses=2, v=2)
    assert take(q, idle=1)[1]["delayed"] == {i: "NOW+30"}
    q.redis.zadd(q.key("delayed"), {i: 1})
    take(q)
    assert q.redis.lrange(q.key("solo"), 0, -1) == [i]


@pytest.mark.parametrize("verb", ["done", "fail", "retry", "snooze", "release"])
def test_an_end_in_order_is_no_loss(q, verb):
    i = q.active("a", losses=2)
    assert finish(q, i, verb)[1]["job:" + i]["losses"] is None
    assert "solo" not in q.dump()


# ---- save ----

def test_save(q):
    i = q.active("a", losses=2, ticket=7, old="1", s_validate="1 0 ")
    q.redis.zadd(q.key("follow"), {"late " + i: q.now() + 10000})
    answer, changed = save(q, i, {"lic": "x@now@y", "i:email": "w1 1 @now@"}, ["old"])
    assert answer == [1]
    assert changed == {
        "job:" + i: {"lic": changed["job:" + i]["lic"], "i:email": "w1 1 NOW", "old": None}}
    assert changed["job:" + i]["lic"] == "x%sy" % q.field(i, "i:email").split()[2]


def test_save_of_the_mails_result(q):
    i = q.active("a", losses=2, ticket=7, i_email="w1 1 5")
    q.redis.zadd(q.key("follow"), {"late " + i: q.now() + 10000})
    assert save(q, i, {"s:email": "@now@ 5 250 ok"}, ["i:email"]) == ([1], {
        "job:" + i: {"s:email": "NOW 5 250 ok", "i:email": None, "losses": None},
        "follow": None})


def test_a_new_result_is_progress(q):
    i = q.active("a", losses=2, s_validate="1 0 ")
    assert "losses" not in save(q, i, {"s:validate": "2 0 ", "i:email": "w1 1 @now@"})[1]["job:" + i]
    assert save(q, i, {"s:sign": "2 0 ", "x": "1"})[1]["job:" + i]["losses"] is None


def test_save_without_checkpoint(q):
    i = q.active("a", losses=2)
    assert save(q, i, {"x": "1"}, checkpoint=0) == ([1], {"job:" + i: {"x": "1"}})


@pytest.mark.parametrize("wid,fence", [("w2", 1), ("w1", 2), ("w1", 0), ("", "")])
def test_save_of_a_stranger(q, wid, fence):
    i = q.active("a")
    assert save(q, i, {"x": "1"}, wid=wid, fence=fence) == ([0, ""], {})
    assert save(q, ident("none"), {"x": "1"}) == ([0, ""], {})


@pytest.mark.parametrize("there,accepted", [
    ({"i_email": "w1 1 123"}, True),
    ({"i_email": "w1 12 123"}, False),                     # intent of a later claim
    ({"i_email": "w2 2 123"}, False),                      # redone by its new owner
    ({}, False),                                           # no intent: nothing can be late
    ({"i_email": "w1 1 123", "s_email": "5 5 ok"}, False),  # a result is there
    ({"i_record": "w1 1 123"}, False),
])
@pytest.mark.parametrize("state", ["queued", "active", "failed"])
def test_late_result(q, there, accepted, state):
    owner = {"owner": "w2"} if state == "active" else {}
    i = q.job("a", state, fence=2, **there, **owner)
    answer, changed = save(q, i, {"s:email": "@now@ 9 mine"}, ["i:email"], late="email")
    if not accepted:
        assert (answer, changed) == ([0, ""], {})
        return
    assert answer == [2]
    assert changed == {"job:" + i: {"s:email": "NOW 9 mine", "i:email": None},
                       "log:" + i: ["late result of email accepted from w1"],
                       "view:" + i: state}


@pytest.mark.parametrize("first", [1, 2])
def test_result_sent_twice(q, first):
    """Its answer was lost, and the job reaped; or another found the same issue: whoever
    is refused is told the job's issue, and does not take it for a stray."""
    i = q.active("a", i_record="w1 1 123")
    result = {"iid": "12", "issue_url": "u", "s:record": "@now@ 9 "}
    if first == 2:
        q.redis.hset(q.key("job:" + i), mapping={"owner": "w2", "fence": 2})
    assert save(q, i, result, ["i:record"], late="record")[0] == [first]
    q.redis.hset(q.key("job:" + i), mapping={"owner": "w2", "fence": 3})
    for iid in ("12", "13"):
        again = {**result, "iid": iid}
        assert save(q, i, again, ["i:record"], late="record") == ([0, "12"], {})


def test_guard(q):
    i = q.active("a", s_email="1 1 ok", losses=1)
    assert save(q, i, {"x": "1"}, guard="s:email") == ([3], {})
    assert save(q, i, {"x": "1"}, guard="s:record")[0] == [1]


CAPS = [("addr:d", 2), ("day", 3)]


def test_caps(q):
    for n in range(2):
        i = q.active("j%d" % n)
        changed = save(q, i, {"x": "1"}, caps=CAPS)[1]
        assert changed["cap:addr:d"] == {i: "NOW"} and changed["cap:day"] == {i: "NOW"}
    assert save(q, i, {"x": "2"}, caps=CAPS)[1] == {"job:" + i: {"x": "2"}}  # counted once
    over = q.active("over", losses=1)
    assert save(q, over, {"x": "1"}, caps=CAPS) == ([4, "addr:d"], {})
    assert save(q, over, {"x": "1"}, caps=[("addr:e", 2), ("day", 2)]) == ([4, "day"], {})
    assert save(q, over, {"x": "1"}, caps=[("addr:e", 2), ("day", 3)])[0] == [1]


def test_cap_slides(q):
    q.redis.zadd(q.key("cap:day"), {"old": q.now() - DAY - 10000, "new": q.now() - DAY + 60000})
    q.redis.expire(q.key("cap:day"), 100)
    a, b = q.active("a"), q.active("b")
    changed = save(q, a, {"x": "1"}, caps=[("day", 2)])[1]
    assert changed["cap:day"] == {"old": None, a: "NOW"}
    assert save(q, b, {"x": "1"}, caps=[("day", 2)])[0] == [4, "day"]


def test_cap_after_a_clock_put_back(q):
    """What was counted by a clock that was ahead counts a day from now, not a year."""
    q.redis.zadd(q.key("cap:day"), {"ahead": q.now() + 365 * DAY, "old": q.now() - DAY - 1})
    q.redis.pexpire(q.key("cap:day"), 366 * DAY)
    a, b = q.active("a"), q.active("b")
    assert save(q, a, {"x": "1"}, caps=[("day", 1)]) == (
        [4, "day"], {"cap:day": {"ahead": "NOW", "old": None}})
    assert 0 < q.redis.pttl(q.key("cap:day")) <= DAY
    assert save(q, b, {"x": "1"}, caps=[("day", 1)]) == ([4, "day"], {})


# ---- finish ----

def end_of(i, verb, state, **fields):
    return {"proc:w1": None, "view:" + i: state,
            "job:" + i: {"state": state, "owner": None, "last": "w1 1 " + verb, **fields}}


def test_finish_done(q):
    i = q.active("a", err_class="transient")
    q.redis.zadd(q.key("follow"), {"late " + i: q.now() + 10000})
    answer, changed = finish(q, i, "done", event="all good", sets={"s:ack": "@now@ 1 "},
                             dels=["err_class"])
    assert answer == [1]
    assert changed == {
        **end_of(i, "done", "done", ended_ms="NOW", err_class=None, **{"s:ack": "NOW 1 "}),
        "done": {i: "NOW"}, "follow": None, "stat": {"done": "1"}, "log:" + i: ["all good"]}


def test_finish_fail(q):
    i = q.active("a", fixed_by="z")
    answer, changed = finish(q, i, "fail", sets={"err_class": "permanent", "ticket": "7"})
    assert changed == {
        **end_of(i, "fail", "failed", ended_ms="NOW", err_class="permanent", ticket="7",
                 fixed_by=None),  # it has failed again: nobody has solved that
        "failed": {i: "NOW"}, "follow": {"report " + i: "NOW"}, "stat": {"failed": "1"},
        "ticket:7": {i: "NOW"}, "view:t:7": "failed"}


@pytest.mark.parametrize("verb", ["retry", "snooze", "release"])
def test_put_off_with_the_mails_result_it_is_late_no_more(q, verb):
    i = q.active("a")
    q.redis.zadd(q.key("follow"), {"late " + i: q.now() + 10000})
    finish(q, i, verb, delay=1000, sets={"err_class": "transient"})
    assert "follow" in q.dump()
    j = q.active("b")
    q.redis.zadd(q.key("follow"), {"late " + j: q.now() + 10000})
    _, changed = finish(q, j, verb, delay=1000, sets={"s:email": "@now@ 5 250 ok"})
    assert changed["follow"] == {"late " + j: None}


@pytest.mark.parametrize("verb,attempt", [("retry", {}), ("snooze", {"attempt": "0"})])
def test_finish_delayed(q, verb, attempt):
    i = q.active("a")
    assert finish(q, i, verb, 20000)[1] == {
        **end_of(i, verb, "delayed", due_ms="NOW+20", **attempt),
        "delayed": {i: "NOW+20"}, "stat": {verb: "1"}}


def test_finish_release(q):
    q.job("other", "queued")
    i = q.active("a")
    assert finish(q, i, "release")[1] == {
        **end_of(i, "release", "queued", attempt="0"), "pending": [ident("other"), i]}


@pytest.mark.parametrize("verb", ["done", "fail", "retry", "snooze", "release"])
def test_finish_twice_counts_once(q, verb):
    i = q.active("a")
    assert finish(q, i, verb, 20000)[0] == [1]
    assert finish(q, i, verb, 20000) == ([2], {})
    other = "retry" if verb != "retry" else "done"
    assert finish(q, i, other, 20000) == ([0], {})
    assert finish(q, i, verb, 20000, fence=2) == ([0], {})
    assert finish(q, i, verb, 20000, wid="w2") == ([0], {})


def test_finish_of_a_stranger(q):
    i = q.active("a")
    for wid, fence in [("w2", 1), ("w1", 2)]:
        assert finish(q, i, "done", wid=wid, fence=fence) == ([0], {})
    assert finish(q, ident("none"), "done") == ([0], {})


def test_success_solves_the_ticket(q):
    i = q.active("a", ticket=7)
    reported = q.job("reported", "failed", ticket=7, report_iid=5)
    tried = q.job("tried", "failed", ticket=7, i_report=123)
    closed = q.job("closed", "failed", ticket=7, report_iid=6, report_closed=1)
    unsaid = q.job("unsaid", "failed", ticket=7)
    for other in (i, reported, tried, closed, unsaid):
        q.redis.zadd(q.key("ticket:7"), {other: 1})
        q.redis.zadd(q.key("follow"), {"report " + other: q.now() + 20000})
    q.redis.expire(q.key("ticket:7"), 100)
    _, changed = finish(q, i, "done")
    assert changed["follow"] == {"report " + reported: "NOW", "report " + tried: "NOW",
                                 "report " + i: None, "report " + closed: None,
                                 "report " + unsaid: None}
    assert changed["job:" + reported] == changed["job:" + tried] == {"fixed_by": i}
    assert "job:" + closed not in changed and "job:" + unsaid not in changed


def test_point_at(q):
    i = q.active("a")
    assert q.changes("point_at", i, "w2", 1, "words", ident("t")) == ([0], {})
    assert q.changes("point_at", i, "w1", 1, "words", ident("t")) == ([1], {
        "proc:w1": None, "view:" + i: "done", "done": {i: "NOW"}, "stat": {"done": "1"},
        "log:" + i: ["words"],
        "job:" + i: {"state": "done", "owner": None, "last": "w1 1 dup", "ended_ms": "NOW",
                     "dup_of": ident("t")}})


# ---- follow-ups ----

def follow(q, kind, i, at=-1000):
    q.redis.zadd(q.key("follow"), {f"{kind} {i}": q.now() + at})


def test_follow_take_holds(q):
    i = q.job("a", "failed")
    follow(q, "report", i)
    answer, changed = q.changes("follow_take", 5, 60000)
    assert changed == {"follow": {"report " + i: "NOW+60"}, "job:" + i: {"i:report": "NOW"}}
    [kind, who, token, intent, solved, record] = answer[2]
    assert (kind, who, intent, solved) == ("report", i, "", "")
    assert int(token) == answer[1] == int(q.redis.zscore(q.key("follow"), "report " + i))
    assert "failed" in record
    assert q.changes("follow_take", 5, 60000)[1] == {}


def test_follow_take_keeps_the_first_intent(q):
    """Else "not there" would never be old enough to be believed."""
    i = q.job("a", "failed", i_report=123)
    follow(q, "report", i)
    answer, changed = q.changes("follow_take", 5, 60000)
    assert answer[2][3] == "123" and changed == {"follow": {"report " + i: "NOW+60"}}


def test_follow_take_how_many_and_when(q):
    ids = [q.job("j%d" % n, "failed", report_iid=1) for n in range(3)]
    for n, i in enumerate(ids):
        follow(q, "report", i, -30000 + 1000 * n)
    follow(q, "late", q.job("z", "queued"), 20000)
    answer, changed = q.changes("follow_take", 2, 60000)
    assert [item[1] for item in answer[2:]] == ids[:2]
    assert changed == {"follow": {"report " + i: "NOW+60" for i in ids[:2]}}
    assert answer[1] == int(q.redis.zscore(q.key("follow"), "report " + ids[2]))


@pytest.mark.parametrize("state,fields,kept", [
    ("queued", {}, True), ("delayed", {}, True), ("done", {}, False), ("failed", {}, False),
    ("delayed", {"s_email": "1 1 ok"}, False)])
def test_follow_take_late(q, state, fields, kept):
    i = q.job("a", state, **fields)
    follow(q, "late", i)
    answer, changed = q.changes("follow_take", 5, 60000)
    assert len(answer) == 2 + kept
    assert changed["follow"] == ({"late " + i: "NOW+60"} if kept else None)


def test_follow_take_of_a_job_that_is_gone(q):
    follow(q, "report", ident("gone"))
    assert q.changes("follow_take", 5, 60000) == ([pytest.approx(q.now(), abs=5000), -1],
                                                  {"follow": None})


def test_follow_take_names_the_issue_that_solved_it(q):
    by = q.job("by", "done", issue_url="https://x/1")
    i = q.job("a", "failed", fixed_by=by)
    follow(q, "report", i)
    assert q.changes("follow_take", 5, 60000)[0][2][4] == "https://x/1"


def test_follow_done(q):
    i = q.job("a", "failed")
    follow(q, "report", i)
    token = q.run("follow_take", 5, 60000)[2][2]
    assert q.changes("follow_done", "report", i, token, 20000, *write({"x": "1"})) == (
        [1], {"job:" + i: {"x": "1"}, "follow": {"report " + i: "NOW+20"}})
    token = "%d" % q.redis.zscore(q.key("follow"), "report " + i)
    assert q.changes("follow_done", "report", i, token, -1, *write({"report_iid": "4"})) == (
        [1], {"job:" + i: {"report_iid": "4"}, "follow": None, "view:" + i: "failed"})


def test_follow_done_with_another_issue(q):
    """Its hold had ended, and the next one made an issue, too: ours is a stray."""
    i = q.job("a", "failed", report_iid=7)
    follow(q, "report", i)
    token = q.run("follow_take", 5, 60000)[2][2]
    fields = {"x": "1", "report_iid": "8"}
    assert q.changes("follow_done", "report", i, token, -1, *write(fields)) == ([2], {})
    fields["report_iid"] = "7"
    assert q.run("follow_done", "report", i, token, -1, *write(fields)) == [1]


def test_follow_done_told_twice(q):
    """Its answer was lost, and until it is told again another worker has closed the issue."""
    i = q.job("a", "failed")
    follow(q, "report", i)
    token = q.run("follow_take", 5, 60000)[2][2]
    told = ("follow_done", "report", i, token, -1, *write({"report_iid": "4", "report_closed": "0"}))
    assert q.run(*told) == [1]
    q.redis.hset(q.key("job:" + i), "report_closed", 1)
    assert q.changes(*told) == ([0], {})


def test_follow_done_when_scheduled_anew(q):
    i = q.job("a", "failed")
    follow(q, "report", i)
    token = q.run("follow_take", 5, 60000)[2][2]
    follow(q, "report", i, 0)
    for delay in (20000, -1):
        assert q.changes("follow_done", "report", i, token, delay, *write({"y": str(delay)})) == (
            [0], {"job:" + i: {"y": str(delay)}, **({"view:" + i: "failed"} if delay < 0 else {})})
    q.redis.delete(q.key("job:" + i))  # trimmed meanwhile: no half record comes back
    assert q.changes("follow_done", "report", i, "", 0, *write({"y": "1"})) == ([0], {})


# ---- telling people ----

@pytest.fixture
def channels(q):
    assert q.run("tell_take", "", 0, "slack zendesk")[1] == -1
    assert q.redis.hget(q.key("cfg"), "tell") == "slack zendesk"


def sets_of(q, i, at=-1000):
    for channel in ("slack", "zendesk"):
        q.redis.zadd(q.key("tell:" + channel), {i: q.now() + at})


def take_tell(q, channel="slack", hold=60000):
    return q.changes("tell_take", channel, hold, "slack zendesk")


@pytest.mark.parametrize("verb,told", [("done", True), ("fail", True), ("retry", False),
                                       ("snooze", False), ("release", False)])
def test_ends_are_told(q, channels, verb, told):
    i = q.active("a", ticket=1)
    changed = q.changes("finish", i, "w1", 1, verb, 0, "", *write())[1]
    assert {k: v for k, v in changed.items() if k.startswith("tell:")} == (
        {"tell:slack": {i: "NOW"}, "tell:zendesk": {i: "NOW"}} if told else {})


def test_nothing_is_told_without_channels(q):
    i = q.active("a", ticket=1)
    changed = q.changes("finish", i, "w1", 1, "done", 0, "", *write())[1]
    assert not [k for k in changed if k.startswith("tell")]


def test_tell_take_holds(q, channels):
    i = q.job("a", "done", ticket=1, ended_ms=q.now())
    sets_of(q, i)
    answer, changed = take_tell(q)
    assert changed == {"tell:slack": {i: "NOW+60"}, "job:" + i: {"i:slack": "NOW done"}}
    _, due, who, token, what, intent, tries, since, record = answer
    assert (who, what, intent, tries) == (i, "done", "", "0")
    assert due == int(token) and int(since) == int(q.field(i, "ended_ms")) and "done" in record
    assert take_tell(q) == ([pytest.approx(q.now(), abs=5000), due], {})
    q.redis.hset(q.key("job:" + i), "tries:slack", 4)
    sets_of(q, i)  # its worker died with it: the first intent stays
    answer, changed = take_tell(q)
    assert q.field(i, "i:slack").startswith(answer[5]) and answer[6] == "4"
    assert changed == {"tell:slack": {i: "NOW+60"}}


@pytest.mark.parametrize("state,fields,what", [
    ("done", {}, "done"), ("failed", {"report_url": "x"}, "failed"),
    ("failed", {"report_url": "x", "requeues": 1, "reruns": 2}, "failed 4"),
    ("done", {"requeues": 1}, "done 2"), ("done", {"told:slack": "late"}, "done"),
    ("done", {"told:slack": "done"}, None), ("done", {"dup_of": "x"}, None),
    ("done", {"discarded": "me"}, None), ("queued", {}, None), ("delayed", {}, None),
    ("delayed", {"late_ms": 1}, "late"), ("delayed", {"late_ms": 1, "s_email": "1 1"}, None),
    ("failed", {"report_url": "x", "err_class": "invalid"}, "failed"),
    ("failed", {"report_shared": "x", "err_class": "invalid"}, None)])
def test_tell_take_what(q, channels, state, fields, what):
    i = q.job("a", state, ended_ms=1, **fields)
    sets_of(q, i)
    answer, changed = take_tell(q)
    assert (answer[4] if len(answer) > 2 else None) == what
    if not what:
        assert changed["tell:slack"] is None


def test_a_note_needs_a_ticket(q, channels):
    i = q.job("a", "done", ended_ms=1)
    sets_of(q, i)
    assert len(take_tell(q, "zendesk")[0]) == 2 and len(take_tell(q, "slack")[0]) == 9


def test_a_failure_waits_for_its_issue_for_some_seconds(q, channels):
    i = q.job("a", "failed", ended_ms=q.now())
    sets_of(q, i)
    answer, changed = take_tell(q)
    assert len(answer) == 2 and not changed
    assert q.now() < q.redis.zscore(q.key("tell:slack"), i) == answer[1]
    q.redis.hset(q.key("job:" + i), "ended_ms", q.now() - 6000)
    sets_of(q, i)
    assert take_tell(q)[0][4] == "failed"


def test_late_ones_are_told_once_whoever_sees_them(q, channels):
    i, mailed = q.job("a", "delayed", ticket=1), q.job("b", "delayed", s_email="1 1")
    for job in (i, mailed):
        follow(q, "late", job)
    changed = take_tell(q, "zendesk")[1]  # GitLab is away: nobody takes the report
    assert changed["job:" + i]["late_ms"] == "NOW" and "job:" + mailed not in changed
    assert q.redis.zscore(q.key("follow"), "late " + i)
    q.redis.delete(q.key("tell:slack"), q.key("tell:zendesk"))
    assert "tell:slack" not in q.changes("follow_take", 5, 60000)[1]
    assert q.redis.zscore(q.key("tell:slack"), i) is None


def test_tell_done(q, channels):
    i = q.job("a", "done", ticket=1, ended_ms=q.now())
    sets_of(q, i)
    token = take_tell(q)[0][3]
    again = ("tell_done", "slack", i, token, 20000, "", "", "")
    assert q.changes(*again, *write({"tries:slack": "1"})) == (
        [1], {"job:" + i: {"tries:slack": "1"}, "tell:slack": {i: "NOW+20"}})
    token = "%d" % q.redis.zscore(q.key("tell:slack"), i)
    over = ("tell_done", "slack", i, token, -1, "done", "told slack: done", "told", *write())
    assert q.changes(*over) == ([1], {
        "job:" + i: {"told:slack": "done", "i:slack": None, "tries:slack": None},
        "tell:slack": None, "log:" + i: ["told slack: done"], "stat": {"told": "1"}})
    assert q.changes(*over) == ([0], {})  # its answer was lost


def test_tell_done_when_scheduled_anew(q, channels):
    i = q.job("a", "done", ticket=1, ended_ms=1)
    sets_of(q, i)
    token = take_tell(q)[0][3]
    sets_of(q, i, 0)
    answer, changed = q.changes("tell_done", "slack", i, token, -1, "late", "w", "told", *write())
    assert answer == [0] and "tell:slack" not in changed and q.field(i, "told:slack") == "late"
    q.redis.delete(q.key("job:" + i))  # trimmed meanwhile
    assert q.changes("tell_done", "slack", i, token, -1, "done", "w", "told",
                     *write({"x": "1"})) == ([0], {})


def test_a_ticket_that_did_not_agree_is_released(q):
    for n, (fields, released) in enumerate((({"ticket_fault": "1"}, "1"), ({}, None))):
        i = q.job("a%d" % n, "failed", err_class="invalid", err_step="validate", **fields)
        q.run("requeue", i, "me", "", 0, 0, "desk")
        assert (q.field(i, "released"), q.field(i, "ticket_fault")) == (released, None)


# ---- a full Redis ----

def test_full_redis_lets_work_end(q):
    q.worker("w1")
    q.worker("dead", -10000)
    ids = [q.active("j%d" % n) for n in range(6)]
    lost_one = q.active("lost", "dead")
    q.job("a", "queued")
    q.redis.lpush(q.key("inbox"), "{}")
    for script in ("take", "beat", "save", "finish", "reap_worker", "claim_keys", "point_at",
                   "trim"):
        q.load(script)
    q.redis.config_set("maxmemory", 1)
    with pytest.raises(Exception, match="OOM|maxmemory"):
        q.redis.lpush(q.key("inbox"), "{}")
    assert q.run("beat", "w1", 10000, LATE, RETENTION, "s", 200, "")[0] == 1
    assert q.run("take", "w1", 1, 1, LATE, 1, 0, "s", 200)[0] == "OK"
    assert q.field(lost_one, "losses") == "1"
    assert q.run("save", ids[0], "w1", 1, 1, "", "", 0, *write({"s:email": "x" * 9000})) == [1]
    for i, verb in zip(ids, ["done", "fail", "retry", "release"]):
        assert q.run("finish", i, "w1", 1, verb, 10, "words", *write({"x": "1"})) == [1]
    assert q.run("point_at", ids[4], "w1", 1, "words", ids[0]) == [1]
    assert q.run("claim_keys", ids[5], "w1", 1, "{}", "d", "", "s", 7, RETENTION, "me") == ["OK"]
    assert q.run("reap_worker", "w1") == [1]
    assert q.run("trim", RETENTION) == [0]


def test_full_redis_is_freed_of_what_is_old(q):
    """Also where the first to go is one that shares an issue, which learns of it."""
    old = q.job("old", "failed", at=-RETENTION - 1000, report_shared="s")
    q.redis.hset(q.key("shared:s"), "ids", old)
    q.redis.expire(q.key("shared:s"), 100)
    q.load("trim")
    q.redis.config_set("maxmemory", 1)
    assert q.run("trim", RETENTION) == [1]
    assert not q.redis.exists(q.key("job:" + old))


def test_full_redis_lets_words_be_masked(q):
    q.redis.rpush(q.key("audit"), f"{q.now()}\top\tdesk\tpause\t-\task nina@a.example")
    q.redis.pexpire(q.key("audit"), RETENTION)
    q.load("forget")
    q.redis.config_set("maxmemory", 1)
    assert q.run("forget", "", 1, "op", "desk", 1, "", "nina@a.example") == ["OK", "1"]
    assert "nina" not in str(q.redis.lrange(q.key("audit"), 0, -1))


# ---- depth ----

def test_depth_counts_and_changes_nothing(q):
    r = q.redis
    assert q.run("depth")[1:] == [0] * 12 + [-1]
    now = q.run("depth")[0]
    r.lpush(q.key("inbox"), "a", "b")
    for i, name in enumerate(["pending", "pending", "solo"]):
        r.lpush(q.key(name), ident(f"j{i}"))
        r.hset(q.key("job:" + ident(f"j{i}")), "accepted_ms", 5000 - i)
    r.zadd(q.key("workers"), {"w1": now + 60000, "w2": now + 60000, "dead": 1})
    r.lpush(q.key("proc:w1"), "x", "y")
    r.lpush(q.key("proc:dead"), "z")
    for name, count in (("delayed", 1), ("failed", 2), ("done", 3), ("follow", 4),
                        ("tell:slack", 5), ("tell:zendesk", 6)):
        r.zadd(q.key(name), {str(n): n for n in range(count)})
    r.set(q.key("paused"), "1")
    answer, changed = q.changes("depth")
    assert answer[1:] == [2, 2, 1, 3, 1, 2, 3, 4, 5, 6, 2, 1, 4998] and changed == {}


def test_depth_of_jobs_without_a_record(q):
    q.redis.lpush(q.key("pending"), ident("j1"))
    assert q.run("depth")[13] == -1
