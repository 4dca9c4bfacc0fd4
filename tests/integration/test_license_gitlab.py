"""GitLab license files through the whole worker: taken by GitLab's own code and opened by
openssl; the same bytes everywhere, whatever happens; keys, changed and refused; and key
material nowhere that it should not be. Where GitLab's gem cannot be had its tests are
skipped, and say so."""

import base64
import datetime
import email
import email.policy
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile

import pytest
from testenv import memory, process
from testenv.ctl import Ctl

HERE = os.path.dirname(os.path.abspath(__file__))
BEGIN = "--------------------BEGIN GITLAB LICENSE--------------------\n"
LATER = {"STOPGAP_BACKOFF_BASE": "30s", "STOPGAP_BACKOFF_CAP": "30s"}


def script(name, *args):
    return subprocess.run(
        process.with_parent([os.path.join(HERE, "..", "license", name), *args]),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)


def openssl(*args):
    subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, capture_output=True,
                   timeout=60, check=True)


@pytest.fixture(scope="module")
def gem():
    """Fetched once. Asking for nothing is a usage error when it is there."""
    said = script("gitlab.sh")
    if said.returncode == 77:
        pytest.skip(said.stderr.strip().splitlines()[-1])
    assert "usage" in said.stderr, said.stderr


@pytest.fixture
def bits():
    return 2048


@pytest.fixture(scope="module")
def pairs():
    """pairs(bits): a key pair, made once for all tests, since that takes its time; never
    changed, only copied."""
    with tempfile.TemporaryDirectory(prefix="sg-") as home:
        def pair(bits, number=0):
            path = f"{home}/{bits}-{number}"
            if not os.path.exists(path):
                Ctl({}).run("keygen", path, "--type", "rsa", "--bits", bits)
            return path
        yield pair


def copy_pair(path, to):
    for suffix in ("", ".pub"):
        shutil.copy(path + suffix, to + suffix)
    return to


@pytest.fixture
def key(pairs, folder, bits):
    return copy_pair(pairs(bits), os.path.join(folder, "license.key"))


def message(mail):
    return email.message_from_bytes(mail.data, policy=email.policy.default)


def attachment(mail):
    (part,) = message(mail).iter_attachments()
    return part.get_filename(), part.get_payload(decode=True).decode()


def save(folder, text, name="l"):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii", newline="") as f:
        f.write(text)
    return path


def date(ms):
    return datetime.datetime.fromtimestamp(int(ms) / 1000, datetime.timezone.utc).date()


def days(n):
    return datetime.timedelta(days=n)


@pytest.fixture
def mailed(queue, worker, smtp, folder):
    """The attachment of the mail that arrived, as a file; its job's record."""
    queue.push(ticket_id=2**53 - 1, users=1000)
    queue.settled(1)
    (mail,) = smtp.mails_to()
    name, text = attachment(mail)
    assert name == f"ticket-{2**53 - 1}.gitlab-license"
    return save(folder, text, name), queue.only("done")[1]


def judge_attributes(attributes, record):
    signed = date(record["iat_ms"])
    assert attributes["version"] == 1
    assert attributes["licensee"] == {"Name": "Emergency license",
                                      "Company": "Emergency license",
                                      "Email": "customer@example.com"}
    assert attributes["issued_at"] == str(signed - days(1))
    assert attributes["expires_at"] == str(signed + days(10))
    assert attributes["notify_admins_at"] == str(signed + days(3))
    assert attributes["notify_users_at"] == str(signed + days(10))
    assert "block_changes_at" not in attributes
    restrictions = attributes["restrictions"]
    assert restrictions["active_user_count"] == 1000
    assert restrictions["plan"] == "ultimate" and restrictions["trial"] is True
    assert restrictions["stopgap_license_id"] == record["lic_id"]
    assert restrictions["stopgap_ticket"] == 2**53 - 1
    assert "id" not in restrictions


def altered(path, at, by="A"):
    """A copy with one character changed, counted behind the first line."""
    with open(path, encoding="ascii") as f:
        text = f.read()
    at += len(BEGIN)
    assert text.startswith(BEGIN) and text[at] not in "\n="
    return save(os.path.dirname(path), text[:at] + (by if text[at] != by else "B")
                + text[at + 1:], "altered")


# --- read by others ---


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_taken_by_gitlabs_own_code(gem, mailed, key, pairs, folder):
    path, record = mailed
    said = script("gitlab.sh", path, key + ".pub")
    assert said.returncode == 0, said.stderr
    attributes = json.loads(said.stdout)
    judge_attributes(attributes, record)
    assert (attributes["started"], attributes["expired"]) == (True, False)

    # By the server's date: from the day before to the end of the last full one.
    signed = date(record["iat_ms"])
    for day, started, expired in ((signed - days(2), False, False),
                                  (signed - days(1), True, False),
                                  (signed + days(9), True, False),
                                  (signed + days(10), True, True)):
        found = json.loads(script("gitlab.sh", path, key + ".pub", str(day)).stdout)
        assert (found["started"], found["expired"]) == (started, expired), day

    # With text around it, as somebody pastes it out of the mail.
    with open(path, encoding="ascii") as f:
        text = f.read()
    pasted = save(folder, "Hello,\r\n\r\n" + text.replace("\n", "\r\n") + "\r\n-- \r\n", "pasted")
    assert script("gitlab.sh", pasted, key + ".pub").returncode == 0

    other = pairs(2048, 1)
    cut = save(folder, text[:len(text) // 2], "cut")
    for refused in ((altered(path, 300), key), (cut, key), (path, other)):
        said = script("gitlab.sh", refused[0], refused[1] + ".pub")
        assert said.returncode == 1 and "REFUSED" in said.stderr, (refused, said)


@pytest.mark.parametrize("bits", [2048, 4096])
def test_opened_by_openssl(mailed, key, pairs):
    path, record = mailed
    said = script("verify-gitlab-openssl.sh", path, key + ".pub")
    assert said.returncode == 0, said.stderr
    judge_attributes(json.loads(said.stdout), record)
    with open(path, encoding="ascii") as f:
        assert max(map(len, f.read().splitlines())) == 60
    other = pairs(2048, 1)
    assert script("verify-gitlab-openssl.sh", path, other + ".pub").returncode != 0


def test_verify_says_what_it_says(mailed, key, ctl, pairs):
    path, record = mailed
    said = ctl.json("verify", path, "--key", key + ".pub")
    signed = date(record["iat_ms"])
    assert said["holds"] is True and said["license_id"] == record["lic_id"]
    assert said["key_id"] == record["kid"] == ctl.run("key-id", key).out.strip()
    assert said["valid_from"] == str(signed - days(1))
    assert said["valid_until"] == str(signed + days(10)) == str(date(record["exp_ms"]))
    assert int(record["exp_ms"]) % 86400000 == 0
    text = ctl.run("verify", path, "--key", key + ".pub").out
    assert re.search(rf"last full day +{signed + days(9)}", text), text
    for at in (5, 300, 700):
        ctl.run("verify", altered(path, at), "--key", key + ".pub", status=1)
    said = ctl.run("verify", path, "--key", pairs(2048, 1) + ".pub", status=1)
    assert "another key" in said.err


def test_mail_and_issue_say_the_same_days(mailed, smtp, gitlab, ctl, queue):
    _, record = mailed
    (mail,) = smtp.mails_to()
    signed = date(record["iat_ms"])
    last, end = signed + days(9), signed + days(10)
    for kind in ("plain", "html"):
        text = message(mail).get_body((kind,)).get_content()
        assert f"{end:%A, {end.day} %B %Y}" in text
        assert f"00:00 on your server's clock (the last full day is {last:%A, {last.day} %B %Y})" \
            in text.replace("&#39;", "'").replace("\n", " ")
        assert "Enter license key" in text and ".gitlab-license" in text
    (issue,) = gitlab.issues("[Success]")
    assert f"{last}; ends at 00:00 of {end} on the clock" in issue["description"]
    assert record["lic"].strip() in issue["description"]
    story = ctl.run("show", queue.only("done")[0]).out
    assert f"{last}, last full day; ends at 00:00 of {end}" in story


# --- one license, the same bytes ---


def judge_same(queue, smtp, gitlab, mails):
    """All mails, the record and the issue carry one license."""
    record = queue.only("done")[1]
    assert {attachment(m)[1] for m in smtp.mails_to()} == {record["lic"]}
    assert len(smtp.mails_to()) == mails
    assert len({message(m)["Message-ID"] for m in smtp.mails_to()}) == 1
    (issue,) = gitlab.issues("[Success]")
    assert record["lic"].strip() in issue["description"]
    return record


def test_the_same_bytes_after_a_lost_answer_and_a_new_key(
        queue, start_worker, smtp, gitlab, ctl, until, key, folder):
    """The key changes by HUP between the mail and its repetition, to one of the other
    kind: what was signed before keeps its bytes and its name, what comes after does not."""
    smtp.on("customer@example.com", drop="dot_taken", times=1)
    worker = start_worker(**LATER)
    queue.push()
    until(lambda: queue.jobs("delayed"), "it waits for its next attempt")
    job_id, before = queue.only()
    os.replace(ctl.keygen(os.path.join(folder, "other.key")), key)
    worker.signal(signal.SIGHUP)
    worker.wait_for(event="reload", level="info")
    queue.client.zadd("stopgap:{licenses}:delayed", {job_id: 1000000000000})
    queue.settled(1)
    after = judge_same(queue, smtp, gitlab, mails=2)
    assert (after["lic"], after["kid"], after["lic_format"]) == (
        before["lic"], before["kid"], "gitlab")
    assert all(attachment(m)[0].endswith(".gitlab-license") for m in smtp.mails_to())
    queue.push(ticket_id=2, email="next@example.com")
    queue.settled(2)
    assert attachment(smtp.mails_to("next@example.com")[0])[0] == "ticket-2.license"


@pytest.mark.parametrize("moment", ["at the mail server", "at GitLab"])
def test_the_same_bytes_after_a_crash(queue, start_worker, smtp, gitlab, until, moment):
    if moment == "at the mail server":
        smtp.on("customer@example.com", hold_dot=True)
    else:
        gitlab.fail_next("slow_after", seconds=30)
    worker = start_worker()
    queue.push()
    until(lambda: smtp.dots if moment == "at the mail server" else gitlab.issues(), moment)
    before = queue.only()[1]["lic"]
    worker.kill()
    smtp.forget("customer@example.com")
    smtp.release()
    gitlab.release()
    start_worker()
    queue.settled(1)
    mails = 2 if moment == "at the mail server" else 1
    assert judge_same(queue, smtp, gitlab, mails)["lic"] == before


def test_the_same_bytes_after_a_requeue(queue, start_worker, smtp, gitlab, ctl):
    """The mail is out, GitLab refuses its record; an operator lets it go on."""
    gitlab.fail_next("answer", status=422, body='{"message":{"title":["is no good"]}}')
    start_worker()
    queue.push()
    queue.settled(1)
    job_id, before = queue.only("failed")
    ctl.run("requeue", job_id)
    queue.wait_state(job_id, "done")
    assert judge_same(queue, smtp, gitlab, mails=1)["lic"] == before["lic"]


def test_refused_before_it_left_then_retried(queue, worker, smtp, gitlab):
    """No mail was on its way: the license waits in the record all the same."""
    smtp.on("customer@example.com", rcpt="451 4.3.0 not now", times=2)
    queue.push()
    queue.settled(1)
    judge_same(queue, smtp, gitlab, mails=1)


@pytest.mark.parametrize("out", [False, True], ids=["not out", "may be out"])
def test_signed_before_midnight_and_mailed_after(queue, start_worker, smtp, until, out):
    """Its days began to run with its date: as long as nobody can have it, it is made anew."""
    smtp.on("customer@example.com", times=1,
            **({"drop": "dot_taken"} if out else {"rcpt": "451 4.3.0 not now"}))
    start_worker(**LATER)
    queue.push()
    until(lambda: queue.jobs("delayed"), "it waits for its next attempt")
    job_id, before = queue.only()
    midnight = int(before["iat_ms"]) // 86400000 * 86400000
    queue.client.hset(f"stopgap:{{licenses}}:job:{job_id}", "iat_ms", midnight - 1)
    queue.client.zadd("stopgap:{licenses}:delayed", {job_id: 1000000000000})
    queue.settled(1)
    after = queue.only("done")[1]
    assert (after["lic"] == before["lic"]) == out
    assert (int(after["iat_ms"]) > midnight) != out


@pytest.mark.parametrize("bits", [4096])
def test_a_burst_of_signatures(queue, start_worker, ctl, smtp):
    """On the pool's threads, several at a time: each job has its own. Printed: how long
    the loop was kept."""
    start_worker(STOPGAP_CONCURRENCY="32")
    for n in range(1, 65):
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"agent{n}")
    jobs = queue.settled(64, deadline=60)
    assert {r["state"] for r in jobs.values()} == {"done"}
    assert len({r["lic_id"] for r in jobs.values()}) == len(smtp.mails_to()) == 64
    print("longest turn of the loop:", ctl.json("workers"))


def test_stopped_while_it_signs(queue, start_worker, smtp, until):
    """Two signals at once: whatever is on a thread then is left to the next worker."""
    worker = start_worker(STOPGAP_CONCURRENCY="64")
    for n in range(1, 65):
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"agent{n}")
    until(lambda: queue.jobs("active") or queue.jobs("done"), "work under way")
    worker.term()
    worker.term()
    worker.wait()
    worker.check(status=1) if worker.status else worker.check()
    start_worker(STOPGAP_CONCURRENCY="64")
    jobs = queue.settled(64, deadline=60)
    assert {r["state"] for r in jobs.values()} == {"done"}


# --- keys ---


def refused(env, path, **changes):
    sanitizers = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
    done = subprocess.run(
        process.with_parent([process.program("stopgap-worker"), "--check"]),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], **sanitizers, **env,
             "STOPGAP_LICENSE_KEY_FILE": path, **changes})
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_keys_that_are_refused(env, key, folder):
    made = {
        "an EC key": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "an RSA-PSS key": ["genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"],
        "an Ed25519 key in PEM": ["genpkey", "-algorithm", "ED25519"],
        "of 1024 bits": ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
        "encrypted key": ["pkcs8", "-topk8", "-in", key, "-passout", "pass:hush"],
        "holds a public key": ["pkey", "-in", key, "-pubout"],
    }
    for n, (words, command) in enumerate(made.items()):
        path = f"{folder}/{n}"
        openssl(*command, "-out", path)
        os.chmod(path, 0o600)
        said = refused(env, path)
        assert words in said and path in said, words
    for mode in (0o640, 0o604):
        os.chmod(key, mode)
        assert "chmod 600" in refused(env, key)
    os.chmod(key, 0o600)
    said = refused(env, key, STOPGAP_LICENSE_TERM_DAYS="1")
    assert "STOPGAP_LICENSE_TERM_DAYS" in said


@pytest.mark.parametrize("form", ["pkcs8", "old"])
def test_a_key_with_a_passphrase(env, key, folder, form, queue, start_worker, smtp):
    path, word = f"{folder}/enc", f"{folder}/word"
    if form == "pkcs8":
        openssl("pkcs8", "-topk8", "-in", key, "-passout", "pass:hush", "-out", path)
    else:
        openssl("rsa", "-traditional", "-aes256", "-in", key, "-passout", "pass:hush",
                "-out", path)
    for name, content in ((word, "hush\n"), (word + ".wrong", "shush\n")):
        with open(name, "w", encoding="ascii") as f:
            f.write(content)
        os.chmod(name, 0o600)
    os.chmod(path, 0o600)
    said = refused(env, path, STOPGAP_LICENSE_KEY_PASSPHRASE_FILE=word + ".wrong")
    assert "the passphrase is another one" in said and "shush" not in said
    os.chmod(word, 0o640)
    said = refused(env, path, STOPGAP_LICENSE_KEY_PASSPHRASE_FILE=word)
    assert "chmod 600" in said and word in said
    os.chmod(word, 0o600)
    start_worker(STOPGAP_LICENSE_KEY_FILE=path, STOPGAP_LICENSE_KEY_PASSPHRASE_FILE=word)
    queue.push()
    queue.settled(1)
    text = save(folder, attachment(smtp.mails_to()[0])[1])
    assert script("verify-gitlab-openssl.sh", text, key + ".pub").returncode == 0


def test_key_and_passphrase_as_credentials(env, key, folder, queue, start_worker, smtp):
    """As systemd hands them over: files of the settings' names in a folder."""
    creds = f"{folder}/creds"
    os.mkdir(creds)
    openssl("pkcs8", "-topk8", "-in", key, "-passout", "pass:hush",
            "-out", f"{creds}/stopgap_license_key_file")
    with open(f"{creds}/stopgap_license_key_passphrase_file", "w", encoding="ascii") as f:
        f.write("hush")
    for name in os.listdir(creds):
        os.chmod(f"{creds}/{name}", 0o400)
    worker = start_worker(STOPGAP_LICENSE_KEY_FILE=None, CREDENTIALS_DIRECTORY=creds)
    queue.push()
    queue.settled(1)
    worker.signal(signal.SIGHUP)
    worker.wait_for(event="reload", level="info")
    text = save(folder, attachment(smtp.mails_to()[0])[1])
    assert script("verify-gitlab-openssl.sh", text, key + ".pub").returncode == 0


# --- where key material is ---


def numbers_of(path):
    """d, p, q, dP, dQ, qInv of an RSA key in PKCS#8."""
    with open(path, encoding="ascii") as f:
        der = base64.b64decode("".join(f.read().splitlines()[1:-1]))

    def take(data):
        length, head = data[1], 2
        if length & 0x80:
            head += length & 0x7f
            length = int.from_bytes(data[2:head], "big")
        return data[head:head + length], data[head + length:]
    info, _ = take(der)
    for _ in range(2):
        _, info = take(info)
    rest, _ = take(take(info)[0])
    found = []
    while rest:
        number, rest = take(rest)
        found.append(number.lstrip(b"\0"))
    return dict(zip(("d", "p", "q", "dP", "dQ", "qInv"), found[3:]))


def pieces(name, number):
    """Needles for its start, middle and end, each way round."""
    found = {}
    for order, data in (("big", number), ("little", number[::-1])):
        for place, at in (("start", 0), ("middle", len(number) // 2), ("end", len(number) - 24)):
            found[name, order, place] = data[at:at + 24]
    return found


def work(queue, start_worker, path, until, **changes):
    """A worker that has signed, read its key again and refused another, and rests."""
    worker = start_worker(**{"STOPGAP_LICENSE_KEY_FILE": path, **changes})
    for n in range(1, 21):
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"agent{n}")
    queue.settled(20)
    worker.signal(signal.SIGHUP)
    worker.wait_for(event="reload", level="info")
    for n in range(21, 26):
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"agent{n}")
    queue.settled(25)
    return worker


@pytest.mark.skipif(os.getuid() != 0, reason="only root can read another process's memory")
@pytest.mark.skipif(memory.is_sanitized("stopgap-worker"),
                    reason="sanitizers lock no memory, and keep what was freed")
@pytest.mark.parametrize("form", ["plain", "passphrase", "old passphrase", "ed25519"])
def test_one_locked_copy_in_memory(queue, start_worker, ctl, key, folder, until, form):
    changes, needles, path = {}, {}, key
    if form == "ed25519":
        path = ctl.keygen(f"{folder}/ed")
        with open(path, encoding="ascii") as f:
            text = f.read().strip().split(".")[2]
        seed = base64.urlsafe_b64decode(text + "==")[:32]
        needles = {("seed", "", "start"): seed[:16], ("seed", "", "end"): seed[16:],
                   ("text", "no", ""): text[:24].encode()}
    else:
        for name, number in numbers_of(key).items():
            needles.update(pieces(name, number))
        with open(key, encoding="ascii") as f:
            for n, line in enumerate(f.read().splitlines()[1:-1]):
                if len(line) == 64 and 5 < n:  # the first ones hold the public modulus
                    needles[f"line {n}", "no", ""] = line[:32].encode()
    if "passphrase" in form:
        path, changes = f"{folder}/enc", {"STOPGAP_LICENSE_KEY_PASSPHRASE_FILE": f"{folder}/word"}
        with open(f"{folder}/word", "w", encoding="ascii") as f:
            f.write("correct horse battery\n")
        how = ["rsa", "-traditional", "-aes256"] if "old" in form else ["pkcs8", "-topk8"]
        openssl(*how, "-in", key, "-passout", "pass:correct horse battery", "-out", path)
        os.chmod(path, 0o600)
        os.chmod(f"{folder}/word", 0o600)
        needles["passphrase", "no", ""] = b"correct horse battery"
    worker = work(queue, start_worker, path, until, **changes)
    hits = memory.find(worker.pid, needles)
    for (name, order, place), found in hits.items():
        wanted = 1 if order in ("", "little") else 0
        assert len(found) == wanted, (name, order, place, len(found))
        assert all({"lo", "dd"} <= flags for flags in found), (name, order, found)


def test_key_material_nowhere_else(queue, start_worker, smtp, gitlab, redis, key, until):
    """In what the worker writes: its log, Redis's file, mails, issues; nor in /proc."""
    worker = work(queue, start_worker, key, until)
    needles = {}
    for name, number in numbers_of(key).items():
        needles.update(pieces(name, number))
    with open(key, "rb") as f:
        lines = f.read().splitlines()[6:-1]
    needles.update({("line", str(n), ""): line for n, line in enumerate(lines) if len(line) > 20})
    texts = {"log": worker.text().encode(), "issues": json.dumps(gitlab.issues(), default=str).encode(),
             "mails": b"".join(m.data for m in smtp.mails_to())}
    for name in ("cmdline", "environ", "status", "maps"):
        with open(f"/proc/{worker.pid}/{name}", "rb") as f:
            texts[name] = f.read()
    for place, _, names in os.walk(redis.folder):
        for name in names:
            if os.path.isfile(os.path.join(place, name)):
                with open(os.path.join(place, name), "rb") as f:
                    texts[name] = f.read()
    assert any(b"GITLAB LICENSE" in text for text in texts.values())
    for place, text in texts.items():
        for name, needle in needles.items():
            assert needle not in text and needle.hex().encode() not in text, (place, name)
    with open(f"/proc/{worker.pid}/limits", encoding="ascii") as f:
        assert re.search(r"^Max core file size +0 +0 ", f.read(), re.M)
