"""Labels as bits, one row a study: eighteen rows a study and source were most of a bulk load."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Their order when this was written, which is CT-RATE's and never changes: the position is the bit.
FINDINGS = (
    "Medical material",
    "Arterial wall calcification",
    "Cardiomegaly",
    "Pericardial effusion",
    "Coronary artery wall calcification",
    "Hiatal hernia",
    "Lymphadenopathy",
    "Emphysema",
    "Atelectasis",
    "Lung nodule",
    "Lung opacity",
    "Pulmonary fibrotic sequela",
    "Pleural effusion",
    "Mosaic attenuation pattern",
    "Peribronchial thickening",
    "Consolidation",
    "Bronchiectasis",
    "Interlobular septal thickening",
)
SOURCES = ("manual", "extractor", "zero_shot")
KNOWN = "(manual_known | extractor_known) | zero_shot_known"
PRESENT = (
    "(manual_present | (extractor_present & ~manual_known)) "
    "| (zero_shot_present & ~(manual_known | extractor_known))"
)
PRESENT_IS_KNOWN = " AND ".join(f"({source}_present & ~{source}_known) = 0" for source in SOURCES)

FINDING_BITS = ", ".join(f"('{name}', {1 << bit})" for bit, name in enumerate(FINDINGS))
TO_BITS = f"""
INSERT INTO label (study_id, {", ".join(f"{source}_known, {source}_present" for source in SOURCES)})
SELECT study_id, {
    ", ".join(
        f"coalesce(sum(bit) FILTER (WHERE source = '{source}'), 0), "
        f"coalesce(sum(bit) FILTER (WHERE source = '{source}' AND present), 0)"
        for source in SOURCES
    )
}
FROM label_row JOIN (VALUES {FINDING_BITS}) AS finding (abnormality, bit) USING (abnormality)
GROUP BY study_id
"""  # noqa: S608 - constants
TO_ROWS = " UNION ALL ".join(
    f"SELECT study_id, abnormality, '{source}', {source}_present & bit <> 0 "  # noqa: S608 - constants
    f"FROM label_bits, (VALUES {FINDING_BITS}) AS finding (abnormality, bit) WHERE {source}_known & bit <> 0"
    for source in SOURCES
)

LABEL_EFFECTIVE = """
CREATE FUNCTION label_effective() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE changed_studies bigint[] := ARRAY(SELECT DISTINCT study_id FROM changed);
BEGIN
    PERFORM FROM study WHERE id = ANY (changed_studies) ORDER BY id FOR NO KEY UPDATE;
    UPDATE label SET effective = NOT label.effective
    FROM (
        SELECT study_id, abnormality, source, row_number() OVER (
            PARTITION BY study_id, abnormality
            ORDER BY CASE source WHEN 'manual' THEN 0 WHEN 'extractor' THEN 1 ELSE 2 END
        ) = 1 AS effective
        FROM label WHERE study_id = ANY (changed_studies)
    ) AS ranked
    WHERE label.study_id = ANY (changed_studies) AND (label.study_id, label.abnormality, label.source) =
        (ranked.study_id, ranked.abnormality, ranked.source) AND label.effective <> ranked.effective;
    RETURN NULL;
END $$
"""  # as the second migration made it; see there


def upgrade() -> None:
    for event in ("insert", "delete"):
        op.execute(f"DROP TRIGGER label_effective_{event} ON label")
    op.execute("DROP FUNCTION label_effective()")
    op.execute("ALTER TABLE label RENAME TO label_row")
    op.execute("ALTER TABLE label_row RENAME CONSTRAINT pk_label TO pk_label_row")
    op.execute("ALTER TABLE label_row RENAME CONSTRAINT fk_label_study_id TO fk_label_row_study_id")
    op.create_table(
        "label",
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        *(
            sa.Column(f"{source}_{what}", sa.Integer(), server_default="0", nullable=False)
            for source in SOURCES
            for what in ("known", "present")
        ),
        sa.Column("known", sa.Integer(), sa.Computed(KNOWN, persisted=True), nullable=False),
        sa.Column("present", sa.Integer(), sa.Computed(PRESENT, persisted=True), nullable=False),
        sa.CheckConstraint(PRESENT_IS_KNOWN, name=op.f("ck_label_present_is_known")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_label_study_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("study_id", name="pk_label"),
    )
    op.execute(TO_BITS)
    op.drop_table("label_row")


def downgrade() -> None:
    op.execute("ALTER TABLE label RENAME TO label_bits")
    op.execute("ALTER TABLE label_bits RENAME CONSTRAINT pk_label TO pk_label_bits")
    op.execute("ALTER TABLE label_bits RENAME CONSTRAINT fk_label_study_id TO fk_label_bits_study_id")
    op.create_table(
        "label",
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("abnormality", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("effective", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.CheckConstraint("source IN ('manual', 'extractor', 'zero_shot')", name=op.f("ck_label_source")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_label_study_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("study_id", "abnormality", "source", name="pk_label"),
    )
    op.create_index(
        "ix_label_abnormality_present",
        "label",
        ["abnormality", "present"],
        postgresql_include=["study_id", "source", "effective"],
    )
    op.execute(LABEL_EFFECTIVE)
    for event, rows in (("INSERT", "NEW"), ("DELETE", "OLD")):
        op.execute(
            f"CREATE TRIGGER label_effective_{event.lower()} AFTER {event} ON label "
            f"REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION label_effective()"
        )
    op.execute(f"INSERT INTO label (study_id, abnormality, source, present) {TO_ROWS}")
    op.drop_table("label_bits")
