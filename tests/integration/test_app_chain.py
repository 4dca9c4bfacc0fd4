"""From the app's button to the customer's license, with the real programs: the app's own
modules, Zendesk with its triggers, the receiver, Redis, the worker."""

import base64
import concurrent.futures
import datetime
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest
from testenv.zendesk_setup import ZendeskSetup

APP = pathlib.Path(__file__).resolve().parents[1] / "app"
BEARER, READ_TOKEN = "bearer-token-of-the-chain", "token-that-reads-0123456789"
TITLES = {"users": "License: users", "plan": "License: plan", "expiredOn": "License: expired on"}


def days_ago(days):
    return str((datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days)).date())


FORM = {"users": "25", "plan": "premium", "expiredOn": days_ago(15)}


def node():
    found = shutil.which("node")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=30,
                             check=False).stdout if found else "v0"
    return found if int(version[1:].split(".")[0]) >= 18 else None


pytestmark = pytest.mark.skipif(not node(), reason="node 18 or newer is not installed")


@pytest.fixture
def receiver(zendesk, folder, webhook_env, start_webhook):
    setup = ZendeskSetup(zendesk, folder)
    for path in (setup.secret_file, setup.secret_file + ".old"):
        setup.write(path, "not-yet-the-secret-of-the-webhook")
    setup.write(setup.bearer_file, BEARER)
    read_token = os.path.join(folder, "read-token")
    setup.write(read_token, READ_TOKEN)
    for name in ("STOPGAP_WEBHOOK_SECRET", "STOPGAP_API_TOKEN", "STOPGAP_API_READ_TOKEN"):
        del webhook_env[name]  # only what is in files is read again on HUP
    receiver = start_webhook(STOPGAP_WEBHOOK_SECRET_FILE=setup.secret_file,
                             STOPGAP_WEBHOOK_SECRET_2_FILE=setup.secret_file + ".old",
                             STOPGAP_WEBHOOK_TOKEN_FILE=setup.bearer_file,
                             STOPGAP_API_READ_TOKEN_FILE=read_token)
    setup.receiver = receiver.url
    setup.run()
    receiver.signal(signal.SIGHUP)
    receiver.wait_for(event="reload", level="info")
    return receiver


@pytest.fixture
def app(zendesk, receiver):
    """app(ticket, press, …): what it shows in the end. A press: name, or (name, form)."""
    login = base64.b64encode(f"{zendesk.AGENT}/token:{zendesk.TOKEN}".encode()).decode()
    fields = {name: str(zendesk.field_id(title)) for name, title in TITLES.items()}

    def run(ticket, *presses, speed=2):
        steps = [{"name": p} if isinstance(p, str) else {"name": p[0], "form": p[1]}
                 for p in presses]
        how = {"zendesk": zendesk.url, "login": "Basic " + login, "receiver": receiver.url,
               "token": READ_TOKEN, "ticket": ticket, "fields": fields, "presses": steps,
               "speed": speed}
        done = subprocess.run([node(), APP / "press.mjs", json.dumps(how)], capture_output=True,
                              text=True, timeout=100, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return run


def test_from_the_button_to_the_mail(app, zendesk, queue, smtp, gitlab, start_worker):
    start_worker()
    ticket = zendesk.mail_in()
    shown = app(ticket, ("review", FORM), "send")
    assert (shown["screen"], shown["seen"][:4]) == ("done", ["loading", "form", "confirm", "running"])
    job_id, record = queue.only("done")
    assert shown["job"]["id"] == job_id and record["state"] == "done"
    request = json.loads(queue.raw(job_id))
    assert (request["requested_by"], request["email"]) == (zendesk.AGENT, zendesk.CUSTOMER)
    assert len(smtp.mails_to()) == 1
    (issue,) = gitlab.issues("[Success]")
    assert shown["job"]["issueUrl"] == issue["web_url"]


def test_the_same_again_and_a_correction(app, zendesk, queue, smtp, gitlab, start_worker):
    start_worker()
    ticket = zendesk.mail_in()
    first = app(ticket, ("review", FORM), "send")["job"]["id"]
    again = app(ticket, "resend")
    assert (again["screen"], again["job"]["id"]) == ("done", first)
    assert len(smtp.mails_to()) == 2
    same = app(ticket, "correct", ("review", {"reason": "none"}))
    assert (same["screen"], same["faults"]) == ("form", {"users": "same"})
    corrected = app(ticket, "correct", ("review", {"users": "30", "reason": "miscounted"}), "send")
    assert corrected["screen"] == "done" and corrected["job"]["id"] != first
    assert len(gitlab.issues("[Success]")) == 2
    assert [c["public"] for c in zendesk.state.tickets[ticket]["comments"]] == [True, False]
    assert first in zendesk.state.tickets[ticket]["comments"][-1]["body"]


def test_a_corrected_address(app, zendesk, queue, smtp, gitlab, start_worker):
    """The ticket becomes the other user's, so that Zendesk itself vouches for the address; one
    that Zendesk does not know gets no license."""
    start_worker()
    ticket, other = zendesk.mail_in(), "nina@example.com"
    app(ticket, ("review", FORM), "send")
    unknown = app(ticket, "correct", ("review", {"email": other, "reason": "left the company"}))
    assert (unknown["screen"], unknown["faults"]) == ("form", {"email": "email_unknown"})
    with zendesk.state.lock:
        user = zendesk.state.add_user(other, "end-user")
    corrected = app(ticket, "correct", (
        "review", {"email": other, "reason": "left the company"}), "send")
    assert corrected["screen"] == "done"
    assert zendesk.state.tickets[ticket]["requester_id"] == user["id"]
    assert len(smtp.mails_to(other)) == len(smtp.mails_to(zendesk.CUSTOMER)) == 1
    assert any(other in i["title"] for i in gitlab.issues("[Success]"))


def test_from_the_button_to_those_who_are_told(app, zendesk, slack, queue, smtp, gitlab, until,
                                               start_worker):
    """With everything configured; the worker dies on the way."""
    telling = {
        "STOPGAP_SLACK_WEBHOOK_URL": slack.url, "STOPGAP_ZENDESK_URL": zendesk.url,
        "STOPGAP_ZENDESK_USER": zendesk.AGENT, "STOPGAP_ZENDESK_TOKEN": zendesk.TOKEN,
        "STOPGAP_ZENDESK_SETTLE": "200ms", "STOPGAP_LEASE": "1s"}
    zendesk.state.public = zendesk.url.replace("http:", "https:")  # links are on its host
    ticket = zendesk.mail_in()
    smtp.on(zendesk.CUSTOMER, hold_dot=True)
    first = start_worker(**telling)
    with concurrent.futures.ThreadPoolExecutor(1) as agent:
        pressed = agent.submit(app, ticket, ("review", FORM), "send", speed=1)
        until(lambda: smtp.dots, first.text)
        first.kill()
        smtp.release()
        start_worker(**telling)
        shown = pressed.result()
    assert shown["screen"] == "done"
    (issue,) = gitlab.issues("[Success]")
    until(lambda: slack.messages and zendesk.notes(ticket), "those who are told")
    job_id, _ = queue.only("done")
    until(lambda: sum("told" in line for line in queue.log(job_id)) == 2, "both told")
    (message,), (note,) = slack.messages, zendesk.notes(ticket)
    assert issue["web_url"] in message and f"/tickets/{ticket}" in message
    assert note.splitlines()[-1] == f"Stopgap job {job_id} (done)" and issue["web_url"] in note
    assert set(zendesk.tags(ticket)) >= {"license_sent"}
    assert zendesk.state.tickets[ticket]["comments"][-1]["public"] is False


def test_out_of_scope_is_the_servers_word(app, zendesk, smtp, gitlab, start_worker):
    start_worker()
    shown = app(zendesk.mail_in(), ("review", {**FORM, "plan": "free"}), "send")
    assert (shown["screen"], shown["job"]["error"]["class"]) == ("failed", "out_of_scope")
    assert not smtp.mails_to() and not gitlab.issues("[Success]")


def test_no_trigger(app, zendesk):
    for trigger in zendesk.state.triggers:
        trigger["active"] = False
    shown = app(zendesk.mail_in(), ("review", FORM), "send", speed=10)
    assert (shown["screen"], shown["trouble"]["key"]) == ("notsent", "notsent.trigger")
