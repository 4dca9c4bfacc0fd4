"""What the programs do to themselves, seen from outside on running ones: as another user
than root wherever the test may choose."""

import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from testenv import memory, process
from testenv.certs import Authority
from testenv.wait import wait_for
from testenv.webhook import API_TOKEN, READ_TOKEN, SECRET, WEBHOOK_TOKEN
from testenv.wire import Wire
from testenv.worker import Worker

ROOT = os.geteuid() == 0
USER = 65534 if ROOT else os.getuid()
PROGRAMS = ("stopgap-worker", "stopgap-webhook", "stopgapctl")
DAEMONS = PROGRAMS[:2]
OPS, SMTP_PASSWORD = "redis-pa55word-XYZ", "smtp-pa55word-XYZ"
with open(os.path.join(os.path.dirname(__file__), "testenv", "peep.py"), encoding="utf-8") as text:
    PEEP = text.read()  # handed over as text: USER may be unable to read this tree

only_root = pytest.mark.skipif(not ROOT, reason="only root can look into a hardened process")
real_memory = pytest.mark.skipif(memory.is_sanitized("stopgap-worker"),
                                 reason="sanitizers lock no memory and open files of their own")


def as_user(*command):
    """The command, run by USER."""
    if not ROOT:
        return list(command)
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--", *command]


@pytest.fixture
def home(folder):
    """USER's own folder, with the programs: those of the build may be closed to him."""
    path = os.path.join(folder, "home")
    os.mkdir(path)
    for name in PROGRAMS:
        shutil.copy(process.program(name), path)
    if ROOT:
        os.chmod(folder, 0o755)
        os.chown(path, USER, USER)
    return path


@pytest.fixture
def settings(redis, env, webhook_env, key, home):
    """{program: settings}, each with secrets in the environment."""
    redis.client.execute_command("ACL", "SETUSER", "ops", "on", ">" + OPS, "~*", "&*", "+@all")
    url = f"redis://ops:{OPS}@127.0.0.1:{redis.port}/0"
    own_key = shutil.copy(key, home)
    os.chmod(own_key, 0o600)
    if ROOT:
        os.chown(own_key, USER, USER)
    return {
        "stopgap-worker": {
            **env, "STOPGAP_REDIS_URL": url, "STOPGAP_LICENSE_KEY_FILE": own_key,
            "STOPGAP_SMTP_USER": "stopgap", "STOPGAP_SMTP_PASSWORD": SMTP_PASSWORD},
        "stopgap-webhook": {
            **webhook_env, "STOPGAP_REDIS_URL": url, "STOPGAP_WEBHOOK_TOKEN": WEBHOOK_TOKEN,
            "STOPGAP_SPOOL_DIR": os.path.join(home, "spool")},
        "stopgapctl": {"STOPGAP_REDIS_URL": url, "STOPGAP_QUEUE": "licenses"},
    }


@pytest.fixture
def start(settings, home):
    """start(program): it runs as USER, and could dump core for all that we do. shell: said
    before. All are killed in the end."""
    started = []

    def one(program, shell=":", ready=True, **changes):
        args = ["stats", "--watch"] if program == "stopgapctl" else []
        running = Worker({**settings[program], "STOPGAP_ALLOW_ROOT": "0", **changes},
                         ready=False, program="/bin/sh",
                         args=["-c", f'cd "$0"; ulimit -c unlimited || :; {shell}; exec "$@"',
                               home, *as_user(os.path.join(home, program), *args)])
        started.append(running)
        if ready and program == "stopgapctl":
            wait_for(lambda: running.raw, "the first figures")
        elif ready:
            running.wait_for(event="ready")
        return running

    yield one
    for running in started:
        running.kill()


@pytest.fixture(params=PROGRAMS)
def running(request, start):
    return start(request.param)


def proc(pid, name):
    with open(f"/proc/{pid}/{name}", "rb") as f:
        return f.read()


def status_of(pid):
    return dict(line.split(":\t", 1) for line in proc(pid, "status").decode().splitlines())


def test_limits_and_status(running):
    status = status_of(running.pid)
    assert status["Uid"].split() == [str(USER)] * 4
    assert status["NoNewPrivs"] == "1" and status["Umask"] == "0077"
    assert int(status["CapEff"], 16) == 0
    assert re.search(rb"^Max core file size +0 +0 ", proc(running.pid, "limits"), re.M)
    # Not dumpable: its files in /proc are root's.
    assert {os.stat(f"/proc/{running.pid}/{name}").st_uid
            for name in ("environ", "mem", "maps", "fd")} == {0}


def peep(pid):
    done = subprocess.run(process.with_parent(as_user(sys.executable, "-I", "-c", PEEP, str(pid))),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=True)
    return set(done.stdout.split())


def test_its_own_user_cannot_look_into_it(running):
    other = process.start(as_user("sleep", "1000"))
    try:  # the ways are open where nobody closes them
        wait_for(lambda: b"sleep" == proc(other.pid, "comm").strip(), "it runs")
        assert {"environ", "maps", "smaps", "auxv", "fd"} <= peep(other.pid)
    finally:
        process.stop(other)
    assert peep(running.pid) == set()
    assert running.running


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT])
@pytest.mark.parametrize("program", PROGRAMS)
def test_no_core(start, home, program, number):
    running = start(program)
    running.signal(number)
    end = os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    assert end.si_code in (os.CLD_KILLED, os.CLD_EXITED), end  # not CLD_DUMPED
    assert not [name for name in os.listdir(home) if "core" in name]


# --- secrets ---

def secrets_of(settings):
    """The values that nobody is to see, of what a program was given."""
    found = [value.encode() for name, value in settings.items()
             if re.search(r"TOKEN|SECRET|PASSWORD", name)]
    return [*found, OPS.encode()]


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_secret_in_environment_or_arguments(start, settings, program):
    running = start(program)
    hidden = secrets_of(settings[program])
    assert len(hidden) == {"stopgap-worker": 3, "stopgap-webhook": 5, "stopgapctl": 1}[program]
    texts = [proc(running.pid, name) for name in ("cmdline", "status", "stat", "comm")]
    if ROOT:
        texts.append(proc(running.pid, "environ"))
        assert b"STOPGAP_ALLOW_ROOT=0" in texts[-1]  # it is the one that it began with
    assert not [secret for secret in hidden for text in texts if secret in text]


@real_memory
def test_memory_is_locked(running):
    assert int(status_of(running.pid)["VmLck"].split()[0]) > 0


def walls(pid, needle):
    """[(flags, rights, rights before, rights behind)] of each region that holds it."""
    regions = memory.mapped(pid)
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as content:
        for n, (start, end, rights, _, flags) in enumerate(regions):
            if rights[0] != "r" or end - start > memory.HUGE:
                continue
            content.seek(start)
            try:
                if needle not in content.read(end - start):
                    continue
            except OSError:
                continue
            before, behind = regions[n - 1], regions[n + 1]
            assert before[1] == start and behind[0] == end  # nothing between
            found.append((flags, rights, before[2], behind[2]))
    return found


@only_root
@real_memory
@pytest.mark.parametrize("program", DAEMONS)
def test_keys_lie_between_guards(start, settings, program):
    """The signing key; the secrets that the receiver checks with."""
    running = start(program)
    needles = [SECRET.encode(), API_TOKEN.encode(), READ_TOKEN.encode(), WEBHOOK_TOKEN.encode()]
    if program == "stopgap-worker":
        with open(settings[program]["STOPGAP_LICENSE_KEY_FILE"], encoding="ascii") as f:
            text = f.read().strip().split(".")[2]
        needles = [base64.urlsafe_b64decode(text + "==")[:32], SMTP_PASSWORD.encode()]
    for needle in needles:
        found = walls(running.pid, needle)
        assert found, needle
        for flags, rights, before, behind in found:
            assert {"lo", "dd"} <= flags and rights == "r--p", (needle, flags, rights)
            assert (before, behind) == ("---p", "---p"), needle


@real_memory
@pytest.mark.parametrize("program", DAEMONS)
def test_without_locked_memory_there_is_a_warning(start, program):
    running = start(program, shell="ulimit -l 0")
    line = running.wait_for(event="harden")
    assert line["level"] == "warn" and "RLIMIT_MEMLOCK" in line["msg"]
    assert "VmLck" in status_of(running.pid)


# --- root ---

def run(program, *args, env):
    sanitizers = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
    return subprocess.run(
        process.with_parent([process.program(program), *args]), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], **sanitizers, **env})


@only_root
@pytest.mark.parametrize("program", DAEMONS)
def test_root_is_refused_unless_told(start_worker, start_webhook, env, webhook_env, program):
    given = {"stopgap-worker": env, "stopgap-webhook": webhook_env}[program]
    begin = {"stopgap-worker": start_worker, "stopgap-webhook": start_webhook}[program]
    for told in ({}, {"STOPGAP_ALLOW_ROOT": "0"}, {"STOPGAP_ALLOW_ROOT": ""}):
        done = run(program, env={**given, **told})
        assert done.returncode == 2 and done.stdout == "", done
        for words in ("does not run as root", "setpriv", "STOPGAP_ALLOW_ROOT=1"):
            assert words in done.stderr
        assert "event=ready" not in done.stderr
        assert run(program, "--check", env={**given, **told}).returncode == 0
    assert run(program, "--help", env={}).returncode == 0
    told = begin(STOPGAP_ALLOW_ROOT="1")
    (line,) = told.lines(event="root")
    assert line["level"] == "warn" and "STOPGAP_ALLOW_ROOT" in line["msg"]


@only_root
def test_root_may_use_stopgapctl(ctl_env):
    done = run("stopgapctl", "stats", env=ctl_env)
    assert done.returncode == 0 and done.stderr == ""
    assert run("stopgapctl", "stats", env={**ctl_env, "STOPGAP_ALLOW_ROOT": "0"}).returncode == 0


# --- what it inherits ---

@only_root
@real_memory
def test_closed_descriptors(start, redis, until):
    """What is printed must not get into a connection."""
    running = start("stopgap-worker", shell="exec <&- >&- 2>&-", ready=False)
    until(lambda: redis.client.zcard("stopgap:{licenses}:workers"), "the worker is there")
    assert {os.readlink(f"/proc/{running.pid}/fd/{n}") for n in range(3)} == {"/dev/null"}


@pytest.fixture
def tls_gitlab(gitlab, folder):
    authority = Authority(folder)
    wire = Wire(gitlab, authority.context())
    yield {"STOPGAP_GITLAB_URL": wire.url, "STOPGAP_CA_FILE": authority.path}
    wire.stop()


def test_tls_keys_are_not_written(start_worker, tls_gitlab, queue, gitlab, folder):
    keys = os.path.join(folder, "keys")
    start_worker(SSLKEYLOGFILE=keys, **tls_gitlab)
    queue.push()
    queue.settled(1)
    assert gitlab.issues("[Success]") and not os.path.exists(keys)


def test_a_trust_that_is_not_ours_counts_nothing(start_worker, tls_gitlab, queue):
    """SSL_CERT_FILE names who signed the server's certificate; STOPGAP_CA_FILE does not."""
    worker = start_worker(SSL_CERT_FILE=tls_gitlab.pop("STOPGAP_CA_FILE"), **tls_gitlab)
    queue.push()
    line = worker.wait_for(event="step", step="record", outcome="failed")
    assert "certificate" in line["err"]


@pytest.mark.parametrize("tls", [False, True])
def test_no_proxy_gets_a_token(start_worker, tls_gitlab, queue, gitlab, tls):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0)
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        names = [f"{kind}_proxy" for kind in ("http", "https", "all")]
        start_worker(**dict.fromkeys([*names, *map(str.upper, names)], url),
                     **(tls_gitlab if tls else {}))
        queue.push()
        queue.settled(1)
        assert gitlab.issues("[Success]")
        with pytest.raises(BlockingIOError):
            proxy.accept()
