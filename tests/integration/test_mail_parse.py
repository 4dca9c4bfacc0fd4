"""The mails of tests/unit/golden/, read by a mail library that is not ours: no defects,
the headers, both texts, the attachment. That the program makes these bytes is checked by
tests/unit/test_mail.c."""

import email
import email.policy
import html
import pathlib
import re

import pytest

GOLDEN = pathlib.Path(__file__).parent.parent / "unit" / "golden"
HEADERS = [
    "Date", "From", "To", "Reply-To", "Subject", "Message-ID", "Auto-Submitted",
    "X-Auto-Response-Suppress", "X-Stopgap-Job", "MIME-Version", "Content-Type",
]
MAILS = {
    "mail-stopgap.eml": "ticket-42.license",
    "mail-gitlab.eml": "ticket-42.gitlab-license",
}


def text_of(mail, kind):
    return mail.get_body((kind,)).get_content().replace("\r\n", "\n")


def read(name):
    raw = (GOLDEN / name).read_bytes()
    return raw, email.message_from_bytes(raw, policy=email.policy.default)


@pytest.mark.parametrize("name", MAILS)
def test_no_defects(name):
    raw, mail = read(name)
    for part in mail.walk():
        assert part.defects == []
        for value in part.values():
            assert value.defects == ()
        if not part.is_multipart():
            part.get_content()
            assert part.defects == []
    assert raw.endswith(b"\r\n")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 78


@pytest.mark.parametrize("name", MAILS)
def test_structure(name):
    _, mail = read(name)
    wanted = [h for h in HEADERS if h != "Reply-To" or mail["Reply-To"]]
    assert mail.keys() == wanted
    assert [p.get_content_type() for p in mail.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html",
        "application/octet-stream",
    ]


@pytest.mark.parametrize("name,file_name", MAILS.items())
def test_license_in_all_three_places(name, file_name):
    _, mail = read(name)
    attachment, = mail.iter_attachments()
    license_text = attachment.get_content().decode("ascii")
    assert attachment.get_filename() == file_name
    assert license_text.startswith("-----BEGIN ") and license_text.endswith("-----\n")
    assert license_text in text_of(mail, "plain")
    page = text_of(mail, "html")
    pasted = html.unescape(re.search(r"<pre[^>]*>(.*)</pre>", page, re.S).group(1))
    assert pasted + "\n" == license_text


def test_words():
    _, mail = read("mail-stopgap.eml")
    text = text_of(mail, "plain")
    page = text_of(mail, "html")
    for words in ("42", "150 users", "jane@example.com", "Saturday, 31 January 2026",
                  "Tuesday, 10 February 2026", "12:00:05 UTC", "help@example.org",
                  "0123456789abcdefghjkmnpqrs"):
        assert words in text
        assert words in page
    assert mail["From"].addresses[0].display_name == "Example Support"


def test_gitlab_words():
    _, mail = read("mail-gitlab.eml")
    text = text_of(mail, "plain")
    assert "Friday, 30 January 2026" in text
    assert "the last full day is Monday, 9 February 2026" in text
    assert "Admin area" in text and "Add License" in text
    sender = mail["From"].addresses[0]
    assert (sender.display_name, sender.addr_spec) == ("Jörg, Support",
                                                       "support@example.org")
