"""stopgapctl doctor against what may be wrong: each gets its line and the right advice."""

import contextlib
import datetime
import email
import email.policy
import email.utils
import json
import os
import shutil
import subprocess
import time

import pytest
from testenv import process
from testenv.certs import LONG_AGO, Authority
from testenv.ctl import Ctl
from testenv.gitlab import GUEST, MAINTAINER
from testenv.process import free_port
from testenv.queue import PREFIX
from testenv.smtp import DROP, Smtp


def day(offset):
    return (datetime.datetime.now(datetime.timezone.utc).date() +
            datetime.timedelta(days=offset)).isoformat()


def stamp(offset):
    """As openssl ca takes it."""
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=offset)
    return moment.strftime("%Y%m%d%H%M%SZ")


@pytest.fixture
def full(env, slack, zendesk, folder):
    """All that can be set up, and all of it well but for a worker that runs."""
    os.mkdir(os.path.join(folder, "spool"), 0o700)
    env.update({"STOPGAP_SLACK_WEBHOOK_URL": slack.url, "STOPGAP_ZENDESK_URL": zendesk.url,
                "STOPGAP_ZENDESK_USER": zendesk.AGENT, "STOPGAP_ZENDESK_TOKEN": zendesk.TOKEN,
                "STOPGAP_GITLAB_SETTLE": "65s",
                "STOPGAP_SPOOL_DIR": os.path.join(folder, "spool")})
    return env


@pytest.fixture
def alive(redis):
    """As a worker shows itself; one in earnest would join in."""
    redis.client.zadd(PREFIX + "workers", {"host:1:2:3": 32503680000000})


@contextlib.contextmanager
def changed(what, change):
    before = {name: getattr(what, name) for name in change}
    for name, value in change.items():
        setattr(what, name, value)
    yield
    for name, value in before.items():
        setattr(what, name, value)


class Report:
    def __init__(self, json, status):
        self.json, self.status = json, status

    def lines(self, check):
        return [c for c in self.json["checks"] if c["check"] == check]

    def bad(self):
        """{(check, result)} of what is not well."""
        return {(c["check"], c["result"]) for c in self.json["checks"]
                if c["result"] in ("warning", "failed")}

    def has(self, check, result, found, mend=""):
        assert any(c["result"] == result and found in c["found"] and mend in c.get("mend", "")
                   for c in self.lines(check)), (check, result, found, mend, self.json)


@pytest.fixture
def doctor(full, alive):
    def run(*args, **changes):
        settings = {k: v for k, v in {**full, **changes}.items() if v is not None}
        done = Ctl(settings).run("doctor", "--json", *args, status=None)
        return Report(done.json, done.status)
    return run


def test_all_is_well(doctor, full, redis, gitlab, smtp, slack, zendesk):
    report = doctor()
    assert (report.bad(), report.status, report.json["ok"]) == (set(), 0, True), report.json
    whats = {c["check"] for c in report.json["checks"] if c["result"] == "ok"}
    assert whats >= {"redis", "redis version", "redis role", "redis aof", "redis fsync",
                     "redis eviction", "redis latency", "redis clock", "workers", "jobs",
                     "spool", "key", "smtp", "gitlab token", "gitlab role", "gitlab project",
                     "gitlab members", "gitlab clock", "slack", "zendesk", "zendesk clock"}
    # It changed nothing anywhere.
    assert {r.method for r in gitlab.requests()} == {"GET"}
    assert zendesk.writes() == [] and slack.messages == [] and smtp.mails_to() == []
    assert os.listdir(full["STOPGAP_SPOOL_DIR"]) == []
    assert redis.client.keys(PREFIX + "*") == [PREFIX + "workers"]
    secrets = [gitlab.TOKEN, zendesk.TOKEN, slack.url.rsplit("/", 1)[1]]
    assert not any(s in str(report.json) for s in secrets)


def test_as_text(full, alive, smtp):
    ctl = Ctl(full)
    done = ctl.run("doctor")
    assert done.out.splitlines()[-1].endswith("tried: 0 failed, 0 warnings")
    assert "\033" not in done.out
    assert ctl.run("doctor", "--quiet").out == ""
    smtp.down()
    done = ctl.run("doctor", "--quiet", status=1)
    line, mend = done.out.splitlines()
    assert line.startswith("failed   smtp ") and "refused" in line
    assert mend.strip().startswith("-> is STOPGAP_SMTP_URL right")


def test_redis_is_set_up_badly(doctor, redis):
    for name, value, well, check, result, found, mend in (
            ("appendonly", "no", "yes", "redis aof", "failed", "appendonly is off",
             "appendonly yes"),
            ("appendfsync", "everysec", "always", "redis fsync", "warning", "everysec",
             "appendfsync always"),
            ("maxmemory-policy", "allkeys-lru", "noeviction", "redis eviction", "warning",
             "allkeys-lru", "noeviction"),
            ("maxmemory", "1", "0", "redis memory", "warning", "MiB are used",
             "raise maxmemory")):
        redis.client.config_set(name, value)
        report = doctor()
        report.has(check, result, found, mend)
        assert report.bad() == {(check, result)}
        redis.client.config_set(name, well)


def test_eviction_with_a_limit_fails(doctor, redis):
    redis.client.config_set("maxmemory", "500mb")
    redis.client.config_set("maxmemory-policy", "volatile-ttl")
    report = doctor()
    report.has("redis eviction", "failed", "thrown away", "noeviction")
    assert report.status == 1


def test_redis_is_a_replica(doctor, redis):
    redis.client.replicaof("127.0.0.1", str(free_port()))
    doctor().has("redis role", "failed", "it is a slave", "primary")


def test_replicas_are_missing(doctor):
    doctor(STOPGAP_REDIS_WAIT="1").has("redis role", "failed", "0 replicas",
                                       "STOPGAP_REDIS_WAIT")


def test_redis_is_away_and_the_rest_is_tried(doctor, full):
    report = doctor(STOPGAP_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    report.has("redis", "failed", "refused", "start Redis")
    assert report.bad() == {("redis", "failed")} and report.lines("smtp")[0]["result"] == "ok"


def test_redis_wants_another_password(doctor, redis):
    redis.client.config_set("requirepass", "right")
    report = doctor(STOPGAP_REDIS_URL=f"redis://:wrong@127.0.0.1:{redis.port}/0")
    report.has("redis", "failed", "WRONGPASS", "user and password")


def test_redis_does_not_tell(doctor, redis):
    redis.client.execute_command("ACL", "SETUSER", "mute", "on", ">pw", "~*", "+@all", "-info",
                                 "-config")
    report = doctor(STOPGAP_REDIS_URL=f"redis://mute:pw@127.0.0.1:{redis.port}/0")
    report.has("redis", "failed", "NOPERM", "+info")
    report.has("redis fsync", "skipped", "may not ask", "+config|get")


def test_no_worker_lives(doctor, redis):
    redis.client.delete(PREFIX + "workers")
    report = doctor()
    report.has("workers", "failed", "none is alive", "systemctl start stopgap-worker")
    assert report.status == 1


def test_the_queue_waits(doctor, redis, full):
    Ctl({"STOPGAP_REDIS_URL": redis.url}).run("pause", "the move")
    redis.client.hset(PREFIX + "lane:gitlab", mapping={
        "until_ms": 32503680000000, "since_ms": 1, "class": "auth", "text": "401 Unauthorized"})
    redis.client.zadd(PREFIX + "failed", {"a" * 26: 1})
    report = doctor()
    report.has("queue", "warning", "the move", "stopgapctl resume")
    report.has("lanes", "failed", "gitlab since", "by themselves")
    report.has("jobs", "warning", "1 failed", "requeue or discard")


def test_a_job_waits_for_long(doctor, redis):
    redis.client.lpush(PREFIX + "pending", "a" * 26)
    redis.client.hset(PREFIX + "job:" + "a" * 26, "accepted_ms", 1)
    doctor().has("jobs", "failed", "oldest", "stopgapctl workers")


# --- what lies on this host ---

def test_settings_have_faults(doctor):
    report = doctor(STOPGAP_LEASE="10", STOPGAP_GITLAB_TOKEN=None,
                    STOPGAP_GITLAB_TOKEN_FILE="/nonexistent/token")
    report.has("settings", "failed", "STOPGAP_LEASE", "docs/config.md")
    report.has("settings", "failed", "STOPGAP_GITLAB_TOKEN", "worker's user")
    assert report.status == 2


def test_a_setting_is_missing(doctor):
    for name, check, mend in (
            ("STOPGAP_LICENSE_KEY_FILE", "key", "stopgapctl keygen"),
            ("STOPGAP_MAIL_FROM", "mail", "set STOPGAP_MAIL_FROM"),
            ("STOPGAP_GITLAB_PROJECT", "gitlab", "STOPGAP_GITLAB_TOKEN_FILE"),
            ("STOPGAP_GITLAB_TOKEN", "gitlab", "STOPGAP_GITLAB_TOKEN_FILE"),
            # Units hand over secrets that a person's shell has not.
            ("STOPGAP_LICENSE_KEY_FILE", "key", "docs/install.md"),
            ("STOPGAP_GITLAB_TOKEN", "gitlab", "docs/install.md")):
        doctor(**{name: None}).has(check, "failed", "not set", mend)


def test_a_warning_of_the_settings(doctor):
    report = doctor(STOPGAP_MAIL_REPLY_TO=None)
    report.has("settings", "warning", "STOPGAP_MAIL_REPLY_TO", "stopgap.env(5)")
    assert report.status == 0


def test_no_worker_on_this_host(doctor, full):
    worker = [n for n in full if n.startswith(("STOPGAP_LICENSE", "STOPGAP_MAIL",
                                               "STOPGAP_GITLAB"))]
    report = doctor(**{name: None for name in worker})
    report.has("worker", "skipped", "no worker's settings")
    assert report.bad() == set() and not report.lines("smtp")


def test_the_key_is_open_to_others(doctor, key):
    os.chmod(key, 0o644)
    doctor().has("key", "failed", "open to group or others", "user of the worker")


def test_the_key_is_not_there(doctor, key):
    os.unlink(key)
    doctor().has("key", "failed", "No such file")


def test_the_key_is_damaged(doctor, key):
    with open(key, "r+b") as f:
        f.seek(20)
        f.write(b"????")
    doctor().has("key", "failed", key)


def test_the_public_half_is_another_keys(doctor, key, folder):
    other = Ctl({}).keygen(os.path.join(folder, "other.key"))
    shutil.copy(other + ".pub", key + ".pub")
    doctor().has("key", "warning", "another key's", "public half")


def test_a_term_too_short_for_rsa(doctor, folder):
    path = os.path.join(folder, "rsa.key")
    Ctl({}).run("keygen", path, "--type", "rsa", "--bits", "2048")
    report = doctor(STOPGAP_LICENSE_KEY_FILE=path)
    report.has("key", "ok", "GitLab licenses")
    doctor(STOPGAP_LICENSE_KEY_FILE=path, STOPGAP_LICENSE_TERM_DAYS="1").has(
        "key", "failed", "too short", "2 or more")


def test_a_template_is_wrong(doctor, folder):
    path = os.path.join(folder, "templates")
    os.mkdir(path)
    with open(os.path.join(path, "mail.txt"), "w", encoding="ascii") as f:
        f.write("{{nonsense}}")
    doctor(STOPGAP_TEMPLATE_DIR=path).has("templates", "failed", "nonsense",
                                          "STOPGAP_TEMPLATE_DIR")


def test_the_spool(doctor, full, folder):
    spool = full["STOPGAP_SPOOL_DIR"]
    os.chmod(spool, 0o777)
    doctor().has("spool", "failed", "others may write", "chmod 700")
    os.rmdir(spool)
    doctor().has("spool", "warning", "is not there", "when it starts")
    with open(spool, "w", encoding="ascii"):
        pass
    doctor().has("spool", "failed", "no folder", "STOPGAP_SPOOL_DIR")
    doctor(STOPGAP_SPOOL_DIR=None).has("spool", "skipped", "no receiver has used")


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.isdir("/proc/1/fdinfo"),
                    reason="nothing here refuses root")
def test_the_spool_takes_no_files(doctor):
    folder = "/proc/1/fdinfo" if os.geteuid() == 0 else "/proc"
    doctor(STOPGAP_SPOOL_DIR=folder).has("spool", "failed", "no file can be written",
                                         "receiver's user")


def test_an_authority_that_is_none(doctor, folder):
    path = os.path.join(folder, "ca.pem")
    with open(path, "w", encoding="ascii") as f:
        f.write("nothing")
    doctor(STOPGAP_CA_FILE=path).has("ca", "failed", "no trusted certificates",
                                     "STOPGAP_CA_FILE")


def test_the_mail_server_turns_us_away(doctor, smtp):
    for place, what, found, mend in (
            ("greeting", "554 5.7.1 not from there", "554", "let this host in"),
            ("greeting", b"HTTP/1.1 400 Bad Request\r\n\r\n", "not SMTP",
             "is it a mail server"),
            ("greeting", DROP, "closed by the peer", "is it a mail server"),
            ("EHLO", "550 5.5.2 who?", "550", "STOPGAP_SMTP_EHLO"),
            ("EHLO", b"250 come in\r\n421 4.3.2 going down\r\n", "421 4.3.2", "")):
        smtp.at(place, what)
        doctor().has("smtp", "failed", found, mend)
        smtp.forget()


def test_the_mail_server_has_no_tls(doctor):
    doctor(STOPGAP_SMTP_TLS="required").has("smtp", "failed", "does not offer it",
                                            "offer STARTTLS")


def test_its_name_does_not_resolve(doctor):
    doctor(STOPGAP_SMTP_URL="smtp://mail.invalid:25", STOPGAP_SMTP_TLS="required").has(
        "smtp", "failed", "cannot resolve mail.invalid", "mend DNS")


@pytest.fixture
def authority(folder):
    return Authority(folder)


@pytest.fixture
def tls_smtp(authority, full):
    """start(certificate...): a mail server with STARTTLS."""
    servers = []

    def start(**how):
        server = Smtp(tls_context=authority.context(**how))
        servers.append(server)
        full.update(STOPGAP_SMTP_URL=server.url, STOPGAP_SMTP_TLS="required",
                    STOPGAP_CA_FILE=authority.path)
        return server
    yield start
    for server in servers:
        server.stop()


def test_the_mail_servers_certificate_is_well(doctor, tls_smtp):
    tls_smtp()
    report = doctor()
    report.has("smtp", "ok", "with TLS")
    report.has("smtp certificate", "ok", "valid until 2099")


@pytest.mark.parametrize("how, found", [
    ({"span": LONG_AGO}, "certificate has expired"),
    ({"names": "DNS:elsewhere.example"}, "IP address mismatch"),
    ({"alone": True}, "self-signed certificate"),
])
def test_the_mail_servers_certificate_is_refused(doctor, tls_smtp, how, found):
    tls_smtp(**how)
    doctor().has("smtp", "failed", found, "STOPGAP_CA_FILE")


@pytest.mark.parametrize("days, result", [(5, "warning"), (1, "failed")])
def test_the_mail_servers_certificate_ends_soon(doctor, tls_smtp, days, result):
    tls_smtp(span=("19700101000000Z", stamp(days)))
    doctor().has("smtp certificate", result, "valid until", "renew it")


def test_the_log_in_is_refused(doctor, tls_smtp):
    tls_smtp().users = {"stopgap": "right"}
    login = {"STOPGAP_SMTP_USER": "stopgap", "STOPGAP_SMTP_PASSWORD": "wrong"}
    report = doctor(**login)
    report.has("smtp", "failed", "535", "STOPGAP_SMTP_PASSWORD")
    assert "wrong" not in str(report.json)
    doctor(**{**login, "STOPGAP_SMTP_PASSWORD": "right"}).has("smtp", "ok", "as stopgap")


def test_a_sample_goes_the_way_of_a_license(doctor, smtp):
    report = doctor("--mail-to", "me@vendor.example")
    report.has("sample mail", "ok", "took it for me@vendor.example")
    (mail,) = smtp.mails_to()
    message = email.message_from_bytes(mail.data, policy=email.policy.default)
    assert (mail.rcpt, mail.mail_from) == (["me@vendor.example"], "licenses@vendor.example")
    assert message.defects == [] and message["Subject"].startswith("[TEST, NO LICENSE] ")
    for kind in ("plain", "html"):
        text = message.get_body((kind,)).get_content()
        assert "There is no license in it" in text and "-----BEGIN" not in text
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "test-no-license.txt"
    assert b"It is no license" in attachment.get_content()


def test_the_sample_is_refused(doctor, smtp):
    smtp.on("me@vendor.example", rcpt="550 5.1.1 nobody")
    report = doctor("--mail-to", "me@vendor.example")
    report.has("sample mail", "failed", "550", "deliver to")
    assert Ctl({}).run("doctor", "--mail-to", "me@@x", status=2).err


def test_gitlabs_token(doctor, gitlab):
    for change, check, result, found, mend in (
            ({"state": "revoked"}, "gitlab token", "failed", "401", "make a new one"),
            ({"scope": "read_api"}, "gitlab token", "failed", "not the api scope", "`api`"),
            ({"expires_at": day(1)}, "gitlab token", "failed", "in 1 days", "HUP the workers"),
            ({"expires_at": day(10)}, "gitlab token", "warning", "in 10 days", "HUP the workers"),
            ({"expires_at": day(100)}, "gitlab token", "ok", "in 100 days", ""),
            ({"level": GUEST}, "gitlab role", "failed", "Guest: issues", "Reporter"),
            ({"level": 0}, "gitlab project", "failed", "404", "a member there"),
            ({"tells": False}, "gitlab token", "skipped", "does not tell", "when it expires"),
    ):
        with changed(gitlab.token(), change):
            doctor().has(check, result, found, mend)


def test_gitlabs_project(doctor, gitlab):
    for change, check, result, found, mend in (
            ({"visibility": "public"}, "gitlab project", "failed", '"public"', "make it private"),
            ({"archived": True}, "gitlab project", "failed", "archived", "unarchive"),
            ({"issues_enabled": False}, "gitlab project", "failed", "turned off", "turn issues on"),
            ({"moved_to": "http://127.0.0.1/other"}, "gitlab project", "failed", "has moved",
             "STOPGAP_GITLAB_PROJECT"),
            ({"members": [("agent", 10), ("lead", 40)]}, "gitlab members", "warning",
             "1 see no confidential issues: agent", "Planner or Reporter"),
            ({"members": [("project_4711_bot", 20)]}, "gitlab members", "warning", "nobody but",
             "invite"),
    ):
        with changed(gitlab.project(), change):
            doctor().has(check, result, found, mend)


def test_who_else_is_told_of_issues(doctor, gitlab):
    doctor().has("gitlab webhooks", "skipped", "Maintainer", "Confidential issues events")
    gitlab.token().level = MAINTAINER
    report = doctor()
    report.has("gitlab webhooks", "ok", "none")
    report.has("gitlab integrations", "ok", "none")
    project = gitlab.project()
    project.hooks += [{"url": url, "confidential_issues_events": True}
                      for url in ("https://ci.example/hook?token=hush",
                                  "https://bot:hush@chat.example:8443/a@b")]
    project.integrations += [
        {"title": "Mattermost notifications", "active": True, "confidential_issues_events": True},
        {"title": "Jira", "active": True, "confidential_issues_events": False}]
    report = doctor()
    report.has("gitlab webhooks", "warning", "ci.example, chat.example:8443", "turn")
    report.has("gitlab integrations", "warning", "Mattermost", "turn")
    assert "hush" not in str(report.json) and "Jira" not in str(report.json)


def test_gitlab_is_away(doctor, gitlab):
    gitlab.down()
    report = doctor()
    report.has("gitlab", "failed", "connect", "STOPGAP_GITLAB_URL")
    assert report.bad() == {("gitlab", "failed")}


def test_gitlab_speaks_no_tls(doctor, gitlab):
    doctor(STOPGAP_GITLAB_URL=gitlab.url.replace("http:", "https:")).has(
        "gitlab", "failed", "SSL", "certificate")


def test_gitlab_is_no_gitlab(doctor, slack):
    report = doctor(STOPGAP_GITLAB_URL=slack.url.split("/services")[0])
    report.has("gitlab project", "failed", "501", "STOPGAP_GITLAB_PROJECT")


def test_a_clock_is_wrong(doctor, gitlab):
    """A header of its own takes the place of the server's."""
    for seconds, result, found in ((30, "warning", "ahead of"), (-7200, "failed", "behind"),
                                   (2, "ok", "agrees")):
        moment = email.utils.formatdate(time.time() + seconds, usegmt=True)
        gitlab.fail_next("answer", method="GET", path="/self", status=200, headers={"Date": moment},
                         body='{"scopes":["api"]}')
        doctor().has("gitlab clock", result, found)


def test_slack_refuses(doctor, slack):
    for status, words, mend in (
            (404, "no_service", "new incoming webhook"),
            (403, "invalid_token", "new incoming webhook"),
            (410, "channel_is_archived", "new incoming webhook"),
            (500, "server_error", "firewall")):
        slack.fail_next("answer", status=status, body=words)
        doctor().has("slack", "failed", str(status), mend)


def test_slack_and_zendesk_are_not_set_up(doctor):
    report = doctor(STOPGAP_SLACK_WEBHOOK_URL=None, STOPGAP_ZENDESK_USER=None,
                    STOPGAP_ZENDESK_TOKEN=None)
    report.has("slack", "skipped", "not set up")
    report.has("zendesk", "skipped", "not set up")


def test_zendesks_credentials(doctor, zendesk):
    doctor(STOPGAP_ZENDESK_TOKEN="x" * 20).has("zendesk", "failed", "401", "API tokens")
    doctor(STOPGAP_ZENDESK_USER=zendesk.CUSTOMER).has("zendesk", "failed", "end-user",
                                                      "read and comment")
    zendesk.fail_next("answer", status=200, body='{"user":{"id":null,"role":"end-user"}}',
                      method="GET", path="/users/me")
    doctor().has("zendesk", "failed", "for nobody", "STOPGAP_ZENDESK_TOKEN")


def test_zendesks_webhook(doctor, zendesk):
    hook = "01F1KRFQ6BG29CNWFR60NK5FNY"
    doctor(STOPGAP_ZENDESK_WEBHOOK_ID=hook).has("zendesk webhook", "skipped", "may not see")
    doctor(STOPGAP_ZENDESK_WEBHOOK_ID=hook, STOPGAP_ZENDESK_USER=zendesk.ADMIN).has(
        "zendesk webhook", "failed", hook, "STOPGAP_ZENDESK_WEBHOOK_ID")
    for status, result in (("inactive", "failed"), ("active", "ok")):
        zendesk.fail_next("answer", status=200, body='{"webhook":{"status":"%s"}}' % status,
                          method="GET", path="/webhooks/")
        doctor(STOPGAP_ZENDESK_WEBHOOK_ID=hook).has("zendesk webhook", result, "active")


def test_zendesk_is_away(doctor):
    doctor(STOPGAP_ZENDESK_URL=f"http://127.0.0.1:{free_port()}").has(
        "zendesk", "failed", "connect", "STOPGAP_ZENDESK_URL")


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root, who may be anybody")
def test_the_spool_is_another_users(doctor, full, folder):
    os.chown(full["STOPGAP_SPOOL_DIR"], 12345, 12345)
    os.chmod(folder, 0o755)
    report = doctor("--quiet")
    assert report.bad() == set()  # root may look
    os.chown(full["STOPGAP_SPOOL_DIR"], 0, 0)
    for path in (folder, os.path.dirname(full["STOPGAP_LICENSE_KEY_FILE"])):
        os.chmod(path, 0o755)
    done = subprocess.run(
        ["setpriv", "--reuid", "12345", "--clear-groups", process.program("stopgapctl"),
         "doctor", "--json"], capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": os.environ["PATH"], **full})
    if done.returncode == 126:
        pytest.skip("the programs are not for others to run")
    Report(json.loads(done.stdout), done.returncode).has("spool", "skipped", "another user's")


def test_the_systems_own_spool_is_not_ours(full, alive, folder):
    """The default is relative: with / as the working folder it is /var/spool."""
    env = {k: v for k, v in full.items() if k != "STOPGAP_SPOOL_DIR"}
    os.makedirs(os.path.join(folder, "var/spool"))

    def spool():
        done = subprocess.run([process.program("stopgapctl"), "doctor", "--json"], cwd=folder,
                              capture_output=True, text=True, check=False, timeout=60,
                              env={"PATH": os.environ["PATH"], **env})
        return Report(json.loads(done.stdout), done.returncode)
    spool().has("spool", "skipped", "no receiver has used")
    with open(os.path.join(folder, "var/spool/lock"), "w", encoding="ascii"):
        pass
    spool().has("spool", "ok", "takes files")
