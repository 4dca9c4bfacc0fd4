"""The worker as it is shipped, with its log read while it runs."""

import os
import re
import signal
import subprocess
import threading

from . import logfmt, process
from .wait import DEADLINE_S, wait_for

# What no program may ever print, killed or not.
BROKEN = re.compile(
    r"AddressSanitizer|LeakSanitizer|UndefinedBehavior|runtime error:|ThreadSanitizer"
    r"|Assertion .* failed|stack smashing|buffer overflow detected|==\d+==ERROR"
)


class Worker:
    """One worker process. `log` holds its lines as dicts, `raw` as text."""

    def __init__(self, env, ready=True, program="stopgap-worker", args=(), inside=()):
        """inside: words in front of the program, which end in running it."""
        self.log, self.raw = [], []
        self.allowed = []
        self.killed = False
        self.checked = False
        # Nothing of the test's own environment but where programs are.
        full = {"PATH": os.environ["PATH"], **{
            key: value for key, value in os.environ.items()
            if key.endswith("SAN_OPTIONS")}, **process.AS_ROOT, **env}
        self._process = process.start([*inside, process.program(program), *args], env=full,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if ready:
            self.wait_for(event="ready")

    def _read(self):
        for line in self._process.stdout:
            text = line.decode("utf-8", "replace")
            fields = logfmt.parse(text)
            self.raw.append(text)
            if fields:
                self.log.append(fields)

    @property
    def pid(self):
        return self._process.pid

    @property
    def running(self):
        return self._process.poll() is None

    @property
    def status(self):
        return self._process.returncode

    def text(self):
        return "".join(list(self.raw))

    def lines(self, condition=None, **fields):
        """Log lines that hold all the fields."""
        return [line for line in list(self.log)
                if all(line.get(key) == str(value) for key, value in fields.items())
                and (condition is None or condition(line))]

    def wait_for(self, condition=None, count=1, deadline=DEADLINE_S, **fields):
        """Waits for the count-th such line and returns it; at once wrong if the worker
        ends before."""
        def there():
            found = self.lines(condition, **fields)
            if len(found) >= count:
                return found[count - 1]
            if not self.running and not self._reader.is_alive():
                raise AssertionError(f"the worker ended ({self.status}):\n{self.text()}")
            return None
        return wait_for(there, lambda: f"log line {fields} x{count}:\n{self.text()}", deadline)

    def exactly(self, count, condition=None, **fields):
        """Waits for so many lines; more are wrong. A line may come after what it tells of."""
        self.wait_for(condition, count, **fields)
        found = self.lines(condition, **fields)
        assert len(found) == count, f"{len(found)} of {fields}, not {count}:\n{self.text()}"

    # --- signals ---

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        """kill -9, and gone when it returns."""
        self.killed = True
        self._process.kill()
        self._end()

    def term(self):
        self.signal(signal.SIGTERM)

    def wait(self, deadline=DEADLINE_S):
        """Waits for the end; the exit status."""
        self._process.wait(deadline)
        self._end()
        return self.status

    def stop(self):
        """TERM and wait; a worker that does not end is killed, and that is a failure of
        check()."""
        if self.running:
            self._process.send_signal(signal.SIGCONT)
        process.stop(self._process, grace=DEADLINE_S)
        self._end()
        return self.status

    def _end(self):
        self._process.wait()
        self._reader.join(10)
        self._process.stdout.close()

    # --- judging ---

    def allow(self, *patterns):
        """Log lines of level=error that this test expects (regular expressions)."""
        self.allowed += [re.compile(p) for p in patterns]

    def check(self, status=0):
        """After the end: nothing in the log that should not be there, and a clean exit
        unless it was killed. A worker that a test has judged itself is not judged again."""
        if self.checked:
            return
        self.checked = True
        text = self.text()
        broken = BROKEN.search(text)
        assert not broken, f"{broken.group()} in the log:\n{text}"
        errors = [line for line in self.raw
                  if (logfmt.parse(line) or {}).get("level") == "error"
                  and not any(p.search(line) for p in self.allowed)]
        assert not errors, f"errors in the log:\n{''.join(errors)}"
        assert self.killed or self.status == status, f"exit status {self.status}:\n{text}"
