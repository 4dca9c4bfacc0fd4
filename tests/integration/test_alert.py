"""deploy/systemd/alert: what is said in Slack and by mail when a unit fails, how often, and
when it is well again."""

import email
import email.policy
import os
import pathlib
import shutil
import subprocess
import time

import pytest

ALERT = pathlib.Path(__file__).resolve().parents[2] / "deploy/systemd/alert"
UNIT = "stopgap-doctor.service"


@pytest.fixture
def unit(tmp_path, slack, smtp):
    """unit(result): the alert's run after the unit has ended so. unit.log: its log."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    for name in ("state", "credentials", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "credentials/slack_webhook_url").write_text(slack.url)
    journal = tmp_path / "bin/journalctl"
    journal.write_text(f"#!/bin/sh\ncat '{tmp_path}/log'\n")
    journal.chmod(0o755)

    def run(result, **changes):
        (tmp_path / "log").write_bytes(run.log)
        env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
               "STATE_DIRECTORY": str(tmp_path / "state"),
               "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"),
               "MONITOR_SERVICE_RESULT": result, "ALERT_MAIL_TO": "oncall@vendor.example",
               "ALERT_MAIL_FROM": "stopgap@vendor.example", "ALERT_SMTP_URL": smtp.url, **changes}
        done = subprocess.run([ALERT, UNIT], env=env, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=60, check=False)
        return done.returncode

    run.log = b"smtp: connection refused\n"
    run.state = tmp_path / "state" / UNIT
    run.slack_url = tmp_path / "credentials/slack_webhook_url"
    return run


def subjects(smtp):
    return [email.message_from_bytes(mail.data, policy=email.policy.default)["Subject"]
            for mail in smtp.mails_to("oncall@vendor.example")]


def test_a_failure_is_told_in_both_places(unit, slack, smtp):
    unit.log = 'gitlab: "401" <b> & \\ a\ttab, ä\n.\nlast'.encode()
    assert unit("exit-code") == 0
    (text,) = slack.posts
    assert f"{UNIT} failed (exit-code)" in text
    assert 'gitlab: "401" &lt;b&gt; &amp; \\ a tab, ä\n.\nlast' in text
    (mail,) = smtp.mails_to("oncall@vendor.example")
    message = email.message_from_bytes(mail.data, policy=email.policy.default)
    assert UNIT in message["Subject"] and message["To"] == "oncall@vendor.example"
    assert "a\ttab, ä\n.\nlast" in message.get_content().replace("\r\n", "\n")


def test_the_same_is_told_once_an_hour(unit, smtp):
    unit.log = b"smtp: no answer for 5 s\n"
    unit("exit-code")
    unit.log = b"smtp: no answer for 17 s\n"  # numbers are no news
    unit("exit-code")
    assert len(subjects(smtp)) == 1
    unit.log = b"gitlab: 401\n"
    unit("exit-code")
    assert len(subjects(smtp)) == 2
    hours_ago = time.time() - 7200
    os.utime(unit.state, (hours_ago, hours_ago))
    unit("exit-code")
    assert len(subjects(smtp)) == 3


def test_well_again_is_told_once(unit, smtp):
    assert unit("success") == 0
    assert subjects(smtp) == []
    unit("exit-code")
    unit("success")
    unit("success")
    assert [s.rpartition(f"{UNIT} ")[2] for s in subjects(smtp)] == \
        ["failed (exit-code)", "is well again"]


def test_what_could_not_be_told_is_told_the_next_time(unit, slack, smtp):
    smtp.replies["MAIL"] = "451 4.3.0 later"
    assert unit("exit-code") == 1
    smtp.replies.clear()
    assert unit("exit-code") == 0
    assert len(subjects(smtp)) == 1


def test_nobody_to_tell(unit, slack, smtp):
    unit.slack_url.write_text("off")
    assert unit("exit-code", ALERT_MAIL_TO="") == 0
    assert subjects(smtp) == [] and slack.posts == []
