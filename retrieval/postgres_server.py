"""The embedded server: one PostgreSQL a home, shared by every process that uses that home.

It is started by the first command that needs it and stays, so that the next one does not wait; it stops with
`ctsearch db stop`, with the machine, or when its folder is deleted. Layout under the home:

    postgres.password     for libpq's `passfile`, mode 0600
    postgres/data         PostgreSQL's own
    postgres/alive.lock   held by the server itself for as long as any of its processes lives
    postgres/start.lock   held by whoever starts or stops it
    postgres/server.log

Whether a server lives is asked of `alive.lock`, which it inherits when it is started, and never of a process
id: ids are reused after a reboot, mean nothing across containers, and a killed server stays a zombie where
nobody collects it. The kernel frees the lock when the last process is gone, however it went.

Started by root, the server runs under another account, and its folder may lie where that account cannot go
(/root, a test's scratch folder). No permission is widened for it: the server starts inside its folder, which
it inherits as working directory, and knows it as /proc/self/cwd.
"""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from filelock import FileLock, Timeout

from encoders.errors import DatabaseError, StorageError
from retrieval.postgres_binaries import (
    ServerAccount,
    find_binaries,
    major_version,
    run_program,
    server_account,
)
from retrieval.postgres_cluster import (
    DATABASE,
    HOST,
    USER,
    environment,
    failure,
    folder_argument,
    make_cluster,
    read_password,
    settings_argument,
)
from retrieval.postgres_errors import first_line

_STARTING_S = 600.0  # replaying the log after a crash may take long
_REFUSING_S = 30.0  # alive, said to be ready, and answering nobody: it is dying
_STOPPING_S = (
    (signal.SIGINT, 60.0),
    (signal.SIGQUIT, 30.0),
)  # fast; then the one that recovers at the next start
_POLL_S = 0.02
_LOG_BYTES = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """What can be said of the embedded server without starting it."""

    running: bool
    address: str | None  # for psql and CTSEARCH_DATABASE; the password stays in its file
    pid: int | None  # of the main process
    data_directory: Path
    log: Path


class EmbeddedServer:
    """Supervises the server of one home. Several of these, in any process, may serve the same home."""

    def __init__(self, home: Path) -> None:
        """Remember where; nothing is made or started.

        Args:
            home: a directory of this user's, as `retrieval.postgres.home` gives it.
        """
        self.folder = home / "postgres"
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self.password_file = home / "postgres.password"

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """Connect to the server, starting it where it does not run.

        Args:
            options: further keywords of `psycopg.connect`.

        Raises:
            DatabaseError: it does not start, or does not let us in; the sentence names its log.
            StorageError: the disk is full or the home cannot be written.
        """
        start = time.monotonic()
        while True:
            port = self._ready_port()
            if port is not None:
                try:
                    return psycopg.connect(**(self._address(port) | options))
                except psycopg.OperationalError as error:
                    self._give_up_if_final(error, time.monotonic() - start)
            elif not self._is_alive():
                self._start()
            elif time.monotonic() - start > _STARTING_S:
                raise self._failure(f"the embedded database was not ready after {_STARTING_S:.0f} s")
            time.sleep(_POLL_S)

    def parameters(self) -> dict[str, Any]:
        """Return keywords of `psycopg.connect` for the server, which is started where it does not run.

        Raises:
            DatabaseError: it does not start, or does not let us in; the sentence names its log.
            StorageError: the disk is full or the home cannot be written.
        """
        with self.connect() as connection:
            return self._address(connection.info.port)

    def stop(self) -> bool:
        """Stop the server and wait until it is gone; what was committed is on disk.

        Returns:
            False when it was not running.

        Raises:
            DatabaseError: it does not stop.
        """
        if not self.folder.exists():
            return False
        with self._starting():
            if not self._is_alive():
                return False
            for stop_signal, patience_s in _STOPPING_S:
                self._signal(stop_signal)
                if self._wait_until_gone(patience_s):
                    return True
        raise DatabaseError(
            f"the embedded database in {self.data} does not stop: if it runs in another container, "
            f"stop it there; its log is {self.log}"
        )

    def state(self) -> ServerState:
        """Look, and start nothing."""
        port = self._ready_port()
        address = f"postgresql://{USER}@{HOST}:{port}/{DATABASE}?passfile={quote(str(self.password_file))}"
        return ServerState(
            running=self._is_alive(),
            address=None if port is None else address,
            pid=None if port is None else int(self._pid_file()[0]),
            data_directory=self.data,
            log=self.log,
        )

    # Is it there?

    def _address(self, port: int) -> dict[str, Any]:
        return {
            "host": HOST,
            "hostaddr": HOST,  # this and what follows outrank PGHOSTADDR, PGSSLMODE … of another database
            "port": port,
            "user": USER,
            "dbname": DATABASE,
            "sslmode": "disable",
            "gssencmode": "disable",
            "channel_binding": "disable",
            "require_auth": "scram-sha-256",  # a stranger on our port cannot answer it
            "options": "",
            "connect_timeout": 10,
        } | self._password()

    def _password(self) -> dict[str, str]:
        """Return the password from its file: given as such, it outranks PGPASSWORD."""
        try:
            return {"password": read_password(self.password_file)}
        except OSError as error:
            raise self._unusable(error) from error

    def _is_alive(self) -> bool:
        try:
            descriptor = os.open(self.folder / "alive.lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as error:  # a network disk without locks
            raise self._unusable(error) from error
        finally:
            os.close(descriptor)
        return False

    def _pid_file(self) -> list[str]:
        """Return the lines of postmaster.pid, in the order of PostgreSQL's pidfile.h."""
        try:
            return (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable(error) from error

    def _ready_port(self) -> int | None:
        lines = self._pid_file()
        if len(lines) < 8 or lines[7].strip() != "ready" or not self._is_alive():
            return None
        return int(lines[3])

    def _give_up_if_final(self, error: psycopg.OperationalError, waited_s: float) -> None:
        said = first_line(error)
        passing = any(
            word in said for word in ("starting up", "shutting down", "recovery", "not yet accepting")
        )
        if ("FATAL:" in said and not passing) or waited_s > (_STARTING_S if passing else _REFUSING_S):
            raise DatabaseError(
                f"the embedded database does not let us in ({said}): see {self.log}, and check that "
                f"{self.password_file} is the one made with it"
            ) from error

    # Starting and stopping

    @contextmanager
    def _starting(self) -> Iterator[None]:
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            with FileLock(self.folder / "start.lock", timeout=_STARTING_S, mode=0o600):
                yield
        except Timeout as error:
            raise self._failure(f"another process has been starting it for {_STARTING_S:.0f} s") from error
        except OSError as error:
            raise self._unusable(error) from error

    def _start(self) -> None:
        """Start the server unless somebody else has meanwhile, and wait until it is ready."""
        with self._starting():
            descriptor = os.open(self.folder / "alive.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                account = server_account(self.data)
                binaries = find_binaries(account)
                self._prepare(binaries, account)
                log_start = self._launch(binaries, account, descriptor)
            except BlockingIOError:
                return
            finally:
                os.close(descriptor)
            self._wait_until_ready(log_start)

    def _prepare(self, binaries: Path, account: ServerAccount | None) -> None:
        if not self.data.exists():
            make_cluster(self.data, self.password_file, binaries, account)
        made_by = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        major = major_version(binaries, account)
        if made_by != str(major):
            raise DatabaseError(
                f"{self.data} was made by PostgreSQL {made_by} and {binaries} has {major}: "
                f"set CTSEARCH_PG_BIN to the programs of version {made_by}"
            )
        if not self.password_file.exists():
            raise DatabaseError(
                f"{self.password_file} is missing, and the database in {self.data} opens to nothing else: "
                "put it back from a backup"
            )
        if self.password_file.stat().st_mode & 0o077:
            self.password_file.chmod(0o600)  # libpq ignores it while others may read it
        (self.data / "postmaster.pid").unlink(missing_ok=True)  # stale: nobody holds alive.lock

    def _launch(self, binaries: Path, account: ServerAccount | None, alive: int) -> int:
        """Start the server as nobody's child, so that init collects it; return where its log begins."""
        folder = folder_argument(self.data, account)
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            log_start = os.fstat(descriptor).st_size
            done = run_program(
                [
                    binaries / "pg_ctl",
                    "start",
                    "--no-wait",
                    "--silent",
                    "-D",
                    folder,
                    "-o",
                    settings_argument(),
                ],
                account,
                folder=self.data,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                pass_fds=(alive,),
            )
        finally:
            os.close(descriptor)
        if done.returncode:
            raise self._failure("the embedded database cannot be started", log_start)
        return log_start

    def _wait_until_ready(self, log_start: int) -> None:
        start = time.monotonic()
        while self._ready_port() is None:
            if not self._is_alive():
                raise self._failure("the embedded database did not start", log_start)
            if time.monotonic() - start > _STARTING_S:
                raise self._failure(
                    f"the embedded database was not ready after {_STARTING_S:.0f} s", log_start
                )
            time.sleep(_POLL_S)

    def _signal(self, number: signal.Signals) -> None:
        lines = self._pid_file()
        if lines and _works_in(int(lines[0]), self.data):
            with suppress(ProcessLookupError):
                os.kill(int(lines[0]), number)

    def _wait_until_gone(self, patience_s: float) -> bool:
        start = time.monotonic()
        while self._is_alive():
            if time.monotonic() - start > patience_s:
                return False
            time.sleep(_POLL_S)
        return True

    # What went wrong

    def _failure(self, what: str, log_start: int = 0) -> Exception:
        try:
            with self.log.open("rb") as stream:
                stream.seek(log_start)
                said = stream.read().decode("utf-8", errors="replace")
        except OSError as error:
            said = str(error)
        return failure(what, said, self.folder, self.log)

    def _unusable(self, error: OSError) -> StorageError:
        return StorageError(
            f"the database's folder {self.folder} cannot be used ({error.strerror or error}): check who owns "
            "it and how full the disk is, or set CTSEARCH_HOME to a folder of your own"
        )


def _works_in(pid: int, folder: Path) -> bool:
    """Whether a process is a server of that folder; where there is no /proc, its own word is taken."""
    if not Path("/proc/self/cwd").exists():
        return True
    try:
        return Path(f"/proc/{pid}/cwd").samefile(folder)
    except OSError:
        return False
