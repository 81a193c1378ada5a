"""What all requests share: the archive, the use cases over it, and how the application was started."""

from dataclasses import dataclass

from fastapi import Request
from sqlalchemy import Engine

from retrieval.service import CaseSearch
from retrieval.store import Store
from web.settings import WebSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One archive as the web serves it. `search` keeps encoders and snapshots; give it a caller's name."""

    settings: WebSettings
    engine: Engine
    store: Store
    search: CaseSearch


def desk_of(request: Request) -> Desk:
    """Return the application's desk."""
    desk: Desk = request.app.state.desk
    return desk
