"""What the container files say of each other: the image's sources are in its context, the
services are closed, and docker-compose takes the whole."""

import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def copied():
    """Every path that the Dockerfile copies out of its context."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    for words in re.findall(r"^COPY (?!--from)(.*)$", text, re.M):
        yield from words.split()[:-1]


def test_what_is_copied_is_in_the_context():
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines()
               if line.startswith("!")]
    sources = list(copied())
    assert len(sources) > 8
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(source == a or source.startswith(a + "/") for a in allowed), source


@pytest.fixture(scope="module")
def services():
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is not installed")
    done = subprocess.run(
        ["docker-compose", "--env-file", "deploy/demo.env", "--profile", "demo", "--profile",
         "tools", "config"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(done.stdout)["services"]


def test_compose_takes_it(services):
    assert set(services) == {"redis", "worker", "webhook", "ctl", "mail", "gitlab"}


def test_each_service_is_closed(services):
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert all("healthcheck" in services[name] for name in ("redis", "worker", "webhook"))


def test_the_receiver_sees_no_secret_of_the_worker(services):
    """And it is the only one that has a port, but for the stand-in."""
    mounts = str(services["webhook"]["volumes"])
    assert f"{ROOT}/secrets-webhook:" in mounts and f"{ROOT}/secrets:" not in mounts
    assert {name for name, s in services.items() if "ports" in s} == {"webhook", "gitlab"}


def test_the_demo_gives_what_the_worker_needs(services):
    told = services["worker"]["environment"]
    for name in ("STOPGAP_MAIL_FROM", "STOPGAP_SMTP_URL", "STOPGAP_GITLAB_URL",
                 "STOPGAP_GITLAB_PROJECT"):
        assert told[name], name
