"""The license as it was mailed, read by programs that this project did not write: PASETO
libraries from npm (tests/license/verify.mjs) and openssl. Where npm's cannot be had the
tests are skipped, and say so."""

import datetime
import email
import email.policy
import json
import os
import subprocess

import pytest
from testenv import process

HERE = os.path.dirname(os.path.abspath(__file__))
BEGIN = "-----BEGIN STOPGAP LICENSE-----\n"


def script(name, *args):
    return subprocess.run(
        process.with_parent([os.path.join(HERE, "..", "license", name), *args]),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def libraries():
    """Installed once. Asking for nothing is a usage error when they are there."""
    said = script("verify.sh")
    if said.returncode == 77:
        pytest.skip(said.stderr.strip().splitlines()[-1])
    assert said.returncode == 2, said.stderr


@pytest.fixture
def mailed(queue, worker, smtp, folder):
    """The attachment of the mail that arrived, as a file; its job's record."""
    queue.push(ticket_id=2**53 - 1, users=1000)
    queue.settled(1)
    (mail,) = smtp.mails_to()
    (part,) = email.message_from_bytes(mail.data, policy=email.policy.default).iter_attachments()
    path = os.path.join(folder, part.get_filename())
    with open(path, "wb") as f:
        f.write(part.get_payload(decode=True))
    return path, queue.only("done")[1]


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def judge_claims(claims, record):
    assert claims["sub"] == "customer@example.com" and claims["jti"] == record["lic_id"]
    assert (claims["iss"], claims["aud"]) == ("stopgap", "self-managed")
    assert (claims["plan"], claims["trial"]) == ("ultimate", True)
    assert (claims["users"], claims["ticket"]) == (1000, 2**53 - 1)
    iat = moment(claims["iat"])
    assert moment(claims["nbf"]) == iat - datetime.timedelta(minutes=5)
    assert moment(claims["exp"]) == iat + datetime.timedelta(days=10)
    assert iat.timestamp() == int(record["iat_ms"]) // 1000


def altered(path, at):
    """A copy with the byte at `at`, counted behind the first line, changed."""
    with open(path, encoding="ascii") as f:
        text = f.read()
    at += len(BEGIN)
    assert text.startswith(BEGIN) and text[at] not in "\n."
    with open(path + ".altered", "w", encoding="ascii") as f:
        f.write(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:])
    return path + ".altered"


def test_holds_and_is_refused_by_libraries(libraries, mailed, key):
    path, record = mailed
    now = script("verify.sh", path, key + ".pub")
    assert now.returncode == 0, now.stderr
    claims = json.loads(now.stdout)
    judge_claims(claims, record)

    # At its end, before its start, of another key, each single character altered.
    every = script("verify.sh", path, key + ".pub", "--check")
    assert every.returncode == 0, every.stderr
    for words in ("at its end: refused", "before its start: refused", "another key: refused"):
        assert words in every.stderr

    for change in (["--at", claims["exp"]], ["--tamper", "40"],
                   ["--at", (moment(claims["nbf"]) - datetime.timedelta(seconds=1)).isoformat()]):
        said = script("verify.sh", path, key + ".pub", *change)
        assert said.returncode == 1 and "REFUSED" in said.stderr, (change, said)
    said = script("verify.sh", altered(path, 30), key + ".pub")
    assert said.returncode == 1 and "REFUSED" in said.stderr


def test_holds_for_openssl(mailed, key, ctl, folder):
    path, record = mailed
    said = script("verify-openssl.sh", path, key + ".pub")
    assert said.returncode == 0, said.stderr
    judge_claims(json.loads(said.stdout), record)
    # In the payload, in the signature, in the footer.
    length = len(record["lic"].splitlines()[1])
    for at in (30, length // 2, length - 10):
        assert script("verify-openssl.sh", altered(path, at), key + ".pub").returncode == 1
    other = ctl.keygen(os.path.join(folder, "other.key"))
    assert script("verify-openssl.sh", path, other + ".pub").returncode == 1
