"""What the daemons tell Prometheus, and what the alerts and the dashboard make of it."""

import json
import os
import pathlib
import re
import signal

import pytest
from testenv import prometheus
from testenv.process import free_port
from testenv.wait import wait_for
from testenv.webhook import request

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/stopgap.rules.yml"
ADDRESS = "customer@example.com"


def families(metrics):
    """The names that a query may use."""
    names = set()
    for name, (kind, _) in metrics.families.items():
        names |= {f"{name}{s}" for s in ("_bucket", "_sum", "_count")} if kind == "histogram" \
            else {name}
    return names


@pytest.fixture
def listening(env):
    env["STOPGAP_METRICS_LISTEN"] = "127.0.0.1:0"


@pytest.fixture
def seen(webhook_env):
    webhook_env["STOPGAP_WEBHOOK_METRICS_LISTEN"] = "127.0.0.1:0"


def test_a_worker_in_numbers(listening, start_worker, queue, smtp):
    worker = start_worker()
    before = prometheus.scrape(worker)
    assert before.get("stopgap_jobs_ended_total", outcome="done") == 0
    assert before.get("stopgap_failures_total", **{"class": "invalid"}) == 0
    queue.push()
    queue.push(users=0, ticket_id=5)
    queue.settled(2)
    wait_for(lambda: prometheus.scrape(worker).get("stopgap_jobs_ended_total", outcome="done"))
    m = prometheus.scrape(worker)
    assert m.get("stopgap_jobs_ended_total", outcome="done") == 1
    assert m.get("stopgap_jobs_ended_total", outcome="failed") == 1
    assert m.get("stopgap_failures_total", **{"class": "invalid"}) == 1
    for step in ("sign", "email", "record", "close"):
        assert m.get("stopgap_steps_total", step=step, outcome="done") == 1
        assert m.get("stopgap_step_duration_seconds_count", step=step) == 1
    assert m.get("stopgap_steps_total", step="validate", outcome="failed") == 1
    assert m.get("stopgap_job_duration_seconds_count") == 1
    assert m.get("stopgap_jobs", state="done") == 1
    assert m.get("stopgap_jobs", state="failed") == 1
    assert m.get("stopgap_jobs", state="queued") == 0
    assert m.get("stopgap_workers") == 1
    assert m.get("stopgap_redis_up") == 1
    assert 0 < m.get("stopgap_lease_margin_seconds") <= m.get("stopgap_lease_seconds") == 2
    assert m.get("stopgap_oldest_claimable_seconds") == 0
    assert m.get("stopgap_ambiguous_mails_total") == 0
    assert {labels["lane"] for labels, _ in m.all("stopgap_lane_closed")} == {
        "smtp", "gitlab", "replicas", "zendesk", "zendesk_note", "slack"}
    assert ADDRESS.split("@")[0] not in m.text and "4711" not in m.text


def test_jobs_that_wait_are_counted(listening, start_worker, queue, ctl):
    ctl.run("pause", "a test")
    worker = start_worker()
    for ticket in range(1, 4):
        queue.push(ticket_id=ticket)
    wait_for(lambda: prometheus.scrape(worker).get("stopgap_jobs", state="queued") == 3 and
             prometheus.scrape(worker).get("stopgap_inbox_requests") == 0)
    wait_for(lambda: prometheus.scrape(worker).get("stopgap_oldest_claimable_seconds") > 0)
    assert prometheus.scrape(worker).get("stopgap_queue_paused") == 1
    ctl.run("resume")
    queue.settled(3)
    wait_for(lambda: prometheus.scrape(worker).get("stopgap_queue_paused") == 0)


def test_retries_lanes_and_lost_answers(listening, start_worker, queue, smtp):
    smtp.on("a@example.com", rcpt="450 4.2.0 later", times=1)
    smtp.on("b@example.com", drop="dot_taken", times=1)
    worker = start_worker()
    queue.push(email="a@example.com")
    queue.push(email="b@example.com", ticket_id=2)
    queue.settled(2)
    m = prometheus.scrape(worker)
    assert m.get("stopgap_retries_total", **{"class": "transient"}) == 1
    assert m.get("stopgap_retries_total", **{"class": "ambiguous"}) == 1
    assert m.get("stopgap_ambiguous_mails_total") == 1
    smtp.at("MAIL", "530 5.7.0 who are you")
    worker.allow("lane_closed")
    queue.push(ticket_id=3)
    wait_for(lambda: prometheus.scrape(worker).get("stopgap_lane_closed", lane="smtp") == 1)
    assert prometheus.scrape(worker).get("stopgap_lane_closed", lane="gitlab") == 0


def test_without_redis_there_is_an_answer(listening, start_worker, redis):
    worker = start_worker()
    assert prometheus.call(worker, "/readyz")[0] in (200, 503)
    wait_for(lambda: prometheus.call(worker, "/readyz")[0] == 200)
    redis.kill()
    wait_for(lambda: prometheus.scrape(worker).get("stopgap_redis_up") == 0)
    m = prometheus.scrape(worker)
    assert m.all("stopgap_jobs") == [] and m.get("stopgap_redis_losses_total") >= 1
    status, _, text = prometheus.call(worker, "/readyz")
    assert (status, text) == (503, "no connection to Redis\n")
    assert prometheus.call(worker, "/healthz")[0] == 200
    redis.start()
    wait_for(lambda: prometheus.call(worker, "/readyz")[0] == 200)


def test_nothing_else_is_there(listening, start_worker):
    worker = start_worker()
    assert prometheus.call(worker, "/")[0] == 404
    assert prometheus.call(worker, "/metrics?x=1")[0] == 200
    status, headers, _ = prometheus.call(worker, "/metrics", "POST")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert prometheus.call(worker, "/metrics", "HEAD")[2] == ""


def test_an_address_in_use_is_a_warning(env, start_worker, queue):
    env["STOPGAP_METRICS_LISTEN"] = f"127.0.0.1:{free_port()}"
    start_worker().wait_for(event="metrics", level="info")
    second = start_worker()
    line = second.wait_for(event="metrics", level="warn")
    assert "STOPGAP_METRICS_LISTEN" in line["msg"] and "in use" in line["msg"]
    queue.push()
    queue.settled(1)


def test_a_receiver_in_numbers(seen, start_webhook, redis):
    receiver = start_webhook()
    assert receiver.deliver().status == 202
    assert receiver.deliver(secret="another-secret-0123456789").status == 401
    assert receiver.submit(request(ticket_id="7")).status == 202
    assert receiver.call("GET", "/nothing").status == 404
    m = prometheus.scrape(receiver)
    assert m.get("stopgap_webhook_answers_total", route="zendesk", code=202) == 1
    assert m.get("stopgap_webhook_answers_total", route="zendesk", code=401) == 1
    assert m.get("stopgap_webhook_answers_total", route="zendesk", code=503) == 0
    assert m.get("stopgap_webhook_answers_total", route="submit", code=202) == 1
    assert m.get("stopgap_webhook_answers_total", route="none", code=404) == 1
    assert m.get("stopgap_webhook_kept_total", where="redis") == 2
    assert m.get("stopgap_webhook_answer_duration_seconds_count") == 4
    assert m.get("stopgap_redis_up") == 1 and m.get("stopgap_spool_usable") == 1
    redis.kill()
    wait_for(lambda: prometheus.scrape(receiver).get("stopgap_redis_up") == 0)
    assert receiver.deliver().status == 202
    m = prometheus.scrape(receiver)
    assert m.get("stopgap_webhook_kept_total", where="spool") == 1
    assert m.get("stopgap_spool_requests") == 1
    assert prometheus.call(receiver, "/readyz")[0] == 200
    redis.start()
    wait_for(lambda: prometheus.scrape(receiver).get("stopgap_spool_requests") == 0)
    assert prometheus.scrape(receiver).get("stopgap_spool_drained_total") == 1


def test_who_drains_is_not_ready(seen, start_webhook):
    receiver = start_webhook()
    assert prometheus.call(receiver, "/readyz")[0] == 200
    connection = receiver.connect()
    connection.putrequest("POST", "/zendesk")
    connection.putheader("Content-Length", "100")
    connection.endheaders()  # and no body, for a while
    wait_for(lambda: prometheus.scrape(receiver).get("stopgap_webhook_connections") == 1)
    receiver.signal(signal.SIGTERM)
    wait_for(lambda: prometheus.call(receiver, "/readyz")
             [::2] == (503, "takes no requests any more\n"))
    connection.close()
    assert receiver.wait() == 0  # a second TERM would end it at once


def test_refusals_before_any_call_are_counted(seen, start_webhook):
    receiver = start_webhook()
    connection = receiver.connect()
    connection.putrequest("POST", "/zendesk", skip_host=True)
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()
    assert prometheus.scrape(receiver).get("stopgap_webhook_refused_total", code=400) == 1


# --- what is made of it ---

@pytest.fixture
def both(listening, seen, start_worker, start_webhook):
    worker = start_worker()
    wait_for(lambda: prometheus.call(worker, "/readyz")[0] == 200)
    return prometheus.scrape(worker), prometheus.scrape(start_webhook())


def expressions():
    """Where a query stands -> the query."""
    rules = RULES.read_text()
    found = {f"alert {name}": expr for name, expr in re.findall(
        r"- alert: (\w+)\n +expr: (.*)\n", rules)}
    assert len(found) == rules.count("- alert:") > 10
    board = json.loads((ROOT / "deploy/grafana/stopgap.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    assert len(board["panels"]) > 10
    assert len({p["id"] for p in board["panels"]}) == len(board["panels"])
    return found


def test_queries_name_what_is_there(both):
    known = families(both[0]) | families(both[1])
    labels = {}
    for metrics in both:
        for (name, pairs) in metrics.samples:
            labels.setdefault(name, set()).update(k for k, _ in pairs)
    for where, expr in expressions().items():
        names = set(re.findall(r"\bstopgap_\w+", expr))
        assert names or "up{" in expr, where
        assert names <= known, f"{where}: {names - known}"
        for name, selector in re.findall(r"(stopgap_\w+)\{([^}]*)\}", expr):
            for label in re.findall(r"(\w+)[=!]~?\"", selector):
                assert label in labels[name], f"{where}: {name} has no label {label}"


def test_values_in_queries_are_there(both):
    for where, expr in expressions().items():
        for name, label, value in re.findall(r"(stopgap_\w+)\{(\w+)=\"(\w+)\"", expr):
            values = {l.get(label) for m in both for l, _ in m.all(name)}
            assert value in values, f"{where}: {name} has no {label}={value}: {values}"


def test_each_alert_is_explained():
    page = (ROOT / "docs/operations.md").read_text()
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    rows = dict(re.findall(r"^\| `(Stopgap\w+)` (\|.*\|.*\|.*\|)$", page, re.M))
    assert set(alerts) == set(rows)
    for name, cells in rows.items():
        assert all(len(c.strip()) >= 8 for c in cells.strip("|").split("|")[:3]), name
    tested = RULES.with_name("stopgap.rules.test.yml").read_text()
    for name in alerts:
        assert tested.count(f"alertname: {name}") == 2, f"{name}: once silent, once not"


@pytest.mark.skipif(not prometheus.promtool(), reason="promtool is not installed (Debian: prometheus)")
def test_promtool_agrees(both):
    for metrics in both:
        prometheus.run_promtool("check", "metrics", stdin=metrics.text)
    prometheus.run_promtool("check", "rules", RULES)
    prometheus.run_promtool("test", "rules", RULES.with_name("stopgap.rules.test.yml"))
    board = [e for w, e in expressions().items() if w.startswith("panel")]
    rules = "groups: [{name: board, rules: [%s]}]" % ", ".join(
        "{record: 'x:%d', expr: %s}" % (i, json.dumps(e)) for i, e in enumerate(board))
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"stopgap-board-{os.getpid()}.yml")
    try:
        pathlib.Path(path).write_text(rules)
        prometheus.run_promtool("check", "rules", path)
    finally:
        os.unlink(path)
