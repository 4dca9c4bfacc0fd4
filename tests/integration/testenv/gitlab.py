"""A GitLab with the issues API that the worker uses, strict where GitLab is strict, with
switches for everything that can go wrong. Rules: GitLab's Issues, Notes and Projects API
and REST status codes.

In a test: `GitLab()` runs it in a thread of the test. By hand: `python3 -m testenv.gitlab
--port 0` prints its URL and runs until it is ended; /fake/issues, /fake/requests and
POST /fake/faults are for the person at the other end."""

import argparse
import asyncio
import copy
import dataclasses
import datetime
import json
import signal
import sys
import threading
import time
import urllib.parse

from aiohttp import web

from . import markdown
from .loop import LoopThread

GUEST, PLANNER, REPORTER, MAINTAINER, OWNER = 10, 15, 20, 40, 50
TITLE_MAX, TEXT_MAX, NOTE_MAX = 255, 1048576, 1000000
TEMPLATE = "The project's default issue template.\n"
ISSUE_KEYS = frozenset(
    """title description confidential labels add_labels remove_labels state_event assignee_ids
    assignee_id milestone_id milestone due_date start_date discussion_locked issue_type
    weight epic_id""".split()
)


def _now():
    return datetime.datetime.now(datetime.timezone.utc)


def _iso(moment):
    return moment and moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


@dataclasses.dataclass
class Token:
    username: str
    level: int = REPORTER
    scope: str = "api"  # or read_api
    state: str = "active"  # or revoked
    user_id: int = 1
    expires_at: object = None  # "YYYY-MM-DD"
    tells: bool = True  # about itself: fine-grained ones do not


@dataclasses.dataclass
class Project:
    id: int
    path: str
    visibility: str = "private"
    moved_to: str = ""
    template: str = TEMPLATE
    issues: list = dataclasses.field(default_factory=list)
    labels: set = dataclasses.field(default_factory=set)
    archived: bool = False
    issues_enabled: bool = True
    members: list = dataclasses.field(default_factory=lambda: [  # username, level
        ("project_4711_bot_0a1b", REPORTER), ("agent", REPORTER), ("lead", MAINTAINER)])
    hooks: list = dataclasses.field(default_factory=list)  # dicts, as the API tells them
    integrations: list = dataclasses.field(default_factory=list)
    last_iid: int = 0  # none is given twice, whatever was deleted


@dataclasses.dataclass
class Request:
    """One request as it arrived."""

    at: float
    method: str
    path: str  # as on the wire, %2F kept
    query: dict
    headers: object  # by name, whatever its case
    body: bytes
    peer: str
    json: object = None
    status: int = 0  # as answered; 0: none
    fault: str = ""
    effect: bool = False  # it changed something


@dataclasses.dataclass
class Fault:
    """What happens to the next requests that match."""

    kind: str
    times: int = 1
    method: str = "POST"
    path: str = "/issues"  # the path ends so; "" is any
    seconds: float = 1.0  # of `slow`
    retry_after: int = 1  # of `throttle_429`
    status: int = 422  # of `answer`
    body: str = ""  # the same: as it is; surrogates stand for bytes
    headers: dict = dataclasses.field(default_factory=dict)  # the same


# kind: (effect first, answer). The answer: status, headers, body; None: hang up.
_JSON = {"Content-Type": "application/json"}
_TOO_OFTEN = {"message": {"error": "This endpoint has been requested too many times. Try again later."}}
_HTML = "<html><body><h1>502</h1>GitLab is not responding &amp; <b>waiting</b></body></html>"
FAULTS = {
    "lost_before": (False, None),
    "lost_after": (True, None),
    "create_429": (False, (429, {}, _TOO_OFTEN)),
    "search_429": (False, (429, {"Retry-After": "60"}, _TOO_OFTEN)),
    "lock_409": (False, (409, {}, {"message": "409 Conflict: Resource lock"})),
    "duplicate_409": (False, (409, {}, {"message": "Duplicated issue"})),
    "captcha_409": (False, (409, {}, {
        "needs_captcha_response": True, "spam_log_id": 42, "captcha_site_key": "key",
        "message": {"error": "Your issue has been recognized as spam. Please, change the "
                             "content or solve the reCAPTCHA to proceed."}})),
    "spam_400": (False, (400, {}, {"message": {"base": [
        "Your issue has been recognized as spam and has been discarded."]}})),
    "unprocessable_422": (False, (422, {}, {"message": "422 Unprocessable Entity"})),
    "unauthorized_401": (False, (401, {}, {"message": "401 Unauthorized"})),
    "forbidden_403": (False, (403, {}, {"message": "403 Forbidden"})),
    "not_found_404": (False, (404, {}, {"message": "404 Not found"})),
    "error_500": (False, (500, {}, {"message": "500 Internal Server Error"})),
    "error_500_after": (True, (500, {}, {"message": "500 Internal Server Error"})),
    "gateway_502": (False, (502, {}, _HTML)),
    "gateway_502_after": (True, (502, {}, _HTML)),
    "gateway_503": (False, (503, {}, _HTML)),
    "timeout_504_after": (True, (504, {}, _HTML)),
    "malformed": (True, (201, {}, '{"id":1,"iid":')),
    "no_iid": (True, (201, {}, {"id": 1, "state": "opened"})),
    "empty": (True, (201, {}, "")),
}
# These need more than a fixed answer.
SPECIAL_FAULTS = frozenset(
    "throttle_429 slow slow_after never never_after cut labels_dropped not_confidential "
    "not_closed answer".split()
)


class Refusal(Exception):
    def __init__(self, status, body, headers=None):
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


def _message(status, text):
    return Refusal(status, {"message": text})


class State:
    """Everything that GitLab holds. Touched under `lock` only."""

    def __init__(self, url=""):
        self.lock = threading.RLock()
        self.url = url
        self.tokens = {}
        self.projects = []
        self.requests = []
        self.faults = []
        self.next_id = 1000

    def fresh_id(self):
        self.next_id += 1
        return self.next_id

    # --- who may what ---

    def token(self, headers):
        text = headers.get("PRIVATE-TOKEN") or headers.get("Authorization", "").removeprefix("Bearer ")
        token = self.tokens.get(text)
        if not token:
            raise _message(401, "401 Unauthorized")
        if token.state == "revoked":
            raise Refusal(401, {
                "error": "invalid_token",
                "error_description": "Token was revoked. You have to re-authorize from the user."})
        return token

    def project(self, name, token):
        project = next((p for p in self.projects if name in (str(p.id), p.path)), None)
        if not project or (project.visibility == "private" and not token.level):
            raise _message(404, "404 Project Not Found")
        if project.moved_to:
            raise Refusal(301, "moved", {"Location": project.moved_to})
        return project

    @staticmethod
    def may_write(token, level=GUEST):
        if token.scope != "api":
            raise Refusal(403, {
                "error": "insufficient_scope", "scope": "api",
                "error_description": "The request requires higher privileges than provided by the access token."})
        if token.level < level:
            raise _message(403, "403 Forbidden")

    @staticmethod
    def issue(project, iid, token):
        found = next((i for i in project.issues if str(i["iid"]) == iid), None)
        visible = found and (not found["confidential"] or token.level >= PLANNER
                             or found["author"]["username"] == token.username)
        if not visible:
            raise _message(404, "404 Not found")
        return found

    # --- parameters ---

    @staticmethod
    def _boolean(params, key):
        value = params.get(key)
        if value is None or isinstance(value, bool):
            return value
        if str(value) in ("true", "false", "1", "0"):
            return str(value) in ("true", "1")
        raise Refusal(400, {"error": f"{key} is invalid"})

    @staticmethod
    def _text(params, key, limit):
        value = params.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise Refusal(400, {"error": f"{key} is invalid"})
        if "\0" in value:
            raise Refusal(400, {"error": f"{key} is invalid"})
        if len(value) > limit:
            raise Refusal(400, {"message": {key: [f"is too long (maximum is {limit} characters)"]}})
        return value

    @classmethod
    def _title(cls, params):
        title = params.get("title")
        title = cls._text({"title": title.strip() if isinstance(title, str) else title}, "title", TITLE_MAX)
        if title == "":
            raise Refusal(400, {"message": {"title": ["can't be blank"]}})
        return title

    @staticmethod
    def _labels(params, key="labels"):
        value = params.get(key)
        if value is None:
            return None
        names = value if isinstance(value, list) else str(value).split(",")
        if not all(isinstance(name, str) for name in names):
            raise Refusal(400, {"error": f"{key} is invalid"})
        return sorted({name.strip() for name in names if name.strip()})

    # --- issues ---

    def create_issue(self, project, token, params):
        self.may_write(token)
        if params.get("title") is None:
            raise Refusal(400, {"error": "title is missing"})
        title = self._title(params)
        description = self._text(params, "description", TEXT_MAX) or ""
        if not description.strip():
            description = project.template
        confidential = bool(self._boolean(params, "confidential"))
        labels = self._labels(params) or []
        if token.level < PLANNER:
            labels = []  # without a word
        project.labels.update(labels)
        now = _now()
        project.last_iid += 1
        issue = {
            "id": self.fresh_id(), "iid": project.last_iid, "project_id": project.id,
            "title": title, "description": description, "state": "opened",
            "created_at": now, "updated_at": now, "closed_at": None, "closed_by": None,
            "labels": labels, "confidential": confidential,
            "author": self.user(token), "assignees": [],
            "notes": [], "quick_actions": [], "ignored": sorted(set(params) - ISSUE_KEYS),
            "history": [], "default_template": description is project.template,
        }
        # A new issue cannot be closed, by no parameter and no /close.
        self._act(issue, "description", created=True)
        self._remember(issue)
        project.issues.append(issue)
        return issue

    def update_issue(self, issue, token, params):
        self.may_write(token)
        if not set(params) & ISSUE_KEYS:
            raise Refusal(400, {"error": "title, description, state_event are missing, at least one parameter must be provided"})
        if token.level < PLANNER and issue["author"]["username"] != token.username:
            raise _message(403, "403 Forbidden")
        event = params.get("state_event")
        if event not in (None, "close", "reopen"):
            raise Refusal(400, {"error": "state_event does not have a valid value"})
        changes = {
            "title": self._title(params),
            "description": self._text(params, "description", TEXT_MAX),
            "confidential": self._boolean(params, "confidential"),
            "labels": self._labels(params) if token.level >= PLANNER else None,
        }
        issue.update({key: value for key, value in changes.items() if value is not None})
        if changes["description"] is not None:
            self._act(issue, "description")
        if event:
            self._set_state(issue, event, token)
        issue["updated_at"] = _now()
        self._remember(issue)
        return issue

    def add_note(self, issue, token, params):
        self.may_write(token)
        if params.get("body") is None:
            raise Refusal(400, {"error": "body is missing"})
        body = self._text(params, "body", NOTE_MAX)
        if not body.strip():
            raise Refusal(400, {"message": {"note": ["can't be blank"]}})
        actions, rest = markdown.quick_actions(body)
        issue["quick_actions"] += actions
        if actions and not rest:
            raise Refusal(202, {"commands_changes": {}, "summary": actions})
        note = {
            "id": self.fresh_id(), "type": None, "body": rest, "author": self.user(token),
            "created_at": _now(), "updated_at": _now(), "system": False,
            "noteable_id": issue["id"], "noteable_iid": issue["iid"], "noteable_type": "Issue",
            "internal": bool(self._boolean(params, "internal")), "resolvable": False,
        }
        issue["notes"].append(note)
        return note

    def _set_state(self, issue, event, token):
        issue["state"] = "closed" if event == "close" else "opened"
        issue["closed_at"] = _now() if event == "close" else None
        issue["closed_by"] = self.user(token) if event == "close" else None

    @staticmethod
    def _act(issue, key, created=False):
        """Runs the quick actions of a text: the simple ones for real, all on record."""
        actions, rest = markdown.quick_actions(issue[key])
        issue[key] = rest
        issue["quick_actions"] += actions
        for line in actions:
            name, _, value = line[1:].partition(" ")
            if name == "title" and value:
                issue["title"] = value[:TITLE_MAX]
            if name == "label":
                issue["labels"] = sorted({*issue["labels"], value.strip(' ~"')})
            if name == "assign":
                issue["assignees"].append({"username": value.strip(" @")})
            if name == "close" and not created:
                issue["state"] = "closed"

    @staticmethod
    def _remember(issue):
        issue["history"].append({"title": issue["title"], "state": issue["state"]})

    def user(self, token):
        return {"id": token.user_id, "username": token.username, "name": token.username,
                "state": "active", "avatar_url": None, "web_url": f"{self.url}/{token.username}"}

    @staticmethod
    def shown_token(token):
        if not token.tells:
            raise _message(404, "404 Not Found")
        return {"id": 7, "name": token.username, "revoked": False, "active": True,
                "scopes": [token.scope], "user_id": token.user_id,
                "expires_at": token.expires_at}

    def shown(self, project, issue):
        """The issue as the API shows it."""
        base = f"{self.url}/api/v4/projects/{project.id}"
        hidden = ("notes", "quick_actions", "ignored", "history", "default_template")
        out = {key: value for key, value in issue.items() if key not in hidden}
        for key in ("created_at", "updated_at", "closed_at"):
            out[key] = _iso(issue[key])
        out.update({
            "type": "ISSUE", "issue_type": "issue", "milestone": None, "due_date": None,
            "assignee": (issue["assignees"] or [None])[0], "user_notes_count": len(issue["notes"]),
            "web_url": f"{self.url}/{project.path}/-/issues/{issue['iid']}",
            "_links": {"self": f"{base}/issues/{issue['iid']}",
                       "notes": f"{base}/issues/{issue['iid']}/notes", "project": base},
            "references": {"short": f"#{issue['iid']}", "relative": f"#{issue['iid']}",
                           "full": f"{project.path}#{issue['iid']}"},
            "task_completion_status": {"count": 0, "completed_count": 0},
        })
        return out

    # --- lists ---

    @staticmethod
    def _choice(query, key, default, allowed):
        value = query.get(key, default)
        if value not in allowed:
            raise Refusal(400, {"error": f"{key} does not have a valid value"})
        return value

    @staticmethod
    def _number(query, key, default):
        value = query.get(key, str(default))
        if not value.isdigit():
            raise Refusal(400, {"error": f"{key} is invalid"})
        return int(value)

    @staticmethod
    def _moment(query, key):
        if key not in query:
            return None
        try:
            moment = datetime.datetime.fromisoformat(query[key].replace("Z", "+00:00"))
        except ValueError:
            raise Refusal(400, {"error": f"{key} is invalid"}) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)

    def list_issues(self, project, token, query):
        """(the page, its headers)"""
        state = self._choice(query, "state", "all", ("opened", "closed", "all"))
        order = self._choice(query, "order_by", "created_at", ("created_at", "updated_at", "title"))
        sort = self._choice(query, "sort", "desc", ("asc", "desc"))
        scope = self._choice(query, "scope", "all", (
            "all", "created_by_me", "created-by-me", "assigned_to_me", "assigned-to-me"))
        after, before = self._moment(query, "created_after"), self._moment(query, "created_before")
        author = token.username if scope.startswith("created") else query.get("author_username")
        labels = [name for name in query.get("labels", "").split(",") if name]
        needle = query.get("search", "").lower()
        fields = query.get("in", "title,description").split(",")

        def counts(issue):
            return (
                (state == "all" or issue["state"] == state)
                and (not author or issue["author"]["username"] == author)
                and ("author_id" not in query or str(issue["author"]["id"]) == query["author_id"])
                and (not after or issue["created_at"] >= after)
                and (not before or issue["created_at"] <= before)
                and (not scope.startswith("assigned") or any(
                    a["username"] == token.username for a in issue["assignees"]))
                and set(labels) <= set(issue["labels"])
                and (not needle or any(needle in issue[f].lower() for f in fields if f in issue))
                and (not issue["confidential"] or token.level >= PLANNER
                     or issue["author"]["username"] == token.username)
            )

        found = [issue for issue in project.issues if counts(issue)]
        found.sort(key=lambda issue: (issue[order], issue["id"]), reverse=sort == "desc")
        per_page = min(max(self._number(query, "per_page", 20), 1), 100)
        page = max(self._number(query, "page", 1), 1)
        pages = max(-(-len(found) // per_page), 1)
        headers = {
            "X-Page": str(page), "X-Per-Page": str(per_page), "X-Total": str(len(found)),
            "X-Total-Pages": str(pages), "X-Next-Page": str(page + 1) if page < pages else "",
            "X-Prev-Page": str(page - 1) if page > 1 else "",
        }
        first = (page - 1) * per_page
        return [self.shown(project, i) for i in found[first:first + per_page]], headers


class Handler:
    """HTTP in front of a State."""

    def __init__(self, state):
        self.state = state
        self.ending = None  # set when the server stops: held requests go on then

    def app(self):
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_get("/fake/issues", self.fake_issues)
        app.router.add_get("/fake/requests", self.fake_requests)
        app.router.add_post("/fake/faults", self.fake_faults)
        app.router.add_route("*", "/{any:.*}", self.handle)
        return app

    async def handle(self, request):
        entry = Request(
            at=time.time(), method=request.method, path=request.rel_url.raw_path,
            query=dict(request.query), headers=request.headers.copy(),
            body=await request.read(), peer=str(request.transport.get_extra_info("peername")))
        with self.state.lock:
            self.state.requests.append(entry)
            fault = self._fault(entry)
        return await self._answer(request, entry, fault)

    def _fault(self, entry):
        for fault in self.state.faults:
            if fault.times and fault.method in (entry.method, "*") and entry.path.endswith(fault.path):
                fault.times -= 1
                entry.fault = fault.kind
                return fault
        return None

    async def _answer(self, request, entry, fault):
        kind = fault.kind if fault else ""
        if kind in ("slow", "never"):
            await self._hold(fault if kind == "slow" else None)
        if kind == "never":
            return self._hang_up(request)
        if kind == "throttle_429":
            return self._respond(entry, 429, "Retry later", self._throttle(fault))
        if kind == "answer":
            return self._respond(entry, fault.status, fault.body, fault.headers)
        effect_first, answer = FAULTS.get(kind, (True, ()))
        status = body = headers = None
        if effect_first:
            status, body, headers = self._serve(entry, kind)
        if kind in ("slow_after", "never_after"):
            await self._hold(fault if kind == "slow_after" else None)
        if answer is None or kind == "never_after":
            return self._hang_up(request)
        if kind == "cut":
            return await self._cut(request, entry, status, body)
        if answer and not (effect_first and status and status >= 400):
            status, headers, body = answer
        return self._respond(entry, status, body, headers)

    def _serve(self, entry, kind):
        with self.state.lock:
            try:
                status, body, headers = self._route(entry)
            except Refusal as no:
                return no.status, no.body, no.headers
            entry.effect = entry.method != "GET"
            if entry.effect and isinstance(body, dict):
                self._spoil(entry, kind, body)
            return status, copy.deepcopy(body), headers

    def _spoil(self, entry, kind, body):
        """Faults in which GitLab says yes and does less."""
        change = {"labels_dropped": {"labels": []}, "not_confidential": {"confidential": False},
                  "not_closed": {"state": "opened", "closed_at": None}}.get(kind)
        if change:
            body.update(change)
            for project in self.state.projects:
                for issue in project.issues:
                    if issue["id"] == body["id"]:
                        issue.update(change)

    def _route(self, entry):
        parts = [urllib.parse.unquote(p) for p in entry.path.removeprefix("/api/v4/").split("/")]
        if not entry.path.startswith("/api/v4/"):
            raise Refusal(404, {"error": "404 Not Found"})
        state, method = self.state, entry.method
        token = state.token(entry.headers)
        if parts == ["user"] and method == "GET":
            return 200, state.user(token), {}
        if parts == ["personal_access_tokens", "self"] and method == "GET":
            return 200, state.shown_token(token), {}
        if parts[0] != "projects" or len(parts) < 2:
            raise Refusal(404, {"error": "404 Not Found"})
        params = self._params(entry) if method in ("POST", "PUT") else {}
        project = state.project(parts[1], token)
        rest = parts[2:]
        if not rest and method == "GET":
            return 200, {"id": project.id, "path_with_namespace": project.path,
                         "visibility": project.visibility,
                         "issues_enabled": project.issues_enabled,
                         "archived": project.archived, "permissions": {
                             "project_access": {"access_level": token.level},
                             "group_access": None},
                         "web_url": f"{state.url}/{project.path}"}, {}
        if rest == ["members", "all"] and method == "GET":
            return 200, [{"id": i, "username": name, "access_level": level}
                         for i, (name, level) in enumerate(project.members, 1)], {}
        if rest in (["hooks"], ["integrations"]) and method == "GET":
            if token.level < MAINTAINER:
                raise _message(403, "403 Forbidden")
            return 200, getattr(project, rest[0]), {}
        if rest == ["issues"] and method == "GET":
            return (200, *state.list_issues(project, token, entry.query))
        if rest == ["issues"] and method == "POST":
            return 201, state.shown(project, state.create_issue(project, token, params)), {}
        if len(rest) == 2 and rest[0] == "issues" and method in ("GET", "PUT"):
            if not rest[1].isdigit():
                raise Refusal(400, {"error": "issue_iid is invalid"})
            issue = state.issue(project, rest[1], token)
            if method == "PUT":
                state.update_issue(issue, token, params)
            return 200, state.shown(project, issue), {}
        if len(rest) == 3 and rest[::2] == ["issues", "notes"]:
            issue = state.issue(project, rest[1], token)
            if method == "POST":
                note = dict(state.add_note(issue, token, params))
                note.update(created_at=_iso(note["created_at"]), updated_at=_iso(note["updated_at"]))
                return 201, note, {}
        if rest and rest[0] == "issues":
            raise Refusal(405, {"error": "405 Not Allowed"})
        raise Refusal(404, {"error": "404 Not Found"})

    @staticmethod
    def _params(entry):
        kind = entry.headers.get("Content-Type", "").split(";")[0].strip()
        try:
            text = entry.body.decode("utf-8")
        except UnicodeDecodeError:
            raise Refusal(400, {"message": "400 Bad request"}) from None
        if kind == "application/x-www-form-urlencoded":
            return dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
        if kind != "application/json":
            raise Refusal(415, {"error": "The provided content-type is not supported."})
        try:
            entry.json = json.loads(text or "{}")
        except ValueError:
            raise Refusal(400, {"message": "400 Bad request"}) from None
        if not isinstance(entry.json, dict):
            raise Refusal(400, {"error": "The request body is invalid"})
        return entry.json

    # --- answers ---

    @staticmethod
    def _throttle(fault):
        reset = int(time.time()) + fault.retry_after
        return {"Retry-After": str(fault.retry_after), "RateLimit-Limit": "60",
                "RateLimit-Name": "throttle_authenticated_api", "RateLimit-Observed": "61",
                "RateLimit-Remaining": "0", "RateLimit-Reset": str(reset)}

    @staticmethod
    def _respond(entry, status, body, headers=None):
        entry.status = status
        headers = dict(headers or {})
        if not isinstance(body, str):
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        elif body.startswith("<"):
            headers["Content-Type"] = "text/html"
        elif body.startswith("{"):
            headers["Content-Type"] = "application/json"
        else:
            headers["Content-Type"] = "text/plain"
        return web.Response(status=status, body=body.encode("utf-8", "surrogateescape"),
                            headers=headers)

    @staticmethod
    def _hang_up(request):
        if request.transport:
            request.transport.abort()  # a reset: the answer is lost
        raise asyncio.CancelledError

    @staticmethod
    async def _cut(request, entry, status, body):
        """Half an answer, and the end of the connection."""
        data = json.dumps(body).encode()
        entry.status = status
        response = web.StreamResponse(status=status, headers=_JSON)
        response.content_length = len(data)
        await response.prepare(request)
        await response.write(data[:len(data) // 2])
        request.transport.close()
        return response

    async def _hold(self, fault):
        """For as long as the fault says, or until the server ends."""
        try:
            await asyncio.wait_for(self.ending.wait(), fault.seconds if fault else None)
        except asyncio.TimeoutError:
            pass

    # --- for a person ---

    async def fake_issues(self, _request):
        with self.state.lock:
            out = [dict(self.state.shown(p, i), notes=[n["body"] for n in i["notes"]],
                        quick_actions=i["quick_actions"], history=i["history"])
                   for p in self.state.projects for i in p.issues]
        return web.json_response(out)

    async def fake_requests(self, _request):
        with self.state.lock:
            out = [{"method": r.method, "path": r.path, "query": r.query, "status": r.status,
                    "fault": r.fault} for r in self.state.requests]
        return web.json_response(out)

    async def fake_faults(self, request):
        fault = make_fault(**await request.json())
        with self.state.lock:
            self.state.faults.append(fault)
        return web.json_response({"kind": fault.kind, "times": fault.times})


def make_fault(kind, **options):
    if kind not in FAULTS and kind not in SPECIAL_FAULTS:
        raise ValueError(f"no such fault: {kind}; there are {sorted({*FAULTS, *SPECIAL_FAULTS})}")
    return Fault(kind, **options)


class GitLab(LoopThread):
    """The server in a thread, and what a test asks it."""

    TOKEN = "glpat-fake-token-of-the-bot"
    PROJECT = "support/emergency-licenses"

    def __init__(self, port=0, visibility="private", host="127.0.0.1", name=None):
        """name: the host in its URLs, if not the address that it listens on."""
        self.host, self.name = host, name or host
        self.state = State()
        self.state.tokens[self.TOKEN] = Token("license-bot", REPORTER)
        self.state.projects.append(Project(4711, self.PROJECT, visibility))
        self.project_id = 4711
        self._handler = Handler(self.state)
        self._begin(port)

    async def _serve(self, port):
        self._handler.ending = asyncio.Event()
        self._runner = web.AppRunner(self._handler.app(), access_log=None, handle_signals=False)
        await self._runner.setup()
        await self._listen(port)

    async def _close(self):
        await self._runner.cleanup()

    async def _listen(self, port):
        self._site = web.TCPSite(self._runner, self.host, port, reuse_address=True,
                                 shutdown_timeout=0.2)
        await self._site.start()
        self.port = self._site._server.sockets[0].getsockname()[1]
        self.url = self.state.url = f"http://{self.name}:{self.port}"

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    # --- running ---

    def down(self):
        """Connections are refused from now on; kept ones are cut."""
        async def go():
            for connection in list(self._runner.server.connections):
                if connection.transport:
                    connection.transport.abort()
            await self._site.stop()
        self._call(go())

    def up(self):
        self._call(self._listen(self.port))

    def stop(self):
        self._end(self._handler.ending.set)

    # --- faults ---

    def fail_next(self, kind, times=1, **options):
        """The next `times` requests end so; options: method, path (its end), seconds,
        retry_after. Faults that were asked for first come first."""
        with self.state.lock:
            self.state.faults.append(make_fault(kind, times=times, **options))

    def release(self):
        """Lets go of every request that is held (`slow`, `never`); later ones too."""
        self._soon(self._handler.ending.set)

    def clear_faults(self):
        with self.state.lock:
            self.state.faults.clear()

    # --- what arrived ---

    def requests(self, method=None, path=""):
        """Requests in order of arrival; path: a piece of it."""
        with self.state.lock:
            return [copy.copy(r) for r in self.state.requests
                    if method in (None, r.method) and path in r.path]

    def issues(self, title="", text=""):
        """Issues as GitLab holds them, oldest first, whose title begins with `title` and
        whose description holds `text`; with notes, quick_actions (that ran), history
        (titles and states) and ignored (keys of the POST that GitLab drops)."""
        with self.state.lock:
            return [dict(copy.deepcopy(i), web_url=self.state.shown(p, i)["web_url"])
                    for p in self.state.projects for i in p.issues
                    if i["title"].startswith(title) and text in i["description"]]

    def issue(self, **which):
        """The only such issue."""
        found = self.issues(**which)
        assert len(found) == 1, f"{len(found)} issues: {[i['title'] for i in found]}"
        return found[0]

    def delete(self, iid):
        """As an owner can."""
        with self.state.lock:
            issues = self.project().issues
            issues[:] = [i for i in issues if i["iid"] != iid]

    def project(self):
        return self.state.projects[0]

    def token(self):
        return self.state.tokens[self.TOKEN]

    def active_text(self):
        """All that took effect: quick actions, and what is more than text in titles,
        descriptions and notes. [(iid, where, kind, words)]"""
        found = []
        for issue in self.issues():
            iid = issue["iid"]
            found += [(iid, "action", "quick_action", line) for line in issue["quick_actions"]]
            found += [(iid, "title", *e) for e in markdown.title_effects(issue["title"])]
            found += [(iid, "description", *e) for e in markdown.effects(issue["description"])]
            for note in issue["notes"]:
                found += [(iid, "note", *e) for e in markdown.effects(note["body"])]
        return found


def main():
    parser = argparse.ArgumentParser(prog="testenv.gitlab", description="A fake GitLab.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", default=GitLab.TOKEN)
    parser.add_argument("--project", default=GitLab.PROJECT)
    parser.add_argument("--visibility", default="private", choices=("private", "internal", "public"))
    args = parser.parse_args()
    gitlab = GitLab(args.port, args.visibility)
    gitlab.state.tokens[args.token] = gitlab.state.tokens.pop(GitLab.TOKEN)
    gitlab.project().path = args.project
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    print(gitlab.url, flush=True)
    ended.wait()
    gitlab.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
