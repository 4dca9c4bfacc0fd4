"""What the fake Zendesk holds and allows: users, tickets, fields, triggers, webhooks, and
its rate limits. Knows no HTTP: what it refuses is a Refusal, with status and body."""

import base64
import copy
import json
import re
import secrets
import threading
import time
import urllib.parse

from . import zendesk_hooks, zendesk_rules

FORBIDDEN = {"error": {"title": "Forbidden", "message": "You do not have access to this page. "
                       "Please contact the account owner of this help desk for further help."}}
COMMENTS_MAX = 5000
FIELD_TYPES = frozenset("text textarea checkbox date integer decimal regexp tagger".split())
FIELD_KEYS = {  # what may be written, and what it is when it is not
    "title": None, "type": None, "active": True, "required": False, "agent_description": None,
    "description": "", "visible_in_portal": False, "editable_in_portal": False,
    "required_in_portal": False, "regexp_for_validation": None, "tag": None,
    "title_in_portal": None, "collapsed_for_agents": False, "position": 0,
}
WEBHOOK_KEYS = frozenset("name description status endpoint http_method request_format "
                         "subscriptions authentication custom_headers".split())
WEBHOOK_NEEDS = ("name", "endpoint", "http_method", "request_format", "status")
AUTH_DATA = {"bearer_token": {"token"}, "basic_auth": {"username", "password"},
             "api_key": {"name", "value"}}
DATE = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])", re.ASCII)


class Refusal(Exception):
    def __init__(self, status, body, headers=None):
        super().__init__(f"{status} {body}")
        self.status, self.body, self.headers = status, body, headers or {}


def missing():
    return Refusal(404, {"error": "RecordNotFound", "description": "Not found"})


def _invalid(*faults):
    return Refusal(422, {"error": "RecordInvalid", "description": "Record validation errors",
                         "details": {"base": [{"description": text} for text in faults]}})


def _bad_webhook(text, status=400):
    return Refusal(status, {"errors": [{"code": "InvalidWebhook", "title": text}]})


class Limits:
    """Zendesk's rate limits, in sliding windows. 0 is none."""

    def __init__(self):
        self.per_minute = 700  # of the plan: Enterprise
        self.updates = 100  # of tickets, a minute
        self.per_ticket = 30  # updates of one ticket by one user in 10 minutes
        self._seen = {}

    def count(self, name, limit, window_s):
        at = time.monotonic()
        seen = self._seen[name] = [t for t in self._seen.get(name, []) if t > at - window_s]
        if limit and len(seen) >= limit:
            wait = max(int(seen[0] + window_s - at) + 1, 1)
            raise Refusal(429, {"error": "APIRateLimitExceeded", "description":
                                "Number of allowed API requests per minute exceeded"},
                          {"Retry-After": str(wait), "X-Rate-Limit": str(limit),
                           "X-Rate-Limit-Remaining": "0", "ratelimit-reset": str(wait)})
        seen.append(at)


class State:
    """Everything that Zendesk holds. Touched under `lock` only."""

    def __init__(self):
        self.lock = threading.RLock()
        self.url = ""
        self.public = "https://vendor.zendesk.example"  # of {{ticket.link}}: always https
        self.account_id = 22129848
        self.tokens = set()
        self.users, self.tickets, self.fields = {}, {}, {}
        self.webhooks, self.secrets = {}, {}
        self.triggers, self.categories = [], []
        self.requests, self.faults = [], []
        self.fired = []  # (ticket id, titles of the triggers) of each update
        self.limits = Limits()
        self.hooks = zendesk_hooks.Hooks(self.lock, self.account_id)
        self.restarts = True  # see zendesk_rules.run
        self.escapes = True  # placeholders are JSON-escaped in a JSON body
        self.has_categories = True
        self.webhooks_max = 0
        self.next_id = 360000000000

    def fresh_id(self):
        self.next_id += 1
        return self.next_id

    def stamp(self):
        return zendesk_hooks.iso(zendesk_hooks.now())

    # --- who may what ---

    def user(self, headers):
        """The user of a request: basic auth EMAIL/token:TOKEN."""
        kind, _, code = headers.get("Authorization", "").partition(" ")
        try:
            name, _, token = base64.b64decode(code, validate=True).decode().rpartition(":")
        except ValueError:
            name = token = ""
        user = next((u for u in self.users.values() if name == u["email"] + "/token"), None)
        if kind.lower() != "basic" or token not in self.tokens or not user:
            raise Refusal(401, {"error": "Couldn't authenticate you"})
        return user

    @staticmethod
    def need(user, *roles):
        if user["role"] not in roles:
            raise Refusal(403, FORBIDDEN)

    def add_user(self, email, role, name=""):
        user = {"id": self.fresh_id(), "email": email, "role": role, "active": True,
                "name": name or email.split("@")[0].title(), "verified": True}
        self.users[user["id"]] = user
        return user

    # --- ticket fields ---

    @staticmethod
    def _check_field(field):
        if not str(field.get("title") or "").strip():
            raise _invalid("Title: cannot be blank")
        if field["type"] not in FIELD_TYPES:
            raise _invalid(f"Type: {field['type']} is not a valid field type")
        if field["type"] == "regexp":
            try:
                re.compile(field["regexp_for_validation"] or "(")
            except re.error:
                raise _invalid("Validation regexp: is invalid") from None
        for key in ("active", "required", "visible_in_portal", "editable_in_portal",
                    "required_in_portal"):
            if not isinstance(field[key], bool):
                raise _invalid(f"{key}: must be true or false")

    def save_field(self, values, field=None):
        if not isinstance(values, dict):
            raise _invalid("Parameter ticket_field is required")
        if field and values.get("type", field["type"]) != field["type"]:
            raise _invalid("Type: cannot be changed")
        new = {**(field or FIELD_KEYS), **{k: v for k, v in values.items() if k in FIELD_KEYS}}
        self._check_field(new)
        new.update(raw_title=new["title"], updated_at=self.stamp(), removable=True)
        if not field:
            new.update(id=self.fresh_id(), created_at=new["updated_at"])
        new["url"] = f"{self.url}/api/v2/ticket_fields/{new['id']}.json"
        self.fields[new["id"]] = new
        return new

    def field_value(self, field_id, value):
        """As it is kept; refuses what is not of the field's type."""
        field = self.fields.get(field_id)
        if not field or not field["active"]:
            return None
        good = {
            "integer": lambda v: re.fullmatch(r"-?\d+", str(v)) and int(v),
            "date": lambda v: DATE.fullmatch(str(v)) and str(v),
            "regexp": lambda v: re.search(field["regexp_for_validation"], str(v)) and str(v),
        }.get(field["type"], lambda v: v)
        if value in (None, ""):
            return None
        kept = good(value)
        if kept is None:
            raise _invalid(f"{field['title']}: is invalid")
        return kept

    # --- tickets ---

    def ticket(self, ticket_id):
        ticket = self.tickets.get(int(ticket_id)) if str(ticket_id).isdigit() else None
        if not ticket:
            raise missing()
        return ticket

    def create_ticket(self, user, values, via_id="5"):
        if not isinstance(values, dict) or not isinstance(values.get("comment"), dict):
            raise _invalid("Description: cannot be blank")
        requester = self._requester(user, values)
        at = self.stamp()
        ticket = {
            "id": 4711 + len(self.tickets), "subject": str(values.get("subject", "")),
            "description": values["comment"].get("body", ""), "status": "new",
            "requester_id": requester["id"], "submitter_id": user["id"], "assignee_id": None,
            "tags": [], "custom_fields": {}, "comments": [], "comment_public": True,
            "created_at": at, "updated_at": at,
        }
        self._change(ticket, user, values)
        self.tickets[ticket["id"]] = ticket
        self._run(ticket, user, "Create", values, via_id)
        return ticket

    def _requester(self, user, values):
        if user["role"] == "end-user":
            return user
        if "requester_id" in values:
            found = self.users.get(values["requester_id"])
        else:
            email = (values.get("requester") or {}).get("email", user["email"])
            found = next((u for u in self.users.values() if u["email"] == email), None)
            found = found or self.add_user(email, "end-user")
        if not found:
            raise _invalid("Requester: is invalid")
        return found

    def update_ticket(self, user, ticket, values, via_id="5"):
        if not isinstance(values, dict):
            raise _invalid("Parameter ticket is required")
        self.limits.count("updates", self.limits.updates, 60)
        self.limits.count((ticket["id"], user["id"]), self.limits.per_ticket, 600)
        if ticket["status"] == "closed":
            raise _invalid("Status: closed prevents ticket update")
        if values.get("safe_update") and values.get("updated_stamp") != ticket["updated_at"]:
            raise Refusal(409, {"error": "UpdateConflict", "description":
                                "Safe Update prevented the update due to outdated ticket data"})
        draft = copy.deepcopy(ticket)
        self._change(draft, user, values)
        ticket.update(draft, updated_at=self.stamp())
        self._run(ticket, user, "Change", values, via_id)

    def _change(self, ticket, user, values):
        staff = user["role"] != "end-user"
        if isinstance(values.get("comment"), dict):
            self._comment(ticket, user, values["comment"], staff)
        if not staff:
            return  # tags and fields that are not theirs are dropped without a word
        if "requester_id" in values:
            ticket["requester_id"] = self._requester(user, values)["id"]
        if "tags" in values:
            ticket["tags"] = sorted(set(self.tags(values["tags"])))
        if values.get("status"):
            ticket["status"] = values["status"]
        for item in values.get("custom_fields") or []:
            ticket["custom_fields"][int(item["id"])] = self.field_value(
                int(item["id"]), item.get("value"))

    @staticmethod
    def _comment(ticket, user, comment, staff):
        body = comment.get("body") or comment.get("html_body")
        if not body:
            raise _invalid("Comment: cannot be blank")
        if len(ticket["comments"]) >= COMMENTS_MAX:
            raise _invalid("Comments: a ticket cannot have more than 5000")
        # What was said at creation persists until it is said anew.
        public = bool(comment.get("public", ticket["comment_public"])) if staff else True
        if not ticket["comments"]:
            ticket["comment_public"] = public
        ticket["comments"].append({"id": len(ticket["comments"]) + 1, "author_id": user["id"],
                                   "body": body, "public": public, "type": "Comment",
                                   "created_at": zendesk_hooks.iso(zendesk_hooks.now())})

    @staticmethod
    def tags(value):
        if not isinstance(value, (str, list)):
            raise _invalid("Tags: must be an array")
        words = zendesk_rules.split_tags(value)
        for word in words:
            if not zendesk_rules.TAG.fullmatch(word):
                raise _invalid(f"Tags: {word} contains special characters")
        return words

    def _run(self, ticket, user, kind, values, via_id):
        comment = ticket["comments"][-1] if isinstance(values.get("comment"), dict) else None
        event = zendesk_rules.Event(user, kind, comment, via_id)
        world = (self.users, self.public, self._escaped if self.escapes else None)

        def notify(_trigger, action):
            webhook = self.webhooks.get(action["value"][0])
            if webhook and webhook["status"] == "active":
                body = zendesk_rules.render(action["value"][1], ticket, event, world)
                self.hooks.invoke(webhook, self.secrets[webhook["id"]], body)
        fired = zendesk_rules.run(self.ordered(), ticket, event, notify, self.restarts)
        self.fired.append((ticket["id"], fired))

    @staticmethod
    def _escaped(text):
        return json.dumps(text, ensure_ascii=False)[1:-1]

    def shown_ticket(self, ticket):
        hidden = ("comments", "custom_fields", "comment_public")
        out = {k: v for k, v in ticket.items() if k not in hidden}
        values = [{"id": i, "value": ticket["custom_fields"].get(i)} for i in self.fields]
        return dict(out, url=f"{self.url}/api/v2/tickets/{ticket['id']}.json",
                    custom_fields=values, fields=values)

    # --- triggers ---

    def ordered(self):
        places = {c["id"]: c["position"] for c in self.categories}
        return sorted(self.triggers,
                      key=lambda t: (places.get(t["category_id"], 0), t["position"]))

    def save_trigger(self, values, trigger=None):
        if not isinstance(values, dict):
            raise _invalid("Parameter trigger is required")
        keys = ("title", "active", "conditions", "actions", "description", "position",
                "category_id")
        new = {**(trigger or {"active": True, "description": None, "category_id": None}),
               **{k: copy.deepcopy(v) for k, v in values.items() if k in keys}}
        faults = zendesk_rules.trigger_faults(new, self.webhooks, self.fields)
        known = {c["id"] for c in self.categories}
        if self.has_categories and new["category_id"] not in known:
            faults.append("Category: must be provided" if not new["category_id"]
                          else "Category: does not exist")
        if faults:
            raise _invalid(*faults)
        new["conditions"] = {side: new["conditions"].get(side) or [] for side in ("all", "any")}
        new["updated_at"] = self.stamp()
        if trigger:
            trigger.update(new)
            return trigger
        last = max([t["position"] for t in self.triggers], default=0)
        new = {"position": last + 1, **new, "id": self.fresh_id(),
               "created_at": new["updated_at"], "default": False}
        self.triggers.append(new)
        return new

    # --- webhooks ---

    @staticmethod
    def check_webhook(webhook):
        for key in WEBHOOK_NEEDS:
            if not webhook.get(key):
                raise _bad_webhook(f"{key} is required")
        url = urllib.parse.urlsplit(str(webhook["endpoint"]))
        if url.scheme not in ("http", "https") or not url.hostname:
            raise _bad_webhook("endpoint is not a valid URL")
        for key, allowed in (("status", ("active", "inactive")),
                             ("http_method", ("GET", "POST", "PUT", "PATCH", "DELETE")),
                             ("request_format", ("json", "xml", "form_encoded"))):
            if webhook[key] not in allowed:
                raise _bad_webhook(f"{key} must be one of {', '.join(allowed)}")
        if webhook.get("custom_headers") and url.scheme != "https":
            raise _bad_webhook("custom headers need an HTTPS endpoint")
        login = webhook.get("authentication")
        if login and (set(login.get("data") or {}) != AUTH_DATA.get(login.get("type"))
                      or login.get("add_position") != "header"):
            raise _bad_webhook("authentication is invalid")

    def create_webhook(self, user, values):
        if self.webhooks_max and len(self.webhooks) >= self.webhooks_max:
            raise _bad_webhook("Trial accounts are limited to 10 webhooks")
        if not isinstance(values, dict):
            raise _bad_webhook("webhook is required")
        webhook = {k: v for k, v in values.items() if k in WEBHOOK_KEYS}
        self.check_webhook(webhook)
        webhook.setdefault("subscriptions", [])
        at = self.stamp()
        webhook.update(id=zendesk_hooks.ulid(), created_at=at, updated_at=at,
                       created_by=str(user["id"]))
        self.webhooks[webhook["id"]] = webhook
        self.secrets[webhook["id"]] = self.new_secret()
        return webhook

    def change_webhook(self, webhook, values, whole):
        """whole: PUT, which forgets what it is not given; else PATCH."""
        values = {k: v for k, v in (values or {}).items() if k in WEBHOOK_KEYS}
        if values.get("subscriptions", webhook["subscriptions"]) != webhook["subscriptions"]:
            raise _bad_webhook("the connection method of a webhook cannot be changed")
        kept = {k: v for k, v in webhook.items() if k not in WEBHOOK_KEYS} if whole else webhook
        new = {**kept, "subscriptions": webhook["subscriptions"], **values,
               "updated_at": self.stamp()}
        self.check_webhook(new)
        self.webhooks[webhook["id"]] = new

    def delete_webhook(self, webhook):
        for trigger in self.triggers:
            for action in trigger["actions"]:
                if trigger["active"] and action["field"] == "notification_webhook" \
                        and action["value"][0] == webhook["id"]:
                    raise _bad_webhook("the webhook is connected to an active trigger")
        del self.webhooks[webhook["id"]], self.secrets[webhook["id"]]

    @staticmethod
    def new_secret():
        return base64.b64encode(secrets.token_bytes(32)).decode()

    @staticmethod
    def shown_webhook(webhook):
        """Credentials are never shown again."""
        login = webhook.get("authentication")
        out = dict(webhook)
        if login:
            out["authentication"] = {k: v for k, v in login.items() if k != "data"}
        return out
