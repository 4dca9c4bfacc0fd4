"""The checks of form find what they are for: each runs in a small tree of its own."""

import importlib.util
import pathlib
import shutil
import subprocess

import pytest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def check(tmp_path):
    """check(NAME, {path: text}) -> (exit status, output) of the script on these files."""

    def run(name, files):
        (tmp_path / "scripts").mkdir()
        shutil.copy(SCRIPTS / name, tmp_path / "scripts")
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(text)
        done = subprocess.run([tmp_path / "scripts" / name], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=30, check=False)
        return done.returncode, done.stdout

    return run


@pytest.mark.parametrize("path, include, message", [
    ("common/err.c", '"log.h"', "layer 0 may not include"),
    ("common/mail.c", '"queue.h"', "layer 2 may not include"),
    ("worker/step_sign.c", '"step_email.h"', "layer 5 may not include"),
    ("ctl/main.c", '"lane.h"', "neither in ctl/ nor in common/"),
    ("common/buf.c", '"../worker/lane.h"', "neither in common/ nor in common/"),
    ("worker/step_sign.c", "<curl/curl.h>", "has its home in: common/http"),
    ("common/queue.c", "<hiredis/hiredis.h>", "has its home in"),
    ("common/mail.c", "<uv.h>", "has its home in"),
    ("common/stranger.c", "<stdio.h>", "in no layer"),
])
def test_layers_refuses(check, path, include, message):
    others = {"common/log.h": "", "common/queue.h": "", "worker/step_email.h": "",
              "worker/lane.h": ""}
    status, output = check("check-layers", {**others, path: f"#include {include}\n"})
    assert (status, output.startswith(f"{path}:1: "), message in output) == (1, True, True)


@pytest.mark.parametrize("path, include", [
    ("common/err.c", '"err.h"'),
    ("common/mail.c", '"err.h"'),
    ("common/license_key.c", '"license.h"'),
    ("worker/step_sign.c", '"task.h"'),
    ("common/http.c", "<curl/curl.h>"),
    ("worker/main.c", '"step.h"'),
])
def test_layers_takes(check, path, include):
    others = {"common/err.h": "", "common/license.h": "", "worker/task.h": "",
              "worker/step.h": ""}
    status, output = check("check-layers", {**others, path: f"#include {include}\n"})
    assert status == 0, output


@pytest.mark.parametrize("line", [
    "strcpy(a, b);", "x = malloc (3);", "if (sprintf(a, b) > 0)", 'f("a\\"b"); system("x");',
    "/* b */ sleep(3); /* c */",
])
def test_banned_refuses(check, line):
    status, output = check("check-banned", {"common/a.c": f"\n{line}\n"})
    assert status == 1 and output.startswith("common/a.c:2: "), output


@pytest.mark.parametrize("path, line", [
    ("common/mem.c", "p = calloc(1, 2);"),
    ("common/a.c", "uv_getaddrinfo(l, r, f, h, s, n); mem_strdup(x); t->sleep(3);"),
    ("common/a.c", 'log("strcpy(a)"); // atoi(x)'),
    ("common/a.c", "/* strcpy(a),\n   gets(b) */ c = '\"'; d = '\\'';"),
])
def test_banned_takes(check, path, line):
    status, output = check("check-banned", {path: f"{line}\n"})
    assert status == 0, output


def function(name, lines):
    return f"static int {name}(int a,\n    int b)\n{{\n" + "    a();\n" * (lines - 4) + "}\n"


def test_size_names_the_long_function(check):
    text = "struct s {\n    int a;\n};\n" + function("short_one", 80) + "\n" + function("long_one", 81)
    status, output = check("check-size", {"common/a.c": text})
    assert status == 1
    assert "common/a.c:85: long_one has 81 lines" in output
    assert "short_one has" not in output


def test_size_prints_longest_and_median(check):
    text = "\n".join(function(f"f{n}", n) for n in (10, 20, 60))
    status, output = check("check-size", {"common/a.c": text})
    assert (status, output) == (
        0, "check-size: 3 functions, longest 60: f60 (common/a.c:33), median 20\n")


def test_size_notes_a_long_file(check):
    status, output = check("check-size", {"common/a.c": "int a;\n" * 401})
    assert (status, output) == (0, "check-size: note: common/a.c has 401 lines\n")


def test_install_deps_names_the_sets():
    done = subprocess.run([SCRIPTS / "install-deps", "everything"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "build test analyze demo fuzz" in done.stdout


def test_install_deps_leaves_a_prepared_machine_alone(tmp_path):
    """With an apt-get that would tell on itself."""
    if not pathlib.Path("/usr/sbin/postfix").exists() or not shutil.which("promtool") or \
            not importlib.util.find_spec("aiosmtpd"):
        pytest.skip("this machine lacks the real mail servers, or promtool")
    called = tmp_path / "called"
    apt = tmp_path / "apt-get"
    apt.write_text(f"#!/bin/sh\ntouch {called}\nexit 1\n")
    apt.chmod(0o755)
    done = subprocess.run([SCRIPTS / "install-deps", "test"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=30, check=False,
                          env={"PATH": f"{tmp_path}:/usr/bin:/bin:/usr/sbin:/sbin"})
    assert (done.returncode, done.stdout, called.exists()) == (0, b"", False)


@pytest.fixture
def fuzzing(tmp_path):
    """A tree with the fuzz scripts and three targets; the last is no good."""
    (tmp_path / "scripts").mkdir()
    for name in ("fuzz-run", "fuzz-coverage"):
        shutil.copy(SCRIPTS / name, tmp_path / "scripts")
    (tmp_path / "build-fuzz").mkdir()
    (tmp_path / "common").mkdir()
    for name, ending in (("one", 0), ("two", 0), ("bad", 77)):
        program = tmp_path / "build-fuzz" / f"fuzz_{name}"
        program.write_text(f"#!/bin/sh\necho \"$@\"\necho {name} says $((6 * 7))\nexit {ending}\n")
        program.chmod(0o755)
        (tmp_path / "tests" / "fuzz" / "corpus" / name).mkdir(parents=True)
        (tmp_path / "tests" / "fuzz" / f"fuzz_{name}.c").touch()
        (tmp_path / "common" / f"{name}.c").touch()

    def run(*command):
        done = subprocess.run([tmp_path / "scripts" / command[0], *command[1:]], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=30)
        return done.returncode, done.stdout

    run.root = tmp_path
    return run


def test_fuzz_run_counts_and_shows_what_fails(fuzzing):
    status, output = fuzzing("fuzz-run", "5", "one", "bad", "two")
    assert status == 1 and output.endswith("2 passed, 1 failed\n")
    assert "---- bad\n" in output and "---- one" not in output
    assert sorted(line.split()[0] for line in output.splitlines()[:3]) == ["FAILED", "ok", "ok"]
    assert "bad says 42" in output.split("---- bad")[1]


def test_fuzz_run_takes_a_dictionary(fuzzing):
    (fuzzing.root / "tests" / "fuzz" / "two.dict").write_text('"word"\n')
    status, output = fuzzing("fuzz-run", "5", "one", "two")
    assert status == 0 and output.endswith("2 passed, 0 failed\n")
    log = (fuzzing.root / "build-fuzz" / "two.log").read_text()
    assert "-dict=tests/fuzz/two.dict" in log and "-max_total_time=5" in log
    assert "-dict" not in (fuzzing.root / "build-fuzz" / "one.log").read_text()


@pytest.mark.parametrize("rows, fault", [
    ("common/one.c one two bad\ncommon/two.c\n", "common/two.c: has no fuzz target"),
    ("common/one.c one two bad\ncommon/six.c two\n", "common/six.c: there is no such file"),
    ("common/one.c one two bad six\n", "six: there is no tests/fuzz/fuzz_six.c"),
    ("common/one.c one two # bad\n", "fuzz_bad.c: is for no file"),
])
def test_fuzz_coverage_holds_to_its_table(fuzzing, rows, fault):
    (fuzzing.root / "scripts" / "fuzz-parsers").write_text(rows)
    assert fuzzing("fuzz-coverage") == (1, f"fuzz-coverage: {fault}\n")


# --- static analysis ---

GOOD = """#include <stdlib.h>
int first(const int *from);
int first(const int *from)
{
    return from ? *from : 0;
}
"""
USED_FREED = """#include <stdlib.h>
int first(void);
int first(void)
{
    int *p = malloc(sizeof *p), n;

    if (!p)
        return 0;
    *p = rand();
    n = *p;
    free(p);
    return n + *p;
}
"""
ANALYZERS = {
    "analyze-gcc": ("gcc", ("-dumpversion",), "12", ["-Werror=analyzer-use-after-free"]),
    "analyze-tidy": ("clang-tidy", ("--version",), "version 14.",
                     ["clang-analyzer-unix.Malloc", "cert-msc30-c"]),
}


@pytest.mark.parametrize("target", ANALYZERS)
@pytest.mark.parametrize("code", [GOOD, USED_FREED], ids=["good", "used after free"])
def test_analyzers_find_it(tmp_path, target, code):
    """By the rules of the Makefile and the checks of .clang-tidy."""
    tool, asked, version, names = ANALYZERS[target]
    if not shutil.which(tool) or version not in subprocess.run(
            [tool, *asked], capture_output=True, text=True, timeout=30, check=False).stdout:
        pytest.skip(f"{tool} {version} is not installed")
    for name in ("Makefile", "VERSION", ".clang-tidy"):
        shutil.copy(SCRIPTS.parent / name, tmp_path)
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "first.c").write_text(code)
    done = subprocess.run(["make", "CC=gcc", "CFLAGS=-O2 -fanalyzer", target], cwd=tmp_path,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60, check=False)
    assert done.returncode == (0 if code == GOOD else 2), done.stdout
    assert all(name in done.stdout for name in names) == (code != GOOD), done.stdout


def test_analysis_says_what_it_skips(tmp_path):
    for tool in ("sh", "dirname", "nproc", "grep"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    done = subprocess.run(["/bin/sh", SCRIPTS / "analyze"], capture_output=True, text=True,
                          timeout=30, check=False, env={"PATH": str(tmp_path)})
    assert done.returncode == 0, done
    skipped = [line for line in done.stdout.splitlines() if "skipped" in line]
    assert [tool in line for tool, line in zip(
        ("gcc -fanalyzer", "clang-tidy", "hardening-check"), skipped, strict=True)] == [True] * 3
