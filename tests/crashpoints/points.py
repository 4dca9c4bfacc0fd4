"""The crash points that the sources have (common/crash.h), by name."""

import collections
import glob
import os
import re

TREE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
USE = re.compile(r'\bCRASH_(?:POINT|SENT|PART)(?:_OF)?\(([^;]*?)"([\w.]+)"(,\s*[^;]*?)?\)', re.DOTALL)


def _scripts():
    files = glob.glob(os.path.join(TREE, "common", "lua", "*.lua"))
    names = [os.path.basename(f).removesuffix(".lua") for f in files]
    return [n for n in names if not n.endswith(".inc")]


def _gitlab_calls():
    with open(os.path.join(TREE, "worker", "gitlab_answer.c"), encoding="ascii") as f:
        return re.findall(r"^const struct gitlab_call gitlab_call_(\w+) =", f.read(), re.M)


# What the second half of a name can be, by the first word of the place.
FAMILIES = {"redis": _scripts, "gitlab": _gitlab_calls}


def uses(folders=("common", "worker", "webhook", "ctl")):
    """[(place, has a second half, file)] of each use."""
    found = []
    for folder in folders:
        for path in sorted(glob.glob(os.path.join(TREE, folder, "*.c"))):
            with open(path, encoding="utf-8") as f:
                for hit in USE.finditer(f.read()):
                    of = "_OF(" in hit.group(0)
                    found.append((hit.group(2), of, os.path.relpath(path, TREE)))
    return found


def twice():
    counted = collections.Counter(place for place, _, _ in uses())
    return [place for place, n in counted.items() if n > 1]


def names():
    """Every point's name."""
    out = []
    for place, of, _ in uses():
        if of:
            out += [f"{place}.{what}" for what in FAMILIES[place.split(".")[0]]()]
        else:
            out.append(place)
    return sorted(out)
