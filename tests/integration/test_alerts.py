"""Every alert and every panel, fed by real runs: the programs are brought into each state,
scraped, and promtool says what rules and queries make of these scrapes. What the metrics
are is in test_metrics.py; the rules by invented values in stopgap.rules.test.yml."""

import json
import os
import pathlib
import re
import signal

import pytest
from testenv import prometheus
from testenv.prometheus import Timeline, scrape
from testenv.queue import PREFIX
from testenv.wait import wait_for
from testenv.webhook import request

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/stopgap.rules.yml"
QUIET = 10  # minutes before the trouble
LONG = 70  # longer than any alert waits

pytestmark = pytest.mark.skipif(not prometheus.promtool(),
                                reason="promtool is not installed (Debian: prometheus)")


@pytest.fixture
def both(env, webhook_env, start_worker, start_webhook):
    """both(): a worker and a receiver, ready, with their metrics on."""
    env["STOPGAP_METRICS_LISTEN"] = "127.0.0.1:0"
    webhook_env["STOPGAP_WEBHOOK_METRICS_LISTEN"] = "127.0.0.1:0"

    def start(worker=None, webhook=None):
        pair = start_worker(**worker or {}), start_webhook(**webhook or {})
        wait_for(lambda: prometheus.call(pair[0], "/readyz")[0] == 200)
        return pair
    return start


@pytest.fixture
def fires(folder):
    """fires(worker, receiver, trouble, alert...): none of them before trouble(), all after
    it. trouble: brings it about; may give what is scraped from then on (Timeline.add)."""
    def play(worker, receiver, trouble, *alerts):
        line = Timeline()
        line.add(QUIET, stopgap_worker=worker, stopgap_webhook=receiver)
        worker, receiver = trouble() or (worker, receiver)
        line.add(LONG, stopgap_worker=worker, stopgap_webhook=receiver)
        assert set(alerts) <= set(known())
        firing = 'count_over_time(ALERTS{alertname="%s",alertstate="firing"}[%dm])'
        line.ask(RULES, [
            q for a in alerts for q in (
                (QUIET - 1, f"count({firing % (a, QUIET)}) or vector(0)", 0),
                (QUIET + LONG - 1, f"count({firing % (a, LONG)}) > bool 0", 1))], folder)
    return play


def known():
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def value(program, name, **labels):
    return scrape(program).get(f"stopgap_{name}", **labels)


def spoil_mails(smtp, receiver, queue):
    """Five jobs done, one after a retry, four by a second mail; and one failed."""
    smtp.on("gone@example.com", rcpt="550 5.1.1 no such mailbox")
    smtp.on("later@example.com", rcpt="450 4.2.0 later", times=1)
    names = ["gone", "later", *(f"lost{n}" for n in range(4))]
    for n, name in enumerate(names):
        if name.startswith("lost"):
            smtp.on(f"{name}@example.com", drop="dot_taken", times=1)
        receiver.deliver(request(ticket_id=str(n + 1), email=f"{name}@example.com"))
    queue.settled(len(names))


def test_a_good_weekend_is_silent(both, folder):
    worker, receiver = both()
    line = Timeline()
    line.add(QUIET, stopgap_worker=worker, stopgap_webhook=receiver)
    receiver.deliver()
    wait_for(lambda: value(worker, "jobs_ended_total", outcome="done") == 1)
    line.add(LONG, stopgap_worker=worker, stopgap_webhook=receiver)
    every = f'ALERTS{{alertname=~"Stopgap.*"}}[{QUIET + LONG}m]'
    line.ask(RULES, [(QUIET + LONG - 1, f"count(count_over_time({every})) or vector(0)", 0)],
             folder)


def test_every_panel_shows_something(both, smtp, queue, folder):
    worker, receiver = both()
    line = Timeline()
    line.add(QUIET, stopgap_worker=worker, stopgap_webhook=receiver)
    spoil_mails(smtp, receiver, queue)
    wait_for(lambda: value(worker, "reports_total", outcome="done") == 1)
    line.add(QUIET, stopgap_worker=worker, stopgap_webhook=receiver)
    board = json.loads((ROOT / "deploy/grafana/stopgap.json").read_text())
    queries = [t["expr"] for panel in board["panels"] for t in panel["targets"]]
    assert len(queries) >= len(board["panels"]) > 10
    # Not empty, and numbers: a comparison with NaN holds for nothing.
    line.ask(RULES, [(QUIET + 3, f"count(({query}) > -1e9) > bool 0", 1)
                     for query in queries], folder)


def test_mails_that_fail(both, fires, smtp, queue):
    worker, receiver = both()
    fires(worker, receiver, lambda: spoil_mails(smtp, receiver, queue),
          "StopgapJobFailed", "StopgapFailedJobsWait", "StopgapMailsAmbiguous")


def test_a_cap_is_reached(both, fires, queue):
    worker, receiver = both(worker={"STOPGAP_MAX_PER_DAY": "1"})

    def flood():
        for n in (1, 2):
            receiver.deliver(request(ticket_id=str(n)))
        queue.settled(2)
        wait_for(lambda: value(worker, "failures_total", **{"class": "limit"}) == 1)
    fires(worker, receiver, flood, "StopgapLimitReached")


def test_credentials_refused(both, fires, smtp):
    worker, receiver = both()
    worker.allow("lane_closed")

    def refuse():
        smtp.at("MAIL", "530 5.7.0 who are you")
        receiver.deliver()
        wait_for(lambda: value(worker, "lane_closed", lane="smtp") == 1)
    fires(worker, receiver, refuse, "StopgapLaneClosed")


def test_failures_that_cannot_be_reported(both, fires, smtp, gitlab):
    worker, receiver = both()

    def away():
        gitlab.down()
        smtp.on("gone@example.com", rcpt="550 5.1.1 no such mailbox")
        receiver.deliver(request(email="gone@example.com"))
        wait_for(lambda: value(worker, "follow_ups", kind="report") == 1)
    fires(worker, receiver, away, "StopgapReportsLag")


def test_slack_is_no_more(both, fires, slack):
    worker, receiver = both(worker={"STOPGAP_SLACK_WEBHOOK_URL": slack.url})
    worker.allow("lane_closed")

    def refuse():
        slack.fail_next("answer", times=1000, status=404, body="no_service")
        receiver.deliver()
        wait_for(lambda: value(worker, "lane_closed", lane="slack") == 1)
    fires(worker, receiver, refuse, "StopgapTellingStopped")


def test_redis_is_away(both, fires, redis):
    worker, receiver = both(webhook={"STOPGAP_SPOOL_MAX": "1"})

    def away():
        redis.kill()
        wait_for(lambda: value(receiver, "redis_up") == 0 and value(worker, "redis_up") == 0)
        assert [receiver.deliver(request(ticket_id=n)).status for n in "12"] == [202, 503]
    fires(worker, receiver, away, "StopgapRedisAway", "StopgapSpoolWaits",
          "StopgapSpoolNearlyFull", "StopgapRequestsNotKept")


def test_another_secret(both, fires):
    worker, receiver = both()

    def refuse():
        for _ in range(5):
            assert receiver.deliver(secret="another-secret-0123456789").status == 401
    fires(worker, receiver, refuse, "StopgapSignaturesRefused")


def test_paused_and_forgotten(both, fires, ctl):
    worker, receiver = both()

    def pause():
        ctl.run("pause", "a test")
        wait_for(lambda: value(worker, "queue_paused") == 1)
    fires(worker, receiver, pause, "StopgapPaused")


def test_a_job_that_nobody_takes(both, fires, queue):
    worker, receiver = both()

    def quiet():
        worker.signal(signal.SIGTSTP)
        wait_for(lambda: prometheus.call(worker, "/readyz")[0] == 503)
        receiver.deliver()
        job = wait_for(lambda: next(iter(queue.jobs("queued")), None))
        queue.client.hincrby(f"{PREFIX}job:{job}", "accepted_ms", -200_000)
        wait_for(lambda: value(worker, "oldest_claimable_seconds") > 120)
    fires(worker, receiver, quiet, "StopgapJobsStuck")


def test_an_inbox_that_nobody_empties(both, fires, queue):
    worker, receiver = both()
    worker.allow("NOREPLICAS")

    def refuse():
        # One transaction: the request is in before Redis takes no more from anybody.
        queue.client.pipeline().lpush(f"{PREFIX}inbox", json.dumps(request())).config_set(
            "min-replicas-to-write", 1).execute()
        wait_for(lambda: value(worker, "workers") == 0)
        assert value(worker, "inbox_requests") == 1
    fires(worker, receiver, refuse, "StopgapInboxStuck", "StopgapNoWorker")
    queue.client.config_set("min-replicas-to-write", 0)


def read_by_now(fifo):
    """A file descriptor for its other end, once somebody reads it."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def test_a_worker_that_stood_still(both, fires, start_worker, queue, folder):
    worker, receiver = both(worker={"STOPGAP_LEASE": "3s", "STOPGAP_TEMPLATE_DIR": folder})
    start_worker()

    def workers(count):
        wait_for(lambda: queue.client.zcard(f"{PREFIX}workers") == count)

    def stand():
        """It reads a template from a disk that gives nothing, until its lease is over."""
        workers(2)
        disk = os.path.join(folder, "mail.subject")
        os.mkfifo(disk)
        worker.signal(signal.SIGHUP)
        with open(wait_for(lambda: read_by_now(disk)), "wb") as f:
            workers(1)
            f.write(b"A license\n")
        wait_for(lambda: value(worker, "leases_lost_total") == 1)
    fires(worker, receiver, stand, "StopgapLeaseLost", "StopgapLoopLag")


def test_a_lease_that_is_nearly_over(both, fires, queue):
    worker, receiver = both()

    def slow():
        """A beat and a scrape that both had to wait for Redis."""
        queue.client.client_pause(1700)
        seen = scrape(worker)
        thin = seen.get("stopgap_lease_margin_seconds") < 0.8
        return thin and seen.get("stopgap_redis_up") and (seen, receiver)
    fires(worker, receiver, lambda: wait_for(slow), "StopgapLeaseThin")


def test_nobody_is_there(both, fires):
    worker, receiver = both()

    def end():
        worker.kill()
        receiver.kill()
        return None, None
    fires(worker, receiver, end, "StopgapNoWorker", "StopgapReceiverDown")


def test_each_alert_has_its_run():
    text = pathlib.Path(__file__).read_text()
    assert [a for a in known() if f'"{a}"' not in text] == []
