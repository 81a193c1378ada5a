"""Who saw which case, and who changed what: written beside every read, before its answer leaves."""

from typing import Any

from web.access.caller import Caller
from web.desk import Desk


def record(desk: Desk, caller: Caller, action: str, subject: str, **detail: Any) -> None:
    """Write a row of the audit; where it cannot be written, the read fails.

    Args:
        desk: whose archive.
        caller: who asks.
        action: what is done, as "read case", "search", "export", "ask", "view volume".
        subject: "dataset/study" of a case; else what was read, as "collection chest".
        detail: more of it, never report text; `cases`, a list of "dataset/study", names every case that an
            answer shows, so that the audit finds it by each of them.
    """
    desk.store.audit(caller.name, action, subject, detail)
