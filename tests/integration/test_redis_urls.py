"""STOPGAP_REDIS_URL in all its forms, with a real server behind each: one job from end to
end by the worker, and a look by stopgapctl."""

import os
import urllib.parse

import pytest
import redis as client_library
from testenv import process
from testenv.certs import LONG_AGO, Authority
from testenv.queue import Queue
from testenv.redis import Redis

USER, PASSWORD = "stop:gap@/?#%&+", "p@ss:w/rd?#%&+é\'\" ü"
# As docs/operations.md has it: what the programs need, and no more by the handful.
RIGHTS = "~stopgap:* +@all -@dangerous +info +role"


def quoted(text):
    return urllib.parse.quote(text, safe="")


def works(queue, start_worker, ctl, url, changes=None):
    """A job that comes in, runs and is seen."""
    env = {"STOPGAP_REDIS_URL": url, **(changes or {})}
    start_worker(**env)
    queue.push()
    queue.settled(1)
    assert queue.only("done")
    assert ctl.run("list", env=env).out.count("done") == 1


def refused(start_worker, ctl, url, words, changes=None, level="warn"):
    """Both programs say why; the worker goes on trying."""
    env = {"STOPGAP_REDIS_URL": url, **(changes or {})}
    worker = start_worker(**env)
    worker.allow("event=redis_down")
    line = worker.wait_for(event="redis_down", level=level)
    assert words in line["msg"]
    done = ctl.run("stats", status=1, env=env)
    assert words in done.err
    for secret in (PASSWORD, quoted(PASSWORD)):
        assert secret not in worker.text() + done.err
    print(line["msg"])
    return worker


# --- plain -----------------------------------------------------------------------------


def test_unix_socket_with_blanks(folder, redis, queue, start_worker, ctl):
    os.symlink(redis.path, os.path.join(folder, "a b"))
    works(queue, start_worker, ctl, f"unix://{folder}/a%20b")


def test_no_unix_socket(folder, start_worker, ctl):
    refused(start_worker, ctl, f"unix://{folder}/none", "no such file or directory")


@pytest.mark.parametrize("form", ["redis://127.0.0.1:{port}/7", "unix://{path}?db=7"])
def test_database(form, redis, start_worker, ctl):
    redis.client.close()
    redis.client = client_library.Redis(unix_socket_path=redis.path, db=7,
                                        decode_responses=True)
    works(Queue(redis), start_worker, ctl, form.format(port=redis.port, path=redis.path))
    assert set(redis.client.info("keyspace")) == {"db7"}


def test_no_such_database(redis, start_worker, ctl):
    refused(start_worker, ctl, f"redis://127.0.0.1:{redis.port}/99",
            "DB index is out of range", level="error")


def test_password(redis, queue, start_worker, ctl):
    redis.client.config_set("requirepass", PASSWORD)
    works(queue, start_worker, ctl, f"redis://:{quoted(PASSWORD)}@127.0.0.1:{redis.port}")


def test_user(redis, queue, start_worker, ctl):
    """With no more rights than it should have."""
    redis.client.execute_command("ACL", "SETUSER", USER, "on", ">" + PASSWORD,
                                 *RIGHTS.split())
    redis.client.execute_command("ACL", "SETUSER", "default", "-@scripting")
    works(queue, start_worker, ctl,
          f"unix://{quoted(USER)}:{quoted(PASSWORD)}@{redis.path}?db=0")
    assert redis.client.execute_command("ACL", "LOG") == []


def test_wrong_password(redis, start_worker, ctl):
    redis.client.config_set("requirepass", "another")
    refused(start_worker, ctl, f"redis://:{quoted(PASSWORD)}@127.0.0.1:{redis.port}",
            "AUTH: Redis: WRONGPASS", level="error")


# --- TLS -------------------------------------------------------------------------------


@pytest.fixture
def authority(folder):
    return Authority(folder)


@pytest.fixture
def start_tls(folder, authority):
    """start_tls((certificate, key)): a Redis with nothing but TLS on its port."""
    servers = []

    def start(identity):
        where = os.path.join(folder, f"tls{len(servers)}")
        os.mkdir(where)
        port = process.free_port()
        server = Redis(where, config=(
            f"--tls-port {port} --tls-cert-file {identity[0]} --tls-key-file {identity[1]}",
            f"--tls-ca-cert-file {authority.path} --tls-auth-clients no"))
        server.tls_port = port
        servers.append(server)
        return server
    yield start
    for server in servers:
        server.stop()


def test_tls(start_tls, authority, start_worker, ctl):
    server = start_tls(authority.issue())
    works(Queue(server), start_worker, ctl, f"rediss://localhost:{server.tls_port}/0",
          {"STOPGAP_CA_FILE": authority.path})


def test_tls_by_address(start_tls, authority, start_worker, ctl):
    server = start_tls(authority.issue())
    works(Queue(server), start_worker, ctl, f"rediss://127.0.0.1:{server.tls_port}",
          {"STOPGAP_CA_FILE": authority.path})


@pytest.mark.parametrize("kind, words", [
    ("wrong name", "certificate of localhost refused: hostname mismatch"),
    ("expired", "expired"),
    ("self-signed", "self-signed certificate"),
    ("unknown authority", "self-signed certificate in certificate chain"),
])
def test_bad_certificates(kind, words, start_tls, authority, start_worker, ctl):
    identity = {
        "wrong name": lambda: authority.issue(names="DNS:other.test"),
        "expired": lambda: authority.issue(span=LONG_AGO),
        "self-signed": lambda: authority.issue(alone=True),
        "unknown authority": lambda: authority.issue(),
    }[kind]()
    server = start_tls(identity)
    trust = {} if kind == "unknown authority" else {"STOPGAP_CA_FILE": authority.path}
    refused(start_worker, ctl, f"rediss://localhost:{server.tls_port}", words, trust)


def test_plain_to_a_tls_port(start_tls, authority, start_worker, ctl):
    server = start_tls(authority.issue())
    refused(start_worker, ctl, f"redis://127.0.0.1:{server.tls_port}", "peer")


# --- addresses -------------------------------------------------------------------------


def test_ipv6(redis, queue, start_worker, ctl):
    try:
        redis.client.config_set("bind", "127.0.0.1 ::1")
    except client_library.exceptions.ResponseError:
        pytest.skip("no IPv6 on this host")
    works(queue, start_worker, ctl, f"redis://[::1]:{redis.port}")
