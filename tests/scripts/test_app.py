"""The sidebar app: its package, what its check finds, and its modules' own tests."""

import json
import pathlib
import re
import shutil
import subprocess
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECK, BUILD = ROOT / "scripts" / "check-app", ROOT / "scripts" / "build-app"


def run(*words, timeout=60):
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout


@pytest.fixture
def app(tmp_path):
    """app(path, old, new): what the check says of a copy in which that is changed."""
    copy = tmp_path / "zendesk-app"
    shutil.copytree(ROOT / "zendesk-app", copy)

    def change(path, old, new):
        text = (copy / path).read_text(encoding="utf-8")
        assert old in text
        (copy / path).write_text(text.replace(old, new, 1), encoding="utf-8")
        return run(CHECK, copy)
    change.folder = copy
    return change


def test_it_is_well():
    assert run(CHECK) == (0, "")


@pytest.mark.parametrize("path, old, new, words", [
    ("manifest.json", '"frameworkVersion": "2.0"', '"frameworkVersion": "1.0"', "must be 2.x"),
    ("manifest.json", '"private": true', '"private": "yes"', "private: must be"),
    ("manifest.json", '"private"', '"publicly"', "publicly: unknown"),
    ("manifest.json", '"secure": true', '"secure": false', "token: must be secure"),
    ("manifest.json", "assets/iframe.html", "assets/gone.html", "is not there"),
    ("manifest.json", '"name": "contact"', '"name": "token"', "given twice"),
    ("manifest.json", '"name": "contact"', '"name": "person"', "do not fit"),
    ("translations/en.json", '"heading": "Send this?",', "", "confirm.heading is not in"),
    ("translations/en.json", '"loading":', '"spare": "x", "loading":', "ui.spare is used nowhere"),
    ("translations/en.json", '"loading":', '"loading": "a", "loading":', "given twice"),
    ("assets/iframe.html", "script-src 'self'", "script-src 'self' 'unsafe-inline'", "Policy"),
    ("assets/iframe.html", "</body>", "<script>x()</script></body>", "inline script"),
    ("assets/iframe.html", "<main ", '<main onclick="x()" ', "inline style or handler"),
    ("assets/iframe.html", "app.css", "gone.css", "gone.css is not there"),
    ("assets/dom.js", "const node =", "x.innerHTML = y; const node =", "innerHTML"),
    ("assets/flow.js", "./why.js", "./gone.js", "imports gone.js"),
])
def test_the_check_finds(app, path, old, new, words):
    status, output = app(path, old, new)
    assert status == 1 and words in output


def test_the_check_finds_wrong_logos_and_strangers(app):
    (app.folder / "assets" / "logo.png").write_bytes(b"GIF89a")
    (app.folder / "assets" / "notes.txt").write_text("x")
    status, output = run(CHECK, app.folder)
    assert status == 1 and "PNG of 320" in output and "does not belong" in output


def test_the_package(tmp_path):
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    assert run(BUILD, one, "https://hooks.vendor.example")[0] == 0
    assert run(BUILD, two, "https://hooks.vendor.example/")[0] == 0
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as package:
        manifest = json.loads(package.read("manifest.json"))
        names = package.namelist()
        texts = json.loads(package.read("assets/texts/en.json"))
        source = json.loads(package.read("translations/en.json"))
    assert manifest["domainWhitelist"] == ["hooks.vendor.example"]
    assert manifest["version"] == (ROOT / "VERSION").read_text().strip()
    assert "@" not in re.sub(r"\S+@example\.com", "", json.dumps(manifest))
    assert texts == source["ui"]
    assert {"assets/iframe.html", "assets/logo.png", "assets/logo-small.png"} <= set(names)


@pytest.mark.parametrize("receiver", ["http://hooks.example.com", "https://hooks.example.com/x",
                                      "hooks.example.com", "https://a b", "https://u@h.example"])
def test_no_package_for_another_receiver(tmp_path, receiver):
    assert run(BUILD, tmp_path / "x.zip", receiver)[0] != 0
    assert not (tmp_path / "x.zip").exists()


def test_modules():
    node = shutil.which("node")
    if not node or int(run(node, "--version")[1][1:].split(".")[0]) < 18:
        pytest.skip("node 18 or newer is not installed")
    status, output = run(node, "--test", *sorted((ROOT / "tests" / "app").glob("*.test.mjs")),
                         timeout=110)
    assert status == 0, output
