"""What `make install` lays out: units that systemd accepts, man pages and completion that
fit the programs, and nothing left after `make uninstall`."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from testenv import process

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("stopgap-worker", "stopgap-webhook", "stopgapctl")
EXPOSURE = 1.5  # what systemd-analyze may say at most


def run(*command, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
                          cwd=options.pop("cwd", ROOT), **options)
    return done.returncode, done.stdout


def need(tool):
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A build folder with man pages and completion, made from the built programs."""
    folder = tmp_path_factory.mktemp("build")
    for name in PROGRAMS:
        if not os.access(process.program(name), os.X_OK):
            pytest.skip(f"{process.program(name)} is not built")
        (folder / name).symlink_to(process.program(name))
    assert run("scripts/make-man", str(folder)) == (0, "")
    return folder


def install(verb, build, prefix, **where):
    env = {"PATH": os.environ["PATH"], "PREFIX": str(prefix), **where}
    assert run("scripts/install-files", verb, str(build), env=env) == (0, "")


@pytest.fixture(scope="module")
def installed(build, tmp_path_factory):
    """The prefix of an installation, whose units name what is really there."""
    prefix = tmp_path_factory.mktemp("prefix")
    install("install", build, prefix, SYSCONFDIR=f"{prefix}/etc")
    return prefix


def files(folder):
    return {p.relative_to(folder) for p in pathlib.Path(folder).rglob("*") if not p.is_dir()}


# --- install, uninstall ---


def test_uninstall_leaves_nothing(build, tmp_path):
    bystander = tmp_path / "usr/bin/bystander"
    bystander.parent.mkdir(parents=True)
    bystander.write_text("")
    install("install", build, "/usr", DESTDIR=str(tmp_path))
    assert len(files(tmp_path)) > 30
    assert not (tmp_path / "etc").exists()
    install("uninstall", build, "/usr", DESTDIR=str(tmp_path))
    assert files(tmp_path) == {pathlib.Path("usr/bin/bystander")}
    assert [p for p in tmp_path.rglob("*stopgap*")] == []


def test_no_place_is_left_to_fill(installed):
    for path in sorted(files(installed)):
        if path.parts[:2] in ((("lib"), "systemd"), ("lib", "tmpfiles.d"), ("share", "man"),
                              ("share", "bash-completion")):
            assert not re.search("@[A-Z_]+@", (installed / path).read_text()), path


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_need_nothing_beside_them(installed, tmp_path, name):
    version = (ROOT / "VERSION").read_text().strip()
    assert run(f"{installed}/bin/{name}", "--version", cwd=tmp_path, env={}) == \
        (0, f"{name} {version}\n")


# --- units ---


def units(installed):
    return sorted((installed / "lib/systemd/system").glob("stopgap-*"))


def test_systemd_takes_the_units(installed):
    need("systemd-analyze")
    folder = installed / "lib/systemd/system"
    names = [unit.name.replace("@.", "@x.") for unit in units(installed)]
    assert len(names) == 5
    status, output = run("systemd-analyze", "verify", "--man=no", *names,
                         env={"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": os.environ["PATH"]})
    assert (status, output) == (0, "")


def test_units_are_closed(installed):
    need("systemd-analyze")
    for unit in units(installed):
        if unit.suffix != ".service":
            continue
        _, output = run("systemd-analyze", "security", "--offline=true", "--no-pager",
                        str(unit).replace("@.", "@x."),
                        env={"SYSTEMD_UNIT_PATH": f"{unit.parent}:", "PATH": os.environ["PATH"]})
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", output)
        assert found and float(found[1]) <= EXPOSURE, output


def test_users_and_folders_are_known_forms(installed, tmp_path):
    need("systemd-sysusers")
    need("systemd-tmpfiles")
    (tmp_path / "etc").mkdir()
    shutil.copy(installed / "lib/sysusers.d/stopgap.conf", tmp_path / "users.conf")
    status, output = run("systemd-sysusers", f"--root={tmp_path}", "--dry-run", str(tmp_path / "users.conf"))
    assert status == 0, output
    assert {"stopgap", "stopgap-webhook"} <= set(re.findall(r"'?(stopgap[a-z-]*)'?", output)), output


def test_the_worker_knows_its_host(installed):
    """Its id has the boot's, by which the dead are told from those of other hosts."""
    text = (installed / "lib/systemd/system/stopgap-worker.service").read_text()
    assert not re.search("^ProcSubset=pid", text, re.M)


# --- man pages ---


def pages(build):
    return sorted((build / "man").iterdir())


def test_man_pages_are_clean(build):
    need("mandoc")
    assert [p.name for p in pages(build)] == [
        "stopgap-webhook.8", "stopgap-worker.8", "stopgap.env.5", "stopgapctl.1"]
    for page in pages(build):
        status, output = run("mandoc", "-T", "lint", "-W", "warning", str(page))
        assert (status, output) == (0, "")


def test_groff_takes_the_pages_too(build):
    need("groff")
    for page in pages(build):
        done = subprocess.run(["groff", "-mandoc", "-Tutf8", "-Kutf8", "-ww", "-z", page],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, ""), page


def options_in(text):
    return set(re.findall(r"--[a-z][a-z-]*", text))


def options_of_page(build, name):
    text = (build / "man" / name).read_text()
    return {f"-{found}" for found in re.findall(r"\.It Fl (-[a-z][a-z-]*)", text)}


@pytest.mark.parametrize("name", ["stopgap-worker", "stopgap-webhook"])
def test_daemons_pages_have_their_options(build, name):
    _, usage = run(process.program(name), "--help", env={})
    assert options_of_page(build, f"{name}.8") == options_in(usage)
    said = set(re.findall(r"\b(TERM|TSTP|CONT|HUP)\b", usage))
    page = (build / "man" / f"{name}.8").read_text()
    assert said == set(re.findall(r"\b(TERM|TSTP|CONT|HUP)\b", page))


def commands():
    _, overview = run(process.program("stopgapctl"), "help", env={})
    return re.findall(r"^  ([a-z][a-z-]*) ", overview, re.M)


def usage(command):
    return run(process.program("stopgapctl"), "help", command, env={})[1]


def test_the_commands_page_has_each_option(build):
    text = (build / "man/stopgapctl.1").read_text()
    assert re.findall(r"^\.Ss (\S+)$", text, re.M) == commands()
    wanted = {o for c in commands() for o in re.findall(r"^  (--[a-z-]+)", usage(c), re.M)}
    assert wanted | {"--env-file", "--json", "--help", "--version"} == \
        options_of_page(build, "stopgapctl.1")


def test_the_settings_page_has_each_setting(build):
    text = subprocess.run([process.program("stopgapctl"), "config", "--json"], env={},
                          capture_output=True, timeout=60, check=True).stdout
    page = (build / "man/stopgap.env.5").read_text()
    assert sorted(re.findall(r"^\.It Ev (\S+)$", page, re.M)) == sorted(json.loads(text))


# --- bash completion ---


def complete(build, *words):
    """What is offered for the last word."""
    script = f'source {build}/stopgapctl.bash; COMP_WORDS=("$@"); ' \
             'COMP_CWORD=$(($# - 1)); _stopgapctl 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"'
    status, output = run("bash", "-c", script, "bash", "stopgapctl", *words)
    assert status == 0, output
    return set(output.split())


def test_completion_offers_commands_and_options(build):
    assert complete(build, "") == set(commands())
    assert complete(build, "req") == {"requeue"}
    assert complete(build, "--env-file", "x", "--json", "st") == {"stats"}
    assert complete(build, "--") == {"--env-file", "--json", "--help", "--version"}
    for command in commands():
        assert complete(build, command, "--") == \
            options_in(usage(command)) | {"--env-file", "--json", "--help"}


def test_completion_offers_files(build):
    assert complete(build, "verify", "READ") == {"README.md"}
    assert complete(build, "--env-file", "READ") == {"README.md"}
    assert complete(build, "show", "READ") == set()


@pytest.mark.parametrize("words", [
    ["list", "--state"], ["requeue", "--redo"], ["keygen", "--bits"], ["keygen", "--type"]])
def test_completion_offers_the_values_that_the_help_names(build, words):
    offered = complete(build, *words, "")
    assert len(offered) >= 2
    assert offered <= set(re.findall(r"[a-z0-9]+", usage(words[0])))


def test_completion_offers_the_classes(build):
    assert complete(build, "requeue", "--where", "") == {"class="}
    assert complete(build, "requeue", "--where", "class", "=") == \
        complete(build, "requeue", "--where", "class", "=", "")
    for word in complete(build, "requeue", "--where", "class", "=", ""):
        status, output = run(process.program("stopgapctl"), "requeue", "--where", f"class={word}",
                             env={"STOPGAP_REDIS_URL": "unix:///does/not/exist"})
        assert status == 1, output  # 2: no such class
