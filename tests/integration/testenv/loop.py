"""A server on an asyncio loop in a thread of its own: what the stand-ins share."""

import asyncio
import threading


class LoopThread:
    """Subclasses define _serve(port) and _close(), coroutines on the loop. A server that
    cannot begin (its port is taken) fails where it is made."""

    def _begin(self, port):
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._failure = None
        self._thread = threading.Thread(target=self._run, args=(port,), daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure:
            raise self._failure

    def _run(self, port):
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve(port))
        except OSError as e:
            self._failure = e
            self._ready.set()
            return
        self._loop.call_soon(self._ready.set)  # not before: a stop must find it running
        self._loop.run_forever()
        self._loop.run_until_complete(self._close())
        self._loop.close()

    def _soon(self, call):
        self._loop.call_soon_threadsafe(call)

    def _end(self, *first):
        """first: called on the loop before it stops."""
        if self._thread.is_alive():
            for call in (*first, self._loop.stop):
                self._soon(call)
            self._thread.join(10)


async def cancel_the_rest():
    """Every task of this loop but the caller."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
