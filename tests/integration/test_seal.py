"""Licenses sealed in Redis: nothing of one can be found in what somebody steals of it, jobs
go on with the same bytes, also while keys change, and without the key they wait."""

import base64
import email
import email.policy
import glob
import os
import shutil

import pytest
from test_reload import LATER, license_of, reload
from testenv import memory
from testenv.ctl import Ctl

P = "stopgap:{licenses}:"
REFUSED = {"method": "POST", "path": "/issues", "status": 400, "body": '{"message":"no"}'}


@pytest.fixture
def seal_key(env, folder):
    """The file that the workers have; new_key(), add: another key."""
    path = os.path.join(folder, "seal.key")
    new_key(path)
    env["STOPGAP_SEAL_KEY_FILE"] = path
    return path


@pytest.fixture
def ctl_env(env, seal_key):
    return {k: env[k] for k in ("STOPGAP_REDIS_URL", "STOPGAP_SEAL_KEY_FILE")}


def new_key(path):
    """Its id."""
    return Ctl({}).json("keygen", "--type", "seal", path)["key_id"]


def ids_of(path):
    return Ctl({}).run("key-id", path).out.split()


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    os.chmod(path, 0o600)


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


def put_in_front(path):
    """Another key, before those of the file; its id."""
    new = new_key(path + ".new")
    write(path, read(path + ".new") + read(path))
    os.unlink(path + ".new")
    return new


def due(queue, job_id):
    queue.client.zadd(P + "delayed", {job_id: 1000000000000}, xx=True)


def mailed_in_doubt(queue, smtp, until, ticket=1):
    """A job whose mail left, and whose answer was lost: it waits, its license frozen."""
    address = f"c{ticket}@example.com"
    smtp.on(address, drop="dot_taken", times=1)
    queue.push(ticket_id=ticket, email=address)
    until(lambda: [i for i, r in queue.jobs("delayed").items() if r.get("ticket") == str(ticket)],
          "it waits for its next attempt")
    return next(i for i, r in queue.jobs("delayed").items() if r["ticket"] == str(ticket))


# --- what a thief of Redis finds ---


def values(client, key):
    """Of one that is there: others come and go meanwhile."""
    kind = client.type(key)
    if kind == b"string":
        return [client.get(key) or b""]
    if kind == b"list":
        return client.lrange(key, 0, -1)
    if kind == b"set":
        return client.smembers(key)
    if kind == b"zset":
        return client.zrange(key, 0, -1)
    assert kind in (b"hash", b"none"), kind
    return [x for pair in client.hgetall(key).items() for x in pair] if kind == b"hash" else []


def all_of_redis(redis):
    """{where: bytes} of each key, of the AOF and its base, of Redis's log."""
    client, found = redis.bytes_client, {}
    for key in client.scan_iter(count=1000):
        found[key] = b"\n".join([key, *values(client, key)])
    for path in glob.glob(redis.folder + "/**", recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                found[path] = f.read()
    found["slowlog"] = repr(client.slowlog_get(1000)).encode()
    assert any("appendonly" in str(where) for where in found)
    return found


def pieces(text):
    """What would give a license away: each long line of it, and its bytes in other forms."""
    lines = [line for line in text.split("\n") if len(line) >= 16 and "-----" not in line]
    assert lines and max(map(len, lines)) > 50
    for line in lines:
        yield line.encode()
        yield line[len(line) // 3:][:16].encode()
    yield text.encode()
    yield base64.b64encode(text.encode())
    yield text.encode().hex().encode()


def licenses(smtp, gitlab):
    """Of all mails; the issues have the same."""
    found = {license_of(m) for m in smtp.mails_to()}
    assert found
    return found


def leaks(redis, texts):
    everything = all_of_redis(redis)
    return {where for where, data in everything.items() for text in texts
            for piece in pieces(text) if piece in data}


def rendered(smtp):
    """Lines of the mails as they left, that are of no license."""
    for mail in smtp.mails_to():
        message = email.message_from_bytes(mail.data, policy=email.policy.default)
        for kind in ("plain", "html"):
            for line in message.get_body((kind,)).get_content().splitlines():
                if "install" in line.lower() and len(line) > 30:
                    yield line.encode()


def live(queue, smtp, gitlab, ctl, until):
    """Whole lives of jobs; how they ended."""
    queue.push(ticket_id=1, email="done@example.com", idempotency_key="k")
    queue.settled(1)
    queue.push(ticket_id=1, email="done@example.com", idempotency_key="k")
    queue.push(ticket_id=1, email="done@example.com")
    queue.settled(3)
    ctl.run("resend", next(i for i, r in queue.jobs("done").items() if "lic" in r))
    until(lambda: len(smtp.mails_to("done@example.com")) == 2, "mailed again")
    queue.settled(3)
    gitlab.fail_next("answer", **REFUSED)
    queue.push(ticket_id=2, email="unrecorded@example.com")
    queue.settled(4)
    until(lambda: gitlab.issues("[Failed]", "unrecorded"), "its failure is reported")
    smtp.on("refused@example.com", rcpt="550 5.1.1 No such user")
    queue.push(ticket_id=3, email="refused@example.com")
    queue.settled(5)
    mailed_in_doubt(queue, smtp, until, ticket=4)
    smtp.on("held@example.com", hold_dot=True)
    queue.push(ticket_id=5, email="held@example.com")
    until(lambda: smtp.mails_to("held@example.com"), "a mail on its way")
    return queue.jobs()


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_nothing_of_a_license_is_in_redis(redis, queue, start_worker, smtp, gitlab, ctl, until,
                                          seal_key, folder, env, kind):
    if kind == "rsa":
        env["STOPGAP_LICENSE_KEY_FILE"] = os.path.join(folder, "rsa.key")
        ctl.run("keygen", env["STOPGAP_LICENSE_KEY_FILE"], "--type", "rsa", "--bits", "2048")
    start_worker(**LATER, STOPGAP_LATE_AFTER="1ms")
    jobs = live(queue, smtp, gitlab, ctl, until)
    sealed = [r["lic"] for r in jobs.values() if "lic" in r]
    assert len(sealed) == 5 and len(set(sealed)) == 5
    assert all(s.startswith(f"sealed:v1:{ids_of(seal_key)[0]}:") for s in sealed)
    assert {r["v"] for r in jobs.values() if "lic" in r} == {"2"}
    texts = licenses(smtp, gitlab)
    assert len(texts) == 4  # the refused one's never left
    texts |= {ctl.json("show", i, "--license")["license"] for i, r in jobs.items() if "lic" in r}
    assert len(texts) == 5
    assert leaks(redis, texts) == set()
    lines = [*rendered(smtp)]
    assert lines and not any(line in data for data in all_of_redis(redis).values()
                             for line in lines)
    (issue,) = [i for i in gitlab.issues("[Failed]", "unrecorded")]
    assert any(t.strip() in issue["description"] for t in texts)
    assert ctl.json("fsck")["findings"] == []
    smtp.release()
    until(lambda: len(queue.jobs("done")) == 4, "the held one goes on")
    assert leaks(redis, texts) == set()


def test_without_the_setting_it_would_be_found(redis, queue, start_worker, smtp, gitlab):
    start_worker()
    queue.push()
    job_id = next(iter(queue.settled(1)))
    found = leaks(redis, licenses(smtp, gitlab))
    assert (P + "job:" + job_id).encode() in found
    assert any("appendonly" in str(where) for where in found)
    assert queue.job(job_id)["v"] == "1"


# --- the same bytes, while workers and keys change ---


@pytest.mark.parametrize("keys", ["the same key", "a new key"])
def test_another_worker_mails_the_same_bytes(queue, start_worker, smtp, gitlab, until, seal_key,
                                             keys):
    first = start_worker(**LATER)
    (old,) = ids_of(seal_key)
    job_id = mailed_in_doubt(queue, smtp, until)
    before = queue.job(job_id)["lic"]
    first.kill()
    new = put_in_front(seal_key) if keys == "a new key" else old
    second = start_worker(**LATER)
    assert new in second.lines(event="ready")[0]["msg"]
    due(queue, job_id)
    queue.settled(1)
    one, two = smtp.mails_to()
    assert one.data == two.data
    (issue,) = gitlab.issues("[Success]")
    assert license_of(one).strip() in issue["description"]
    assert queue.job(job_id)["lic"] == before  # as it was sealed
    queue.push(ticket_id=9, email="next@example.com")
    queue.settled(2)
    assert [r["lic"][:26] for r in queue.jobs().values()] == [
        f"sealed:v1:{old}", f"sealed:v1:{new}"]


def test_keys_change_by_hup(queue, start_worker, smtp, until, seal_key):
    """While a job waits, and after it was sealed with a key that is the second one now."""
    worker = start_worker(**LATER)
    job_id = mailed_in_doubt(queue, smtp, until)
    new = put_in_front(seal_key)
    reload(worker)
    assert new in worker.lines(event="reload")[0]["msg"]
    due(queue, job_id)
    queue.settled(1)
    one, two = smtp.mails_to()
    assert one.data == two.data


@pytest.mark.parametrize("text,words", [
    ("nothing\n", "line 1: no seal key"), ("", "holds no key"), (None, "No such file")])
def test_a_broken_file_changes_nothing(queue, start_worker, smtp, seal_key, text, words):
    worker = start_worker()
    (old,) = ids_of(seal_key)
    if text is None:
        os.unlink(seal_key)
    else:
        write(seal_key, text)
    worker.allow("event=reload")
    reload(worker, level="error")
    (line,) = worker.lines(event="reload")
    assert "nothing changed" in line["msg"] and words in line["msg"] and seal_key in line["msg"]
    queue.push()
    (record,) = queue.settled(1).values()
    assert record["lic"].startswith(f"sealed:v1:{old}:") and len(smtp.mails_to()) == 1


def test_records_of_before_and_after_the_setting(queue, start_worker, smtp, until, seal_key):
    """Clear ones are read as they are, and stay so; without the setting new ones are clear
    again."""
    first = start_worker(**LATER, STOPGAP_SEAL_KEY_FILE=None)
    job_id = mailed_in_doubt(queue, smtp, until)
    clear = queue.job(job_id)
    assert (clear["v"], clear["lic"]) == ("1", license_of(smtp.mails_to()[0]))
    first.stop()
    second = start_worker(**LATER)
    due(queue, job_id)
    queue.settled(1)
    one, two = smtp.mails_to()
    assert one.data == two.data
    assert queue.job(job_id)["lic"] == clear["lic"]
    second.stop()
    start_worker(**LATER, STOPGAP_SEAL_KEY_FILE=None)
    queue.push(ticket_id=7, email="clear@example.com")
    after = queue.settled(2)
    assert [r["v"] for r in after.values()] == ["1", "1"]


# --- without the key ---


def wait_for_warning(worker, key):
    line = worker.wait_for(event="step", step="email", outcome="waits", level="warn")
    assert key in line["err"], line
    return line


@pytest.mark.parametrize("has", ["none", "another"])
def test_without_the_key_a_job_waits(queue, start_worker, smtp, gitlab, ctl, until, seal_key, has):
    first = start_worker(**LATER)
    job_id = mailed_in_doubt(queue, smtp, until)
    before = queue.job(job_id)
    (key,) = ids_of(seal_key)
    first.stop()
    shutil.move(seal_key, seal_key + ".old")
    other = new_key(seal_key)
    second = start_worker(**LATER, **({"STOPGAP_SEAL_KEY_FILE": None} if has == "none" else {}))
    due(queue, job_id)
    line = wait_for_warning(second, key)
    assert ("is not set" if has == "none" else "add its line") in line["err"]
    until(lambda: queue.job(job_id)["state"] == "delayed", "put off")
    after = queue.job(job_id)
    assert (after["attempt"], after["ambiguous"], after["err_class"]) == (
        before["attempt"], before["ambiguous"], "config")
    assert key in after["err_text"] and after["lic"] == before["lic"]
    assert int(after["due_ms"]) - int(after["started_ms"]) >= 30000
    assert len(smtp.mails_to()) == 1 and not gitlab.issues()
    check_what_an_operator_is_told(ctl, job_id, key, seal_key, has)

    # Others go on meanwhile.
    queue.push(ticket_id=8, email="other@example.com")
    until(lambda: smtp.mails_to("other@example.com"), "another job")
    if has == "none":
        second.stop()
        second = start_worker(**LATER)
    write(seal_key, read(seal_key) + read(seal_key + ".old"))
    assert ids_of(seal_key) == [other, key]
    reload(second)
    due(queue, job_id)
    queue.settled(2)
    one, two = smtp.mails_to("c1@example.com")
    assert one.data == two.data


def check_what_an_operator_is_told(ctl, job_id, key, seal_key, has):
    env = {"STOPGAP_SEAL_KEY_FILE": seal_key if has == "another" else ""}
    if has == "none":
        ctl = Ctl({k: v for k, v in ctl.env.items() if k != "STOPGAP_SEAL_KEY_FILE"})
        env = {}
    shown = ctl.run("show", job_id, "--license", status=1, env=env)
    assert key in shown.err and "sealed:v1" not in shown.out + shown.err
    assert job_id in shown.out  # all the same
    shown = ctl.run("show", job_id, "--json", env=env).json
    assert shown["license_sealed_with"] == key and "license" not in shown


def test_the_report_of_a_worker_without_the_key(queue, start_worker, smtp, gitlab, until,
                                                seal_key):
    """It says who can show the license."""
    first = start_worker(**LATER)
    job_id = mailed_in_doubt(queue, smtp, until)
    first.stop()
    start_worker(**LATER, STOPGAP_SEAL_KEY_FILE=None, STOPGAP_LATE_AFTER="1ms")
    queue.client.zadd(P + "follow", {"late " + job_id: 1})
    due(queue, job_id)
    until(lambda: gitlab.issues("[Failed]", job_id), "reported as late")
    (issue,) = gitlab.issues("[Failed]", job_id)
    assert f"stopgapctl show {job_id} --license" in issue["description"]
    assert "sealed:v1" not in issue["description"]


# --- changed in Redis ---


CHANGES = {
    "changed": lambda lic, other: lic[:-20] + ("A" if lic[-20] != "A" else "B") + lic[-19:],
    "cut": lambda lic, other: lic[:len(lic) // 2],
    "another job's": lambda lic, other: other,
    "of no form": lambda lic, other: "sealed:v9:x",
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_changed_is_not_mailed(queue, start_worker, smtp, gitlab, ctl, until, seal_key,
                                        what):
    worker = start_worker(**LATER)
    worker.allow("event=step .*class=bug .*sealed")
    job_id = mailed_in_doubt(queue, smtp, until, ticket=1)
    other = mailed_in_doubt(queue, smtp, until, ticket=2)
    lic = CHANGES[what](queue.job(job_id)["lic"], queue.job(other)["lic"])
    queue.client.hset(P + "job:" + job_id, "lic", lic)
    due(queue, job_id)
    until(lambda: queue.job(job_id)["state"] == "failed", "failed")
    record = queue.job(job_id)
    assert (record["err_class"], record["err_step"]) == ("bug", "email")
    assert "changed in Redis" in record["err_text"]
    worker.wait_for(event="step", step="email", level="error")
    assert len(smtp.mails_to("c1@example.com")) == 1
    until(lambda: gitlab.issues("[Failed]", job_id), "reported")
    (issue,) = gitlab.issues("[Failed]", job_id)
    command = f"requeue {job_id} --redo sign"
    assert f"stopgapctl {command}\n" in issue["description"]
    assert ctl.show(job_id)["next"][0]["command"] == f"stopgapctl {command}"
    ctl.run("show", job_id, "--license", status=1)
    ctl.run(*command.split())
    queue.wait_state(job_id, "done")
    one, two = smtp.mails_to("c1@example.com")
    assert license_of(one) != license_of(two)


def test_what_was_changed_is_not_recorded(queue, start_worker, smtp, gitlab, ctl, seal_key):
    """After the mail, too: a record without its license would be none."""
    start_worker().allow("event=step .*class=bug .*sealed")
    gitlab.fail_next("answer", **REFUSED)
    queue.push()
    (job_id,) = queue.settled(1)
    queue.client.hset(P + "job:" + job_id, "lic", queue.job(job_id)["lic"][:-1])
    ctl.run("requeue", job_id)
    assert queue.settled(1)[job_id]["err_step"] == "record"
    assert len(smtp.mails_to()) == 1 and not gitlab.issues("[Success]")


# --- start, keys, doctor ---


@pytest.mark.parametrize("text,mode,words", [
    ("", 0o600, "holds no key"),
    ("# a\nstopgap-seal:v1:AAAA\n", 0o600, "line 2: no seal key"),
    ("k4.secret.xxx\n", 0o600, "line 1: no seal key"),
    (None, 0o644, "chmod 600"),
    (None, None, "No such file")])
def test_a_worker_does_not_start(start_worker, seal_key, text, mode, words):
    if text is not None:
        write(seal_key, text)
    if mode is None:
        os.unlink(seal_key)
    else:
        os.chmod(seal_key, mode)
    worker = start_worker(ready=False)
    assert worker.wait() == 2
    assert words in worker.text() and seal_key in worker.text()
    worker.check(status=2)


def test_as_a_credential(start_worker, env, seal_key, folder):
    """As systemd hands files over."""
    os.mkdir(folder + "/creds")
    shutil.move(seal_key, folder + "/creds/stopgap_seal_key_file")
    worker = start_worker(STOPGAP_SEAL_KEY_FILE=None, CREDENTIALS_DIRECTORY=folder + "/creds")
    assert ids_of(folder + "/creds/stopgap_seal_key_file")[0] in \
        worker.lines(event="ready")[0]["msg"]


@pytest.mark.skipif(memory.is_sanitized("stopgap-worker"),
                    reason="sanitizers lock no memory, and keep what was freed")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads the memory of others")
def test_each_key_lies_once_in_locked_memory(queue, start_worker, smtp, until, seal_key):
    """After sealing, opening with an older key, and HUP."""
    worker = start_worker(**LATER)
    job_id = mailed_in_doubt(queue, smtp, until)
    put_in_front(seal_key)
    reload(worker)
    due(queue, job_id)
    queue.push(ticket_id=9, email="next@example.com")
    queue.settled(2)
    needles = {}
    for n, line in enumerate(read(seal_key).splitlines()):
        if not line.startswith("#"):
            key = line.split(":v1:")[1]
            raw = base64.b64decode(key)
            needles |= {(n, "start"): raw[:16], (n, "end"): raw[16:], (n, "text"): key[:22].encode()}
    assert len(needles) == 6
    for (n, what), found in memory.find(worker.pid, needles).items():
        assert len(found) == (0 if what == "text" else 1), (n, what, found)
        assert all({"lo", "dd"} <= flags for flags in found), (n, what, found)


def test_keygen_and_key_id(ctl, folder, key):
    path = os.path.join(folder, "k")
    done = ctl.run("keygen", path, "--type", "seal")
    key_id = ids_of(path)[0]
    assert key_id in done.out and not os.path.exists(path + ".pub")
    assert os.stat(path).st_mode & 0o777 == 0o600
    secret = read(path).split(":v1:")[1].strip()
    assert secret not in done.out
    assert "not overwritten" in ctl.run("keygen", path, "--type", "seal", status=2).err
    ctl.run("keygen", path + "2", "--type", "seal", "--bits", "2048", status=2)
    new = put_in_front(path)
    assert ctl.run("key-id", path).out == f"{new}\n{key_id}\n"
    said = ctl.json("key-id", path)
    assert (said["key_id"], said["key_ids"]) == (new, [new, key_id])
    write(path, read(path) + "rubbish\n")
    assert "line 5: no seal key" in ctl.run("key-id", path, status=2).err
    # One for the other.
    wrong = ctl.run("key-id", status=2, env={"STOPGAP_LICENSE_KEY_FILE": path})
    assert "a seal key, for STOPGAP_SEAL_KEY_FILE" in wrong.err
    assert ctl.run("key-id", key).out.startswith("k4.pid.")


def test_doctor(queue, start_worker, smtp, until, env, seal_key, ctl):
    def rows(**changes):
        settings = {k: v for k, v in {**env, **changes}.items() if v is not None}
        checks = Ctl(settings).run("doctor", "--json", status=None).json["checks"]
        return [c for c in checks if c["check"] == "seal key"]

    def row(**changes):
        (found,) = rows(**changes)
        return found

    (key,) = ids_of(seal_key)
    assert row(STOPGAP_SEAL_KEY_FILE=None)["result"] == "skipped"
    start_worker(**LATER)
    queue.push(ticket_id=5, email="done@example.com")
    queue.settled(1)
    mailed_in_doubt(queue, smtp, until)
    found = row()
    assert found["result"] == "ok" and key in found["found"] and "2 are sealed" in found["found"]
    for changes in ({"STOPGAP_SEAL_KEY_FILE": None}, {}):
        waiting, ended = rows(**changes)
        assert (waiting["result"], ended["result"]) == ("failed", "warning")
        for line in (waiting, ended):
            assert key in line["found"] and "1 of 1" in line["found"] and line["mend"]
        if changes:
            shutil.move(seal_key, seal_key + ".old")
            new_key(seal_key)
    os.chmod(seal_key, 0o640)
    assert "chmod 600" in row()["found"]
    # Of an operator's host only the file is asked for.
    checks = ctl.run("doctor", "--json", status=None).json["checks"]
    assert "chmod 600" in str(checks)
