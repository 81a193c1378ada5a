"""What is handed to those who deploy: files parse, agree with each other, and name commands that exist."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from encoders.errors import ConfigError
from retrieval.database_address import database_parameters

CHECKOUT = Path(__file__).resolve().parents[1]
UNITS = ("ctsearch.service", "ctsearch-worker.service")


@pytest.fixture(scope="module")
def compose() -> dict:
    return dict(yaml.safe_load((CHECKOUT / "compose.yaml").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def options() -> dict[str, str]:
    """What `--help` says of the commands that services run."""
    return {
        name: subprocess.run(
            [sys.executable, "-m", "cli.main", name, "--help"],
            check=True,
            capture_output=True,
            text=True,
            cwd=CHECKOUT,
            env={**os.environ, "COLUMNS": "200"},
        ).stdout
        for name in ("serve", "worker")
    }


def checked(command: list[str], options: dict[str, str]) -> None:
    """Every option of a command is one that it has."""
    known = set(re.findall(r"--[a-z-]+", options[command[0]]))
    assert {word.split("=")[0] for word in command[1:] if word.startswith("--")} <= known


def test_only_the_page_is_published_and_only_on_loopback(compose: dict) -> None:
    services = compose["services"]
    assert services["app"]["ports"] == ["127.0.0.1:8080:8080"]
    assert not any("ports" in services[name] for name in ("db", "worker"))
    assert compose["networks"]["back"]["internal"] is True
    assert services["db"]["networks"] == services["worker"]["networks"] == ["back"]


def test_the_password_is_in_a_file_and_nowhere_else(compose: dict) -> None:
    secret = compose["secrets"]["database_password"]["file"]
    assert secret.endswith("/database_password")
    for service in compose["services"].values():
        assert service["secrets"] == ["database_password"]
        assert not any(name.endswith("PASSWORD") for name in service["environment"])
    assert "@db/ctsearch" in compose["services"]["app"]["environment"]["CTSEARCH_DATABASE"]


def test_services_run_without_rights_and_keep_their_data_in_volumes(compose: dict) -> None:
    for name in ("app", "worker"):
        service = compose["services"][name]
        assert (service["cap_drop"], service["read_only"]) == (["ALL"], True)
        assert "home:/var/lib/ctsearch" in service["volumes"]
        assert all(":ro" in volume for volume in service["volumes"] if not volume.startswith("home:"))
    assert "database:/var/lib/postgresql" in compose["services"]["db"]["volumes"]
    assert set(compose["volumes"]) == {"home", "database"}


def test_the_commands_of_services_exist(compose: dict, options: dict[str, str]) -> None:
    for name in ("app", "worker"):
        checked(compose["services"][name]["command"], options)
    for name in UNITS:
        [command] = re.findall(
            r"^ExecStart=\S+ (.*)$", (CHECKOUT / "deploy" / name).read_text(encoding="utf-8"), re.MULTILINE
        )
        checked(command.split(), options)


def test_the_proxy_that_is_believed_is_the_host(compose: dict) -> None:
    [network] = compose["networks"]["front"]["ipam"]["config"]
    assert f"--proxy={network['gateway']}" in compose["services"]["app"]["command"]


def test_the_image_has_what_it_copies_no_weights_and_no_root() -> None:
    said = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER ctsearch$", said, re.MULTILINE)
    assert "/api/v1/health/live" in said
    sent = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").split()
    assert sent[0] == "*"  # what is not named stays outside: archives, homes, models
    for name in (word[1:] for word in sent if word.startswith("!")):
        assert (CHECKOUT / name).exists()
    packages = re.findall(
        r'^    "(\w+)",$', (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {f"!{name}" for name in packages if (CHECKOUT / name).is_dir()} <= set(sent)


def test_the_image_s_check_of_health_is_python() -> None:
    said = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
    [command] = re.findall(r"^    CMD (\[.*\])$", said, re.MULTILINE)
    code = yaml.safe_load(command)
    assert code[:2] == ["python", "-c"]
    compile(code[2], "healthcheck", "exec")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd: apt-get install systemd")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for name in UNITS:
        unit = (CHECKOUT / "deploy" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(unit.replace("/opt/ctsearch/bin/ctsearch", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in UNITS)],
        check=False,
        capture_output=True,
        text=True,
    )
    complaints = [line for line in done.stderr.splitlines() if "ctsearch" in line]
    assert (done.returncode, complaints) == (0, [])


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx: apt-get install nginx-light")
def test_nginx_accepts_its_example(tmp_path: Path) -> None:
    for name in ("key", "pem"):
        shutil.copy(certificate(tmp_path), tmp_path / f"ct.{name}")
    said = (CHECKOUT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    said = re.sub(r"/etc/ssl/\w+/ct\.example\.org", str(tmp_path / "ct"), said)
    (tmp_path / "site.conf").write_text(said)
    whole = f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ include {tmp_path}/site.conf; }}"
    (tmp_path / "nginx.conf").write_text(whole)
    done = subprocess.run(
        ["nginx", "-t", "-q", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for line in ("client_max_body_size", "proxy_buffering off", "X-Forwarded-Proto", "Range $http_range"):
        assert line in said


def certificate(folder: Path) -> Path:
    """A key and a certificate for it, in one file."""
    both = folder / "both"
    if not both.exists():
        asked = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=ct.example.org -keyout - -out -"
        both.write_bytes(subprocess.run(shlex.split(asked), check=True, capture_output=True).stdout)
    return both


def test_the_database_s_password_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CTSEARCH_DATABASE", "postgresql://ctsearch@db/ctsearch")
    monkeypatch.setenv("CTSEARCH_DATABASE_PASSWORD_FILE", str(tmp_path / "password"))
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file"):
        database_parameters()
    (tmp_path / "password").write_text("a b\n")
    assert database_parameters() == {
        "user": "ctsearch",
        "host": "db",
        "dbname": "ctsearch",
        "password": "a b",
    }
