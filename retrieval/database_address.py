"""Where the archive is: a folder of this user's, and a server's address where one is named."""

import os
from pathlib import Path
from typing import Any

import psycopg
from platformdirs import user_data_path
from psycopg.conninfo import conninfo_to_dict

from encoders.errors import ConfigError, StorageError

APPLICATION = "ctsearch"
_SCHEMES = ("postgresql", "postgresql+psycopg", "postgres")


def home_path() -> Path:
    """Return the folder of the embedded database, snapshots and caches, whether it is there or not.

    It is `CTSEARCH_HOME`, or the platform's folder for a user's data.
    """
    chosen = os.environ.get("CTSEARCH_HOME")
    return Path(chosen).expanduser().absolute() if chosen else user_data_path(APPLICATION, appauthor=False)


def home() -> Path:
    """Return `home_path()`, made with mode 0700 where it is missing.

    Raises:
        StorageError: it cannot be made.
    """
    folder = home_path()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "a file is in its way" if in_the_way else error.strerror
        raise StorageError(
            f"the folder {folder} cannot be made ({reason}): set CTSEARCH_HOME to a folder of your own"
        ) from error
    return folder


def database_parameters() -> dict[str, Any] | None:
    """Return how to connect to the server that `CTSEARCH_DATABASE` names; None where the embedded one serves.

    Its password may be in a file that `CTSEARCH_DATABASE_PASSWORD_FILE` names, as services keep secrets.

    Raises:
        ConfigError: it is no address of a PostgreSQL server, or the file cannot be read.
    """
    chosen = os.environ.get("CTSEARCH_DATABASE")
    if not chosen:
        return None
    scheme, _, rest = chosen.partition("://")
    try:
        parameters = conninfo_to_dict(f"postgresql://{rest}")
    except psycopg.ProgrammingError:
        parameters = {}
    ports = str(parameters.get("port", "")).split(",")
    if scheme not in _SCHEMES or not parameters or not all(port.isdigit() or not port for port in ports):
        raise ConfigError(
            "CTSEARCH_DATABASE is no address of a PostgreSQL server: write "
            "postgresql://user:password@host:port/name, or unset it for the embedded one"
        )
    secret = os.environ.get("CTSEARCH_DATABASE_PASSWORD_FILE")
    return parameters | {"password": _password_in(Path(secret))} if secret else parameters


def _password_in(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(
            f"the file {path} that CTSEARCH_DATABASE_PASSWORD_FILE names cannot be read ({reason}): "
            "it holds the database's password and nothing else"
        ) from error
