"""The fake GitLab keeps GitLab's rules: what a worker gets away with here it would get
away with there."""

import http.client
import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import pytest
from testenv import markdown, process
from testenv.gitlab import FAULTS, GUEST, Token
from testenv.wait import wait_for

ISSUES = "/api/v4/projects/4711/issues"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Client:
    """One kept connection."""

    def __init__(self, gitlab, token=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", gitlab.port, timeout=20)
        self.token = gitlab.TOKEN if token is None else token

    def call(self, method, path, body=None, raw=None, kind="application/json"):
        headers = {"PRIVATE-TOKEN": self.token} if self.token else {}
        if body is not None or raw is not None:
            headers["Content-Type"] = kind
        data = raw if raw is not None else json.dumps(body) if body is not None else None
        self.connection.request(method, path, data, headers)
        answer = self.connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode())

    def create(self, **params):
        params.setdefault("title", "a title")
        params.setdefault("description", "a text")
        return self.call("POST", ISSUES, params)

    def list(self, **query):
        return self.call("GET", f"{ISSUES}?{urllib.parse.urlencode(query)}")


@pytest.fixture
def client(gitlab):
    client = Client(gitlab)
    yield client
    client.connection.close()


# --- who may what ---

@pytest.mark.parametrize("token", ["", "wrong"])
def test_no_token(gitlab, token):
    answer = Client(gitlab, token).create()
    assert answer.status == 401
    assert answer.json() == {"message": "401 Unauthorized"}
    assert gitlab.issues() == []


def test_bearer(gitlab):
    request = urllib.request.Request(f"{gitlab.url}/api/v4/user",
                                     headers={"Authorization": f"Bearer {gitlab.TOKEN}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["username"] == "license-bot"


def test_revoked_token(gitlab, client):
    gitlab.token().state = "revoked"
    answer = client.create()
    assert answer.status == 401
    assert answer.json()["error"] == "invalid_token"


def test_read_scope_cannot_write(gitlab, client):
    gitlab.token().scope = "read_api"
    assert client.list().status == 200
    answer = client.create()
    assert answer.status == 403
    assert answer.json()["error"] == "insufficient_scope"


def test_private_project_hides_from_strangers(gitlab):
    gitlab.state.tokens["stranger"] = Token("stranger", level=0, user_id=2)
    stranger = Client(gitlab, "stranger")
    for path in ("/api/v4/projects/4711", ISSUES):
        answer = stranger.call("GET", path)
        assert answer.status == 404
        assert answer.json() == {"message": "404 Project Not Found"}


def test_project_by_path_and_number(client):
    quoted = urllib.parse.quote("support/emergency-licenses", safe="")
    for name in ("4711", quoted):
        answer = client.call("GET", f"/api/v4/projects/{name}")
        assert (answer.status, answer.json()["visibility"]) == (200, "private")
    assert client.call("GET", "/api/v4/projects/support/emergency-licenses").status == 404


def test_user(client):
    assert client.call("GET", "/api/v4/user").json()["username"] == "license-bot"


def test_moved_project(gitlab, client):
    gitlab.project().moved_to = f"{gitlab.url}/api/v4/projects/9"
    answer = client.create()
    assert answer.status == 301
    assert answer.headers["Location"].endswith("/projects/9")


def test_confidential_issues_hide_from_guests(gitlab, client):
    client.create(confidential=True)
    gitlab.state.tokens["guest"] = Token("guest", GUEST, user_id=2)
    guest = Client(gitlab, "guest")
    assert guest.list().json() == []
    assert guest.call("GET", f"{ISSUES}/1").status == 404


# --- creating ---

def test_create(gitlab, client):
    answer = client.create(title="t", description="d", confidential=True, labels=["b", "a"])
    issue = answer.json()
    assert answer.status == 201
    assert (issue["iid"], issue["state"], issue["confidential"]) == (1, "opened", True)
    assert issue["labels"] == ["a", "b"]
    assert issue["web_url"] == f"{gitlab.url}/support/emergency-licenses/-/issues/1"
    assert client.create().json()["iid"] == 2  # equal POSTs make two issues
    assert gitlab.issues()[0]["description"] == "d"


def test_labels_as_text(client):
    assert client.create(labels="x, y").json()["labels"] == ["x", "y"]


def test_labels_need_a_role(gitlab, client):
    gitlab.token().level = GUEST
    assert client.create(labels=["x"]).json()["labels"] == []


def test_cannot_be_created_closed(gitlab, client):
    answer = client.create(state="closed", state_event="close", description="text\n\n/close")
    assert (answer.status, answer.json()["state"]) == (201, "opened")
    assert answer.json()["description"] == "text"  # the line vanishes all the same
    assert gitlab.issue()["ignored"] == ["state"]


@pytest.mark.parametrize("params, field, words", [
    ({"title": None}, "error", "title is missing"),
    ({"title": " "}, "message", "can't be blank"),
    ({"title": "x" * 256}, "message", "is too long (maximum is 255 characters)"),
    ({"title": "\u20ac" * 256}, "message", "is too long"),
    ({"description": "x" * 1048577}, "message", "is too long"),
    ({"title": "a\0b"}, "error", "title is invalid"),
    ({"title": 5}, "error", "title is invalid"),
    ({"confidential": "yes"}, "error", "confidential is invalid"),
    ({"labels": [1]}, "error", "labels is invalid"),
])
def test_bad_parameters(gitlab, client, params, field, words):
    answer = client.create(**params)
    assert answer.status == 400
    assert words in json.dumps(answer.json()[field])
    assert gitlab.issues() == []


def test_title_counts_characters(gitlab, client):
    assert client.create(title="  " + "\u20ac" * 255 + " ").status == 201
    assert gitlab.issue()["title"] == "\u20ac" * 255


@pytest.mark.parametrize("raw", [b"{", b"[]", b"\xff\xfe", b'{"title":"\xff"}'])
def test_bad_bodies(client, raw):
    assert client.call("POST", ISSUES, raw=raw).status == 400


def test_content_type(client):
    assert client.call("POST", ISSUES, raw=b"{}", kind="text/plain").status == 415


@pytest.mark.parametrize("text", ["", "  \n"])
def test_empty_description_becomes_the_template(gitlab, client, text):
    assert "template" in client.create(description=text).json()["description"]
    assert gitlab.issue()["default_template"]


# --- changing ---

def test_close_and_reopen(gitlab, client):
    client.create(title="one")
    answer = client.call("PUT", f"{ISSUES}/1", {"title": "two", "state_event": "close"})
    assert (answer.status, answer.json()["state"]) == (200, "closed")
    assert answer.json()["closed_at"]
    assert gitlab.issue()["history"] == [
        {"title": "one", "state": "opened"}, {"title": "two", "state": "closed"}]
    answer = client.call("PUT", f"{ISSUES}/1", {"state_event": "reopen"})
    assert (answer.json()["state"], answer.json()["closed_at"]) == ("opened", None)


@pytest.mark.parametrize("params", [{}, {"state": "closed"}, {"state_event": "closed"},
                                    {"title": "x" * 256}])
def test_bad_changes(client, params):
    client.create()
    assert client.call("PUT", f"{ISSUES}/1", params).status == 400


def test_unknown_issue(client):
    assert client.call("PUT", f"{ISSUES}/7", {"title": "x"}).json() == {"message": "404 Not found"}
    assert client.call("PUT", f"{ISSUES}/abc", {"title": "x"}).status == 400
    assert client.call("DELETE", f"{ISSUES}").status == 405


def test_notes(gitlab, client):
    client.create()
    answer = client.call("POST", f"{ISSUES}/1/notes", {"body": "solved"})
    assert (answer.status, answer.json()["noteable_iid"]) == (201, 1)
    assert [n["body"] for n in gitlab.issue()["notes"]] == ["solved"]
    assert client.call("POST", f"{ISSUES}/1/notes", {}).json() == {"error": "body is missing"}
    assert client.call("POST", f"{ISSUES}/1/notes", {"body": "/close"}).status == 202
    assert gitlab.issue()["quick_actions"] == ["/close"]


# --- lists ---

def test_paging(client):
    for n in range(45):
        client.create(title=f"t{n}")
    first = client.list()
    assert [i["title"] for i in first.json()][:2] == ["t44", "t43"]
    assert (len(first.json()), first.headers["X-Next-Page"]) == (20, "2")
    last = client.list(page=3)
    assert (len(last.json()), last.headers["X-Next-Page"]) == (5, "")
    assert len(client.list(per_page=500).json()) == 45
    assert client.list(page=9).json() == []
    assert client.list(sort="asc", per_page=1).json()[0]["title"] == "t0"


def test_filters(gitlab, client):
    client.create(title="mine", confidential=True, labels=["x"])
    gitlab.state.tokens["other"] = Token("other", user_id=2)
    Client(gitlab, "other").create(title="theirs", description="needle")
    client.call("PUT", f"{ISSUES}/1", {"state_event": "close"})

    def titles(**query):
        return [i["title"] for i in client.list(**query).json()]

    assert titles() == titles(state="all") == ["theirs", "mine"]
    assert titles(state="closed") == titles(scope="created_by_me") == ["mine"]
    assert titles(author_username="other") == titles(author_id=2) == ["theirs"]
    assert titles(labels="x") == ["mine"]
    assert titles(search="NEEDLE", **{"in": "description"}) == ["theirs"]
    assert titles(search="needle", **{"in": "title"}) == []
    assert titles(created_after="2999-01-01T00:00:00Z") == []
    assert len(titles(created_after="2020-01-01T00:00:00Z")) == 2
    assert titles(created_before="2020-01-01T00:00:00Z") == []


@pytest.mark.parametrize("query", [{"state": "open"}, {"per_page": "x"}, {"sort": "up"},
                                   {"created_after": "yesterday"}, {"scope": "mine"}])
def test_bad_queries(client, query):
    assert client.list(**query).status == 400


# --- faults ---

@pytest.mark.parametrize("kind", sorted(k for k, (_, answer) in FAULTS.items() if answer))
def test_faults_that_answer(gitlab, client, kind):
    effect, (status, headers, _) = FAULTS[kind]
    gitlab.fail_next(kind)
    answer = client.create()
    assert answer.status == status
    assert dict(headers).items() <= dict(answer.headers).items()
    assert len(gitlab.issues()) == effect
    assert gitlab.requests()[-1].fault == kind
    assert client.create().status == 201  # once only


@pytest.mark.parametrize("kind, effect", [("lost_before", 0), ("lost_after", 1), ("cut", 1)])
def test_faults_that_lose_the_answer(gitlab, client, kind, effect):
    gitlab.fail_next(kind)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        client.create()
    assert len(gitlab.issues()) == effect
    client.connection.close()
    assert client.create().status == 201


def test_three_kinds_of_429(gitlab, client):
    gitlab.fail_next("throttle_429", retry_after=7)
    gitlab.fail_next("create_429")
    gitlab.fail_next("search_429", method="GET")
    throttled, limited, search = client.create(), client.create(), client.list(search="x")
    assert (throttled.status, throttled.body) == (429, "Retry later")
    assert throttled.headers["Retry-After"] == "7"
    assert int(throttled.headers["RateLimit-Reset"]) > time.time()
    assert limited.status == 429 and "Retry-After" not in limited.headers
    assert "too many times" in limited.json()["message"]["error"]
    assert search.headers["Retry-After"] == "60"


def test_spoiled_successes(gitlab, client):
    for kind in ("labels_dropped", "not_confidential"):
        gitlab.fail_next(kind)
    assert client.create(labels=["x"], confidential=True).json()["labels"] == []
    assert client.create(confidential=True).json()["confidential"] is False
    gitlab.fail_next("not_closed", method="PUT", path="")
    answer = client.call("PUT", f"{ISSUES}/1", {"state_event": "close"})
    assert (answer.status, answer.json()["state"]) == (200, "opened")
    assert gitlab.issues()[0]["state"] == "opened"


def test_a_fault_does_not_hide_a_bad_request(gitlab, client):
    gitlab.fail_next("malformed")
    assert client.create(title="x" * 256).status == 400


def test_held_requests(gitlab, client):
    gitlab.fail_next("slow", seconds=0.01)
    assert client.create().status == 201
    gitlab.fail_next("never_after")
    client.connection.request("POST", ISSUES, json.dumps({"title": "held"}), {
        "PRIVATE-TOKEN": gitlab.TOKEN, "Content-Type": "application/json"})
    wait_for(lambda: len(gitlab.issues()) == 2, "the issue is there")
    gitlab.release()
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        client.connection.getresponse()


def test_unknown_fault(gitlab):
    with pytest.raises(ValueError, match="no such fault"):
        gitlab.fail_next("nonsense")


def test_down_and_up(gitlab, client):
    assert client.create().status == 201
    gitlab.down()
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        client.create()
    client.connection.close()
    with pytest.raises(ConnectionRefusedError):
        client.create()
    client.connection.close()
    gitlab.up()
    assert client.create().json()["iid"] == 2


def test_requests_are_kept(gitlab, client):
    client.create(title="kept")
    request = gitlab.requests("POST", "/issues")[0]
    assert request.json["title"] == "kept"
    assert json.loads(request.body)["title"] == "kept"
    assert request.headers["PRIVATE-TOKEN"] == gitlab.TOKEN
    assert (request.status, request.effect) == (201, True)


# --- what text does ---

@pytest.mark.parametrize("text, actions", [
    ("/assign @root", ["/assign @root"]),
    ("hello\n/label ~x\nbye", ["/label ~x"]),
    ("hello\r\n/title stolen\r\n", ["/title stolen"]),
    ("/CLOSE", ["/CLOSE"]),
    ("\r/close", ["/close"]),
    ("/unknown thing", []),
    (" /close", []),
    ("a /close", []),
    ("```\n/close\n```", []),
    ("```\n/close", []),
    ("````\n```\n/close\n````", []),
    ("```\n```\n/close", ["/close"]),
    ("```\nx\n``\n/close\n```", []),
    ("~~~\n/close\n```\n/close\n~~~", []),
    ("    /close", []),
    ("> quote\n/close", []),
    ("> quote\n\n/close", ["/close"]),
    ("<div>\n/close\n</div>", []),
    ("<!-- \n\n/close\n-->", []),
    ("`a\n/close\nb`", []),
    ("`a\n\n/close\n\nb`", ["/close"]),
])
def test_quick_actions(gitlab, client, text, actions):
    client.create(description=f"{text}\n\nend")
    assert gitlab.issue()["quick_actions"] == actions


def test_quick_actions_take_effect(gitlab, client):
    client.create(description="x\n\n/title stolen\n/label ~bad\n/assign @root")
    issue = gitlab.issue()
    assert (issue["title"], issue["labels"], issue["description"]) == ("stolen", ["bad"], "x")
    assert len([e for e in gitlab.active_text() if e[2] == "quick_action"]) == 3


@pytest.mark.parametrize("text, kinds", [
    ("plain text, a@example.com, 5 % of 3", []),
    ("hi @root", ["mention"]),
    ("see #12 and group/project#3", ["issue", "issue"]),
    ("!4 ~bug %v1 &5 $6", ["merge_request", "label", "milestone", "epic", "snippet"]),
    ("https://example.com/x", ["link"]),
    ("[x](javascript:alert)", ["link"]),
    ("![x](y)", ["link", "image"]),
    ("<b>x</b>", ["html", "html"]),
    ("- [ ] task", ["task"]),
    ("> quoted", ["quote"]),
    ("`@root #1 https://example.com`", []),
    ("``a ` @root``", []),
    ("`unclosed @root", ["mention"]),
    ("\\@root \\#1", []),
    ("```\n@root\n```", []),
    ("    @root", []),
])
def test_effects(text, kinds):
    assert sorted(kind for kind, _ in markdown.effects(text)) == sorted(kinds)


def test_effects_of_titles(gitlab, client):
    client.create(title="[Success] - a@example.com @root #12")
    assert [(e[1], e[3]) for e in gitlab.active_text()] == [("title", "@root"), ("title", "#12")]


def test_fences_are_exact():
    assert markdown.fenced("a\n\n```\n one\n\ntwo \n```\n\n````x\n```\n````\n") == [
        " one\n\ntwo \n", "```\n"]


# --- as a program ---

def test_as_a_process():
    here = os.path.dirname(os.path.abspath(__file__))
    fake = process.start([sys.executable, "-m", "testenv.gitlab", "--port", "0", "--token", "t"],
                         cwd=here, stdout=subprocess.PIPE, text=True)
    try:
        url = fake.stdout.readline().strip()
        body = json.dumps({"title": "x", "description": "d"}).encode()
        request = urllib.request.Request(f"{url}{ISSUES}", body, {
            "PRIVATE-TOKEN": "t", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 201
        with urllib.request.urlopen(f"{url}/fake/issues", timeout=20) as answer:
            assert json.load(answer)[0]["title"] == "x"
        with urllib.request.urlopen(f"{url}/fake/requests", timeout=20) as answer:
            assert json.load(answer)[0]["status"] == 201
    finally:
        assert process.stop(fake) == 0
        fake.stdout.close()
