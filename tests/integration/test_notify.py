"""What systemd hears of both daemons: ready, reloading, the watchdog, stopping."""

import os
import signal
import socket

import pytest
from testenv.wait import DEADLINE_S


class Manager:
    """The socket of a service manager."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(DEADLINE_S)

    def hear(self):
        """The next message but the watchdog's, as {name: value}."""
        while True:
            message = self.hear_any()
            if message != {"WATCHDOG": "1"}:
                return message

    def hear_any(self):
        lines = self._socket.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def close(self):
        self._socket.close()


@pytest.fixture
def manager(folder):
    there = Manager(folder)
    yield there
    there.close()


@pytest.fixture(params=["worker", "webhook"])
def start(request, manager):
    """start(**settings): one of the daemons, as systemd starts it."""
    launch = request.getfixturevalue(f"start_{request.param}")

    def begin(**settings):
        return launch(NOTIFY_SOCKET=manager.path, **settings)
    return begin


def test_from_start_to_end(start, manager):
    daemon = start(STOPGAP_DRAIN_TIMEOUT="45s")
    daemon.allow("was given in the environment")  # the secrets of a receiver in a test
    assert manager.hear() == {"READY": "1"}
    daemon.signal(signal.SIGHUP)
    reloading = manager.hear()
    assert reloading["RELOADING"] == "1" and int(reloading["MONOTONIC_USEC"]) > 0
    assert manager.hear() == {"READY": "1"}
    daemon.term()
    assert manager.hear() == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "55000000"}
    assert daemon.wait() == 0


def test_the_loop_tells_the_watchdog(start, manager):
    start(WATCHDOG_USEC="100000")
    assert manager.hear_any() == {"READY": "1"}
    for _ in range(3):
        assert manager.hear_any() == {"WATCHDOG": "1"}


def test_a_manager_that_is_gone_stops_nothing(start, manager, folder):
    os.unlink(manager.path)
    daemon = start(WATCHDOG_USEC="50000")
    daemon.wait_for(event="notify", level="warn", count=2)
    daemon.term()
    assert daemon.wait() == 0
