"""The mail server and the GitLab of a soak: those of outside.py, but they forget, so that
they can go on for days, and each n-th time something fails. `python3 soak_outside.py
CERTIFICATE KEY` prints its two ports; mail goes over TLS."""

import asyncio
import collections
import ssl
import sys
import time
from datetime import datetime

import outside

ISSUES_KEPT = 1000  # a search is about one that is a few seconds old
MAILS_A_LINE = 200  # then the server ends the conversation, as real ones do


class Kept:
    def __init__(self):
        self.issues = collections.OrderedDict()  # by number
        self.last_issue = 0
        self.asked = collections.Counter()

    def each(self, n, what):
        """True each n-th time."""
        self.asked[n, what] += 1
        return self.asked[n, what] % n == 0


class Smtp(outside.Smtp):
    """refused-...@ is refused; later-...@ is put off each second time."""

    def connection_made(self, transport):
        super().connection_made(transport)
        self.refused, self.mails = False, 0

    def command(self, line):
        kind = line[line.find(b"<") + 1:].split(b"-")[0]
        if line[:4] == b"RCPT" and kind == b"refused":
            self.refuse(b"550 5.1.1 No such user\r\n")
        elif line[:4] == b"RCPT" and kind == b"later" and self.kept.each(2, "later"):
            self.refuse(b"451 4.2.0 Later\r\n")
        elif line[:4] == b"DATA" and self.refused:
            self.refused = False
            self.say(b"554 5.5.1 No recipients\r\n")
        else:
            super().command(line)

    def refuse(self, words):
        self.refused = True
        self.say(words)

    def take(self, mail):
        self.mails += 1
        if self.kept.each(499, "lost answer"):
            self.transport.close()
        elif self.mails == MAILS_A_LINE:
            self.say(b"250 Taken\r\n")
            asyncio.get_running_loop().call_later(0.1, self.transport.close)
        else:
            self.say(b"250 Taken\r\n")


class GitLab(outside.GitLab):
    def answer(self, status, what, more=""):
        if self.kept.each(307, "lost answer"):
            self.transport.close()
        elif self.kept.each(211, "error"):
            super().answer(500, {"message": "500 Internal Server Error"})
        else:
            super().answer(status, what, more)

    def issue(self, path):
        """One that was forgotten is there all the same: the shared one lives for a day."""
        iid = int(path[len(outside.ISSUES) + 1:].split("/")[0])
        return self.kept.issues.get(iid) or {
            "id": 1000 + iid, "iid": iid, "title": "", "description": "", "state": "opened",
            "labels": []}

    def create(self, params):
        kept = self.kept
        kept.last_issue += 1
        kept.issues[kept.last_issue] = issue = {
            "id": 1000 + kept.last_issue, "iid": kept.last_issue, "title": params["title"],
            "description": params["description"], "state": "opened",
            "labels": params.get("labels") or [], "at": time.time()}
        if len(kept.issues) > ISSUES_KEPT:
            kept.issues.popitem(last=False)
        return self.shown(issue)

    def search(self, query):
        after = datetime.fromisoformat(query["created_after"].replace("Z", "+00:00")).timestamp()
        size, page = int(query["per_page"]), int(query["page"])
        found = [i for i in self.kept.issues.values() if i["at"] >= after]
        more = page * size < len(found)
        return (200, [self.shown(i) for i in found[(page - 1) * size:page * size]],
                f"X-Next-Page: {page + 1 if more else ''}\r\n")


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[1:3])
    asyncio.run(outside.serve(Smtp, GitLab, Kept(), context))


if __name__ == "__main__":
    main()
