"""Child processes that end with the test, whatever happens to the test."""

import os
import shutil
import signal
import socket
import subprocess

# The daemons run as root, in containers for tests, only when told so.
AS_ROOT = {"STOPGAP_ALLOW_ROOT": "1"} if os.geteuid() == 0 else {}


def with_parent(command):
    """The command, ended by the kernel when the test's process is gone."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *command] if setpriv else list(command)


def start(command, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("start_new_session", True)  # a Ctrl-C is the test's alone
    return subprocess.Popen(with_parent(command), **options)


def stop(process, grace=10.0, signal_number=signal.SIGTERM):
    """TERM, then KILL. Returns the exit status, negative for a signal."""
    if process.poll() is None:
        process.send_signal(signal_number)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def build_dir():
    """Where the programs are: BUILD_DIR, else build/ of this tree."""
    here = os.path.dirname(os.path.abspath(__file__))
    default = os.path.join(here, "..", "..", "..", "build")
    return os.path.abspath(os.environ.get("BUILD_DIR") or default)


def program(name):
    return os.path.join(build_dir(), name)
