"""What stands beside a volume that somebody looks at: whose it is, what is known and said of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from encoders.errors import UnknownNameError
from retrieval.hits import ACQUISITION, present_labels
from retrieval.records import storable
from retrieval.schema import Report, Study, Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedVolume:
    """A stored volume with the findings, the acquisition and the impression of its study."""

    dataset: str
    volume: str
    study: str
    labels: tuple[str, ...]
    metadata: Mapping[str, Any]
    impression: str


def compared_volume(connection: Connection, dataset: str, volume: str) -> ComparedVolume:
    """Return what is shown beside a volume.

    Raises:
        UnknownNameError: there is no such volume.
    """
    row = (
        connection.execute(
            select(*Volume.__table__.c, Study.id.label("study"), Study.name.label("study_name"), Study.day)
            .join(Study, Study.id == Volume.study_id)
            .where(Volume.dataset == storable(dataset), Volume.name == storable(volume))
        )
        .mappings()
        .first()
    )
    if row is None:
        raise UnknownNameError(
            f"there is no such volume as {dataset}/{volume[:300]}: ask for one that a case lists"
        )
    reports = select(Report.impression, Report.findings).where(Report.study_id == row["study"])
    said = connection.execute(reports.order_by(Report.source_key.collate("C")).limit(1)).first()
    return ComparedVolume(
        dataset=dataset,
        volume=volume,
        study=row["study_name"],
        labels=present_labels(connection, [row["study"]], None).get(row["study"], ()),
        metadata={name: row[name] for name in ACQUISITION} | {"day": row["day"]},
        impression="" if said is None else said.impression or said.findings,
    )
