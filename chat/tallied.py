"""Counts and comparisons over cases, worked out from what each report says."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from chat.draft import FEW_QUOTES, Line, few, listed, silent
from chat.evidence import CaseEvidence, Quote
from chat.question import Part
from chat.sentence_reading import place_of
from chat.topics import Topic
from chat.verdicts import Verdict, is_one_of_the_18, mentions, verdict
from encoders.abnormalities import ABNORMALITIES

_EITHER = re.compile(r"\bor\b", re.IGNORECASE)
_MORE_THAN = re.compile(r"\bmore\b.*\bthan\b", re.IGNORECASE)
_OF_CASES = re.compile(
    r"\b(?:how many (?:cases|studies|patients|reports) (?:are|were|do)|(?:list|name"
    r"|show)(?: me)?(?: all)?(?: the)? "
    r"(?:cases|studies)$|which (?:cases|studies) (?:are|were) (?:these|those|there|found|retrieved"
    r"|similar))\b",
    re.IGNORECASE,
)

_NORMAL = re.compile(r"(?<!ab)(?<!not )\b(?:normal|unremarkable)\b", re.IGNORECASE)
_SAID_NORMAL = re.compile(
    r"^\W*(?:(?:thora\w+|chest|ct|lung) )*(?:examination|inspection|study|findings?|scan|ct)\b[^,;.]{0,20}"
    r"\b(?:normal|unremarkable)\b|^\W*normal (?:thora\w+|chest|ct|examination)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    case: CaseEvidence
    verdicts: tuple[Verdict, ...]  # one a topic

    def matches(self, topics: Sequence[Topic], *, any_of: bool) -> bool:
        """Whether each topic, or any, is as asked; one of the 18 that is not mentioned counts as absent."""
        return (any if any_of else all)(
            one.status == "absent"
            or (one.status == "silent" and is_one_of_the_18(topic))
            or (one.status == "elsewhere" and topic.limited)
            if topic.denied
            else one.is_there
            for topic, one in zip(topics, self.verdicts, strict=True)
        )

    def quotes(self, cases: Sequence[CaseEvidence]) -> tuple[Quote, ...]:
        """What it rests on."""
        return tuple(quote for one in self.verdicts for quote in few(one.quotes, cases))


def count(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Say in how many cases all topics are as asked, and in which; of "more … than …", of each apart."""
    if _MORE_THAN.search(part.text):
        for topic in part.topics:
            yield from _matching(replace(part, topics=(topic,)), cases, counted=True)
        return
    yield from _matching(part, cases, counted=True)


def which(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Name the cases in which all topics are as asked."""
    yield from _matching(part, cases, counted=False)


def common(part: Part, cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Say which findings all cases have, and in which they differ."""
    if len(cases) < 2:
        yield silent("a comparison needs two cases")
        return
    topics = part.topics or tuple(Topic(name=name, finding=place_of(name)) for name in ABNORMALITIES)
    if part.topics and all(topic.finding is None for topic in part.topics):
        yield from _side_by_side(part.topics, cases)
        return
    only_shared = "common" in part.text.lower() or "share" in part.text.lower()
    judged = {topic: [verdict(case, topic) for case in cases] for topic in topics}
    if all(one.status == "silent" for verdicts in judged.values() for one in verdicts):
        yield silent(f"no report mentions {listed([topic.name.lower() for topic in topics])}")
        return
    shared = [topic for topic in judged if all(one.is_there for one in judged[topic])]
    some = [topic for topic in judged if topic not in shared and any(one.is_there for one in judged[topic])]
    names = [topic.name for topic in shared]
    whole = "both" if len(cases) == 2 else f"all {len(cases)}"
    yield Line(f"In {whole}: {listed(names) if names else 'none of the findings looked for'}.")
    yield from (_told(topic, cases, judged[topic]) for topic in shared)
    if not only_shared:
        yield Line(f"In some only: {listed([topic.name for topic in some]) if some else 'none'}.")
        yield from (_told(topic, cases, judged[topic]) for topic in some)


def _side_by_side(topics: Sequence[Topic], cases: Sequence[CaseEvidence]) -> Iterator[Line]:
    """Quote what each report says of what is no finding, and leave the comparison to the reader."""
    said = [(case, [quote for topic in topics for quote, _, _ in mentions(case, topic)]) for case in cases]
    if not any(quotes for _, quotes in said):
        yield silent(f"no report mentions {listed([topic.name.lower() for topic in topics])}")
        return
    for case, quotes in said:
        yield (
            Line(f"- {case.study}:", few(quotes, cases))
            if quotes
            else Line(f"- {case.study} says nothing of it.")
        )


def _told(topic: Topic, cases: Sequence[CaseEvidence], verdicts: Sequence[Verdict]) -> Line:
    having = [(case, one) for case, one in zip(cases, verdicts, strict=True) if one.is_there]
    names = listed([case.study for case, _ in having])
    return Line(f"- {topic.name} in {names}:", tuple(q for _, one in having for q in one.quotes[:FEW_QUOTES]))


def _said_normal(cases: Sequence[CaseEvidence], *, counted: bool) -> Iterator[Line]:
    """Name the cases whose report calls the whole examination normal; of others nothing is concluded."""
    said = [
        (case, tuple(quote for quote in case.sentences if _SAID_NORMAL.search(quote.text))) for case in cases
    ]
    normal = [(case, quotes) for case, quotes in said if quotes]
    if not normal:
        yield silent("no report calls the examination normal")
        return
    names = listed([case.study for case, _ in normal])
    yield Line(
        f"{len(normal)} of {len(cases)} cases are called normal: {names}."
        if counted
        else f"Called normal: {names}."
    )
    for case, quotes in normal:
        yield Line(f"- {case.study}:", few(quotes, cases))


def _matching(part: Part, cases: Sequence[CaseEvidence], *, counted: bool) -> Iterator[Line]:
    if not part.topics and _NORMAL.search(part.text):
        yield from _said_normal(cases, counted=counted)
        return
    if not part.topics:
        names = listed([case.study for case in cases])
        yield (
            Line(f"{len(cases)} cases: {names}.")
            if _OF_CASES.search(part.text)
            else silent("no finding was named that the cases could be told by")
        )
        return
    judged = [
        _Judged(case=case, verdicts=tuple(verdict(case, topic) for topic in part.topics)) for case in cases
    ]
    for place, topic in enumerate(part.topics):
        if all(one.verdicts[place].status == "silent" for one in judged) and not is_one_of_the_18(topic):
            yield silent(f"the reports do not mention {topic.name.lower()}")
            return
    any_of = bool(_EITHER.search(part.text)) and not any(topic.denied for topic in part.topics)
    matching = [one for one in judged if one.matches(part.topics, any_of=any_of)]
    if not matching and any(
        each.status in ("unclear", "elsewhere") for one in judged for each in one.verdicts
    ):
        yield silent("it is reported, but no report says it as it was asked")
        return
    names = listed([one.case.study for one in matching]) if matching else "none"
    asked = (" or " if any_of else " and ").join(
        ("no " if topic.denied else "") + topic.name.lower() for topic in part.topics
    )
    yield Line(
        f"{len(matching)} of {len(cases)} cases, {asked}: {names}." if counted else f"With {asked}: {names}."
    )
    for one in matching:
        quotes = one.quotes(cases)
        if quotes:
            yield Line(f"- {one.case.study}:", quotes)
