"""What people do to the queue, and what is done with equal requests: each row of the rules
on an exact state, all keys compared."""

import json
import os
import subprocess

import pytest
from testenv.redis import Redis
from testenv.scripts import DAY, LUA, RETENTION, Scripts, ident, source, write


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
    scripts.redis.close()


def test_assembled_as_the_programs_have_it():
    """Without comments and blank lines, as the C strings hold it."""
    made = subprocess.run([os.path.join(LUA, "..", "..", "scripts", "embed-lua"), LUA],
                          check=True, capture_output=True, text=True).stdout
    for name in ("take", "finish", "trim"):
        lines = [line for line in source(name).splitlines()
                 if line and not line.lstrip().startswith("--")]
        text = "".join('    "%s\\n"\n' % line.replace("\\", "\\\\").replace('"', '\\"')
                       for line in lines)
        assert '{"%s",\n%s}' % (name, text) in made


# ---- duplicates ----

def claim(q, i, idem="", digest="D", same="S", ticket=7, wid="w1", fence=1):
    return q.changes("claim_keys", i, wid, fence, '{"r":1}', digest, idem, same, ticket,
                     RETENTION, "agent")


def claimed(i, **more):
    return {"req": '{"r":1}', "digest": "D", "ticket": "7", "same": "S", **more}


def duplicate(i, first, words, fields=None):
    return {"proc:w1": None, "done": {i: "NOW"}, "stat": {"done": "1", "duplicate": "1"},
            "view:" + i: "done",
            "job:" + i: {"req": '{"r":1}', "digest": "D", "ticket": "7", "state": "done",
                         "ended_ms": "NOW", "dup_of": first, "last": "w1 1 dup",
                         "owner": None, **(fields or {})},
            "log:" + i: [f"duplicate of {first}: {words}"],
            "log:" + first: [f"asked for again by agent (request {i}): {words}"]}


def holder(q, state, **fields):
    """The job that has the keys of an equal request."""
    if state == "active":
        fields["owner"] = "w2"
    first = q.job("first", state, same="S", idem="I", digest="D", ticket=7, **fields)
    q.redis.set(q.key("same:S"), first, ex=100)
    q.redis.set(q.key("idem:I"), first, ex=100)
    return first


def test_claim_new(q):
    i = q.active("new", losses=1)
    assert claim(q, i, idem="I") == (["OK"], {
        "job:" + i: claimed(i, idem="I"), "same:S": i, "idem:I": i,
        "ticket:7": {i: "NOW"}})
    assert claim(q, i, idem="I") == (["OK"], {})  # sent twice
    assert RETENTION - 9000 < q.redis.pttl(q.key("same:S")) <= RETENTION


def test_claim_of_a_stranger(q):
    i = q.active("new")
    assert claim(q, i, wid="w2") == (["LOST"], {})
    assert claim(q, i, fence=2) == (["LOST"], {})
    assert claim(q, ident("none")) == (["LOST"], {})


@pytest.mark.parametrize("state", ["queued", "active", "delayed", "failed", "done"])
def test_same_key_same_content(q, state):
    first, i = holder(q, state), q.active("new")
    answer, changed = claim(q, i, idem="I", same="other")
    assert answer == ["REPLAY", first]
    assert changed == duplicate(i, first, "the same request came again")
    assert claim(q, i, idem="I") == (["LOST"], {})


@pytest.mark.parametrize("state", ["queued", "active", "delayed", "failed", "done"])
def test_same_key_other_content(q, state):
    first, i = holder(q, state), q.active("new")
    assert claim(q, i, idem="I", digest="E", same="other") == (
        ["CLASH", first],
        {"job:" + i: {"req": '{"r":1}', "digest": "E", "ticket": "7"}})


def test_key_of_a_job_that_is_gone(q):
    q.redis.set(q.key("idem:I"), ident("gone"), ex=100)
    i = q.active("new")
    assert claim(q, i, idem="I")[0] == ["OK"]
    assert q.redis.get(q.key("idem:I")) == i


@pytest.mark.parametrize("digest,answer", [("D", "REPLAY"), ("E", "CLASH")])
def test_same_id_other_bytes(q, digest, answer):
    first = q.job("first", "done", digest="D")
    i = q.active("new", clash=first)
    assert claim(q, i, digest=digest)[0] == [answer, first]


@pytest.mark.parametrize("state", ["queued", "active", "delayed"])
def test_equal_one_at_work(q, state):
    first, i = holder(q, state), q.active("new")
    assert claim(q, i) == (["DUP", first], duplicate(i, first, "it is still at work"))


def test_equal_one_with_a_valid_license(q):
    first, i = holder(q, "done", exp_ms=q.now() + 60000), q.active("new")
    assert claim(q, i) == (["DUP", first], duplicate(i, first, "its license is still valid"))


@pytest.mark.parametrize("state,fields", [
    ("done", {"exp_ms": 1}),                          # expired
    ("done", {}),                                     # discarded, or a duplicate
    ("failed", {"frozen": 1, "iat_ms": 1}),           # a mail may be out, a day ago
])
def test_equal_one_that_is_over(q, state, fields):
    first, i = holder(q, state, **fields), q.active("new")
    answer, changed = claim(q, i)
    assert answer == ["OK"]
    assert changed == {"job:" + i: claimed(i), "same:S": i, "ticket:7": {i: "NOW"}}
    assert first not in changed


ERROR = {"err_class": "permanent", "err_code": "550", "err_text": "no", "first_error_ms": "1",
         "losses": "3", "ended_ms": "1"}


@pytest.mark.parametrize("more", [
    {"err_step": "email"},
    {"err_step": "email", "frozen": "1", "s:email": "1 1 ok", "iat_ms": "1"},
])
@pytest.mark.parametrize("reruns", [None, 2])
def test_equal_one_that_failed(q, more, reruns):
    first = holder(q, "failed", attempt=9, **ERROR, lic="L", **{"s:sign": "1 1 "})
    q.redis.hset(q.key("job:" + first), mapping=more)
    if reruns:
        q.redis.hset(q.key("job:" + first), "reruns", reruns)
    i = q.active("new", raw="new bytes")
    answer, changed = claim(q, i)
    assert answer == ["RERUN", first]
    assert changed == {
        **duplicate(i, first, "it had failed and runs again"),
        "failed": None, "pending": [first], "view:" + first: "queued", "view:t:7": "queued",
        "job:" + first: {"state": "queued", "attempt": "0", "reruns": str((reruns or 0) + 1),
                         "err_step": None, **dict.fromkeys(ERROR)}}


def test_equal_one_that_failed_in_validation(q):
    first = holder(q, "failed", err_step="validate", clash="c", req="{}")
    q.redis.hset(q.key("job:" + first), "s:validate", "1 1 ")
    i = q.active("new", raw="new bytes", accepted_ms=12345)
    answer, changed = claim(q, i)
    assert answer == ["RERUN", first]
    assert changed["job:" + first] == {
        "state": "queued", "reruns": "1", "err_step": None, "raw": "new bytes",
        "accepted_ms": "12345", "req": None, "digest": None, "s:validate": None, "clash": None}


def test_the_key_goes_with_the_bytes(q):
    """Else the first would find the key with its duplicate, and end as a duplicate of it:
    nobody would make the license."""
    first = holder(q, "failed", err_step="validate")
    i = q.active("new", raw="new bytes")
    answer, changed = claim(q, i, idem="K")
    assert answer == ["RERUN", first]
    assert changed["idem:K"] == first and changed["job:" + first]["idem"] == "K"
    q.run("beat", "w1", 10000, 1000, RETENTION, "seed", 200, "")
    q.run("take", "w1", 1, 0, 1000, 1, 0, "s", 200)
    assert claim(q, first, idem="K")[0] == ["OK"]
    again = q.active("again", raw="new bytes", wid="w1")
    assert claim(q, again, idem="K")[0] == ["REPLAY", first]


def test_equal_one_that_failed_too_often(q):
    first, i = holder(q, "failed", reruns=3), q.active("new")
    assert claim(q, i) == (["SPENT", first], duplicate(
        i, first, "it failed and was run again three times; an operator has to requeue it"))


def test_same_of_one_that_may_have_been_mailed(q):
    first, i = holder(q, "failed", err_class="ambiguous", err_step="email"), q.active("new")
    assert claim(q, i) == (["SPENT", first], duplicate(
        i, first,
        "its mail may have arrived; an operator has to say so, or have it sent again"))


def test_correction(q):
    mailed, not_mailed = q.job("m", "done", s_email="1 1 ok"), q.job("n", "failed")
    later = q.job("l", "active", owner="w2", s_email="1 1 ok")
    q.redis.zadd(q.key("ticket:7"), {mailed: 1, not_mailed: 2, later: 3, ident("gone"): 4})
    q.redis.expire(q.key("ticket:7"), 100)
    i = q.active("new")
    answer, changed = claim(q, i)
    assert answer == ["OK", mailed, later]
    assert changed["job:" + i]["earlier"] == f"{mailed} {later}"
    assert claim(q, i) == (answer, {})


# ---- requeue ----

FULL = {"s:validate": "1", "req": "{}", "s:sign": "1", "lic": "L", "lic_id": "i", "kid": "k",
        "lic_format": "f", "iat_ms": "1", "exp_ms": "2", "frozen": "1", "s:email": "1",
        "i:email": "w 1 1", "msgid": "m", "mail_arrived": "1", "s:record": "1",
        "i:record": "w 1 1", "iid": "5", "issue_url": "u", "s:close": "1"}
AFTER = {"validate": list(FULL), "sign": list(FULL)[2:], "email": list(FULL)[10:],
         "record": list(FULL)[14:], "close": list(FULL)[18:]}


def requeue(q, i, redo="", arrived=0, lift=0):
    return q.changes("requeue", i, "op", redo, arrived, lift, "desk")


def audited(what, i, more=""):
    """The line that each thing an operator does leaves."""
    return f"NOW\top\tdesk\t{what}\t{i}\t{more}"


def requeued(i, place, redo="", more="", **fields):
    more = f"redo {redo}" if redo else more
    return {place: None, "pending": [i], "view:" + i: "queued", "stat": {"requeued": "1"},
            "log:" + i: ["requeued by op" + (", " + more if more else "")],
            "audit": [audited("requeue", i, more)],
            "job:" + i: {"state": "queued", "requeues": "1", "ambiguous": "0", **fields}}


@pytest.mark.parametrize("state", ["failed", "delayed"])
def test_requeue(q, state):
    i = q.job("a", state, attempt=7, due_ms=1, **{**ERROR, "err_step": "email"}, **FULL)
    assert requeue(q, i) == (["OK"], requeued(
        i, state, attempt="0", due_ms=None, err_step=None, **dict.fromkeys(ERROR)))


@pytest.mark.parametrize("state", ["queued", "active", "done"])
def test_requeue_not_from_here(q, state):
    i = q.job("a", state, **({"owner": "w1"} if state == "active" else {}))
    assert requeue(q, i) == (["STATE", state], {})
    if state != "done":
        assert requeue(q, i, "email") == (["STATE", state], {})


def test_requeue_none_and_duplicates(q):
    assert requeue(q, ident("none")) == (["NONE"], {})
    i = q.job("a", "done", dup_of="first")
    assert requeue(q, i, "email") == (["DUPLICATE", "first"], {})


@pytest.mark.parametrize("state", ["failed", "done"])
@pytest.mark.parametrize("redo", list(AFTER))
def test_requeue_redo(q, state, redo):
    i = q.job("a", state, **FULL)
    mail = {"mail_serial": "1", "mail_date_ms": "NOW"} if redo not in ("record", "close") else {}
    assert requeue(q, i, redo) == (["OK"], requeued(
        i, state, redo, **dict.fromkeys(AFTER[redo]), **mail))


def test_requeue_of_a_discarded_one(q):
    """It is one no more: people are told of its end, and its views do not say so."""
    i = q.job("a", "done", discarded="op")
    assert requeue(q, i, "close") == (["OK"], requeued(i, "done", "close", discarded=None))


def test_requeue_redo_of_nothing(q):
    i = q.job("a", "failed", **FULL)
    before = q.dump()
    with pytest.raises(Exception, match="unknown step"):
        requeue(q, i, "ack")
    assert q.dump() == before


@pytest.mark.parametrize("redo,arrived,answer", [
    ("", 0, "STALE"), ("record", 0, "STALE"), ("close", 0, "STALE"),
    ("email", 0, "OK"), ("sign", 0, "OK"), ("validate", 0, "OK")])
def test_requeue_stale(q, redo, arrived, answer):
    i = q.job("a", "failed", frozen=1, iat_ms=q.now() - DAY - 60000)
    got, changed = requeue(q, i, redo, arrived)
    assert got == [answer] and (changed == {}) == (answer != "OK")


def test_requeue_not_stale(q):
    young = q.job("a", "failed", frozen=1, iat_ms=q.now() - DAY + 60000)
    mailed = q.job("b", "failed", frozen=1, iat_ms=1, s_email="1 1 ok")
    never_sent = q.job("c", "failed", iat_ms=1)
    for i in (young, mailed, never_sent):
        assert requeue(q, i)[0] == ["OK"]


@pytest.mark.parametrize("redo,arrived,answer", [
    ("", 0, "AMBIGUOUS"), ("record", 0, "AMBIGUOUS"), ("close", 0, "AMBIGUOUS"),
    ("email", 0, "OK"), ("sign", 0, "OK"), ("", 1, "OK"), ("record", 1, "OK")])
def test_requeue_ambiguous(q, redo, arrived, answer):
    i = q.job("a", "failed", err_class="ambiguous", err_step="email", frozen=1, iat_ms=1,
              i_email="w 1 1", ambiguous=3)
    got, changed = requeue(q, i, redo, arrived)
    assert got == [answer] and (changed == {}) == (answer != "OK")


def test_requeue_mail_arrived(q):
    i = q.job("a", "failed", err_class="ambiguous", i_email="w 1 1", ambiguous=3)
    assert requeue(q, i, arrived=1) == (["OK"], requeued(
        i, "failed", more="mail arrived", **{"mail_arrived": "1", "s:email": "NOW 0 op says that the mail arrived",
                        "i:email": None, "err_class": None}))
    other = q.job("b", "failed", err_class="permanent")
    assert requeue(q, other, arrived=1) == (["NOTAMBIGUOUS"], {})


def test_requeue_releases_and_lifts(q):
    i = q.job("a", "failed", err_class="out_of_scope", err_step="validate")
    assert requeue(q, i, lift=1)[1]["job:" + i] == {
        "state": "queued", "requeues": "1", "ambiguous": "0", "released": "1", "lifted": "1",
        "err_class": None, "err_step": None}
    i = q.job("b", "failed", err_class="permanent", err_step="validate")
    assert "released" not in requeue(q, i)[1]["job:" + i]


# ---- resend ----

def sent(q, name="a", **fields):
    return q.job(name, "done", **{**FULL, "exp_ms": q.now() + DAY, "ended_ms": "1", **fields})


def resend(q, i):
    return q.changes("resend", i, "op", "", "desk")


def test_resend_three_times(q):
    i = sent(q)
    for n in range(1, 4):
        answer, changed = resend(q, i)
        assert answer == ["OK", i]
        assert changed["job:" + i] == {
            "state": "queued", "resends": str(n), "mail_serial": str(n),
            **({"ambiguous": "0", "mail_date_ms": "NOW"} if n == 1 else {}),
            "s:email": None, "i:email": None, "mail_arrived": None, "ended_ms": None}
        assert changed["done"] is None and changed["pending"] == [i]
        assert changed["audit"] == n * [audited("resend", i)]
        assert resend(q, i) == (["STATE", "queued"], {})  # sent twice: still one mail
        q.redis.delete(q.key("pending"))
        q.redis.zadd(q.key("done"), {i: 1})
        q.redis.hset(q.key("job:" + i), mapping={
            "state": "done", "s:email": "1", "i:email": "1", "mail_arrived": "1", "ended_ms": "1"})
    assert resend(q, i) == (["SPENT"], {})


def test_resend_is_granted_to_a_request_once(q):
    i, request = sent(q, "a"), q.active("request")
    answer, changed = q.changes("resend", i, "agent", request, "")
    assert answer == ["OK", i] and changed["job:" + request] == {"resent": i}
    assert "audit" not in changed  # a client's, not an operator's
    assert q.changes("resend", i, "agent", request, "") == (["OK", i], {})


def test_resend_refused(q):
    assert resend(q, ident("none")) == (["NONE"], {})
    assert resend(q, sent(q, "a", exp_ms=q.now() - 1000)) == (["EXPIRED"], {})
    assert resend(q, q.job("b", "done")) == (["STATE", "done"], {})
    assert resend(q, q.job("c", "failed", **FULL)) == (["STATE", "failed"], {})


def test_resend_by_way_of_a_duplicate(q):
    i = sent(q)
    once = q.job("once", "done", dup_of=i)
    twice = q.job("twice", "done", dup_of=once)
    answer, changed = resend(q, twice)
    assert answer == ["OK", i] and "job:" + twice not in changed
    loop = q.job("loop", "done", dup_of=ident("loop"))
    assert resend(q, loop) == (["STATE", "done"], {})


# ---- discard ----

@pytest.mark.parametrize("state,place", [
    ("queued", "pending"), ("queued", "solo"), ("delayed", None), ("failed", None)])
def test_discard(q, state, place):
    due = {"due_ms": "1"} if state == "delayed" else {}
    i = q.job("a", state, place, same="S", **due)
    q.redis.set(q.key("same:S"), i, ex=100)
    q.redis.zadd(q.key("follow"), {"late " + i: 1, "report " + i: 1})
    assert q.changes("discard", i, "op", "desk") == (["OK"], {
        place or state: None, "follow": None, "same:S": None, "done": {i: "NOW"},
        "view:" + i: "done", "log:" + i: ["discarded by op"],
        "audit": [audited("discard", i)],
        "stat": {"discarded": "1", "done": "1"},
        "job:" + i: {"state": "done", "discarded": "op", "ended_ms": "NOW",
                     **dict.fromkeys(due)}})


def test_discard_of_a_reported_one(q):
    i = q.job("a", "failed", report_iid=5, same="S")
    q.redis.set(q.key("same:S"), ident("other"), ex=100)
    _, changed = q.changes("discard", i, "op", "desk")
    assert changed["follow"] == {"report " + i: "NOW"} and "same:S" not in changed
    assert changed["job:" + i]["fixed_by"] == i


def test_discard_refused(q):
    assert q.changes("discard", ident("none"), "op", "desk") == (["NONE"], {})
    assert q.changes("discard", q.job("a", "done"), "op", "desk") == (["STATE", "done"], {})
    assert q.changes("discard", q.active("b"), "op", "desk") == (["STATE", "active"], {})


# ---- forget ----

def forget(q, i, doing=1, cap="", *addresses):
    return q.changes("forget", i, doing, "op", "desk", 1, cap, *addresses)


@pytest.mark.parametrize("state", ["done", "failed"])
def test_forget(q, state):
    other = q.job("other", "done", ticket=7)
    i = q.job("a", state, same="S", idem="I", ticket=7, req="{}", report_shared="s", **{"s:email": "1 1 "})
    for key, value in (("same:S", i), ("idem:I", i), ("view:" + i, '{"status":"active"}'),
                       ("view:t:7", json.dumps({"job_id": i, "status": state}, separators=(",", ":")))):
        q.redis.set(q.key(key), value, ex=100)
    for key, members in (("ticket:7", {i: 1, other: 2}), ("cap:addr:A", {i: 1}), ("invalid", {i: 1}),
                         ("cap:day", {i: 1})):
        q.redis.zadd(q.key(key), members)
        q.redis.expire(q.key(key), 100)
    q.redis.hset(q.key("shared:s"), "ids", f"{other} {i}")
    q.redis.expire(q.key("shared:s"), 100)
    q.redis.rpush(q.key("log:" + i), "1 words")
    q.redis.zadd(q.key("follow"), {"late " + i: 1})
    for channel in ("slack", "zendesk"):
        q.redis.zadd(q.key("tell:" + channel), {i: 1})
    assert forget(q, i, 0) == (["OK"], {})  # only asked
    answer = q.run("forget", i, 1, "op", "desk", 1, "addr:A")
    after = q.dump()
    assert answer == ["OK"]
    assert {name for name, value in after.items() if i in name or i in str(value)} == {
        "forgotten:" + i, "view:" + i, "idem:I", "cap:day", "audit"}
    assert q.view(i) == {"job_id": i, "status": state} and after["forgotten:" + i] == "NOW"
    assert after["audit"] == [audited("forget", i)] and after["stat"] == {"forgotten": "1"}
    assert after["shared:s"] == {"ids": other} and after["ticket:7"] == {other: "2"}
    assert "view:t:7" not in after and "same:S" not in after and other in after["done"]
    assert forget(q, i) == (["NONE"], {})


@pytest.mark.parametrize("ids,left", [("{i}", ""), ("{i} b", "b"), ("a {i} b", "a b")])
def test_forget_leaves_the_others_of_a_shared_issue(q, ids, left):
    i = q.job("a", "failed", report_shared="s")
    q.redis.hset(q.key("shared:s"), "ids", ids.format(i=i))
    q.redis.expire(q.key("shared:s"), 100)
    assert forget(q, i)[1]["shared:s"] == {"ids": left}


def test_forget_leaves_what_others_have(q):
    i = q.job("a", "done", same="S", ticket=7)
    q.redis.set(q.key("same:S"), ident("other"), ex=100)
    q.redis.set(q.key("view:t:7"), json.dumps({"job_id": ident("other"), "status": "done"}), ex=100)
    _, changed = forget(q, i)
    assert not {"same:S", "view:t:7"} & set(changed)


def test_forget_refused(q):
    assert forget(q, ident("none")) == (["NONE"], {})
    for state in ("queued", "delayed"):
        assert forget(q, q.job(state, state)) == (["STATE", state], {})
    assert forget(q, q.active("b")) == (["STATE", "active"], {})
    assert forget(q, q.job("n", "done", v=2)) == (["NEWER"], {})
    i = q.job("r", "failed")
    q.redis.zadd(q.key("follow"), {"report " + i: 1})
    assert forget(q, i) == (["REPORT"], {})


def test_a_replay_of_a_forgotten_one(q):
    """By its id, from a receiver or a spool: no second license."""
    i = q.job("a", "done", raw="{}")
    forget(q, i)
    for raw in ("{}", "{ }"):
        q.redis.lpush(q.key("inbox"), f"{i} {raw}")
    q.worker("w1")
    before = q.dump()
    q.run("take", "w1", 5, 0, 1000, 1, 1, "seed", 200)
    after = q.dump()
    assert after["stat"].pop("replayed") == "2"
    before.pop("inbox")
    assert after == before


def test_the_key_of_a_forgotten_one(q):
    """A bare request under its key: the same, whatever it says by now."""
    first = q.job("first", "done", idem="I", digest="D")
    q.redis.set(q.key("idem:I"), first, ex=100)
    forget(q, first)
    i = q.active("new")
    answer, changed = claim(q, i, idem="I", digest="E")
    assert answer == ["REPLAY", first] and changed["job:" + i]["dup_of"] == first
    assert "log:" + first not in changed


def test_words_that_name_somebody(q):
    q.run("pause", 1, "for Nina@Customer.Example and nina@customer.example", "op", "desk")
    q.run("pause", 1, "for sam@customer.example", "op", "desk")
    q.run("pause", 1, "nina@customer.example", "op", "desk")
    q.redis.hset(q.key("lane:smtp"), mapping={"until_ms": 1, "text": "no <nina@customer.example>"})
    q.redis.expire(q.key("lane:smtp"), 100)
    names = ("nina@customer.example", "nina%40customer.example")
    assert forget(q, "", 0, "", *names) == (["OK", "4"], {})
    answer, changed = forget(q, "", 1, "", *names)
    assert answer == ["OK", "4"]
    assert changed == {
        "paused": "NOW op ***", "lane:smtp": {"text": "no <***>"},
        "audit": [audited("pause", "-", "for *** and ***"),
                  audited("pause", "-", "for sam@customer.example"),
                  audited("pause", "-", "***"), audited("forget", "-", "4 lines masked")]}
    assert forget(q, "", 1, "", *names) == (["OK", "0"], {})


@pytest.mark.parametrize("words,left", [
    ("ask nina@a.example.", "ask ***."), ("'nina@a.example'", "'***'"),
    ("<Nina@A.example>nina%40a.example", "<***>***"),
    ("xnina@a.example x.nina@a.example o'nina@a.example 2+nina@a.example", None),
    ("nina@a.example.org nina@a.example2 nina@a.example-x", None),
    ("xnina@a.example, nina@a.example", "xnina@a.example, ***"),
])
def test_words_that_name_another_are_left(q, words, left):
    q.redis.set(q.key("paused"), words)
    answer, _ = forget(q, "", 1, "", "nina@a.example", "nina%40a.example")
    assert answer == ["OK", "1" if left else "0"]
    assert q.redis.get(q.key("paused")) == (left or words)


# ---- what goes onto the list and holds it ----

def test_submit(q):
    assert q.changes("submit", ident("a"), "{}", "op", "desk", "submit") == (["OK"], {
        "inbox": [ident("a") + " {}"], "audit": [audited("submit", ident("a"))]})


def test_pause_and_resume(q):
    assert q.changes("pause", 1, "why not", "op", "desk") == (["OK", "1"], {
        "paused": "NOW op why not", "audit": [audited("pause", "-", "why not")]})
    assert q.changes("pause", 0, "", "op", "desk")[1] == {
        "paused": None,
        "audit": [audited("pause", "-", "why not"), audited("resume", "-")]}
    assert q.changes("pause", 0, "", "op", "desk") == (["OK", "0"], {})


def test_audit_is_bounded(q):
    q.redis.rpush(q.key("audit"), *[f"{n}\top\tdesk\tresume\t-\t" for n in range(20005)])
    q.redis.pexpire(q.key("audit"), DAY)
    q.run("submit", ident("a"), "{}", "op", "desk", "submit")
    lines = q.redis.lrange(q.key("audit"), 0, -1)
    assert len(lines) == 20000 and lines[0].startswith("6\t") and ident("a") in lines[-1]
    assert q.redis.pttl(q.key("audit")) > DAY


# ---- trim ----

def test_trim_takes_audit_lines(q):
    """From the oldest on, to the first that is young: a batch a time."""
    old = q.now() - RETENTION - 60000
    q.redis.rpush(q.key("audit"), *[f"{old}\top\tdesk\tresume\t-\t"] * 250,
                  f"{q.now()}\top\tdesk\tresume\t-\t")
    q.redis.pexpire(q.key("audit"), DAY)
    assert [q.run("trim", RETENTION) for _ in range(3)] == [[200], [50], [0]]
    assert q.redis.llen(q.key("audit")) == 1


def test_trim_takes_all_of_a_job(q):
    """A job goes through everything; afterwards only what has a time to live is left."""
    q.run("beat", "w1", 10000, 1000, RETENTION, "seed", 200, "")
    q.job("stays", "done", ticket=7)
    q.run("take", "w1", 0, 0, 1000, 1, 0, "s", 200)
    baseline = q.dump()
    i = ident("goes")
    q.redis.lpush(q.key("inbox"), i + " {}")
    q.run("take", "w1", 1, 0, 1000, 1, 0, "s", 200)
    assert q.run("claim_keys", i, "w1", 1, "{}", "D", "I", "S", 7, RETENTION, "me") == ["OK"]
    q.run("save", i, "w1", 1, 1, "", "", 2, "day", 9, "addr:x", 9, *write({"lic": "L"}))
    q.run("finish", i, "w1", 1, "fail", 0, "words", *write({"err_class": "permanent"}))
    assert q.run("trim", RETENTION) == [0]
    q.redis.zadd(q.key("failed"), {i: q.now() - RETENTION - 1000})
    assert q.run("trim", RETENTION) == [1]
    after = q.dump()
    for name in ("stat", "cap:day", "cap:addr:x", "workers", "winfo:w1"):
        after.pop(name, None)
        baseline.pop(name, None)
    assert after == baseline


def test_trim_leaves_keys_that_others_have(q):
    i = q.job("old", "done", at=-RETENTION - 10000, same="S", idem="I", ticket=7)
    other = q.job("other", "done", same="S", idem="I", ticket=7)
    for key in ("same:S", "idem:I"):
        q.redis.set(q.key(key), other, ex=100)
    q.redis.zadd(q.key("ticket:7"), {i: 1, other: 2})
    q.redis.expire(q.key("ticket:7"), 100)
    q.redis.set(q.key("view:t:7"), json.dumps({"job_id": other, "status": "done"}), ex=100)
    assert q.changes("trim", RETENTION) == ([1], {
        "job:" + i: None, "done": {i: None}, "ticket:7": {i: None}})


def test_trim_takes_what_a_report_left_behind(q):
    """Written when the job had ended: it would live longer."""
    i = q.job("old", "failed", at=-RETENTION - 10000, ticket=7, report_shared="s")
    q.redis.set(q.key("view:t:7"), json.dumps(
        {"job_id": i, "status": "failed"}, separators=(",", ":")), ex=100)
    q.redis.zadd(q.key("invalid"), {i: 1})
    q.redis.hset(q.key("shared:s"), "ids", i)
    for key in ("invalid", "shared:s"):
        q.redis.expire(q.key(key), 100)
    q.run("trim", RETENTION)
    assert not any(i in str(item) for item in q.dump().items())


# ---- what the receiver reads ----

def test_view(q):
    i = q.active("a", ticket=2**53 - 1, err_class="permanent", issue_url="u", report_url="r",
                 exp_ms=1767225600000, lic="SECRET", s_validate="1",
                 err_text="<o'brien+x@example.com>: no; \u00e9t\u00e9@example.org, a!b#c@d.example")
    q.run("save", i, "w1", 1, 1, "", "", 0, *write({"s:sign": "@now@ 1 "}))
    assert not q.redis.exists(q.key("view:" + i))  # on its way a job says nothing itself
    assert q.run("show", "w2", i + " " + ident("none")) == [0]
    assert q.run("show", "w1", ident("none") + " " + i) == [1]
    view = q.view(i)
    assert abs(view.pop("updated_ms") - q.now()) < 5000
    assert view == {
        "job_id": i, "status": "active", "ticket_id": 2**53 - 1, "steps": ["validate", "sign"],
        "error": {"class": "permanent",
                  "text": "<o***@example.com>: no; ***@example.org, a***@d.example"},
        "issue_url": "u", "report_url": "r", "expires_ms": 1767225600000}
    assert json.loads(q.redis.get(q.key("view:t:%d" % (2**53 - 1))))["job_id"] == i


def test_view_of_a_duplicate_is_not_the_tickets(q):
    first, i = holder(q, "queued"), q.active("new")
    claim(q, i)
    assert q.view(i)["duplicate_of"] == first
    assert not q.redis.exists(q.key("view:t:7"))
