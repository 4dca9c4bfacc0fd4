"""Names as a test wants them: a program in a mount namespace of its own, with hosts and
resolver files that can be changed while it runs. Needs root."""

import os
import socket
import subprocess

SCRIPT = ('mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf && shift'
          ' && exec "$@"')
RESOLVER = "127.77.0.53"  # of a test: nothing answers there, or a socket that says nothing


class Names:
    def __init__(self, folder):
        self._hosts = os.path.join(folder, "hosts")
        self._resolver = os.path.join(folder, "resolv.conf")
        self._silent = None
        self.set()
        self._ask(1)

    @staticmethod
    def possible():
        return os.geteuid() == 0 and subprocess.run(
            ["unshare", "-m", "mount", "--bind", "/etc/hosts", "/etc/hosts"],
            capture_output=True, check=False).returncode == 0

    @property
    def inside(self):
        """Words in front of a program that shall live with these names."""
        return ["unshare", "-m", "sh", "-c", SCRIPT, self._hosts, self._resolver]

    def set(self, *lines):
        """The whole of /etc/hosts, but localhost."""
        with open(self._hosts, "w", encoding="ascii") as f:
            f.write("\n".join(["127.0.0.1 localhost", *lines, ""]))

    def _ask(self, seconds):
        with open(self._resolver, "w", encoding="ascii") as f:
            f.write(f"nameserver {RESOLVER}\noptions timeout:{seconds} attempts:2\n")

    def hang(self, seconds):
        """The resolver takes questions and never answers; it is asked twice, for so long
        (at most 30). Until now it refused them."""
        self._ask(seconds)
        self._silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._silent.bind((RESOLVER, 53))

    def answer(self):
        if self._silent:
            self._silent.close()
        self._silent = None

    def stop(self):
        self.answer()


class Silent:
    """A TCP address that takes no connection and refuses none."""

    def __init__(self, address, port):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, port))
        self._listener.listen(0)
        self._crowd = []
        for _ in range(4):  # its queue is full, so the kernel drops what comes
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((address, port))
            self._crowd.append(s)

    def close(self):
        for s in [*self._crowd, self._listener]:
            s.close()
