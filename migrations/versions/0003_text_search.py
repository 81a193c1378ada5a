"""Text search: what a sentence affirms and what it denies become words that are stemmed and indexed apart."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

SAID = (
    "setweight(to_tsvector('radiology'::regconfig, affirmed), 'A') || "
    "setweight(to_tsvector('radiology'::regconfig, hedged), 'C')"
)
DENIAL = "to_tsvector('radiology'::regconfig, denied)"


def upgrade() -> None:
    # English stems and no stop words: `english` would drop "no" and "not", and "with" from "without".
    op.execute(
        "CREATE TEXT SEARCH DICTIONARY radiology_stem (TEMPLATE = pg_catalog.snowball, Language = english)"
    )
    op.execute("CREATE TEXT SEARCH CONFIGURATION radiology (PARSER = pg_catalog.default)")
    op.execute(
        "ALTER TEXT SEARCH CONFIGURATION radiology "
        "ADD MAPPING FOR asciiword, word, hword, asciihword, hword_part, hword_asciipart WITH radiology_stem"
    )
    op.execute(
        "ALTER TEXT SEARCH CONFIGURATION radiology "
        "ADD MAPPING FOR numword, numhword, hword_numpart, int, uint, float, sfloat, version "
        "WITH pg_catalog.simple"
    )
    op.drop_column("report_sentence", "document")
    for part in ("affirmed", "hedged", "denied"):
        op.add_column("report_sentence", sa.Column(part, sa.Text(), server_default="", nullable=False))
    op.add_column("report_sentence", sa.Column("fingerprint", sa.BigInteger()))
    op.create_index("ix_report_sentence_fingerprint", "report_sentence", ["fingerprint"])
    for column, expression in (("said", SAID), ("denial", DENIAL)):
        op.add_column(
            "report_sentence",
            sa.Column(column, postgresql.TSVECTOR(), sa.Computed(expression, persisted=True), nullable=False),
        )
        # Without a list of pending entries a search right after a bulk load is as quick as any other.
        op.create_index(
            f"ix_report_sentence_{column}",
            "report_sentence",
            [column],
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
        )
    # 0: sentences of a ctsearch that did not know polarity; the upgrade splits those reports again.
    op.add_column(
        "report", sa.Column("sentences_version", sa.SmallInteger(), server_default="0", nullable=False)
    )


def downgrade() -> None:
    op.drop_column("report", "sentences_version")
    for column in ("said", "denial", "affirmed", "hedged", "denied", "fingerprint"):
        op.drop_column("report_sentence", column)
    op.execute("DROP TEXT SEARCH CONFIGURATION radiology")
    op.execute("DROP TEXT SEARCH DICTIONARY radiology_stem")
    op.add_column(
        "report_sentence",
        sa.Column(
            "document",
            postgresql.TSVECTOR(),
            sa.Computed("to_tsvector('simple'::regconfig, text)", persisted=True),
            nullable=False,
        ),
    )
    op.create_index("ix_report_sentence_document", "report_sentence", ["document"], postgresql_using="gin")
