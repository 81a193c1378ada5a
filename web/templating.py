"""Pages from templates; every value is escaped, reports and DICOM text like any other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.templating import Jinja2Templates
from starlette.responses import Response

FOLDER = Path(__file__).parent
_templates = Jinja2Templates(directory=FOLDER / "templates")


def page(request: Request, template: str, context: Mapping[str, Any] = {}, *, status: int = 200) -> Response:
    """Render a template of templates/; `caller` is who asks, or None."""
    known = {"caller": getattr(request.state, "caller", None), **context}
    return _templates.TemplateResponse(request, template, known, status_code=status)
