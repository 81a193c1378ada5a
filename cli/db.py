"""`ctsearch db`: the schema brought up to date, the database looked at, stopped, backed up and restored."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from retrieval.backup_file import BackupManifest
    from retrieval.database_status import DatabaseStatus

app = typer.Typer(help="The archive's database: its schema, its state, its end.", no_args_is_help=True)
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


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
def status(as_json: _Json = False) -> None:
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


@app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(help="The backup; one that is there is replaced at the end.")],
    uploads: Annotated[
        bool, typer.Option("--uploads", help="Uploaded scans too; indexed ones lie nowhere else.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Write the archive and its key into one file of mode 0600. It holds patients: keep it as safe."""
    from cli.progress import byte_progress
    from retrieval.backup import make_backup

    with byte_progress() as progress:
        made = make_backup(file, with_uploads=uploads, progress=progress)
    _print_manifest(made, as_json, f"backed up into {file}")


@app.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(help="Made by ctsearch db backup.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete the archive that is there; else it must be empty.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Make the archive what a backup holds: everything or nothing. Restore only what you trust: it is SQL."""
    from cli.progress import byte_progress
    from retrieval.restore import restore_backup

    with byte_progress() as progress:
        restored = restore_backup(file, replace=replace, progress=progress)
    _print_manifest(restored, as_json, f"restored from {file}")


def _print_manifest(manifest: "BackupManifest", as_json: bool, done: str) -> None:
    if as_json:
        sys.stdout.write(json.dumps(manifest.to_json()) + "\n")
        return
    size = sum(part.bytes for part in manifest.parts) / 1e6
    key = "with its key" if manifest.has_key else "without a key, because there is none"
    typer.echo(
        f"{done}: {manifest.rows.get('study', 0):,} studies, schema {manifest.schema}, {size:.1f} MB, {key}"
    )


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
