"""The script of the lanes, on exact states: who may try, what others are told, who is woken."""

import pytest
from testenv.scripts import Scripts

WHY = ("auth", 535, "no")


@pytest.fixture
def q(redis):
    scripts = Scripts(redis.path)
    yield scripts
    scripts.redis.close()


def lane(q, verb, ms=30000, wid="w1", name="smtp", why=WHY):
    return q.run("lane", wid, name, verb, ms, *why)


def passes(q, name="smtp"):
    """The time of the lane's pause."""
    q.redis.hset(q.key("lane:" + name), "until_ms", q.now() - 1)


def told(q, wid="w9"):
    return {l[0]: l[1:] for l in q.run("beat", wid, 10000, 1, 86400000, "s", 1, "")[7]}


def test_open_is_no_key(q):
    assert lane(q, "ask") == [0, 0, -1, "", 0, "", ""]
    assert lane(q, "extend") == [0, 0, -1, "", 0, "", ""]
    assert lane(q, "open") == [0, 0, -1, "", 0, "", ""]
    assert not q.redis.keys("*lane*") and told(q) == {}


def test_closed_to_all_and_told_with_the_beat(q):
    before = q.now()
    state, delayed, until, *rest = lane(q, "close", 30000, why=("auth", 535, "it says: no"))
    assert (state, delayed, rest) == (2, 0, ["auth", 535, "it says: no", "w1"])
    assert before + 30000 <= until <= q.now() + 30000
    assert told(q) == {"smtp": [until, *rest]}
    assert lane(q, "ask", wid="w2") == [2, 0, until, *rest]
    assert lane(q, "ask", wid="w2", name="gitlab")[0] == 0
    assert 3_600_000 <= q.redis.pttl(q.key("lane:smtp")) <= 3_630_000


def test_one_may_try_in_each_interval(q):
    lane(q, "close")
    for _ in range(3):
        passes(q)
        before = q.now()
        state, _, until, *_ = lane(q, "ask", 30000, "w2")
        assert state == 1 and until >= before + 30000
        assert [lane(q, "ask", wid=w)[0] for w in ("w1", "w2", "w3")] == [2, 2, 2]
    assert q.redis.hget(q.key("lane:smtp"), "probe") == "w2"


def test_what_was_asked_for_is_not_cut_short(q):
    until = lane(q, "close", 600_000)[2]
    assert lane(q, "close", 1000)[2] == lane(q, "extend", 1000)[2] == until
    assert lane(q, "extend", 700_000)[2] > until


def test_who_failed_before_it_opened_does_not_close_it(q):
    lane(q, "close")
    assert lane(q, "open", wid="w2")[0] == 0
    assert lane(q, "extend")[0] == 0
    assert told(q) == {} and not q.redis.keys("*lane*")


def test_those_that_waited_are_woken_on_a_slope(q):
    lane(q, "close"), lane(q, "close", name="gitlab")
    far = 600_000
    mine = [q.job(f"s{n}", "delayed", "delayed", at=far + n, lane="smtp", due_ms=far)
            for n in range(100)]
    others = [q.job("g", "delayed", "delayed", at=far, lane="gitlab", due_ms=1),
              q.job("r", "delayed", "delayed", at=far, due_ms=1)]
    before = q.redis.zmscore(q.key("delayed"), others)
    assert lane(q, "ask")[:2] == [2, 102]
    since = q.now()
    lane(q, "open")
    now = q.now()
    due = sorted(s for s in q.redis.zmscore(q.key("delayed"), mine))
    by = [sum(d <= now + ms for d in due) for ms in (0, 200, 400, 600, 800)]
    assert since <= due[0] <= now
    assert by[0] >= 1 and by[1] >= 3 and by[2] >= 7 and by[3] >= 15
    assert sum(d <= since + 190 for d in due) <= 2 and sum(d <= since + 390 for d in due) <= 6
    assert due[-1] <= now + 200 * 6
    for i in mine:
        assert int(q.redis.hget(q.key("job:" + i), "due_ms")) == q.redis.zscore(q.key("delayed"), i)
    assert q.redis.zmscore(q.key("delayed"), others) == before
    assert set(told(q)) == {"gitlab"}


@pytest.mark.parametrize("how", ["take", "requeue", "discard"])
def test_who_waits_no_longer_does_not_say_so(q, how):
    q.worker("w1")
    i = q.job("a", "delayed", "delayed", at=-1000, lane="smtp", due_ms=1)
    if how == "take":
        q.run("take", "w1", 1, 0, 1, 1, 0, "seed", 200)
    else:
        q.run(how, *((i, "me", "", 0, 0) if how == "requeue" else (i, "me")), "here")
    assert not q.redis.hexists(q.key("job:" + i), "lane")


def test_a_full_redis_still_learns(q):
    q.redis.config_set("maxmemory", 1)
    try:
        assert lane(q, "close", 0)[0] == 2
        assert lane(q, "ask")[0] == 1
        assert lane(q, "open")[0] == 0
    finally:
        q.redis.config_set("maxmemory", 0)
