"""A mail server that does what a test tells it to, for each recipient: RFC 5321 with
PIPELINING (2920), SIZE (1870), 8BITMIME (6152), DSN (3461), and on demand STARTTLS (3207)
and AUTH (4954). It keeps every mail that it took, byte for byte. Strict: bare line feeds,
commands out of order and unknown parameters are refused and kept in `faults`."""

import asyncio
import base64
import copy
import dataclasses
import socket
import ssl
import struct
import threading
import time

from .loop import LoopThread, cancel_the_rest

DEFAULT = ""  # the behaviour of a recipient that has none of its own


@dataclasses.dataclass
class Mail:
    """One mail, from its MAIL FROM to the end of its content."""

    mail_from: str
    mail_options: list
    rcpt: list  # addresses that were accepted
    rcpt_options: list
    data: bytes = b""  # as sent, dots unstuffed, CRLF line ends
    at: float = 0.0
    peer: str = ""
    tls: bool = False
    user: str = ""
    answered: bool = True  # False: taken, but the answer was lost on purpose

    @property
    def to(self):
        return self.rcpt[0]


@dataclasses.dataclass
class Behaviour:
    """What happens to a recipient; each field is one deviation.

    rcpt, data, dot: the reply in place of the good one ("550 5.1.1 No such user"); after
    a 2xx or 3xx the conversation goes on.
    drop: hang up instead of answering: "mail" is not known per recipient, so "rcpt",
    "data", "content" (in the middle of it), "dot_lost" (all of it came, it is not taken)
    or "dot_taken" (it is).
    hold_dot: the answer to the dot waits for release() or that many seconds (True: until
    release)."""

    rcpt: str = ""
    data: str = ""
    dot: str = ""
    drop: str = ""
    delay_rcpt: float = 0.0
    delay_dot: float = 0.0
    hold_dot: object = False
    times: int = -1  # how often; -1 for ever


@dataclasses.dataclass
class Deviation:
    """What happens at a place in every conversation, in place of the good answer.

    what: a reply ("421 4.3.2 Closing"; the conversation goes on unless it is a 421), in
    which {} is what the client said behind the command's name;
    bytes, sent as they are; DROP (hang up), RESET (with an RST) or SILENT (no answer,
    nothing is read).
    delay: the good answer comes so much later."""

    what: object = None
    delay: float = 0.0
    times: int = -1


DROP, RESET, SILENT = "DROP", "RESET", "SILENT"


class HangUp(Exception):
    pass


class Session:
    """One connection."""

    def __init__(self, server, reader, writer):
        self.server, self.reader, self.writer = server, reader, writer
        self.peer = str(writer.get_extra_info("peername"))
        self.tls = server.implicit_tls
        self.reset()
        self.greeted = False
        self.user = ""

    def reset(self):
        self.mail = None
        self.behaviour = None

    async def run(self):
        if await self.deviate("greeting") is False:
            return
        while True:
            line = await self.reader.readline()
            if not line:
                return
            if not line.endswith(b"\r\n"):
                self.server.fault(f"bare line feed or cut line: {line!r}")
                await self.say("500 5.5.2 Line ends are CRLF")
                continue
            text = line[:-2].decode("utf-8", "surrogateescape")
            self.server.commands.append(text)
            verb, _, rest = text.partition(" ")
            handler = getattr(self, f"do_{verb.lower()}", None)
            override = self.server.replies.get(verb.upper())
            if override:
                if not await self.say(override):
                    return
            elif verb.upper() in self.server.places:
                if await self.deviate(verb.upper(), rest) is False:
                    return
            elif not handler:
                self.server.fault(f"unknown command: {text!r}")
                await self.say("500 5.5.1 What?")
            elif await handler(rest) is False:
                return

    async def deviate(self, place, rest=""):
        """What the server does at this place; False if the connection ends with it."""
        deviation = self.server.deviation_at(place)
        await asyncio.sleep(deviation.delay)
        if deviation.what is not None:
            if place == "handshake":
                self.writer.transport.resume_reading()
                await self.reader.read(1)  # not before the client has begun it
            what = deviation.what
            return await self.act(what.format(rest) if isinstance(what, str) else what)
        if place == "greeting":
            return await self.say(self.server.greeting)
        handler = getattr(self, f"do_{place.lower()}", None)
        return await handler(rest) if handler else None

    async def act(self, what):
        if what == SILENT:
            await self.server.hold(None)
            raise HangUp
        if what == RESET:
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise HangUp
        if isinstance(what, bytes):
            await self.put(what)
            return None
        return await self.say(what)

    async def put(self, text):
        """Sends bytes, in the server's pieces."""
        piece, pause = self.server.pace
        for at in range(0, len(text), piece or len(text) or 1):
            self.writer.write(text[at:at + piece] if piece else text)
            await self.writer.drain()
            if piece:
                await asyncio.sleep(pause)

    async def say(self, text):
        """False if the connection ends with it."""
        if text == "DROP":
            raise HangUp
        lines = text.split("\n")
        marks = ["-"] * (len(lines) - 1) + [" "]
        await self.put("".join(f"{line[:3]}{mark}{line[4:]}\r\n"
                               for line, mark in zip(lines, marks)).encode("utf-8", "surrogateescape"))
        return not text.startswith("421")

    # --- commands ---

    async def do_ehlo(self, name):
        self.server.names.append(name)
        self.greeted = True
        self.reset()
        words = [w for w in self.server.extensions]
        if self.server.tls_context and not self.tls:
            words.append("STARTTLS")
        if self.server.users and (self.tls or self.server.auth_in_clear):
            words.append(self.server.auth)
        await self.say("\n".join(f"250 {w}" for w in ["mail.test greets you", *words]))

    async def do_helo(self, name):
        self.server.names.append(name)
        self.greeted = True
        self.reset()
        await self.say("250 mail.test")

    async def do_starttls(self, _rest):
        if not self.server.tls_context or self.tls:
            await self.say("503 5.5.1 Not now")
            return
        self.writer.transport.pause_reading()  # what follows is for TLS, not for us
        await self.put(b"220 2.0.0 Go ahead\r\n" + self.server.injected)
        if await self.deviate("handshake") is False:
            return False
        await self.writer.start_tls(self.server.tls_context)
        self.tls, self.greeted = True, False
        self.reset()

    async def do_auth(self, rest):
        kind, _, first = rest.partition(" ")
        if kind.upper() == "PLAIN":
            text = first or await self.ask("334 ")
            _, user, password = base64.b64decode(text).decode().split("\0")
        elif kind.upper() == "LOGIN":
            user = base64.b64decode(first or await self.ask("334 VXNlcm5hbWU6")).decode()
            password = base64.b64decode(await self.ask("334 UGFzc3dvcmQ6")).decode()
        else:
            await self.say("504 5.5.4 No such mechanism")
            return
        self.server.logins.append((kind.upper(), user, password, self.tls))
        if self.server.users.get(user) != password:
            await self.say("535 5.7.8 Authentication credentials invalid")
            return
        self.user = user
        await self.say("235 2.7.0 Welcome")

    async def ask(self, text):
        await self.say(text)
        return (await self.reader.readline()).strip().decode()

    async def do_mail(self, rest):
        path, options = self.path(rest, "FROM:")
        if path is None or not self.greeted or self.mail:
            self.server.fault(f"MAIL {rest}: bad or out of order")
            await self.say("503 5.5.1 Bad sequence or syntax")
            return
        if self.server.users and not self.user:
            await self.say("530 5.7.0 Authentication required")
            return
        self.mail = Mail(path, options, [], [], peer=self.peer, tls=self.tls, user=self.user)
        await self.say("250 2.1.0 Sender ok")

    async def do_rcpt(self, rest):
        path, options = self.path(rest, "TO:")
        if not path or not self.mail:
            if self.mail is not None or not self.server.pipelining:
                self.server.fault(f"RCPT {rest}: bad or out of order")
            await self.say("503 5.5.1 Bad sequence or syntax")
            return
        behaviour = self.server.behaviour_of(path)
        await asyncio.sleep(behaviour.delay_rcpt)
        if behaviour.drop == "rcpt":
            raise HangUp
        reply = behaviour.rcpt or "250 2.1.5 Recipient ok"
        if reply[0] == "2":
            self.behaviour = behaviour
            self.mail.rcpt.append(path)
            self.mail.rcpt_options.append(options)
        else:
            self.server.refused.append((path, reply))
        await self.say(reply)

    async def do_data(self, _rest):
        behaviour = self.behaviour
        if not self.mail or not self.mail.rcpt:
            await self.say("503 5.5.1 No valid recipients")
            return
        if behaviour.drop == "data":
            raise HangUp
        reply = behaviour.data or "354 Go ahead"
        await self.say(reply)
        if reply[0] != "3":
            self.reset()
            return
        self.mail.data = await self.content(behaviour)
        return await self.end_of_content(behaviour)

    async def content(self, behaviour):
        lines = []
        while True:
            line = await self.reader.readline()
            if not line.endswith(b"\n"):
                raise HangUp  # the peer went away before the dot
            if behaviour.drop == "content":
                raise HangUp
            if not line.endswith(b"\r\n"):
                self.server.fault(f"bare line feed in the content: {line!r}")
            if b"\r" in line[:-2]:
                self.server.fault(f"bare carriage return in the content: {line!r}")
            if len(line) > 1000:
                self.server.fault(f"line of {len(line)} bytes in the content")
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if line.startswith(b".") else line)

    async def end_of_content(self, behaviour):
        server = self.server
        server.dots += 1
        if behaviour.drop == "dot_lost":
            raise HangUp
        if behaviour.drop == "dot_taken":
            self.mail.answered = False
            server.take(self.mail)
            raise HangUp
        await asyncio.sleep(behaviour.delay_dot)
        deviation = server.deviation_at("dot")
        await asyncio.sleep(deviation.delay)
        if deviation.what is not None:
            if isinstance(deviation.what, str) and deviation.what[0] in "45":
                server.refused.append((self.mail.to, deviation.what))
            self.reset()
            return await self.act(deviation.what)
        reply = behaviour.dot or f"250 2.0.0 Ok: queued as {server.next_number()}"
        if reply[0] == "2":
            server.take(self.mail)
        else:
            server.refused.append((self.mail.to, reply))
        self.reset()
        if behaviour.hold_dot:
            await server.hold(None if behaviour.hold_dot is True else behaviour.hold_dot)
        return await self.say(reply)

    async def do_rset(self, _rest):
        self.reset()
        await self.say("250 2.0.0 Ok")

    async def do_noop(self, _rest):
        await self.say("250 2.0.0 Ok")

    async def do_quit(self, _rest):
        await self.say("221 2.0.0 Bye")
        return False

    @staticmethod
    def path(rest, word):
        """("address", options) of `FROM:<address> OPTIONS`; (None, []) if it is none."""
        text, *options = rest.split(" ")
        if not text.upper().startswith(word) or text[len(word)] != "<" or text[-1] != ">":
            return None, []
        return text[len(word) + 1:-1], options


class Smtp(LoopThread):
    """The server in a thread, and what a test asks it."""

    def __init__(self, port=0, tls_context=None, implicit_tls=False, host="127.0.0.1"):
        self.host = host
        self.lock = threading.RLock()
        self.greeting = "220 mail.test ESMTP"
        self.extensions = ["PIPELINING", "SIZE 10485760", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN"]
        self.tls_context, self.implicit_tls = tls_context, implicit_tls
        self.users, self.auth_in_clear = {}, False
        self.auth = "AUTH PLAIN LOGIN"  # as offered
        self.logins = []  # (mechanism, user, password, over TLS)
        self.injected = b""  # sent in the clear, right behind the answer to STARTTLS
        self.places = {}  # place: list of Deviation
        self.pace = 0, 0.0  # bytes at a time, and the pause after each
        self.replies = {}  # verb: reply to all of them ("DROP" hangs up)
        self.behaviours = {}  # address: list, the first that has `times` left counts
        self.mails, self.refused, self.faults = [], [], []
        self.commands, self.names = [], []
        self.dots = 0  # ends of content seen
        self.connections = 0  # so far
        self.most = 0  # of them at once
        self._number = 0
        self._writers = set()
        self._begin(port)

    # --- the thread ---

    async def _serve(self, port):
        self._released = asyncio.Event()
        await self._listen(port)

    async def _close(self):
        await cancel_the_rest()

    async def _listen(self, port):
        context = self.tls_context if self.implicit_tls else None
        self._server = await asyncio.start_server(
            self._accept, self.host, port, limit=1 << 22, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader, writer):
        self.connections += 1
        self._writers.add(writer)
        self.most = max(self.most, len(self._writers))
        try:
            await Session(self, reader, writer).run()
        except HangUp:
            writer.transport.abort()
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def hold(self, seconds):
        try:
            await asyncio.wait_for(self._released.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    # --- called by sessions ---

    def behaviour_of(self, address):
        with self.lock:
            for key in (address, DEFAULT):
                for behaviour in self.behaviours.get(key, []):
                    if behaviour.times:
                        behaviour.times -= behaviour.times > 0
                        return behaviour
        return Behaviour()

    def deviation_at(self, place):
        with self.lock:
            for deviation in self.places.get(place, []):
                if deviation.times:
                    deviation.times -= deviation.times > 0
                    return deviation
        return Deviation()

    def take(self, mail):
        with self.lock:
            mail.at = time.time()
            self.mails.append(mail)

    def fault(self, text):
        with self.lock:
            self.faults.append(text)

    def next_number(self):
        self._number += 1
        return f"{self._number:06d}"

    @property
    def pipelining(self):
        return "PIPELINING" in self.extensions

    # --- called by tests ---

    @property
    def url(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'smtps' if self.implicit_tls else 'smtp'}://{host}:{self.port}"

    def on(self, address, **behaviour):
        """From now on, for this recipient (DEFAULT: any without one): see Behaviour. Several
        are used up in order."""
        with self.lock:
            self.behaviours.setdefault(address, []).append(Behaviour(**behaviour))

    def at(self, place, what=None, **how):
        """From now on, in every conversation: see Deviation. Places: "greeting", the
        commands' names ("EHLO"), "handshake" (of STARTTLS), "dot". Several are used up in
        order."""
        with self.lock:
            self.places.setdefault(place, []).append(Deviation(what, **how))

    def forget(self, address=None):
        """Back to good behaviour."""
        with self.lock:
            if address is None:
                self.behaviours.clear()
                self.places.clear()
            self.behaviours.pop(address, None)

    def mails_to(self, address=None):
        """Mails taken, oldest first."""
        with self.lock:
            return [copy.copy(m) for m in self.mails if address is None or address in m.rcpt]

    def release(self):
        """Answers what is held."""
        self._soon(self._released.set)

    def cut(self):
        """Ends every connection, without a word."""
        def go():
            for writer in list(self._writers):
                writer.transport.abort()
        self._soon(go)

    def part(self, words=b""):
        """Ends every connection in order, with these last words."""
        async def go():
            for writer in list(self._writers):
                writer.write(words)
                writer.close()
        self._call(go())

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def down(self):
        """Refuses connections from now on and ends those there are."""
        async def go():
            self._server.close()
        self._call(go())
        self.cut()

    def up(self):
        self._call(self._listen(self.port))

    def stop(self):
        if self._thread.is_alive():
            self.down()
            self._end()
