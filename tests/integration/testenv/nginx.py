"""A real nginx on loopback as TLS proxy in front of the receiver, with the lines that
docs/webhook.md gives."""

import os
import shutil
import ssl

from . import process
from .wait import wait_for

PROGRAM = "/usr/sbin/nginx"
CONFIG = """
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
    upstream stopgap {{
        server 127.0.0.1:{upstream};
        keepalive 8;
    }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        client_max_body_size 256k;
        location / {{
            proxy_pass http://stopgap;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
"""


def missing():
    """Why there can be none here; "" if there can."""
    return "" if os.access(PROGRAM, os.X_OK) else "nginx is not installed"


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
                f.write(CONFIG.format(dir=self.folder, upstream=upstream, port=self.port,
                                      cert=cert, key=key))
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
        shutil.rmtree(self.folder, ignore_errors=True)
