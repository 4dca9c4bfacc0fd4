"""Redis comes back from a copy of its AOF that others have gone on after: paused, what the
tracker shows as done is marked, what came later is named, and then it goes on. Nothing
that was recorded is mailed again."""

import json
import os

import pytest
from test_reconcile import desk  # noqa: F401  # pylint: disable=unused-import
from testenv.zendesk import Zendesk

P = "stopgap:{licenses}:"
LATER = "451 4.3.0 later"
TICKETS = {"done": 101, "held": 102, "waits": 103, "mailed": 104, "failed": 105, "queued": 106,
           "open": 107, "bare": 108}


@pytest.fixture
def ctl_env(env, zendesk, desk):  # noqa: F811
    return {**{k: env[k] for k in ("STOPGAP_REDIS_URL", "STOPGAP_GITLAB_URL",
                                   "STOPGAP_GITLAB_PROJECT", "STOPGAP_GITLAB_TOKEN")},
            "STOPGAP_ZENDESK_URL": zendesk.url, "STOPGAP_ZENDESK_USER": Zendesk.ADMIN,
            "STOPGAP_ZENDESK_TOKEN": Zendesk.TOKEN, "STOPGAP_ZENDESK_WEBHOOK_ID": desk.hook}


@pytest.fixture
def env(env):
    return {**env, "STOPGAP_MAX_PER_ADDRESS": "0"}


def address(name):
    return f"{name}@example.com"


class Story:
    """What happens before the copy, between it and the loss, and what is known of it."""

    def __init__(self, queue, smtp, gitlab, ctl, webhook, desk, until):  # noqa: F811
        self.queue, self.smtp, self.gitlab, self.ctl = queue, smtp, gitlab, ctl
        self.webhook, self.desk, self.until = webhook, desk, until
        self.ids, self.invocations = {}, {}

    def push(self, name):
        self.queue.push(ticket_id=TICKETS[name], email=address(name), requested_by=name)

    def deliver(self, name):
        """By way of Zendesk, whose log has it."""
        ticket = self.desk.ticket()
        payload = self.desk.body(ticket)
        self.invocations[name] = self.desk.log(payload, status="success", code=202)
        answer = self.webhook.deliver(payload.encode(), invocation=self.invocations[name])
        self.ids[name] = answer.job_id

    def state(self, name):
        for job_id, record in self.queue.jobs().items():
            if json.loads(record["raw"])["requested_by"] == name:
                self.ids[name] = job_id
            if self.ids.get(name) == job_id:
                return record["state"]
        return None

    def wait(self, name, state):
        self.until(lambda: self.state(name) == state, f"{name} is {state}")

    def has_issue(self, name, title):
        return self.gitlab.issues(title, "Job: " + self.ids[name])

    def mails(self, name):
        return [m for m in self.smtp.mails_to()
                if f"X-Stopgap-Job: {self.ids[name]}\r\n".encode() in m.data]

    def until_the_copy(self):
        self.smtp.on(address("held"), hold_dot=True)
        for name in ("waits", "mailed", "open"):
            self.smtp.on(address(name), rcpt=LATER)
        self.smtp.on(address("failed"), rcpt="550 5.1.1 unknown")
        for name in ("done", "held", "waits", "mailed", "open", "failed"):
            self.push(name)
        self.wait("done", "done")
        self.wait("failed", "failed")
        self.until(lambda: self.gitlab.issues("[Failed]"), "the failure is reported")
        self.until(lambda: self.smtp.mails_to(address("held")), "a mail on its way")
        self.ctl.run("pause")
        self.push("queued")
        self.wait("queued", "queued")
        for name in ("waits", "mailed", "open"):
            self.until(lambda n=name: self.state(n) in ("delayed", "queued"), "they wait")

    def after_the_copy(self):
        self.smtp.release()
        for name in ("held", "waits", "failed"):
            self.smtp.forget(address(name))
        self.ctl.run("resume")
        self.ctl.run("requeue", self.ids["failed"])
        self.push("bare")
        self.deliver("new")
        for name in ("held", "waits", "failed", "queued", "bare", "new"):
            self.wait(name, "done")
        self.gitlab.fail_next("error_500", times=10000, method="PUT", path="")
        self.smtp.forget(address("open"))
        self.deliver("new_open")
        for name in ("open", "new_open"):
            self.until(lambda n=name: self.has_issue(n, "[Pending]"), f"{name} is recorded")
        self.gitlab.fail_next("error_500", times=10000, method="POST", path="/issues")
        self.smtp.forget(address("mailed"))
        self.until(lambda: self.smtp.mails_to(address("mailed")), "mailed")
        self.smtp.on(Zendesk.CUSTOMER, rcpt=LATER)
        self.deliver("new_unmailed")
        self.until(lambda: (Zendesk.CUSTOMER, LATER) in self.smtp.refused, "refused for now")

    def calm(self):
        self.gitlab.clear_faults()
        self.smtp.forget()


RECORDED = {"held", "waits", "failed", "queued", "open"}  # after the copy, of jobs in it
LATER_ONES = {"new", "new_open", "new_unmailed"}


def test_restored_from_the_copy_of_an_aof(folder, redis, queue, smtp, gitlab, ctl, webhook,
                                          desk, start_worker, until):  # noqa: F811
    copy = os.path.join(folder, "copy")
    story = Story(queue, smtp, gitlab, ctl, webhook, desk, until)
    first = start_worker()
    story.until_the_copy()
    redis.backup(copy)
    story.after_the_copy()
    first.kill()
    before = {name: len(story.mails(name)) for name in story.ids}
    assert before == {**dict.fromkeys(story.ids, 1), "new_unmailed": 0}

    redis.restore(copy)
    story.calm()
    ctl.run("pause")
    start_worker()
    until(lambda: not redis.client.keys(P + "proc:*"), "the dead worker's jobs wait")
    assert {n: story.state(n) for n in ("held", "queued", "failed", "done", "new", "bare")} == {
        "held": "queued", "queued": "queued", "failed": "failed", "done": "done",
        "new": None, "bare": None}
    assert ctl.json("fsck")["findings"] == []

    check_what_is_shown(story)
    check_what_is_marked(story)
    ctl.run("resume")
    check_the_end(story, before)


def findings(story, *args, status):
    name_of = {job_id: name for name, job_id in story.ids.items()}
    found = {}
    for f in story.ctl.json("fsck", "--tracker", *args, status=status)["findings"]:
        found.setdefault((f["kind"], f["mended"]), set()).add(name_of[f["where"]])
    return found


def check_what_is_shown(story):
    """The tracker names what it has; Zendesk's log what was taken and is not here."""
    assert findings(story, status=1) == {("recorded", False): RECORDED,
                                         ("unknown", False): {"new", "new_open", "bare"}}
    (issue,) = story.has_issue("bare", "[Success]")
    said = story.ctl.run("fsck", "--tracker", status=1).out
    assert story.ids["bare"] in said and issue["web_url"] in said
    said = story.ctl.json("reconcile", status=1)["invocations"]
    assert {i["invocation"]: (i["finding"], i["job_id"]) for i in said} == {
        story.invocations[n]: ("accepted", story.ids[n]) for n in LATER_ONES}


def check_what_is_marked(story):
    """Submitted again under their ids, they are marked like the others."""
    story.ctl.run("reconcile", "--submit", *(story.invocations[n] for n in LATER_ONES))
    for name in LATER_ONES:
        story.wait(name, "queued")
    assert findings(story, "--repair", status=1) == {
        ("recorded", True): RECORDED | {"new", "new_open"}, ("unknown", False): {"bare"}}


def check_the_end(story, before):
    jobs = story.queue.settled(len(story.ids) - 1)  # without "bare"
    assert {r["state"] for r in jobs.values()} == {"done"}
    after = {name: len(story.mails(name)) for name in story.ids}
    # Mailed and not yet recorded: the window that is left.
    assert after == {**before, "mailed": 2, "new_unmailed": 1}
    for name in story.ids:
        (issue,) = story.has_issue(name, "[Success]")
        assert issue["state"] == "closed"
    assert not story.gitlab.issues("[Pending]")
    story.until(lambda: {i["state"] for i in story.gitlab.issues("[Failed]")} == {"closed"},
                "the failure issue is closed")
    # Asked for again: what was marked is known.
    story.push("held")
    story.queue.settled(len(story.ids))
    assert len(story.mails("held")) == 1
