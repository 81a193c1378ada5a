"""Who saw which case: every read through the web is an audit event, without a word of any report."""

from typing import Any

from web.access.caller import Caller
from web.desk import Desk


def record(desk: Desk, caller: Caller, action: str, subject: str, **detail: Any) -> None:
    """Write an audit event.

    Args:
        desk: whose archive keeps it.
        caller: who did it.
        action: what, as "read case", "search", "export", "ask", "view volume".
        subject: "dataset/study", or what else it was done to.
        detail: names and numbers alone, never text of a report.
    """
    desk.store.audit(caller.name, action, subject, detail)
