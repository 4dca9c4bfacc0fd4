"""What GitLab's connections can do: how many there are, and answers that are broken on
their way. Never a second issue, never a second mail."""

import pytest
from testenv.wire import Wire

CONNECTIONS = 16  # requests to GitLab at a time


@pytest.fixture
def wire(gitlab, env):
    """Between the worker and GitLab."""
    relay = Wire(gitlab)
    env["STOPGAP_GITLAB_URL"] = relay.url
    yield relay
    relay.stop()


def push_many(queue, count):
    for n in range(1, count + 1):
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"agent{n}")


def test_connections_are_kept(queue, start_worker, gitlab, wire):
    start_worker(STOPGAP_CONCURRENCY="64")
    push_many(queue, 200)
    queue.settled(200, deadline=60)
    assert len(gitlab.issues("[Success]")) == 200
    assert wire.connections <= CONNECTIONS
