"""scripts/zendesk-setup against a Zendesk that keeps its rules: from nothing, again,
after drift, undone, and refused."""

import copy
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import struct
import threading

import pytest
from testenv.zendesk_setup import RECEIVER, SCRIPT, ZendeskSetup

FIELDS = ("License: users", "License: plan", "License: expired on")
TRIGGERS = ("Stopgap: ask again", "Stopgap: send license request")
DEPLOY = os.path.join(os.path.dirname(SCRIPT), "..", "deploy", "zendesk")


@pytest.fixture
def setup(zendesk, folder):
    return ZendeskSetup(zendesk, folder)


@pytest.fixture
def done(setup):
    setup.run()
    return setup


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def trigger(zendesk, title):
    (found,) = [t for t in zendesk.state.triggers if t["title"] == title]
    return found


def world(zendesk):
    """All that is set up, without times."""
    state = zendesk.state
    held = copy.deepcopy([state.fields, state.webhooks, state.secrets, state.triggers,
                          state.categories])
    return re.sub(r"'updated_at': '[^']*'", "", repr(held))


# --- from nothing ---

def test_as_a_program(setup, zendesk):
    """By its first line, with what the system's Python has, whatever the umask."""
    setup.inside = False
    before = os.umask(0)
    try:
        setup.run()
    finally:
        os.umask(before)
    assert mode(setup.secret_file) == mode(setup.bearer_file) == 0o600
    assert "nothing changed" in setup.run().out
    assert "401" in setup.run("--token-file", setup.bearer_file, status=1).err
    assert len(zendesk.state.triggers) == 2


def test_prints_what_the_sidebar_app_is_told(setup, zendesk):
    out = setup.run().out
    for name, title in (("users", "users"), ("plan", "plan"), ("expired_on", "expired on")):
        assert f"\nfield_{name}={zendesk.field_id('License: ' + title)}\n" in out


def test_fields_are_for_agents_only(done, zendesk):
    fields = {f["title"]: f for f in zendesk.state.fields.values()}
    assert set(fields) == set(FIELDS)
    for field in fields.values():
        assert field["active"] and not field["required"]
        assert not any(field[f"{k}_in_portal"] for k in ("visible", "editable", "required"))
    assert [fields[t]["type"] for t in FIELDS] == ["integer", "regexp", "date"]


def test_webhook(done, zendesk):
    webhook = zendesk.webhook()
    assert webhook["endpoint"] == RECEIVER + "/zendesk"
    assert (webhook["http_method"], webhook["request_format"]) == ("POST", "json")
    assert webhook["subscriptions"] == ["conditional_ticket_events"]
    assert webhook["authentication"]["data"]["token"] == done.read(done.bearer_file)
    assert webhook["secret"] == done.read(done.secret_file)


def test_trigger_sends_quoted_scalars_only(done, zendesk):
    actions = trigger(zendesk, TRIGGERS[1])["actions"]
    (hook, body), = [a["value"] for a in actions if a["field"] == "notification_webhook"]
    assert hook == zendesk.webhook()["id"]
    ids = {title: zendesk.field_id(title) for title in FIELDS}
    assert json.loads(body) == {
        "ticket_id": "{{ticket.id}}", "email": "{{ticket.requester.email}}",
        "users": "{{ticket.ticket_field_%d}}" % ids[FIELDS[0]],
        "requested_by": "{{current_user.email}}", "ticket_url": "{{ticket.link}}",
        "plan": "{{ticket.ticket_field_%d}}" % ids[FIELDS[1]],
        "license_expired_on": "{{ticket.ticket_field_%d | date: '%%Y-%%m-%%d'}}" % ids[FIELDS[2]],
    }


def test_triggers_are_in_order_and_for_agents(done, zendesk):
    assert [t["title"] for t in zendesk.state.ordered()] == list(TRIGGERS)
    for title in TRIGGERS:
        conditions = trigger(zendesk, title)["conditions"]["all"]
        assert {"field": "role", "operator": "is", "value": "agent"} in conditions


def test_secrets_are_for_the_owner_and_never_shown(setup, zendesk):
    shown = setup.run("--dry-run").out + setup.run().out + setup.run("--check").out
    for path in (setup.secret_file, setup.bearer_file):
        assert mode(path) == 0o600
        assert setup.read(path) not in shown
    assert zendesk.TOKEN not in shown
    assert f"STOPGAP_WEBHOOK_SECRET_FILE={setup.secret_file}" in shown
    assert f"STOPGAP_ZENDESK_WEBHOOK_ID={zendesk.webhook()['id']}" in shown


def test_a_token_that_is_there_is_used(setup, zendesk):
    setup.write(setup.bearer_file, "a-token-of-the-operators-own")
    setup.run()
    assert zendesk.webhook()["authentication"]["data"]["token"] == "a-token-of-the-operators-own"


def test_settings_from_the_environment(setup, zendesk):
    setup.env = {"STOPGAP_ZENDESK_URL": zendesk.url, "STOPGAP_ZENDESK_USER": zendesk.ADMIN,
                 "STOPGAP_ZENDESK_TOKEN": zendesk.TOKEN}
    setup.run(options=setup.options()[6:])
    setup.env["STOPGAP_ZENDESK_TOKEN_FILE"] = setup.token_file
    del setup.env["STOPGAP_ZENDESK_TOKEN"]
    assert "nothing changed" in setup.run(options=setup.options()[6:]).out


def test_an_account_without_trigger_categories(setup, zendesk):
    zendesk.state.has_categories = False
    setup.run()
    assert "nothing changed" in setup.run().out


def test_lists_of_many_pages(setup, zendesk):
    for i in range(205):
        zendesk.state.save_field({"type": "text", "title": f"field {i}"})
    setup.run()
    before = zendesk.writes()
    setup.run()
    assert zendesk.writes() == before


# --- again ---

def test_twice_changes_nothing(done, zendesk):
    before, writes = world(zendesk), zendesk.writes()
    assert len(writes) == 7
    out = done.run().out
    assert zendesk.writes() == writes and world(zendesk) == before
    assert "nothing changed" in out and out.count("unchanged") == 7
    assert "nothing to change" in done.run("--check").out


def test_it_goes_on_where_it_stopped(setup, zendesk):
    """The answer to every writing call is lost once: nothing is made twice."""
    for stopped in range(7):
        zendesk.state.faults.clear()
        zendesk.fail_next("lost_after", method="POST")
        assert "no answer" in setup.run(status=1).err, stopped
    zendesk.state.faults.clear()
    assert "nothing changed" in setup.run().out
    assert len(zendesk.state.fields) == 3 and len(zendesk.state.triggers) == 2
    assert len(zendesk.state.webhooks) == len(zendesk.state.categories) == 1


def set_field(zendesk, **values):
    next(iter(zendesk.state.fields.values())).update(values)


def set_webhook(zendesk, **values):
    next(iter(zendesk.state.webhooks.values())).update(values)


def swap(zendesk):
    first, second = (trigger(zendesk, title) for title in TRIGGERS)
    first["position"], second["position"] = second["position"], first["position"]


def let_anybody(zendesk):
    conditions = trigger(zendesk, TRIGGERS[1])["conditions"]
    conditions["all"] = [c for c in conditions["all"] if c["field"] != "role"]


DRIFT = {
    "a field for customers": lambda z: set_field(z, visible_in_portal=True, editable_in_portal=True),
    "an inactive field": lambda z: set_field(z, active=False),
    "an inactive webhook": lambda z: set_webhook(z, status="inactive"),
    "another endpoint": lambda z: set_webhook(z, endpoint="https://elsewhere.example/zendesk"),
    "no authentication": lambda z: set_webhook(z, authentication=None),
    "anybody may ask": let_anybody,
    "the wrong order": swap,
    "a trigger is gone": lambda z: z.state.triggers.pop(0),
    "an inactive trigger": lambda z: trigger(z, TRIGGERS[1]).update(active=False),
    "another body": lambda z: trigger(z, TRIGGERS[1])["actions"][2]["value"].__setitem__(1, "{}"),
}


@pytest.mark.parametrize("what", DRIFT)
def test_drift_is_mended(done, zendesk, what):
    DRIFT[what](zendesk)
    before = len(zendesk.writes())
    assert "to be " in done.run("--check", status=1).out
    assert len(zendesk.writes()) == before
    done.run()
    assert len(zendesk.writes()) <= before + 2
    assert "nothing changed" in done.run().out
    assert [t["title"] for t in zendesk.state.ordered()] == list(TRIGGERS)
    test_triggers_are_in_order_and_for_agents(done, zendesk)
    test_webhook(done, zendesk)
    test_fields_are_for_agents_only(done, zendesk)


def test_a_webhook_keeps_its_token_when_something_else_is_mended(done, zendesk):
    set_webhook(zendesk, status="inactive")
    done.run()
    (sent,) = [r.json for r in zendesk.requests("PATCH")]
    assert sent == {"webhook": {"status": "active"}}
    test_webhook(done, zendesk)


def test_what_the_administrator_may_change_stays(done, zendesk):
    trigger(zendesk, TRIGGERS[1])["category_id"] = None
    set_field(zendesk, position=7, description="said to nobody")
    assert "nothing changed" in done.run().out


def test_a_new_bearer_token_reaches_the_webhook(done, zendesk):
    done.write(done.bearer_file, "the-second-token-0123456789")
    assert "authentication" in done.run().out
    assert zendesk.webhook()["authentication"]["data"]["token"] == "the-second-token-0123456789"
    assert "nothing changed" in done.run().out


def test_a_new_signing_secret(done, zendesk):
    first = done.read(done.secret_file)
    assert done.read(done.secret_file + ".old") == first  # so both can be named at once
    done.run("--rotate-secret")
    assert done.read(done.secret_file) == zendesk.webhook()["secret"] != first
    assert done.read(done.secret_file + ".old") == first
    assert mode(done.secret_file) == mode(done.secret_file + ".old") == 0o600


def test_a_secret_that_somebody_else_has_made_anew(done, zendesk):
    webhook = zendesk.webhook()["id"]
    zendesk.state.secrets[webhook] = zendesk.state.new_secret()
    assert "to be written" in done.run("--check", status=1).out
    done.run()
    assert done.read(done.secret_file) == zendesk.webhook()["secret"]


def test_without_receiver_the_endpoint_stays(done, zendesk):
    options = done.options()
    del options[6:8]
    assert "nothing changed" in done.run(options=options).out
    done.run("--remove", options=options)
    assert "--receiver is required" in done.run(options=options, status=1).err


# --- by clicking ---

def deployed(name, **places):
    with open(os.path.join(DEPLOY, name + ".json"), encoding="utf-8") as file:
        text = file.read()
    for place, value in places.items():
        text = text.replace(f"@{place.upper()}@", value)
    return text


def test_set_up_by_hand(setup, zendesk):
    """As the page tells it, from the files alone: the script then finds nothing to mend."""
    state, token = zendesk.state, "token-of-the-one-who-clicks"
    setup.write(setup.bearer_file, token)
    ids = {f"field_{name}": str(state.save_field(
        json.loads(deployed("field_" + name))["ticket_field"])["id"])
        for name in ("users", "plan", "expired_on")}
    hook = state.create_webhook({"id": 1}, json.loads(deployed(
        "webhook", receiver=RECEIVER, bearer_token=token,
        bearer_mark=hashlib.sha256(token.encode()).hexdigest()[:8]))["webhook"])
    setup.write(setup.secret_file, state.secrets[hook["id"]])
    state.has_categories = False
    for name in ("again", "send"):
        text = deployed("trigger_" + name, webhook_id=hook["id"])
        values = json.loads(text.replace("@REQUEST@", json.dumps(deployed("request", **ids))[1:-1]))
        assert "@" not in json.dumps(values).replace("@CATEGORY_ID@", "")
        state.save_trigger(values["trigger"])
    assert "nothing to change" in setup.run("--check").out
    assert "nothing changed" in setup.run().out and zendesk.writes() == []


def test_the_page_names_what_is_set_up(done, zendesk):
    with open(os.path.join(DEPLOY, "..", "..", "docs", "zendesk.md"), encoding="utf-8") as file:
        page = file.read()
    for title in (*FIELDS, *TRIGGERS, zendesk.webhook()["name"]):
        assert f"`{title}`" in page
    shown = done.run("--help").out
    for option in re.findall(r"(--[a-z-]+)", shown):
        assert option == "--help" or option in page, option


# --- a dry run ---

def test_dry_run_shows_the_calls_and_makes_none(setup, zendesk):
    out = setup.run("--dry-run").out
    assert zendesk.writes() == []
    for path in (setup.secret_file, setup.bearer_file):
        assert not os.path.exists(path)
    calls = re.findall(r"^  (POST|PUT|PATCH|DELETE) (\S+)$", out, re.M)
    assert [path.removeprefix(zendesk.url) for _, path in calls] == [
        "/api/v2/ticket_fields"] * 3 + ["/api/v2/webhooks", "/api/v2/trigger_categories",
                                        "/api/v2/triggers", "/api/v2/triggers"]
    assert '"token": "********"' in out and "<id of webhook" in out
    assert '"value": "license_request"' in out


def test_dry_run_shows_what_the_real_one_sends(setup, zendesk):
    """The bodies, but for ids and secrets that come in between."""
    out = setup.run("--dry-run").out
    shown = [json.loads(b) for b in re.findall(r"^  (\{$.*?^  \})$", out, re.M | re.S)]
    setup.run()
    sent = [r.json for r in zendesk.requests("POST")]
    assert shown[:3] == sent[:3] and shown[4] == sent[4]
    for dry, real in zip(shown[3:], sent[3:]):
        assert list(dry) == list(real)
        (dry,), (real,) = dry.values(), real.values()
        assert list(dry) == list(real)


def test_dry_run_of_remove(done, zendesk):
    before = zendesk.writes()
    out = done.run("--remove", "--dry-run").out
    assert zendesk.writes() == before
    assert out.count("DELETE ") == 4 and out.count("PUT ") == 3


# --- undone ---

def test_remove(done, zendesk):
    done.run("--remove")
    state = zendesk.state
    assert (state.triggers, state.webhooks, state.categories) == ([], {}, [])
    assert [f["active"] for f in state.fields.values()] == [False] * 3
    before = zendesk.writes()
    assert "not there" in done.run("--remove").out
    assert zendesk.writes() == before


def test_set_up_again_after_remove(done, zendesk):
    done.run("--remove")
    done.run()
    assert len(zendesk.state.fields) == 3  # the same ones, with their values
    test_fields_are_for_agents_only(done, zendesk)
    test_webhook(done, zendesk)


def test_remove_with_the_fields(done, zendesk):
    done.run("--remove", "--remove-fields")
    assert zendesk.state.fields == {}


def test_remove_leaves_what_is_not_ours(done, zendesk):
    state = zendesk.state
    state.save_field({"type": "text", "title": "their field"})
    state.save_trigger({
        "title": "their trigger", "category_id": state.categories[0]["id"],
        "conditions": {"all": [{"field": "update_type", "operator": "is", "value": "Create"}]},
        "actions": [{"field": "current_tags", "value": "theirs"}]})
    done.run("--remove", "--remove-fields")
    assert [t["title"] for t in state.triggers] == ["their trigger"]
    assert [f["title"] for f in state.fields.values()] == ["their field"]
    assert len(state.categories) == 1


# --- refused ---

def refused(setup, *words, args=()):
    done = setup.run(*args, status=1)
    for word in words:
        assert word in done.err, done.err
    assert setup.zendesk.TOKEN not in done.out + done.err
    assert "Traceback" not in done.err


def test_a_wrong_token(setup):
    setup.write(setup.token_file, "not-the-token-of-this-account")
    refused(setup, "401", "Couldn't authenticate you", "API token")


def test_an_agent_may_not(setup, zendesk):
    setup.user = zendesk.AGENT
    refused(setup, "POST /api/v2/ticket_fields", "403", "Forbidden", "administrator")
    assert zendesk.state.fields == {}


def test_a_customer_may_not(setup, zendesk):
    setup.user = zendesk.CUSTOMER
    refused(setup, "GET /api/v2/ticket_fields", "403")


def test_nobody(setup, zendesk):
    zendesk.fail_next("answer", status=200, path="/users/me", body={"user": {"id": None}})
    refused(setup, "nobody", "API token")


def test_two_of_one_name(done, zendesk):
    field = zendesk.state.fields[zendesk.field_id(FIELDS[0])]
    twin = zendesk.state.save_field({"type": "integer", "title": FIELDS[0]})
    refused(done, FIELDS[0], "there are 2", str(field["id"]), str(twin["id"]))


def test_a_field_of_another_type(setup, zendesk):
    zendesk.state.save_field({"type": "text", "title": FIELDS[0]})
    refused(setup, FIELDS[0], "type text, not integer")


def test_a_webhook_of_the_other_kind(setup, zendesk):
    zendesk.state.create_webhook(zendesk.state.add_user("x@vendor.example", "admin"), {
        "name": "Stopgap license requests", "status": "active", "http_method": "POST",
        "request_format": "json", "endpoint": "https://elsewhere.example",
        "subscriptions": ["zen:event-type:user.created"]})
    refused(setup, "is subscribed to", "delete it")


def test_a_definition_that_zendesk_refuses(setup, zendesk):
    refusal = {"error": "RecordInvalid", "description": "Record validation errors",
               "details": {"base": [{"description": "Conditions: role is an invalid condition"}]}}
    zendesk.fail_next("answer", status=422, method="POST", path="/triggers", body=refusal)
    refused(setup, "POST /api/v2/triggers", "422", "role is an invalid condition", "definitions")
    setup.run()  # the rest of it, when the cause has gone


def test_definitions_that_are_none(setup, zendesk, folder):
    """As after the script was copied away from its folder, or a file was edited badly."""
    copied = os.path.join(folder, "scripts", "zendesk-setup")
    os.mkdir(os.path.dirname(copied))
    shutil.copy(SCRIPT, copied)
    setup.script = copied
    refused(setup, "a definition is missing", "field_users.json")
    shutil.copytree(DEPLOY, os.path.join(folder, "deploy", "zendesk"))
    for text in ("{", "[]", "{}"):
        with open(os.path.join(folder, "deploy", "zendesk", "field_plan.json"), "w",
                  encoding="ascii") as file:
            file.write(text)
        refused(setup, "field_plan.json: is not the JSON of a ticket_field")


def test_files_that_others_may_read(setup):
    setup.write(setup.token_file, setup.zendesk.TOKEN, 0o644)
    refused(setup, "--token-file", "chmod 600")
    setup.write(setup.token_file, setup.zendesk.TOKEN)
    setup.write(setup.bearer_file, "a-token-of-the-operators-own", 0o640)
    refused(setup, "--bearer-file", "chmod 600")


@pytest.mark.parametrize("text", ["short", "two words of a token", 'quote"quote"quote"quote'])
def test_a_token_that_is_none(setup, text):
    setup.write(setup.bearer_file, text)
    refused(setup, "--bearer-file", "16 or more")


@pytest.mark.parametrize("change, words", [
    ({"--url": "http://sub.zendesk.com"}, "https"),
    ({"--url": "https://sub.zendesk.com?x=1"}, "--url"),
    ({"--receiver": "http://hooks.vendor.example"}, "--receiver"),
    ({"--receiver": "https://user:pw@hooks.vendor.example"}, "--receiver"),
    ({"--user": ""}, "--user"),
])
def test_wrong_options(setup, zendesk, change, words):
    options = setup.options()
    for name, value in change.items():
        options[options.index(name) + 1] = value
    done = setup.run(options=options, status=2)
    assert words in done.err and zendesk.requests() == []


def test_a_receiver_with_its_path_is_taken_as_meant(setup, zendesk):
    setup.receiver = RECEIVER + "/zendesk/"
    setup.run()
    assert zendesk.webhook()["endpoint"] == RECEIVER + "/zendesk"


# --- Zendesk in trouble ---

def test_a_rate_limit_is_obeyed(setup, zendesk):
    body = {"error": "APIRateLimitExceeded", "description": "Number of allowed API requests"}
    zendesk.fail_next("answer", status=429, method="POST", body=body, headers={"Retry-After": "1"})
    assert "429, again in 1 s" in setup.run().out
    assert setup.slept == [1]
    assert len(zendesk.state.fields) == 3


def test_a_rate_limit_that_lasts_too_long(setup, zendesk):
    zendesk.fail_next("answer", status=429, times=99, headers={"Retry-After": "3600"},
                      body={"error": "APIRateLimitExceeded"})
    refused(setup, "429", "APIRateLimitExceeded", "later")
    assert len(zendesk.requests()) == 1


def test_a_bad_gateway_on_the_way_in(setup, zendesk):
    zendesk.fail_next("answer", status=502, times=2, method="GET",
                      body="<html><h1>502 Bad Gateway</h1></html>")
    setup.run()
    assert setup.slept == [0.5, 1]


def test_a_bad_gateway_that_stays(setup, zendesk):
    zendesk.fail_next("answer", status=502, times=99, body="<html><h1>Bad Gateway</h1></html>")
    refused(setup, "502 Bad Gateway", "safe")
    assert setup.slept == [0.5, 1, 1.5]


@pytest.mark.parametrize("body", ["", "{", "<html>ok</html>", [], {}, {"ticket_fields": 7},
                                  {"ticket_fields": [7]}])
def test_broken_answers(setup, zendesk, body):
    zendesk.fail_next("answer", status=200, path="/ticket_fields", method="GET", body=body)
    refused(setup, "/api/v2/ticket_fields", "check --url")


@pytest.mark.parametrize("kind,more", [
    ("ticket_fields", {"meta": "x"}),
    ("ticket_fields", {"ticket_fields": [{"title": "Subject"}]}),
    ("webhooks", {"webhooks": [{"name": "Stopgap license requests"}]}),
    ("triggers", {"triggers": [{"title": "Stopgap: ask again", "id": None}]}),
    ("trigger_categories", {"trigger_categories": [{"name": "Stopgap"}]})])
def test_odd_answers(setup, zendesk, kind, more):
    zendesk.fail_next("answer", status=200, path="/" + kind, method="GET", body={kind: [], **more})
    refused(setup, "/api/v2/" + kind, "check --url")


def test_ids_are_texts_or_numbers(setup, zendesk):
    """Nothing depends on which."""
    setup.run()
    (webhook,) = zendesk.state.webhooks.values()
    zendesk.fail_next("answer", status=200, path="/webhooks", method="GET",
                      body={"webhooks": [{**webhook, "id": 17}]})
    zendesk.fail_next("answer", status=200, path="/signing_secret", method="GET",
                      body={"signing_secret": {"secret": "s" * 32}})
    assert "license request\": to be updated: actions" in setup.run("--check", status=1).out


def test_hostile_words(setup, zendesk):
    """Of an error, to a terminal."""
    zendesk.fail_next("answer", status=422, path="/ticket_fields",
                      body={"error": "no\ud800 \x1b[2J\rgood"})
    refused(setup, "422", "no   [2J good")


def test_an_error_that_breaks_off(setup):
    """In the middle of its words, by a reset."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def answer():
            with server.accept()[0] as client:
                client.recv(65536)
                client.sendall(b"HTTP/1.1 422 No\r\nContent-Length: 99\r\n\r\n{")
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        refused(setup, "GET /api/v2/users/me", args=("--url", url))
        thread.join()


def test_a_list_without_end(setup, zendesk):
    zendesk.fail_next("answer", status=200, path="/ticket_fields", times=99, body={
        "ticket_fields": [], "meta": {"has_more": True, "after_cursor": "x"}})
    refused(setup, "do not end")


def test_a_secret_that_is_none(setup, zendesk):
    zendesk.fail_next("answer", status=200, path="/signing_secret",
                      body={"signing_secret": {"algorithm": "SHA256"}})
    refused(setup, "no usable secret")
    assert not os.path.exists(setup.secret_file)


def test_an_answer_cut_off(setup, zendesk):
    zendesk.fail_next("cut", path="/ticket_fields", method="POST")
    assert setup.run(status=1).err
    setup.run()
    assert len(zendesk.state.fields) == 3


def test_no_redirect_is_followed(setup, zendesk):
    zendesk.fail_next("answer", status=302, headers={"Location": zendesk.url + "/stolen"})
    refused(setup, "302", "check --url")
    assert zendesk.requests(path="/stolen") == []


def test_nobody_answers(setup, zendesk):
    zendesk.stop()
    refused(setup, "no answer from", "run this again")
