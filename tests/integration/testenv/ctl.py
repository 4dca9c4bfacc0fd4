"""stopgapctl as it is shipped."""

import dataclasses
import json
import os
import subprocess

from . import process


@dataclasses.dataclass
class Result:
    status: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class Ctl:
    def __init__(self, env, inside=()):
        """inside: words in front of the program, which end in running it."""
        self.inside = inside
        self.env = {"PATH": os.environ["PATH"], **{
            key: value for key, value in os.environ.items()
            if key.endswith("SAN_OPTIONS")}, **env}

    def run(self, *args, status=0, stdin=None, env=None):
        """Runs it. status: the exit status that is right; None: any."""
        done = subprocess.run(
            process.with_parent([*self.inside, process.program("stopgapctl"), *map(str, args)]),
            input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True, text=True, timeout=60, check=False,
            env={**self.env, **(env or {})})
        if status is not None and done.returncode != status:
            raise AssertionError(
                f"stopgapctl {' '.join(map(str, args))}: exit status {done.returncode}, "
                f"not {status}\n{done.stdout}{done.stderr}")
        return Result(done.returncode, done.stdout, done.stderr)

    def json(self, *args, status=0):
        return self.run(*args, "--json", status=status).json

    def show(self, job_id):
        return self.json("show", job_id)

    def keygen(self, path):
        self.run("keygen", path)
        return path
