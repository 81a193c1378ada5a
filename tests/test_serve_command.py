"""`ctsearch serve` as a process of its own: its address, its worker, what it refuses, how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import Engine, text

from tests.command import Command, finish, start, until
from tests.web_accounts import PASSWORD, with_account
from web.access.loopback import is_loopback
from web.worker_process import WorkerProcess


@contextmanager
def _serving(*arguments: object, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address that a server prints, and its process; a port of its own is taken."""
    process = start("serve", "--port", 0, *arguments, **environment)
    try:
        for line in process.stdout:
            found = re.search(r"serves at (http://\S+)", line)
            if found:
                yield found[1], process
                break
        else:
            pytest.fail(process.stderr.read())
    finally:
        process.kill()
        process.communicate()


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _workers(pid: int) -> list[int]:
    """Of a server: it has other children for a moment, as libraries look for what they load."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name = stat.read_text().rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(name[1]) == pid and name[0] != "Z" and b"worker" in command:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.slow  # two processes load torch
def test_the_printed_address_opens_the_page_and_a_worker_lives_and_dies_with_the_server(
    engine: Engine,
) -> None:
    with _serving() as (address, process):
        with httpx2.Client(follow_redirects=True) as browser:
            answer = browser.get(address)
            assert "token" not in str(answer.url)
            assert answer.status_code == 200
            assert "server" not in answer.headers
            assert browser.get(httpx2.URL(address).join("/api/v1/me")).json()["name"] == "local"
        until(lambda: bool(_workers(process.pid)))
        worker = _workers(process.pid)[0]
        os.kill(worker, signal.SIGKILL)
        until(lambda: bool(_workers(process.pid)) and _workers(process.pid) != [worker])
        again = _workers(process.pid)[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        until(lambda: not _is_running(again))


@pytest.mark.slow  # two processes load torch
def test_a_worker_ends_with_a_server_that_is_killed(engine: Engine) -> None:
    with _serving() as (_, process):
        until(lambda: bool(_workers(process.pid)))
        worker = _workers(process.pid)[0]
        process.kill()
        process.wait()
        until(lambda: not _is_running(worker))


def test_a_taken_port_is_one_sentence(engine: Engine) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        finished = finish(start("serve", "--no-worker", "--port", other.getsockname()[1]))
    assert finished.code == 2
    assert finished.err.count("\n") == 1
    assert "is taken" in finished.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--backend", "nobody"), "backend 'nobody' is unknown"),
        (("--backend", "ct-chat"), "needs a chat model"),
        (("--backend", "openai"), "allow it with --reports-may-leave"),
    ],
)
def test_who_drafts_answers_is_settled_before_the_server_starts(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setenv("CTSEARCH_OPENAI_URL", "http://chat.example:8000/v1")
    monkeypatch.setenv("CTSEARCH_OPENAI_MODEL", "m")
    finished = Command(capsys, monkeypatch)("serve", "--no-worker", "--port", 0, *arguments)
    assert finished.code == 2
    assert finished.err.count("\n") == 1
    assert said in finished.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "give it with --allowed-host"),
        (("--host", "0.0.0.0", "--allowed-host", "ct.example"), "ctsearch accounts add NAME --role admin"),
        (("--behind-proxy",), "ctsearch accounts add NAME --role admin"),
        (("--accounts",), "ctsearch accounts add NAME --role admin"),
        (("--host", "192.0.2.1"), "cannot listen on 192.0.2.1"),
        (("--host", "no such host"), "cannot listen on no such host"),
    ],
)
def test_who_others_may_reach_does_not_start_without_accounts(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    with_account(engine, "anna", "reader")
    finished = Command(capsys, monkeypatch)("serve", "--no-worker", "--port", 0, *arguments)
    assert finished.code == 2
    assert finished.err.count("\n") == 1
    assert said in finished.err


def test_a_missing_library_names_the_install_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "limits", None)
    finished = Command(capsys, monkeypatch)("serve")
    assert finished.code == 2
    assert "limits, not installed here: pip install 'ctsearch[web]'" in finished.err


@pytest.mark.slow  # a process loads torch
def test_a_proxy_is_believed_where_it_is_named_and_accounts_are_demanded(engine: Engine) -> None:
    with_account(engine, "anna", "admin")
    proxy = {"Host": "ct.example", "X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}
    form = {"name": "anna", "password": PASSWORD}
    with _serving("--no-worker", "--behind-proxy", "--allowed-host", "ct.example") as (address, _):
        assert "token" not in address
        assert httpx2.get(f"{address}api/v1/me", headers={"Host": "ct.example"}).status_code == 401
        signed_in = httpx2.post(
            f"{address}sign-in", data=form, headers={**proxy, "Origin": "https://ct.example"}
        )
        assert signed_in.status_code == 303
        assert signed_in.headers["set-cookie"].startswith("__Host-ctsearch-")
        assert "Secure" in signed_in.headers["set-cookie"]
        assert signed_in.headers["strict-transport-security"] == "max-age=31536000"
        plain = {**proxy, "Origin": "http://ct.example"}  # a page that came in the clear is another origin
        assert httpx2.post(f"{address}sign-in", data=form, headers=plain).status_code == 403
    with engine.connect() as connection:
        detail = connection.execute(text("SELECT detail FROM audit_event WHERE action = 'sign in'")).scalar()
    assert detail == {"address": "198.51.100.7", "by": "password"}


@pytest.mark.slow  # a process loads torch
def test_a_proxy_that_is_not_named_is_not_believed(engine: Engine) -> None:
    with_account(engine, "anna", "admin")
    forwarded = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}
    form = {"name": "anna", "password": PASSWORD}
    with _serving("--no-worker", "--behind-proxy", "--proxy", "192.0.2.9") as (address, _):
        answer = httpx2.post(f"{address}sign-in", data=form, headers=forwarded)
        assert answer.status_code == 303
        assert "Secure" not in answer.headers["set-cookie"]
    with engine.connect() as connection:
        detail = connection.execute(text("SELECT detail FROM audit_event WHERE action = 'sign in'")).scalar()
    assert detail["address"] == "127.0.0.1"


def test_a_worker_that_says_its_settings_are_wrong_is_not_started_again(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    script = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(2)"
    with WorkerProcess([sys.executable, "-c", script]) as worker:
        until(lambda: not worker.is_kept)
    assert starts.read_text() == "x"


def test_a_worker_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("web.worker_process._ENDS_WITHIN_S", 0.5)
    ready = tmp_path / "ready"
    script = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    )
    with WorkerProcess([sys.executable, "-c", script]) as worker:
        until(ready.exists)
        pid = worker.pid
    assert not _is_running(pid)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_what_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
