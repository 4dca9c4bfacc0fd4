"""What the death of redis-server alone may cost when its disk is behind: nothing with
`appendfsync always`; with `everysec` what it took while it waited for the disk, since it
answers before it writes then. docs/reliability.md tells operators so."""

import os
import shutil
import subprocess
import tempfile

import pytest
import storm
from testenv.redis import Redis
from testenv.wait import wait_for

INBOX = storm.P + "inbox"


@pytest.fixture
def folder():
    path = tempfile.mkdtemp(prefix="sg-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def slow_redis(folder, monkeypatch):
    """slow_redis(fsync, ms for each fsync)"""
    library = os.path.join(folder, "slow_disk.so")
    source = os.path.join(os.path.dirname(__file__), "slow_disk.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    servers = []

    def start(fsync, ms):
        with monkeypatch.context() as m:
            m.setenv("LD_PRELOAD", library)
            m.setenv("SLOW_MS", str(ms))
            servers.append(Redis(folder, fsync=fsync))
        return servers[-1]
    yield start
    for server in servers:
        server.stop()


def killed_and_back(server):
    server.kill()
    server.start()
    return server.client.llen(INBOX)


def test_always(slow_redis):
    server = slow_redis("always", 30)
    for n in range(20):
        server.client.lpush(INBOX, n)
    assert killed_and_back(server) == 20


def test_everysec(slow_redis):
    server = slow_redis("everysec", 2500)

    def behind():
        server.client.set("stopgap:other", "something")
        return server.client.info("persistence")["aof_pending_bio_fsync"]
    wait_for(behind, "an fsync under way")
    assert server.client.lpush(INBOX, "confirmed") == 1
    assert killed_and_back(server) == 0
