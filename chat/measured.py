"""Sizes: what reports give, and which case has the largest."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chat.draft import Line, few, listed, silent
from chat.evidence import CaseEvidence, Quote
from chat.question import Part
from chat.reported import location, unsaid
from chat.sentence_reading import read_sentence
from chat.superlative import on_the_largest
from chat.topics import Topic
from chat.verdicts import told_of

_IN_WORDS = re.compile(
    r"\b(?:milli|centi)met\w+|\bsmall\b|\blarge\b|\btiny\b|\bminimal\b|\bgiant\b", re.IGNORECASE
)
_SMALLEST = re.compile(r"\b(?:smallest|smaller|thinnest|least|youngest|younger)\b", re.IGNORECASE)
_WHICH_PART = re.compile(r"\b(?:which|what) (?:side|lung|lobe|segment|kidney|breast)\b", re.IGNORECASE)
_BY_AGE = re.compile(r"\b(?:oldest|older|youngest|younger)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    case: CaseEvidence
    largest_mm: float
    quote: Quote


def size(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Quote the sentences that give a length, or else a size in words."""
    if not part.topics:
        yield silent("it was not said of what the size is asked")
        return
    for topic in part.topics:
        told = [quote for case in cases for quote in told_of(case, topic)]
        given = [quote for quote in told if read_sentence(quote.text).sizes_mm]
        in_words = [quote for quote in told if _IN_WORDS.search(quote.text)]
        named = f"{topic.name}:" if len(part.topics) > 1 else "As measured:"
        if given:
            yield Line(named, few(on_the_largest(part.text, given, cases), cases))
        elif in_words:
            yield Line("Not measured; in words:", few(in_words, cases))
        else:
            yield (
                silent(f"{topic.name.lower()} is reported, but not its size")
                if told
                else unsaid(topic, cases)
            )


def largest(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Say which case has the largest (or smallest) of what is asked, by the lengths in its report."""
    if len(cases) == 1 and part.topics:
        yield from location(part, cases) if _WHICH_PART.search(part.text) else size(part, cases)
        return
    smallest = bool(_SMALLEST.search(part.text))
    if _BY_AGE.search(part.text):
        yield _by_age(cases, youngest=smallest)
        return
    if not part.topics:
        yield silent("it was not said what is to be compared")
        return
    for topic in part.topics:
        measured = [one for case in cases if (one := _measured(case, topic))]
        if not measured:
            yield silent(f"no report gives a size of {topic.name.lower()}")
            continue
        ranked = sorted(measured, key=lambda one: one.largest_mm, reverse=not smallest)
        best = [one for one in ranked if one.largest_mm == ranked[0].largest_mm]
        which = listed([one.case.study for one in best])
        yield Line(
            f"{which}: {ranked[0].largest_mm:g} mm, the {'smallest' if smallest else 'largest'} of "
            f"{len(measured)} that are measured, in {len(cases)} cases."
        )
        for one in ranked:
            yield Line(f"- {one.case.study}, {one.largest_mm:g} mm:", (one.quote,))


def _measured(case: CaseEvidence, topic: Topic) -> _Measured | None:
    given = [
        (max(sizes), quote) for quote in told_of(case, topic) if (sizes := read_sentence(quote.text).sizes_mm)
    ]
    if not given:
        return None
    largest_mm, quote = max(given, key=lambda one: one[0])
    return _Measured(case=case, largest_mm=largest_mm, quote=quote)


def _by_age(cases: Sequence[CaseEvidence], *, youngest: bool) -> Line:
    known = sorted((case.age, case.study) for case in cases if case.age is not None)
    if not known:
        return silent("no age is stored for these patients")
    age = known[0][0] if youngest else known[-1][0]
    which = listed([study for each, study in known if each == age])
    return Line(f"{which}: {age:g} years, by the stored metadata of {len(known)} of {len(cases)} cases.")
