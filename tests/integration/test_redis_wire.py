"""Redis in trouble, with jobs under way: whatever it answers, late, wrong or not at all,
nothing is lost, nothing is done twice, nothing runs hot, the log says why, and it goes on
by itself. The trouble begins while mails are on their way, so that their results fall
into it."""

import contextlib
import os
import subprocess
import threading
import time

import pytest
import redis as client_library
from testenv import process, scripts
from testenv.proxy import Proxy

HELD = 3  # jobs whose mails are on their way when it begins
MOST_CALLS = 1000  # in one trouble: a hot loop makes as many in a tenth of a second


def is_old():
    """Redis 6.2: it allows DEBUG, and cannot be made to load slowly."""
    done = subprocess.run(["redis-server", "--version"], capture_output=True, text=True,
                          check=True)
    return " v=6." in done.stdout


@pytest.fixture
def redis_config():
    return ("--lua-time-limit 5", *(() if is_old() else ("--enable-debug-command yes",)))


@pytest.fixture
def env(env):
    return {**env, "STOPGAP_LEASE": "1s"}


@pytest.fixture
def begin(queue, smtp, until):
    """Jobs whose mails wait for their last answer."""
    def go():
        smtp.on("", hold_dot=True)
        for n in range(HELD):
            queue.push(ticket_id=n + 1, email=f"c{n}@example.com", requested_by=f"agent{n}")
        until(lambda: smtp.dots == HELD, "mails on their way")
    return go


@pytest.fixture
def answer_mails(smtp):
    def go():
        smtp.forget("")
        smtp.release()
    return go


@pytest.fixture
def judge(queue, gitlab, smtp):
    """One more job, and then: each done, with one mail and one issue."""
    def go(held=HELD):
        queue.push(ticket_id=999, email="after@example.com", requested_by="after")
        jobs = queue.settled(held + 1, deadline=40)
        assert {r["state"] for r in jobs.values()} == {"done"}, queue.states()
        assert len(smtp.mails_to()) == held + 1
        assert len({m.to for m in smtp.mails_to()}) == held + 1
        assert len(gitlab.issues("[Success]")) == len(gitlab.issues()) == held + 1
        assert {r.get("ambiguous", "0") for r in jobs.values()} == {"0"}
    return go


def says(words):
    return lambda line: any(words in value for value in line.values())


@contextlib.contextmanager
def counted(name, redis, worker):
    """Prints and bounds what the worker sends and logs meanwhile."""
    calls, lines, since = redis.calls(), len(worker.log), time.monotonic()
    yield
    took, lines = time.monotonic() - since, len(worker.log) - lines
    ours = {"evalsha", "eval", "blmove", "zrange", "ping", "script|load", "client|setname",
            "auth", "select"}
    more = {k: n - calls.get(k, 0) for k, n in redis.calls().items() if k in ours}
    total = sum(more.values())
    most = ", ".join(f"{k} {n}" for k, n in sorted(more.items(), key=lambda i: -i[1])[:4])
    print(f"{name}: {total} commands in {took:.1f} s, {total / took:.0f}/s ({most}); "
          f"{lines} log lines")
    assert total < MOST_CALLS and lines < MOST_CALLS


# --- answers that are errors -----------------------------------------------------------


@contextlib.contextmanager
def readonly(redis):
    redis.client.execute_command("REPLICAOF", "127.0.0.1", process.free_port())
    yield
    redis.client.execute_command("REPLICAOF", "NO", "ONE")


@contextlib.contextmanager
def masterdown(redis):
    redis.client.config_set("replica-serve-stale-data", "no")
    with readonly(redis):
        yield


@contextlib.contextmanager
def settings(redis, **changes):
    names = {name.replace("_", "-"): value for name, value in changes.items()}
    before = {name: redis.client.config_get(name)[name] for name in names}
    for name, value in names.items():
        redis.client.config_set(name, value)
    yield
    for name, value in before.items():
        redis.client.config_set(name, value)


def noreplicas(redis):
    return settings(redis, min_replicas_to_write=1)


def full(redis):
    return settings(redis, maxmemory=1)


@contextlib.contextmanager
def misconf(redis):
    """Snapshots fail: a folder has the file's name."""
    blocked = os.path.join(redis.folder, "dump.rdb")
    os.makedirs(os.path.join(blocked, "x"))

    def snapshot(status):
        redis.client.bgsave()
        while redis.client.info("persistence")["rdb_bgsave_in_progress"]:
            time.sleep(0.005)
        assert redis.client.info("persistence")["rdb_last_bgsave_status"] == status
    with settings(redis, save="3600 1"):
        snapshot("err")
        yield
        os.rmdir(os.path.join(blocked, "x"))
        os.rmdir(blocked)
        snapshot("ok")


@contextlib.contextmanager
def busy(redis):
    """A long script of another client. Nothing but SCRIPT KILL is heard meanwhile."""
    def run():
        client = client_library.Redis(unix_socket_path=redis.path)
        with contextlib.suppress(client_library.exceptions.ResponseError):
            client.eval("while true do end", 0)
        client.close()
    other = threading.Thread(target=run)
    other.start()
    yield
    redis.client.script_kill()
    other.join()


def everyone_else(redis):
    redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@contextlib.contextmanager
def noauth(redis):
    redis.client.config_set("requirepass", "a-new-one")
    everyone_else(redis)
    yield
    redis.client.config_set("requirepass", "")


@contextlib.contextmanager
def noperm(redis):
    redis.client.execute_command("ACL", "SETUSER", "default", "-evalsha")
    yield
    redis.client.execute_command("ACL", "SETUSER", "default", "+evalsha")


@contextlib.contextmanager
def noperm_inside(redis):
    """The scripts may run, but not one command that they use."""
    redis.client.execute_command("ACL", "SETUSER", "default", "-hset")
    yield
    redis.client.execute_command("ACL", "SETUSER", "default", "+hset")


# what is done to Redis; what the log says then; at which level
TROUBLES = {
    "READONLY": (readonly, "READONLY You can't write against a read only replica", "warn"),
    "MASTERDOWN": (masterdown, "MASTERDOWN Link with MASTER is down", "warn"),
    "MISCONF": (misconf, "MISCONF Redis is configured to save RDB snapshots", "warn"),
    "NOREPLICAS": (noreplicas, "NOREPLICAS Not enough good replicas to write", "warn"),
    "BUSY": (busy, "BUSY Redis is busy running a script", "warn"),
    "NOAUTH": (noauth, "NOAUTH Authentication required", "error"),
    "NOPERM": (noperm, "NOPERM", "error"),
    "NOPERM inside": (noperm_inside, "The user executing the script can't run", "error"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_error_answers(name, redis, worker, begin, answer_mails, judge):
    trouble, words, level = TROUBLES[name]
    worker.allow(*[words] if level == "error" else [])
    begin()
    with counted(name, redis, worker):
        with trouble(redis):
            answer_mails()
            worker.wait_for(says(words), count=1 if name == "NOAUTH" else 4, level=level)
    judge()
    print(worker.lines(says(words))[0])


def test_full(redis, queue, worker, begin, answer_mails, judge, until):
    """Nothing new is accepted; what is under way ends all the same."""
    begin()
    with counted("OOM", redis, worker):
        with full(redis):
            with pytest.raises(client_library.exceptions.ResponseError, match="OOM"):
                queue.push(ticket_id=999, email="after@example.com")
            answer_mails()
            until(lambda: len(queue.jobs("done")) == HELD, lambda: str(queue.states()))
            since = worker.log[-1]["ts"]
            time.sleep(1)  # nothing to do in a full Redis, and at rest?
    judge()
    assert not [line for line in worker.log if says("OOM")(line) and line["ts"] < since]
    print([line for line in worker.log if says("OOM")(line)][:2])


def test_wait_not_allowed(redis, queue, worker, judge, until):
    """A user without BLMOVE: jobs are taken with each beat, and the log says so once."""
    redis.client.execute_command("ACL", "SETUSER", "default", "-blmove")
    everyone_else(redis)
    worker.allow("event=wait_refused .*'blmove'")
    with counted("NOPERM of BLMOVE", redis, worker):
        worker.wait_for(event="wait_refused", count=2)  # two lists
        judge(held=0)
        time.sleep(0.5)
    worker.exactly(2, event="wait_refused")


def test_unblocked(redis, queue, worker, judge, until):
    """The role changes while both connections that wait for work are blocked."""
    until(lambda: redis.client.info("clients")["blocked_clients"] == 2, "both wait")
    with counted("UNBLOCKED", redis, worker):
        with readonly(redis):
            until(lambda: redis.client.info("clients")["blocked_clients"] == 0, "woken")
        until(lambda: redis.client.info("clients")["blocked_clients"] == 2, "both again")
    judge(held=0)


@pytest.mark.skipif(is_old(), reason="Redis 6.2 cannot be made to load slowly")
def test_loading(redis, worker, begin, answer_mails, judge, until):
    redis.client.execute_command("DEBUG", "POPULATE", 10000, "filler", 100)
    redis.client.execute_command("BGREWRITEAOF")  # POPULATE writes to no AOF
    while (redis.client.info("persistence")["aof_rewrite_in_progress"]
           or redis.client.info("persistence")["aof_rewrite_scheduled"]):
        time.sleep(0.01)
    begin()
    redis.kill()
    answer_mails()
    redis.start(ready=False, config=("--key-load-delay 50",
                                     "--loading-process-events-interval-bytes 1024"))
    worker.wait_for(says("LOADING Redis is loading the dataset"), event="redis_down", count=2)
    until(redis.answers, "all loaded")
    print(redis.calls(), len(worker.log))
    judge()


def test_scripts_flushed_again_and_again(redis, queue, worker, begin, answer_mails, judge):
    begin()
    answer_mails()
    with counted("NOSCRIPT", redis, worker):
        while len(queue.jobs("done")) < HELD:
            redis.client.script_flush()
    judge()


# --- no answers, and late ones ---------------------------------------------------------


def test_refused(redis, worker, begin, answer_mails, judge):
    begin()
    redis.kill()
    answer_mails()
    lines = len(worker.log)
    since = time.monotonic()
    worker.wait_for(says("connection refused"), event="redis_down", count=4)
    print(f"refused: {len(worker.log) - lines} log lines in {time.monotonic() - since:.1f} s")
    redis.start()
    judge()


def test_slow(redis, worker, begin, answer_mails, judge):
    """Slow is not silent: no connection is given up."""
    begin()
    with counted("CLIENT PAUSE, DEBUG SLEEP", redis, worker):
        redis.client.execute_command("CLIENT", "PAUSE", 700, "ALL")
        answer_mails()
        redis.client.ping()
        redis.client.execute_command("DEBUG", "SLEEP", 1.2)  # longer than the lease
    judge()
    assert not worker.lines(event="redis_down")
    assert not worker.lines(event="lost")


@pytest.fixture
def proxy(redis, env):
    between = Proxy(redis.port)
    env["STOPGAP_REDIS_URL"] = f"redis://127.0.0.1:{between.port}/0"
    yield between
    between.stop()


# how a reply is spoiled; what the log says; how many jobs' worth of requests
SPOILT = {
    "reset before the request arrives": ({"kind": "drop"}, "connection reset by peer"),
    "reset before the reply": ({"kind": "cut"}, "connection reset by peer"),
    "reset in the middle of a reply": ({"kind": "cut", "after": 1}, "connection reset"),
    "closed in the middle of a reply": ({"kind": "close", "after": 2}, "closed by the peer"),
    "a reply too many": ({"kind": "inject", "text": b"+PONG\r\n"}, "Redis sent a reply that"),
    "not the protocol": ({"kind": "inject", "text": b"HTTP/1.1 400 Bad Request\r\n"},
                         "what is not its protocol"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_connections(name, proxy, redis, worker, begin, answer_mails, judge):
    """Where it hurts: as the results of mails are written, three times."""
    how, words = SPOILT[name]
    begin()
    proxy.arm(match=b"s:email", times=3, **how)
    with counted(name, redis, worker):
        answer_mails()
        worker.wait_for(says(words), event="redis_down")
        judge()
    assert set(proxy.struck) == {how["kind"]}
    print(f"struck {len(proxy.struck)} times; connections: {proxy.lines}")


def test_trickled_replies(proxy, redis, worker, begin, answer_mails, judge):
    proxy.arm("trickle", times=1000000)
    begin()
    answer_mails()
    judge()
    assert not worker.lines(event="redis_down")


def test_reply_withheld(proxy, redis, worker, begin, answer_mails, judge):
    """The write took effect, its answer never comes."""
    begin()
    proxy.arm("stall", match=b"s:email")
    answer_mails()
    worker.wait_for(says("timed out: no reply from Redis for 5000 ms"), event="redis_down")
    judge()
    assert proxy.struck == ["stall"]


def test_answer_of_take_lost(proxy, redis, queue, worker, judge, until):
    """Jobs that were handed to a worker that never heard of them."""
    until(lambda: redis.client.info("clients")["blocked_clients"] == 2, "both wait")
    proxy.arm("cut", match=scripts.sha("take").encode())
    queue.push()
    until(lambda: proxy.struck, "struck")
    judge(held=1)
