"""The fake Zendesk keeps Zendesk's rules: what is set up here would work there."""

import base64
import http.server
import json
import threading
import urllib.parse
import urllib.request

import pytest
from testenv import zendesk_hooks, zendesk_rules
from testenv.wait import wait_for

BODY = '{"ticket_id": "{{ticket.id}}", "by": "{{current_user.email}}"}'


class Client:
    def __init__(self, zendesk):
        self.zendesk = zendesk

    def call(self, method, path, body=None, user=None, token=None):
        """(status, answer)"""
        user, token = user or self.zendesk.ADMIN, token or self.zendesk.TOKEN
        login = base64.b64encode(f"{user}/token:{token}".encode()).decode()
        request = urllib.request.Request(
            self.zendesk.url + "/api/v2" + path, method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": "Basic " + login, "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or "null")
        except urllib.error.HTTPError as e:
            with e:
                self.headers = e.headers
                return e.code, json.loads(e.read() or "null")


class Target:
    """A receiver that answers as it is told: (status, headers) or a pause; then 202."""

    def __init__(self):
        self.got, self.plan = [], []
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                target.got.append((dict(self.headers.items()), body))
                status, headers = target.plan.pop(0) if target.plan else (202, {})
                if status == "silent":
                    target.ending.wait(20)
                    return
                self.send_response(status)
                for name, value in {**headers, "Content-Length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_args):
                pass
        self.ending = threading.Event()

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128
        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def ids(self):
        return [h["x-zendesk-webhook-invocation-id"] for h, _ in self.got]

    def stop(self):
        self.ending.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def client(zendesk):
    return Client(zendesk)


@pytest.fixture
def target():
    target = Target()
    yield target
    target.stop()


@pytest.fixture
def hooked(zendesk, client, target):
    """A webhook to the target, and a trigger that an agent's tag `go` fires."""
    zendesk.state.has_categories = False
    zendesk.switches.retry_after_scale = 0.001
    _, made = client.call("POST", "/webhooks", {"webhook": webhook(target.url)})
    values = trigger(("current_tags", "includes", "go"), ("role", "is", "agent"))
    values["actions"] = [{"field": "remove_tags", "value": "go"}, {
        "field": "notification_webhook", "value": [made["webhook"]["id"], BODY]}]
    assert client.call("POST", "/triggers", {"trigger": values})[0] == 201
    return zendesk


def webhook(url, **changes):
    return {"name": "hook", "status": "active", "endpoint": url, "http_method": "POST",
            "request_format": "json", "subscriptions": ["conditional_ticket_events"],
            "authentication": {"type": "bearer_token", "data": {"token": "bearer"},
                               "add_position": "header"}, **changes}


def trigger(*conditions, actions=(("current_tags", "done"),), title="a trigger"):
    return {"title": title, "actions": [{"field": f, "value": v} for f, v in actions],
            "conditions": {"all": [{"field": f, "operator": o, "value": v}
                                   for f, o, v in conditions]}}


def fire(zendesk, times=1):
    for _ in range(times):
        zendesk.update(zendesk.mail_in(), add=["go"])


# --- the signature ---

@pytest.mark.parametrize("body, signature", [
    (b'{"ticket_id":"42","email":"jane@example.com","users":"30"}',
     "g1n/RFdkPDM42iuOZvq/BLcPv7D2w2nae7YDhdwFlwY="),
    (b"", "1xsiPKGHFyXedEmvxNaOg4VQ2U4XjHcPMETpJymjCkg="),
])
def test_signature(body, signature):
    assert zendesk_hooks.sign(zendesk_hooks.TEST_SECRET, "2026-01-02T03:04:05Z", body) == signature


def test_a_delivery_is_signed_and_carries_the_token(hooked, target):
    fire(hooked)
    (invocation,) = hooked.settled()
    (headers, body), = target.got
    hook = hooked.webhook()
    assert json.loads(body) == {"ticket_id": "4711", "by": hooked.AGENT}
    assert headers["Authorization"] == "Bearer bearer"
    assert headers["x-zendesk-webhook-id"] == hook["id"]
    assert headers["x-zendesk-account-id"] == str(hooked.state.account_id)
    assert target.ids() == [invocation.id]
    assert headers["x-zendesk-webhook-signature"] == zendesk_hooks.sign(
        hook["secret"], headers["x-zendesk-webhook-signature-timestamp"], body)


# --- who may what ---

@pytest.mark.parametrize("method, path", [
    ("GET", "/webhooks"), ("POST", "/webhooks"), ("POST", "/triggers"),
    ("POST", "/ticket_fields"), ("POST", "/trigger_categories")])
def test_only_admins_set_up(zendesk, client, method, path):
    body = {} if method == "POST" else None
    assert client.call(method, path, body, zendesk.AGENT)[0] == 403
    assert client.call(method, path, body, zendesk.CUSTOMER)[0] == 403


def test_who_are_you(zendesk, client):
    assert client.call("GET", "/users/me", token="wrong") == (
        401, {"error": "Couldn't authenticate you"})
    assert client.call("GET", "/users/me", user="nobody@example.com")[0] == 401
    assert client.call("GET", "/users/me.json")[1]["user"]["role"] == "admin"


def test_an_end_user_has_no_tags(zendesk, client):
    body = {"request": {"subject": "help", "comment": {"body": "go"}, "tags": ["go"]}}
    status, made = client.call("POST", "/requests", body, zendesk.CUSTOMER)
    assert status == 201 and zendesk.tags(made["request"]["id"]) == []
    path = f"/tickets/{made['request']['id']}"
    assert client.call("PUT", path + "/tags", {"tags": ["go"]}, zendesk.CUSTOMER)[0] == 403
    assert client.call("GET", "/tickets/1")[0] == 404


def test_who_has_an_address_and_what_they_asked(zendesk, client):
    query = urllib.parse.quote(f'type:user email:"{zendesk.CUSTOMER.upper()}"')
    assert client.call("GET", f"/users/search?query={query}", user=zendesk.CUSTOMER)[0] == 403
    assert client.call("GET", "/users/search?query=nina")[0] == 422
    ((user,), tickets) = (client.call("GET", f"/users/search?query={query}")[1]["users"],
                          [zendesk.mail_in() for _ in range(2)])
    assert user["email"] == zendesk.CUSTOMER
    zendesk.update(tickets[0], add=["x"])
    path = f"/users/{user['id']}/tickets/requested"
    newest = client.call("GET", path + "?sort_by=updated_at&sort_order=desc")[1]["tickets"]
    assert [t["id"] for t in newest] == tickets
    ticket = {"requester_id": client.call("GET", "/users/me")[1]["user"]["id"]}
    assert client.call("PUT", f"/tickets/{tickets[0]}", {"ticket": ticket})[0] == 200
    assert [t["id"] for t in client.call("GET", path)[1]["tickets"]] == tickets[1:]
    ticket = {"requester_id": 1}
    assert client.call("PUT", f"/tickets/{tickets[0]}", {"ticket": ticket})[0] == 422


# --- tickets ---

def test_tags_are_added_set_and_removed(zendesk, client):
    path = f"/tickets/{zendesk.mail_in()}/tags"
    assert client.call("PUT", path, {"tags": ["B", "a"]})[1] == {"tags": ["a", "b"]}
    assert client.call("PUT", path, {"tags": ["c"]})[1] == {"tags": ["a", "b", "c"]}
    assert client.call("DELETE", path, {"tags": ["a"]})[1] == {"tags": ["b", "c"]}
    assert client.call("POST", path, {"tags": ["x"]}) == (201, {"tags": ["x"]})


def test_comments_and_what_a_ticket_refuses(zendesk, client):
    ticket = zendesk.mail_in()
    path = f"/tickets/{ticket}"

    def put(**values):
        return client.call("PUT", path, {"ticket": values}, zendesk.AGENT)
    assert put(comment={"body": "a note", "public": False}, tags=["only"])[0] == 200
    assert client.call("GET", path + "/comments")[1]["comments"][1]["public"] is False
    put(comment={"body": "not said whether public"})
    assert client.call("GET", path + "/comments")[1]["comments"][2]["public"] is True
    _, shown = client.call("GET", path + "?include=users")
    assert shown["users"][0]["email"] == zendesk.CUSTOMER and shown["ticket"]["tags"] == ["only"]
    assert put(safe_update=True, updated_stamp="2020-01-01T00:00:00Z", tags=[])[0] == 409
    put(status="closed")
    assert put(tags=["late"])[0] == 422


@pytest.mark.parametrize("kind, good, bad", [
    ("integer", 250, "many"), ("date", "2026-11-06", "6.11.2026"), ("regexp", "premium", "9'")])
def test_field_values_have_a_type(zendesk, client, kind, good, bad):
    field = {"type": kind, "title": "x", "regexp_for_validation": "^[a-z]+$"}
    _, made = client.call("POST", "/ticket_fields", {"ticket_field": field})
    path, number = f"/tickets/{zendesk.mail_in()}", made["ticket_field"]["id"]

    def put(value):
        return client.call("PUT", path, {"ticket": {"custom_fields": [
            {"id": number, "value": value}]}}, zendesk.AGENT)
    assert put(bad)[0] == 422
    assert put(good)[1]["ticket"]["custom_fields"] == [{"id": number, "value": good}]
    assert put("")[1]["ticket"]["custom_fields"] == [{"id": number, "value": None}]


def test_rate_limits(zendesk, client):
    path = f"/tickets/{zendesk.mail_in()}/tags"
    zendesk.state.limits.per_ticket = 2
    for _ in range(2):
        assert client.call("PUT", path, {"tags": ["x"]})[0] == 200
    assert client.call("PUT", path, {"tags": ["x"]})[0] == 429
    assert 0 < int(client.headers["Retry-After"]) <= 601
    zendesk.state.limits.per_minute = 1
    assert client.call("GET", "/users/me")[1]["error"] == "APIRateLimitExceeded"


# --- triggers ---

@pytest.mark.parametrize("change, words", [
    ({"title": " "}, "Title"),
    ({"conditions": {"all": []}}, "at least one condition"),
    ({"conditions": {"all": [{"field": "tags", "operator": "includes", "value": "x"}]}}, "tags"),
    ({"conditions": {"all": [{"field": "current_tags", "operator": "is", "value": "x"}]}}, "is"),
    ({"conditions": {"all": [{"field": "role", "operator": "is", "value": "boss"}]}}, "boss"),
    ({"conditions": {"any": [{"field": "custom_fields_1", "operator": "present"}]}}, "exist"),
    ({"actions": []}, "at least one action"),
    ({"actions": [{"field": "add_tags", "value": "x"}]}, "add_tags"),
    ({"actions": [{"field": "notification_webhook", "value": ["0" * 26, "{}"]}]}, "exist"),
    ({"actions": [{"field": "notification_webhook", "value": "{}"}]}, "array of two"),
    ({"category_id": "17"}, "Category"),
])
def test_a_trigger_that_is_none(zendesk, client, change, words):
    good = trigger(("update_type", "is", "Create"))
    _, made = client.call("POST", "/trigger_categories", {"trigger_category": {"name": "c"}})
    good["category_id"] = made["trigger_category"]["id"]
    assert client.call("POST", "/triggers", {"trigger": good})[0] == 201
    status, answer = client.call("POST", "/triggers", {"trigger": {**good, **change}})
    assert status == 422 and words in json.dumps(answer["details"])
    assert len(zendesk.state.triggers) == 1


def test_triggers_run_from_first_to_last(zendesk):
    zendesk.state.has_categories = False
    for title, has, adds in (("1", "b", "c"), ("2", "a", "b"), ("3", "b", "d")):
        zendesk.state.save_trigger(trigger(("current_tags", "includes", has),
                                           actions=[("current_tags", adds)], title=title))
    for restarts, tags in ((False, ["a", "b", "d"]), (True, ["a", "b", "c", "d"])):
        zendesk.state.restarts = restarts
        ticket = zendesk.mail_in()
        zendesk.update(ticket, add=["a"])
        assert zendesk.tags(ticket) == tags
    assert zendesk.state.fired[-1][1] == ["2", "1", "3"]  # each once


def test_blank_placeholders(zendesk):
    ticket = {"id": 7, "subject": "", "description": 'a "b"', "status": "new", "tags": [],
              "requester_id": 1, "custom_fields": {5: None, 6: "2026-11-06"}}
    user = {"email": "a@example.com", "name": "A"}
    event = zendesk_rules.Event(user)

    def render(text, escape=None):
        return zendesk_rules.render(text, ticket, event, ({1: user}, "https://z.example", escape))
    assert render("[{{ticket.ticket_field_5}}][{{ticket.ticket_field_9}}][{{no.such}}]") == "[][][]"
    assert render("{{ticket.ticket_field_6 | date: '%Y-%m-%d'}}|{{ ticket.link }}") == \
        "2026-11-06|https://z.example/agent/tickets/7"
    assert render("{{ticket.description}}", lambda t: json.dumps(t)[1:-1]) == r'a \"b\"'


def test_only_an_agents_update_fires(hooked, target):
    ticket = hooked.mail_in()
    hooked.state.tickets[ticket]["tags"] = ["go"]
    hooked.update(ticket, by=hooked.CUSTOMER, comment="go on")
    hooked.settled()
    assert target.got == [] and hooked.tags(ticket) == ["go"]
    hooked.update(ticket, by=hooked.ADMIN)
    hooked.settled()
    assert len(target.got) == 1 and hooked.tags(ticket) == []


# --- webhooks ---

@pytest.mark.parametrize("change", [
    {"name": ""}, {"endpoint": "hooks.example"}, {"http_method": "HEAD"}, {"status": "on"},
    {"request_format": "yaml"}, {"authentication": {"type": "bearer_token", "data": {}}},
    {"custom_headers": {"x": "y"}}])
def test_a_webhook_that_is_none(client, change):
    assert client.call("POST", "/webhooks", {"webhook": webhook("http://h.example", **change)})[0] == 400


def test_webhooks_are_changed_but_not_their_kind(hooked, client):
    path = "/webhooks/" + hooked.webhook()["id"]
    assert "data" not in client.call("GET", path)[1]["webhook"]["authentication"]
    assert client.call("PATCH", path, {"webhook": {"name": "new"}})[0] == 204
    assert hooked.webhook()["authentication"]["data"] == {"token": "bearer"}
    assert client.call("PATCH", path, {"webhook": {"subscriptions": ["zen:*"]}})[0] == 400
    assert client.call("PUT", path, {"webhook": {"name": "new"}})[0] == 400
    whole = webhook("http://h.example")
    del whole["authentication"]
    assert client.call("PUT", path, {"webhook": whole})[0] == 204
    assert "authentication" not in hooked.webhook()
    assert client.call("DELETE", path)[0] == 400  # a trigger uses it


def test_signing_secret(hooked, client):
    path = f"/webhooks/{hooked.webhook()['id']}/signing_secret"
    before = client.call("GET", path)[1]["signing_secret"]["secret"]
    status, made = client.call("POST", path)
    assert status == 201 and made["signing_secret"]["secret"] != before
    assert made == client.call("GET", path)[1]


def test_a_test_of_what_is_not_saved_has_the_public_secret(client, target):
    body = {"webhook": webhook(target.url), "request": {"payload": "{}"}}
    assert client.call("POST", "/webhooks/test", body)[1]["response"]["status"] == 202
    (headers, sent), = target.got
    assert headers["x-zendesk-webhook-signature"] == zendesk_hooks.sign(
        zendesk_hooks.TEST_SECRET, headers["x-zendesk-webhook-signature-timestamp"], sent)


# --- tries, loss, the breaker ---

@pytest.mark.parametrize("answer, tries, status", [
    ((202, {}), 1, "success"), ((409, {}), 4, "client error"),
    ((503, {"Retry-After": "30"}), 4, "server error"), ((429, {"Retry-After": "59"}), 4,
                                                        "client error"),
    ((503, {"Retry-After": "60"}), 1, "server error"), ((503, {}), 1, "server error"),
    ((500, {}), 1, "server error"), ((502, {"Retry-After": "1"}), 1, "server error"),
    ((400, {}), 1, "client error"), ((301, {"Location": "/"}), 1, "failed"),
])
def test_what_is_tried_again(hooked, target, answer, tries, status):
    target.plan = [answer] * 20
    fire(hooked)
    (invocation,) = hooked.settled()
    assert len(target.got) == len(invocation.attempts) == tries
    assert set(target.ids()) == {invocation.id} and invocation.status == status


def test_a_timeout_is_tried_again_five_times(hooked, target):
    hooked.switches.timeout_s = 0.05
    target.plan = [("silent", {})] * 20
    fire(hooked)
    (invocation,) = hooked.settled()
    assert len(invocation.attempts) == 6
    assert (invocation.status, invocation.status_code) == ("timeout", 504)


def test_a_few_timeouts_then_patience(hooked, target):
    hooked.switches.impatient = 2
    target.plan = [("silent", {})] * 2
    fire(hooked)
    (invocation,) = hooked.settled()
    assert [a["status"] for a in invocation.attempts] == ["timeout", "timeout", "success"]


def test_a_lost_answer(hooked, target):
    hooked.switches.lose_answers = 2
    fire(hooked)
    (invocation,) = hooked.settled()
    assert len(target.got) == 3 and invocation.status == "success"
    stamps = {h["x-zendesk-webhook-signature-timestamp"] for h, _ in target.got}
    assert len(stamps) == 1


def test_doubled_lost_and_forgotten(hooked, target):
    hooked.switches.double, hooked.switches.forget = 1, 1
    fire(hooked, 2)
    (invocation,) = hooked.settled()
    assert target.ids() == [invocation.id] * 2
    hooked.switches.lose = 1
    fire(hooked)
    assert hooked.settled()[-1].status == "failed" and len(target.got) == 2


def test_another_order(hooked, target):
    hooked.switches.hold = True
    fire(hooked, 3)
    hooked.hooks.release(reversed)
    assert target.ids() == [i.id for i in reversed(hooked.settled())]


def test_nobody_listens(hooked, target):
    target.stop()
    fire(hooked)
    (invocation,) = hooked.settled()
    assert (invocation.status, len(invocation.attempts)) == ("failed", 1)


def test_breaker(hooked, target):
    """Not below 100 requests; then it pauses, and one success closes it."""
    hooked.switches.breaker_pause_s = 30
    hooked.state.limits.updates = 0
    target.plan = [(500, {})] * 100
    fire(hooked, 100)
    hooked.settled()
    assert len(target.got) == 100
    fire(hooked)
    assert hooked.settled()[-1].status == "circuit broken" and len(target.got) == 100
    hooked.hooks.breakers[hooked.webhook()["id"]].open_until = 0
    fire(hooked, 2)
    assert [i.status for i in hooked.settled()[-2:]] == ["success"] * 2
    hooked.hooks.trip(hooked.webhook()["id"])
    fire(hooked)
    assert hooked.settled()[-1].status == "circuit broken"


def test_a_trial_account(hooked, target):
    hooked.switches.per_minute = 2
    fire(hooked, 3)
    assert sorted(i.status for i in hooked.settled()) == ["success", "success", "throttled"]
    held = next(i for i in hooked.settled() if i.status == "throttled").attempts[0]
    assert "request" not in held and "response" not in held


# --- the log ---

def test_log(hooked, client, target):
    target.plan = [(500, {})]
    fire(hooked)
    hooked.settled()
    fire(hooked, 4)
    kept = hooked.settled()
    path = f"/webhooks/{hooked.webhook()['id']}/invocations"

    def ids(**query):
        got, after = [], None
        while True:
            words = {**query, "page[size]": "2", **({"page[after]": after} if after else {})}
            status, page = client.call("GET", f"{path}?{urllib.parse.urlencode(words)}")
            assert status == 200 and len(page["invocations"]) <= 2
            got += [i["id"] for i in page["invocations"]]
            after = page["meta"]["after_cursor"]
            if not page["meta"]["has_more"]:
                return got
    assert sorted(ids()) == sorted(i.id for i in kept) and len(kept) == 5
    assert ids(**{"filter[status]": "server error"}) == [kept[0].id]
    assert ids(**{"filter[from_ts]": "2999-01-01T00:00:00Z"}) == []
    assert client.call("GET", path + "?filter[status]=lost")[0] == 400
    assert client.call("GET", path + "?page[size]=101")[0] == 400
    assert client.call("GET", path, user=hooked.AGENT)[0] == 403
    _, shown = client.call("GET", f"{path}/{kept[0].id}/attempts")
    (attempt,) = shown["attempts"]
    assert (attempt["status"], attempt["status_code"]) == ("server error", 500)
    assert json.loads(attempt["request"]["payload"])["ticket_id"] == "4711"
    assert "bearer" not in json.dumps(shown)
    assert client.call("GET", f"{path}/nothing/attempts")[0] == 404


def test_the_log_forgets_after_seven_days(hooked, client):
    fire(hooked)
    (invocation,) = hooked.settled()
    path = f"/webhooks/{hooked.webhook()['id']}/invocations"
    assert len(client.call("GET", path)[1]["invocations"]) == 1
    hooked.hooks.invocations[0].at -= zendesk_hooks.datetime.timedelta(days=8)
    assert client.call("GET", path)[1]["invocations"] == []
    assert invocation.status == "success"


# --- faults of the API ---

def test_faults(zendesk, client):
    zendesk.fail_next("answer", status=503, body={"error": "down"}, path="/users", times=2)
    assert client.call("GET", "/users/me") == (503, {"error": "down"})
    assert client.call("GET", "/ticket_fields")[0] == 200
    assert client.call("GET", "/users/me")[0] == 503
    wait_for(lambda: client.call("GET", "/users/me")[0] == 200, "an answer")
    for kind in ("lost_before", "lost_after"):
        zendesk.fail_next(kind, method="POST")
        with pytest.raises(OSError):
            client.call("POST", "/ticket_fields", {"ticket_field": {"type": "text", "title": kind}})
    assert [f["title"] for f in zendesk.state.fields.values()] == ["lost_after"]
    with pytest.raises(ValueError):
        zendesk.fail_next("no such")
