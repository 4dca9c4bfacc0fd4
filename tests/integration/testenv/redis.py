"""A real redis-server of a test's own: unix socket and a free port, AOF, its own folder."""

import os
import shutil
import signal

import redis as client_library

from . import process
from .wait import wait_for


class Redis:
    def __init__(self, folder, fsync="always", config=(), inside=()):
        """inside: words in front of the program, which end in running it."""
        self.inside = inside
        self.folder = os.path.join(folder, "redis")
        os.mkdir(self.folder)
        self.path = os.path.join(self.folder, "s")
        self.log_path = os.path.join(self.folder, "log")
        self.config = [f"--appendfsync {fsync}", *config]
        self.port = process.free_port()
        self._process = None
        self.client = client_library.Redis(unix_socket_path=self.path, decode_responses=True,
                                           encoding_errors="replace")
        self.bytes_client = client_library.Redis(unix_socket_path=self.path)
        self.start()

    @property
    def url(self):
        return f"unix://{self.path}?db=0"

    @property
    def tcp_url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self):
        return self._process.pid

    def start(self, ready=True, config=()):
        """Returns when it answers with its data loaded. A port that was taken meanwhile
        is given up for another, unless it has been handed out already. config: for this
        start alone."""
        for attempt in range(5):
            self._launch(config)
            if not ready:
                return
            wait_for(lambda: self._process.poll() is not None or self.answers(),
                     lambda: f"redis-server answers: {self.log()}")
            if self._process.poll() is None:
                return
            if attempt == 4 or "Address already in use" not in self.log():
                raise AssertionError(f"redis-server did not start: {self.log()}")
            self.port = process.free_port()

    def _launch(self, config):
        words = [
            *self.inside, "redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
            "--unixsocket", self.path, "--unixsocketperm", "700", "--dir", self.folder,
            "--save", "", "--appendonly", "yes", "--daemonize", "no",
            *" ".join([*self.config, *config]).split(),
        ]
        with open(self.log_path, "ab") as log:
            self._process = process.start(words, stdout=log, stderr=log)

    def answers(self):
        try:
            return self.client.ping()
        except client_library.exceptions.RedisError:  # not there yet, or loading
            return False

    def calls(self):
        """{command: how often it came, refused or not}, since the server started."""
        return {name.removeprefix("cmdstat_"): row["calls"] + row.get("rejected_calls", 0)
                for name, row in self.client.info("commandstats").items()}

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill(self):
        """As a crash: nothing is saved but what the AOF has."""
        self._process.kill()
        self._process.wait()

    def _aof(self, folder):
        """The file, or from Redis 7 on the folder."""
        return [os.path.join(folder, name) for name in os.listdir(folder)
                if name.startswith("appendonly")]

    def backup(self, folder):
        """A copy of the AOF as it is on the disk by now, as an operator makes it."""
        os.mkdir(folder)
        for path in self._aof(self.folder):
            (shutil.copytree if os.path.isdir(path) else shutil.copy)(
                path, os.path.join(folder, os.path.basename(path)))

    def restore(self, folder):
        """kill -9, the copy in the place of what there is, and started again."""
        self.kill()
        for path in self._aof(self.folder):
            (shutil.rmtree if os.path.isdir(path) else os.unlink)(path)
        shutil.copytree(folder, self.folder, dirs_exist_ok=True)
        self.start()

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def stop(self):
        self.client.close()
        self.client.connection_pool.disconnect()
        self.bytes_client.close()
        self.bytes_client.connection_pool.disconnect()
        if self._process.poll() is None:
            self.thaw()
        process.stop(self._process)
