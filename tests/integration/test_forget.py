"""What is held on a person: found wherever it is, removed but for what keeps a license from
being sent twice, and what cannot be reached is said."""

import json

import pytest
from testenv.queue import PREFIX as P
from testenv.scripts import ident
from testenv.webhook import request

NINA = "nina@customer.example"
KEY = {"idempotency_key": "01K0ZENDESKINVOCATION00001"}


def everything(redis):
    """{key: all that is in it, as text}, but for what each beat of a worker writes."""
    c, out = redis.client, {}
    readers = {"hash": c.hgetall, "string": c.get, "list": lambda k: c.lrange(k, 0, -1),
               "zset": lambda k: c.zrange(k, 0, -1)}
    for key in c.scan_iter(P + "*"):
        if key[len(P):].split(":")[0] not in ("cfg", "workers", "winfo"):
            out[key[len(P):]] = str(readers[c.type(key)](key))
    return out


def without_beats(redis):
    """What no worker writes by itself."""
    return {key: text for key, text in everything(redis).items()
            if key.split(":")[0] not in ("cfg", "winfo", "workers")}


def naming(redis, *words):
    """The keys in whose name or content one of the words stands."""
    return {key for key, text in everything(redis).items()
            if any(w.lower() in (key + text).lower() for w in words)}


def reported(queue, until):
    until(lambda: not queue.client.exists(P + "follow"), "reports")


def test_all_that_is_held_on_her(ctl, queue, worker, smtp, gitlab, redis, until):
    """Done, twice asked for, resent, corrected, failed, and not to be read; the others'
    stay."""
    smtp.on("Nina+x@customer.example", rcpt="550 5.1.1 no such user")
    queue.push(email=NINA, **KEY)
    queue.settled(1)
    first, _ = queue.only()
    queue.push(email=NINA)                                    # a duplicate
    queue.push(email=NINA, users=26, ticket_id=4712)          # another license
    queue.push(raw=json.dumps({"resend": first, "requested_by": "agent"}))
    queue.settled(4)
    queue.push(email=NINA, users=0, ticket_id=4713)           # invalid, read in part
    queue.push(raw='{"email": "nina@customer.example", ')     # not to be read at all
    queue.push(raw="email=NINA%40customer.example&users=5")
    queue.push(email="other@customer.example", ticket_id=4714, note=f"ask {NINA} first")
    queue.push(email="sam@customer.example", ticket_id=4711)  # of her ticket, another's
    queue.push(email="xnina@customer.example", ticket_id=4715)
    jobs = queue.settled(10)
    reported(queue, until)
    others = {i for i, r in jobs.items() if any(
        a in r["raw"] for a in ("sam@", "xnina@"))}
    ctl.run("pause", f"until {NINA} has answered")
    before = without_beats(redis)
    said = ctl.json("forget", "Nina@Customer.example")
    assert without_beats(redis) == before  # only listed
    assert {j["job_id"] for j in said["jobs"]} == set(jobs) - others
    assert said["done"] is False and said["words"] == 2
    where = {j["job_id"]: j["found_in"] for j in said["jobs"]}
    (resend,) = [i for i, r in jobs.items() if "resend" in r["raw"]]
    assert where[resend] == "points" and "req" in where[first].split()
    said = ctl.json("forget", NINA, "--yes")
    assert {j["forgotten"] for j in said["jobs"]} == {True} and said["left"] == 0
    assert set(queue.jobs()) == others
    assert naming(redis, "<nina@", f" {NINA}", f'"{NINA}', "nina%40") == set()
    left = naming(redis, first)
    (sam,) = [i for i in others if "sam@" in jobs[i]["raw"]]  # it corrects hers: `earlier`
    assert left == {f"forgotten:{first}", f"view:{first}", "audit", "cap:day", f"job:{sam}",
                    *(k for k in left if k.startswith(("idem:", "cap:agent:")))}
    assert len([k for k in left if k.startswith("idem:")]) == 1
    assert not [k for k in everything(redis) if k.startswith("same:")
                and redis.client.get(P + k) not in others]
    assert redis.client.zrange(P + "ticket:4711", 0, -1) == [sam]
    for record in jobs.values():
        for field in ("issue_url", "report_url"):
            if field in record and "sam@" not in record["raw"] and "xnina@" not in record["raw"]:
                assert f"the issue {record[field]}" in said["out_of_reach"]
    assert any("mails" in text for text in said["out_of_reach"])
    assert any("BGREWRITEAOF" in text for text in said["out_of_reach"])
    lines = ctl.json("audit")
    forgets = [x for x in lines if x["what"] == "forget"]
    assert {x["job_id"] for x in forgets if "job_id" in x} == set(jobs) - others
    assert [x["more"] for x in forgets if "job_id" not in x] == ["2 lines masked"]
    assert NINA not in str(lines)
    assert ctl.json("fsck")["findings"] == []
    assert "0 jobs" in ctl.run("forget", NINA).out


def test_a_replay_makes_no_second_license(ctl, queue, worker, start_webhook, smtp, redis, until):
    """By way of the receiver, and bare under its key."""
    receiver = start_webhook()
    job = receiver.deliver(request(email=NINA), invocation="01K0ZENDESKINVOCATION00001").job_id
    queue.settled(1)
    reported(queue, until)
    ctl.run("forget", NINA, "--yes")
    assert receiver.show(job).json["status"] == "done"
    again = receiver.deliver(request(email=NINA), invocation="01K0ZENDESKINVOCATION00001")
    assert again.status == 202 and again.job_id == job
    until(lambda: redis.client.hget(P + "stat", "replayed") == "1", "the replay is seen")
    assert receiver.show(job).json["status"] == "done" and queue.jobs() == {}
    queue.push(email=NINA, **KEY)
    queue.settled(1)
    bare, _ = queue.only()
    ctl.run("forget", NINA, "--yes")
    queue.push(email=NINA, **KEY)
    (record,) = queue.settled(1).values()
    assert record["dup_of"] == bare and len(smtp.mails_to()) == 2
    queue.push(email=NINA)  # a person asks anew: that is another request
    queue.settled(2)
    assert len(smtp.mails_to()) == 3


def test_what_is_under_way_is_left(ctl, queue, start_worker, smtp, redis, until):
    smtp.on(NINA, hold_dot=True)
    worker = start_worker()
    queue.push(email=NINA)
    until(lambda: smtp.dots, "a mail under way")
    late, due = ident("late"), int(redis.client.time()[0] + 3600) * 1000
    redis.client.hset(P + "job:" + late, mapping={
        "v": 1, "state": "delayed", "due_ms": due, "accepted_ms": 1, "attempt": 1, "fence": 1,
        "raw": json.dumps(request(email="nina@later.example"))})
    redis.client.zadd(P + "delayed", {late: due})
    for address, state in ((NINA, "active"), ("nina@later.example", "delayed")):
        before = queue.jobs(state)
        said = ctl.run("forget", address, "--yes", status=1).out
        assert f"left, since it is {state}: wait, or discard it first" in said
        assert queue.jobs(state) == before
        assert ctl.run("forget", address).status == 0
    ctl.run("discard", late)
    assert "forgotten" in ctl.run("forget", "nina@later.example", "--yes").out
    smtp.release()
    queue.settled(1)
    assert worker.running


def test_what_no_worker_has_taken_is_left(ctl, redis):
    redis.client.lpush(P + "inbox", json.dumps({"email": NINA}), "x", f"{ident('a')} {NINA}")
    said = ctl.run("forget", NINA, "--yes", status=1).out
    assert "2 requests in the inbox: left" in said and redis.client.llen(P + "inbox") == 3
    assert ctl.json("forget", NINA)["inbox"] == 2


def test_a_failure_that_is_not_reported_yet_is_left(ctl, queue, start_worker, smtp, gitlab, until):
    """Else its issue would be made by a worker that has it in hand, and nobody knew."""
    smtp.on(NINA, rcpt="550 5.1.1 no")
    gitlab.fail_next("slow", seconds=30)
    start_worker()
    queue.push(email=NINA)
    queue.settled(1)
    until(lambda: gitlab.requests("POST"), "an issue under way")
    assert "about to be written" in ctl.run("forget", NINA, "--yes", status=1).out
    gitlab.release()
    reported(queue, until)
    said = ctl.json("forget", NINA, "--yes")
    assert [t for t in said["out_of_reach"] if "/issues/" in t] and queue.jobs() == {}


@pytest.mark.parametrize("word", ["", "nina", "@", "nina@", "a b@c.example", "@x.example"])
def test_what_is_no_address(ctl, word):
    assert "no address" in ctl.run("forget", word, status=2).err


def test_records_of_any_kind(ctl, redis):
    """Nothing in them may break the search, or the terminal."""
    c = redis.client
    c.set(P + "job:" + ident("a"), "a string")
    c.hset(P + "job:" + ident("b"), mapping={"raw": NINA})
    c.hset(P + "job:" + ident("c"), mapping={"v": 99, "state": "done", "raw": NINA})
    c.hset(P + "job:" + ident("d"), mapping={
        "v": 1, "state": "done\x1b[2J", "raw": b"\xff\x00" + NINA.encode(), "ticket": "\x1b]0;x\x07",
        "issue_url": "\x1b[31m", "report_url": "x\u202e"})
    c.hset(P + "job:not an id", mapping={"raw": NINA})
    ctl.run("forget", NINA, status=1)  # a key of another type: Redis says so
    c.delete(P + "job:" + ident("a"))
    said = ctl.run("forget", NINA, "--yes", status=1)
    assert "a newer program wrote it" in said.out
    assert "\x1b" not in said.out and "\u202e" not in said.out
    out = ctl.run("forget", NINA, "--json").json
    assert [j["answer"] for j in out["jobs"]] == ["NONE", "NEWER", "STATE"]


def test_fsck_leaves_what_is_left_of_it(redis, ctl):

    redis.client.set(P + "forgotten:" + ident("a"), 1, px=99999)
    redis.client.set(P + "view:" + ident("a"), "{}", px=99999)
    redis.client.set(P + "idem:x", ident("a"), px=99999)
    assert ctl.json("fsck")["findings"] == []
