"""An HTTP relay in front of the GitLab stand-in that spoils answers byte by byte: what a
proxy, a cut line or a broken server does to an answer, after the request has taken effect
or in place of it. With TLS if given a context. Counts connections. Judges nothing."""

import dataclasses
import http.client
import json
import socket
import threading
import time


@dataclasses.dataclass
class Answer:
    """What the stand-in said."""

    status: int
    headers: list
    body: bytes

    def head(self, version="HTTP/1.1", length=None, drop=(), **extra):
        """Status line and headers, with another Content-Length; -1: none."""
        names = {"content-length", *drop, *(name.replace("_", "-").lower() for name in extra)}
        lines = [f"{version} {self.status} {http.client.responses.get(self.status, 'X')}"]
        lines += [f"{k}: {v}" for k, v in self.headers if k.lower() not in names]
        lines += [f"{k.replace('_', '-')}: {v}" for k, v in extra.items()]
        if length != -1:
            lines.append(f"Content-Length: {len(self.body) if length is None else length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def whole(self):
        return self.head() + self.body


@dataclasses.dataclass
class Rule:
    method: str
    path: str  # its end, without the query; "" is any
    times: int
    spoil: object  # Answer -> iterable of bytes; Answer is None if not relayed
    relay: bool
    keep: bool  # the connection stays open
    text: str  # the body holds it


@dataclasses.dataclass
class Seen:
    at: float
    method: str
    path: str


def made(status, body="", headers=()):
    """A whole answer of our own: text, bytes, or anything that is JSON."""
    headers = list(headers)
    if not isinstance(body, (str, bytes)):
        body = json.dumps(body)
        headers.append(("Content-Type", "application/json"))
    data = body.encode() if isinstance(body, str) else body
    return Answer(status, headers, data).whole()


class Wire:
    def __init__(self, gitlab, context=None, host="127.0.0.1", name=None):
        self.upstream = gitlab.port
        self.context = context
        self.connections = 0  # accepted, whatever became of them
        self.seen = []
        self._rules = []
        self._lock = threading.Lock()
        self._open = set()
        self._listener = socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self._listener.getsockname()[1]
        shown = name or (f"[{host}]" if ":" in host else host)
        self.url = f"{'https' if context else 'http'}://{shown}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    # --- what a test says ---

    def spoil(self, method, path, how, times=1, relay=True, keep=False, text=""):
        """The next `times` such answers become what how(answer) yields."""
        with self._lock:
            self._rules.append(Rule(method, path, times, how, relay, keep, text))

    def answer(self, method, path, status, body="", headers=(), times=1, text=""):
        """The next such requests get this and go no further."""
        data = made(status, body, headers)
        self.spoil(method, path, lambda _: [data], times, relay=False, keep=True, text=text)

    def clear(self):
        with self._lock:
            self._rules.clear()

    def stop(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self.cut()

    def cut(self):
        """Ends the connections there are."""
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    # --- connections ---

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        upstream = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=60)
        with self._lock:
            self._open.add(connection)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context:
                with self._lock:
                    self._open.discard(connection)
                connection = self.context.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open.add(connection)
            with connection, connection.makefile("rb") as lines:
                while self._one(connection, lines, upstream):
                    pass
        except OSError:  # gone, or its TLS is not to its taste
            pass
        finally:
            upstream.close()
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _one(self, connection, lines, upstream):
        """One request; False at the end of the connection."""
        start = lines.readline().decode("latin-1").split()
        if len(start) != 3 or not start[2].startswith("HTTP/"):
            return False  # the end, or somebody who wants TLS
        headers = http.client.parse_headers(lines)
        body = lines.read(int(headers.get("Content-Length", 0)))
        rule = self._note(start[0], start[1], body)
        answer = None
        if not rule or rule.relay:
            upstream.request(start[0], start[1], body or None, dict(headers))
            got = upstream.getresponse()
            answer = Answer(got.status, got.getheaders(), got.read())
        for piece in rule.spoil(answer) if rule else [answer.whole()]:
            connection.sendall(piece)
        return not rule or rule.keep

    def _note(self, method, target, body):
        path = target.partition("?")[0]
        with self._lock:
            self.seen.append(Seen(time.monotonic(), method, path))
            for rule in self._rules:
                if (rule.times and rule.method in (method, "*") and path.endswith(rule.path)
                        and rule.text.encode() in body):
                    rule.times -= 1
                    return rule
        return None
