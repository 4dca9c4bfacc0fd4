"""A real Postfix on loopback: a configuration and a queue of its own, STARTTLS forced on one
port, TLS from the first byte on another, log-in asked for on both, and delivery into a
maildir. Its log-ins are judged by a few lines of Dovecot's protocol, in this process."""

import base64
import os
import pathlib
import pwd
import shutil
import socketserver
import threading

from . import process
from .wait import wait_for

MASTER_PROGRAM = "/usr/lib/postfix/sbin/master"  # `postfix start` looks around for seconds
QUEUES = ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming",
          "private", "public", "saved", "trace"]

MAIN = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {dir}/log
maillog_file_prefixes = {dir}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.test
mydestination =
mynetworks =
alias_maps =
virtual_mailbox_domains = example.com
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{sasl}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access texthash:{dir}/refused, permit_sasl_authenticated, reject
smtputf8_enable = no
smtpd_error_sleep_time = 0
biff = no
"""
REFUSED = """
refused@example.com 550 5.1.1 No such customer
"""
MASTER = """
127.0.0.1:{starttls} inet n - n - - smtpd
127.0.0.1:{smtps} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
virtual unix - n n - - virtual
postlog unix-dgram n - n - 1 postlogd
"""


def missing():
    """Why there can be none here; "" if there can."""
    if not os.access(MASTER_PROGRAM, os.X_OK):
        return "Postfix is not installed"
    return "" if os.geteuid() == 0 else "Postfix needs root"


class Judge(socketserver.StreamRequestHandler):
    """Dovecot's authentication protocol 1.1, as far as Postfix speaks it."""

    def handle(self):
        self.say("VERSION\t1\t1", "MECH\tPLAIN\tplaintext", "MECH\tLOGIN\tplaintext",
                 "SPID\t1", "CUID\t1", "COOKIE\t00", "DONE")
        for line in self.rfile:
            words = line.decode().rstrip("\n").split("\t")
            if words[0] == "AUTH":
                self.judge(words)

    def judge(self, words):
        first = next((w[5:] for w in words if w.startswith("resp=")), None)
        if words[2] == "PLAIN":
            first = first or self.ask(words[1], b"")
            _, user, password = base64.b64decode(first).decode().split("\0")
        else:
            user = base64.b64decode(first or self.ask(words[1], b"Username:")).decode()
            password = base64.b64decode(self.ask(words[1], b"Password:")).decode()
        self.server.logins.append((words[2], user, password, "secured" in words))
        if self.server.users.get(user) == password:
            self.say(f"OK\t{words[1]}\tuser={user}")
        else:
            self.say(f"FAIL\t{words[1]}\tuser={user}")

    def ask(self, number, text):
        self.say(f"CONT\t{number}\t{base64.b64encode(text).decode()}")
        return self.rfile.readline().decode().rstrip("\n").split("\t")[2]

    def say(self, *lines):
        self.wfile.write("".join(line + "\n" for line in lines).encode())


class Postfix:
    def __init__(self, folder, certificate, key, users):
        self.dir = pathlib.Path(folder, "postfix")
        self.starttls, self.smtps = process.free_port(), process.free_port()
        self._judge = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Judge)
        self._judge.daemon_threads = True
        self._judge.users, self._judge.logins = users, []
        threading.Thread(target=self._judge.serve_forever, daemon=True).start()
        self._write(certificate, key)
        self._process = process.start([MASTER_PROGRAM, "-c", str(self.dir), "-s"])
        wait_for(self._ready, lambda: f"Postfix is there: {self.log()}")

    def _write(self, certificate, key):
        owner = pwd.getpwnam("postfix")
        os.chmod(self.dir.parent, 0o711)  # its daemons are not root
        for name in ("", "queue", "queue/pid"):
            (self.dir / name).mkdir(mode=0o755)
        for name in ("data", "mail", *(f"queue/{q}" for q in QUEUES)):
            (self.dir / name).mkdir(mode=0o755)
            os.chown(self.dir / name, owner.pw_uid, owner.pw_gid)
        for path, name in ((certificate, "cert.pem"), (key, "key.pem")):
            shutil.copy(path, self.dir / name)
        os.chmod(self.dir / "key.pem", 0o600)
        values = {"dir": self.dir, "uid": owner.pw_uid, "gid": owner.pw_gid,
                  "cert": self.dir / "cert.pem", "key": self.dir / "key.pem",
                  "sasl": self._judge.server_address[1], "starttls": self.starttls,
                  "smtps": self.smtps}
        for name, text in (("main.cf", MAIN), ("master.cf", MASTER), ("refused", REFUSED)):
            (self.dir / name).write_text(text.format(**values), encoding="ascii")

    def _ready(self):
        assert self._process.poll() is None, f"Postfix ended: {self.log()}"
        return "daemon started" in self.log()

    def log(self):
        path = self.dir / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    @property
    def logins(self):
        """(mechanism, user, password, over TLS), as they came."""
        return list(self._judge.logins)

    def mails(self):
        """What was delivered, as bytes with LF line ends."""
        return [p.read_bytes() for p in sorted((self.dir / "mail/box/new").glob("*"))]

    def stop(self):
        process.stop(self._process)
        self._judge.shutdown()
        self._judge.server_close()
