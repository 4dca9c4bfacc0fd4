"""GitLab, Slack and Zendesk as nobody should meet them: answers that never end, are of the
wrong shape, lead elsewhere or hold what is to be run. The worker says which one it was
and why, keeps its memory, goes on with other work, and tells secrets to nobody."""

import base64
import contextlib

import pytest
from testenv import memory, spoil
from testenv.ctl import Ctl
from testenv.hostile import Hostile, web
from testenv.queue import PREFIX
from testenv.slack import PATH as SLACK_PATH
from testenv.wire import Wire, made
from testenv.zendesk import Zendesk

MOST_MIB = 40  # that hostile answers may cost
FAST = {"STOPGAP_BACKOFF_BASE": "5ms", "STOPGAP_BACKOFF_CAP": "30ms",
        "STOPGAP_GITLAB_SETTLE": "20ms", "STOPGAP_ZENDESK_SETTLE": "20ms",
        "STOPGAP_ZENDESK_WAIT": "30ms", "STOPGAP_MAX_PER_ADDRESS": "0"}
PROJECT = "support%2Femergency-licenses"


@pytest.fixture
def wires(gitlab, slack, zendesk, env):
    """{peer: the wire in front of it}"""
    made_wires = {"gitlab": Wire(gitlab), "slack": Wire(slack), "zendesk": Wire(zendesk)}
    env.update(FAST, STOPGAP_GITLAB_URL=made_wires["gitlab"].url,
               STOPGAP_SLACK_WEBHOOK_URL=made_wires["slack"].url + SLACK_PATH,
               STOPGAP_ZENDESK_URL=made_wires["zendesk"].url,
               STOPGAP_ZENDESK_USER=zendesk.AGENT, STOPGAP_ZENDESK_TOKEN=zendesk.TOKEN)
    yield made_wires
    for wire in made_wires.values():
        wire.stop()


@pytest.fixture
def ask(queue, zendesk):
    def push(n, ticket=None):
        ticket = ticket or zendesk.mail_in()
        queue.push(ticket_id=ticket, email=zendesk.CUSTOMER, requested_by=f"agent{n}")
        return ticket
    return push


def secrets(gitlab, zendesk):
    login = f"{zendesk.AGENT}/token:{zendesk.TOKEN}"
    return [gitlab.TOKEN, zendesk.TOKEN, SLACK_PATH[1:],
            base64.b64encode(login.encode()).decode()]


@contextlib.contextmanager
def bounded(worker):
    """Meanwhile the worker takes no more memory than it may."""
    before = memory.peak_mib(worker.pid)
    yield
    more = memory.peak_mib(worker.pid) - before
    print(f"peak: {before:.0f} MiB, and {more:.0f} more")
    assert more < MOST_MIB or memory.is_sanitized("stopgap-worker")


def told_nobody(queue, worker, gitlab, zendesk):
    """What people and programs can read holds no secret."""
    seen = worker.text()
    for job_id, record in queue.jobs().items():
        seen += str(record) + str(queue.log(job_id))
    seen += str(gitlab.issues())
    assert not [s for s in secrets(gitlab, zendesk) if s in seen]


# --- answers that are no answers ---

def many(item):
    """A mebibyte of JSON that is hundreds of them in memory."""
    count = 1000000 // (len(item) + 1)

    body = b'{"message":[' + b",".join([item] * count) + b"]}"

    def answer(_):
        return [made(200, body)]
    answer.__name__ = f"many_{item.decode()}"
    return answer


def failing(how):
    """The same with a status that makes the worker look for the reason in it."""
    def answer(a):
        return [b"".join(how(a)).replace(b" 200 ", b" 500 ", 1)]
    answer.__name__ = f"failing_{how.__name__}"
    return answer


def nested(_):
    return [made(200, b'{"message":' + b"[" * 10000 + b"]" * 10000 + b"}")]


def huge_number(_):
    return [made(200, b'{"ticket":{"id":1e999,"requester_id":1e999},"id":1e999,"iid":1e999}')]


MANY = [many(b"{}"), many(b"[]"), many(b"0"), many(b'""'), many(b'{"a":0}')]
SHAPES = [*MANY, nested, huge_number]
ALL = [*spoil.LOST, *spoil.ODD, *SHAPES, *map(failing, [MANY[0], MANY[3], nested])]


def spoil_all(wires, ticket, how):
    """The next job meets it at each of the three, where its request has taken effect;
    whenever it asks about the ticket, since how often that is depends on the time."""
    wires["gitlab"].spoil("POST", "/issues", how)
    wires["slack"].spoil("POST", "", how)
    for method, end, times in (("GET", f"/{ticket}.json", 1000), ("PUT", f"/{ticket}.json", 1),
                               ("GET", "/comments.json", 2)):
        wires["zendesk"].spoil(method, end, how, times=times)


def test_answers_that_are_none(queue, start_worker, wires, gitlab, zendesk, slack, smtp, ask,
                               quiet):
    """The license goes out; one issue, one note, and what was wrong with the answer."""
    worker = start_worker()
    with bounded(worker):
        for n, how in enumerate(ALL, 1):
            ticket = zendesk.mail_in()
            spoil_all(wires, ticket, how)
            ask(n, ticket)
            jobs = queue.settled(n)
            quiet()
            job_id, job = next((i, r) for i, r in jobs.items() if r["ticket"] == str(ticket))
            assert "could not be read" in job.get("warning", ""), how.__name__
            assert "(Zendesk" in job["warning"], (how.__name__, job["warning"])
            assert len(zendesk.notes(ticket)) == 1, how.__name__
            for what in ({"event": "tell", "channel": "slack"}, {"event": "step", "step": "record"}):
                line = worker.wait_for(lambda l: "err" in l, job=job_id, **what)
                assert line["err"].startswith(("Slack", "GitLab")), (how.__name__, line)
                print(how.__name__, line["err"][:100])
            for wire in wires.values():
                wire.clear()
    assert {r["state"] for r in queue.jobs().values()} == {"done"}
    assert len(smtp.mails_to()) == len(gitlab.issues("[Success]")) == len(gitlab.issues()) == n
    told_nobody(queue, worker, gitlab, zendesk)


# --- answers that lead elsewhere ---

@pytest.fixture
def elsewhere():
    """Where nothing may ever arrive."""
    server = Hostile(web(lambda *_: made(200, "ok")))
    yield server
    assert (server.connections, server.heard) == (0, b"")
    server.stop()


def places(elsewhere, own):
    return [elsewhere.url("http"), elsewhere.url("https"), f"//127.0.0.1:{elsewhere.port}/x",
            f"http://stopgap:pw@127.0.0.1:{elsewhere.port}/", own.url("http", path="/other"),
            "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd",
            f"gopher://127.0.0.1:{elsewhere.port}/_x", "javascript:alert(1)", "", "\x1b]0;x\x07"]


REDIRECTS = (301, 302, 303, 307, 308)


def test_redirects_are_told_not_followed(env, elsewhere):
    """By doctor, whose clients are the worker's: each is asked once."""
    now = []  # status, place
    servers = {name: Hostile(web(lambda *_: b"HTTP/1.1 %d X\r\nLocation: %s\r\n\r\n" % tuple(now)))
               for name in ("gitlab", "slack", "zendesk")}
    ctl = Ctl({**env, "STOPGAP_GITLAB_URL": servers["gitlab"].url("http"),
               "STOPGAP_SLACK_WEBHOOK_URL": servers["slack"].url("http", path=SLACK_PATH),
               "STOPGAP_ZENDESK_URL": servers["zendesk"].url("http"),
               "STOPGAP_ZENDESK_USER": Zendesk.AGENT, "STOPGAP_ZENDESK_TOKEN": Zendesk.TOKEN})
    try:
        for n, place in enumerate(places(elsewhere, servers["gitlab"])):
            now[:] = REDIRECTS[n % 5], place.encode()
            for server in servers.values():
                server.forget()
            report = ctl.run("doctor", "--json", status=1)
            assert "\x1b" not in report.out and "\\u001b" not in report.out
            for name, server in servers.items():
                (found,) = (c["found"] for c in report.json["checks"]
                            if c["check"] == name and c["result"] == "failed")
                assert f"answered {now[0]}" in found or "it points to" in found, (place, found)
                assert server.heard.count(b" HTTP/1.1\r\n") == 1, (place, server.heard)
    finally:
        for server in servers.values():
            server.stop()


@pytest.mark.parametrize("status", [301, 307, 308])
def test_what_is_written_is_not_led_elsewhere(queue, start_worker, wires, gitlab, zendesk, slack,
                                              ask, quiet, elsewhere, status):
    """A license in an issue, a note, a message: once to the right place, later."""
    worker = start_worker()
    worker.allow("lane_closed")
    to = [("Location", elsewhere.url("http", path="/x"))]
    for peer, method, end in (("gitlab", "POST", "/issues"), ("gitlab", "PUT", ""),
                              ("slack", "POST", ""), ("zendesk", "GET", ""), ("zendesk", "PUT", "")):
        wires[peer].answer(method, end, status, "", to)
    ticket = ask(1)
    queue.settled(1)
    quiet()
    (issue,) = gitlab.issues()
    assert issue["title"].startswith("[Success]") and issue["state"] == "closed"
    assert len(slack.messages) == len(zendesk.notes(ticket)) == 1
    for name in ("GitLab", "Slack", "Zendesk"):
        assert worker.lines(lambda l, n=name: f"{n} answered {status}" in l.get("err", ""))
    told_nobody(queue, worker, gitlab, zendesk)
