"""What a search of a whole archive reads: which label counts, and which latents are newer than a snapshot."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Held for the transaction: two writers of one study's labels would otherwise each believe to be alone.
LOCK_STUDIES = "PERFORM FROM study WHERE id = ANY (changed_studies) ORDER BY id FOR NO KEY UPDATE;"

# By an array, not by a join with the changed rows: their number is not known when the join is planned, and
# the plan then reads every label of the archive for every batch (60 of the 87 ms that 64 studies took beside
# 4,000 others, and ever more as the archive grows).
CHANGED_STUDIES = "DECLARE changed_studies bigint[] := ARRAY(SELECT DISTINCT study_id FROM changed);"

MARK_EFFECTIVE = """
UPDATE label SET effective = NOT label.effective
FROM (
    SELECT study_id, abnormality, source, row_number() OVER (
        PARTITION BY study_id, abnormality
        ORDER BY CASE source WHEN 'manual' THEN 0 WHEN 'extractor' THEN 1 ELSE 2 END
    ) = 1 AS effective
    FROM label WHERE {of_studies}
) AS ranked
WHERE label.{of_studies} AND (label.study_id, label.abnormality, label.source) =
    (ranked.study_id, ranked.abnormality, ranked.source) AND label.effective <> ranked.effective;
"""


def upgrade() -> None:
    op.add_column("label", sa.Column("effective", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.drop_index("ix_label_abnormality_present", "label")
    op.create_index(
        "ix_label_abnormality_present",
        "label",
        ["abnormality", "present"],
        postgresql_include=["study_id", "source", "effective"],
    )
    marked = MARK_EFFECTIVE.format(of_studies="study_id = ANY (changed_studies)")
    op.execute(
        "CREATE FUNCTION label_effective() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ {CHANGED_STUDIES} BEGIN {LOCK_STUDIES} {marked} RETURN NULL; END $$"
    )
    for event, rows in (("INSERT", "NEW"), ("DELETE", "OLD")):
        op.execute(
            f"CREATE TRIGGER label_effective_{event.lower()} AFTER {event} ON label "
            f"REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION label_effective()"
        )
    op.execute(MARK_EFFECTIVE.format(of_studies="study_id IS NOT NULL"))
    op.create_index("ix_embedding_written_by", "embedding", ["written_by"])
    op.create_index(
        "ix_volume_sex_age_years",
        "volume",
        ["sex", "age_years"],
        postgresql_include=["id", "study_id", "manufacturer"],
    )


def downgrade() -> None:
    op.drop_index("ix_volume_sex_age_years", "volume")
    op.drop_index("ix_embedding_written_by", "embedding")
    for event in ("insert", "delete"):
        op.execute(f"DROP TRIGGER label_effective_{event} ON label")
    op.execute("DROP FUNCTION label_effective()")
    op.drop_index("ix_label_abnormality_present", "label")
    op.create_index("ix_label_abnormality_present", "label", ["abnormality", "present"])
    op.drop_column("label", "effective")
