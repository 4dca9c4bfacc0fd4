"""The neighbours as fixtures. Each test has its own, on free ports and in its own folder;
all of it ends with the test, also with one that fails."""

import os
import shutil
import tempfile

import pytest
from testenv import process, webhook as receiver
from testenv.clock import Clock
from testenv.ctl import Ctl
from testenv.gitlab import GitLab
from testenv.hostile import Hostile
from testenv.queue import PREFIX, Queue
from testenv.redis import Redis
from testenv.slack import Slack
from testenv.smtp import Smtp
from testenv.wait import wait_for
from testenv.worker import Worker
from testenv.zendesk import Zendesk


@pytest.fixture
def folder():
    """Short enough for a unix socket's path, which pytest's own is not."""
    path = tempfile.mkdtemp(prefix="sg-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def gitlab():
    server = GitLab()
    yield server
    server.stop()


@pytest.fixture
def zendesk():
    server = Zendesk()
    yield server
    server.stop()


@pytest.fixture
def slack():
    server = Slack()
    yield server
    server.stop()
    assert server.broken == []


@pytest.fixture
def smtp():
    """Ends with the test failing if the programs broke SMTP's rules."""
    server = Smtp()
    yield server
    server.stop()
    assert server.faults == []


@pytest.fixture
def redis_config():
    """What redis-server is told besides; a module or a test may have its own."""
    return ()


@pytest.fixture
def redis(folder, redis_config):
    server = Redis(folder, config=redis_config)
    yield server
    server.stop()


def need(name):
    if not os.access(process.program(name), os.X_OK):
        pytest.skip(f"{process.program(name)} is not built")


@pytest.fixture
def ctl_env(redis):
    """Settings of stopgapctl; tests may change them before they use it."""
    return {"STOPGAP_REDIS_URL": redis.url}


@pytest.fixture
def ctl(ctl_env):
    need("stopgapctl")
    return Ctl(ctl_env)


@pytest.fixture
def key(folder):
    """A fresh signing key; beside it KEY.pub."""
    need("stopgapctl")
    return Ctl({}).keygen(os.path.join(folder, "license.key"))


@pytest.fixture
def env(redis, smtp, gitlab, key):
    """Settings of a worker, with waits that suit a test. Tests may change them."""
    return {
        "STOPGAP_REDIS_URL": redis.url,
        "STOPGAP_LICENSE_KEY_FILE": key,
        "STOPGAP_SMTP_URL": smtp.url,
        "STOPGAP_MAIL_FROM": "Licenses <licenses@vendor.example>",
        "STOPGAP_MAIL_REPLY_TO": "support@vendor.example",
        "STOPGAP_GITLAB_URL": gitlab.url,
        "STOPGAP_GITLAB_PROJECT": gitlab.PROJECT,
        "STOPGAP_GITLAB_TOKEN": gitlab.TOKEN,
        "STOPGAP_GITLAB_SETTLE": "200ms",
        "STOPGAP_BACKOFF_BASE": "20ms",
        "STOPGAP_BACKOFF_CAP": "200ms",
        "STOPGAP_LEASE": "2s",
        "STOPGAP_METRICS_LISTEN": "off",
        "STOPGAP_LOG_LEVEL": "debug",
    }


@pytest.fixture
def start_worker(env):
    """start_worker(): another worker, with these settings changed; None removes one. At
    the end all are stopped and judged (Worker.check)."""
    need("stopgap-worker")
    workers = []

    def start(ready=True, args=(), inside=(), **changes):
        settings = {k: v for k, v in {**env, **changes}.items() if v is not None}
        worker = Worker(settings, ready=False, args=args, inside=inside)
        workers.append(worker)
        if ready:
            worker.wait_for(event="ready")
        return worker

    yield start
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.check()


@pytest.fixture
def worker(start_worker):
    return start_worker()


@pytest.fixture
def webhook_env(redis, folder):
    """Settings of a receiver. Tests may change them."""
    return {
        "STOPGAP_REDIS_URL": redis.url,
        "STOPGAP_WEBHOOK_LISTEN": "127.0.0.1:0",
        "STOPGAP_WEBHOOK_METRICS_LISTEN": "off",
        "STOPGAP_WEBHOOK_SECRET": receiver.SECRET,
        "STOPGAP_API_TOKEN": receiver.API_TOKEN,
        "STOPGAP_API_READ_TOKEN": receiver.READ_TOKEN,
        "STOPGAP_SPOOL_DIR": os.path.join(folder, "spool"),
        "STOPGAP_LOG_LEVEL": "debug",
    }


@pytest.fixture
def start_webhook(webhook_env):
    """start_webhook(): another receiver, as start_worker; ready: Redis is, too."""
    need("stopgap-webhook")
    receivers = []

    def start(ready=True, args=(), inside=(), **changes):
        settings = {k: v for k, v in {**webhook_env, **changes}.items() if v is not None}
        one = receiver.Webhook(settings, ready=False, args=args, inside=inside)
        receivers.append(one)
        if ready:  # until then requests go through the spool
            wait_for(lambda: one.call("GET", "/readyz").json["redis"], one.text)
        return one

    yield start
    for one in receivers:
        one.stop()
    for one in receivers:
        one.check()


@pytest.fixture
def webhook(start_webhook):
    return start_webhook()


@pytest.fixture
def queue(redis):
    return Queue(redis)


@pytest.fixture
def until():
    """until(condition, what): waits for it, with a deadline."""
    return wait_for


@pytest.fixture
def quiet(queue, until):
    """quiet(): waits until nothing is left to tell."""
    def wait():
        until(lambda: not any(queue.client.exists(PREFIX + f"tell:{c}")
                              for c in ("slack", "zendesk")),
              lambda: str({k: queue.client.zrange(k, 0, -1)
                           for k in queue.client.keys(PREFIX + "tell:*")}))
    return wait


@pytest.fixture
def redis_clock(folder):
    """The clock of a redis-server that is started inside it."""
    clock = Clock(folder, "redis clock")
    yield clock
    clock.close()


@pytest.fixture
def hostile():
    """A server of a test's own making: what it says is set there."""
    server = Hostile(None)
    yield server
    server.stop()
