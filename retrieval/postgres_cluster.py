"""Making a PostgreSQL data directory, and the settings its server runs with."""

import os
import secrets
import shlex
import shutil
import socket
import tempfile
from pathlib import Path
from typing import IO

from encoders.errors import CtsearchError, DatabaseError, StorageError
from retrieval.postgres_binaries import ServerAccount, major_version, run_program

USER = DATABASE = "ctsearch"
HOST = "127.0.0.1"
_GIB = 1 << 30
_MIB = 1 << 20
_BUILTIN_LOCALES_SINCE = 17


def make_cluster(data: Path, password_file: Path, binaries: Path, account: ServerAccount | None) -> None:
    """Make a data directory in a scratch folder beside it and move it into place: all of it or none.

    Args:
        data: does not exist yet; its parent does.
        password_file: made with mode 0600 where it is missing, in the format of libpq's `passfile`.
        binaries: the folder of PostgreSQL's programs.
        account: who will own the data directory; None for this user.

    Raises:
        DatabaseError: initdb fails; its last line is in the sentence.
        StorageError: the disk is full.
    """
    for leftover in data.parent.glob("data.new-*"):  # of a start that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix="data.new-", dir=data.parent))
    folder = folder_argument(scratch, account)
    locale = ["--locale=C.UTF-8"]
    if major_version(binaries, account) >= _BUILTIN_LOCALES_SINCE:  # the same on every machine
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    initdb: list[str | Path] = [binaries / "initdb", "-D", folder, "-U", USER, "--encoding=UTF8", *locale]
    initdb += ["--auth=scram-sha-256", "--pwfile=/dev/stdin", "--no-instructions"]
    single: list[str | Path] = [
        binaries / "postgres",
        "--single",
        "-D",
        folder,
        "-c",
        "exit_on_error=on",
        "postgres",
    ]
    try:
        if account:
            os.chown(scratch, account.uid, account.gid)
        _run(initdb, scratch, account, stdin=_password(password_file) + "\n")
        _run(single, scratch, account, stdin=f"CREATE DATABASE {DATABASE}\n")
        scratch.rename(data)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def folder_argument(folder: Path, account: ServerAccount | None) -> str:
    """Return how a program started in `folder` may name it: an account that cannot reach it inherits it."""
    return "/proc/self/cwd" if account else str(folder)


def environment() -> dict[str, str]:
    """Return this process's environment without what would steer PostgreSQL, messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


def settings_argument() -> str:
    """Return the server's settings as `pg_ctl -o` takes them; the port is one that is free now."""
    return " ".join(f"-c {name}={shlex.quote(value)}" for name, value in _settings(_free_port()).items())


def failure(what: str, said: str, folder: Path, log: Path) -> CtsearchError:
    """Return the error for a program of PostgreSQL that failed, with the last thing it complained of."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    complaints = [
        line for line in lines if any(word in line for word in ("FATAL", "PANIC", "ERROR", "error:"))
    ]
    last = (complaints or lines or ["it said nothing"])[-1].rstrip(".")
    if "No space left on device" in said:
        return StorageError(
            f"{what}, the disk of {folder} is full: free some space ({last}; the log is {log})"
        )
    return DatabaseError(f"{what}: {last}; the log is {log}")


def _settings(port: int) -> dict[str, str]:
    memory = _memory_bytes()
    settings = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        "cluster_name": "ctsearch",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "shared_buffers": f"{min(max(memory // 8, 128 * _MIB), 4 * _GIB) // _MIB}MB",
        "effective_cache_size": f"{max(memory // 2, 512 * _MIB) // _MIB}MB",
        "work_mem": "64MB",
        "maintenance_work_mem": "512MB",  # an HNSW graph that does not fit is built many times slower
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "jit": "off",
        "random_page_cost": "1.1",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
        "log_statement": "none",
        "log_min_error_statement": "panic",  # statements and the keys of conflicting rows may name a patient
        "log_error_verbosity": "terse",
        "log_checkpoints": "off",
        "log_autovacuum_min_duration": "-1",
    }
    if _shared_memory_is_small():
        settings["dynamic_shared_memory_type"] = (
            "sysv"  # containers give /dev/shm 64 MB, parallel builds need more
        )
    return settings


def _memory_bytes() -> int:
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no control group, or "max"
        return physical
    return min(physical, limit)


def _shared_memory_is_small() -> bool:
    try:
        room = os.statvfs("/dev/shm")  # noqa: S108 - looked at, not written to
    except OSError:
        return False
    return room.f_frsize * room.f_blocks < _GIB


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def read_password(password_file: Path) -> str:
    """Return the password in a file of libpq's `passfile` format that `make_cluster` made."""
    return password_file.read_text(encoding="ascii").strip().rpartition(":")[2]


def _password(password_file: Path) -> str:
    if not password_file.exists():
        made = password_file.with_suffix(".new")
        made.unlink(missing_ok=True)
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(f"*:*:*:{USER}:{secrets.token_urlsafe(32)}\n")
            stream.flush()
            os.fsync(stream.fileno())
        made.rename(password_file)
    return read_password(password_file)


def _run(command: list[str | Path], folder: Path, account: ServerAccount | None, *, stdin: str) -> None:
    """Run a program with its input in a nameless file: a pipe of root's would open to nobody else."""
    with tempfile.TemporaryFile(dir=folder.parent) as given:
        _give(given, stdin, account)
        done = run_program(
            command, account, folder=folder, env=environment(), stdin=given, capture_output=True
        )
    if done.returncode:
        log = folder.parent / "server.log"
        with log.open("a", encoding="utf-8") as stream:
            stream.write(done.stdout + done.stderr)
        raise failure(f"{Path(command[0]).name} failed", done.stderr, folder.parent, log)


def _give(given: IO[bytes], text: str, account: ServerAccount | None) -> None:
    given.write(text.encode())
    given.seek(0)
    if account:
        os.fchown(given.fileno(), account.uid, account.gid)
