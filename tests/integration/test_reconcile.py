"""stopgapctl reconcile: what Zendesk's log says was sent, held against the queue."""

import dataclasses
import datetime
import json
import re

import pytest
from testenv import process
from testenv.queue import PREFIX
from testenv.zendesk import Zendesk
from testenv.zendesk_hooks import Invocation, now, ulid

HOOK = {"name": "licenses", "http_method": "POST", "request_format": "json",
        "status": "active", "subscriptions": ["conditional_ticket_events"]}
DAY = datetime.timedelta(days=1)


@dataclasses.dataclass
class Desk:
    """The webhook, and what its log says."""

    zendesk: Zendesk
    hook: str

    def ticket(self):
        return self.zendesk.mail_in()

    def body(self, ticket, **fields):
        request = {"ticket_id": str(ticket), "email": Zendesk.CUSTOMER, "users": "25",
                   "requested_by": Zendesk.AGENT, **fields}
        return json.dumps(request, indent=1)

    def log(self, payload, status="server error", code=502, age=datetime.timedelta(minutes=5),
            attempts=1, hook=None, invocation_id=None):
        """An invocation as Zendesk shows it; payload None: it was never sent."""
        at = now() - age
        invocation = Invocation(invocation_id or ulid(), hook or self.hook, at, payload or "", status, code)
        for _ in range(attempts):
            attempt = {"id": self.hook, "invocation_id": invocation.id, "status": status,
                       "completed_at": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
            if payload is not None:
                attempt["request"] = {"headers": [], "payload": payload}
            if code:
                attempt.update(status_code=code, response={"headers": [], "payload": ""})
            invocation.attempts.append(attempt)
        with self.zendesk.state.lock:
            self.zendesk.hooks.invocations.append(invocation)
        return invocation.id

    def lost(self, **more):
        """A request of a ticket of its own that never arrived; (invocation, bytes)."""
        payload = self.body(self.ticket())
        return self.log(payload, **more), payload


@pytest.fixture
def desk(zendesk):
    with zendesk.state.lock:
        hook = zendesk.state.create_webhook(
            zendesk._user(Zendesk.ADMIN),
            dict(HOOK, endpoint=f"http://127.0.0.1:{process.free_port()}/zendesk"))
    return Desk(zendesk, hook["id"])


@pytest.fixture
def ctl_env(redis, zendesk, desk):
    return {"STOPGAP_REDIS_URL": redis.url, "STOPGAP_ZENDESK_URL": zendesk.url,
            "STOPGAP_ZENDESK_USER": Zendesk.ADMIN, "STOPGAP_ZENDESK_TOKEN": Zendesk.TOKEN,
            "STOPGAP_ZENDESK_WEBHOOK_ID": desk.hook}


def inbox(redis):
    return redis.bytes_client.lrange(PREFIX + "inbox", 0, -1)


def keys(redis):
    return sorted(redis.client.scan_iter("*"))


def found(ctl, *args, status=1):
    """{invocation: what is said of it} and the whole answer."""
    said = ctl.json("reconcile", *args, status=status)
    return {i["invocation"]: i for i in said["invocations"]}, said


# ---- the whole way ----

def test_what_was_lost_becomes_one_job(ctl, desk, zendesk, redis, worker, queue, smtp):
    """Nobody listens where Zendesk sends to."""
    ticket = desk.ticket()
    with zendesk.state.lock:
        zendesk.hooks.invoke(zendesk.webhook(), zendesk.webhook()["secret"], desk.body(ticket))
    (invocation,) = zendesk.settled()
    assert "1 missing" in ctl.run("reconcile", status=1).out
    assert queue.jobs() == {}

    items, said = found(ctl, "--submit", status=0)
    assert (said["missing"], said["submitted"]) == (0, 1)
    job_id = items[invocation.id]["job_id"]
    job = queue.wait_state(job_id, "done")
    assert queue.raw(job_id) == desk.body(ticket).encode()
    assert (job["ticket"], len(smtp.mails)) == (str(ticket), 1)

    for args in ([], ["--submit"]):
        said = ctl.run("reconcile", *args)
        assert "1 arrived, 0 missing" in said.out
    # The delivery that comes after all has the same id and the same bytes.
    redis.client.lpush(PREFIX + "inbox", f"{job_id} {desk.body(ticket)}")
    queue.settled(1)
    assert len(smtp.mails) == 1


def test_submitting_twice_before_a_worker_comes_is_one_entry(ctl, desk, redis):
    invocation, payload = desk.lost()
    items, _ = found(ctl, "--submit", status=0)
    entry = f"{items[invocation]['job_id']} {payload}".encode()
    assert inbox(redis) == [entry]
    assert found(ctl, "--submit", status=0)[1]["submitted"] == 0
    assert inbox(redis) == [entry]


def test_what_was_forgotten_is_not_missing(ctl, desk, redis, worker, queue, smtp):
    """Its request would bring the person back."""
    invocation, _ = desk.lost()
    found(ctl, "--submit", status=0)
    (job_id,) = queue.settled(1)
    redis.client.delete(PREFIX + "follow")
    email = smtp.mails[0].to if smtp.mails else queue.job(job_id)["err_text"]
    ctl.run("forget", email, "--yes")
    assert queue.jobs() == {}
    said = ctl.run("reconcile", "--submit", invocation)
    assert "arrived" in said.out and inbox(redis) == []


def test_looking_writes_nothing(ctl, desk, zendesk, redis):
    invocation, _ = desk.lost()
    before = zendesk.writes()
    for args in ([], [invocation], ["--since", "7d"], ["--json"]):
        ctl.run("reconcile", *args, status=1)
    assert keys(redis) == []
    assert zendesk.writes() == before


def test_nothing_sent_and_nothing_missing(ctl, desk, redis):
    said = ctl.run("reconcile")
    assert "0 invocations since" in said.out
    assert said.err == ""
    assert inbox(redis) == []
    assert ctl.json("reconcile")["invocations"] == []


def test_the_oldest_goes_first(ctl, desk, redis):
    payloads = [desk.lost(age=datetime.timedelta(minutes=m))[1] for m in (1, 9, 5)]
    ctl.run("reconcile", "--submit")
    order = [entry.split(b" ", 1)[1].decode() for entry in reversed(inbox(redis))]
    assert order == [payloads[1], payloads[2], payloads[0]]


def test_what_is_there_is_seen_wherever_it_is(ctl, desk, redis):
    """In the inbox, as a job, and under a key of its own."""
    sent = [desk.lost() for _ in range(2)]
    own = desk.log(desk.body(desk.ticket(), idempotency_key="app-77"))
    items, _ = found(ctl)
    ids = [items[i]["job_id"] for i, _ in sent] + [items[own]["job_id"]]
    redis.client.lpush(PREFIX + "inbox", f"{ids[0]} {sent[0][1]}", '{"bare": 1}', "x" * 30)
    redis.client.hset(PREFIX + "job:" + ids[1], "state", "failed")
    redis.client.hset(PREFIX + "job:" + ids[2], "state", "done")
    assert found(ctl, status=0)[1]["arrived"] == 3


def test_a_view_alone_is_no_job(ctl, desk, redis):
    """A receiver writes it beside the request; one may get through without the other."""
    invocation, _ = desk.lost()
    items, _ = found(ctl)
    redis.client.set(PREFIX + "view:" + items[invocation]["job_id"], '{"status":"queued"}')
    assert only(ctl)["finding"] == "missing"


def test_the_own_key_names_the_job(ctl, desk, redis, worker, queue):
    """The same content by hand, under the same key, is the same job."""
    payload = desk.body(desk.ticket(), idempotency_key="app-77")
    invocation = desk.log(payload)
    items, _ = found(ctl, "--submit", status=0)
    queue.wait_state(items[invocation]["job_id"], "done")
    other = desk.log(payload)
    items, said = found(ctl, other, status=0)
    assert items[other]["finding"] == "arrived"
    assert said["missing"] == 0


def test_a_request_with_faults_fails_where_people_see_it(ctl, desk, worker, queue, gitlab):
    invocation = desk.log('{"ticket_id": "4711", "users": ')
    items, _ = found(ctl, "--submit", status=0)
    job = queue.wait_state(items[invocation]["job_id"], "failed")
    assert job["err_class"] == "invalid"


# ---- what is not submitted by itself ----

def only(ctl, *args, status=1):
    items, said = found(ctl, *args, status=status)
    assert len(items) == 1, said
    return next(iter(items.values()))


@pytest.mark.parametrize("finding, more, by_name", [
    ("refused", {"status": "client error", "code": 401}, True),
    ("large", {"status": "client error", "code": 413}, False),
    ("accepted", {"status": "success", "code": 202}, True),
    ("old", {"age": DAY + datetime.timedelta(minutes=1)}, True),
])
def test_shown_and_left_to_a_person(ctl, desk, redis, finding, more, by_name):
    invocation, payload = desk.lost(**more)
    item = only(ctl, "--submit")
    assert (item["finding"], item["missing"], item["submitted"]) == (finding, True, False)
    said = ctl.run("reconcile", "--submit", status=1)
    assert f"1 {finding}: " in said.out
    assert inbox(redis) == []
    item = only(ctl, "--submit", invocation, status=0 if by_name else 1)
    assert item["submitted"] == by_name
    assert inbox(redis) == ([f"{item['job_id']} {payload}".encode()] if by_name else [])


@pytest.mark.parametrize("status", ["circuit broken", "throttled"])
def test_what_zendesk_held_back_has_no_content(ctl, desk, redis, status):
    invocation = desk.log(None, status=status, code=0, attempts=2)
    item = only(ctl, "--submit")
    assert (item["finding"], item["attempts"], item["status"]) == ("unsent", 2, status)
    said = ctl.run("reconcile", "--submit", invocation, status=1)
    assert "never sent" in said.out
    assert inbox(redis) == []


def test_an_invocation_of_several_rows_is_one(ctl, desk, redis):
    """Zendesk lists it anew with each status that it had."""
    invocation, _ = desk.lost()
    desk.log(None, status="throttled", code=0, invocation_id=invocation,
             age=datetime.timedelta(minutes=7))
    item = only(ctl, "--submit", status=0)
    assert (item["status"], item["submitted"]) == ("server error", True)
    assert len(inbox(redis)) == 1


def test_a_body_past_a_requests_size(ctl, desk, redis):
    desk.log(desk.body(desk.ticket(), note="x" * 16384))
    assert only(ctl, "--submit")["finding"] == "large"
    assert inbox(redis) == []


def test_since_takes_old_ones_and_leaves_older_ones(ctl, desk, redis):
    two, _ = desk.lost(age=2 * DAY)
    four, _ = desk.lost(age=4 * DAY)
    items, _ = found(ctl, "--submit")
    assert {i["finding"] for i in items.values()} == {"old"}
    items, said = found(ctl, "--submit", "--since", "3d", status=0)
    assert list(items) == [two]
    items, _ = found(ctl)
    assert list(items) == [four]
    assert len(inbox(redis)) == 1


def test_older_than_retention_is_not_missed(ctl, desk, redis):
    desk.lost(age=3 * DAY)
    ctl.env["STOPGAP_RETENTION"] = "2d"
    item = only(ctl, "--submit", "--since", "7d", status=0)
    assert (item["finding"], item["missing"]) == ("forgotten", False)
    assert inbox(redis) == []


def test_a_ticket_that_was_asked_for_again(ctl, desk, redis, worker, queue, smtp):
    """The agent pressed once more, with another count: the first is not wanted now."""
    ticket = desk.ticket()
    first = desk.log(desk.body(ticket, users="10"), age=datetime.timedelta(minutes=9))
    second = desk.log(desk.body(ticket, users="12"))
    items, said = found(ctl, "--submit", status=0)
    assert items[first]["later_invocation"] == second
    assert (items[first]["submitted"], items[second]["submitted"]) == (False, True)
    job_id = items[second]["job_id"]
    queue.wait_state(job_id, "done")
    item = only(ctl, "--submit", status=0)
    assert (item["invocation"], item["later_job"]) == (first, job_id)
    assert f"asked for again since: job {job_id}" in ctl.run("reconcile").out
    assert len(queue.jobs()) == len(smtp.mails) == 1


def test_the_last_press_counts_before_it_is_read(ctl, desk, redis):
    ticket = desk.ticket()
    first = desk.log(desk.body(ticket, users="10"), age=datetime.timedelta(minutes=9))
    assert only(ctl)["finding"] == "missing"
    second = desk.log(desk.body(ticket, users="12"))
    ctl.run("reconcile", "--submit")
    (entry,) = inbox(redis)
    item = only(ctl, "--submit", status=0)  # it waits in the inbox
    assert (item["invocation"], item["finding"]) == (first, "asked_again")
    assert inbox(redis) == [entry]
    job_id, raw = entry.decode().split(" ", 1)
    redis.client.delete(PREFIX + "inbox")  # adopted, and not read yet
    redis.client.hset(PREFIX + "job:" + job_id, mapping={"state": "queued", "raw": raw})
    item = only(ctl, "--submit", status=0)
    assert (item["later_invocation"], item["submitted"]) == (second, False)
    assert item["text"] == f"asked for again since: job {job_id}"
    assert inbox(redis) == []


def test_an_equal_request_makes_no_second_license(ctl, desk, redis, worker, queue, smtp):
    """A trigger that fired twice: one arrived, the other one's delivery was lost."""
    payload = desk.body(desk.ticket())
    redis.client.lpush(PREFIX + "inbox", payload)
    first, _ = next(iter(queue.settled(1).items()))
    invocation = desk.log(payload, age=datetime.timedelta(0))
    item = only(ctl, "--submit", invocation, status=0)
    job = queue.wait_state(item["job_id"], "done")
    assert job["dup_of"] == first
    assert len(smtp.mails) == 1


@pytest.mark.parametrize("status", ["solved", "closed"])
def test_a_ticket_that_is_settled(ctl, desk, zendesk, redis, status):
    invocation, payload = desk.lost()
    with zendesk.state.lock:
        zendesk.state.tickets[int(json.loads(payload)["ticket_id"])]["status"] = status
    item = only(ctl, "--submit", status=0)
    assert (item["finding"], item["text"]) == ("settled", f"its ticket is {status}")
    assert inbox(redis) == []
    assert only(ctl, "--submit", invocation, status=0)["submitted"]


def test_a_ticket_that_is_gone(ctl, desk, redis):
    desk.log(desk.body(999999))
    item = only(ctl, "--submit", status=0)
    assert item["text"] == "its ticket is gone"
    assert inbox(redis) == []


def test_another_requester(ctl, desk, redis):
    desk.log(desk.body(desk.ticket(), email="other@example.com"))
    assert only(ctl, "--submit")["finding"] == "requester"
    assert inbox(redis) == []


def test_other_webhooks_do_not_count(ctl, desk, zendesk, redis):
    with zendesk.state.lock:
        other = zendesk.state.create_webhook(zendesk._user(Zendesk.ADMIN), dict(
            HOOK, endpoint="http://127.0.0.1:1/other"))
    desk.log(desk.body(desk.ticket()), hook=other["id"])
    assert found(ctl, status=0)[1]["looked_at"] == 0


def test_only_the_named(ctl, desk, redis):
    one, payload = desk.lost()
    desk.lost()
    items, said = found(ctl, "--submit", one, status=0)
    assert list(items) == [one]
    (entry,) = inbox(redis)
    assert entry.endswith(payload.encode())
    assert "no invocation nobody" in ctl.run("reconcile", "--submit", "nobody", status=1).err
    assert len(inbox(redis)) == 1


# ---- the log's pages ----

def test_all_pages_are_read(ctl, desk, zendesk, redis):
    for _ in range(205):
        desk.log("{}", status="success", code=202)
    lost, _ = desk.lost(age=datetime.timedelta(hours=3))
    items, said = found(ctl, "--submit", lost, status=0)
    assert items[lost]["submitted"]
    pages = [r for r in zendesk.requests() if r.path.endswith("/invocations")]
    assert [len(p.query.get("page[after]", "")) > 0 for p in pages] == [False, True, True]
    assert all(p.query["filter[from_ts]"] for p in pages)


# ---- Zendesk in trouble ----

@pytest.mark.parametrize("user, words", [
    ({"STOPGAP_ZENDESK_TOKEN": "wrong"}, "STOPGAP_ZENDESK_TOKEN right"),
    ({"STOPGAP_ZENDESK_USER": Zendesk.AGENT}, "administrator"),
    ({"STOPGAP_ZENDESK_WEBHOOK_ID": "01" + "A" * 24}, "STOPGAP_ZENDESK_WEBHOOK_ID"),
])
def test_wrong_settings_are_told(ctl, desk, redis, user, words):
    desk.lost()
    ctl.env.update(user)
    said = ctl.run("reconcile", "--submit", status=1)
    assert re.fullmatch(r"stopgapctl: Zendesk .*; nothing was submitted\n", said.err)
    assert words in said.err
    assert Zendesk.TOKEN not in said.err + said.out
    assert inbox(redis) == []


DOWN = {"kind": "answer", "status": 503, "body": "<h1>down</h1>"}
PAGE = {"kind": "answer", "status": 200, "body": "<h1>hello</h1>"}
OTHER = {"kind": "answer", "status": 200, "body": {}}
UNREADABLE = "that can be read"


@pytest.mark.parametrize("path, fault, words", [
    ("/invocations", DOWN, "answered 503: down"),
    ("/invocations", PAGE, UNREADABLE),
    ("/invocations", OTHER, UNREADABLE),
    ("/invocations", {"kind": "cut"}, UNREADABLE),
    ("/invocations", {"kind": "lost_after"}, "Zendesk: "),
    ("/attempts", DOWN, "answered 503: down"),
    ("/attempts", OTHER, UNREADABLE),
    ("/tickets/", DOWN, "answered 503: down"),
    ("/tickets/", PAGE, UNREADABLE),
])
def test_no_answer_is_never_taken_for_nothing(ctl, desk, zendesk, redis, path, fault, words):
    desk.lost()
    fault = dict(fault)
    zendesk.fail_next(fault.pop("kind"), times=99, path=path, **fault)
    said = ctl.run("reconcile", "--submit", status=1)
    assert words in said.err
    assert "nothing was submitted" in said.err
    assert said.out == ""
    assert inbox(redis) == []


def test_a_fault_that_passes_is_not_seen(ctl, desk, zendesk, redis):
    desk.lost()
    for path in ("/invocations", "/attempts", "/tickets/"):
        zendesk.fail_next("answer", times=2, path=path, status=502, body="<h1>x</h1>")
    assert found(ctl, "--submit", status=0)[1]["submitted"] == 1


def test_a_rate_limit_is_obeyed(ctl, desk, zendesk, redis):
    desk.lost()
    zendesk.fail_next("answer", path="/attempts", status=429, body={"error": "slow"},
                      headers={"Retry-After": "1"})
    said = ctl.run("reconcile", "--submit")
    assert "Zendesk asks to wait 1 s" in said.err
    assert len(inbox(redis)) == 1


def test_a_long_wait_is_left_to_a_person(ctl, desk, zendesk, redis):
    zendesk.fail_next("answer", path="/invocations", status=429, body={"error": "slow"},
                      headers={"Retry-After": "600"})
    said = ctl.run("reconcile", status=1)
    assert "answered 429" in said.err
    assert "run it again later" in said.err


def test_nobody_there(ctl, desk):
    ctl.env["STOPGAP_ZENDESK_URL"] = f"http://127.0.0.1:{process.free_port()}"
    assert "STOPGAP_ZENDESK_URL" in ctl.run("reconcile", status=1).err


def test_missing_settings_are_told_at_once(ctl, redis):
    for name in list(ctl.env):
        if "ZENDESK" in name:
            del ctl.env[name]
    said = ctl.run("reconcile", status=2)
    for name in ("URL", "USER", "TOKEN", "WEBHOOK_ID"):
        assert f"STOPGAP_ZENDESK_{name}: required and not set" in said.err
    ctl.run("list")  # needs none of them


def test_other_commands_do_not_read_the_token(ctl, folder):
    """It may be in a file that an operator who does not reconcile cannot read."""
    del ctl.env["STOPGAP_ZENDESK_TOKEN"]
    ctl.env["STOPGAP_ZENDESK_TOKEN_FILE"] = folder + "/not-for-you"
    ctl.run("list")
    assert "not-for-you" in ctl.run("reconcile", status=2).err


def test_redis_that_refuses_writes(ctl, desk, redis):
    desk.lost()
    redis.client.config_set("maxmemory", 1)
    said = ctl.run("reconcile", "--submit", status=1)
    assert "0 submitted, then it failed at" in said.err
    redis.client.config_set("maxmemory", 0)
    assert found(ctl, "--submit", status=0)[1]["submitted"] == 1
