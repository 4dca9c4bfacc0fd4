"""A real nginx on loopback as TLS proxy in front of the receiver, with the lines that
docs/webhook.md gives."""

import os
import re
import ssl

from . import process
from .wait import wait_for

PROGRAM = "/usr/sbin/nginx"
PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "..", "docs", "webhook.md")
AROUND = """
worker_processes 1;
daemon off;
pid {dir}/pid;
error_log {dir}/error.log warn;
worker_rlimit_nofile 4096;
events {{ worker_connections 2000; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    {ours}
}}
"""


def missing():
    """Why there can be none here; "" if there can."""
    return "" if os.access(PROGRAM, os.X_OK) else "nginx is not installed"


def documented(**places):
    """The page's lines, with its addresses and files changed for these."""
    with open(PAGE, encoding="utf-8") as f:
        section = f.read().split("## Behind a proxy", 1)[1].split("\n## ", 1)[0]
    whole, more = re.findall(r"```\n(.*?)```", section, re.S)
    text = whole.rstrip()[:-1] + more + "}\n"
    for old, new in (("127.0.0.1:8080", places["upstream"]), ("listen 443", places["listen"]),
                     ("/etc/ssl/hooks.pem", places["cert"]), ("/etc/ssl/hooks.key", places["key"])):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


class Nginx:
    def __init__(self, folder, authority, upstream):
        self.folder = os.path.join(folder, "nginx")
        os.mkdir(self.folder)
        os.chmod(folder, 0o755)  # its worker is another user
        cert, key = authority.issue()
        self._authority = authority
        for _ in range(5):
            self.port = process.free_port()
            with open(os.path.join(self.folder, "conf"), "w", encoding="ascii") as f:
                f.write(AROUND.format(dir=self.folder, ours=documented(
                    upstream=f"127.0.0.1:{upstream}", listen=f"listen 127.0.0.1:{self.port}",
                    cert=cert, key=key)))
            self._process = process.start([PROGRAM, "-p", self.folder, "-c", "conf"])
            wait_for(lambda: self._process.poll() is not None or
                     os.path.exists(os.path.join(self.folder, "pid")), "nginx runs")
            if self._process.poll() is None:
                return
        raise AssertionError(self.log())

    def context(self):
        """For a client that trusts it."""
        return ssl.create_default_context(cafile=self._authority.path)

    def log(self):
        with open(os.path.join(self.folder, "error.log"), encoding="utf-8") as f:
            return f.read()

    def stop(self):
        process.stop(self._process)
