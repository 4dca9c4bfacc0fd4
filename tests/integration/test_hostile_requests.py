"""What anybody may push onto the public list: a failed job each, nothing lost, no mail."""

import json

import pytest
import redis as redis_client
from testenv import logfmt

GOOD = {"ticket_id": 1, "email": "a@example.com", "users": 1, "requested_by": "x"}

BYTES = [
    b"", b" ", b"null", b"[]", b'"text"', b"{", b"}", b"\x00\xff\xfe", b"{}" * 10,
    b"\xef\xbb\xbf{}", b'{"ticket_id":1,"ticket_id":2}', b"[" * 20000,
    b'{"email":"\xc3\x28"}', b"a" * 20000, b'{"a":' + b"1" * 5000 + b"}",
    json.dumps({**GOOD, "note": "n" * 15000}).encode(),
    b"26-characters-but-not-one!! {}",
]

FIELDS = [
    ("ticket_id", 0), ("ticket_id", -1), ("ticket_id", 2**53), ("ticket_id", 1.5),
    ("ticket_id", "x"), ("ticket_id", True), ("ticket_id", []), ("users", 0),
    ("users", 1000001), ("users", "1e3"), ("users", {}), ("email", 5), ("email", ""),
    ("requested_by", ""), ("requested_by", "x" * 256), ("requested_by", "a\nb"),
    ("note", "n" * 501), ("ticket_url", "http://zendesk.example/1"),
    ("ticket_url", "javascript:alert(1)"), ("license_expired_on", "2026-02-30"),
    ("expires_at", "2030-01-01"), ("term", 30), ("v", 2), ("__proto__", {}),
]

ADDRESSES = [
    "a@b", "@example.com", "a@", "a b@example.com", "a@example.com,b@example.com",
    "a@example.com\r\nBcc: b@example.com", "a@example.com\nX: y", "<a@example.com>",
    "a@example.com>", '"a b"@example.com', "a@[127.0.0.1]", "a..b@example.com",
    ".a@example.com", "a.@example.com", "a%b@example.com", "b!a@example.com",
    "a@example.com\x00", "a@-example.com", "a@exa_mple.com", "ä@example.com",
    "a" * 65 + "@example.com", "a@" + "b" * 64 + ".com", "a@" + "b." * 130 + "com",
    "a@example.com (comment)", "a@example..com", "a@b@example.com", "\u202ea@example.com",
]


def refused(queue, worker, gitlab, smtp, until, count):
    jobs = queue.settled(count, deadline=60)
    assert {r["state"] for r in jobs.values()} == {"failed"}
    assert {r["err_class"] for r in jobs.values()} == {"invalid"}
    until(lambda: not queue.client.exists("stopgap:{licenses}:follow"), "all reported", 60)
    issues = gitlab.issues()
    assert {i["state"] for i in issues} == {"opened"}
    assert all(i["title"].startswith("[Failed]") for i in issues)
    kinds = {kind for _, _, kind, _ in gitlab.active_text()}
    assert kinds <= {"link", "heading"}, gitlab.active_text()
    assert smtp.mails_to() == []
    assert worker.running
    queue.push(ticket_id=99)  # unharmed
    queue.settled(count + 1)
    assert len(queue.jobs("done")) == 1
    return jobs


def test_bytes(queue, worker, gitlab, smtp, until):
    for raw in BYTES:
        queue.push(raw=raw)
    jobs = refused(queue, worker, gitlab, smtp, until, len(BYTES))
    kept = sorted(queue.raw(i) for i in jobs)
    assert kept == sorted(BYTES)  # never dropped, byte for byte


def test_more_than_a_reply_may_hold(queue, start_worker, gitlab, until, ctl):
    """One entry alone, and two together; what comes behind them is served."""
    worker = start_worker()
    worker.allow("event=redis_down")
    lengths = [34 << 20, 34 << 20, 66 << 20]
    for length in lengths:
        queue.push(raw=b"x" * length)
    queue.push(ticket_id=99)
    jobs = queue.settled(4, deadline=60)
    failed = [i for i, r in jobs.items() if r["state"] == "failed"]
    assert sorted(len(queue.raw(i)) for i in failed) == lengths  # kept whole
    words = {jobs[i]["err_text"] for i in failed}
    assert words == {f"request: {n} bytes long; at most 16384 are allowed" for n in lengths}
    until(lambda: not queue.client.exists("stopgap:{licenses}:follow"), "all reported", 60)
    text = "".join(i["description"] for i in gitlab.issues())
    assert all(f"The first 4096 of {n} bytes" in text for n in lengths)
    assert len(ctl.json("list")) == 4
    assert ctl.json("show", min(failed, key=lambda i: len(queue.raw(i))))["error"]


@pytest.mark.parametrize("redis_config", [("--proto-max-bulk-len", "1mb")])
def test_redis_itself_takes_no_more_than_any_request_needs(redis_config, queue, worker, ctl):
    """As docs/install.md sets it up; all that our programs send is shorter."""
    with pytest.raises(redis_client.RedisError):
        queue.push(raw=b"x" * (2 << 20))
    queue.push()
    queue.settled(1)
    assert queue.only("done") and ctl.run("fsck")


def test_fields(queue, worker, gitlab, smtp, until):
    for field, value in FIELDS:
        queue.push(raw=json.dumps({**GOOD, field: value}))
    jobs = refused(queue, worker, gitlab, smtp, until, len(FIELDS))
    for field, _ in FIELDS:
        assert any(field in r["err_text"] for r in jobs.values()), field


def test_addresses(queue, worker, gitlab, smtp, until):
    for n, address in enumerate(ADDRESSES):
        queue.push(raw=json.dumps({**GOOD, "ticket_id": n + 1, "email": address}))
    jobs = refused(queue, worker, gitlab, smtp, until, len(ADDRESSES))
    assert all("email" in r["err_text"] for r in jobs.values())


def test_all_faults_together(queue, worker):
    queue.push(raw=b'{"ticket_id":0,"users":"many","x":1,"x":2,"requested_by":"a"}')
    queue.settled(1)
    _, record = queue.only("failed")
    for field in ("ticket_id", "users", "x", "email"):
        assert field in record["err_text"], record["err_text"]


@pytest.mark.parametrize("text", [
    "/close", "@all please", "/assign @root\n/label ~x", "```\n/close\n```", "#1 !2 ~bug %1",
    "<!-- x --><b>bold</b>", "[x](https://evil.example)", "\r\n/confidential\r\n", "`" * 30])
def test_foreign_text_is_inert(queue, worker, gitlab, smtp, until, text):
    queue.push(note=text.replace("\r", ""), requested_by=text.replace("\n", " ").replace("\r", " ").strip()[:200])
    queue.settled(1)
    until(gitlab.issues, "an issue")
    kinds = {kind for _, _, kind, _ in gitlab.active_text()}
    assert kinds <= {"link", "heading"}, gitlab.active_text()


# --- what the other side says ---

REMOTE = {
    "quick action": "/close", "quick actions": "no\n/close\n/assign @root", "mention": "@all @root",
    "reference": "#1 !2 ~bug %1 &3 $4 group/project#5", "fence": "```\n/close\n```", "tilde": "~~~\n/close",
    "html": "<b>bold</b> <!-- x --> <img src=https://evil.example/x.png> <script>alert(1)</script>",
    "link": "[x](https://evil.example) https://evil.example/ www.evil.example ![i](https://evil.example/i.png)",
    "ansi": "\x1b[2J\x1b[31mred\x1b]0;title\x07\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "controls": "a\x00b\x01c\x08\x0b\x0c\x7f\x85\x9b31m d\r e", "bidi": "\u202etxt.exe\u202c \u2066x\u2069 \ufeff\u200b",
    "backticks": "`" * 40 + " /close", "math": "$`x`$ [[wiki]] :tada: {+add+} [-del-]",
    "bytes": b"\xff\xfe\xc3\x28 /close", "long": "word @all " * 400, "percent": "%s%n%x %(x)s {0} ${x}",
    "quote": '"; event=job outcome=done job="x\\', "table": "| a | b |\n|---|---|\n| @all | #1 |",
}
INVISIBLE = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def is_inert(text, what):
    """No terminal can be led astray by it: nothing but characters that show, and lines."""
    for char in text:
        assert char == "\n" or ord(char) >= 0x20 and not 0x7f <= ord(char) < 0xa0, (what, text)
        assert char not in INVISIBLE, (what, text)


def told_everywhere(queue, worker, gitlab, ctl, until, marks):
    """Jobs that failed with foreign words, {id: a mark among them}: they are in issue, log,
    timeline and `show`, and act nowhere."""
    until(lambda: all(queue.job(i).get("report_iid") for i in marks), "the failure issues")
    effects = gitlab.active_text()
    assert {kind for _, _, kind, _ in effects} <= {"link", "heading"}, effects
    assert not any("evil" in words for _, _, kind, words in effects if kind == "link")
    assert len(gitlab.issues("[Failed]")) == len(marks)
    for job_id, mark in marks.items():
        record = queue.job(job_id)
        (issue,) = gitlab.issues("[Failed]", f"Job: {job_id}")
        assert issue["state"] == "opened" and issue["ignored"] == []
        assert mark in issue["description"] and mark in record["err_text"]
        for form in ([], ["--json"]):
            shown = ctl.run("show", job_id, *form).out
            is_inert(shown, form)
            assert mark in shown
    for args in (["list"], ["list", "--state", "failed", "--json"], ["stats"]):
        is_inert(ctl.run(*args).out, args)
    worker.stop()
    for line in worker.raw:
        is_inert(line, "log")
        assert logfmt.parse(line), line
    for mark in marks.values():
        assert any(mark in line for line in worker.raw)


def as_sent(words):
    return words.decode("utf-8", "surrogateescape") if isinstance(words, bytes) else words


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_words_of_the_mail_server(queue, start_worker, gitlab, smtp, ctl, until, log_format):
    for n, words in enumerate(REMOTE.values()):
        lines = f"mark{n}z\n{as_sent(words)}\nlast line".split("\n")
        smtp.on(f"c{n}@example.com", rcpt="\n".join(f"550 {line}" for line in lines))
        queue.push(ticket_id=n + 1, email=f"c{n}@example.com")
    worker = start_worker(STOPGAP_LOG_FORMAT=log_format)
    jobs = queue.settled(len(REMOTE))
    assert {(r["err_class"], r["err_code"]) for r in jobs.values()} == {("permanent", "550")}
    told_everywhere(queue, worker, gitlab, ctl, until,
                    {i: f"mark{int(r['ticket']) - 1}z" for i, r in jobs.items()})


PAGES = [
    "<html><head><title>422 mark</title></head><body><h1>/close</h1>@all\x1b[31m</body></html>",
    "mark " + "x" * 100000, "mark \x00\x1b[2J /close",
    '{"message": "mark \\u001b[2J \\u202e @all"}',
    '{"error": "mark", "error_description": "/close\\n@all"}',
    "{ mark", b"mark \xff\xc3\x28\x1b[2J"]


def test_words_of_gitlab(queue, start_worker, gitlab, smtp, ctl, until):
    worker, marks = start_worker(STOPGAP_MAX_PER_ADDRESS="0", STOPGAP_MAX_PER_AGENT="0"), {}
    bodies = PAGES + [json.dumps({"message": {"title": [f"mark {words}"], "base": [words]}})
                      for words in REMOTE.values() if isinstance(words, str)]
    for n, body in enumerate(bodies):
        gitlab.fail_next("answer", status=422, body=as_sent(body).replace("mark", f"mark{n}z"))
        queue.push(ticket_id=n + 1)
        jobs = queue.settled(n + 1)
        (job_id,) = set(jobs) - set(marks)
        marks[job_id] = f"mark{n}z"
        until(lambda: queue.job(job_id).get("report_iid"), "the failure issue")
    assert len(smtp.mails_to()) == len(bodies)
    told_everywhere(queue, worker, gitlab, ctl, until, marks)


def test_a_request_reaches_no_terminal(queue, worker, ctl):
    for words in REMOTE.values():
        sent = words if isinstance(words, bytes) else words.encode()
        queue.push(raw=sent)
        queue.push(raw=b'{"note": "' + sent + b'", "email": "' + sent + b'"}')
        queue.push(raw=json.dumps({**GOOD, "note": str(words), "requested_by": str(words),
                                   "idempotency_key": str(words), "plan": str(words)}))
    jobs = queue.settled(3 * len(REMOTE))
    for job_id in jobs:
        is_inert(ctl.run("show", job_id).out, job_id)
        is_inert(ctl.run("show", job_id, "--json").out, job_id)
    is_inert(ctl.run("list", "--limit", "100").out, "list")
    is_inert(worker.text(), "log")
