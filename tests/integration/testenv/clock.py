"""Wall clocks of programs, which a test may set: a library in front of theirs that adds
what a file says (shifted_clock.c). Each Clock is one host's."""

import datetime
import mmap
import os
import struct
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
UTC = datetime.timezone.utc


class Clock:
    def __init__(self, folder, name):
        self.preload = os.path.join(folder, "shifted_clock.so")
        if not os.path.exists(self.preload):
            subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", self.preload,
                            os.path.join(HERE, "shifted_clock.c")], check=True)
        self.path = os.path.join(folder, name)
        with open(self.path, "w+b") as f:
            f.write(bytes(8))
            f.flush()
            self._shift = mmap.mmap(f.fileno(), 8)

    @property
    def env(self):
        """For the programs that go by this clock."""
        return {"LD_PRELOAD": self.preload, "CLOCK_SHIFT": self.path}

    @property
    def inside(self):
        """The same as words in front of a program."""
        return ("env", *(f"{name}={value}" for name, value in self.env.items()))

    def shift(self, **how):
        """From the right time, as timedelta's arguments; nothing: right again."""
        seconds = datetime.timedelta(**how).total_seconds()
        self._shift[:] = struct.pack("=q", round(seconds * 1e9))

    def set(self, text):
        """To that moment, UTC; from there on it goes."""
        moment = datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)
        self.shift(seconds=moment.timestamp() - time.time())

    def close(self):
        self._shift.close()
