"""The archive: patients, studies, volumes, reports, labels, collections and their latents, runs, audit."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.dialects import postgresql

from retrieval.schema import TransactionId

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLES = (
    "source_file",
    "report_sentence",
    "embedding",
    "volume",
    "report",
    "label",
    "index_item",
    "identity_link",
    "study",
    "index_run",
    "patient",
    "collection",
    "audit_event",
)


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    _create_studies()
    _create_volumes()
    _create_reports()
    _create_collections()
    _create_runs()
    _create_accountability()


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    # An administrator may have made the extension, or others may use it: then it stays.
    op.execute(
        "DO $$ BEGIN DROP EXTENSION vector; "
        "EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL; END $$"
    )


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def _now(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _belongs_to(table: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [f"{parent}_id"], [f"{parent}.id"], name=f"fk_{table}_{parent}_id", ondelete="CASCADE"
    )


def _create_studies() -> None:
    op.create_table(
        "patient",
        _id(),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_patient"),
        sa.UniqueConstraint("dataset", "name", name="uq_patient_dataset_name"),
    )
    op.create_table(
        "study",
        _id(),
        sa.Column("patient_id", sa.BigInteger(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("split", sa.Text()),
        sa.Column("day", sa.Integer()),
        _belongs_to("study", "patient"),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
        sa.UniqueConstraint("dataset", "name", name="uq_study_dataset_name"),
    )
    op.create_index("ix_study_patient_id", "study", ["patient_id"])
    op.create_table(
        "label",
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("abnormality", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.CheckConstraint("source IN ('manual', 'extractor', 'zero_shot')", name=op.f("ck_label_source")),
        _belongs_to("label", "study"),
        sa.PrimaryKeyConstraint("study_id", "abnormality", "source", name="pk_label"),
    )
    op.create_index("ix_label_abnormality_present", "label", ["abnormality", "present"])


def _create_volumes() -> None:
    op.create_table(
        "volume",
        _id(),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sex", sa.Text()),
        sa.Column("age_years", sa.Double()),
        sa.Column("manufacturer", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("kernel", sa.Text()),
        sa.Column("slice_mm", sa.Double()),
        sa.Column("pixel_mm", sa.Double()),
        sa.Column("other", postgresql.JSONB(), nullable=False),
        sa.CheckConstraint("sex IN ('F', 'M')", name=op.f("ck_volume_sex")),
        _belongs_to("volume", "study"),
        sa.PrimaryKeyConstraint("id", name="pk_volume"),
        sa.UniqueConstraint("dataset", "name", name="uq_volume_dataset_name"),
    )
    op.create_index("ix_volume_study_id", "volume", ["study_id"])
    op.create_table(
        "source_file",
        sa.Column("volume_id", sa.BigInteger(), nullable=False),
        sa.Column("uri", sa.Text()),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("rescale_source", sa.Text()),
        _belongs_to("source_file", "volume"),
        sa.PrimaryKeyConstraint("volume_id", name="pk_source_file"),
    )
    op.create_index("ix_source_file_sha256", "source_file", ["sha256"])


def _create_reports() -> None:
    op.create_table(
        "report",
        _id(),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("source_key", sa.Text(), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("impression", sa.Text(), nullable=False),
        sa.Column("clinical_information", sa.Text(), nullable=False),
        sa.Column("technique", sa.Text(), nullable=False),
        sa.Column("text_sha256", sa.LargeBinary(), nullable=False),
        _belongs_to("report", "study"),
        sa.PrimaryKeyConstraint("id", name="pk_report"),
        sa.UniqueConstraint("study_id", "source_key", name="uq_report_study_id_source_key"),
    )
    op.create_table(
        "report_sentence",
        sa.Column("report_id", sa.BigInteger(), nullable=False),
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.SmallInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("negated", sa.Boolean(), nullable=False),
        sa.Column(
            "document",
            postgresql.TSVECTOR(),
            sa.Computed("to_tsvector('simple'::regconfig, text)", persisted=True),
            nullable=False,
        ),
        _belongs_to("report_sentence", "report"),
        sa.PrimaryKeyConstraint("report_id", "section", "ordinal", name="pk_report_sentence"),
    )
    op.create_index("ix_report_sentence_document", "report_sentence", ["document"], postgresql_using="gin")


def _create_collections() -> None:
    op.create_table(
        "collection",
        _id(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("encoder", sa.Text(), nullable=False),
        sa.Column("encoder_digest", sa.Text(), nullable=False),
        sa.Column("preprocessing_digest", sa.Text(), nullable=False),
        sa.Column("latent_dim", sa.Integer(), nullable=False),
        _now("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_collection"),
        sa.UniqueConstraint("name", name="uq_collection_name"),
    )
    op.create_table(
        "embedding",
        sa.Column("collection_id", sa.BigInteger(), nullable=False),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("volume_id", sa.BigInteger()),
        sa.Column("report_id", sa.BigInteger()),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column(
            "written_by", TransactionId(), server_default=sa.text("pg_current_xact_id()"), nullable=False
        ),
        sa.Column("latent", VECTOR(), nullable=False),
        sa.CheckConstraint("num_nonnulls(volume_id, report_id) = 1", name=op.f("ck_embedding_one_item")),
        _belongs_to("embedding", "volume"),
        _belongs_to("embedding", "report"),
        postgresql_partition_by="LIST (collection_id)",
    )
    # Vectors that PostgreSQL moves out of the row are scanned three times slower.
    op.execute("ALTER TABLE embedding ALTER COLUMN latent SET STORAGE PLAIN")
    op.create_index("ix_embedding_study_id", "embedding", ["study_id"])
    for item in ("volume", "report"):
        op.create_index(
            f"uq_embedding_{item}_id_collection_id",
            "embedding",
            [f"{item}_id", "collection_id"],
            unique=True,
            postgresql_where=sa.text(f"{item}_id IS NOT NULL"),
        )


def _create_runs() -> None:
    op.create_table(
        "index_run",
        _id(),
        sa.Column("collection_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        _now("started_at"),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("counts", postgresql.JSONB(), nullable=False),
        sa.Column("removed", postgresql.JSONB(), nullable=False),
        sa.CheckConstraint(
            "state IN ('running', 'finished', 'interrupted', 'failed')", name=op.f("ck_index_run_state")
        ),
        _belongs_to("index_run", "collection"),
        sa.PrimaryKeyConstraint("id", name="pk_index_run"),
    )
    op.create_index("ix_index_run_collection_id", "index_run", ["collection_id"])
    op.create_table(
        "index_item",
        _id(),
        sa.Column("collection_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("study_id", sa.BigInteger()),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary()),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        _now("failed_at"),
        _belongs_to("index_item", "collection"),
        _belongs_to("index_item", "study"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["index_run.id"], name="fk_index_item_run_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_index_item"),
        sa.UniqueConstraint("collection_id", "item", name="uq_index_item_collection_id_item"),
    )
    op.create_index("ix_index_item_run_id", "index_item", ["run_id"])
    op.create_index("ix_index_item_study_id", "index_item", ["study_id"])


def _create_accountability() -> None:
    op.create_table(
        "identity_link",
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        _belongs_to("identity_link", "study"),
        sa.PrimaryKeyConstraint("study_id", name="pk_identity_link"),
    )
    op.create_table(
        "audit_event",
        _id(),
        _now("at"),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_event"),
    )
