"""What the demo expects of the programs: the only file that knows their options and how
their output is read."""

import json
import os
import re
import subprocess

JOB_ID = re.compile(r"\b[0-9a-z]{26}\b")


class CtlError(Exception):
    """A command ended otherwise than it should."""


class Ctl:
    """stopgapctl of one build, with one settings file."""

    def __init__(self, build, env_file):
        self.program = os.path.join(build, "stopgapctl")
        self.env_file = env_file

    def run(self, *args, status=0):
        """Runs it; returns what it printed. Any other exit status is an error."""
        done = subprocess.run(
            [self.program, "--env-file", self.env_file, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=30,
            text=True,
            check=False,
        )
        if done.returncode != status:
            raise CtlError(
                f"stopgapctl {' '.join(args)}: exit status {done.returncode}, "
                f"not {status}\n{done.stdout}"
            )
        return done.stdout

    def submit(self, *args):
        """Submits a request; returns (what was printed, the job's id)."""
        text = self.run("submit", *args)
        found = JOB_ID.search(text)
        if not found:
            raise CtlError(f"stopgapctl submit printed no job id:\n{text}")
        return text, found.group()

    def state(self, job_id):
        """queued, active, delayed, failed or done."""
        return json.loads(self.run("show", job_id, "--json"))["state"]

    def requeue_command(self, job_id):
        """The requeue command that `show` tells an operator to run, as its arguments."""
        text = self.run("show", job_id)
        found = re.search(r"stopgapctl((?: [\w./=-]+)* requeue [\w-]+(?: --[\w-]+)*)", text)
        if not found:
            raise CtlError(f"stopgapctl show names no requeue command:\n{text}")
        return found.group(1).split()


def keygen(build, path):
    """Makes PATH (the signing key) and PATH.pub; needs no settings."""
    subprocess.run(
        [os.path.join(build, "stopgapctl"), "keygen", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=30,
        check=True,
    )


def program_command(build, name, env_file):
    return [os.path.join(build, f"stopgap-{name}"), "--env-file", env_file]


def webhook_port(log):
    """The port that the receiver has got; None while its log does not say."""
    found = re.search(r" port (\d+), queue ", log)
    return found and int(found.group(1))
