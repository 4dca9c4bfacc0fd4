"""Reads the programs' log lines, logfmt or JSON."""

import json
import re

PAIR = re.compile(r'([A-Za-z_][\w.]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s|$)')
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)


def _unescape(hit):
    text = hit.group(1)
    if text[0] == "u" and len(text) == 5:
        return chr(int(text[1:], 16))
    return {"n": "\n", "t": "\t", "r": "\r"}.get(text, text)


def parse(line):
    """The line's fields as text; None if it is no log line."""
    line = line.rstrip("\n")
    if line.startswith("{"):
        try:
            return {key: str(value) for key, value in json.loads(line).items()}
        except ValueError:
            return None
    fields, at = {}, 0
    while at < len(line):
        pair = PAIR.match(line, at)
        if not pair:
            return None
        value = pair.group(2)
        if value.startswith('"'):
            value = ESCAPE.sub(_unescape, value[1:-1])
        fields[pair.group(1)] = value
        at = pair.end()
    return fields or None
