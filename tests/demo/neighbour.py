"""A neighbour in a container of its own, for the profile `demo` of docker-compose.yml:
`mail` catches mails and prints them; `gitlab` is the GitLab stand-in of the tests.

    neighbour.py mail|gitlab PORT
"""

import signal
import sys
import threading

from testenv.gitlab import GitLab
from testenv.smtp import Smtp


class Catcher(Smtp):
    def take(self, mail):
        super().take(mail)
        print(f"--- mail {len(self.mails)} to {mail.to}\n"
              f"{mail.data.decode('utf-8', 'replace')}", flush=True)


def main():
    kind, port = sys.argv[1], int(sys.argv[2])
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if kind == "mail":
        neighbour = Catcher(port, host="0.0.0.0")
    else:
        neighbour = GitLab(port, host="0.0.0.0", name="gitlab")
    print(f"{kind} listens on port {port}", flush=True)
    ended.wait()
    neighbour.stop()


if __name__ == "__main__":
    main()
