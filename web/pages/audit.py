"""The audit, for admins: who saw which case."""

from datetime import date
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from web.access.caller import Admin
from web.audit import record
from web.audit_log import AuditFilter, read_audit
from web.desk import desk_of
from web.problems import WebError
from web.templating import page

router = APIRouter(tags=["pages"])

_ROWS = 100


@router.get("/audit")
def show(
    request: Request,
    caller: Admin,
    actor: Annotated[str, Query(max_length=64)] = "",
    case: Annotated[str, Query(max_length=1000)] = "",
    day: Annotated[str, Query(max_length=10)] = "",
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
) -> Response:
    """Show what was done, newest first; an empty field filters nothing."""
    asked = {name: value.strip() for name, value in (("actor", actor), ("case", case), ("day", day)) if value}
    desk = desk_of(request)
    record(desk, caller, "read audit", "audit", **asked)
    which = AuditFilter(actor=asked.get("actor"), case=asked.get("case"), day=_day(asked.get("day")))
    rows = read_audit(desk.engine, which, limit=_ROWS, before=before)
    older = {**asked, "before": rows[-1].id} if len(rows) == _ROWS else None
    known = {
        "rows": rows,
        "asked": asked,
        "older": None if older is None else urlencode(older),
        "as_csv": urlencode(asked),
    }
    return page(request, "audit.html", known)


def _day(said: str | None) -> date | None:
    try:
        return None if said is None else date.fromisoformat(said)
    except ValueError as error:
        raise WebError(f"{said!r} is no day: write it as 2026-01-31") from error
