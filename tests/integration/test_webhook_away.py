"""What the receiver answers while Redis is away. How the spool keeps and drains is tested
with the spool; here are the calls."""

import pytest
from testenv.webhook import request

INBOX = "stopgap:{licenses}:inbox"


def readiness(webhook):
    answer = webhook.call("GET", "/readyz")
    return answer.status, answer.json


@pytest.fixture
def alone(webhook, redis, until):
    """A receiver that knows that Redis is gone."""
    redis.kill()
    until(lambda: not readiness(webhook)[1]["redis"], "it knows")
    return webhook


def test_requests_are_taken(alone, redis, until):
    first = alone.deliver(invocation=1)
    assert first.status == 202
    assert alone.deliver(invocation=1).job_id == first.job_id
    faulty = alone.deliver({"no": "request"})
    assert faulty.status == 400 and faulty.json["status"] == "queued"
    assert readiness(alone) == (200, {"status": "ready", "redis": False, "spool": True, "spooled": 2})
    assert alone.call("GET", "/healthz").status == 200
    redis.start()
    until(lambda: redis.client.llen(INBOX) == 2, "the spool has drained")
    until(lambda: readiness(alone)[1]["spooled"] == 0, "nothing is left there")
    ids = {entry.split(" ")[0] for entry in redis.client.lrange(INBOX, 0, -1)}
    assert ids == {first.job_id, faulty.job_id}


def test_what_only_redis_knows(webhook, redis, until):
    known = webhook.deliver().job_id
    redis.kill()
    until(lambda: not readiness(webhook)[1]["redis"], "it knows")
    spooled = webhook.deliver().job_id
    assert webhook.show(spooled).json["status"] == "queued"
    for answer in (webhook.show(known), webhook.api("GET", "/requests?ticket_id=4711"),
                   webhook.api("POST", f"/requests/{known}/resend")):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
    redis.start()
    until(lambda: webhook.show(known).status == 200, "Redis is back")


def test_neither_redis_nor_spool(start_webhook, redis, until):
    webhook = start_webhook(STOPGAP_SPOOL_MAX="1")
    redis.kill()
    until(lambda: not readiness(webhook)[1]["redis"], "it knows")
    assert webhook.deliver().status == 202
    for answer in (webhook.deliver(), webhook.submit(request(users="many"))):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
    assert readiness(webhook)[0] == 503
    redis.start()
    until(lambda: readiness(webhook)[0] == 200, "it takes requests again")
    assert webhook.deliver().status == 202
