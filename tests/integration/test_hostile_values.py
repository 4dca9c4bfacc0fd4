"""Answers of GitLab and Zendesk that are well formed and hold what they should not, and
answers that say our own secrets again. The job ends as it should, and nobody is shown
what could be run, believed or read."""

import base64
import json

import pytest
from test_hostile_http import wires  # noqa: F401  # pylint: disable=unused-import
from testenv.queue import PREFIX
from testenv.slack import PATH as SLACK_PATH
from testenv.slack import shown
from testenv.wire import Answer


@pytest.fixture
def ask(queue, zendesk):
    """A job of its own, from its push to the last word about it: (id, record, ticket)."""
    def push(n, until):
        ticket = zendesk.mail_in()
        queue.push(ticket_id=ticket, email=zendesk.CUSTOMER, requested_by=f"agent{n}")
        jobs = queue.settled(n)
        until(lambda: not queue.client.keys(PREFIX + "tell:*"), "told")
        return next((i, r, ticket) for i, r in jobs.items() if r["ticket"] == str(ticket))
    return push


def with_fields(raw=None, **fields):
    """The stand-in's answer with these members in place of its own; raw: as text."""
    def how(answer):
        body = json.loads(answer.body)
        body.update(fields)
        text = json.dumps(body)
        for name, value in (raw or {}).items():
            text = text.replace(json.dumps(name) + ": " + json.dumps(body[name]),
                                f'"{name}": {value}')
        return [Answer(answer.status, answer.headers, text.encode()).whole()]
    return how


# --- GitLab ---

NUMBERS = ["-1", "0", "9223372036854775808", "1.5", "1e3", "1e999", '"7"', "null", "true", "[1]",
           '{"a": 1}', "--1", "0x10"]


def test_numbers_that_are_none(queue, start_worker, wires, gitlab, ask, until):
    """Neither kept nor asked for: the issue is looked for, and found."""
    worker = start_worker()
    for n, number in enumerate(NUMBERS, 1):
        wires["gitlab"].spoil("POST", "/issues", with_fields({"iid": number}), keep=True)
        job_id, job, _ = ask(n, until)
        (issue,) = (i for i in gitlab.issues() if job_id in i["description"])
        assert (job["state"], job["iid"]) == ("done", str(issue["iid"])), number
        assert issue["title"].startswith("[Success]"), number
        worker.wait_for(job=job_id, step="record", outcome="failed",
                        err="GitLab: the answer is not an issue that can be read")
    assert len(gitlab.issues()) == len(NUMBERS)


ADDRESSES = ["javascript:alert(1)", "data:text/html,<b>x</b>", "", "//evil.example/x", "ftp://evil/x",
             "https://evil.example/a b", "https://evil.example/\n<!channel>", "https://e|<!here>",
             'https://evil.example/"onclick="x', "https://evil.example/\x1b[31m",
             "https://evil.example/\u202eoops", "https://evil.example/" + "x" * 5000,
             7, None, ["https://evil.example/"], {"a": "https://evil.example/"}]


def test_links_that_are_none(queue, start_worker, wires, gitlab, slack, zendesk, ask, ctl, until):
    """Not in the record, the view, the messages, or what an operator is shown."""
    start_worker()
    for n, address in enumerate(ADDRESSES, 1):
        wires["gitlab"].spoil("POST", "/issues", with_fields(web_url=address), keep=True)
        job_id, job, ticket = ask(n, until)
        assert job["state"] == "done", address
        view = queue.client.get(PREFIX + f"view:{job_id}")
        seen = "".join([str(job), view, zendesk.notes(ticket)[-1], ctl.run("show", job_id).out])
        links = shown(slack.messages[-1])[1]
        assert "evil" not in seen and not [x for x in links if "evil" in x], (address, seen)
        assert not {"alert", "onclick", "text/html"} & set(seen.split("(")), address
        assert "issue_url" not in job or job["issue_url"] == "", address
        assert "\x1b" not in seen and "\u202e" not in seen


def test_an_issue_that_is_not_as_it_was_asked_for(queue, start_worker, wires, gitlab, ask, until):
    """Open to more people than it should be: an alarm. Named or closed otherwise: mended."""
    worker = start_worker()
    worker.allow("not_confidential")
    wires["gitlab"].spoil("POST", "/issues", with_fields(
        confidential=False, title="<img src=x>", project_id=1, state="closed"), keep=True)
    ask(1, until)
    line = worker.wait_for(event="not_confidential")
    assert "without `confidential`" in line["msg"] and line["level"] == "error"
    wires["gitlab"].spoil("PUT", "", with_fields(iid=99, state="closed"), keep=True)
    wires["gitlab"].spoil("PUT", "", with_fields(state="opened"), keep=True)
    job_id, job, _ = ask(2, until)
    for said in ("but issue 99 is closed", "is open"):
        worker.wait_for(lambda l, s=said: s in l.get("err", ""), job=job_id, step="close")
    assert job["state"] == "done" and len(gitlab.issues("[Success]")) == 2


VISIBILITIES = ["public", "internal", "Private", "private ", "", "x" * 100000, None, True,
                ["private"], {"private": "private"}]


def test_a_project_that_is_perhaps_open(start_worker, wires, gitlab, ask, until):
    """No license is written into it before it says that it is private, and no less."""
    worker = start_worker()
    worker.allow("lane_closed")
    for visibility in VISIBILITIES:
        wires["gitlab"].spoil("GET", "support%2Femergency-licenses",
                              with_fields(visibility=visibility), keep=True)
    ask(1, until)
    worker.wait_for(lambda l: "GitLab project support/emergency-licenses: " in l.get("err", ""),
                    event="step", step="record", count=len(VISIBILITIES))
    methods = [s.method for s in wires["gitlab"].seen]
    assert methods[:len(VISIBILITIES) + 2] == ["GET"] * (len(VISIBILITIES) + 1) + ["POST"]
    assert len(gitlab.issues("[Success]")) == 1


# --- Zendesk ---

def changed(ticket=None, users=None, email=None, root=None):
    """The stand-in's answer about a ticket, with this in place of its own."""
    def how(answer):
        body = json.loads(answer.body)
        body["ticket"].update(ticket or {})
        for user in body["users"]:
            user["email"] = email or user["email"]
        body["users"] = body["users"] if users is None else users
        body.update(root or {})
        return [Answer(answer.status, answer.headers, json.dumps(body).encode()).whole()]
    return how


EVIL = "evil@evil.example"
UNREADABLE = {
    "another ticket": changed({"id": 1}),
    "a text as id": changed({"id": "4711"}),
    "no requester, and a user without id": changed({"requester_id": None}, [{"email": EVIL}]),
    "a requester of wrong type": changed({"requester_id": {"id": 1}}, [{"id": 0, "email": EVIL}]),
    "a requester as text": changed({"requester_id": "0"}, [{"id": "0", "email": EVIL}]),
    "no users": changed(users=[]),
    "users that are none": changed(users=[7, None, [], "x"]),
    "users as an object": changed(users={"0": {"id": 1, "email": EVIL}}),
    "an address that is a list": changed(email=[EVIL]),
    "an address without end": changed(email="e" * 100000 + "@evil.example"),
    "an address with a NUL": changed(email=f"customer@example.com\0{EVIL}"),
    "a status without end": changed({"status": "o" * 100000}),
    "a status that is none": changed({"status": {"open": 1}}),
    "no ticket": changed(root={"ticket": None}),
    "a ticket that is a list": changed(root={"ticket": [{"id": 1}]}),
}


def test_tickets_that_do_not_read(start_worker, wires, smtp, zendesk, ask, until):
    """As if Zendesk were out of reach: nothing of them is believed."""
    start_worker()
    for n, (name, how) in enumerate(UNREADABLE.items(), 1):
        wires["zendesk"].spoil("GET", ".json", how, times=1000, keep=True)
        _, job, _ = ask(n, until)
        wires["zendesk"].clear()
        assert job["state"] == "done", (name, job)
        assert "(Zendesk: the answer is not a ticket that can be read)" in job.get("warning", ""), name
    assert {m.to for m in smtp.mails_to()} == {zendesk.CUSTOMER}


REQUESTERS = [EVIL, f"customer@example.com\r\nRCPT TO:<{EVIL}>", "customer@example.com\x1b[31m",
              f"customer@example.com, {EVIL}", "<customer@example.com>", "\u202ecustomer@example.com"]


def test_requesters_that_are_another(start_worker, wires, smtp, ask, ctl, until):
    """Refused, and shown to nobody as it stands there."""
    worker = start_worker()
    for n, address in enumerate(REQUESTERS, 1):
        wires["zendesk"].spoil("GET", ".json", changed(email=address), keep=True)
        job_id, job, _ = ask(n, until)
        assert (job["state"], job["err_class"]) == ("failed", "invalid"), (address, job)
        seen = job["err_text"] + ctl.run("show", job_id).out + worker.text()
        assert not [x for x in ("\x1b", "\r", "\u202e", EVIL) if x in seen], (address, seen)
    assert smtp.mails_to() == []


# --- our own secrets, said again ---

def test_secrets_that_are_repeated(queue, start_worker, wires, gitlab, slack, zendesk, ask, ctl,
                                   until):
    """By a proxy that shows what it did not like, or by whoever wants them in an issue."""
    login = base64.b64encode(f"{zendesk.AGENT}/token:{zendesk.TOKEN}".encode()).decode()
    places = [("gitlab", "POST", "/issues", gitlab.TOKEN), ("slack", "POST", "", SLACK_PATH),
              ("zendesk", "GET", "", login), ("zendesk", "PUT", "", login),
              ("zendesk", "PUT", "", zendesk.TOKEN)]
    worker = start_worker()
    worker.allow("lane_closed")
    seen = ""
    for n, status in enumerate((500, 302, 400), 1):
        for peer, method, end, secret in places:
            wires[peer].answer(method, end, status, {"message": "I did not like " + secret},
                               [("Location", f"https://evil.example/{secret}")])
        job_id, job, ticket = ask(n, until)
        for wire in wires.values():
            wire.clear()
        seen += ctl.run("show", job_id).out + str(job) + str(queue.log(job_id))
        seen += str(zendesk.notes(ticket))
    seen += worker.text() + str(gitlab.issues()) + str(slack.messages)
    for name in ("GitLab answered 500", "Slack answered 500", "Zendesk answered 500"):
        assert f"{name}: I did not like" in seen
    assert not [s for *_, s in places if s in seen], seen
