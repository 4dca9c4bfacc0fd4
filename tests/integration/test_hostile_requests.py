"""What anybody may push onto the public list: a failed job each, nothing lost, no mail."""

import json

import pytest

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
