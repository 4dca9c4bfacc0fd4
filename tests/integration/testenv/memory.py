"""The memory of a running process, searched from outside. Needs root."""

import re

from . import process

HUGE = 1 << 30  # reserved, not used


def is_sanitized(name):
    try:
        with open(process.program(name), "rb") as f:
            return b"__asan_init" in f.read()
    except FileNotFoundError:
        return False


def peak_mib(pid):
    """The most that it ever had at a time."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return int(re.search(r"VmHWM:\s+(\d+) kB", f.read()).group(1)) / 1024


def mapped(pid):
    """(start, end, rights, name, flags) of each region; flags as in smaps: "lo" is locked,
    "dd" is left out of core dumps."""
    found = []
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as f:
        for line in f:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) .*?(\S*)$", line)
            if head:
                start, end, rights, name = head.groups()
                found.append([int(start, 16), int(end, 16), rights, name, set()])
            elif line.startswith("VmFlags:"):
                found[-1][4] = set(line.split()[1:])
    return found


def regions(pid):
    """(start, end, flags) of each that can be read."""
    return [(start, end, flags) for start, end, rights, name, flags in mapped(pid)
            if rights[0] == "r" and end - start < HUGE and name not in ("[vvar]", "[vsyscall]")]


def find(pid, needles):
    """{name: [flags of the region of each hit]} for needles {name: bytes}."""
    hits = {name: [] for name in needles}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end, flags in regions(pid):
            memory.seek(start)
            try:
                content = memory.read(end - start)
            except OSError:  # reserved, or gone
                continue
            for name, needle in needles.items():
                hits[name] += [flags] * content.count(needle)
    return hits
