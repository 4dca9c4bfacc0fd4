"""A redis-server that dies inside a script: the AOF has the whole of it or nothing, since
Redis hands on what a script did as one transaction, when it has ended. So the crash points
before and after a script are all that there are."""

import contextlib
import glob
import json
import os
import shutil
import tempfile
import threading

import pytest
import redis as client_library
from testenv import scripts
from testenv.redis import Redis
from testenv.wait import wait_for

P = scripts.PREFIX
WID = "host:00000000:1:1:nonce"
SPIN = "while true do end\n"


@pytest.fixture
def server():
    folder = tempfile.mkdtemp(prefix="sg-")
    redis = Redis(folder, config=("--lua-time-limit 1",))
    yield redis
    redis.stop()
    shutil.rmtree(folder, ignore_errors=True)


def ready_to_claim(server):
    """Three requests in the inbox, a worker with a lease; what the claim is given."""
    client = server.client
    for n in range(3):
        client.lpush(P + "inbox", json.dumps({"ticket_id": n + 1}))
    s, us = client.time()
    client.zadd(P + "workers", {WID: s * 1000 + us // 1000 + 3600000})
    return (1, P, WID, 3, 0, 300000, 1, 1, "s" * 26, 200)


def content(client):
    """All keys' values, without what is left of their time to live."""
    readers = {"hash": client.hgetall, "string": client.get,
               "list": lambda k: client.lrange(k, 0, -1),
               "zset": lambda k: client.zrange(k, 0, -1, withscores=True)}
    return {key: readers[client.type(key)](key) for key in sorted(client.keys("*"))}


def test_killed_inside(server):
    arguments = ready_to_claim(server)
    text = scripts.source("take")
    at = text.rindex("return out")
    before = content(server.client)
    with client_library.Redis(unix_socket_path=server.path) as other:

        def run():
            with contextlib.suppress(client_library.exceptions.ConnectionError):
                other.eval(text[:at] + SPIN + text[at:], *arguments)
        thread = threading.Thread(target=run)
        thread.start()

        def busy():
            try:
                return not server.client.ping()
            except client_library.exceptions.ResponseError as e:
                return "BUSY" in str(e)
        wait_for(busy, "the script at work")
        server.kill()
        thread.join()
    server.start()
    assert content(server.client) == before
    assert server.client.eval(text, *arguments)[0] == "OK"


def aof(server):
    """The file that grows."""
    found = glob.glob(os.path.join(server.folder, "appendonlydir", "*.incr.aof"))
    return found[0] if found else os.path.join(server.folder, "appendonly.aof")


def test_file_cut_inside(server):
    """As a machine that loses its last writes: at any byte of the script's transaction."""
    arguments = ready_to_claim(server)
    before = content(server.client)
    server.kill()
    start = os.path.getsize(aof(server))
    server.start()
    assert server.client.eval(scripts.source("take"), *arguments)[0] == "OK"
    after = content(server.client)
    server.kill()
    with open(aof(server), "rb") as f:
        whole = f.read()
    assert before != after and len(whole) > start
    seen = set()
    step = max(1, (len(whole) - start) // 12)
    for size in [*range(start, len(whole), step), len(whole) - 1, len(whole)]:
        with open(aof(server), "wb") as f:
            f.write(whole[:size])
        server.start()
        now = content(server.client)
        assert now in (before, after), f"half a script after {size - start} bytes"
        seen.add(now == after)
        server.kill()
    assert seen == {False, True}
