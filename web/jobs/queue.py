"""The queue of jobs: procrastinate's tables, in a PostgreSQL schema of their own (it is imported here alone).

The queue is derived: the table `job` says what is to be done. A queue of another procrastinate is made anew,
and jobs that it does not hold are put in again.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, cast

import psycopg
from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.exceptions import ConnectorException, JobAborted
from procrastinate.retry import RetryStrategy
from procrastinate.schema import SchemaManager
from sqlalchemy import Engine, text
from sqlalchemy.engine import Connection

from encoders.errors import DatabaseError
from retrieval.postgres import connection_parameters
from retrieval.postgres_errors import database_errors, first_line

SCHEMA = "ctsearch_queue"
_LOCK = 0x63740006  # whoever makes the queue holds this advisory lock
_TASK = "job"
_OURS = f"procrastinate {version('procrastinate')}"
_POLL_S = 2.0
_AGAIN_S = 5

Stopping = Callable[[], bool]


class PutBackError(Exception):
    """The job is to be taken up again later: the worker stops, or the database was away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How soon a dead worker is noticed: it says that it lives every `heartbeat_s`."""

    heartbeat_s: float = 3.0
    stalled_s: float = 15.0
    tend_s: float = 5.0
    ending_s: float = 12.0  # that a job under way has to come to an end; systemd and the server wait longer


def make_queue(engine: Engine) -> None:
    """Make the queue's tables where they are missing or another version's; any number of processes may.

    Raises:
        DatabaseError: the server is away, or its role may not make a schema.
    """
    with database_errors(), engine.begin() as connection:
        if _made_by(connection) != _OURS:
            _make(connection, replaced=True)


def put_in(connection: Connection, job_id: int, queue: str) -> int:
    """Put a job in; it is there when the caller's transaction commits. Returns the queue's own id of it."""
    if _made_by(connection) is None:
        _make(connection)
    with _within(connection) as session:
        return _app().configure_task(_TASK, queue=queue, connection=session).defer(job_id=job_id)


def _made_by(connection: Connection) -> str | None:
    found = text("SELECT obj_description(to_regnamespace(:schema)::oid, 'pg_namespace')")
    made_by: str | None = connection.execute(found, {"schema": SCHEMA}).scalar()
    return made_by


def _make(connection: Connection, *, replaced: bool = False) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    found = _made_by(connection)
    if found == _OURS or (found is not None and not replaced):
        return  # somebody else has meanwhile
    connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
    with _within(connection) as session:
        session.execute(SchemaManager.get_schema().encode())
    connection.exec_driver_sql(f"COMMENT ON SCHEMA {SCHEMA} IS '{_OURS}'")


def take_out(connection: Connection, queue_id: int) -> None:
    """Take a job out if it waits; if it is under way, ask its worker to stop."""
    with _within(connection) as session:
        _app().job_manager.cancel_job_by_id(queue_id, abort=True, connection=session)


def lost_jobs(connection: Connection) -> list[tuple[int, str]]:
    """Return (id, kind) of jobs that are to be done and that the queue does not hold."""
    rows = connection.execute(text(_LOST)).all()
    return [(row.id, row.kind) for row in rows]


async def attend(
    perform: Callable[[int, Stopping], None],
    tend: Callable[[], None],
    *,
    concurrency: int = 1,
    once: bool = False,
    patience: Patience,
) -> None:
    """Do what the queue holds until SIGTERM or SIGINT; uploads do not wait for a night of indexing.

    Args:
        perform: does a job, in a thread; it asks now and then whether it is to stop.
        tend: is called now and then, in a thread.
        concurrency: how many uploads are encoded at once; indexing runs beside, one at a time.
        once: end when nothing waits any more.
        patience: how soon things are noticed.

    Raises:
        DatabaseError: the database is away.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = _app(perform)
    try:
        async with app.open_async():
            tasks = [
                asyncio.create_task(_work(app, "encode", concurrency, once, patience)),
                asyncio.create_task(_work(app, "index", 1, once, patience)),
                asyncio.create_task(_tend(app, tend, patience)),
            ]
            works = asyncio.gather(*tasks[:2])
            stopping = asyncio.create_task(stop.wait())
            until: list[asyncio.Future[Any]] = [stopping, *(tasks[2:] if once else tasks)]
            until += [works] if once else []
            await asyncio.wait(until, return_when=asyncio.FIRST_COMPLETED)
            is_expected = stop.is_set() or once
            for task in (*tasks, stopping):
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(works, return_exceptions=True)
    except (ConnectorException, psycopg.Error) as error:
        raise DatabaseError(f"the queue cannot be reached ({_said(error)}): check the database") from error
    for failed in ended:
        if isinstance(failed, ConnectorException | psycopg.Error):
            raise DatabaseError(f"the queue went away ({_said(failed)}): start the worker again") from failed
        if isinstance(failed, Exception):
            raise failed
    if not is_expected:
        raise DatabaseError("the queue went away: start the worker again")


async def _work(app: App, queue: str, concurrency: int, once: bool, patience: Patience) -> None:
    await app.run_worker_async(
        queues=[queue],
        name=queue,
        concurrency=concurrency,
        wait=not once,
        delete_jobs="always",
        install_signal_handlers=False,
        fetch_job_polling_interval=_POLL_S,
        abort_job_polling_interval=_POLL_S,
        update_heartbeat_interval=patience.heartbeat_s,
        stalled_worker_timeout=patience.stalled_s,
        shutdown_graceful_timeout=patience.ending_s,
    )


async def _tend(app: App, tend: Callable[[], None], patience: Patience) -> None:
    """Put jobs of dead workers back into the queue, now and then, and do what else is to be tended."""
    while True:
        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=patience.stalled_s):
            await app.job_manager.retry_job(job)
        await asyncio.to_thread(tend)
        await asyncio.sleep(patience.tend_s)


def _app(perform: Callable[[int, Stopping], None] | None = None) -> App:
    connector = PsycopgConnector(kwargs=_parameters, min_size=1, max_size=8)
    app = App(connector=connector)

    @app.task(
        name=_TASK,
        pass_context=True,
        retry=RetryStrategy(max_attempts=None, wait=_AGAIN_S, retry_exceptions={JobAborted, DatabaseError}),
    )
    def job(context: JobContext, job_id: int) -> None:
        if perform is None:
            raise TypeError("this process puts jobs in and does none")
        try:
            perform(job_id, context.should_abort)
        except PutBackError as error:
            raise JobAborted(str(error)) from error

    return app


def _parameters() -> dict[str, Any]:
    """Return the archive's address as it is now, with the queue's schema to look in."""
    found = connection_parameters()
    return found | {"options": f"{found.get('options', '')} -c search_path={SCHEMA}".strip()}


@contextmanager
def _within(connection: Connection) -> Iterator[psycopg.Connection[Any]]:
    """Yield the driver's connection, in the same transaction, looking in the queue's schema."""
    before = connection.exec_driver_sql("SELECT current_setting('search_path')").scalar_one()
    setting = text("SELECT set_config('search_path', :path, true)")
    connection.execute(setting, {"path": SCHEMA})
    yield cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    connection.execute(setting, {"path": before})


def _said(error: BaseException) -> str:
    return first_line(error.__cause__ or error)


_LOST = f"""
SELECT id, kind FROM job WHERE state IN ('queued', 'running') AND NOT EXISTS (
    SELECT FROM {SCHEMA}.procrastinate_jobs AS queued
    WHERE queued.id = job.queue_id AND queued.status IN ('todo', 'doing')
) FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - constants
