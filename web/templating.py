"""Pages from templates; every value is escaped, reports and DICOM text like any other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.templating import Jinja2Templates
from starlette.responses import Response

FOLDER = Path(__file__).parent
_templates = Jinja2Templates(directory=FOLDER / "templates")


def page(request: Request, template: str, context: Mapping[str, Any] = {}, *, status: int = 200) -> Response:
    """Render a template of templates/; `caller` is who asks, or None."""
    known = {"caller": getattr(request.state, "caller", None), **context}
    return _templates.TemplateResponse(request, template, known, status_code=status)


def address_of(*names: str) -> str:
    """Return names as the end of an address; a slash within one does not part it."""
    return "/".join(quote(name, safe="") for name in names)


_templates.env.globals["address_of"] = address_of
_templates.env.trim_blocks = True
_templates.env.lstrip_blocks = True
