"""Sets of latents beside what filters say: those that an engine proposes, and those that it has not seen yet.

A PostgreSQL snapshot is `pg_snapshot` as text: which transactions had ended when it was taken. Every latent
says which transaction wrote it (`embedding.written_by`), so a latent is in a snapshot or it is not, also
where a transaction that began earlier committed later.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ARRAY, BigInteger, ColumnElement, any_, bindparam, cast, func, literal, not_
from sqlalchemy.sql.type_api import UserDefinedType

from retrieval.schema import TransactionId, embedding


class PgSnapshot(UserDefinedType[str]):
    """PostgreSQL's pg_snapshot."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """The type's name in SQL."""
        return "pg_snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """Latents that an engine found and that match the filters: they are there still, and as it knew them."""

    item_ids: Sequence[int]  # of volumes or of reports
    snapshot: str | None = None  # in which the engine read them; None where it reads the table itself

    def conditions(self, item_id: ColumnElement[int]) -> list[ColumnElement[bool]]:
        """What SQL says of them, with `parameters`; `item_id` is embedding's volume_id or report_id."""
        listed = item_id == any_(bindparam("proposed", type_=ARRAY(BigInteger)))
        return [listed] if self.snapshot is None else [listed, _in_snapshot(bindparam("seen_in"))]

    @property
    def parameters(self) -> dict[str, object]:
        """The values in `conditions`, by name: a statement with them is built once."""
        return {"proposed": list(self.item_ids), "seen_in": self.snapshot}


@dataclass(frozen=True, slots=True, kw_only=True)
class Newer:
    """Latents that a snapshot does not hold."""

    snapshot: str

    def conditions(self, _item_id: ColumnElement[int]) -> list[ColumnElement[bool]]:
        """What SQL says of them."""
        oldest = func.pg_snapshot_xmin(cast(literal(self.snapshot), PgSnapshot), type_=TransactionId)
        return [embedding.c.written_by >= oldest, not_(_in_snapshot(literal(self.snapshot)))]


def _in_snapshot(snapshot: ColumnElement[str]) -> ColumnElement[bool]:
    visible: ColumnElement[bool] = func.pg_visible_in_snapshot(
        embedding.c.written_by, cast(snapshot, PgSnapshot)
    )
    return visible
