"""Cases whose labels nobody gave get them from their reports; what was given is never replaced."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from encoders.abnormalities import ABNORMALITIES
from encoders.report_labels import LabelExtractor
from retrieval.cases import Case
from retrieval.report_table import text_of


def with_extracted_labels(cases: Sequence[Case], extractor: LabelExtractor) -> list[Case]:
    """Return the cases with labels of the source "extractor" where labels are missing.

    Args:
        cases: those without a report, and those that have all 18 labels, stay as they are.
        extractor: reads all reports of a case together.

    Returns:
        The cases in their order; one that has some of its labels is followed by another of the same study
        that has the others, and neither volumes nor reports, for a case has labels of one source.
    """
    texts = {place: _text(case) for place, case in enumerate(cases) if len(case.labels) < len(ABNORMALITIES)}
    asked = [place for place, text in texts.items() if text]
    found = dict(zip(asked, extractor.label_reports([texts[place] for place in asked]), strict=True))
    return [
        one
        for place, case in enumerate(cases)
        for one in (_labelled(case, found[place].tolist()) if place in found else [case])
    ]


def _text(case: Case) -> str:
    return "\n".join(text for text in map(text_of, case.reports) if text)


def _labelled(case: Case, present: Sequence[bool]) -> Iterator[Case]:
    missing = {
        name: value for name, value in zip(ABNORMALITIES, present, strict=True) if name not in case.labels
    }
    if not case.labels:
        yield replace(case, labels=missing, label_source="extractor")
        return
    yield case
    yield replace(case, volumes=(), reports=(), identity={}, labels=missing, label_source="extractor")
