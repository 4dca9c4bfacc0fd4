"""A name server on a loopback address, and a way to make a program ask it: in a mount
namespace with a resolv.conf of its own. Needs root and unshare."""

import os
import socket
import struct
import subprocess
import threading

TYPES = {1: socket.AF_INET, 28: socket.AF_INET6}
NO_SUCH_NAME, FAILURE = 3, 2


def missing():
    """Why there can be none here; "" if there can."""
    if os.geteuid() != 0:
        return "a name server of our own needs root"
    done = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    return "mount namespaces are not allowed here" if done.returncode else ""


class Dns:
    """answer: addresses, in order; or a response code; or None: never answers."""

    def __init__(self, folder, patience=(1, 1)):
        """patience: the program's resolver waits so many seconds, so many times."""
        self.answer = []
        self.asked = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._bind()
        self._resolv = os.path.join(folder, "resolv.conf")
        with open(self._resolv, "w", encoding="ascii") as f:
            f.write(f"nameserver {self.address}\noptions timeout:{patience[0]} "
                    f"attempts:{patience[1]}\n")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _bind(self):
        for number in range(2, 250):
            try:
                self.address = f"127.53.53.{number}"
                self._socket.bind((self.address, 53))
                return
            except OSError:
                continue
        raise AssertionError("no address for a name server")

    def _run(self):
        while True:
            query, peer = self._socket.recvfrom(1024)
            if not query:
                return
            answer = self.answer
            end = query.index(b"\0", 12) + 5  # of the question
            self.asked.append(query[12:end])
            if answer is not None:
                self._socket.sendto(self._reply(query[:end], answer), peer)

    @staticmethod
    def _reply(query, answer):
        family = TYPES.get(struct.unpack(">H", query[-4:-2])[0])
        code = answer if isinstance(answer, int) else 0
        records = [socket.inet_pton(family, a) for a in ([] if code else answer)
                   if family and (":" in a) == (family == socket.AF_INET6)]
        head = query[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(records), 0, 0)
        return head + query[12:] + b"".join(
            b"\xc0\x0c" + query[-4:] + struct.pack(">IH", 0, len(r)) + r for r in records)

    def command(self, *program):
        """A program that asks it; without one, the words in front."""
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return ["unshare", "-m", "sh", "-c", script, self._resolv, *program]

    def stop(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"", (self.address, 53))
        self._thread.join(10)
        self._socket.close()


class Silent:
    """A TCP address that takes no connection and refuses none."""

    def __init__(self, address, port):
        self._sockets = [socket.socket()]
        self._sockets[0].bind((address, port))
        self._sockets[0].listen(0)
        for _ in range(4):  # its queue is full, so the kernel drops what comes
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((address, port))
            self._sockets.append(s)

    def close(self):
        for s in self._sockets:
            s.close()
