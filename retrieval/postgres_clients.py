"""PostgreSQL's client programs (pg_dump, pg_restore, psql) against the archive's server."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from psycopg.conninfo import make_conninfo

from encoders.errors import CtsearchError, DatabaseError, StorageError
from retrieval.database_address import database_parameters, home_path
from retrieval.postgres_binaries import installed_folder, run_program
from retrieval.postgres_cluster import environment

CLIENTS = ("pg_dump", "pg_restore", "psql")
_DEBIAN = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Programs of the server's major version, and how they connect; passwords are in files or in `env`."""

    folder: Path
    conninfo: str
    env: Mapping[str, str]

    def start(
        self,
        program: str,
        *arguments: str,
        errors: IO[bytes],
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
    ) -> "Process":
        """Start a program; what it complains of goes to `errors`.

        Raises:
            DatabaseError: it cannot be run.
        """
        command = [str(self.folder / program), *arguments]
        try:
            return subprocess.Popen(  # noqa: S603 - a path of ours, no shell
                command, cwd="/", env=dict(self.env), stdin=stdin, stdout=stdout, stderr=errors
            )
        except OSError as error:
            raise DatabaseError(f"{command[0]} cannot be run ({error.strerror or error})") from error


Process = subprocess.Popen[bytes]


def find_clients(server_major: int) -> Clients:
    """Return the programs that belong to a server.

    Only those of its own major version write what it reads, in both directions. `CTSEARCH_PG_BIN` wins; else
    the embedded database's, those on PATH and where Debian puts them are looked at.

    Args:
        server_major: of the server that is running, 18 for 18.6.

    Raises:
        DatabaseError: there are none of that version.
    """
    found: list[str] = []
    for folder in _candidates(server_major):
        version = _major(folder)
        if version == server_major:
            conninfo, env = _connection()
            return Clients(folder=folder, conninfo=conninfo, env=env)
        if version is not None:
            found.append(f"{folder} has those of {version}")
    raise DatabaseError(
        f"the server is PostgreSQL {server_major} and there are no programs {', '.join(CLIENTS)} of that "
        f"version ({'; '.join(found) or 'nor of any other'}): install postgresql-client-{server_major}, or "
        "set CTSEARCH_PG_BIN to their folder"
    )


def failure_of(process: Process, program: str, errors: IO[bytes]) -> CtsearchError:
    """Return the error for a program that failed: the first thing it complained of, and no row of a table."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").splitlines()
    complaints = [line.strip() for line in lines if "rror:" in line or "ERROR:" in line or "FATAL:" in line]
    said = (complaints or [f"it ended with {process.returncode}"])[0].rstrip(".")
    said = said.partition(': "')[0]  # what follows may be a value of a row
    if any("No space left on device" in line for line in lines):
        return StorageError(f"the database's disk is full ({said}): free some space and run it again")
    if "lock timeout" in said:
        return DatabaseError(
            f"others are using the archive ({said}): stop ctsearch serve, its workers and index runs first"
        )
    return DatabaseError(f"{program} failed ({said}); the archive is as it was")


def _candidates(server_major: int) -> Iterator[Path]:
    chosen = os.environ.get("CTSEARCH_PG_BIN")
    if chosen:
        yield Path(chosen).expanduser().absolute()
        return
    with suppress(DatabaseError):
        yield installed_folder()
    on_path = shutil.which("pg_dump")
    if on_path:
        yield Path(on_path).parent
    yield _DEBIAN / str(server_major) / "bin"


def _major(folder: Path) -> int | None:
    """Return the version of a folder's programs; None where one of them is missing or does not run."""
    if not all((folder / program).exists() for program in CLIENTS):
        return None
    try:
        done = run_program([folder / "pg_dump", "--version"], None, capture_output=True)
    except OSError:
        return None
    told = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return None if told is None else int(told[1])


def _connection() -> tuple[str, dict[str, str]]:
    """Return how the programs connect; no password is among their arguments, which every user may list."""
    remote = database_parameters()
    if remote is None:
        from retrieval.postgres import embedded_server

        address = embedded_server().state().address
        if address is None:
            raise DatabaseError(f"the embedded database in {home_path()} is not running: run it again")
        return address, environment()
    env = {**os.environ, "LC_ALL": "C"}
    password = remote.pop("password", None)
    if password is not None:
        env["PGPASSWORD"] = str(password)
    return make_conninfo(**remote), env


def close_quietly(processes: Sequence[Process]) -> None:
    """End programs that are still running and collect them."""
    for process in processes:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        if process.poll() is None:
            process.kill()
        process.wait()
