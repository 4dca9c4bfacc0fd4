"""The receiver's calls: what each answers, who may make it, and what becomes of what was
taken."""

import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import subprocess

import pytest
from testenv import webhook as zendesk
from testenv.webhook import API_TOKEN, READ_TOKEN, SECRET, WEBHOOK_TOKEN, request

JOB_ID = re.compile(r"[0-9a-z]{26}\Z")
NOBODY = "0123456789abcdefghjkmnpqrs"


def taken(answer):
    """The id of a request that was taken."""
    assert answer.status == 202, answer
    assert answer.json == {"job_id": answer.job_id, "status": "queued"}
    assert JOB_ID.match(answer.job_id)
    return answer.job_id


def inbox(queue):
    return queue.client.lrange("stopgap:{licenses}:inbox", 0, -1)


# --- POST /zendesk ---

def test_delivery_is_in_the_inbox_as_it_came(webhook, queue):
    raw = b'{ "ticket_id" : "42",\r\n"email":"jane@example.com", "users":"30","requested_by":"x"} '
    job = taken(webhook.deliver(raw))
    assert inbox(queue) == [f"{job} {raw.decode()}"]


UNSIGNED = [
    ({"x_zendesk_webhook_signature": None}, "x-zendesk-webhook-signature: missing"),
    ({"x_zendesk_webhook_signature_timestamp": None}, "timestamp: missing"),
    ({"x_zendesk_webhook_signature": "A" * 43 + "="}, "does not hold"),
    ({"secret": "another secret of the tests"}, "does not hold"),
    ({"secret": "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="}, "does not hold"),
    ({"x_zendesk_webhook_signature_timestamp": "2026-01-02T03:04:05Z"}, "does not hold"),
    ({"time": zendesk.now(-3700)}, "ago; at most 1h"),
    ({"time": "2099-01-01T00:00:00Z"}, "in the future; at most 1h"),
    ({"time": "yesterday"}, "no time in UTC"),
]


def test_unsigned(webhook, queue):
    for how, says in UNSIGNED:
        answer = webhook.deliver(**how)
        assert answer.status == 401 and says in answer.json["error"], how
    assert not inbox(queue)


def send_doubled(webhook, name):
    """A good delivery, but for one of its headers, which comes twice."""
    raw = zendesk.encode(request())
    headers = zendesk.delivery(raw)
    with contextlib.closing(webhook.connect()) as c:
        c.putrequest("POST", "/zendesk")
        for key, value in [*headers.items(), ("content-length", str(len(raw)))]:
            c.putheader(key, value)
        c.putheader(f"X-Zendesk-Webhook-{name.title()}", headers[f"x-zendesk-webhook-{name}"])
        c.endheaders(raw)
        return c.getresponse().status


def test_doubled_headers(webhook, queue):
    assert send_doubled(webhook, "signature") == 401
    assert send_doubled(webhook, "signature-timestamp") == 401
    assert not inbox(queue)


def test_one_changed_byte_of_the_body(webhook, queue):
    raw = zendesk.encode(request())
    changed = raw.replace(b'"25"', b'"26"')
    assert webhook.call("POST", "/zendesk", changed, zendesk.delivery(raw)).status == 401
    assert not inbox(queue)


def test_skew_is_a_setting(start_webhook):
    webhook = start_webhook(STOPGAP_WEBHOOK_MAX_SKEW="7d")
    taken(webhook.deliver(time=zendesk.now(-6 * 86400)))
    assert webhook.deliver(time=zendesk.now(-8 * 86400)).status == 401


def test_second_factor(start_webhook):
    webhook = start_webhook(STOPGAP_WEBHOOK_TOKEN=WEBHOOK_TOKEN)
    assert webhook.deliver().status == 401
    assert webhook.deliver(token=WEBHOOK_TOKEN + "x").status == 401
    assert webhook.deliver(token=API_TOKEN).status == 401
    assert webhook.deliver(secret="another secret of the tests", token=WEBHOOK_TOKEN).status == 401
    taken(webhook.deliver(token=WEBHOOK_TOKEN))


def test_webhook_id(start_webhook):
    webhook = start_webhook(STOPGAP_ZENDESK_WEBHOOK_ID="01F1KRFQ6BG29CNWFR60NK5FNY")
    taken(webhook.deliver())
    for other in ("01F1KRFQ6BG29CNWFR60NK5FNZ", "01f1krfq6bg29cnwfr60nk5fny", None):
        answer = webhook.deliver(x_zendesk_webhook_id=other)
        assert answer.status == 401 and "x-zendesk-webhook-id" in answer.json["error"]


CONTENT_TYPES = [
    ("application/json; charset=utf-8", 202), ("Application/JSON;charset=UTF-8", 202),
    ('application/json; charset="utf-8"', 202), ("application/json; charset=latin1", 415),
    ("application/jsonp", 415), ("text/json", 415), ("application/x-www-form-urlencoded", 415),
    (None, 415),
]


def test_content_type(webhook):
    for content_type, status in CONTENT_TYPES:
        assert webhook.deliver(content_type=content_type).status == status, content_type
        assert webhook.submit(content_type=content_type).status == status, content_type


def test_secrets_of_a_rotation(start_webhook):
    webhook = start_webhook(STOPGAP_WEBHOOK_SECRET="the new secret of the webhook",
                            STOPGAP_WEBHOOK_SECRET_2=SECRET)
    taken(webhook.deliver())
    taken(webhook.deliver(secret="the new secret of the webhook"))
    assert webhook.deliver(secret="the newer secret of the webhook").status == 401


def test_signing_by_hand_as_documented(start_webhook, queue, folder):
    """Also at a receiver with all the settings that zendesk-setup prints."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "webhook.md"),
              encoding="utf-8") as f:
        section = f.read().split("## Signing by hand", 1)[1]
    script = re.search(r"```\n(.*?)```", section, re.S).group(1)
    secret_file(folder, "webhook-secret", SECRET)
    secret_file(folder, "webhook-token", WEBHOOK_TOKEN)
    webhook = start_webhook(
        STOPGAP_WEBHOOK_TOKEN=WEBHOOK_TOKEN,
        STOPGAP_ZENDESK_WEBHOOK_ID=re.search(r"Webhook-Id: (\w+)", script).group(1))
    done = subprocess.run(["sh", "-ec", script.replace("http://127.0.0.1:8080", webhook.url)],
                          cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("HTTP/1.1 202"), done
    assert len(inbox(queue)) == 1


# --- Ids and duplicates ---

def test_ids(webhook):
    """The body's key, else the invocation, else the signature's first; else none."""
    first = taken(webhook.deliver(invocation="01F1KR"))
    assert taken(webhook.deliver(invocation="01F1KR")) == first
    assert taken(webhook.deliver(invocation="01F1KS")) != first
    keyed = request(idempotency_key="ticket 4711")
    by_key = taken(webhook.deliver(keyed, invocation="01F1KR"))
    assert by_key != first and taken(webhook.deliver(keyed)) == by_key
    assert taken(webhook.submit(keyed)) == by_key
    assert taken(webhook.submit(idempotency_key="01F1KR")) == first
    fresh = {taken(webhook.deliver(x_zendesk_webhook_invocation_id=None)) for _ in range(3)}
    fresh |= {taken(webhook.submit()) for _ in range(3)}
    assert len(fresh) == 6


def test_ids_are_the_queues(webhook, start_webhook, folder):
    other = start_webhook(STOPGAP_QUEUE="another",
                          STOPGAP_SPOOL_DIR=os.path.join(folder, "other"))
    assert webhook.deliver(invocation=1).job_id != other.deliver(invocation=1).job_id


def test_same_invocation_at_once(webhook, worker, queue, smtp, gitlab):
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        ids = list(pool.map(lambda _: taken(webhook.deliver(invocation="8350205582")), range(5)))
    jobs = queue.settled(1)
    assert set(ids) == set(jobs) and queue.only("done")
    assert len(smtp.mails_to()) == len(gitlab.issues("[Success]")) == 1


def test_fired_twice_and_replayed(webhook, worker, queue, smtp, gitlab, until):
    """A trigger that fires again is a new invocation; so is a capture that is replayed
    under an id that was made up: one license, and each id leads to it."""
    raw, time = zendesk.encode(request()), zendesk.now()
    first = taken(webhook.deliver(raw, time=time))
    queue.settled(1)
    again = taken(webhook.deliver(raw, time=zendesk.now(+1)))
    replayed = taken(webhook.deliver(raw, time=time, invocation="made up"))
    queue.settled(2)
    assert replayed == first != again
    assert len(smtp.mails_to()) == len(gitlab.issues("[Success]")) == 1
    shown = webhook.show(again).json
    assert (shown["job_id"], shown["asked_for"], shown["status"]) == (first, again, "done")
    assert "asked_for" not in webhook.show(first).json


def test_a_capture_is_one_job_whatever_it_is_called(webhook, worker, queue, smtp, gitlab):
    raw, time = zendesk.encode(request()), zendesk.now()
    names = [{"invocation": f"made up {n}"} for n in range(30)]
    names += [{"x_zendesk_webhook_invocation_id": None}] * 5
    ids = {taken(webhook.deliver(raw, time=time, **name)) for name in names}
    assert len(ids) == 1 and queue.settled(1)
    assert len(smtp.mails_to()) == len(gitlab.issues("[Success]")) == 1


def test_a_capture_after_a_restart_makes_no_second_license(start_webhook, worker, queue, smtp,
                                                           gitlab):
    raw, time = zendesk.encode(request()), zendesk.now()
    first = start_webhook()
    job = taken(first.deliver(raw, time=time))
    first.stop()
    second = start_webhook()
    assert taken(second.deliver(raw, time=time, invocation="made up")) != job
    queue.settled(2)
    assert len(smtp.mails_to()) == len(gitlab.issues("[Success]")) == 1


# --- Faults ---

def faulty(answer):
    """{field: text} of a request that was kept."""
    assert answer.status == 400 and answer.json["status"] == "queued", answer
    return {f["field"]: f["text"] for f in answer.json["faults"]}


def test_faults_by_field(webhook, worker, queue, gitlab, until):
    answer = webhook.deliver(request(users="many", email=None, expires_at="2030-01-01"))
    faults = faulty(answer)
    assert set(faults) == {"users", "email", "expires_at"}
    assert "required" in faults["email"] and "unknown field" in faults["expires_at"]
    record = queue.settled(1)[answer.job_id]
    assert (record["state"], record["err_class"]) == ("failed", "invalid")
    issue = until(lambda: gitlab.issues("[Failed]"), "its issue")[0]
    assert issue["state"] == "opened" and f"Job: {answer.job_id}" in issue["description"]
    assert webhook.show(answer.job_id).json["error"]["class"] == "invalid"


NO_REQUESTS = [
    (b'{"ticket_id": }', "not JSON"), (b"\xff\xfe{}", "not UTF-8"), (b"[]", "one JSON object"),
    (b"", "empty"), (b"\0" * 40, "not JSON"), (b"x" * 27, "not JSON"),
    (b'{"note":"' + b"a" * 20000 + b'"}', "at most 16384"), (b"{" * 262144, "at most 16384"),
]


def test_what_is_no_request_becomes_a_failed_job(webhook, worker, queue, gitlab, until):
    ids = {}
    for raw, says in NO_REQUESTS:
        for answer in (webhook.deliver(raw), webhook.submit(raw)):
            faults = faulty(answer)
            assert list(faults) == ["request"] and says in faults["request"], raw[:20]
            ids[answer.job_id] = raw[:16385]
    records = queue.settled(len(ids))
    assert {i: queue.raw(i) for i in records} == ids
    assert {r["state"] for r in records.values()} == {"failed"}
    until(lambda: len(gitlab.issues("[Failed]")) == len(ids), "their issues")


def test_rules_of_the_settings(start_webhook):
    webhook = start_webhook(STOPGAP_ZENDESK_URL="https://vendor.zendesk.com",
                            STOPGAP_SCOPE_REQUIRED="1", STOPGAP_MAX_USERS="20")
    faults = faulty(webhook.deliver(request(ticket_url="https://evil.example/1")))
    assert set(faults) == {"ticket_url", "plan", "license_expired_on", "users"}


def test_longer_than_a_request(webhook, queue):
    raw = zendesk.encode(request(note="x" * 100000))
    answer = webhook.deliver(raw)
    assert "16384" in faulty(answer).popitem()[1]
    assert inbox(queue) == [f"{answer.job_id} {raw[:16385].decode()}"]


def test_too_long(webhook, queue):
    raw = b" " * 262145
    assert webhook.deliver(raw).status == 413
    assert not inbox(queue)


# --- /v1 ---

TOKENS = [
    (API_TOKEN, 202, 404), ("second-token-of-the-api", 202, 404), (READ_TOKEN, 401, 404),
    (WEBHOOK_TOKEN, 401, 401), ("", 401, 401), (API_TOKEN + "x", 401, 401),
]


def test_tokens(start_webhook):
    webhook = start_webhook(STOPGAP_API_TOKEN_2="second-token-of-the-api",
                            STOPGAP_WEBHOOK_TOKEN=WEBHOOK_TOKEN)
    for token, submit, read in TOKENS:
        assert webhook.submit(token=token).status == submit, token
        for answer in (webhook.show(NOBODY, token=token),
                       webhook.api("GET", "/requests?ticket_id=1", token=token),
                       webhook.api("POST", f"/requests/{NOBODY}/resend", token=token)):
            assert answer.status == read, token
            assert read != 401 or answer.headers["WWW-Authenticate"] == "Bearer"


def test_api_is_off_without_tokens(start_webhook):
    webhook = start_webhook(STOPGAP_API_TOKEN=None, STOPGAP_API_READ_TOKEN=None)
    for answer in (webhook.submit(), webhook.show(NOBODY), webhook.submit(token="")):
        assert answer.status == 404 and "the API is off" in answer.json["error"]
    taken(webhook.deliver())


def test_whole_way(webhook, worker, queue, smtp, gitlab):
    job = taken(webhook.submit(request(requested_by="sam", users=30)))
    queue.settled(1)
    issue = gitlab.issues("[Success]")[0]
    shown = webhook.show(job).json
    assert {k: shown[k] for k in ("job_id", "status", "ticket_id", "steps", "issue_url")} == {
        "job_id": job, "status": "done", "ticket_id": 4711, "issue_url": issue["web_url"],
        "steps": ["validate", "sign", "email", "record", "close"]}
    assert shown["expires_ms"] > shown["updated_ms"] and "error" not in shown
    assert webhook.api("GET", "/requests?ticket_id=4711", token=READ_TOKEN).json == shown
    assert "BEGIN" not in json.dumps(shown) and "customer" not in json.dumps(shown)


def test_status_before_a_worker_has_it(webhook):
    job = taken(webhook.deliver())
    shown = webhook.show(job)
    assert shown.status == 200 and (shown.json["job_id"], shown.json["status"]) == (job, "queued")


NOT_THERE = [
    "/requests/short", f"/requests/{NOBODY}x", f"/requests/{NOBODY}/", f"/requests/{NOBODY}/show",
    "/requests/", f"/requests/{NOBODY.upper()}", f"/requests/%30{NOBODY[1:]}", "/", "",
    f"/requests/{NOBODY}", "/requests?ticket_id=77",
]


def test_not_there(webhook):
    for path in NOT_THERE:
        assert webhook.api("GET", path).status == 404, path


BAD_QUERIES = [
    "", "?", "?ticket_id=", "?ticket_id=0", "?ticket_id=-1", "?ticket_id=9007199254740992",
    "?ticket_id=1&ticket_id=2", "?ticket=1", "?ticket_id=%31", "?ticket_id=1%00", "?ticket_id=+1",
]


def test_queries(webhook):
    for query in BAD_QUERIES:
        assert webhook.api("GET", "/requests" + query).status == 400, query


def view(queue, name, value):
    queue.client.set(f"stopgap:{{licenses}}:view:{name}",
                     value if isinstance(value, str) else json.dumps(value))


def test_view_is_foreign_text(webhook, queue):
    """Whoever can write to Redis can write a view: only known fields in known forms."""
    good = {"job_id": NOBODY, "status": "failed", "ticket_id": 7}
    view(queue, NOBODY, {
        **good, "license": "-----BEGIN", "steps": ["sign", "<script>", 3, ["x"], "email"],
        "issue_url": "javascript:alert(1)", "report_url": "https://x/\"><b>",
        "error": {"class": "permanent", "text": "a\r\nSet-Cookie: b", "more": "x"},
        "expires_ms": "soon", "updated_ms": -1, "duplicate_of": "../../x"})
    shown = webhook.show(NOBODY)
    assert shown.status == 200
    text = shown.json["error"].pop("text")
    assert shown.json["steps"] == ["sign", "email"]
    assert set(shown.json) == {"job_id", "status", "ticket_id", "steps", "error"}
    assert text.startswith("a") and "\n" not in text
    for bad in ("", '{"job_id":"\\u0000"}', "[]", "{", "null", {**good, "status": "x"}, {**good, "job_id": 1}, {}):
        view(queue, NOBODY, bad)
        assert webhook.show(NOBODY).status == 503, bad


def test_chains_and_rings_of_duplicates(webhook, queue):
    ids = [f"{n}123456789abcdefghjkmnpqrs" for n in range(9)]
    for i, after in zip(ids, [*ids[1:], None]):
        view(queue, i, {"job_id": i, "status": "done", **({"duplicate_of": after} if after else {})})
    assert webhook.show(ids[6]).json["job_id"] == ids[8]
    assert webhook.show(ids[0]).status == 200  # not followed for ever
    view(queue, ids[8], {"job_id": ids[8], "status": "done", "duplicate_of": ids[7]})
    assert webhook.show(ids[7]).json["job_id"] in ids[7:]
    view(queue, ids[0], {"job_id": ids[0], "status": "done", "duplicate_of": NOBODY})
    shown = webhook.show(ids[0]).json  # the first one's has expired
    assert (shown["job_id"], shown["duplicate_of"]) == (ids[0], NOBODY)


def resent(answer, job):
    assert answer.status == 202, answer
    assert answer.json == {"job_id": answer.job_id, "status": "queued", "resend_of": job}
    return answer.job_id


def test_resend(webhook, worker, queue, smtp):
    job = taken(webhook.deliver())
    queue.settled(1)
    path = f"/requests/{job}/resend"
    first = resent(webhook.api("POST", path, {"requested_by": "sam"}, token=READ_TOKEN), job)
    queue.settled(2)
    second = resent(webhook.api("POST", path, idempotency_key="press 1"), job)
    assert resent(webhook.api("POST", path, idempotency_key="press 1"), job) == second
    assert resent(webhook.api("POST", path, {"idempotency_key": "press 1"}), job) == second
    queue.settled(3)
    mails = smtp.mails_to()
    assert len(mails) == 3
    assert any("asked for by sam" in e for e in queue.log(job))
    assert any("asked for by api" in e for e in queue.log(job))
    assert len({first, second, job}) == 3


def test_resend_by_a_request(webhook, worker, queue, smtp):
    job = taken(webhook.deliver())
    queue.settled(1)
    taken(webhook.deliver({"resend": job, "requested_by": "sam"}))
    queue.settled(2)
    assert len(smtp.mails_to()) == 2


FAULTY_RESENDS = [
    (b"[]", None), (b"{", None), (b'{"a":1,"a":2}', None), ({"requested_by": 1}, "requested_by"),
    ({"requested_by": ""}, "requested_by"), ({"email": "a@example.com"}, "email"),
    ({"x": 1}, "x"), ({"idempotency_key": 1}, "idempotency_key"),
]


def test_resend_with_faults_is_not_kept(webhook, queue):
    view(queue, NOBODY, {"job_id": NOBODY, "status": "done"})
    for body, says in FAULTY_RESENDS:
        answer = webhook.api("POST", f"/requests/{NOBODY}/resend", body)
        assert answer.status == 400, body
        assert not says or [f["field"] for f in answer.json["faults"]] == [says]
    assert not inbox(queue)
    # The log names the job that was asked for, and no id of one that will never be.
    webhook.wait_for(event="answer", status="400", job=NOBODY, count=len(FAULTY_RESENDS))


def test_resend_of_nobody(webhook, queue):
    assert webhook.api("POST", f"/requests/{NOBODY}/resend").status == 404
    webhook.wait_for(event="answer", status="404", job=NOBODY)
    assert webhook.api("POST", f"/requests/{NOBODY}/resend", {}, content_type="text/plain").status == 415
    assert not inbox(queue)


# --- The rest ---

def test_health(webhook):
    assert webhook.call("GET", "/healthz").json == {"status": "ok"}
    ready = webhook.call("GET", "/readyz")
    assert ready.status == 200
    assert ready.json == {"status": "ready", "redis": True, "spool": True, "spooled": 0}
    for path in ("/healthz", "/readyz"):
        head = webhook.call("HEAD", path)
        assert (head.status, head.body) == (200, b"")


METHODS = [
    ("GET", "/zendesk", "POST"), ("PUT", "/zendesk", "POST"), ("post", "/zendesk", "POST"),
    ("DELETE", "/v1/requests", "POST, GET, HEAD"), ("POST", f"/v1/requests/{NOBODY}", "GET, HEAD"),
    ("GET", f"/v1/requests/{NOBODY}/resend", "POST"), ("POST", "/healthz", "GET, HEAD"),
    ("OPTIONS", "/readyz", "GET, HEAD"),
]


def test_methods(webhook):
    for method, path, allow in METHODS:
        answer = webhook.call(method, path, None if method in ("GET", "OPTIONS") else b"")
        assert (answer.status, answer.headers["Allow"]) == (405, allow), (method, path)


def test_no_such_path(webhook):
    for path in ("/", "/zendesk/", "/Zendesk", "/metrics", "/v2/requests", "/healthz/x"):
        assert webhook.call("GET", path).status == 404
        assert webhook.call("POST", path, b"x").status == 404


def test_log_tells_each_answer_and_no_secret(start_webhook):
    webhook = start_webhook(STOPGAP_WEBHOOK_TOKEN=WEBHOOK_TOKEN, STOPGAP_LOG_LEVEL="debug")
    job = taken(webhook.deliver(token=WEBHOOK_TOKEN))
    webhook.show(job)
    webhook.deliver(token="x" * 20)
    line = webhook.wait_for(event="answer", route="/zendesk", status=202)
    assert line["job"] == job and line["peer"] == "127.0.0.1" and int(line["took_ms"]) >= 0
    webhook.wait_for(event="answer", route="/v1/requests/{id}", status=200, job=job)
    assert webhook.wait_for(event="answer", status=401)["err"].startswith("Authorization")
    for secret in (SECRET, WEBHOOK_TOKEN, API_TOKEN, "customer", "x" * 20):
        assert secret not in webhook.text()


def test_refusals_do_not_fill_the_log(webhook):
    for _ in range(100):
        assert webhook.call("GET", "/nothing").status == 404
    taken(webhook.deliver())
    webhook.wait_for(event="answer", status=202)
    assert len(webhook.lines(event="answer", status=404)) < 60


# --- Start and end ---

def test_check_version_help(start_webhook):
    for args, says in ((["--check"], ""), (["--version"], "stopgap-webhook "),
                       (["--help"], "Usage: stopgap-webhook")):
        run = start_webhook(ready=False, args=args)
        assert run.wait() == 0 and says in run.text()
    wrong = start_webhook(ready=False, args=["now"])
    assert wrong.wait() == 2 and '"now"' in wrong.text()
    wrong.check(status=2)


@pytest.mark.parametrize("changes, says", [
    ({"STOPGAP_WEBHOOK_SECRET": None}, "STOPGAP_WEBHOOK_SECRET: required"),
    ({"STOPGAP_WEBHOOK_SECRET": "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="}, "public test secret"),
    ({"STOPGAP_WEBHOOK_SECRET_2": "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="}, "public test secret"),
    ({"STOPGAP_API_READ_TOKEN": API_TOKEN}, "STOPGAP_API_READ_TOKEN: the same"),
])
def test_bad_settings(start_webhook, changes, says):
    run = start_webhook(ready=False, **changes)
    assert run.wait() == 2 and says in run.text()
    run.check(status=2)


def test_test_secret_if_asked_for(start_webhook):
    secret = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="
    webhook = start_webhook(STOPGAP_WEBHOOK_SECRET=secret, STOPGAP_WEBHOOK_ALLOW_TEST_SECRET="1")
    assert "anyone can sign" in webhook.wait_for(event="settings")["msg"]
    taken(webhook.deliver(secret=secret))


def test_address_in_use(webhook, start_webhook, folder):
    other = start_webhook(ready=False, STOPGAP_WEBHOOK_LISTEN=f"127.0.0.1:{webhook.port}",
                          STOPGAP_SPOOL_DIR=os.path.join(folder, "other"))
    assert other.wait() == 2 and f"port {webhook.port}" in other.text()
    other.allow("event=start")
    other.check(status=2)


def secret_file(folder, name, text):
    path = os.path.join(folder, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as f:
        f.write(text + "\n")
    return path


def test_rotation_by_hup(start_webhook, folder):
    files = {"STOPGAP_WEBHOOK_SECRET": None, "STOPGAP_API_TOKEN": None, "STOPGAP_API_READ_TOKEN": None,
             "STOPGAP_WEBHOOK_SECRET_FILE": secret_file(folder, "secret", SECRET),
             "STOPGAP_API_TOKEN_FILE": secret_file(folder, "token", API_TOKEN)}
    webhook = start_webhook(**files)
    taken(webhook.deliver())
    taken(webhook.submit())
    secret_file(folder, "secret", "the new secret of the webhook")
    secret_file(folder, "token", "the-new-token-of-the-api")
    webhook.signal(1)
    webhook.wait_for(event="reload", level="info")
    assert webhook.deliver().status == 401
    taken(webhook.deliver(secret="the new secret of the webhook"))
    assert webhook.submit().status == 401
    taken(webhook.submit(token="the-new-token-of-the-api"))
    os.unlink(os.path.join(folder, "token"))
    webhook.allow("event=reload")
    webhook.signal(1)
    webhook.wait_for(event="reload", msg="nothing changed")
    taken(webhook.submit(token="the-new-token-of-the-api"))


def test_hup_with_a_secret_of_the_environment(webhook):
    webhook.allow("event=reload")
    webhook.signal(1)
    assert "STOPGAP_WEBHOOK_SECRET" in webhook.wait_for(event="reload")["msg"]
    taken(webhook.deliver())


def test_nothing_on_the_command_line_or_in_the_environment(webhook):
    for name in ("environ", "cmdline"):
        with open(f"/proc/{webhook.pid}/{name}", "rb") as f:
            text = f.read()
        for secret in (SECRET, API_TOKEN, READ_TOKEN):
            assert secret.encode() not in text
