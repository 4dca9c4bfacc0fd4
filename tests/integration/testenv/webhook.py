"""The receiver as it is shipped, and what Zendesk and other programs send to it."""

import base64
import dataclasses
import datetime
import hashlib
import hmac
import http.client
import itertools
import json
import re

from .worker import Worker

SECRET = "c2lnbmluZ19zZWNyZXRfb2ZfdGhlX3Rlc3RzX3dlYmhvb2s="
WEBHOOK_TOKEN = "token-of-the-webhook-0123456789"
API_TOKEN = "token-of-the-api-0123456789"
READ_TOKEN = "token-that-reads-0123456789"

_invocations = itertools.count(8350205582)
_begin = datetime.datetime.now(datetime.timezone.utc)
_seconds = itertools.cycle(range(3000))  # before that: each delivery is signed in its own


@dataclasses.dataclass
class Answer:
    status: int
    headers: object  # by name, whatever its case
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def job_id(self):
        return self.json["job_id"]


def request(**fields):
    """A good request, unless changed; None takes a field away."""
    whole = {"ticket_id": "4711", "email": "customer@example.com", "users": "25",
             "requested_by": "agent", **fields}
    return {key: value for key, value in whole.items() if value is not None}


def encode(body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def iso(moment, offset=0):
    return (moment + datetime.timedelta(seconds=offset)).strftime("%Y-%m-%dT%H:%M:%SZ")


def now(offset=0):
    return iso(datetime.datetime.now(datetime.timezone.utc), offset)


def sign(body, time, secret=SECRET):
    mac = hmac.new(secret.encode(), time.encode() + body, hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()


def delivery(body, secret=SECRET, time=None, invocation=None, token=None, **headers):
    """Headers of a delivery. headers: with _ for -; None takes one away."""
    time = time or iso(_begin, -next(_seconds))
    all_of_them = {
        "content-type": "application/json",
        "user-agent": "Zendesk Webhook",
        "x-zendesk-account-id": "123456",
        "x-zendesk-webhook-id": "01F1KRFQ6BG29CNWFR60NK5FNY",
        "x-zendesk-webhook-invocation-id": str(invocation or next(_invocations)),
        "x-zendesk-webhook-signature": sign(body, time, secret),
        "x-zendesk-webhook-signature-timestamp": time,
        "authorization": f"Bearer {token}" if token else None,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return {name: value for name, value in all_of_them.items() if value is not None}


class Webhook(Worker):
    """One receiver process; see Worker for its log, signals and end."""

    def __init__(self, env, ready=True, args=(), inside=()):
        super().__init__(env, ready, "stopgap-webhook", args, inside)

    @property
    def port(self):
        line = self.wait_for(event="ready")
        return int(re.search(r" port (\d+),", line["msg"]).group(1))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def connect(self):
        """A connection of one's own."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def call(self, method, path, body=None, headers=None, connection=None):
        own = connection or self.connect()
        try:
            own.request(method, path, body, headers or {})
            answer = own.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            if not connection:
                own.close()

    def deliver(self, body=None, connection=None, **how):
        """POST /zendesk as Zendesk does it: a good request unless another body is given."""
        raw = encode(request() if body is None else body)
        return self.call("POST", "/zendesk", raw, delivery(raw, **how), connection)

    def api(self, method, path, body=None, token=API_TOKEN, **headers):
        """A call of /v1. headers: with _ for -; None takes one away."""
        raw = None if body is None else encode(body)
        all_of_them = {
            "authorization": f"Bearer {token}" if token else None,
            "content-type": "application/json" if raw is not None else None,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return self.call(method, f"/v1{path}", raw,
                         {n: v for n, v in all_of_them.items() if v is not None})

    def submit(self, body=None, **how):
        return self.api("POST", "/requests", request() if body is None else body, **how)

    def show(self, job_id, **how):
        return self.api("GET", f"/requests/{job_id}", **how)
