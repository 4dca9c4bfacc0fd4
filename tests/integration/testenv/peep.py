"""peep.py PID: tries each way in which a process can look into another one of its user.
Prints the names of those that are open."""

import ctypes
import os
import sys

PTRACE_ATTACH, PTRACE_DETACH = 16, 17
libc = ctypes.CDLL(None, use_errno=True)


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


def opens(pid, name, mode="rb"):
    try:
        with open(f"/proc/{pid}/{name}", mode, buffering=0) as f:
            return name == "mem" or bool(f.read(1))
    except PermissionError:
        return False


def descriptors(pid):
    try:
        return bool(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        return False


def vm_readv(pid):
    """Who may read is told EFAULT of an address where nothing is."""
    here = ctypes.create_string_buffer(8)
    own = Iovec(ctypes.cast(here, ctypes.c_void_p), 8)
    other = Iovec(ctypes.c_void_p(4096), 8)
    libc.process_vm_readv(pid, ctypes.byref(own), 1, ctypes.byref(other), 1, 0)
    return ctypes.get_errno() == 14


def ptrace(pid):
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(PTRACE_ATTACH, pid, None, None):
        return False
    os.waitpid(pid, 0)
    libc.ptrace(PTRACE_DETACH, pid, None, None)
    return True


def main():
    pid = int(sys.argv[1])
    ways = {name: lambda name=name: opens(pid, name) for name in ("environ", "maps", "smaps", "auxv")}
    ways.update(mem=lambda: opens(pid, "mem", "r+b"), fd=lambda: descriptors(pid),
                process_vm_readv=lambda: vm_readv(pid), ptrace=lambda: ptrace(pid))
    print(*[name for name, tried in ways.items() if tried()])


if __name__ == "__main__":
    main()
