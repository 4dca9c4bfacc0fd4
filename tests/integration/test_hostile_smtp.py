"""A mail server, or somebody between, that says what it should not: no mail counts as sent
that was not, no password and no license leaves before TLS stands, and the operator reads
what was said where. Certificates: test_hostile_tls.py; refusals, silence and broken ends:
test_smtp_places.py, test_smtp_tls.py."""

import base64

import pytest
from testenv import memory
from testenv.certs import Authority

MOST_MIB = 40
USER, PASSWORD = "licenses@vendor.example", "secret-of-the-mail-server"
FORMS = [PASSWORD.encode(), base64.b64encode(PASSWORD.encode()),
         base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())]
LICENSE = [b"STOPGAP LICENSE", b"v4.public.", b"MAIL FROM", b"RCPT TO"]
ADDRESS = "customer@example.com"


def converse(*steps):
    """Says each; between two it hears a line."""
    def serve(line):
        for n, step in enumerate(steps):
            if n and not line.readline():
                return
            if callable(step):
                step(line)
            else:
                line.say(step)
        line.read(1 << 20)  # what else may come, until the client leaves
    return serve


def for_ever(text):
    return lambda line: line.say_for_ever(text)


def hear_content(line):
    """Behind the line that was heard already."""
    while line.readline() not in (b".\r\n", b""):
        pass


GREETING, GO = b"220 mail.test ESMTP\r\n", b"220 go ahead\r\n"
OFFER = b"250-mail.test\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n"
IN_CLEAR = b"250-mail.test\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN\r\n"

# --- before TLS: what is said, and what the log says. Nothing but EHLO and STARTTLS leaves. ---

BEFORE_TLS = {
    "garbage": ([bytes(range(256)) * 16], "greeting: its answer is not SMTP"),
    "another protocol": ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "greeting: its answer is not SMTP"),
    "a line without end": ([for_ever(b"x" * 65536)], "greeting: a reply line of more than 4 KiB"),
    "a greeting without end": ([for_ever(b"220-x\r\n" * 5000)], "greeting: a reply of too many lines"),
    "an offer of 10 MB": ([GREETING, b"250-SIZE 1\r\n" * 1000000 + b"250 x\r\n"],
                          "EHLO: a reply of too many lines"),
    "an offer in a line of 10 MB": ([GREETING, b"250-" + b"A" * 10000000 + b"\r\n250 x\r\n"],
                                    "EHLO: a reply line of more than 4 KiB"),
    "codes that differ": ([GREETING, b"250-x\r\n235 come in\r\n"], "EHLO: the codes of one reply differ"),
    "noise in front": ([GREETING, b"\0\0\r\n" + OFFER], "EHLO: its answer is not SMTP"),
    "a greeting and more": ([GREETING + OFFER], "EHLO: it answered before it was asked"),
    "an offer and more": ([GREETING, OFFER + GO], "STARTTLS: it answered before it was asked"),
    "no STARTTLS, but AUTH": ([GREETING, IN_CLEAR, b"235 in\r\n"],
                              "STARTTLS: TLS is required, but the server does not offer it"),
    "STARTTLS misspelt": ([GREETING, b"250-x\r\n250-XSTARTTLS\r\n250 AUTH PLAIN\r\n", b"235 in\r\n"],
                          "STARTTLS: TLS is required, but the server does not offer it"),
    "no, and AUTH": ([GREETING, OFFER, b"503 no TLS today, log in\r\n", b"235 in\r\n"],
                     "STARTTLS: 503 no TLS today, log in"),
    "a question in place of TLS": ([GREETING, OFFER, b"334 VXNlcm5hbWU6\r\n", b"334 x\r\n"],
                                   "STARTTLS: 334 VXNlcm5hbWU6"),
    "yes, and then plain text": ([GREETING, OFFER, GO + IN_CLEAR, b"235 in\r\n", b"250 ok\r\n"],
                                 "STARTTLS: TLS with 127.0.0.1: "),
    "yes, and then plain text later": ([GREETING, OFFER, GO, IN_CLEAR, b"235 in\r\n", b"250 ok\r\n"],
                                       "STARTTLS: TLS with 127.0.0.1: wrong version number"),
    "a hello of 16 MB": ([GREETING, OFFER, GO, b"\x16\x03\x03\x40\x00\x02\xff\xff\xff" + b"\0" * 16380],
                         "STARTTLS: TLS with 127.0.0.1: excessive message size"),
    "hellos for ever": ([GREETING, OFFER, GO, for_ever(b"\x16\x03\x03\x40\x00" + b"\0" * 16384)],
                        "STARTTLS: timed out: TLS handshake with 127.0.0.1"),
}
LAST = "hellos for ever"


@pytest.fixture
def authority(folder):
    return Authority(folder)


@pytest.fixture
def settings(hostile, authority):
    return {"STOPGAP_SMTP_URL": hostile.url("smtp"), "STOPGAP_SMTP_TLS": "required",
            "STOPGAP_CA_FILE": authority.path, "STOPGAP_SMTP_USER": USER,
            "STOPGAP_SMTP_PASSWORD": PASSWORD, "STOPGAP_BACKOFF_BASE": "5ms",
            "STOPGAP_BACKOFF_CAP": "30ms", "STOPGAP_LATE_AFTER": "1h",
            "STOPGAP_SMTP_TIMEOUT": "2s"}


def judge(name, words, worker, hostile, queue, ctl, since):
    """The reason is in the log and with the job, which waits; no secret has left."""
    line = worker.wait_for(lambda l: l in worker.log[since:] and words in l.get("err", ""),
                           event="step", step="email")
    assert line["class"] in ("transient", "auth"), (name, line)
    assert line["err"].startswith("mail server at "), (name, line)
    shown = ctl.run("show", line["job"]).out
    assert words[:40] in shown or queue.job(line["job"])["state"] == "active", (name, shown)
    assert not [s for s in FORMS + LICENSE if s in hostile.heard], (name, hostile.heard)
    assert not [s for s in FORMS if s.decode() in worker.text() + shown], name


def test_before_tls(queue, start_worker, hostile, settings, ctl, gitlab, until):
    """One after the other, for the same job, which is not mailed. Other work goes on."""
    hostile.serve = converse(b"421 not now\r\n")
    worker = start_worker(**settings)
    worker.allow("lane_closed")
    before = memory.peak_mib(worker.pid)
    queue.push()
    for name, (steps, words) in BEFORE_TLS.items():
        since = len(worker.log)
        hostile.forget()
        hostile.serve = converse(*steps)
        if name == LAST:
            until(lambda: hostile.flood > 1 << 20, "the flood")
            queue.push(users=0)
            until(lambda: gitlab.issues("[Failed]"), "the failure issue of another job")
        judge(name, words, worker, hostile, queue, ctl, since)
    more = memory.peak_mib(worker.pid) - before
    print(f"peak: {before:.0f} MiB, and {more:.0f} more; it sent {hostile.flood >> 20} MiB")
    assert more < MOST_MIB or memory.is_sanitized("stopgap-worker")
    assert {r.get("ambiguous", "0") for r in queue.jobs().values()} == {"0"}


# --- behind TLS: a server with a good certificate that somebody has taken over ---

@pytest.mark.parametrize("offer, words", [
    (b"250-x\r\n250 SIZE 1000000\r\n", "AUTH: a user is set, but the server offers no AUTH"),
    (b"250-x\r\n250 AUTH GSSAPI\r\n", "AUTH: the server offers neither AUTH PLAIN nor AUTH LOGIN"),
    (b"250-x\r\n250 STARTTLS\r\n", "AUTH: a user is set, but the server offers no AUTH")])
def test_an_offer_that_was_only_made_before_tls(queue, start_worker, hostile, authority, settings,
                                                ctl, offer, words):
    context = authority.context()
    hostile.serve = converse(GREETING, OFFER, lambda line: (line.say(GO), line.start_tls(context)),
                             offer, b"235 in\r\n", b"235 in\r\n")
    worker = start_worker(**settings)
    worker.allow("lane_closed")
    queue.push()
    judge(words, words, worker, hostile, queue, ctl, 0)


def test_a_question_that_never_ends(queue, start_worker, hostile, authority, settings, ctl):
    """The password is said once, where it belongs; the license never."""
    context = authority.context()
    hostile.serve = converse(GREETING, OFFER, lambda line: (line.say(GO), line.start_tls(context)),
                             b"250-x\r\n250 AUTH LOGIN\r\n", *[b"334 UGFzc3dvcmQ6\r\n"] * 1000)
    worker = start_worker(**settings)
    queue.push()
    line = worker.wait_for(event="step", step="email", outcome="failed")
    assert line["err"] == "mail server at AUTH: 334 UGFzc3dvcmQ6"
    assert hostile.heard.count(FORMS[1]) <= hostile.connections
    assert not [s for s in LICENSE if s in hostile.heard]
    assert not [s for s in FORMS if s.decode() in worker.text() + ctl.run("show", line["job"]).out]


# --- answers to what was not said yet ---

OK = b"250 ok\r\n"
HELLO, PIPELINING = b"250 x\r\n", b"250-x\r\n250 PIPELINING\r\n"
ADVANCE = {
    "to MAIL": ([GREETING, HELLO + OK], "MAIL FROM: it answered before it was asked"),
    "to RCPT": ([GREETING, HELLO, OK + OK], "RCPT TO: it answered before it was asked"),
    "to DATA": ([GREETING, HELLO, OK, OK + b"354 go\r\n"], "DATA: it answered before it was asked"),
    "to all": ([GREETING, HELLO, OK + OK + b"354 go\r\n" + OK], "it answered before it was asked"),
    "to the dot": ([GREETING, HELLO, OK, OK, b"354 go\r\n250 queued\r\n"],
                   "content: it answered before it was asked"),
    "to the dot, in a group": ([GREETING, PIPELINING, OK, OK, b"354 go\r\n250 queued\r\n"],
                               "content: it answered before it was asked"),
    "to the dot, a refusal": ([GREETING, HELLO, OK, OK, b"354 go\r\n550 no\r\n"], "content: 550 no"),
    "noise": ([GREETING, HELLO, OK, b"252 cannot VRFY\r\n252 cannot VRFY\r\n"],
              "DATA: it answered before it was asked"),
    "354 to MAIL": ([GREETING, HELLO, b"354 go\r\n"], "MAIL FROM: 354 go"),
    "250 to DATA": ([GREETING, HELLO, OK, OK, b"250 queued\r\n"], "DATA: 250 queued"),
    "half an answer": ([GREETING, HELLO, OK + b"250-"], "RCPT TO: it answered before it was asked"),
}


def test_answers_in_advance(queue, start_worker, hostile, settings, gitlab):
    """None makes a mail count as sent; the license stays here."""
    hostile.serve = converse(b"421 not now\r\n")
    worker = start_worker(**{**settings, "STOPGAP_SMTP_TLS": "off", "STOPGAP_SMTP_USER": None,
                             "STOPGAP_SMTP_PASSWORD": None})
    for n, (name, (steps, words)) in enumerate(ADVANCE.items(), 1):
        hostile.serve = converse(*steps)
        hostile.forget()
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"a{n}")
        line = worker.wait_for(lambda l, w=words: w in l.get("err", ""), event="step", step="email",
                               ticket=n)
        assert line["class"] in ("transient", "permanent"), (name, line)
        assert not [s for s in LICENSE[:2] if s in hostile.heard], (name, hostile.heard)
        hostile.serve = converse(b"421 not now\r\n")
    assert not [r for r in queue.jobs().values() if "s:email" in r or r["state"] == "done"]
    assert not gitlab.issues("[Success]")


# --- after the dot: it may have been taken, and nobody can tell ---

AFTER_THE_DOT = {
    "garbage": (b"\0\x01\x02 taken\r\n", "its answer is not SMTP"),
    "a line without end": (b"250 " + b"x" * 100000, "a reply line of more than 4 KiB"),
    "lines without end": (b"250-x\r\n" * 100000, "a reply of too many lines"),
    "codes that differ": (b"250-taken\r\n550 not taken\r\n", "the codes of one reply differ"),
    "neither yes nor no": (b"354 go on\r\n", "354 go on"),
}


def test_answers_to_the_dot_that_are_none(queue, start_worker, hostile, settings, gitlab):
    worker = start_worker(**{**settings, "STOPGAP_SMTP_TLS": "off", "STOPGAP_SMTP_USER": None,
                             "STOPGAP_SMTP_PASSWORD": None, "STOPGAP_ON_AMBIGUOUS": "hold"})
    for n, (name, (answer, words)) in enumerate(AFTER_THE_DOT.items(), 1):
        hostile.serve = converse(GREETING, HELLO, OK, OK, b"354 go\r\n",
                                 lambda line, a=answer: (hear_content(line), line.say(a)))
        queue.push(ticket_id=n, email=f"c{n}@example.com", requested_by=f"a{n}")
        queue.settled(n)
        (job,) = (r for r in queue.jobs().values() if r["ticket"] == str(n))
        assert (job["state"], job["err_class"]) == ("failed", "ambiguous"), (name, job)
        assert words in job["err_text"] and "may or may not" in job["err_text"], (name, job["err_text"])
    assert not gitlab.issues("[Success]") and worker.running


def test_words_of_a_good_answer_are_inert(queue, start_worker, hostile, settings, gitlab, ctl):
    """They are kept, shown and written into the issue."""
    said = b"250 \x1b]0;x\x07<script>@all /close \xe2\x80\xae\xff\n"
    hostile.serve = converse(GREETING, HELLO, OK, OK, b"354 go\r\n",
                             lambda line: (hear_content(line), line.say(said)))
    worker = start_worker(**{**settings, "STOPGAP_SMTP_TLS": "off", "STOPGAP_SMTP_USER": None,
                             "STOPGAP_SMTP_PASSWORD": None})
    queue.push()
    queue.settled(1)
    job_id, job = queue.only("done")
    seen = ctl.run("show", job_id).out + worker.text() + str(job)
    assert "<script>" in seen and not [c for c in "\x1b\x07\u202e" if c in seen]
    assert {kind for _, _, kind, _ in gitlab.active_text()} <= {"heading"}
