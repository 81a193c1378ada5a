"""What a report says for certain: of the 18 findings, where they lie, which disorders its impression names.

A finding is present where a sentence affirms it in words that mean nothing else, and absent where no word of
the report so much as hints at it. Between the two lies everything that nobody should be asked about: what is
thought possible, affirmed here and denied there, or named by words that may mean something else.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from chat.disorders import named_disorders
from chat.finding_words import Said, narrow, stemmed, wide
from chat.locations import Place, lobes, places
from encoders.abnormalities import ABNORMALITIES
from encoders.sentences import SEARCHED_SECTIONS, Sentence, split_report
from encoders.statements import stems
from retrieval.cases import Report

LOCATED = (  # of these a place in the lungs says something
    "Emphysema",
    "Atelectasis",
    "Lung nodule",
    "Lung opacity",
    "Pulmonary fibrotic sequela",
    "Mosaic attenuation pattern",
    "Peribronchial thickening",
    "Consolidation",
    "Bronchiectasis",
    "Interlobular septal thickening",
)

_PARTLY = re.compile(  # what follows is said of some only, of another time, or of what is well
    r"\b(?:largest|biggest|bigger|larger|largely|especially|particularly|prominent\w*|dominant\w*|mainly|mostly"
    r"|predominant\w*|weighted|most|some|one of|others?|previous\w*|prior|old|earlier|regress\w*"
    r"|decreas\w*|disappear\w*|resol\w*|operat\w*|same|described|mentioned|normal|natural|clear"
    r"|preserved|open|unremarkable)\b",
    re.IGNORECASE,
)
_OF_THE_PAST = re.compile(  # what is affirmed may have been there then
    r"\b(?:previous\w*|prior|old|earlier|disappear\w*|removed|regress\w*|resol\w*|cannot be made)\b",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"[,;:()]|\b(?:and|with|also|including|accompanied|causing)\b", re.IGNORECASE)
_SAYS_NOTHING = re.compile(
    r"(?:there|is|are|was|were|been|has|have|observed|seen|present|detected|noted|found|located|in|at|on|of|the"
    r"|a|an|areas?|foci|scattered|both|which|that|visible|draw|attention|level|\W)*",
    re.IGNORECASE,
)
_SPEAKS_OF_PLACE = re.compile(
    r"\b(?:left|right|bilateral\w*|both|lobes?|lingul\w*|segments?|apex|apices|apical|basal|zones?)\b",
    re.IGNORECASE,
)
_SIDE_WORD = re.compile(r"\b(?:left|right|bilateral\w*|both)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Located:
    """A finding and the words of place that one sentence gives for it; the lobes where they are clear."""

    finding: str
    place: str
    lobes: frozenset[str] | None
    section: str
    sentence: int  # from 1 within the section


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFacts:
    """What is certain of one study's report."""

    present: tuple[str, ...]  # in the order of ABNORMALITIES, as is `absent`
    absent: tuple[str, ...]
    located: tuple[Located, ...]
    unplaced: frozenset[str]  # findings of which some sentence tells a place that could not be read
    disorders: tuple[str, ...]  # named without doubt
    possible_disorders: tuple[str, ...]  # thought possible


def read_facts(report: Report, known: Mapping[str, bool] | None = None) -> ReportFacts:
    """Read what a report says for certain.

    Args:
        report: findings and impression are read; neither given, nothing is certain.
        known: labels that the source has; what they contradict is not certain.
    """
    sentences = [one for one in split_report(report) if one.section in SEARCHED_SECTIONS]
    labels = known or {}
    affirmed, hedged, denied, hinted = Said(), Said(), Said(), Said()
    for sentence in sentences:
        if not _OF_THE_PAST.search(sentence.text):
            affirmed.add(narrow(), stemmed(sentence.said.affirmed))
        hedged.add(narrow(), stemmed(sentence.said.hedged))
        denied.add(narrow(), stemmed(sentence.said.denied))
        hinted.add(wide(), stemmed(sentence.said.affirmed))
        hinted.add(wide(), stemmed(sentence.said.hedged))
    sure = affirmed.near - hedged.anywhere - denied.anywhere
    silent = set(ABNORMALITIES) - hinted.anywhere - affirmed.anywhere if sentences else set()
    present = {name for name in sure if labels.get(name, True)}
    named = dict(named_disorders(sentences))
    return ReportFacts(
        present=tuple(name for name in ABNORMALITIES if name in present),
        absent=tuple(name for name in ABNORMALITIES if name in silent and not labels.get(name, False)),
        located=(located := tuple(one for one in _located(sentences) if one.finding in present)),
        unplaced=frozenset(_unplaced(sentences, located)),
        disorders=tuple(name for name, possible in named.items() if not possible),
        possible_disorders=tuple(name for name, possible in named.items() if possible),
    )


def _located(sentences: Iterable[Sentence]) -> Iterator[Located]:
    for sentence in sentences:
        if sentence.said.hedged or sentence.said.denied or _PARTLY.search(sentence.text):
            continue
        found = places(sentence.text)
        if len(found) != 1 or not (_SIDE_WORD.search(found[0].text) or lobes(found[0].text)):
            continue
        text, place = sentence.text, found[0]
        if _SIDE_WORD.search(text[: place.start] + text[place.end :]):
            continue
        for finding in _findings_at(text, place):
            yield Located(finding, place.text, lobes(place.text), sentence.section, sentence.ordinal)


def _unplaced(sentences: Iterable[Sentence], located: Iterable[Located]) -> Iterator[str]:
    """Yield the findings of sentences that speak of a side or lobe without `_located` having read it."""
    placed = {(one.section, one.sentence, one.finding) for one in located}
    for sentence in sentences:
        if not _SPEAKS_OF_PLACE.search(sentence.text):
            continue
        said = Said()
        said.add(wide(), stemmed(sentence.said.affirmed))
        said.add(wide(), stemmed(sentence.said.hedged))
        for name in said.anywhere & set(LOCATED):
            if (sentence.section, sentence.ordinal, name) not in placed:
                yield name


def _findings_at(text: str, place: Place) -> list[str]:
    """Return the findings that stand with a place: those of the piece of the sentence next to it."""
    before = text[: place.start]
    cut = max((match.end() for match in _SEPARATOR.finditer(before)), default=0)
    after = text[place.end :]
    end = _SEPARATOR.search(after)
    pieces = [before[cut:], after[: end.start()] if end else after]
    near = [name for piece in pieces for name in _named(piece)]
    everywhere = _named(text)
    if not near and all(_SAYS_NOTHING.fullmatch(piece) for piece in pieces):
        near = everywhere if len(everywhere) == 1 else []
    return [name for name in dict.fromkeys(near) if name in LOCATED]


def _named(text: str) -> list[str]:
    said = Said()
    said.add(narrow(), stems(text))
    return sorted(said.near)
