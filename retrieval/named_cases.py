"""Cases by name, by content, and their stored latents."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args

import numpy as np
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.engine import Connection

from encoders.errors import SearchError, UnknownNameError
from retrieval.neighbours import Latent
from retrieval.records import storable
from retrieval.schema import Patient, Report, SourceFile, Study, Volume, embedding
from retrieval.volume_names import without_ending

LatentKind = Literal["volume", "report"]
LATENT_KINDS: tuple[LatentKind, ...] = get_args(LatentKind)

_CASE: tuple[ColumnElement[Any], ...] = (
    Study.id.label("study_id"),
    Study.name.label("study"),
    Patient.id.label("patient_id"),
    Patient.name.label("patient"),
    Study.dataset.label("dataset"),
)
_NAMES_COMPARED = 5000  # how many names are looked at for the nearest ones


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCase:
    """A study of the archive, or one volume of it."""

    study_id: int
    study: str
    patient_id: int
    patient: str
    dataset: str
    volume_id: int | None = None
    volume: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLatent:
    """A latent of a case, and what it was encoded from."""

    kind: LatentKind
    item_id: int  # the volume's or report's
    item: str  # its name
    latent: Latent  # (L,)


def find_case(connection: Connection, name: str, pseudonyms: Sequence[str] = ()) -> StoredCase:
    """Return the volume or else the study of that name.

    Args:
        connection: to the archive.
        name: a volume's or study's name, with or without a file ending, or "dataset/name".
        pseudonyms: other names that stand for the same, tried after it.

    Raises:
        SearchError: there is none, or more than one dataset has one.
    """
    name = storable(name)
    for candidate in dict.fromkeys((name, without_ending(name), *pseudonyms)):
        dataset, slash, rest = candidate.partition("/")
        found = _named(connection, candidate) or (_named(connection, rest, dataset) if slash else [])
        if len(found) > 1:
            choices = " or ".join(f"{case.dataset}/{candidate}" for case in found)
            raise SearchError(f"{candidate!r} is a case in {len(found)} datasets; name one as {choices}")
        if found:
            return found[0]
    raise UnknownNameError(_no_such_case(connection, without_ending(name)))


def case_in(connection: Connection, dataset: str, name: str) -> StoredCase:
    """Return the volume or else the study of exactly that name in a dataset.

    Raises:
        UnknownNameError: there is none.
    """
    found = _named(connection, storable(name), storable(dataset))
    if not found:
        raise UnknownNameError(
            f"the dataset {dataset!r} has no case {name!r}: list its cases to see what it has"
        )
    return found[0]


def study_in(connection: Connection, dataset: str, name: str) -> StoredCase:
    """Return the study of exactly that name in a dataset; a volume of that name is not looked for.

    Raises:
        UnknownNameError: there is none.
    """
    found = _cases(connection, _studies(storable(dataset)).where(Study.name == storable(name)))
    if not found:
        raise UnknownNameError(
            f"the dataset {dataset!r} has no study {name!r}: list its cases to see what it has"
        )
    return found[0]


def cases_of_content(connection: Connection, sha256: bytes) -> list[StoredCase]:
    """Return the volumes that were read from exactly these bytes, by name."""
    rows = _volumes().join(SourceFile, SourceFile.volume_id == Volume.id)
    return _cases(connection, rows.where(SourceFile.sha256 == sha256).order_by(Volume.name.collate("C")))


def studies_of_patients(connection: Connection, patient_ids: Sequence[int]) -> frozenset[int]:
    """Return the ids of all studies of these patients."""
    return frozenset(connection.scalars(select(Study.id).where(Study.patient_id.in_(patient_ids))))


def stored_latent(
    connection: Connection,
    collection_id: int,
    collection: str,
    case: StoredCase,
    kinds: Sequence[LatentKind] = ("volume", "report"),
) -> StoredLatent:
    """Return the first latent of a case, by kind and then by name.

    Args:
        connection: to the archive.
        collection_id: of the collection.
        collection: its name.
        case: a volume, or a study that stands for all of its volumes.
        kinds: which will do, the better one first.

    Raises:
        SearchError: the collection has none.
    """
    mine = (embedding.c.collection_id == collection_id, embedding.c.study_id == case.study_id)
    volumes = select(Volume.id, Volume.name, embedding.c.latent).join(
        Volume, Volume.id == embedding.c.volume_id
    )
    if case.volume_id is not None:
        volumes = volumes.where(Volume.id == case.volume_id)
    reports = select(Report.id, Report.source_key, embedding.c.latent).join(
        Report, Report.id == embedding.c.report_id
    )
    sources: dict[LatentKind, Select[Any]] = {
        "volume": volumes.order_by(Volume.name.collate("C")),
        "report": reports.order_by(Report.source_key.collate("C")),
    }
    for kind in kinds:
        row = connection.execute(sources[kind].where(*mine).limit(1)).first()
        if row is not None:
            item_id, item, latent = row
            return StoredLatent(kind=kind, item_id=item_id, item=item, latent=np.asarray(latent, np.float32))
    raise SearchError(
        f"{case.volume or case.study} has no latent of its {' or '.join(kinds)} in the collection "
        f"{collection!r}; index the archive that holds its file into it"
    )


def _volumes(dataset: str | None = None) -> Select[Any]:
    rows = select(*_CASE, Volume.id.label("volume_id"), Volume.name.label("volume"))
    joined = rows.join(Study, Study.id == Volume.study_id).join(Patient, Patient.id == Study.patient_id)
    return joined if dataset is None else joined.where(Volume.dataset == dataset)


def _studies(dataset: str | None = None) -> Select[Any]:
    joined = select(*_CASE).join(Patient, Patient.id == Study.patient_id)
    return joined if dataset is None else joined.where(Study.dataset == dataset)


def _named(connection: Connection, name: str, dataset: str | None = None) -> list[StoredCase]:
    volumes = _cases(connection, _volumes(dataset).where(Volume.name == name))
    return volumes or _cases(connection, _studies(dataset).where(Study.name == name))


def _cases(connection: Connection, rows: Select[Any]) -> list[StoredCase]:
    return [StoredCase(**row) for row in connection.execute(rows).mappings()]


def _no_such_case(connection: Connection, name: str) -> str:
    """Say what is there instead: the studies of a patient of that name, or the nearest names."""
    studies = connection.scalars(
        select(Study.name)
        .join(Patient, Patient.id == Study.patient_id)
        .where(Patient.name == name)
        .order_by(Study.name.collate("C"))
    ).all()
    if studies:
        return f"{name!r} is a patient, not a case; take one of the studies {', '.join(studies)}"
    likely = func.left(Study.name, 1) == name[:1]
    names = connection.scalars(select(Study.name).where(likely).distinct().limit(_NAMES_COMPARED)).all()
    volumes = connection.scalars(
        select(Volume.name).where(func.left(Volume.name, 1) == name[:1]).limit(_NAMES_COMPARED)
    ).all()
    near = get_close_matches(name, sorted({*names, *volumes}), n=3, cutoff=0.6)
    hint = f"did you mean {', '.join(near)}" if near else "`ctsearch cases list` shows what there is"
    return f"no case is called {name!r}; {hint}"
