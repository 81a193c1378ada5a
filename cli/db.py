"""`ctsearch db`: bring the schema up to date, look at the database, stop the embedded one."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from retrieval.database_status import DatabaseStatus

app = typer.Typer(help="The archive's database: its schema, its state, its end.", no_args_is_help=True)


@app.command("upgrade")
def upgrade() -> None:
    """Bring the schema up to this version's; every other command does so too when it starts."""
    from retrieval.migrate import schema_state
    from retrieval.migrate import upgrade as upgrade_schema
    from retrieval.postgres import open_engine

    engine = open_engine()
    try:
        before = schema_state(engine)
        after = upgrade_schema(engine)
    finally:
        engine.dispose()
    if before.revision == after.revision:
        typer.echo(f"the schema is up to date ({after.revision})")
    else:
        typer.echo(f"the schema went from {before.revision or 'empty'} to {after.revision}")


@app.command("status")
def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say which database serves, how it and its collections stand; the embedded one is not started for it."""
    from retrieval.database_status import database_status

    found = database_status()
    if as_json:
        sys.stdout.write(json.dumps(found.to_json()) + "\n")
        return
    for name, value in _lines(found):
        if value is not None:
            typer.echo(f"{name:<11}{value}")
    if found.collections:
        from cli.tables import print_collection_statuses

        print_collection_statuses(found.collections)


@app.command("stop")
def stop() -> None:
    """Stop the embedded database; the next command that needs it starts it again."""
    from retrieval.database_status import stop_database

    typer.echo("the database is stopped" if stop_database() else "the database was not running")


def _lines(found: "DatabaseStatus") -> list[tuple[str, str | None]]:
    server = "embedded" if found.embedded else "CTSEARCH_DATABASE"
    version = None if found.postgres is None else f"{found.postgres // 10000}.{found.postgres % 10000}"
    size = None if found.size_bytes is None else f"{found.size_bytes / 1e6:.1f} MB"
    schema = found.schema or "empty: run ctsearch db upgrade"
    if found.schema and found.schema != found.newest_schema:
        schema = f"{found.schema}, this version's is {found.newest_schema}: run ctsearch db upgrade"
    return [
        ("server", f"{server}, {'running' if found.running else 'stopped'}"),
        ("address", found.address),
        ("PostgreSQL", version),
        ("pgvector", found.pgvector),
        ("schema", schema if found.newest_schema else None),
        ("size", size),
        ("data", found.data_directory),
        ("log", found.log),
    ]
