"""The audit as admins read it: by who, by case, by day."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Engine, text

_QUERY = """
SELECT id, at, actor, action, subject, detail FROM audit_event
WHERE (CAST(:actor AS text) IS NULL OR actor = :actor)
AND (CAST(:case AS text) IS NULL OR subject = :case OR detail -> 'cases' ? :case)
AND (CAST(:since AS timestamptz) IS NULL OR (at >= :since AND at < :until))
AND (CAST(:before AS bigint) IS NULL OR id < :before)
ORDER BY id DESC LIMIT :limit
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which rows; None leaves a filter out.

    Attributes:
        actor: an account's name; "local" has the start-up token, "cli" the command line.
        case: "dataset/study".
        day: of UTC.
    """

    actor: str | None = None
    case: str | None = None
    day: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One thing that somebody did."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "id": self.id,
            "at": self.at.astimezone(UTC).isoformat(),
            "actor": self.actor,
            "action": self.action,
            "subject": self.subject,
            "detail": self.detail,
        }


def read_audit(
    engine: Engine, which: AuditFilter, *, limit: int, before: int | None = None
) -> list[AuditRow]:
    """Return rows, newest first.

    Args:
        engine: of the archive.
        which: rows.
        limit: rows at most.
        before: an id; older rows only.
    """
    since = None if which.day is None else datetime.combine(which.day, time(), UTC)
    values = {
        "actor": which.actor,
        "case": which.case,
        "since": since,
        "until": None if since is None else since + timedelta(days=1),
        "before": before,
        "limit": limit,
    }
    with engine.connect() as connection:
        return [AuditRow(**row) for row in connection.execute(text(_QUERY), values).mappings()]


def whole_audit(engine: Engine, which: AuditFilter, *, at_once: int = 1000) -> Iterator[AuditRow]:
    """Yield every row, newest first, reading some at once."""
    before: int | None = None
    while rows := read_audit(engine, which, limit=at_once, before=before):
        yield from rows
        before = rows[-1].id
