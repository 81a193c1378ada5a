"""A dump goes into the database in one transaction: pg_restore writes SQL, psql runs it.

psql gets BEGIN before the dump and COMMIT after it, and COMMIT only once everything was seen to be there.
Whichever process is killed, psql comes to the end of what it is given without one, and nothing has happened.
"""

import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from encoders.errors import DatabaseError
from retrieval.backup_file import Progress
from retrieval.postgres_clients import Clients, Process, close_quietly, failure_of

Blocks = Callable[[], Iterator[bytes]]

_READY = "everything is there"
_SILENT = "\\o /dev/null"  # where answers go, till the next \\o
_QUIET = ("--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password")
_STRICT = ("--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse")  # terse: no row of a table in what it says
_NOT_LOADED = (" EXTENSION ", " SCHEMA - public ", " COMMENT - SCHEMA public ")  # the server's, not ours


def load_dump(
    clients: Clients,
    blocks: Blocks,
    *,
    total_bytes: int,
    before: Sequence[str],
    after: Sequence[str],
    rows: Mapping[str, int],
    before_commit: Callable[[], None],
    progress: Progress,
) -> None:
    """Run statements, a dump and more statements; commit if every table has as many rows as it should.

    Args:
        clients: of the server's version.
        blocks: the dump, from its beginning each time it is called.
        total_bytes: of the dump.
        before: statements without parameters, run first.
        after: likewise, run when the dump is in; names are qualified there.
        rows: by table of the public schema.
        before_commit: called when all that remains is to commit.
        progress: is told how much of the dump was handed over.

    Raises:
        DatabaseError: a program failed, or rows are missing; nothing has changed.
        StorageError: the server's disk is full; nothing has changed.
    """
    with tempfile.TemporaryFile() as errors, tempfile.NamedTemporaryFile("w", suffix=".list") as chosen:
        chosen.write("".join(_chosen_entries(clients, blocks)))
        chosen.flush()
        psql = clients.start(
            "psql",
            f"--dbname={clients.conninfo}",
            *_QUIET,
            *_STRICT,
            errors=errors,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            _say(psql, errors, [_SILENT, *_statements(["BEGIN", *before])])
            _restore(clients, Path(chosen.name), psql, errors, _counted(blocks(), total_bytes, progress))
            progress("checking what is there", total_bytes, total_bytes)
            _say(psql, errors, ["\\o", *_counts(rows), _SILENT, *_statements(after), f"\\echo {_READY}"])
            _compare(_answers(psql, errors), rows)
            before_commit()
            _say(psql, errors, _statements(["COMMIT"]))
            _end(psql, errors)
        finally:
            close_quietly([psql])


def _chosen_entries(clients: Clients, blocks: Blocks) -> list[str]:
    """Return the dump's table of contents without what is not the archive's."""
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as listed:
        listing = clients.start(
            "pg_restore", "--list", errors=errors, stdin=subprocess.PIPE, stdout=listed.fileno()
        )
        try:
            _feed(listing, blocks())
            if listing.wait():
                raise failure_of(listing, "pg_restore", errors)
        finally:
            close_quietly([listing])
        listed.seek(0)
        lines = listed.read().decode().splitlines(keepends=True)
    return [line for line in lines if not any(kind in line for kind in _NOT_LOADED)]


def _restore(
    clients: Clients, chosen: Path, psql: Process, errors: IO[bytes], blocks: Iterable[bytes]
) -> None:
    if psql.stdin is None:
        raise TypeError("psql was started without a pipe")
    arguments = ("--no-owner", "--no-privileges", f"--use-list={chosen}", "--file=-")
    with tempfile.TemporaryFile() as said:
        restore = clients.start(
            "pg_restore", *arguments, errors=said, stdin=subprocess.PIPE, stdout=psql.stdin.fileno()
        )
        try:
            _feed(restore, blocks)
            if restore.wait() == 0:
                return
            if _had_no_reader(restore, said):
                _end(psql, errors)  # psql went first: its reason is the one that counts
            raise failure_of(restore, "pg_restore", said)
        finally:
            close_quietly([restore])


def _had_no_reader(process: Process, said: IO[bytes]) -> bool:
    said.seek(0)
    return process.returncode == -signal.SIGPIPE or b"Broken pipe" in said.read()


def _feed(process: Process, blocks: Iterable[bytes]) -> None:
    """Hand over blocks until the program has enough."""
    if process.stdin is None:
        raise TypeError("the program was started without a pipe")
    try:
        for block in blocks:
            process.stdin.write(block)
        process.stdin.close()
    except BrokenPipeError:
        return


def _say(psql: Process, errors: IO[bytes], lines: Sequence[str]) -> None:
    if psql.stdin is None:
        raise TypeError("psql was started without a pipe")
    try:
        psql.stdin.write("".join(f"{line}\n" for line in lines).encode())
        psql.stdin.flush()
    except BrokenPipeError as error:
        psql.wait()
        raise failure_of(psql, "psql", errors) from error


def _end(psql: Process, errors: IO[bytes]) -> None:
    """Let psql come to the end of its input."""
    try:
        if psql.stdin is not None:
            psql.stdin.close()
    except BrokenPipeError:
        pass
    if psql.wait():
        raise failure_of(psql, "psql", errors)


def _answers(psql: Process, errors: IO[bytes]) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in psql.stdout or ():
        said = line.decode().strip()
        if said == _READY:
            return found
        table, _, count = said.rpartition("|")
        found[table] = int(count)
    psql.wait()
    raise failure_of(psql, "psql", errors)


def _compare(found: Mapping[str, int], rows: Mapping[str, int]) -> None:
    for table, expected in rows.items():
        if found[table] != expected:
            raise DatabaseError(
                f"{table} has {found[table]:,} rows after loading and {expected:,} were backed up: "
                "the archive is left as it was; take another backup"
            )


def _statements(lines: Sequence[str]) -> list[str]:
    return [f"{line};" for line in lines]


def _counts(rows: Mapping[str, int]) -> list[str]:
    return [f"SELECT '{table}', count(*) FROM public.\"{table}\";" for table in rows]  # noqa: S608 - they exist, or it fails


def _counted(blocks: Iterable[bytes], total: int, progress: Progress) -> Iterator[bytes]:
    done = 0
    for block in blocks:
        yield block
        done += len(block)
        progress("restoring the database", done, total)
