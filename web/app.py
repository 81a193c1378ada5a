"""The application: routers, the gate before them, and what answers errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from sqlalchemy import Engine

import web.api.accounts
import web.api.ask
import web.api.audit
import web.api.cases
import web.api.collections
import web.api.exports
import web.api.feedback
import web.api.health
import web.api.jobs
import web.api.scores
import web.api.search
import web.api.uploads
import web.api.volumes
import web.pages.accounts
import web.pages.audit
import web.pages.case
import web.pages.compare
import web.pages.docs
import web.pages.jobs
import web.pages.map
import web.pages.password
import web.pages.search
import web.pages.sign_in
import web.pages.sign_in_provider
from retrieval.archive_key import existing_key
from retrieval.service import CaseSearch
from retrieval.store import Store
from web.access.gate import add_gate
from web.answering import chosen_backend
from web.desk import Desk
from web.metrics import add_metrics
from web.openapi import describe
from web.problems import add_problems
from web.settings import WebSettings
from web.templating import FOLDER

API = "/api/v1"
_API = (
    web.api.health,
    web.api.search,
    web.api.cases,
    web.api.volumes,
    web.api.scores,
    web.api.ask,
    web.api.feedback,
    web.api.exports,
    web.api.collections,
    web.api.uploads,
    web.api.jobs,
    web.api.accounts,
    web.api.audit,
)
_PAGES = (
    web.pages.sign_in,
    web.pages.sign_in_provider,
    web.pages.search,
    web.pages.case,
    web.pages.compare,
    web.pages.map,
    web.pages.jobs,
    web.pages.accounts,
    web.pages.password,
    web.pages.audit,
    web.pages.docs,
)


def create_app(settings: WebSettings, engine: Engine) -> FastAPI:
    """Return the application over one archive.

    Args:
        settings: how it serves.
        engine: of the archive; disposed of when the application ends.
    """
    app = FastAPI(
        title="ctsearch",
        summary="Similar past chest CTs. Research use only.",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
        lifespan=_lifespan,
    )
    app.state.desk = Desk(
        settings=settings,
        engine=engine,
        store=Store(engine),
        search=CaseSearch(engine, key=existing_key(), device=settings.device, actor="web"),
    )
    for module in _API:
        app.include_router(module.router, prefix=API)
    for module in _PAGES:
        app.include_router(module.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    add_problems(app)
    add_gate(app, settings)
    add_metrics(app, engine)
    describe(app)
    chosen_backend(settings)  # one that cannot answer is refused now
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    app.state.desk.engine.dispose()
