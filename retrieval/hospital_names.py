"""Cases by the names that a hospital has for them, where the archive has pseudonyms."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sqlalchemy import select
from sqlalchemy.engine import Connection

from encoders.errors import SearchError
from retrieval.named_cases import StoredCase, find_case
from retrieval.neighbours import among
from retrieval.records import storable
from retrieval.schema import Patient, Study
from retrieval.sources import Identified, find_identified
from retrieval.volume_names import without_ending

if TYPE_CHECKING:
    from retrieval.deidentify import PseudonymKey, PseudonymKind

_NAMES_A_PATIENT = frozenset({"patient", "patient_id", "patient_name"})
_NAMES_SHOWN = 5


def find_case_by_any_name(connection: Connection, name: str, key: "PseudonymKey | None") -> StoredCase:
    """Return the case that `find_case` finds, or the one whose path, accession or UID `name` is.

    Raises:
        SearchError: there is none, or more than one.
    """
    name = storable(name)
    with suppress(SearchError):
        return find_case(connection, name)  # the usual one, before any name is turned into a pseudonym
    try:
        return find_case(connection, name, _pseudonyms(connection, name, key, ("volume", "study")))
    except SearchError:
        meant = find_identified(connection, name, key)
        if not meant:
            raise
    volumes = {each.volume for each in meant}
    study = _only(connection, name, meant, "study")
    volume = next(iter(volumes)) if len(volumes) == 1 else None
    return find_case(connection, volume or study)


def stored_name(
    connection: Connection, name: str, kind: Literal["patient", "study"], key: "PseudonymKey | None"
) -> str:
    """Return what the archive calls a patient or study; a name that leads nowhere is returned as it is.

    Raises:
        SearchError: it leads to more than one.
    """
    name = storable(name)
    table = Patient if kind == "patient" else Study
    names = [name, *_pseudonyms(connection, name, key, (kind,))]
    stored = connection.scalars(select(table.name).where(table.name.in_(names))).all()
    if stored:
        return stored[0]
    meant = [
        each
        for each in find_identified(connection, name, key)
        if kind == "study" or each.what in _NAMES_A_PATIENT
    ]
    return _only(connection, name, meant, kind) if meant else name


def _only(
    connection: Connection, name: str, meant: Sequence[Identified], kind: Literal["patient", "study"]
) -> str:
    rows = select(Patient.name if kind == "patient" else Study.name).join_from(
        Study, Patient, Patient.id == Study.patient_id
    )
    studies = {each.study_id for each in meant}
    stored = sorted(set(connection.scalars(rows.where(among(Study.id, studies)))))
    if len(stored) > 1:
        plural = "patients" if kind == "patient" else "studies"
        shown = ", ".join(stored[:_NAMES_SHOWN]) + (" …" if len(stored) > _NAMES_SHOWN else "")
        raise SearchError(f"{name!r} leads to {len(stored)} {plural}; name one of {shown}")
    return stored[0]


def _pseudonyms(
    connection: Connection, name: str, key: "PseudonymKey | None", kinds: Sequence["PseudonymKind"]
) -> list[str]:
    """What the archive would have called a series, study or patient, or a file under this path."""
    if key is None:
        return []
    datasets = connection.scalars(select(Study.dataset).distinct()).all()
    names = dict.fromkeys((name, without_ending(Path(name).absolute().as_posix())))
    return [key.pseudonym(kind, dataset, each) for kind in kinds for dataset in datasets for each in names]
