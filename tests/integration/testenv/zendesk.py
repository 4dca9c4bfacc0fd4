"""A Zendesk that enforces its documented rules: who may what, tickets and their tags,
triggers, webhooks with their signed deliveries, retries and log, rate limits; with
switches for everything that can go wrong. This file is its HTTP and what a test asks it;
the rules are in zendesk_state.py (who may what, tickets, limits), zendesk_rules.py
(triggers) and zendesk_hooks.py (deliveries).

In a test: `Zendesk()` runs it in a thread of the test. By hand: `python3 -m
testenv.zendesk --port 0` prints its URL and runs until it is ended; the token is
Zendesk.TOKEN, the users are Zendesk.ADMIN, AGENT and CUSTOMER."""

import argparse
import asyncio
import copy
import dataclasses
import json
import re
import signal
import sys
import threading
import urllib.parse

import aiohttp
from aiohttp import web

from . import zendesk_hooks, zendesk_rules
from .loop import LoopThread, cancel_the_rest
from .wait import wait_for
from .zendesk_state import Refusal, State, missing

@dataclasses.dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    query: dict
    headers: object
    body: bytes
    json: object = None
    status: int = 0  # as answered; 0: none
    fault: str = ""


@dataclasses.dataclass
class Fault:
    """What happens to the next requests that match."""

    kind: str  # answer, lost_before, lost_after, never, cut
    times: int = 1
    method: str = "*"
    path: str = ""  # a piece of it
    status: int = 500  # of `answer`
    body: object = ""  # the same: text as it is, else JSON
    headers: dict = dataclasses.field(default_factory=dict)


FAULTS = frozenset("answer lost_before lost_after never cut".split())


class Handler:
    """HTTP in front of a State. ROUTES: method and path to the method that answers."""

    def __init__(self, state):
        self.state = state
        self.ending = None
        self.routes = [(m, re.compile(p), getattr(self, name)) for m, p, name in ROUTES]

    def app(self):
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_route("*", "/{any:.*}", self.handle)
        return app

    async def handle(self, request):
        entry = Request(request.method, request.rel_url.raw_path, dict(request.query),
                        request.headers.copy(), await request.read())
        with self.state.lock:
            self.state.requests.append(entry)
            fault = next((f for f in self.state.faults if f.times and f.method in
                          ("*", entry.method) and f.path in entry.path), None)
            if fault:
                fault.times -= 1
                entry.fault = fault.kind
        return await self._answer(request, entry, fault)

    async def _answer(self, request, entry, fault):
        kind = fault.kind if fault else ""
        if kind == "never":
            await self.ending.wait()
        if kind in ("never", "lost_before"):
            return self._hang_up(request)
        if kind == "answer":
            return self._respond(entry, fault.status, fault.body, fault.headers)
        status, body, headers = await self._serve(entry)
        if kind == "lost_after":
            return self._hang_up(request)
        response = self._respond(entry, status, body, headers)
        if kind == "cut":
            response.body = response.body[:len(response.body) // 2]
        return response

    @staticmethod
    def _hang_up(request):
        if request.transport:
            request.transport.abort()
        raise asyncio.CancelledError

    @staticmethod
    def _respond(entry, status, body, headers=None):
        entry.status = status
        headers = dict(headers or {})
        if not isinstance(body, (str, bytes)):
            body = json.dumps(body) if body is not None else ""
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
        headers.setdefault("Content-Type", "text/html; charset=utf-8")
        return web.Response(status=status, headers=headers,
                            body=body.encode() if isinstance(body, str) else body)

    async def _serve(self, entry):
        try:
            with self.state.lock:
                done = self._route(entry)
            if asyncio.iscoroutine(done):
                done = await done
            return (*done, {}) if len(done) == 2 else done
        except Refusal as no:
            return no.status, no.body, no.headers
        except ValueError as e:  # of a query
            return 400, {"error": "InvalidParameter", "description": str(e)}, {}

    def _route(self, entry):
        path = re.sub(r"\.json$", "", urllib.parse.unquote(entry.path))
        if path == "/ips":
            return 200, {"ips": {"egress": {"all": ["127.0.0.0/8"], "specific": []},
                                 "ingress": {"all": [], "specific": []}}}
        user = self.state.user(entry.headers)
        self.state.limits.count("all", self.state.limits.per_minute, 60)
        found = [(m, p.fullmatch(path), f) for m, p, f in self.routes if p.fullmatch(path)]
        if not found:
            raise Refusal(404, {"error": "InvalidEndpoint", "description": "Not found"})
        for method, match, function in found:
            if method == entry.method:
                self._read(entry)
                return function(user, entry, *match.groups())
        raise Refusal(405, {"error": "MethodNotAllowed"})

    @staticmethod
    def _read(entry):
        if entry.method != "GET" and entry.body:
            if entry.headers.get("Content-Type", "").split(";")[0] != "application/json":
                raise Refusal(415, {"error": "Unsupported media type"})
            try:
                entry.json = json.loads(entry.body)
            except ValueError:
                raise Refusal(400, {"error": "Unprocessable JSON"}) from None
        if not isinstance(entry.json, dict):
            entry.json = {}

    def _page(self, entry, key, items):
        return 200, zendesk_hooks.cursor_page(items, entry.query, key, 100,
                                              self.state.url + entry.path)

    @staticmethod
    def _find(items, item_id):
        found = next((i for i in items if str(i["id"]) == item_id), None)
        if not found:
            raise missing()
        return found

    # --- users and tickets ---

    def me(self, user, _entry):
        return 200, {"user": user}

    def user(self, user, _entry, user_id):
        self.state.need(user, "agent", "admin")
        return 200, {"user": self._find(self.state.users.values(), user_id)}

    def search_users(self, user, entry):
        """Of the query language only what asks for one user by the whole address."""
        self.state.need(user, "agent", "admin")
        query = entry.query.get("query", "")
        asked = re.fullmatch(r'type:user email:"([^"]+)"', query)
        if not asked:
            raise Refusal(422, {"error": "Unprocessable Entity", "description": query})
        email = asked[1].lower()
        return self._numbered("users", [u for u in self.state.users.values()
                                        if u["email"].lower() == email])

    def requested_tickets(self, user, entry, user_id):
        self.state.need(user, "agent", "admin")
        requester = self._find(self.state.users.values(), user_id)
        tickets = [self.state.shown_ticket(t) for t in self.state.tickets.values()
                   if t["requester_id"] == requester["id"]]
        tickets.sort(key=lambda t: t[entry.query.get("sort_by", "id")],
                     reverse=entry.query.get("sort_order") == "desc")
        return self._numbered("tickets", tickets)

    @staticmethod
    def _numbered(key, items):
        """A list's first page, of those that are counted."""
        return 200, {key: items[:100], "count": len(items),
                     "next_page": None, "previous_page": None}

    def create_ticket(self, user, entry):
        self.state.need(user, "agent", "admin")
        ticket = self.state.create_ticket(user, entry.json.get("ticket"))
        return 201, {"ticket": self.state.shown_ticket(ticket)}

    def show_ticket(self, user, entry, ticket_id):
        self.state.need(user, "agent", "admin")
        ticket = self.state.ticket(ticket_id)
        out = {"ticket": self.state.shown_ticket(ticket)}
        if "users" in entry.query.get("include", "").split(","):
            out["users"] = [self.state.users[ticket["requester_id"]]]
        return 200, out

    def update_ticket(self, user, entry, ticket_id):
        self.state.need(user, "agent", "admin")
        ticket = self.state.ticket(ticket_id)
        self.state.update_ticket(user, ticket, entry.json.get("ticket"))
        return 200, {"ticket": self.state.shown_ticket(ticket)}

    def comments(self, user, entry, ticket_id):
        self.state.need(user, "agent", "admin")
        comments = self.state.ticket(ticket_id)["comments"]
        if entry.query.get("sort") == "-created_at":
            comments = comments[::-1]
        return self._page(entry, "comments", comments)

    def show_tags(self, user, _entry, ticket_id):
        self.state.need(user, "agent", "admin")
        return 200, {"tags": self.state.ticket(ticket_id)["tags"]}

    def change_tags(self, user, entry, ticket_id):
        """PUT adds, POST sets, DELETE removes."""
        self.state.need(user, "agent", "admin")
        ticket = self.state.ticket(ticket_id)
        given = set(self.state.tags(entry.json.get("tags", entry.query.get("tags", ""))))
        held = set(ticket["tags"])
        tags = {"PUT": held | given, "POST": given, "DELETE": held - given}[entry.method]
        self.state.update_ticket(user, ticket, {"tags": sorted(tags)})
        return {"PUT": 200, "POST": 201, "DELETE": 200}[entry.method], {"tags": ticket["tags"]}

    def create_request(self, user, entry):
        """As an end user: subject and comment, nothing else."""
        self.state.need(user, "end-user")
        ticket = self.state.create_ticket(user, entry.json.get("request"), via_id="0")
        return 201, {"request": {"id": ticket["id"], "status": ticket["status"]}}

    def update_request(self, user, entry, ticket_id):
        ticket = self.state.ticket(ticket_id)
        if ticket["requester_id"] != user["id"]:
            raise missing()
        self.state.update_ticket(user, ticket, entry.json.get("request"), via_id="0")
        return 200, {"request": {"id": ticket["id"], "status": ticket["status"]}}

    # --- fields, categories, triggers ---

    def fields(self, user, entry):
        self.state.need(user, "agent", "admin")
        return self._page(entry, "ticket_fields", list(self.state.fields.values()))

    def create_field(self, user, entry):
        self.state.need(user, "admin")
        return 201, {"ticket_field": self.state.save_field(entry.json.get("ticket_field"))}

    def show_field(self, user, _entry, field_id):
        self.state.need(user, "agent", "admin")
        return 200, {"ticket_field": self._find(self.state.fields.values(), field_id)}

    def update_field(self, user, entry, field_id):
        self.state.need(user, "admin")
        field = self._find(self.state.fields.values(), field_id)
        return 200, {"ticket_field": self.state.save_field(entry.json.get("ticket_field"), field)}

    def delete_field(self, user, _entry, field_id):
        self.state.need(user, "admin")
        field = self._find(self.state.fields.values(), field_id)
        del self.state.fields[field["id"]]
        for ticket in self.state.tickets.values():
            ticket["custom_fields"].pop(field["id"], None)  # the values go with it
        return 204, None

    def _categories(self):
        if not self.state.has_categories:
            raise Refusal(404, {"error": "InvalidEndpoint", "description": "Not found"})
        return self.state.categories

    def categories(self, user, entry):
        self.state.need(user, "agent", "admin")
        return self._page(entry, "trigger_categories", self._categories())

    def create_category(self, user, entry):
        self.state.need(user, "admin")
        held, values = self._categories(), entry.json.get("trigger_category") or {}
        if not values.get("name"):
            raise Refusal(400, {"errors": [{"code": "InvalidName", "title": "name is required"}]})
        new = {"id": str(self.state.fresh_id()), "name": values["name"],
               "position": len(held), "created_at": self.state.stamp(),
               "updated_at": self.state.stamp()}
        held.append(new)
        return 201, {"trigger_category": new}

    def delete_category(self, user, _entry, category_id):
        self.state.need(user, "admin")
        category = self._find(self._categories(), category_id)
        if any(t["category_id"] == category_id for t in self.state.triggers):
            raise Refusal(400, {"errors": [{"code": "CategoryNotEmpty",
                                            "title": "the category still has triggers"}]})
        self.state.categories.remove(category)
        return 204, None

    def triggers(self, user, entry):
        self.state.need(user, "agent", "admin")
        return self._page(entry, "triggers", self.state.ordered())

    def create_trigger(self, user, entry):
        self.state.need(user, "admin")
        return 201, {"trigger": self.state.save_trigger(entry.json.get("trigger"))}

    def show_trigger(self, user, _entry, trigger_id):
        self.state.need(user, "agent", "admin")
        return 200, {"trigger": self._find(self.state.triggers, trigger_id)}

    def update_trigger(self, user, entry, trigger_id):
        self.state.need(user, "admin")
        trigger = self._find(self.state.triggers, trigger_id)
        return 200, {"trigger": self.state.save_trigger(entry.json.get("trigger"), trigger)}

    def delete_trigger(self, user, _entry, trigger_id):
        self.state.need(user, "admin")
        self.state.triggers.remove(self._find(self.state.triggers, trigger_id))
        return 204, None

    def definitions(self, user, _entry):
        self.state.need(user, "agent", "admin")
        known = [{"subject": field, "operators": [{"value": o} for o in operators]}
                 for field, (operators, _) in zendesk_rules.CONDITIONS.items()]
        return 200, {"definitions": {"conditions_all": known, "conditions_any": known, "actions": [
            {"subject": field} for field in zendesk_rules.ACTIONS]}}

    # --- webhooks ---

    def _webhook(self, user, webhook_id):
        self.state.need(user, "admin")
        return self._find(self.state.webhooks.values(), webhook_id)

    def webhooks(self, user, entry):
        self.state.need(user, "admin")
        name, status = (entry.query.get(f"filter[{k}]") for k in ("name_contains", "status"))
        return self._page(entry, "webhooks", [
            self.state.shown_webhook(w) for w in self.state.webhooks.values()
            if (name or "").lower() in w["name"].lower() and status in (None, w["status"])])

    def create_webhook(self, user, entry):
        self.state.need(user, "admin")
        webhook = self.state.create_webhook(user, entry.json.get("webhook"))
        return 201, {"webhook": self.state.shown_webhook(webhook)}

    def show_webhook(self, user, _entry, webhook_id):
        return 200, {"webhook": self.state.shown_webhook(self._webhook(user, webhook_id))}

    def change_webhook(self, user, entry, webhook_id):
        self.state.change_webhook(self._webhook(user, webhook_id), entry.json.get("webhook"),
                                  whole=entry.method == "PUT")
        return 204, None

    def delete_webhook(self, user, _entry, webhook_id):
        self.state.delete_webhook(self._webhook(user, webhook_id))
        return 204, None

    def test_webhook(self, user, entry):
        self.state.need(user, "admin")
        saved = entry.query.get("webhook_id")
        given = entry.json.get("webhook") or {}
        hook = dict(self._webhook(user, saved) if saved else {"id": zendesk_hooks.ulid()}, **given)
        self.state.check_webhook(dict(hook, name=hook.get("name", "test"), status="active"))
        hook["secret"] = self.state.secrets[saved] if saved else zendesk_hooks.TEST_SECRET
        payload = (entry.json.get("request") or {}).get("payload", "")

        async def send():
            return 200, {"response": await self.state.hooks.test(hook, payload)}
        return send()

    def _secret(self, webhook_id):
        return {"signing_secret": {"algorithm": "SHA256",
                                   "secret": self.state.secrets[webhook_id]}}

    def show_secret(self, user, _entry, webhook_id):
        self._webhook(user, webhook_id)
        return 200, self._secret(webhook_id)

    def reset_secret(self, user, _entry, webhook_id):
        self._webhook(user, webhook_id)
        self.state.secrets[webhook_id] = self.state.new_secret()
        return 201, self._secret(webhook_id)

    def invocations(self, user, entry, webhook_id):
        self._webhook(user, webhook_id)
        return 200, self.state.hooks.page(webhook_id, entry.query)

    def attempts(self, user, _entry, webhook_id, invocation_id):
        self._webhook(user, webhook_id)
        attempts = self.state.hooks.attempts(webhook_id, invocation_id)
        if attempts is None:
            raise missing()
        return 200, {"attempts": attempts}


def _crud(name, plural, one, place=r"(\d+)", change=("PUT",)):
    base = f"/api/v2/{plural}"
    return [("GET", base, f"{name}"), ("POST", base, f"create_{one}"),
            ("GET", f"{base}/{place}", f"show_{one}"),
            *((method, f"{base}/{place}", f"{'change' if one == 'webhook' else 'update'}_{one}")
              for method in change),
            ("DELETE", f"{base}/{place}", f"delete_{one}")]


WEBHOOK = r"/api/v2/webhooks/(\w{26})"
ROUTES = [
    ("GET", "/api/v2/users/me", "me"), ("GET", r"/api/v2/users/(\d+)", "user"),
    ("GET", "/api/v2/users/search", "search_users"),
    ("GET", r"/api/v2/users/(\d+)/tickets/requested", "requested_tickets"),
    ("POST", "/api/v2/tickets", "create_ticket"),
    ("GET", r"/api/v2/tickets/(\d+)", "show_ticket"),
    ("PUT", r"/api/v2/tickets/(\d+)", "update_ticket"),
    ("GET", r"/api/v2/tickets/(\d+)/comments", "comments"),
    ("GET", r"/api/v2/tickets/(\d+)/tags", "show_tags"),
    *((method, r"/api/v2/tickets/(\d+)/tags", "change_tags")
      for method in ("PUT", "POST", "DELETE")),
    ("POST", "/api/v2/requests", "create_request"),
    ("PUT", r"/api/v2/requests/(\d+)", "update_request"),
    *_crud("fields", "ticket_fields", "field"),
    ("GET", "/api/v2/trigger_categories", "categories"),
    ("POST", "/api/v2/trigger_categories", "create_category"),
    ("DELETE", r"/api/v2/trigger_categories/(\d+)", "delete_category"),
    ("GET", "/api/v2/triggers/definitions", "definitions"),
    *_crud("triggers", "triggers", "trigger"),
    ("POST", "/api/v2/webhooks/test", "test_webhook"),
    *_crud("webhooks", "webhooks", "webhook", r"(\w{26})", ("PUT", "PATCH")),
    ("GET", WEBHOOK + "/signing_secret", "show_secret"),
    ("POST", WEBHOOK + "/signing_secret", "reset_secret"),
    ("GET", WEBHOOK + "/invocations", "invocations"),
    ("GET", WEBHOOK + r"/invocations/(\w+)/attempts", "attempts"),
]


class Zendesk(LoopThread):
    """The server in a thread, and what a test asks it."""

    TOKEN = "fake-zendesk-api-token-0123456789abcdef"
    ADMIN, AGENT = "admin@vendor.example", "sam@vendor.example"
    CUSTOMER = "customer@example.com"

    def __init__(self, port=0):
        self.state = State()
        self.state.tokens.add(self.TOKEN)
        for email, role in ((self.ADMIN, "admin"), (self.AGENT, "agent"),
                            (self.CUSTOMER, "end-user")):
            self.state.add_user(email, role)
        self.hooks, self.switches = self.state.hooks, self.state.hooks.switches
        self._handler = Handler(self.state)
        self._begin(port)

    async def _serve(self, port):
        self._handler.ending = asyncio.Event()
        self.hooks.loop = self._loop
        self.hooks.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._runner = web.AppRunner(self._handler.app(), access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, shutdown_timeout=0.2)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self.url = self.state.url = f"http://127.0.0.1:{self.port}"

    async def _close(self):
        await cancel_the_rest()
        await self.hooks.session.close()
        await self._runner.cleanup()

    def stop(self):
        self._end(self._handler.ending.set)

    # --- faults of the API ---

    def fail_next(self, kind, times=1, **options):
        """The next `times` requests end so; options: see Fault."""
        if kind not in FAULTS:
            raise ValueError(f"no such fault: {kind}; there are {sorted(FAULTS)}")
        with self.state.lock:
            self.state.faults.append(Fault(kind, times, **options))

    # --- what arrived, and what is there ---

    def requests(self, method=None, path=""):
        with self.state.lock:
            return [copy.copy(r) for r in self.state.requests
                    if method in (None, r.method) and path in r.path]

    def writes(self):
        """Requests that are not GET: [(method, path)]"""
        return [(r.method, r.path) for r in self.requests() if r.method != "GET"]

    def notes(self, ticket_id):
        """Texts of the internal comments."""
        with self.state.lock:
            return [c["body"] for c in self.state.tickets[ticket_id]["comments"]
                    if not c["public"]]

    def field_id(self, title):
        with self.state.lock:
            (found,) = [f["id"] for f in self.state.fields.values() if f["title"] == title]
        return found

    def webhook(self):
        """The only one, with its secret."""
        with self.state.lock:
            (found,) = self.state.webhooks.values()
            return dict(copy.deepcopy(found), secret=self.state.secrets[found["id"]])

    def tags(self, ticket_id):
        with self.state.lock:
            return list(self.state.tickets[ticket_id]["tags"])

    def invocations(self):
        with self.state.lock:
            return copy.deepcopy(self.hooks.invocations)

    def settled(self):
        """Waits until no delivery is under way; the invocations."""
        wait_for(lambda: not self.hooks.under_way,
                 lambda: f"deliveries ended: {[i.shown() for i in self.invocations()]}")
        return self.invocations()

    # --- people ---

    def _user(self, email):
        return next(u for u in self.state.users.values() if u["email"] == email)

    def mail_in(self, subject="Our license has expired", body="Work stands still."):
        """The customer writes; the ticket's id."""
        with self.state.lock:
            return self.state.create_ticket(self._user(self.CUSTOMER), {
                "subject": subject, "comment": {"body": body}}, via_id="4")["id"]

    def update(self, ticket_id, by=AGENT, add=(), remove=(), fields=None, comment=None):
        """One update in the agent's window: tags that are added and removed, fields by
        title, a comment; by an end user, only the comment takes effect."""
        with self.state.lock:
            ticket = self.state.ticket(ticket_id)
            values = {"tags": sorted({*ticket["tags"], *add} - set(remove)), "custom_fields": [
                {"id": self.field_id(title), "value": value}
                for title, value in (fields or {}).items()]}
            if comment:
                values["comment"] = {"body": comment}
            self.state.update_ticket(self._user(by), ticket, values, via_id="0")


def main():
    parser = argparse.ArgumentParser(prog="testenv.zendesk", description="A fake Zendesk.")
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    zendesk = Zendesk(args.port)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    print(zendesk.url, flush=True)
    ended.wait()
    zendesk.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
