"""What the users of deploy/redis/users.acl can do: each program all of its work, and a
receiver that was taken over nothing else."""

import hashlib
import os
import re
import subprocess

import pytest
import redis as client_library
from testenv import prometheus

HERE = os.path.dirname(os.path.abspath(__file__))
SHIPPED = os.path.join(HERE, "..", "..", "deploy", "redis", "users.acl")
P = "stopgap:{licenses}:"


def has_selectors():
    version = subprocess.run(["redis-server", "--version"], capture_output=True, text=True,
                             check=True).stdout
    return int(re.search(r"v=(\d+)", version).group(1)) >= 7


@pytest.fixture
def redis_config(folder):
    """The shipped file, with each user's name as its password; the tests' own client
    stays the default user."""
    with open(SHIPPED, encoding="ascii") as f:
        text = f.read().replace("user default off\n", "")
    for name in ("RECEIVER", "WORKER", "CTL"):
        text = text.replace(f"{name}_SHA256", hashlib.sha256(name.lower().encode()).hexdigest())
    if not has_selectors():
        text = re.sub(r"^user receiver.*\n", "", text, flags=re.M).replace("# user receiver", "user receiver")
    path = os.path.join(folder, "users.conf")
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    return (f"--include {path}",)


def url_of(redis, user):
    return f"redis://{user}:{user}@127.0.0.1:{redis.port}/0"


@pytest.fixture
def as_receiver(redis):
    client = client_library.Redis(port=redis.port, username="receiver", password="receiver",
                                  decode_responses=True)
    yield client
    client.close()


def test_each_program_does_its_work(redis, start_webhook, start_worker, ctl, ctl_env, queue, smtp):
    ctl_env["STOPGAP_REDIS_URL"] = ctl.env["STOPGAP_REDIS_URL"] = url_of(redis, "ctl")
    webhook = start_webhook(STOPGAP_REDIS_URL=url_of(redis, "receiver"))
    job = webhook.deliver().job_id
    assert webhook.show(job).json["status"] == "queued"
    worker = start_worker(STOPGAP_REDIS_URL=url_of(redis, "worker"),
                          STOPGAP_METRICS_LISTEN="127.0.0.1:0")
    failed = webhook.deliver({"no": "request"}).job_id
    queue.settled(2)
    assert webhook.show(job).json["status"] == "done"
    assert webhook.api("GET", "/requests?ticket_id=4711").json["job_id"] == job
    assert webhook.call("GET", "/readyz").json["redis"] is True
    assert webhook.api("POST", f"/requests/{job}/resend").status == 202
    queue.settled(3)
    assert len(smtp.mails_to()) == 2
    for words in (["list"], ["list", "--state", "failed"], ["show", job], ["stats"], ["workers"], ["fsck", "--repair"],
                  ["doctor"], ["pause"], ["resume"], ["requeue", "--all"], ["resend", job],
                  ["requeue", failed], ["audit"], ["forget", "a@example.com"], ["forget", "customer@example.com", "--yes"], ["submit", "--ticket", "5", "--email", "a@example.com",
                                        "--users", "3", "--wait"]):
        ctl.run(*words)
    assert prometheus.scrape(worker).get("stopgap_workers") == 1
    ctl.run("doctor", env={"STOPGAP_REDIS_URL": url_of(redis, "worker")})  # as the timer
    assert redis.client.execute_command("ACL", "LOG") == []


SCRIPTS = os.path.join(HERE, "..", "..", "common", "lua")
OPERATORS = {"submit", "requeue", "discard", "pause", "forget", "fsck"}


def commands_of(script):
    """Each command in a script and in the parts that it is put together from."""
    with open(os.path.join(SCRIPTS, script + ".lua"), encoding="utf-8") as f:
        text = f.read()
    found = set(re.findall(r"call\('([A-Z]+)'", text))
    uses = re.match(r"-- uses: (.*)", text)
    for part in uses.group(1).split() if uses else ():
        found |= commands_of(part + ".inc")
    return found


@pytest.mark.parametrize("user", ["worker", "ctl"])
def test_a_user_may_do_all_that_is_in_its_scripts(user):
    """Also what is done once a year, when a mail server refuses us or a job is late."""
    with open(SHIPPED, encoding="ascii") as f:
        (line,) = re.findall(rf"^user {user} .*", f.read(), flags=re.M)
    allowed = {word[1:].split("|")[0].upper() for word in line.split() if word[0] == "+"}
    scripts = {name[:-4] for name in os.listdir(SCRIPTS) if name.endswith(".lua")}
    scripts = {s for s in scripts if not s.endswith(".inc") and (user == "ctl" or s not in OPERATORS)}
    missing = {s: commands_of(s) - allowed for s in scripts}
    assert len(scripts) > 15 and not {s: m for s, m in missing.items() if m}


def test_a_worker_says_that_it_is_shut_out_and_late(redis, start_worker, queue, smtp, slack, gitlab,
                                                   until):
    """Lanes and late jobs need more of Redis than a job that goes well."""
    smtp.down()
    start_worker(STOPGAP_REDIS_URL=url_of(redis, "worker"), STOPGAP_LATE_AFTER="100ms",
                 STOPGAP_SLACK_WEBHOOK_URL=slack.url)
    for n in range(1, 7):
        queue.push(ticket_id=n)
    until(lambda: redis.client.hget(P + "lane:smtp", "since_ms"), "the lane is closed to all")
    until(lambda: slack.messages and gitlab.issues("[Failed]"), "people hear of it")
    assert redis.client.execute_command("ACL", "LOG") == []


# What somebody who has the receiver's password would try.
REFUSED = [
    ("HGETALL", P + "job:0123456789abcdefghjkmnpqrs"), ("HGET", P + "job:x", "lic"),
    ("GET", P + "job:x"), ("DUMP", P + "job:x"), ("LRANGE", P + "inbox", "0", "-1"),
    ("GET", P + "paused"), ("GET", P + "same:x"), ("SET", P + "paused", "1"),
    ("SET", P + "job:x", "1"), ("HSET", P + "job:x", "state", "queued"), ("DEL", P + "job:x"),
    ("DEL", P + "view:x"), ("RPOP", P + "inbox"), ("LREM", P + "inbox", "0", "x"),
    ("LPUSH", P + "pending", "x"), ("LPUSH", P + "proc:w", "x"), ("LPUSH", "elsewhere", "x"),
    ("LPUSH", "stopgap:{others}:inbox", "x"), ("LMOVE", P + "pending", P + "inbox", "LEFT", "LEFT"),
    ("RENAME", P + "job:x", P + "view:x"), ("COPY", P + "job:x", P + "view:x"),
    ("EVAL", "return 1", "0"), ("EVALSHA", "0" * 40, "0"), ("SCRIPT", "LOAD", "return 1"),
    ("FUNCTION", "LIST"), ("KEYS", "*"), ("SCAN", "0"), ("RANDOMKEY",), ("DBSIZE",),
    ("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "*"), ("CONFIG", "SET", "maxmemory", "1"),
    ("DEBUG", "SLEEP", "0"), ("SHUTDOWN",), ("SAVE",), ("REPLICAOF", "127.0.0.1", "1"),
    ("ACL", "LIST"), ("ACL", "SETUSER", "receiver", "+@all"), ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"), ("MONITOR",), ("INFO",), ("MODULE", "LIST"),
    ("SUBSCRIBE", "x"), ("PUBLISH", "x", "y"), ("MULTI",), ("OBJECT", "ENCODING", P + "job:x"),
    ("SORT", P + "inbox"), ("MIGRATE", "127.0.0.1", "1", P + "job:x", "0", "1"),
    ("BLMOVE", P + "inbox", P + "inbox", "RIGHT", "RIGHT", "1"),
]
# What only Redis 7 can keep apart.
REFUSED_BY_SELECTORS = [
    ("SET", P + "inbox", "x"), ("GET", P + "inbox"), ("LPUSH", P + "view:x", "x"),
    ("SET", P + "view:x", "y", "GET"),
]


def refused(client, words):
    with pytest.raises(client_library.exceptions.ResponseError) as e:
        client.execute_command(*words)
    text = str(e.value).lower()
    assert re.search("permission|unknown command|not allowed", text), (words, text)


def test_what_a_receiver_cannot_do(redis, as_receiver):
    redis.client.hset(P + "job:x", "lic", "SECRET")
    redis.client.lpush(P + "inbox", "waiting")
    for words in REFUSED + (REFUSED_BY_SELECTORS if has_selectors() else []):
        refused(as_receiver, words)
    assert redis.client.lrange(P + "inbox", 0, -1) == ["waiting"]
    assert set(redis.client.keys("*")) == {P + "inbox", P + "job:x"}


def test_what_a_receiver_can_do(as_receiver):
    assert as_receiver.lpush(P + "inbox", "x") == 1
    assert as_receiver.set(P + "view:x", "y", nx=True, px=60000)
    assert as_receiver.get(P + "view:x") == "y"


def test_redis_does_not_start_with_a_placeholder(folder):
    done = subprocess.run(["redis-server", "--port", "0", "--dir", folder, "--include", SHIPPED],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0
