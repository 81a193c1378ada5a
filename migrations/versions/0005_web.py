"""Accounts, uploads, jobs and marks of relevance."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.dialects import postgresql

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLES = ("relevance", "job", "upload_latent", "upload", "web_session", "access_token", "account")


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True)


def _now(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def _later(name: str, *, nullable: bool = True) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(), nullable=nullable)


def upgrade() -> None:
    _accounts()
    _uploads()
    _work()
    op.create_index(op.f("ix_audit_event_at"), "audit_event", ["at"])
    op.create_index(op.f("ix_audit_event_subject"), "audit_event", ["subject"])
    op.create_index(
        "ix_audit_event_cases", "audit_event", [sa.text("(detail -> 'cases')")], postgresql_using="gin"
    )


def downgrade() -> None:
    for index in ("ix_audit_event_cases", "ix_audit_event_subject", "ix_audit_event_at"):
        op.drop_index(index, "audit_event")
    op.execute("DROP SCHEMA IF EXISTS ctsearch_queue CASCADE")  # made where the web starts
    for table in TABLES:
        op.drop_table(table)


def _accounts() -> None:
    op.create_table(
        "account",
        _id(),
        _text("name"),
        _text("role"),
        _text("password_hash", nullable=True),
        _text("oidc_issuer", nullable=True),
        _text("oidc_subject", nullable=True),
        _now("created_at"),
        _later("disabled_at"),
        sa.CheckConstraint("role IN ('reader', 'indexer', 'admin')", name=op.f("ck_account_role")),
        sa.UniqueConstraint("name", name=op.f("uq_account_name")),
        sa.UniqueConstraint("oidc_issuer", "oidc_subject", name=op.f("uq_account_oidc_issuer_oidc_subject")),
    )
    op.create_table(
        "access_token",
        _id(),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        _text("label"),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        _now("created_at"),
        _later("expires_at"),
        _later("last_used_at"),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_access_token_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("sha256", name=op.f("uq_access_token_sha256")),
    )
    op.create_index(op.f("ix_access_token_account_id"), "access_token", ["account_id"])
    op.create_table(
        "web_session",
        sa.Column("sha256", sa.LargeBinary(), primary_key=True),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        _now("created_at"),
        _now("seen_at"),
        _later("expires_at", nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_web_session_account_id_account"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("ix_web_session_account_id"), "web_session", ["account_id"])


def _uploads() -> None:
    op.create_table(
        "upload",
        sa.Column("id", sa.Text(), primary_key=True),
        _text("actor"),
        _text("name"),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        _json("volume", nullable=True),
        _now("created_at"),
        _later("indexed_at"),
        sa.UniqueConstraint("actor", "sha256", name=op.f("uq_upload_actor_sha256")),
    )
    op.create_table(
        "upload_latent",
        sa.Column("upload_id", sa.Text(), primary_key=True),
        sa.Column("collection_id", sa.BigInteger(), primary_key=True),
        sa.Column("latent", VECTOR(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        _json("warnings"),
        _now("made_at"),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["upload.id"], name=op.f("fk_upload_latent_upload_id_upload"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collection.id"],
            name=op.f("fk_upload_latent_collection_id_collection"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(op.f("ix_upload_latent_collection_id"), "upload_latent", ["collection_id"])


def _work() -> None:
    op.create_table(
        "job",
        _id(),
        _text("kind"),
        _text("state"),
        _text("actor"),
        _text("upload_id", nullable=True),
        _json("asked"),
        _json("progress"),
        _json("result", nullable=True),
        _text("error", nullable=True),
        sa.Column("failures", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("queue_id", sa.BigInteger(), nullable=True),
        _now("created_at"),
        _later("started_at"),
        _later("finished_at"),
        sa.CheckConstraint("kind IN ('encode', 'index')", name=op.f("ck_job_kind")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'finished', 'failed', 'cancelled')", name=op.f("ck_job_state")
        ),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["upload.id"], name=op.f("fk_job_upload_id_upload"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("ix_job_created_at"), "job", ["created_at"])
    op.create_index(op.f("ix_job_state"), "job", ["state"])
    op.create_index(op.f("ix_job_upload_id"), "job", ["upload_id"])
    op.create_table(
        "relevance",
        _id(),
        _text("actor"),
        _text("query_key"),
        _json("query"),
        _text("collection"),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("relevant", sa.Boolean(), nullable=False),
        _now("at"),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_relevance_study_id_study"), ondelete="CASCADE"
        ),
        sa.UniqueConstraint(
            "actor", "query_key", "study_id", name=op.f("uq_relevance_actor_query_key_study_id")
        ),
    )
    op.create_index(op.f("ix_relevance_study_id"), "relevance", ["study_id"])
