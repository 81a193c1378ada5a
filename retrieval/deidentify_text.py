"""Report text loses who is meant and when: names, dates, numbers, addresses. What is medical stays."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

from retrieval.cases import Report
from retrieval.deidentify_dates import replace_dates
from retrieval.deidentify_names import replace_names
from retrieval.ordinary_words import ORDINARY_WORDS

_SECTIONS = ("findings", "impression", "clinical_information", "technique")
_TELLING = re.compile(
    r"^(?=.*\d)(?!\d{1,4}$)"
)  # an identifier "1024" or "LUNG" could be any word of a report
_SHORTEST_KNOWN = 4  # characters: a shorter identifier could be any number of a report

_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>\"')\]]+", re.IGNORECASE)
_EMAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}\b")
_UID = re.compile(r"(?<![\w.])[0-2](?:\.\d+){5,}(?![\w.]*\w)")
_NUMBER_MARK = r"\s*(?:no|nr|num|number|numarası|id|code|#)?\.?\s*[:#=]?\s*"
_CODE = r"(?:\d{2,4}(?: \d{2,4}){1,3}|(?=[\w./-]{0,40}\d)\w(?:[\w./-]{0,40}\w)?)\b"
_LABELLED_ID = re.compile(
    r"\b(?P<label>(?:mrn|m\.r\.n\.?|(?:medical|hospital|health|patient|chart) ?(?:record|file|id|identifier"
    r"|number)|pat\.?-?id|patient id|accession|acc|ssn|social security|nhs|insurance|policy|passport"
    r"|t\.?c\.? kimlik|protokol|health card|fallnummer|patientennummer|hosp\.?|hn(?=[ :#]))"
    rf"{_NUMBER_MARK})(?P<code>{_CODE})",
    re.IGNORECASE,
)
_NUMBERED_ID = re.compile(
    r"\b(?P<label>(?:case|file|order|exam(?:ination)?|study|record|protocol|request|visit|encounter|account"
    r"|report|specimen|folder|dosya)\s*(?:no|nr|number|id|#)\.?\s*[:#=]?\s*)"
    r"(?P<code>(?=[\w./-]{0,40}\d{3})\w(?:[\w./-]{0,40}\w)?)",
    re.IGNORECASE,
)
_ID = re.compile(
    r"\b(?P<label>id\s*[:#=]\s*)(?P<code>(?=[\w./-]{0,40}\d{3})\w(?:[\w./-]{0,40}\w)?)", re.IGNORECASE
)
_LONG_NUMBER = re.compile(
    r"(?<![\w.,])\d{3}-\d{2}-\d{4}(?![\w-])|(?<![\w.,])(?:[A-Za-z]{1,4}[-_]?)?\d{6,}(?!\w|\.\d)"
    r"|(?<![\w.,])[A-Z]{1,4}[-_]?\d{5}(?!\w|\.\d)"
)
_PHONE = re.compile(
    r"\b(?:tel(?:ephone)?|phone|fax|pager|beeper|mobile|cell|gsm|ext(?:ension)?)\b\.?"
    r"\s*(?:no|nr|number)?\.?\s*[:#]?\s*(?P<number>\+?\(?\d[\d\s()./-]{2,18}\d)"
    r"|(?<![\w.])(?P<plain>\+\d{1,3}[\s.-]?\(?\d{1,4}\)?(?:[\s.-]?\d{2,4}){2,4}|\(\d{3}\)\s?\d{3}[\s.-]?\d{4}"
    r"|\d{3}[.-]\d{3}[.-]\d{4}|0\d{2,4}[\s/-]\d{3}[\s-]?\d{2}[\s-]?\d{2}|\d{3}-\d{4}(?=\W*$))(?![\w.]*\d)",
    re.IGNORECASE,
)
_CAPITAL = r"[A-ZÀ-ÖØ-ÞĞİŞ][\w'’-]{0,40}"  # bounded: no text makes a search take forever
_STREET = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Way|Square|Place|Parkway|Highway"
    r"|Hwy)"
)
_TOWN = rf"(?:,\s\d{{4,5}}\s{_CAPITAL})?"
_ADDRESS = re.compile(
    rf"(?<![\w.])\d{{1,5}}[A-Za-z]?,? (?:{_CAPITAL}\.? ){{1,3}}{_STREET}\b{_TOWN}"
    rf"|\b{_CAPITAL}(?:straße|strasse|str\.|gasse|weg|platz) \d{{1,4}}[a-z]?\b{_TOWN}"
    rf"|\b(?:{_CAPITAL} ){{1,4}}(?:Caddesi|Cad\.|Sokak|Sok\.|Mahallesi|Mah\.)(?:,? No:? ?\d+(?:/\d+)?)?"
    rf"|\b(?:{_CAPITAL},?\s)?[A-Z]{{2}}\s\d{{5}}(?:-\d{{4}})?\b|\bP\.?\s?O\.? Box \d+\b"
)
_INSTITUTION = re.compile(
    r"\b(?:Hospitals?|Medical (?:Center|Centre)|Clinics?|University|Universit(?:é|ät)|Klinik(?:um)?"
    r"|Krankenhaus|Infirmary|Hastanesi|Üniversitesi|Polyclinic|Hospice|Institute"
    r"|Health(?:care)? (?:System|Trust|Center|Centre)"
    rf"|Imaging Cent(?:er|re)|Radiology Associates)\b(?:\s+(?:of\s+)?{_CAPITAL})*"
)
_NAME_BEFORE = re.compile(rf"(?:\b(?:{_CAPITAL}\.?|of|and|the|for|&)\s+){{1,6}}$")
_PLAIN_WORD = re.compile(r"[\w'’-]+")
_LONGEST_NAME = 80  # characters
_GREAT_AGE = re.compile(
    r"\b(?:9\d|1[0-2]\d)(?=[\s-]?(?:years?|yrs?|y/?o|y\.o)\b)"
    r"|(?:(?<=\baged )|(?<=\bage )|(?<=\bage: )|(?<=\bage:))(?:9\d|1[0-2]\d)\b(?!\+)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIdentity:
    """What the source tells of who is meant, so that it is found in free text in any spelling."""

    people: tuple[str, ...] = ()  # "DOE^JANE"; patient, physicians, operators
    identifiers: tuple[str, ...] = ()  # patient id, accession, UIDs
    institutions: tuple[str, ...] = ()

    def merged(self, other: "KnownIdentity") -> "KnownIdentity":
        """Return what both tell."""
        return KnownIdentity(
            people=tuple(dict.fromkeys(self.people + other.people)),
            identifiers=tuple(dict.fromkeys(self.identifiers + other.identifiers)),
            institutions=tuple(dict.fromkeys(self.institutions + other.institutions)),
        )


@dataclass(frozen=True, slots=True)
class ScrubbedText:
    """A text without identities, and how many of each kind were taken out."""

    text: str
    removed: Counter[str]


def scrub_report(
    report: Report, *, known: KnownIdentity | None = None, first_study: date | None = None
) -> tuple[Report, Counter[str]]:
    """Return the report with every section scrubbed, and how many of each kind were taken out.

    Args:
        report: as the source gives it.
        known: names and numbers of this case.
        first_study: the patient's first study, day 0 of all dates; without it dates become [date].
    """
    removed: Counter[str] = Counter()
    sections = {}
    for section in _SECTIONS:
        scrubbed = scrub_text(getattr(report, section), known=known, first_study=first_study)
        sections[section] = scrubbed.text
        removed += scrubbed.removed
    return replace(report, **sections), removed


def scrub_text(
    text: str, *, known: KnownIdentity | None = None, first_study: date | None = None
) -> ScrubbedText:
    """Take names, dates, record and phone numbers, e-mail, addresses and institutions out of a text.

    Each is replaced by its kind in square brackets, a date by "day N". Ages over 89 become "90+".

    Args:
        text: a section of a report, or any free text.
        known: names and numbers of this case, found in any spelling.
        first_study: day 0; None where it is not known.

    Source:
        HIPAA safe harbour, 45 CFR 164.514(b)(2); DICOM PS3.15 E, Clean Descriptors Option.
    """
    known = known or KnownIdentity()
    removed: Counter[str] = Counter()
    for kind, step in _steps(known, first_study):
        text, count = step(text)
        if count:
            removed[kind] += count
    return ScrubbedText(text, removed)


def _steps(
    known: KnownIdentity, first_study: date | None
) -> tuple[tuple[str, Callable[[str], tuple[str, int]]], ...]:
    """What is taken out, in an order in which no step hides what another looks for."""
    numbers = tuple(one for one in known.identifiers if _TELLING.search(one.strip()))
    return (
        ("identifier", lambda text: _known_phrases(text, numbers, "[id]")),
        ("institution", lambda text: _known_phrases(text, known.institutions, "[institution]")),
        ("web address", lambda text: _URL.subn("[url]", text)),
        ("e-mail", lambda text: _EMAIL.subn("[e-mail]", text)),
        ("identifier", lambda text: _UID.subn("[id]", text)),
        ("identifier", lambda text: _LABELLED_ID.subn(_keep_label, text)),
        ("identifier", lambda text: _NUMBERED_ID.subn(_keep_label, text)),
        ("identifier", lambda text: _ID.subn(_keep_label, text)),
        ("phone", lambda text: _PHONE.subn(_phone, text)),
        ("date", lambda text: replace_dates(text, first_study)),
        ("address", lambda text: _ADDRESS.subn("[address]", text)),
        ("institution", _institutions),
        ("name", lambda text: replace_names(text, known.people)),
        ("identifier", lambda text: _LONG_NUMBER.subn("[id]", text)),
        ("age over 89", lambda text: _GREAT_AGE.subn("90+", text)),
    )


def _keep_label(match: re.Match[str]) -> str:
    return f"{match['label']}[id]"


def _phone(match: re.Match[str]) -> str:
    if match["number"] is None:
        return "[phone]"
    return match[0][: match.start("number") - match.start()] + "[phone]"


def _known_phrases(text: str, phrases: tuple[str, ...], placeholder: str) -> tuple[str, int]:
    wanted = sorted({phrase.strip() for phrase in phrases}, key=len, reverse=True)
    escaped = [re.escape(phrase) for phrase in wanted if len(phrase) >= _SHORTEST_KNOWN]
    if not escaped:
        return text, 0
    return re.subn(rf"(?<!\w)(?:{'|'.join(escaped)})(?!\w)", placeholder, text, flags=re.IGNORECASE)


def _institutions(text: str) -> tuple[str, int]:
    """Replace institutions with the names around their kind: "Saint Anna Hospital", "University of Bern"."""
    pieces, position, count = [], 0, 0
    for match in _INSTITUTION.finditer(text):
        start = max(position, match.start() - _LONGEST_NAME)
        before = _NAME_BEFORE.search(text[start : match.start()])
        first = start + before.start() if before else match.start()
        names = [word for word in _PLAIN_WORD.finditer(text, first, match.end()) if _is_proper(word[0])]
        if names and match.start() >= position:
            pieces += [text[position : min(names[0].start(), match.start())], "[institution]"]
            position, count = match.end(), count + 1
    return "".join([*pieces, text[position:]]), count


def _is_proper(word: str) -> bool:
    return word[0].isupper() and word.lower() not in ORDINARY_WORDS and word.lower() not in _INSTITUTION_WORDS


_INSTITUTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        associates center centre children clinic clinics community health healthcare hospice hospital
        hospitals imaging infirmary institute klinik klinikum krankenhaus hastanesi polyclinic polyclinics
        radiology system trust university veterans women
        anesthesia dermatology diseases gastroenterology gynecology hematology internal ophthalmology
        otorhinolaryngology psychiatry pulmonology rheumatology city national state
        """,
    )
)
