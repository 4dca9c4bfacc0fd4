"""scripts/zendesk-setup as an administrator runs it."""

import contextlib
import io
import os
import runpy
import subprocess
from unittest import mock

from . import process
from .ctl import Result

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "..", "..", "..", "scripts", "zendesk-setup")
RECEIVER = "https://hooks.vendor.example"


class ZendeskSetup:
    """Its files are in `folder`; run() with the options that a test changes."""

    def __init__(self, zendesk, folder, receiver=RECEIVER):
        self.zendesk, self.receiver = zendesk, receiver
        self.secret_file = os.path.join(folder, "webhook-secret")
        self.bearer_file = os.path.join(folder, "webhook-token")
        self.token_file = os.path.join(folder, "api-token")
        self.user = zendesk.ADMIN
        self.script = SCRIPT
        self.env = {}
        self.inside = True  # False: as a program of its own
        self.slept = []  # seconds for which it would have waited
        self.write(self.token_file, zendesk.TOKEN)

    @staticmethod
    def write(path, text, mode=0o600):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w",
                  encoding="ascii") as file:
            file.write(text + "\n")
        os.chmod(path, mode)

    @staticmethod
    def read(path):
        with open(path, encoding="ascii") as file:
            return file.read().strip()

    def options(self):
        return ["--url", self.zendesk.url, "--user", self.user, "--token-file", self.token_file,
                "--receiver", self.receiver, "--secret-file", self.secret_file,
                "--bearer-file", self.bearer_file]

    def run(self, *args, status=0, options=None):
        """status: the exit status that is right; None: any."""
        words = [*(self.options() if options is None else options), *args]
        done = self._inside(words) if self.inside else self._outside(words)
        if status is not None and done.status != status:
            raise AssertionError(f"zendesk-setup {' '.join(args)}: exit status "
                                 f"{done.status}, not {status}\n{done.out}{done.err}")
        return done

    def _inside(self, words):
        """In this process, and without waiting: many times faster."""
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.dict(os.environ, self.env), contextlib.redirect_stdout(out), \
                contextlib.redirect_stderr(err), mock.patch("time.sleep", self.slept.append):
            try:
                status = runpy.run_path(self.script)["main"](words)
            except SystemExit as e:  # of a usage that is wrong
                status = e.code
        return Result(status, out.getvalue(), err.getvalue())

    def _outside(self, words):
        done = subprocess.run(process.with_parent([self.script, *words]), capture_output=True,
                              text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
                              env={"PATH": os.environ["PATH"], **self.env})
        return Result(done.returncode, done.stdout, done.stderr)
