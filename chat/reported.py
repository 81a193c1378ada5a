"""What reports say: whether, where, how many, what changed; answered with their sentences."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from chat.draft import Line, few, listed, silent
from chat.evidence import CaseEvidence, Quote
from chat.fitting import fits
from chat.question import Part
from chat.question_words import (
    CHANGED,
    ONLY_NEW,
    ONLY_STABLE,
    PLACES,
    QUANTITY,
    SEVERITY,
    SIDES,
    SINCE_BEFORE,
)
from chat.sentence_reading import known_findings, own_stems, read_sentence
from chat.stems import Stems, canonical
from chat.superlative import on_the_largest
from chat.tallied import which
from chat.topics import Topic
from chat.verdicts import Status, is_one_of_the_18, mentions, passages_on, said_of, traces_of, verdict
from encoders.reports import EMPTY_SECTION

_Says = Callable[[Topic, Quote], bool]
_SAID: Mapping[Status, tuple[str, str]] = {  # where the topic is asked for, and where its absence is
    "present": ("Yes", "Present, not absent"),
    "possible": ("Yes, as a possibility", "Possibly present"),
    "absent": ("No", "Absent"),
}
_EVERY = re.compile(
    r"\b(?:every|each)\b|\ball (?:of|the|these|those|\d+|cases|patients|studies|scans|reports)\b"
    r"|\bboth (?:cases|patients|studies|scans|reports|of)\b|\bdo(?:es)? (?:all|both)\b",
    re.IGNORECASE,
)
_KINDS_OF_PLACE: tuple[tuple[re.Pattern[str], Stems], ...] = tuple(
    (re.compile(rf"\b(?:which|what) (?:{asked})\b", re.IGNORECASE), frozenset(canonical(said)))
    for asked, said in (
        ("sides?|lungs?|hemithorax|breasts?|kidneys?", "right left both bilateral bilaterally"),
        (
            "lobes?|segments?|zones?",
            "lobe segment zone lingula lingular upper lower middle apex apical apices base basal basals bases"
            " posterobasal laterobasal anterobasal mediobasal anteromediobasal apicoposterior superior",
        ),
    )
)
_ONE_CHANGE = (  # asked for alone: "what is new?"
    (re.compile(r"\bnew(?:ly)?\b", re.IGNORECASE), ONLY_NEW),
    (re.compile(r"\b(?:stable|unchanged)\b", re.IGNORECASE), ONLY_STABLE),
)
_ASKS_WHEN = re.compile(r"^\W*(?:since )?when\b", re.IGNORECASE)
_TIME = re.compile(r"\b(?:days?|weeks?|months?|years?|ago|today|yesterday|(?:19|20)\d\d)\b", re.IGNORECASE)
_ASKS_WHICH_ONE = re.compile(r"^\W*(?:which|what) (?!kinds?\b|types?\b|sorts?\b)", re.IGNORECASE)
_TOGETHER = re.compile(r"\bboth\b.*\band\b", re.IGNORECASE)


def presence(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Say whether each topic is there: yes, no, or that the reports do not say."""
    if not part.topics:
        yield silent("no finding was named that a report could speak of")
        return
    if len(cases) > 1 and len(part.topics) > 1 and _TOGETHER.search(part.text):
        yield from which(part, cases)
        return
    for topic in part.topics:
        named = f"{topic.name}: " if len(part.topics) > 1 else ""
        if len(cases) == 1:
            yield _in_one(topic, cases[0], named)
        else:
            yield from _in_many(topic, cases, named, every=bool(_EVERY.search(part.text)))


def location(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Quote the sentences that say where it is; of a lobe or side that is asked for, those that say that."""
    asked = next((places for pattern, places in _KINDS_OF_PLACE if pattern.search(part.text)), PLACES)

    def says_where(topic: Topic, quote: Quote) -> bool:
        only_named_again = own_stems(topic.finding).difference(*SIDES.values())  # "pleural" says not where
        return bool((read_sentence(quote.text).words & asked) - topic.words - only_named_again)

    yield from _quoting(part, cases, says_where, "where")


def number(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Quote the sentences that say how many there are."""
    yield from _quoting(part, cases, lambda _, quote: bool(QUANTITY.search(quote.text)), "how many")


def degree(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Quote the sentences that say how much of it there is."""
    yield from _quoting(part, cases, lambda _, quote: bool(SEVERITY.search(quote.text)), "how much")


def free(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Quote what is said of the topics; nothing where a word of the question is nowhere said."""
    if not part.topics:
        yield silent("no report could be asked that")
        return
    for topic in part.topics:
        said_so = [
            (quote, said)
            for case in cases
            for quote, read, said in mentions(case, topic)
            if fits(topic, read, denied=said == "denied") is not False
            and (not _ASKS_WHEN.search(part.text) or _TIME.search(quote.text))
        ]
        if _ASKS_WHICH_ONE.search(part.text) and all(said == "hedged" for _, said in said_so) and said_so:
            yield silent(f"{topic.name.lower()} is only suspected, and not which")
        elif said_so:
            yield Line(f"On {topic.name.lower()}:", few([quote for quote, _ in said_so], cases))
        else:
            yield unsaid(topic, cases)


def overview(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Quote each report's impression, or what its findings affirm where it has none."""
    if part.topics:
        yield from free(part, cases)
        return
    for case in cases:
        quotes = few(_main_sentences(case), cases)
        yield Line(f"{case.study}:", quotes) if quotes else Line(f"{case.study} has no report.")


def change(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Quote what is said to be new, stable, larger or smaller than before."""
    if part.topics:
        yield from _quoting(part, cases, lambda _, quote: bool(CHANGED.search(quote.text)), "a change")
        return
    asked = next((said for pattern, said in _ONE_CHANGE if pattern.search(part.text)), SINCE_BEFORE)
    quotes = [quote for case in cases for quote in case.sentences if asked.search(quote.text)]
    affirmed = [quote for quote in quotes if read_sentence(quote.text).affirmed]
    yield Line("Changes:", few(affirmed, cases)) if affirmed else silent("no report speaks of a change")


def _in_one(topic: Topic, case: CaseEvidence, named: str) -> Line:
    if not case.sentences:
        return _by_label(topic, case, named)
    judged = verdict(case, topic)
    quotes = few(judged.quotes, [case])
    if judged.status == "unclear":
        return Line(f"{named}The report of {case.study} says:", quotes)
    if judged.status == "elsewhere":
        return Line(f"{named}Reported, but not where or how it was asked:", few(judged.near, [case]))
    if judged.status in _SAID:
        asked, if_denied = _SAID[judged.status]
        return Line(f"{named}{if_denied if topic.denied else asked}:", quotes)
    return _silent_case(topic, case, named)


def _silent_case(topic: Topic, case: CaseEvidence, named: str) -> Line:
    if not is_one_of_the_18(topic) or topic.words or topic.narrowed:
        return unsaid(topic, [case])
    said = "Absent" if topic.denied else "No"
    text = f"{named}{said}: the report of {case.study} mentions no {topic.name.lower()}"
    traces = traces_of(case, topic)
    return Line(f"{text}; what comes nearest:", few(traces, [case])) if traces else Line(f"{text}.")


def _by_label(topic: Topic, case: CaseEvidence, named: str) -> Line:
    name = known_findings()[topic.finding].name if topic.finding is not None else ""
    known = case.labels.get(name)
    if known is None or topic.words or topic.narrowed:
        return silent(f"{case.study} has no report")
    source = f"by its {case.label_source or 'stored'} label; {case.study} has no report"
    said = ("Present, not absent" if known else "Absent") if topic.denied else ("Yes" if known else "No")
    return Line(f"{named}{said}, {source}.")


def _in_many(topic: Topic, cases: Sequence[CaseEvidence], named: str, *, every: bool) -> Iterator[Line]:
    judged = [(case, verdict(case, topic)) for case in cases]
    there = [(case, one) for case, one in judged if one.is_there]
    absent = [(case, one) for case, one in judged if one.status == "absent"]
    other = [(case, one) for case, one in judged if one.status in ("unclear", "elsewhere")]
    if not there and not absent and not other:
        if is_one_of_the_18(topic) and not topic.words and not topic.narrowed:
            yield Line(f"{named}No: none of the {len(cases)} reports mentions {topic.name.lower()}.")
        else:
            yield unsaid(topic, cases)
        return
    yield Line(f"{named}{_tally(topic, len(there), len(cases), every=every, unsure=bool(other))}")
    for case, one in there:
        yield Line(
            f"- {case.study}{', as a possibility' if one.status == 'possible' else ''}:",
            few(one.quotes, cases),
        )
    for case, one in other:
        yield Line(f"- {case.study}, not quite as asked:", few((*one.quotes, *one.near), cases))
    for case, one in absent:
        yield Line(f"- not in {case.study}:", few(one.quotes, cases)[:1])
    silent_ones = [case.study for case, one in judged if one.status == "silent"]
    if silent_ones:
        yield Line(f"- not mentioned in {listed(silent_ones)}.")


def _tally(topic: Topic, there: int, cases: int, *, every: bool, unsure: bool) -> str:
    if not there:
        return (
            f"Not as asked in any of {cases} cases." if unsure else f"No, reported in none of {cases} cases."
        )
    if every and there < cases:
        return (
            f"Not in all: in {there} of {cases} cases."
            if topic.denied
            else f"No, in {there} of {cases} cases."
        )
    return f"{'Present' if topic.denied else 'Yes'}, in {there} of {cases} cases."


def _quoting(part: Part, cases: Sequence[CaseEvidence], says: _Says, what: str) -> Iterator[Line]:
    """Quote the sentences of each topic that say what is asked of it."""
    if not part.topics:
        yield silent(f"it was not said of what {what} is asked")
        return
    for topic in part.topics:
        gone = SINCE_BEFORE if part.kind == "change" else None
        told = [passage for case in cases for passage in passages_on(case, topic, also=gone)]
        quotes = [quote for passage in told for quote in _as_asked(part, topic, passage, says)]
        quotes = on_the_largest(part.text, quotes, cases)
        if quotes:
            yield Line(_introduced(topic, part), few(quotes, cases))
        elif told:
            yield silent(f"{topic.name.lower()} is reported, but not {what}")
        else:
            yield unsaid(topic, cases)


def _as_asked(part: Part, topic: Topic, passage: Sequence[Quote], says: _Says) -> list[Quote]:
    """Return what says it; of a change with what changed, as "no difference was found" names nothing."""
    quotes = [quote for quote in passage if says(topic, quote)]
    if part.kind != "change" or any(said_of(topic, read_sentence(quote.text)) for quote in quotes):
        return quotes
    return [passage[0], *quotes] if quotes else []


def _introduced(topic: Topic, part: Part) -> str:
    return f"{topic.name}:" if len(part.topics) > 1 else "As reported:"


def unsaid(topic: Topic, cases: Sequence[CaseEvidence]) -> Line:
    """Refuse what no report says, telling a finding nobody mentions from one of which this is not said."""
    whose = f"the report of {cases[0].study} does" if len(cases) == 1 else "the reports do"
    bare = Topic(name=topic.name, finding=topic.finding)
    if (
        (topic.words or topic.beside or topic.narrowed)
        and topic.finding is not None
        and any(any(mentions(case, bare)) for case in cases)
    ):
        return silent(f"{topic.name.lower()} is mentioned, but not what is asked of it")
    return silent(f"{whose} not mention {topic.name.lower() or 'it'}")


def _main_sentences(case: CaseEvidence) -> list[Quote]:
    said = [quote for quote in case.sentences if quote.text.rstrip(".").lower() != EMPTY_SECTION]
    impression = [q for q in said if q.section == "impression" and read_sentence(q.text).words]
    affirmed = [q for q in said if read_sentence(q.text).findings[0]]
    return impression or affirmed
