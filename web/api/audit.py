"""The audit: who saw which case, who changed what."""

import json
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from web.access.caller import Admin
from web.audit import record
from web.audit_log import AuditFilter, read_audit, whole_audit
from web.desk import desk_of
from web.formula_safe import csv_lines

router = APIRouter(tags=["audit"])

Actor = Annotated[str | None, Query(max_length=64, description="Who; cli and local are no accounts.")]
Case = Annotated[str | None, Query(max_length=1000, examples=["phantom/phantom_7_1"])]
Day = Annotated[date | None, Query(description="Of UTC.")]
_COLUMNS = ("at", "actor", "action", "subject", "detail")


@router.get("/audit")
def show_audit(
    request: Request,
    caller: Admin,
    actor: Actor = None,
    case: Case = None,
    day: Day = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, lt=2**63, description="An id: older rows.")] = None,
) -> dict[str, list[dict[str, Any]]]:
    """Say who saw which case and who changed what, newest first."""
    which = _audit_asked(request, caller, actor, case, day)
    rows = read_audit(desk_of(request).engine, which, limit=limit, before=before)
    return {"events": [row.to_json() for row in rows]}


@router.get("/audit.csv", response_class=StreamingResponse, responses={200: {"content": {"text/csv": {}}}})
def export_audit(
    request: Request, caller: Admin, actor: Actor = None, case: Case = None, day: Day = None
) -> StreamingResponse:
    """The whole of it as CSV."""
    which = _audit_asked(request, caller, actor, case, day)
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    shown = (row.to_json() for row in whole_audit(desk_of(request).engine, which))
    rows = ({**each, "detail": json.dumps(each["detail"], ensure_ascii=False)} for each in shown)
    return StreamingResponse(csv_lines(_COLUMNS, rows), media_type="text/csv; charset=utf-8", headers=headers)


def _audit_asked(
    request: Request, caller: Admin, actor: str | None, case: str | None, day: date | None
) -> AuditFilter:
    asked = {"actor": actor, "case": case, "day": None if day is None else day.isoformat()}
    record(desk_of(request), caller, "read audit", "audit", **{k: v for k, v in asked.items() if v})
    return AuditFilter(actor=actor or None, case=case or None, day=day)
