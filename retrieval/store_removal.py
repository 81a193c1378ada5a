"""What went in comes out: a patient or study leaves every table; only the audit says that it was here."""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection

from encoders.errors import SearchError
from retrieval.records import Removed, storable
from retrieval.store_collections import nearest

_NAMES_COMPARED = 5000


def remove_patient(connection: Connection, name: str, actor: str) -> Removed:
    """Delete a patient with all studies.

    Args:
        connection: in a transaction.
        name: of the patient, or "dataset/name".
        actor: who removes, for the audit.

    Raises:
        SearchError: no patient of that name, or one in several datasets.
    """
    patient_id, shown = _named(connection, "patient", name)
    studies = connection.execute(
        text("SELECT id FROM study WHERE patient_id = :id ORDER BY id FOR UPDATE"), {"id": patient_id}
    ).scalars()
    return _remove(connection, list(studies), patient_id, actor, f"patient {shown}")


def remove_study(connection: Connection, name: str, actor: str) -> Removed:
    """Delete a study, and its patient if it was the last one.

    Args:
        connection: in a transaction.
        name: of the study, or "dataset/name".
        actor: who removes, for the audit.

    Raises:
        SearchError: no study of that name, or one in several datasets.
    """
    study_id, shown = _named(connection, "study", name)
    patient_id = connection.execute(
        text("SELECT patient_id FROM study WHERE id = :id"), {"id": study_id}
    ).scalar_one()
    return _remove(connection, [study_id], patient_id, actor, f"study {shown}")


def _named(connection: Connection, table: str, name: str) -> tuple[int, str]:
    """Return the row's id and its name as the audit keeps it; nobody else writes to it from here on."""
    given = storable(name)
    found = connection.execute(
        text(
            f"SELECT id, dataset, name FROM {table} "  # noqa: S608 - "patient" or "study"
            "WHERE name = :name OR dataset || '/' || name = :name ORDER BY dataset FOR UPDATE"
        ),
        {"name": given},
    ).all()
    if len(found) == 1:
        return found[0].id, f"{found[0].dataset}/{found[0].name}"
    if found:
        choices = " or ".join(f"{row.dataset}/{row.name}" for row in found)
        raise SearchError(f"{name!r} is a {table} in {len(found)} datasets: name one as {choices}")
    names = connection.execute(
        text(f"SELECT name FROM {table} ORDER BY name LIMIT :limit"),  # noqa: S608 - likewise
        {"limit": _NAMES_COMPARED},
    ).scalars()
    hint = nearest(name, list(names), "the archive is empty")
    raise SearchError(f"there is no {table} {name!r} in the archive: {hint}")


def _remove(
    connection: Connection, study_ids: list[int], patient_id: int, actor: str, subject: str
) -> Removed:
    from retrieval.reading import shown_content  # readers of files, which no search should wait for

    studies = {"studies": study_ids}
    by_collection = {
        row.name: row.latents for row in connection.execute(text(_LATENTS_BY_COLLECTION), studies)
    }
    names = set(connection.execute(text(_NAMES), studies).scalars())
    contents = connection.execute(text(_CONTENTS), studies).scalars()
    encoded = tuple(bytes(content) for content in contents)
    files = connection.execute(text(_FILES), studies).scalars()
    shown = tuple(shown_content(bytes(sha256)) for sha256 in files)
    connection.execute(text(_FORGET_ASKED), studies)
    volumes = _delete(connection, "volume", "study_id = ANY(:studies)", studies)
    reports = _delete(connection, "report", "study_id = ANY(:studies)", studies)
    gone = _delete(connection, "study", "id = ANY(:studies)", studies)
    nobody = "id = :patient AND NOT EXISTS (SELECT FROM study WHERE patient_id = :patient)"
    removed = Removed(
        patients=_delete(connection, "patient", nobody, {"patient": patient_id}),
        studies=gone,
        volumes=volumes,
        reports=reports,
        latents=sum(by_collection.values()),
        collections=by_collection,
        contents=tuple(dict.fromkeys(encoded + shown)),
    )
    _forget_failures(connection, names)
    counts = {"studies": gone, "volumes": volumes, "reports": reports, "latents": removed.latents}
    audit(connection, actor, "remove", subject, counts)
    return removed


def _delete(connection: Connection, table: str, where: str, values: Mapping[str, Any]) -> int:
    statement = text(f"DELETE FROM {table} WHERE {where}")  # noqa: S608 - constants of this file
    return connection.execute(statement, values).rowcount


def _forget_failures(connection: Connection, names: set[str]) -> None:
    """Delete failed items that bear one of these names, alone or as a file or folder of a path."""
    rows = connection.execute(text("SELECT id, item FROM index_item")).all()
    ids = [row.id for row in rows if row.item in names or not names.isdisjoint(_parts(row.item))]
    if ids:
        connection.execute(text("DELETE FROM index_item WHERE id = ANY(:ids)"), {"ids": ids})


def _parts(item: str) -> Iterable[str]:
    for part in {*PurePosixPath(item).parts, *PureWindowsPath(item).parts}:
        yield part
        while "." in part:
            part = part.rpartition(".")[0]  # noqa: PLW2901 - endings come off one by one
            yield part


def audit(connection: Connection, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
    """Record who did what to which case."""
    connection.execute(
        text(
            "INSERT INTO audit_event (actor, action, subject, detail) "
            "VALUES (:actor, :action, :subject, :detail)"
        ).bindparams(bindparam("detail", type_=JSONB)),
        {"actor": storable(actor), "action": action, "subject": storable(subject), "detail": dict(detail)},
    )


_LATENTS_BY_COLLECTION = """
SELECT collection.name, count(*) AS latents FROM embedding
JOIN collection ON collection.id = embedding.collection_id
WHERE embedding.study_id = ANY(:studies)
GROUP BY collection.name
"""

_CONTENTS = """
SELECT DISTINCT content FROM embedding WHERE study_id = ANY(:studies) AND volume_id IS NOT NULL
"""
_FILES = """
SELECT DISTINCT sha256 FROM source_file JOIN volume ON volume.id = volume_id WHERE study_id = ANY(:studies)
"""

# Marks of hits go with their study; these are marks under the question that the study was.
_FORGET_ASKED = """
DELETE FROM relevance USING study
WHERE study.id = ANY(:studies) AND query ->> 'case' = study.name AND query ->> 'dataset' = study.dataset
"""

_NAMES = """
SELECT name FROM study WHERE id = ANY(:studies)
UNION SELECT name FROM volume WHERE study_id = ANY(:studies)
UNION SELECT source_key FROM report WHERE study_id = ANY(:studies)
UNION SELECT uri FROM source_file JOIN volume ON volume.id = source_file.volume_id
    WHERE volume.study_id = ANY(:studies) AND uri IS NOT NULL
"""
