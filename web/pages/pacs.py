"""The hospital's own viewer: an address made of what is sealed of a case."""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from encoders.errors import ConfigError
from retrieval.archive_key import existing_key
from retrieval.case_details import CaseDetails
from retrieval.named_cases import study_in
from retrieval.sessions import one_state
from retrieval.sources import open_identities
from web.desk import Desk
from web.problems import NotFoundError

_KNOWN = ("accession", "study_uid", "patient_id")


def can_open(desk: Desk, details: CaseDetails) -> bool:
    """Whether the address of a case can be made: a template is set, and what it needs is known."""
    template = desk.settings.pacs_url
    return template is not None and _is_enough(template, _names(desk, details))


def pacs_address(desk: Desk, details: CaseDetails) -> str:
    """Return where the hospital's viewer shows a case.

    Raises:
        NotFoundError: no template is set, or what it needs is not known of the case.
        ConfigError: the template is no web address.
    """
    template = desk.settings.pacs_url
    names = {} if template is None else _names(desk, details)
    if template is None or not _is_enough(template, names):
        raise NotFoundError(
            f"{details.study} cannot be opened in PACS: no address is set, or its accession is not known here"
        )
    address = template
    for name in _KNOWN:
        address = address.replace(f"{{{name}}}", quote(names.get(name, ""), safe=""))
    if urlsplit(address).scheme not in ("http", "https"):
        raise ConfigError(f"the PACS address {template!r} begins with neither http:// nor https://")
    return address


def _is_enough(template: str, names: Mapping[str, str]) -> bool:
    return all(f"{{{name}}}" not in template or name in names for name in _KNOWN)


def _names(desk: Desk, details: CaseDetails) -> dict[str, str]:
    """Return what the hospital calls the study; entries of single volumes are left out."""
    with one_state(desk.engine) as connection:
        study_id = study_in(connection, details.dataset, details.study).study_id
        return dict(open_identities(connection, [study_id], existing_key()).get(study_id, {}))
