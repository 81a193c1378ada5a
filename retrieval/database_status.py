"""Which database serves, whether it runs, and how it stands: what `ctsearch db` shows and does."""

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import text

from encoders.errors import ConfigError
from retrieval.collection_status import CollectionStatus, collection_statuses
from retrieval.migrate import SchemaState, schema_state
from retrieval.postgres import database_errors, database_parameters, embedded_server, open_engine


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStatus:
    """How the archive's database stands; what a server that does not run could tell is None."""

    embedded: bool
    running: bool
    address: str | None  # without a password; the embedded server's names the file that has it
    data_directory: str | None  # of the embedded server
    log: str | None  # likewise
    postgres: int | None = None  # server_version_num
    pgvector: str | None = None
    schema: str | None = None
    newest_schema: str | None = None
    size_bytes: int | None = None
    collections: tuple[CollectionStatus, ...] = ()  # none where the schema is not this code's

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        facts = {field.name: getattr(self, field.name) for field in fields(self)}
        return facts | {"collections": [collection.to_json() for collection in self.collections]}


def database_status() -> DatabaseStatus:
    """Look at the database; the embedded server is not started for it.

    Raises:
        DatabaseError: the server of `CTSEARCH_DATABASE` cannot be reached, or is too old.
    """
    remote = database_parameters()
    if remote is not None:
        shown = "postgresql://{user}@{host}:{port}/{dbname}".format_map(_WithDefaults(remote))
        return _asked(
            DatabaseStatus(embedded=False, running=True, address=shown, data_directory=None, log=None)
        )
    state = embedded_server().state()
    status = DatabaseStatus(
        embedded=True,
        running=state.running,
        address=state.address,
        data_directory=str(state.data_directory),
        log=str(state.log),
    )
    return _asked(status) if state.running else status


def stop_database() -> bool:
    """Stop the embedded server; False when it was not running.

    Raises:
        ConfigError: `CTSEARCH_DATABASE` names a server of somebody else's.
        DatabaseError: it does not stop.
    """
    if database_parameters() is not None:
        raise ConfigError(
            "CTSEARCH_DATABASE names a server that ctsearch did not start: stop it with its own tools, "
            "or unset the variable to stop the embedded one"
        )
    return embedded_server().stop()


class _WithDefaults(dict[str, Any]):
    """What libpq takes for parts of an address that are not given."""

    def __missing__(self, part: str) -> str:
        return {"host": "localhost", "port": "5432"}.get(part, "")


def _asked(status: DatabaseStatus) -> DatabaseStatus:
    engine = open_engine()
    try:
        schema: SchemaState = schema_state(engine)
        with database_errors(), engine.connect() as connection:
            size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
            collections = collection_statuses(engine) if schema.revision == schema.newest else []
    finally:
        engine.dispose()
    return DatabaseStatus(
        embedded=status.embedded,
        running=True,
        address=status.address,
        data_directory=status.data_directory,
        log=status.log,
        postgres=schema.server.postgres,
        pgvector=schema.server.vector_installed,
        schema=schema.revision,
        newest_schema=schema.newest,
        size_bytes=size,
        collections=tuple(collections),
    )
