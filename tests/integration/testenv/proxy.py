"""A TCP proxy that spoils what passes through it, byte by byte. A fault is armed for the
next request that holds certain bytes; it strikes on that request's connection."""

import asyncio
import contextlib
import dataclasses
import socket
import struct
import threading


@dataclasses.dataclass
class Fault:
    """What happens to a connection whose client has said `match`.

    "drop": the request is not handed on, the connection is reset. "cut": reset after
    `after` bytes of the reply. "close": the same with an orderly end, half close first.
    "stall": the server hears the request, the client nothing any more.
    "trickle": the reply comes one byte at a time. "inject": `text` after the reply."""

    kind: str
    match: bytes = b"EVALSHA"
    after: int = 0
    text: bytes = b""
    times: int = 1


class _Line:
    """One connection from a client, and its own to the server."""

    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.fault = None
        self.left = 0  # bytes until it strikes
        self.stalled = False

    def reset(self):
        for _, writer in (self.client, self.server):
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # it is closed already
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def upward(self):
        reader, writer = self.client[0], self.server[1]
        while data := await reader.read(65536):
            fault = self.proxy.strikes(data)
            if fault:
                self.fault, self.left = fault, fault.after
            if fault and fault.kind == "drop":
                self.reset()
                return
            self.stalled = self.stalled or (fault and fault.kind == "stall")
            writer.write(data)
            await writer.drain()
        writer.close()

    async def downward(self):
        reader, writer = self.server[0], self.client[1]
        while data := await reader.read(65536):
            if self.stalled:
                continue
            if self.proxy.delay:
                await asyncio.sleep(self.proxy.delay())
            if self.fault and not await self.spoil(data, writer):
                return
            if not self.fault:
                writer.write(data)
                await writer.drain()
            elif self.fault.kind in ("trickle", "inject"):
                self.fault = None
        writer.close()

    async def spoil(self, data, writer):
        """Hands on what the fault lets through; False: the connection is over."""
        kind = self.fault.kind
        if kind == "trickle":
            for i in range(len(data)):
                writer.write(data[i:i + 1])
                await writer.drain()
                await asyncio.sleep(0.0005)
        elif kind == "inject":
            writer.write(data + self.fault.text)
        elif kind in ("cut", "close"):
            writer.write(data[:self.left])
            self.left -= min(self.left, len(data))
            await writer.drain()
            if self.left == 0:
                await self.end(kind, writer)
                return False
        return True

    async def end(self, kind, writer):
        if kind == "close":
            writer.write_eof()
            await asyncio.sleep(0.05)  # the other half stays open for a while
        else:
            await asyncio.sleep(0.01)  # so that the bytes are read before the reset
            self.reset()


class Proxy:
    """Listens on a port of its own and hands on to a port of this host."""

    def __init__(self, target_port):
        self.target_port = target_port
        self.port = 0
        self.lines = 0  # connections so far
        self.delay = None  # a function: seconds that what the server says takes longer
        self.struck = []  # kinds of the faults that have struck
        self._armed = []
        self._open = set()
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._listen())

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer):
        self.lines += 1
        try:
            server = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        line = _Line(self, (reader, writer), server)
        self._open.add(line)
        try:
            await asyncio.gather(line.upward(), line.downward())
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(line)
            writer.close()
            server[1].close()

    def strikes(self, data):
        with self._lock:
            for fault in self._armed:
                if fault.match in data:
                    fault.times -= 1
                    if not fault.times:
                        self._armed.remove(fault)
                    self.struck.append(fault.kind)
                    return fault
        return None

    def arm(self, kind, **more):
        with self._lock:
            self._armed.append(Fault(kind, **more))

    def disarm(self):
        with self._lock:
            self._armed.clear()

    def cut(self):
        """Resets every connection."""
        async def go():
            for line in list(self._open):
                line.reset()
        self._call(go())

    def stop(self):
        async def go():
            self._server.close()
            for line in list(self._open):
                line.reset()
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._call(go())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
