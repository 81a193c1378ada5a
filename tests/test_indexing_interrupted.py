"""`ctsearch index` in processes of their own: killed, interrupted, two at once, and without its database."""

import signal
import subprocess
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from retrieval.postgres_server import EmbeddedServer
from tests.command import finish, start
from tests.synthetic_ct import as_xyz, chest_hu, write_nifti
from tests.tiny_model import write_tiny_model

Begin = Callable[[], "subprocess.Popen[str]"]
SCANS = 24


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Begin:
    """Start indexing one archive of 24 scans with a tiny encoder."""
    folder = tmp_path_factory.mktemp("interrupted")
    write_tiny_model(folder / "tiny")
    (folder / "archive").mkdir()
    for number in range(SCANS):
        scan_xyz = as_xyz(chest_hu(noise=5.0 + number))
        write_nifti(folder / "archive" / f"scan{number:02}.nii.gz", scan_xyz)
    return lambda: start(
        "index",
        folder / "archive",
        "--anonymous",
        "--encoder",
        folder / "tiny",
        "--batch-size",
        "1",
        "--json",
    )


def latents(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM embedding").fetchone()
    return 0 if row is None else int(row[0])


def wait_for_latents(connection: psycopg.Connection, running: "subprocess.Popen[str]", count: int) -> int:
    saved = 0
    while saved < count and running.poll() is None:
        saved = latents(connection)
    return saved


@pytest.mark.usefixtures("database")
def test_a_killed_run_goes_on_where_it_was(begin: Begin, connection: psycopg.Connection) -> None:
    running = begin()
    saved = wait_for_latents(connection, running, 4)
    running.send_signal(signal.SIGKILL)
    finish(running)
    rest = finish(begin())
    assert rest.code == 0, rest.err
    assert rest.json["unchanged"] >= saved
    assert rest.json["indexed"] + rest.json["unchanged"] == latents(connection) == SCANS


@pytest.mark.usefixtures("database")
def test_ctrl_c_keeps_what_was_finished_and_says_so(begin: Begin, connection: psycopg.Connection) -> None:
    running = begin()
    saved = wait_for_latents(connection, running, 1)
    running.send_signal(signal.SIGINT)
    ended = finish(running)
    assert ended.code == 130
    assert "interrupted" in ended.err
    assert "Traceback" not in ended.err
    assert connection.execute("SELECT state FROM index_run").fetchone() == ("interrupted",)
    assert latents(connection) >= saved > 0


@pytest.mark.usefixtures("database")
def test_two_indexers_of_one_archive_agree(begin: Begin, connection: psycopg.Connection) -> None:
    ended = [finish(process) for process in [begin(), begin()]]
    assert [end.code for end in ended] == [0, 0], [end.err for end in ended]
    for end in ended:
        assert end.json["indexed"] + end.json["updated"] + end.json["unchanged"] == SCANS
    assert latents(connection) == SCANS
    assert connection.execute("SELECT count(*) FROM volume").fetchone() == (SCANS,)


def test_the_database_going_away_ends_with_one_sentence(
    begin: Begin, server: EmbeddedServer, database: str, connection: psycopg.Connection
) -> None:
    running = begin()
    wait_for_latents(connection, running, 2)
    connection.close()
    name = urlsplit(database).path.strip("/")
    with server.connect(autocommit=True) as admin:
        close = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
        admin.execute(close.format(sql.Identifier(name), sql.SQL("false")))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        ended = finish(running)
        admin.execute(close.format(sql.Identifier(name), sql.SQL("true")))
    assert ended.code == 1
    assert ended.err.strip().splitlines()[-1].startswith("ctsearch: ")
    assert "Traceback" not in ended.err
    again = finish(begin())
    assert again.code == 0, again.err
    assert again.json["unchanged"] >= 2
    assert again.json["unchanged"] + again.json["indexed"] == SCANS
