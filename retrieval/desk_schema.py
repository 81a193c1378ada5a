"""Tables of the web: who may, what was brought, what runs, what was found relevant; beside schema.py."""

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    SmallInteger,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from retrieval.schema import Base, Digest, Id, Now

Moment = DateTime(timezone=True)


class Account(Base):
    """A person or program that may ask; the name stays in the audit when the account is disabled."""

    __tablename__ = "account"
    __table_args__ = (
        CheckConstraint("role IN ('reader', 'indexer', 'admin')", name="role"),
        UniqueConstraint("oidc_issuer", "oidc_subject"),
    )

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    password_hash: Mapped[str | None]  # argon2id; None: the account has no password
    oidc_issuer: Mapped[str | None]
    oidc_subject: Mapped[str | None]
    created_at: Mapped[Now]
    disabled_at: Mapped[datetime | None] = mapped_column(Moment)


class AccessToken(Base):
    """A token of an account for programs; the token itself is shown once and not kept."""

    __tablename__ = "access_token"

    id: Mapped[Id]
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    label: Mapped[str]
    sha256: Mapped[Digest] = mapped_column(unique=True)
    created_at: Mapped[Now]
    expires_at: Mapped[datetime | None] = mapped_column(Moment)
    last_used_at: Mapped[datetime | None] = mapped_column(Moment)


class WebSession(Base):
    """A browser that an account signed in with, by the digest of its cookie."""

    __tablename__ = "web_session"

    sha256: Mapped[Digest] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[Now]
    seen_at: Mapped[Now]
    expires_at: Mapped[datetime] = mapped_column(Moment)


class Upload(Base):
    """A file or folder that somebody brought to ask by; its bytes lie under the home, by this id."""

    __tablename__ = "upload"
    __table_args__ = (UniqueConstraint("actor", "sha256"),)  # the same bytes again are the same upload

    id: Mapped[str] = mapped_column(primary_key=True)  # random, not to be guessed
    actor: Mapped[str]
    name: Mapped[str]  # as the browser said; shown, never a path
    size: Mapped[int] = mapped_column(BigInteger)  # bytes, as sent
    sha256: Mapped[Digest]
    volume: Mapped[dict[str, Any] | None]  # the files that are the volume asked by; None until it was read
    created_at: Mapped[Now]
    indexed_at: Mapped[datetime | None] = mapped_column(Moment)  # the archive's now: it does not expire


class UploadLatent(Base):
    """What an upload is to a collection's encoder; searching by it again encodes nothing."""

    __tablename__ = "upload_latent"

    upload_id: Mapped[str] = mapped_column(ForeignKey("upload.id", ondelete="CASCADE"), primary_key=True)
    collection_id: Mapped[int] = mapped_column(
        ForeignKey("collection.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    latent: Mapped[Any] = mapped_column(VECTOR())
    content: Mapped[Digest]  # of the volume's bytes; a stored volume of equal bytes is this one
    warnings: Mapped[list[str]]
    made_at: Mapped[Now]


class Job(Base):
    """Work that outlives a request: its progress, and how it ended. The queue itself is a library's."""

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint("kind IN ('encode', 'index')", name="kind"),
        CheckConstraint("state IN ('queued', 'running', 'finished', 'failed', 'cancelled')", name="state"),
        Index(None, "created_at"),
        Index(None, "state"),
    )

    id: Mapped[Id]
    kind: Mapped[str]
    state: Mapped[str]
    actor: Mapped[str]
    upload_id: Mapped[str | None] = mapped_column(ForeignKey("upload.id", ondelete="CASCADE"), index=True)
    asked: Mapped[dict[str, Any]]
    progress: Mapped[dict[str, Any]]  # step, doing, done, total, since
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]
    failures: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")  # item, error
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    queue_id: Mapped[int | None] = mapped_column(BigInteger)  # of the queue's own row
    created_at: Mapped[Now]
    started_at: Mapped[datetime | None] = mapped_column(Moment)
    finished_at: Mapped[datetime | None] = mapped_column(Moment)


class Relevance(Base):
    """What somebody said of a hit: relevant to a question, or not."""

    __tablename__ = "relevance"
    __table_args__ = (UniqueConstraint("actor", "query_key", "study_id"),)

    id: Mapped[Id]
    actor: Mapped[str]
    query_key: Mapped[str]  # the topic of exported qrels: equal questions have equal keys
    query: Mapped[dict[str, Any]]  # as it was asked
    collection: Mapped[str]
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"), index=True)
    relevant: Mapped[bool]
    at: Mapped[Now]
