"""One case: its report sentence by sentence, findings with their sources, volumes, and ways on from it."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import CtsearchError
from retrieval.case_details import CaseDetails, StoredReport, StoredSentence
from web.access.caller import Admin, Reader
from web.asked import service_for
from web.audit import record
from web.desk import desk_of
from web.pages.hit_view import facts
from web.pages.pacs import can_open, pacs_address
from web.templating import page

router = APIRouter(tags=["pages"])

_SECTIONS = {
    "clinical_information": "Clinical information",
    "technique": "Technique",
    "findings": "Findings",
    "impression": "Impression",
}


@router.get("/cases/{dataset}/{study:path}")
def case_page(request: Request, caller: Reader, dataset: str, study: str) -> Response:
    """Show everything the archive holds of a case."""
    desk = desk_of(request)
    details = service_for(desk, caller).case(dataset, study)
    record(desk, caller, "read case", f"{details.dataset}/{details.study}")
    return page(
        request,
        "case.html",
        {
            "case": details,
            "about": details,
            "reports": [(report, _sections(report)) for report in details.reports],
            "labels": {label.finding: label for label in details.labels},
            "findings": ABNORMALITIES,
            "facts_of": facts,
            "pacs": caller.may("admin") and can_open(desk, details),
            "scored_in": _scored_in(details),
        },
    )


@router.get("/case-scores/{dataset}/{study:path}")
def case_scores(
    request: Request, caller: Reader, dataset: str, study: str, collection: str | None = None
) -> Response:
    """Show what the encoder makes of a case, beside what is known of it; a part of the case page."""
    service = service_for(desk_of(request), caller)
    details = service.case(dataset, study)
    context: dict[str, Any] = {"scores": {}}
    try:
        scores = service.score_case(study, dataset=dataset, collection=collection)
        context = {"scores": scores.probabilities, "prompt": scores.prompt}
    except CtsearchError as error:
        context["unscored"] = str(error)
    return page(
        request,
        "case_findings.html",
        {
            "case": details,
            "labels": {label.finding: label for label in details.labels},
            "findings": ABNORMALITIES,
            "collection": collection,
            **context,
        },
    )


@router.get("/pacs/{dataset}/{study:path}")
def open_in_pacs(request: Request, caller: Admin, dataset: str, study: str) -> Response:
    """Go to the hospital's own viewer; that somebody did is in the audit."""
    desk = desk_of(request)
    details = service_for(desk, caller).case(dataset, study)
    address = pacs_address(desk, details)
    record(desk, caller, "open in PACS", f"{details.dataset}/{details.study}")
    return RedirectResponse(address, status_code=303)


def _scored_in(details: CaseDetails) -> list[str]:
    """Return the collections that hold a latent of one of its volumes."""
    return sorted({name for volume in details.volumes for name in volume.collections})


def _sections(report: StoredReport) -> list[tuple[str, str, list[StoredSentence]]]:
    """Return key, title and sentences of each section that says something."""
    found = [
        (key, title, [sentence for sentence in report.sentences if sentence.section == key])
        for key, title in _SECTIONS.items()
    ]
    return [section for section in found if section[2]]
