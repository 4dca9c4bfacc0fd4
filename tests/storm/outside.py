"""The mail server and the GitLab of a storm: fast where tests/integration/testenv is
strict, in a process of their own. They keep what a storm is judged by: every mail and
every issue, by job. `python3 outside.py` prints its two ports; POST /dump writes what it
has to the file that its body names."""

import asyncio
import hashlib
import json
import pickle
import re
import sys
import time
import urllib.parse

ISSUES = "/api/v4/projects/1/issues"
LICENSE = re.compile(rb"-----BEGIN STOPGAP LICENSE-----(.*?)-----END STOPGAP LICENSE-----", re.DOTALL)
LATENCY_S = 0.02


def license_in(text):
    """Without line ends, quoted or not."""
    hit = LICENSE.search(text)
    return hit and re.sub(rb"\s", b"", re.sub(rb"=\r?\n", b"", hit.group(1)))


class Kept:
    def __init__(self):
        self.mails = []  # (job, digest of all bytes, license, when)
        self.issues = []  # dicts
        self.created = []  # when, by number of the issue


class Line(asyncio.Protocol):
    """A connection whose answers leave a little later than the questions came."""

    def __init__(self, kept):
        self.kept, self.buffer = kept, bytearray()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        self.read()

    def say(self, data):
        asyncio.get_running_loop().call_later(LATENCY_S, self._say, data)

    def _say(self, data):
        if not self.transport.is_closing():
            self.transport.write(data)


class Smtp(Line):
    ANSWERS = {
        b"EHLO": b"250-storm\r\n250-PIPELINING\r\n250-SIZE 10485760\r\n250 8BITMIME\r\n",
        b"DATA": b"354 Go on\r\n", b"QUIT": b"221 Bye\r\n"}

    def connection_made(self, transport):
        super().connection_made(transport)
        self.in_mail = False
        self._say(b"220 storm ESMTP\r\n")

    def read(self):
        while True:
            end = b"\r\n.\r\n" if self.in_mail else b"\r\n"
            at = self.buffer.find(end)
            if at < 0:
                return
            part = bytes(self.buffer[:at])
            del self.buffer[:at + len(end)]
            if self.in_mail:
                self.in_mail = False
                self.take(part)
            else:
                self.command(part)

    def command(self, line):
        verb = line[:4].upper()
        self.in_mail = verb == b"DATA"
        self.say(self.ANSWERS.get(verb, b"250 Ok\r\n"))

    def take(self, mail):
        job = re.search(rb"X-Stopgap-Job: (\w+)", mail).group(1).decode()
        self.kept.mails.append(
            (job, hashlib.sha1(mail).hexdigest(), license_in(mail), time.time()))
        self.say(b"250 Taken\r\n")


class GitLab(Line):
    def read(self):
        while True:
            at = self.buffer.find(b"\r\n\r\n")
            if at < 0:
                return
            head = bytes(self.buffer[:at]).decode("latin-1")
            length = re.search(r"\r\ncontent-length: *(\d+)", head, re.I)
            whole = at + 4 + (int(length.group(1)) if length else 0)
            if len(self.buffer) < whole:
                return
            body = bytes(self.buffer[at + 4:whole])
            del self.buffer[:whole]
            method, target, _ = head.split("\r\n", 1)[0].split(" ")
            path, _, query = target.partition("?")
            self.answer(*self.route(method, path, dict(urllib.parse.parse_qsl(query)), body))

    def answer(self, status, what, more=""):
        body = what if isinstance(what, bytes) else json.dumps(what).encode()
        self.say(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{more}"
                 f"Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def route(self, method, path, query, body):
        if path == "/dump":
            with open(body, "wb") as f:
                pickle.dump((self.kept.mails, self.kept.issues), f)
            return 200, {}
        if method == "POST" and path == ISSUES:
            return 201, self.create(json.loads(body))
        if method == "POST" and path.endswith("/notes"):
            self.issue(path).setdefault("notes", []).append(json.loads(body)["body"])
            return 201, {"id": 1}
        if method == "PUT":
            return 200, self.change(self.issue(path), json.loads(body))
        if path == ISSUES:
            return self.search(query)
        return 200, {"id": 1, "visibility": "private"}

    def issue(self, path):
        return self.kept.issues[int(path[len(ISSUES) + 1:].split("/")[0]) - 1]

    def shown(self, issue):
        return {**issue, "web_url": f"http://storm.example/-/issues/{issue['iid']}",
                "confidential": True}

    def create(self, params):
        issue = {"id": 1000 + len(self.kept.issues), "iid": len(self.kept.issues) + 1,
                 "title": params["title"], "description": params["description"],
                 "state": "opened", "labels": params.get("labels") or []}
        self.kept.issues.append(issue)
        self.kept.created.append(time.time())
        return self.shown(issue)

    def change(self, issue, params):
        event = params.pop("state_event", None)
        issue.update(params)
        if event:
            issue["state"] = "closed" if event == "close" else "opened"
        return self.shown(issue)

    def search(self, query):
        """Everything here is younger than any search begins."""
        size, page = int(query["per_page"]), int(query["page"])
        part = self.kept.issues[(page - 1) * size:page * size]
        more = page * size < len(self.kept.issues)
        return 200, [self.shown(i) for i in part], f"X-Next-Page: {page + 1 if more else ''}\r\n"


async def serve(smtp, gitlab, kept, tls=None):
    """Prints the two ports; tls: a context for the mail server."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(lambda c=c: c(kept), "127.0.0.1", 0, ssl=context)
               for c, context in ((smtp, tls), (gitlab, None))]
    print(*(s.sockets[0].getsockname()[1] for s in servers), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until it is closed


if __name__ == "__main__":
    asyncio.run(serve(Smtp, GitLab, Kept()))
