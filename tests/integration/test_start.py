"""How the programs start: what they refuse and how they say it; and what can be seen of a
running worker from outside: no secret."""

import base64
import json
import os
import re
import subprocess
import time

import pytest
from testenv import logfmt, process
from testenv.wait import DEADLINE_S

# How a program that does nothing but start is called.
STARTS = {"stopgap-worker": [], "stopgapctl": ["stats"]}
NEEDED = {"STOPGAP_LICENSE_KEY_FILE", "STOPGAP_MAIL_FROM", "STOPGAP_GITLAB_PROJECT",
          "STOPGAP_GITLAB_TOKEN"}


def run(program, *args, env=None, **options):
    sanitizers = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
    return subprocess.run(
        process.with_parent([process.program(program), *args]), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], **sanitizers, **process.AS_ROOT, **(env or {})},
        **options)


def refused(program, env, *args):
    """The faults that a start with these settings ends with: {name: [what is said]}."""
    done = run(program, *args, *STARTS[program], env=env)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    faults = {}
    for line in done.stderr.splitlines()[1:]:
        name, _, words = line.strip().partition(": ")
        faults.setdefault(name, []).append(words)
    return faults


@pytest.fixture(params=STARTS)
def program(request):
    return request.param


@pytest.fixture
def names():
    """Every setting that there is."""
    return list(json.loads(run("stopgapctl", "config", "--json").stdout))


# --- faults ---


def test_every_setting_is_judged(program, names):
    assert len(names) > 60
    faults = refused(program, {name: "\n" + "x" * 5000 for name in names})
    assert set(names) <= set(faults)
    assert all("allowed" in words for found in faults.values() for words in found)


def test_all_faults_at_once(program):
    faults = refused(program, {
        "STOPGAP_CONCURENCY": "8", "STOPGAP_NO_SUCH_THING": "1", "STOPGAP_LEASE": "10",
        "STOPGAP_LOG_LEVEL": "loud", "STOPGAP_LICENSE_TERM_DAYS": "11",
        "STOPGAP_MAIL_FROM": "a@example.com\nBcc: b@example.com",
        "STOPGAP_REDIS_URL": "http://redis", "STOPGAP_SMTP_TLS": "maybe",
        "STOPGAP_GITLAB_TOKEN": "t" * 20, "STOPGAP_GITLAB_TOKEN_FILE": "/dev/null",
        "STOPGAP_SMTP_PASSWORD_FILE": "/does/not/exist"})
    expected = {
        "STOPGAP_CONCURENCY", "STOPGAP_NO_SUCH_THING", "STOPGAP_LEASE",
        "STOPGAP_LOG_LEVEL", "STOPGAP_LICENSE_TERM_DAYS", "STOPGAP_MAIL_FROM",
        "STOPGAP_REDIS_URL", "STOPGAP_SMTP_TLS", "STOPGAP_GITLAB_TOKEN"}
    if program == "stopgap-worker":  # no program opens another one's secrets
        expected |= NEEDED | {"STOPGAP_SMTP_PASSWORD"}
    assert expected <= set(faults), faults
    assert "did you mean STOPGAP_CONCURRENCY?" in faults["STOPGAP_CONCURENCY"][0]
    assert "1 to 10" in faults["STOPGAP_LICENSE_TERM_DAYS"][0]
    assert "from 1s to 10m" in faults["STOPGAP_LEASE"][0]


def test_the_worker_names_what_it_needs():
    assert set(refused("stopgap-worker", {})) == NEEDED


def test_a_bad_secret_is_not_shown(program, folder):
    secret = "hunter2-" + "\n" + "x" * 20
    path = os.path.join(folder, "password")
    write_private(path, secret)
    for env in ({"STOPGAP_GITLAB_TOKEN": secret},
                {"STOPGAP_REDIS_URL": "redis://u:hunter2@127.0.0.1:99999/0"},
                {"STOPGAP_REDIS_URL": "redis://u:hunter2@h/0", "STOPGAP_REDIS_URL_FILE": path}):
        faults = refused(program, env)
        assert set(env) & set(faults), faults
        assert "hunter2" not in str(faults)


def test_env_file_faults(program, folder):
    path = os.path.join(folder, "env")
    write_private(path, "STOPGAP_LEASE=5s\nSTOPGAP_LEASE=6s\nwhat\nSTOPGAP_TYPO=1\n"
                        "STOPGAP_CONCURRENCY=none\nOTHER=1\n")
    faults = str(refused(program, {}, "--env-file", path))
    for part in ("STOPGAP_LEASE", "line 3", "STOPGAP_TYPO", "STOPGAP_CONCURRENCY"):
        assert part in faults
    assert "OTHER" not in faults
    assert "/does/not/exist" in str(refused(program, {}, "--env-file", "/does/not/exist"))


def test_a_secret_others_may_read_is_refused(folder, env, key):
    path = os.path.join(folder, "open")
    write_private(path, "STOPGAP_GITLAB_TOKEN=x\n")
    os.chmod(path, 0o644)
    del env["STOPGAP_GITLAB_TOKEN"]
    assert "chmod 600" in str(refused("stopgap-worker", env, "--env-file", path))
    faults = refused("stopgap-worker", {**env, "STOPGAP_GITLAB_TOKEN_FILE": path})
    assert "STOPGAP_GITLAB_TOKEN_FILE" in faults["STOPGAP_GITLAB_TOKEN"][0]
    assert "chmod 600" in faults["STOPGAP_GITLAB_TOKEN"][0]
    for mode in (0o644, 0o640, 0o604):
        os.chmod(key, mode)
        done = run("stopgap-worker", "--check", env={**env, "STOPGAP_GITLAB_TOKEN": "t"})
        assert done.returncode == 2 and key in done.stderr and "chmod 600" in done.stderr


@pytest.mark.parametrize("content", ["", "nonsense", "k4.public." + "A" * 43, "k4.secret.AAAA"])
def test_a_key_that_is_none_is_refused(folder, env, content):
    path = os.path.join(folder, "nokey")
    write_private(path, content)
    done = run("stopgap-worker", env={**env, "STOPGAP_LICENSE_KEY_FILE": path})
    assert done.returncode == 2 and path in done.stderr
    assert not content or content not in done.stderr


def test_templates_are_read_at_start(folder, env):
    os.mkdir(folder + "/t")
    with open(folder + "/t/mail.txt", "w", encoding="ascii") as f:
        f.write("{{no_such_field}}")
    done = run("stopgap-worker", env={**env, "STOPGAP_TEMPLATE_DIR": folder + "/t"})
    assert done.returncode == 2 and "mail.txt" in done.stderr
    assert "no_such_field" in done.stderr


# --- words of the command line ---


def test_help_version_and_check(program, env, ctl_env):
    usage = run(program, "--help")
    assert usage.returncode == 0 and "Usage: " + program in usage.stdout
    version = run(program, "--version")
    assert version.returncode == 0 and version.stdout.startswith(program + " ")
    assert run(program, "--no-such-option").returncode == 2
    if program == "stopgap-worker":
        assert run(program, "surprise", env=env).returncode == 2
        assert run(program, "--check", env=env).returncode == 0
        assert run(program, "--check", env={**env, "STOPGAP_LEASE": "1"}).returncode == 2


def test_good_start_and_end(start_worker):
    worker = start_worker()
    worker.term()
    assert worker.wait() == 0
    assert worker.lines(event="stopped")


@pytest.mark.parametrize("program", ["start_worker", "start_webhook"])
def test_many_terms_are_no_more_than_two(program, request):
    """Nor do they kill a program that is putting its things away."""
    one = request.getfixturevalue(program)()
    end = time.monotonic() + DEADLINE_S
    while one.running and time.monotonic() < end:
        one.term()  # in close succession
    assert one.wait() in (0, 1)
    one.check(one.status)


# --- the log ---


def test_json_log(queue, start_worker, smtp):
    hostile = 'say "no"\\ \x07 \u2028 \ud7ff'
    smtp.on("customer@example.com", rcpt=f"550 5.1.1 {hostile}")
    worker = start_worker(STOPGAP_LOG_FORMAT="json")
    queue.push(requested_by="Zoë \u202e")
    queue.push(ticket_id=2, email="b@example.com")
    queue.settled(2)
    worker.stop()
    for line in worker.raw:
        fields = json.loads(line)  # each line by itself, and nothing between
        assert {"ts", "level", "event"} <= set(fields), line
        assert line.endswith("\n") and line[:-1].isprintable(), line
    assert worker.lines(event="job", outcome="done") and worker.lines(outcome="failed")


def test_logfmt_log(queue, start_worker, smtp):
    smtp.on("customer@example.com", rcpt='550 5.1.1 say "no"\\ \x07 = \u2028')
    worker = start_worker(STOPGAP_LOG_LEVEL="info")
    queue.push()
    queue.settled(1)
    worker.stop()
    assert all(logfmt.parse(line) and line[:-1].isprintable() for line in worker.raw)
    assert "customer@example.com" not in worker.text()  # masked above debug


# --- no secret of a running worker is to be seen ---

NO_CORE = re.compile(r"^Max core file size +0 +0 ", re.M)  # soft and hard
REDIS_PASSWORD, SMTP_PASSWORD = "redis-pa55word-XYZ", "smtp-pa55word-XYZ"


def write_private(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
              encoding="utf-8") as f:
        f.write(text)


def by_environment(secrets, _folder):
    return dict(secrets), []


def by_file(secrets, folder):
    env = {}
    for name, value in secrets.items():
        env[name + "_FILE"] = os.path.join(folder, name)
        write_private(env[name + "_FILE"], value + "\n")
    return env, []


def by_env_file(secrets, folder):
    path = os.path.join(folder, "secrets.env")
    write_private(path, "".join(f"{name}='{value}'\n" for name, value in secrets.items()))
    return {}, ["--env-file", path]


def by_credentials(secrets, folder):
    for name, value in secrets.items():
        write_private(os.path.join(folder, name.lower()), value)
    return {"CREDENTIALS_DIRECTORY": folder}, []


def key_texts(path):
    with open(path, encoding="ascii") as f:
        words = [w for w in f.read().split() if w.startswith("k4.secret.")]
    raw = base64.urlsafe_b64decode(words[0].split(".")[2] + "==")
    return [words[0].split(".")[2], raw.hex()[:64], base64.b64encode(raw[:32]).decode()[:42]]


@pytest.fixture
def with_passwords(redis, smtp):
    """Redis and the mail server each want a password; the tests' own clients have it."""
    redis.client.execute_command("CONFIG", "SET", "requirepass", REDIS_PASSWORD)
    for client in (redis.client, redis.bytes_client):
        client.connection_pool.connection_kwargs["password"] = REDIS_PASSWORD
        client.connection_pool.disconnect()
        client.connection_pool.reset()
    smtp.users, smtp.auth_in_clear = {"stopgap": SMTP_PASSWORD}, True
    return f"redis://:{REDIS_PASSWORD}@127.0.0.1:{redis.port}/0"


def proc(pid, name):
    with open(f"/proc/{pid}/{name}", "rb") as f:
        return f.read().decode("utf-8", "replace")


def environ_of(pid):
    try:
        text = proc(pid, "environ")
    except PermissionError:  # only root can read it at all
        return ""
    assert "STOPGAP_MAIL_FROM=Licenses" in text  # it is the one that it began with
    return text


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
@pytest.mark.parametrize("way", [by_environment, by_file, by_env_file, by_credentials])
def test_no_secret_shows(way, log_format, with_passwords, env, key, folder, queue,
                         start_worker, smtp, gitlab, until):
    # What a worker is given, and how.
    secrets = {"STOPGAP_REDIS_URL": with_passwords, "STOPGAP_SMTP_PASSWORD": SMTP_PASSWORD,
               "STOPGAP_GITLAB_TOKEN": gitlab.TOKEN}
    os.mkdir(folder + "/secrets")
    given, args = way(secrets, folder + "/secrets")
    for name in secrets:
        env.pop(name, None)
    env.update(given, STOPGAP_SMTP_USER="stopgap", STOPGAP_LOG_FORMAT=log_format)
    hidden = [REDIS_PASSWORD, SMTP_PASSWORD, gitlab.TOKEN, *key_texts(key),
              base64.b64encode(f"\0stopgap\0{SMTP_PASSWORD}".encode()).decode()]

    # One good job, one that fails, and trouble with each neighbour.
    smtp.on("customer@example.com", rcpt="451 4.3.0 later", times=1)
    smtp.on("bad@example.com", rcpt="550 5.1.1 no")
    gitlab.fail_next("unauthorized_401")
    worker = start_worker(args=args)
    worker.allow("lane_closed", "redis_down")
    queue.push()
    queue.push(ticket_id=2, email="bad@example.com")
    jobs = queue.settled(2)
    assert {r["state"] for r in jobs.values()} == {"done", "failed"}
    until(lambda: gitlab.issues("[Failed]"), "the failure issue")

    licenses = [r["lic"].split("\n")[1] for r in jobs.values() if "lic" in r]
    assert licenses and "PRIVATE-TOKEN" not in worker.text()
    texts = {"cmdline": proc(worker.pid, "cmdline"), "environ": environ_of(worker.pid)}
    assert NO_CORE.search(proc(worker.pid, "limits"))
    for form in ([], ["--json"]):
        done = run("stopgapctl", *args, "config", *form, env=env)
        assert done.returncode == 0 and "STOPGAP_GITLAB_TOKEN" in done.stdout, done.stderr
        texts["config " + str(form)] = done.stdout + done.stderr
    worker.stop()
    texts["log"] = worker.text()
    for place, text in texts.items():
        for secret in hidden:
            assert secret not in text, place
    for text in licenses:
        assert text not in texts["log"]


def test_config_tells_where_a_secret_came_from(folder):
    secrets = {"STOPGAP_GITLAB_TOKEN": "glpat-0123456789"}
    for way, source in ((by_environment, "environment"), (by_file, "file"),
                        (by_env_file, "env file")):
        env, args = way(secrets, folder)
        said = json.loads(run("stopgapctl", *args, "config", "--json", env=env).stdout)
        assert source in str(said["STOPGAP_GITLAB_TOKEN"]).lower(), said["STOPGAP_GITLAB_TOKEN"]
