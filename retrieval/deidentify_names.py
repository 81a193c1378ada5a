"""Names of people in reports: those known for the case, and those that titles and set phrases give away."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from retrieval.ordinary_words import ORDINARY_WORDS, SURNAMES_TOO

NAME = "[name]"
_PARTICLES = frozenset(re.findall(r"\w+", "van von de da del der den di du la le el al bin ibn ben zu ter y"))
_NO_NAMES = _PARTICLES | {"dr", "prof", "med", "mr", "mrs", "ms", "md", "phd", "jr", "sr", "ii", "iii"}
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_INITIAL = re.compile(r"[^\W\d_]\.")
_GAP = re.compile(r" (?=\S)|-(?=\S)")
_GAP_AFTER_SURNAME = re.compile(r",? (?=\S)|-(?=\S)")
_TITLES = r"(?:Dr|DR|Prof|PROF|Doç|Mr|MR|Mrs|MRS|Ms|Miss|Mx|Herr|Frau|Mme|Uzm|med|Nurse)\b\.?"
_TITLED = re.compile(rf"(?<![\w-])(?:{_TITLES}\s*)+")
_TITLED_SMALL = re.compile(r"(?<![\w-])(?:dr|prof|mr|mrs|ms)\.\s+(?=[^\W\d_]{2})")
_BY = (
    r"(?:electronically |digitally )?(?:reported|dictated|signed|verified|approved|transcribed|reviewed|read"
    r"|interpreted|authenticated|finali[sz]ed|performed|requested|referred|ordered|validated)"
    r"(?: electronically| digitally)? by"
)
_ROLE = (
    r"(?:(?:referring|ordering|requesting|attending|reporting|reading|consulting|treating|responsible"
    r"|primary care)[ -](?:physician|doctor|clinician|provider|radiologist|consultant|surgeon)"
    r"|radiologist|technologist|technician|radiographer|operator|resident|physician|consultant|surgeon"
    r"|doctor|clinician|attn|cc)"
)
_LABELLED = re.compile(rf"\b(?:{_BY}\s*[:,-]?|{_ROLE}(?:'s)?(?: name)?\s*:|dear)\s*", re.IGNORECASE)
_PATIENT = re.compile(r"\bpatient(?:'s)?\s*:?\s+", re.IGNORECASE)
_NAME_FIELD = re.compile(
    r"\b(?:(?:patient(?:'s)?|full|first|last|family|given|maiden|sur) ?name|name|surname|soyadı|adı|nachname"
    r"|vorname)(?: of (?:the )?patient)?\s*[:=]\s*",
    re.IGNORECASE,
)
_TOLD = re.compile(
    r"\b(?:discussed with|communicated (?:to|with)|conveyed to|reported to|notified|informed|relayed to"
    r"|spoke (?:to|with)|spoken (?:to|with)|telephoned(?: to)?|called to|paged|wife|husband|daughter|son"
    r"|mother|father|sister|brother|spouse|caregiver)\s+",
    re.IGNORECASE,
)
_AGED = re.compile(r"(?P<comma>,?)\s(?:(?:is|was) )?(?:an? )?\d{1,3}[\s-]?(?:years?|yrs?|y/?o)\b")
_DEGREE = re.compile(
    r"(?P<comma>,?)\s{0,2}\b(?:M\.\s?D\.|MD|Ph\.\s?D\.|PhD|FRCR|FRCPC|FACR|MBBS|RN|PA-C)(?![\w-])"
)
_LONGEST_NAME = 80  # characters
_MOST_WORDS = 4
_REPEATED = re.compile(r"(?:\b[^\W\d_]\.\s?){0,3}\[name\](?:(?:,?\s|-)(?:[^\W\d_]\.\s?){0,3}\[name\])*")


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) that are somebody's name."""

    start: int
    end: int


def replace_names(text: str, known: Iterable[str] = ()) -> tuple[str, int]:
    """Replace names by [name]: after titles, roles and labels, and those of `known` in any spelling.

    Args:
        text: a section of a report.
        known: people of this case as its source writes them: "DOE^JANE", "Doe, Jane", "Dr. R. Roe".

    Returns:
        The text, and how many names were replaced. Titles stay: "Dr. [name]".
    """
    spans = sorted({*_given_away(text), *_known(text, known)}, key=lambda span: (span.start, -span.end))
    pieces, position = [], 0
    for span in spans:
        if span.start >= position:
            pieces += [text[position : span.start], NAME]
            position = span.end
    replaced = _REPEATED.sub(NAME, "".join([*pieces, text[position:]]))
    return replaced, replaced.count(NAME) - text.count(NAME)


def _given_away(text: str) -> Iterator[Span]:
    for cue in (_TITLED, _LABELLED, _TOLD, _NAME_FIELD):
        for match in cue.finditer(text):
            yield from _run(text, match.end(), any_case=cue is _NAME_FIELD, after_title=cue is _TITLED)
    for cue in (_DEGREE, _AGED):
        for match in cue.finditer(text):
            yield from _before(text, match)
    for match in _TITLED_SMALL.finditer(text):
        word = _WORD.match(text, match.end())
        if word is not None and _may_be_name(word[0].title()):
            yield Span(*word.span())
    yield from _after_patient(text)


def _after_patient(text: str) -> Iterator[Span]:
    """Yield "Jane Doe" of "patient Jane Doe"; a single word must end there: "Patient Position: HFS" stays."""
    for match in _PATIENT.finditer(text):
        for span in _run(text, match.end()):
            alone = _WORD.fullmatch(text[span.start : span.end]) is not None
            if not alone or text[span.end : span.end + 1] in {",", ";", "\n", ""}:
                yield span


def _run(text: str, start: int, *, any_case: bool = False, after_title: bool = False) -> Iterator[Span]:
    """Yield the name that starts at `start`: up to four capitalised words, with initials and particles."""
    title = _TITLED.match(text, start)
    position = start = title.end() if title else start
    end, words = start, 0
    while words < _MOST_WORDS:
        initial = _INITIAL.match(text, position)
        word = initial or _WORD.match(text, position)
        if word is None:
            break
        particle = word[0].lower() in _PARTICLES
        spelt = word[0].title() if any_case else word[0]
        surname = after_title and words == 0 and spelt.istitle() and spelt.lower() in SURNAMES_TOO
        if not (initial or particle or surname or _may_be_name(spelt)):
            break
        position = word.end()
        if not particle and not (initial and words == 0):
            end = position
        words += not particle and not initial
        gap = (_GAP_AFTER_SURNAME if words == 1 else _GAP).match(text, position)
        if gap is None:
            break
        position = gap.end()
    if end > start:
        yield Span(start, end)


def _before(text: str, match: re.Match[str]) -> Iterator[Span]:
    """Yield the name right before a degree or an age: one word before a comma, else at least two."""
    start = max(0, match.start() - _LONGEST_NAME)
    words = list(_WORD.finditer(text, start, match.start()))[-4:]
    named: list[re.Match[str]] = []
    for word in reversed(words):
        gap = text[word.end() : named[-1].start() if named else match.start()]
        is_initial = len(word[0]) == 1 and word[0].isupper() and bool(named)
        if not (is_initial or _may_be_name(word[0])) or gap.strip(" .") or "\n" in gap:
            break
        named.append(word)
    if len(named) > 1 or (named and match["comma"]):
        yield Span(named[-1].start(), named[0].end())


def _may_be_name(word: str) -> bool:
    return word[0].isupper() and word.lower() not in ORDINARY_WORDS and len(word) > 1


def _known(text: str, known: Iterable[str]) -> Iterator[Span]:
    spellings = {spelling for name in known for part in _WORD.findall(name) for spelling in _spellings(part)}
    if not spellings:
        return
    shouted = text.upper() == text
    words = list(_WORD.finditer(text))
    hits = [bool(_spellings(word[0]) & spellings) for word in words]
    for index, (word, hit) in enumerate(zip(words, hits, strict=True)):
        beside = any(hits[max(0, index - 1) : index] + hits[index + 1 : index + 2])
        if hit and _is_meant(text, word, beside=beside, shouted=shouted):
            yield Span(*word.span())


def _is_meant(text: str, word: re.Match[str], *, beside: bool, shouted: bool) -> bool:
    """Whether a word spelt like the patient's name is the name: "small nodule" stays, "Small, John" goes."""
    if beside and not word[0].islower():
        return True
    if len(word[0]) == 2:
        return word[0].istitle()
    if word[0].lower() not in ORDINARY_WORDS:
        return True
    starts_sentence = not text[: word.start()].rstrip(" \"'(").endswith(tuple("abcdefghijklmnopqrstuvwxyz,"))
    return word[0][0].isupper() and not starts_sentence and not shouted


def _spellings(word: str) -> set[str]:
    """Return how a name may be written: case, accents and umlauts do not matter; single letters are none."""
    small = word.lower().replace("ı", "i").replace("i̇", "i").replace("ß", "ss").replace("’", "'")
    plain = "".join(
        letter for letter in unicodedata.normalize("NFKD", small) if not unicodedata.combining(letter)
    )
    spread = plain
    if plain != small:
        spread = small
        for umlaut, letters in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ø", "oe"), ("å", "aa")):
            spread = spread.replace(umlaut, letters)
    owned = {one.removesuffix("'s") for one in (plain, spread)}
    return {one for one in {plain, spread} | owned if len(one) > 1 and one not in _NO_NAMES}
