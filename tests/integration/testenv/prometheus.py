"""Prometheus's text format, read strictly: what promtool and the server would refuse is
refused here, too, so that the tests say so where neither is installed."""

import http.client
import json
import math
import os
import re
import shutil
import subprocess

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = rf'{_NAME}="(?:[^"\\\n]|\\[\\"n])*"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (\S+)")
_TYPES = {"counter", "gauge", "histogram"}


class Metrics:
    """One scrape. families: name -> (type, help); samples: (name, labels) -> value, the
    labels as a sorted tuple of pairs."""

    def __init__(self, text):
        assert text.endswith("\n"), "no newline at the end"
        self.text, self.families, self.samples = text, {}, {}
        family = None
        for line in text.splitlines():
            if line.startswith("# HELP "):
                name, words = line[7:].split(" ", 1)
                assert name not in self.families, f"{name} comes twice"
                assert words.strip() and words.endswith("."), line
                self.families[name] = (None, words)
                family = name
            elif line.startswith("# TYPE "):
                name, kind = line[7:].split(" ")
                assert name == family and self.families[name][0] is None, line
                assert kind in _TYPES, line
                self.families[name] = (kind, self.families[name][1])
            else:
                self._sample(line, family)
        self._check()

    def _sample(self, line, family):
        match = _SAMPLE.fullmatch(line)
        assert match, f"no sample: {line!r}"
        name, labels, value = match.groups()
        kind = self.families[family][0]
        suffix = name[len(family):]
        assert name.startswith(family), f"{name} under {family}"
        assert suffix in ({"_bucket", "_sum", "_count"} if kind == "histogram" else {""}), line
        pairs = re.findall(rf'({_NAME})="((?:[^"\\]|\\.)*)"', labels or "")
        assert len(dict(pairs)) == len(pairs), f"a label twice: {line}"
        key = (name, tuple(sorted(pairs)))
        assert key not in self.samples, f"twice: {line}"
        self.samples[key] = float(value)

    def _check(self):
        for name, (kind, _) in self.families.items():
            assert name.startswith("stopgap_"), name
            assert (kind == "counter") == name.endswith("_total"), f"{name} is a {kind}"
            if kind == "histogram":
                self._check_histogram(name)
        for (name, _), value in self.samples.items():
            if not name.endswith("_seconds"):
                assert value >= 0 and not math.isnan(value), name

    def _check_histogram(self, name):
        series = {}
        for (sample, labels), value in self.samples.items():
            if sample == f"{name}_bucket":
                bound = dict(labels)["le"]
                rest = tuple(pair for pair in labels if pair[0] != "le")
                series.setdefault(rest, []).append((float(bound), value))
        for rest, buckets in series.items():
            assert buckets == sorted(buckets), f"{name}: buckets out of order"
            values = [value for _, value in buckets]
            assert values == sorted(values), f"{name}: buckets are not cumulative"
            assert math.isinf(buckets[-1][0]), f"{name}: no +Inf"
            assert self.samples[(f"{name}_count", rest)] == values[-1], name
            assert (f"{name}_sum", rest) in self.samples, name

    def get(self, name, **labels):
        """A sample's value; None if there is none."""
        return self.samples.get((name, tuple(sorted((k, str(v)) for k, v in labels.items()))))

    def all(self, name):
        """labels as a dict, value: of each sample of that name."""
        return [(dict(labels), v) for (n, labels), v in self.samples.items() if n == name]


def port_of(program):
    line = program.wait_for(event="metrics")
    return int(re.search(r" port (\d+)", line["msg"]).group(1))


def call(program, path="/metrics", method="GET"):
    """-> status, headers, text"""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(program), timeout=30)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def scrape(program):
    status, headers, text = call(program)
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return Metrics(text)


def promtool():
    """Its path, or None."""
    return os.environ.get("PROMTOOL") or shutil.which("promtool")


def run_promtool(*args, stdin=None):
    done = subprocess.run([promtool(), *map(str, args)], input=stdin, text=True, timeout=60,
                          capture_output=True, check=False)
    assert done.returncode == 0, f"promtool {args}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


class Timeline:
    """Scrapes, each held for some minutes, in the form in which promtool's unit tests take
    series: so rules and queries can be asked what they make of a real run."""

    def __init__(self):
        self.minutes, self.series = 0, {}

    def add(self, minutes, **programs):
        """programs: the job's name, with _ for -, and its program, or what a scrape of it
        gave; None if it is gone."""
        seen = {}
        for job, program in programs.items():
            job = f'job="{job.replace("_", "-")}"'
            seen[f"up{{{job}}}"] = float(program is not None)
            known = program if isinstance(program, Metrics) else program and scrape(program)
            for (name, labels), value in known.samples.items() if known else ():
                pairs = [f'{k}="{v}"' for k, v in labels] + [job]
                seen[f"{name}{{{','.join(pairs)}}}"] = value
        for series in {**self.series, **seen}:
            values = self.series.setdefault(series, ["_"] * self.minutes)
            if series in seen:
                values += [f"{seen[series]:.6f}"] * minutes
            else:
                values += ["stale"] + ["_"] * (minutes - 1)
        self.minutes += minutes

    def ask(self, rules, questions, folder):
        """questions: (minute, query without labels, its value), ...; an AssertionError
        with promtool's words for those that are answered otherwise."""
        test = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [{
            "interval": "1m",
            "input_series": [{"series": s, "values": " ".join(v)}
                             for s, v in self.series.items()],
            "promql_expr_test": [{"expr": query, "eval_time": f"{minute}m",
                                  "exp_samples": [{"labels": "{}", "value": value}]}
                                 for minute, query, value in questions]}]}
        path = os.path.join(folder, "timeline.yml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(test, f)  # which is YAML, too
        run_promtool("test", "rules", path)
