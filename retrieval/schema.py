"""Tables of the archive (PostgreSQL 18, pgvector 0.8 or newer); Alembic in migrations/ follows this file."""

import re
from datetime import datetime
from typing import Annotated, Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

REVISION = "0005"
"""The newest migration: what a database of these tables says it is."""

Id = Annotated[int, mapped_column(BigInteger, Identity(always=True), primary_key=True)]
Digest = Annotated[bytes, mapped_column(LargeBinary)]
Bits = Annotated[int, mapped_column(Integer, server_default="0")]
Now = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's xid8: which transaction wrote a row."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The type's name in SQL."""
        return "xid8"


ischema_names["xid8"] = TransactionId  # so that `alembic check` knows it when it meets it


class Base(DeclarativeBase):
    """Names every constraint by rule, so that migrations can drop it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: Text, dict[str, Any]: JSONB, list[str]: JSONB}  # noqa: RUF012 - SQLAlchemy reads it from the class


class Patient(Base):
    """Whose scans these are: the dataset's own name for them, or a keyed pseudonym."""

    __tablename__ = "patient"
    __table_args__ = (UniqueConstraint("dataset", "name"),)

    id: Mapped[Id]
    dataset: Mapped[str]
    name: Mapped[str]


class Study(Base):
    """One scan of a patient, with everything made or said of it."""

    __tablename__ = "study"
    __table_args__ = (UniqueConstraint("dataset", "name"), Index(None, "patient_id"))

    id: Mapped[Id]
    patient_id: Mapped[int] = mapped_column(ForeignKey("patient.id", ondelete="CASCADE"))
    dataset: Mapped[str]
    name: Mapped[str]
    split: Mapped[str | None]
    day: Mapped[int | None]  # days since the patient's first study


class Volume(Base):
    """One reconstruction, with what its header or table row says of the patient.

    Rows of one scan may disagree (one of CT-RATE's has two ages): a filter answers what the row says.
    """

    __tablename__ = "volume"
    __table_args__ = (
        UniqueConstraint("dataset", "name"),
        CheckConstraint("sex IN ('F', 'M')", name="sex"),
        Index(None, "study_id"),
        Index(None, "sex", "age_years", postgresql_include=["id", "study_id", "manufacturer"]),
    )

    id: Mapped[Id]
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"))
    dataset: Mapped[str]
    name: Mapped[str]
    sex: Mapped[str | None]
    age_years: Mapped[float | None]
    manufacturer: Mapped[str | None]
    model: Mapped[str | None]
    kernel: Mapped[str | None]
    slice_mm: Mapped[float | None]
    pixel_mm: Mapped[float | None]
    other: Mapped[dict[str, Any]]


class SourceFile(Base):
    """The bytes a volume was read from; size, mtime and digest detect change and are no identity."""

    __tablename__ = "source_file"

    volume_id: Mapped[int] = mapped_column(ForeignKey("volume.id", ondelete="CASCADE"), primary_key=True)
    uri: Mapped[str | None]  # None where the path names a patient: identity_link has it, encrypted
    size: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[Digest] = mapped_column(index=True)
    rescale_source: Mapped[str | None]  # header, metadata or none; None until the file was read


class Report(Base):
    """What was written of a study. Its identity is the source's name for it, never its text."""

    __tablename__ = "report"
    __table_args__ = (UniqueConstraint("study_id", "source_key"),)

    id: Mapped[Id]
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"))
    source_key: Mapped[str]
    findings: Mapped[str]
    impression: Mapped[str]
    clinical_information: Mapped[str]
    technique: Mapped[str]
    text_sha256: Mapped[Digest]  # detects change, nothing else
    sentences_version: Mapped[int] = mapped_column(
        SmallInteger, server_default="0"
    )  # of the rules that split it; an upgrade splits older ones again


class ReportSentence(Base):
    """A sentence with its place in the report, and the words it affirms and denies (findings and impression).

    The configuration `radiology` has English stems and no stop words: `english` would drop "no" and "not".
    """

    __tablename__ = "report_sentence"
    __table_args__ = (
        Index(None, "said", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
        Index(None, "denial", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
    )

    report_id: Mapped[int] = mapped_column(ForeignKey("report.id", ondelete="CASCADE"), primary_key=True)
    section: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(SmallInteger, primary_key=True)  # from 1 within the section
    text: Mapped[str]
    negated: Mapped[bool]
    affirmed: Mapped[str] = mapped_column(
        server_default=""
    )  # plain words, as `encoders.plain_words` has them
    hedged: Mapped[str] = mapped_column(server_default="")
    denied: Mapped[str] = mapped_column(server_default="")
    fingerprint: Mapped[int | None] = mapped_column(BigInteger, index=True)  # of these three together
    said: Mapped[str] = mapped_column(  # weight A: affirmed, C: hedged
        TSVECTOR,
        Computed(
            "setweight(to_tsvector('radiology'::regconfig, affirmed), 'A') || "
            "setweight(to_tsvector('radiology'::regconfig, hedged), 'C')",
            persisted=True,
        ),
    )
    denial: Mapped[str] = mapped_column(
        TSVECTOR, Computed("to_tsvector('radiology'::regconfig, denied)", persisted=True)
    )


class Label(Base):
    """What each source says of a study's findings, as bits; see `retrieval.label_bits`.

    A finding that is not known is unknown, never absent. PostgreSQL keeps `known` and `present`: of the
    sources that speak of a finding, the first by precedence (manual, extractor, zero_shot).
    """

    __tablename__ = "label"
    __table_args__ = (
        CheckConstraint(
            "(manual_present & ~manual_known) = 0 AND (extractor_present & ~extractor_known) = 0 "
            "AND (zero_shot_present & ~zero_shot_known) = 0",
            name="present_is_known",
        ),
    )

    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"), primary_key=True)
    manual_known: Mapped[Bits]
    manual_present: Mapped[Bits]
    extractor_known: Mapped[Bits]
    extractor_present: Mapped[Bits]
    zero_shot_known: Mapped[Bits]
    zero_shot_present: Mapped[Bits]
    known: Mapped[int] = mapped_column(
        Computed("(manual_known | extractor_known) | zero_shot_known", persisted=True)
    )
    present: Mapped[int] = mapped_column(
        Computed(
            "(manual_present | (extractor_present & ~manual_known)) "
            "| (zero_shot_present & ~(manual_known | extractor_known))",
            persisted=True,
        )
    )


class Collection(Base):
    """Latents of one encoder and one preprocessing: only these may be compared with each other."""

    __tablename__ = "collection"

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(unique=True)
    encoder: Mapped[str]  # what the encoder was called when the collection was made: a name or a directory
    encoder_digest: Mapped[str]
    preprocessing_digest: Mapped[str]
    latent_dim: Mapped[int]
    created_at: Mapped[Now]


embedding = Table(
    "embedding",
    Base.metadata,
    # No foreign key to collection (a partition lives and dies with its row there) nor to study (a volume's or
    # report's own goes first): each costs a bulk load a tenth of its speed.
    Column("collection_id", BigInteger, nullable=False),
    Column("study_id", BigInteger, nullable=False),
    Column("volume_id", BigInteger, ForeignKey("volume.id", ondelete="CASCADE")),
    Column("report_id", BigInteger, ForeignKey("report.id", ondelete="CASCADE")),
    Column(
        "content", LargeBinary, nullable=False
    ),  # digest of what was encoded: file or text, and how it was read
    Column("written_by", TransactionId, nullable=False, server_default=func.pg_current_xact_id()),
    Column("latent", VECTOR(), nullable=False),  # unit length; STORAGE PLAIN, see the first migration
    CheckConstraint("num_nonnulls(volume_id, report_id) = 1", name="one_item"),
    Index(None, "study_id"),
    Index(None, "written_by"),  # what a snapshot does not hold yet
    Index(
        "uq_embedding_volume_id_collection_id",
        "volume_id",
        "collection_id",
        unique=True,
        postgresql_where=text("volume_id IS NOT NULL"),
    ),
    Index(
        "uq_embedding_report_id_collection_id",
        "report_id",
        "collection_id",
        unique=True,
        postgresql_where=text("report_id IS NOT NULL"),
    ),
    postgresql_partition_by="LIST (collection_id)",
)

MAX_LATENT_DIM = 2000  # pgvector indexes no longer vector, and a row of one must fit a page


def partition_name(collection_id: int) -> str:
    """Return the table that holds the latents of one collection."""
    return f"embedding_{collection_id}"


def is_made_at_run_time(table_name: str) -> bool:
    """Whether a table is a collection's partition, which comes and goes with it and not by migration."""
    return re.fullmatch(r"embedding_\d+", table_name) is not None


class IndexRun(Base):
    """One call of `ctsearch index`: what it did, and what de-identification removed."""

    __tablename__ = "index_run"
    __table_args__ = (
        CheckConstraint("state IN ('running', 'finished', 'interrupted', 'failed')", name="state"),
    )

    id: Mapped[Id]
    collection_id: Mapped[int] = mapped_column(ForeignKey("collection.id", ondelete="CASCADE"), index=True)
    state: Mapped[str]
    started_at: Mapped[Now]
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    counts: Mapped[dict[str, Any]]  # indexed, unchanged, updated, failed
    removed: Mapped[dict[str, Any]]  # what de-identification took out, by kind


class IndexItem(Base):
    """The last attempt at a volume, report or unreadable file that failed; gone once it succeeds."""

    __tablename__ = "index_item"
    __table_args__ = (UniqueConstraint("collection_id", "item"),)

    id: Mapped[Id]
    collection_id: Mapped[int] = mapped_column(ForeignKey("collection.id", ondelete="CASCADE"))
    run_id: Mapped[int] = mapped_column(ForeignKey("index_run.id", ondelete="CASCADE"), index=True)
    study_id: Mapped[int | None] = mapped_column(
        ForeignKey("study.id", ondelete="CASCADE"), index=True
    )  # None where the item could not be told to belong to one
    item: Mapped[str]
    content: Mapped[
        bytes | None
    ]  # the source_file or text that failed: the same one is not tried again unasked
    attempts: Mapped[int] = mapped_column(SmallInteger)
    error: Mapped[str]
    failed_at: Mapped[Now]


class IdentityLink(Base):
    """Accession, UIDs and path behind a pseudonym, encrypted with the archive's key."""

    __tablename__ = "identity_link"

    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"), primary_key=True)
    sealed: Mapped[bytes]


class AuditEvent(Base):
    """Who did what to which case; kept when the case is removed."""

    __tablename__ = "audit_event"
    __table_args__ = (
        Index(None, "at"),
        Index(None, "subject"),
        Index("ix_audit_event_cases", text("(detail -> 'cases')"), postgresql_using="gin"),
    )

    id: Mapped[Id]
    at: Mapped[Now]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]]
