"""How Zendesk delivers webhooks: signed, with its time-out, its few retries, its circuit
breaker and its log of 7 days; and the switches for what its documentation warns of: loss,
doubling, any order. Rules: Zendesk's "Creating and monitoring webhooks" and "Verifying
webhook authenticity"."""

import asyncio
import base64
import copy
import dataclasses
import datetime
import hashlib
import hmac
import json
import random
import time

import aiohttp

TEST_SECRET = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="  # public, for unsaved webhooks
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LOG_DAYS = 7
PAYLOAD_MAX = 256 * 1024
STATUSES = ("unknown", "accepted", "success", "failed", "timeout", "circuit broken",
            "throttled", "client error", "server error")
RETRIES = {"timeout": 5, 409: 3, 429: 3, 503: 3}  # the last two with Retry-After < 60
IMPATIENCE_S = 0.2
BREAKER_WINDOW_S, BREAKER_LEAST, BREAKER_SHARE, BREAKER_FAILURES = 300, 100, 0.7, 1000


def ulid():
    return "01" + "".join(random.choices(ALPHABET, k=24))


def iso(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def sign(secret, timestamp, body):
    """The key is the secret's text as shown; the message is timestamp, then body."""
    digest = hmac.new(secret.encode(), timestamp.encode() + body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


@dataclasses.dataclass
class Switches:
    """Zendesk's own numbers, and what a test may make it do."""

    timeout_s: float = 12.0
    backoff_s: float = 0.02  # between tries; Zendesk does not say
    retry_after_scale: float = 1.0  # seconds of a Retry-After become this many
    breaker_pause_s: float = 5.0
    resign: bool = False  # a retry has a timestamp and a signature of its own
    double: int = 0  # so many deliveries go out twice at once
    lose: int = 0  # so many are never sent, though the log says they failed
    forget: int = 0  # so many are never sent and not in the log either
    impatient: int = 0  # so many tries are given up after 0.2 s
    lose_answers: int = 0  # so many tries arrive, and their answer counts as a time-out
    hold: bool = False  # deliveries wait until release()
    per_minute: int = 0  # a trial account has 60


@dataclasses.dataclass
class Invocation:
    id: str
    webhook_id: str
    at: datetime.datetime
    payload: str
    status: str = "accepted"
    status_code: int = 0
    attempts: list = dataclasses.field(default_factory=list)

    def shown(self):
        return {"id": self.id, "status": self.status, "status_code": self.status_code or None,
                "latest_completed_at": iso(self.at)}


class Breaker:
    """Opens when 70 % of a webhook's requests, or more than 1,000, failed in 5 minutes."""

    def __init__(self):
        self.outcomes = []
        self.open_until = 0.0
        self.broken = False

    def closed(self):
        return time.monotonic() >= self.open_until

    def note(self, good, pause_s):
        if self.broken and good:
            self.broken, self.outcomes = False, []
            return
        at = time.monotonic()
        self.outcomes = [o for o in self.outcomes if o[0] > at - BREAKER_WINDOW_S] + [(at, good)]
        failures = sum(not o[1] for o in self.outcomes)
        many = len(self.outcomes) >= BREAKER_LEAST
        if self.broken or (many and (failures >= BREAKER_SHARE * len(self.outcomes)
                                     or failures > BREAKER_FAILURES)):
            self.trip(pause_s)

    def trip(self, pause_s):
        self.broken = True
        self.open_until = time.monotonic() + pause_s


class Hooks:
    """Deliveries, on the fake's loop."""

    def __init__(self, lock, account_id):
        self.lock = lock
        self.account_id = account_id
        self.switches = Switches()
        self.invocations = []  # oldest first
        self.held = []
        self.breakers = {}
        self.under_way = 0
        self.sent_at = []
        self.stamped = now()
        self.loop = None
        self.session = None

    # --- from any thread ---

    def invoke(self, webhook, secret, payload):
        """A trigger's webhook action. The webhook is taken as it is now."""
        invocation = Invocation(ulid(), webhook["id"], now(), payload)
        hook = dict(copy.deepcopy(webhook), secret=secret)
        with self.lock:
            if self._take("forget"):
                return
            self.invocations.append(invocation)
            self.under_way += 1
            if self.switches.hold:
                self.held.append((hook, invocation))
                return
        self._start(hook, invocation)

    def release(self, order=None):
        """Lets go of what hold kept; order: a function of the list, e.g. reversed."""
        with self.lock:
            self.switches.hold = False
            held, self.held = list(order(self.held)) if order else self.held, []
        for hook, invocation in held:
            asyncio.run_coroutine_threadsafe(self._deliver(hook, invocation), self.loop).result(60)

    def again(self, invocation_id, webhook, secret):
        """The same invocation once more, as after a fault on Zendesk's side."""
        with self.lock:
            invocation = next(i for i in self.invocations if i.id == invocation_id)
            self.under_way += 1
        self._start(dict(copy.deepcopy(webhook), secret=secret), invocation)

    def trip(self, webhook_id, seconds=3600):
        """Opens a webhook's breaker, until breakers.clear()."""
        self.breakers.setdefault(webhook_id, Breaker()).trip(seconds)

    def _start(self, hook, invocation):
        asyncio.run_coroutine_threadsafe(self._deliver(hook, invocation), self.loop)

    def _take(self, name):
        """One of a switch that counts down."""
        left = getattr(self.switches, name)
        setattr(self.switches, name, max(left - 1, 0))
        return left > 0

    # --- on the loop ---

    async def _deliver(self, hook, invocation):
        try:
            with self.lock:
                lost, double = self._take("lose"), self._take("double")
            if lost:
                self._log(invocation, hook, {}, "failed", 0, "")
                return
            if self._throttled(invocation, hook):
                return
            tries = [self._tries(hook, invocation) for _ in range(2 if double else 1)]
            await asyncio.gather(*tries)
        finally:
            with self.lock:
                self.under_way -= 1

    def _throttled(self, invocation, hook):
        limit, at = self.switches.per_minute, time.monotonic()
        self.sent_at = [t for t in self.sent_at if t > at - 60] + [at]
        if limit and len(self.sent_at) > limit:
            self._log(invocation, hook, {}, "throttled", 0, "")
            return True
        return False

    def _stamp(self):
        """A second of its own for each, since people are slower than tests."""
        self.stamped = max(now(), self.stamped + datetime.timedelta(seconds=1))
        return iso(self.stamped)

    async def _tries(self, hook, invocation):
        breaker = self.breakers.setdefault(hook["id"], Breaker())
        stamp, left = self._stamp(), {}
        while True:
            if not breaker.closed():
                self._log(invocation, hook, {}, "circuit broken", 0, "")
                return
            if self.switches.resign:
                stamp = self._stamp()
            what, headers = await self._once(hook, invocation, stamp)
            breaker.note(isinstance(what, int) and 200 <= what < 300,
                         self.switches.breaker_pause_s)
            left.setdefault(what, RETRIES.get(what, 0))
            pause = self._pause(what, headers)
            if pause is None or not left[what]:
                return
            left[what] -= 1
            await asyncio.sleep(pause)

    def _pause(self, what, headers):
        """Seconds before the next try; None: there is none."""
        if what in (429, 503):
            value = headers.get("Retry-After", "")
            if not value.isdigit() or int(value) >= 60:
                return None
            return int(value) * self.switches.retry_after_scale
        return self.switches.backoff_s if what in RETRIES else None

    def headers(self, hook, invocation_id, stamp, body):
        headers = {
            "User-Agent": "Zendesk Webhook", "Content-Type": "application/json",
            "x-zendesk-account-id": str(self.account_id), "x-zendesk-webhook-id": hook["id"],
            "x-zendesk-webhook-invocation-id": invocation_id,
            "x-zendesk-webhook-signature": sign(hook["secret"], stamp, body),
            "x-zendesk-webhook-signature-timestamp": stamp,
        }
        login = hook.get("authentication") or {}
        data = login.get("data") or {}
        if login.get("type") == "bearer_token":
            headers["Authorization"] = "Bearer " + data["token"]
        elif login.get("type") == "basic_auth":
            pair = f"{data['username']}:{data['password']}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        elif login.get("type") == "api_key":
            headers[data["name"]] = data["value"]
        return headers

    async def _once(self, hook, invocation, stamp):
        """One request. (status code, "timeout" or "failed"; the answer's headers)"""
        body = invocation.payload.encode()
        headers = self.headers(hook, invocation.id, stamp, body)
        with self.lock:
            deaf = self._take("lose_answers")
            patience = IMPATIENCE_S if self._take("impatient") else self.switches.timeout_s
        try:
            limit = aiohttp.ClientTimeout(total=patience)
            async with self.session.request(hook["http_method"], hook["endpoint"], data=body,
                                            headers=headers, timeout=limit, ssl=False,
                                            allow_redirects=False) as answer:
                text = await answer.text(errors="replace")
                what, back = answer.status, answer.headers
        except asyncio.TimeoutError:
            what, back, text = "timeout", {}, ""
        except aiohttp.ClientError as e:
            what, back, text = "failed", {}, str(e)
        if deaf:
            what, back, text = "timeout", {}, ""
        self._log(invocation, hook, headers, *self._verdict(what), text, back)
        return what, back

    @staticmethod
    def _verdict(what):
        if what == "timeout":
            return "timeout", 504
        if what == "failed":
            return "failed", 0
        kinds = {2: "success", 4: "client error", 5: "server error"}
        return kinds.get(what // 100, "failed"), what

    def _log(self, invocation, hook, headers, status, code, text, back=()):
        """What is kept of credentials is only that there were some."""
        hidden = {k: "[REDACTED]" if k == "Authorization" else v for k, v in headers.items()}
        attempt = {
            "id": ulid(), "invocation_id": invocation.id, "status": status,
            "status_code": code or None, "completed_at": iso(now()),
            "request": {"headers": [{"key": k, "value": v} for k, v in hidden.items()],
                        "payload": invocation.payload},
            "response": {"headers": [{"key": k, "value": v} for k, v in dict(back).items()],
                         "payload": text},
        }
        if status in ("throttled", "circuit broken"):  # held back: there was none
            del attempt["request"], attempt["response"]
        with self.lock:
            invocation.attempts.append(attempt)
            invocation.at = now()
            if invocation.status != "success":
                invocation.status, invocation.status_code = status, code

    async def test(self, hook, payload):
        """POST /webhooks/test: one request at once, in no log."""
        body, stamp = payload.encode(), iso(now())
        try:
            async with self.session.request(
                    hook["http_method"], hook["endpoint"], data=body, ssl=False,
                    headers=self.headers(hook, ulid(), stamp, body),
                    timeout=aiohttp.ClientTimeout(total=self.switches.timeout_s)) as answer:
                return {"status": answer.status, "payload": await answer.text(errors="replace")}
        except (asyncio.TimeoutError, aiohttp.ClientError):
            return {"status": 504, "payload": ""}

    # --- the log ---

    def page(self, webhook_id, query):
        """GET invocations: filter[status|from_ts|to_ts], sort, page[size|after|before].
        Raises ValueError with what is wrong."""
        oldest = iso(now() - datetime.timedelta(days=LOG_DAYS))
        begin = max(query.get("filter[from_ts]", oldest), oldest)
        end, status = query.get("filter[to_ts]", "9"), query.get("filter[status]")
        if status is not None and status not in STATUSES:
            raise ValueError(f"filter[status] is invalid: {status}")
        sort = query.get("sort", "-latest_completed_at")
        if sort.lstrip("-") != "latest_completed_at":
            raise ValueError(f"sort is invalid: {sort}")
        with self.lock:
            found = [i.shown() for i in self.invocations if i.webhook_id == webhook_id
                     and status in (None, i.status) and begin <= iso(i.at) <= end]
        found.sort(key=lambda i: (i["latest_completed_at"], i["id"]), reverse=sort[0] == "-")
        return cursor_page(found, query, "invocations")

    def attempts(self, webhook_id, invocation_id):
        """None: no such invocation of that webhook."""
        with self.lock:
            return next((copy.deepcopy(i.attempts) for i in self.invocations
                         if (i.id, i.webhook_id) == (invocation_id, webhook_id)), None)


def _cursor(item):
    return base64.urlsafe_b64encode(json.dumps([str(item["id"])]).encode()).decode()


def cursor_page(items, query, key, largest=100, url=""):
    """One page of Zendesk's cursor pagination."""
    size = query.get("page[size]", str(largest))
    if not size.isdigit() or not 1 <= int(size) <= largest:
        raise ValueError(f"page[size] must be from 1 to {largest}")
    start, size = 0, int(size)
    for name, step in (("page[after]", 1), ("page[before]", -size)):
        if query.get(name):
            at = next((n for n, i in enumerate(items) if _cursor(i) == query[name]), None)
            if at is None:
                raise ValueError(f"{name} is not a valid cursor")
            start = max(at + step, 0)
    part = items[start:start + size]
    more = start + size < len(items)
    after, before = (_cursor(part[-1]), _cursor(part[0])) if part else (None, None)
    return {key: part,
            "meta": {"has_more": more, "after_cursor": after, "before_cursor": before},
            "links": {"next": f"{url}?page[after]={after}&page[size]={size}" if more else None,
                      "prev": None}}
