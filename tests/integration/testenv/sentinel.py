"""A primary, replicas and three sentinels, all real, all on loopback."""

import os

import redis as client_library

from . import process
from .redis import Redis
from .wait import wait_for

NAME = "main.set-1"


class Sentinels:
    """servers[0] begins as the primary. Down after 1 s of silence; two must agree."""

    def __init__(self, folder, count=3, config=(), replicas=1):
        self.servers = []
        for i in range(1 + replicas):
            where = os.path.join(folder, f"n{i}")
            os.mkdir(where)
            # a replica that is promoted must be heard of within the test
            self.servers.append(Redis(where, config=("--repl-diskless-sync-delay 0",
                                                     "--repl-ping-replica-period 1", *config)))
        first = self.servers[0]
        for other in self.servers[1:]:
            other.client.execute_command("REPLICAOF", "127.0.0.1", first.port)
            wait_for(lambda o=other: o.client.info("replication")["master_link_status"] == "up",
                     "the replica in step")
        self.ports = [process.free_port() for _ in range(count)]
        self._folders = [os.path.join(folder, f"s{i}") for i in range(count)]
        self._processes = [None] * count
        for i, where in enumerate(self._folders):
            os.mkdir(where)
            with open(os.path.join(where, "conf"), "w", encoding="ascii") as f:
                f.write(f"port {self.ports[i]}\nbind 127.0.0.1\ndir {where}\n"
                        f"sentinel monitor {NAME} 127.0.0.1 {first.port} 2\n"
                        f"sentinel down-after-milliseconds {NAME} 1000\n"
                        f"sentinel failover-timeout {NAME} 6000\n")
            self.start(i)
        self._periods(100)  # they hear of each other at once
        wait_for(self._acquainted, "the sentinels know each other and the replicas")
        self._periods(500)  # an old primary is demoted after 2 s, not 20

    @property
    def url(self):
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis-sentinel://{hosts}/{NAME}"

    def ask(self, i, *words):
        with client_library.Redis(port=self.ports[i], decode_responses=True) as c:
            return c.execute_command("SENTINEL", *words)

    def _periods(self, publish_ms):
        for i in range(len(self.ports)):
            wait_for(lambda i=i: self._answers(i), "a sentinel")
            self.ask(i, "DEBUG", "info-period", 1000, "publish-period", publish_ms)

    def _answers(self, i):
        try:
            return self.ask(i, "MASTERS")
        except client_library.exceptions.RedisError:
            return False

    def _acquainted(self):
        try:
            return all(len(self.ask(i, "SENTINELS", NAME)) == len(self.ports) - 1
                       and len(self.ask(i, "REPLICAS", NAME)) == len(self.servers) - 1
                       for i in range(len(self.ports)))
        except client_library.exceptions.RedisError:
            return False

    def start(self, i):
        with open(os.path.join(self._folders[i], "log"), "ab") as log:
            self._processes[i] = process.start(
                ["redis-server", os.path.join(self._folders[i], "conf"), "--sentinel"],
                stdout=log, stderr=log)

    def kill(self, i):
        self._processes[i].kill()
        self._processes[i].wait()

    def primary(self):
        """The server that the sentinels name; None: they do not agree."""
        ports = set()
        for i, p in enumerate(self._processes):
            if p.poll() is None:
                ports.add(self.ask(i, "GET-MASTER-ADDR-BY-NAME", NAME)[1])
        return next((s for s in self.servers if ports == {str(s.port)}), None)

    def stop(self):
        for p in self._processes:
            if p:
                process.stop(p)
        for server in self.servers:
            server.stop()
