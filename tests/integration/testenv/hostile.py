"""A peer that nobody should trust: it says what a test wants, however wrong, and keeps
every byte that it was sent. Knows no protocol but how an HTTP request ends; judges
nothing."""

import contextlib
import http.client
import io
import socket
import threading

STALL_S = 30  # a client that takes nothing more is left to itself


class Line:
    """One connection: read(), readline(), say(), start_tls()."""

    def __init__(self, peer, sock):
        self._peer, self._sock, self._rest = peer, sock, b""
        self.alive = True

    def _more(self):
        data = self._sock.recv(65536)
        self._peer.note(data)
        self._rest += data
        return data

    def readline(self):
        while b"\n" not in self._rest and self._more():
            pass
        line, end, self._rest = self._rest.partition(b"\n")
        return line + end

    def read(self, n):
        while len(self._rest) < n and self._more():
            pass
        data, self._rest = self._rest[:n], self._rest[n:]
        return data

    def say(self, data):
        self._sock.sendall(data)

    def say_for_ever(self, data):
        """Until the client has had enough."""
        while True:
            self._peer.flood += self._sock.send(data)

    def start_tls(self, context):
        self._sock = context.wrap_socket(self._sock, server_side=True)

    def shut(self):
        """As an end, without the reset that unread bytes would make of it."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            while self._more():
                pass
        self._sock.close()


class Hostile:
    """serve(line) has a thread for each connection. context: TLS from the first byte;
    both may be changed at any time, and count from the next connection on."""

    def __init__(self, serve, context=None, host="127.0.0.1"):
        self.serve, self.context = serve, context
        self.heard = b""  # of all connections, out of their TLS
        self.flood = 0  # bytes of say_for_ever that were taken
        self.connections = 0
        self.names = []  # told in handshakes (SNI); None: none was
        self._lock = threading.Lock()
        self._open = set()
        self._listener = socket.create_server((host, 0))
        self.host, self.port = host, self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, scheme, host=None, path=""):
        return f"{scheme}://{host or self.host}:{self.port}{path}"

    def note(self, data):
        with self._lock:
            self.heard += data

    def forget(self):
        with self._lock:
            self.heard, self.flood, self.names = b"", 0, []

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _named(self, _sock, name, _context):
        self.names.append(name)

    def _run(self, sock):
        sock.settimeout(STALL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(sock)
        line = Line(self, sock)
        # a client that turns away, its TLS, or a word that it never said
        with contextlib.suppress(OSError, ValueError, IndexError):
            if self.context:
                self.context.sni_callback = self._named
                line.start_tls(self.context)
            self.serve(line)
            line.shut()
        with self._lock:
            self._open.discard(sock)
        sock.close()

    def stop(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


def request(line):
    """(method, target, body) of an HTTP request; None at the connection's end."""
    start = line.readline().split()
    if len(start) != 3:
        return None
    head = b""
    while not head.endswith(b"\r\n\r\n") and head != b"\r\n":
        more = line.readline()
        if not more:
            return None
        head += more
    headers = http.client.parse_headers(io.BytesIO(head))
    return (start[0].decode(), start[1].decode("latin-1"),
            line.read(int(headers.get("Content-Length", 0))))


def web(answer):
    """A serve() of HTTP: answer(method, target, body) gives the bytes of an answer, or
    pieces of it; the connection ends with it."""
    def serve(line):
        asked = request(line)
        if not asked:
            return
        said = answer(*asked)
        for piece in [said] if isinstance(said, bytes) else said:
            line.say(piece)
    return serve
