"""Short texts about a scan, beside its whole report: some of its sentences, or a prompt about one finding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from encoders.abnormalities import PROMPTS
from encoders.reports import ReportSections
from encoders.sentences import split_report
from retrieval.cases import Report
from retrieval.datasets.phantom.report import Statement

_PROMPTS_SHARE = 0.4
_TELLING_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class ShortText:
    """A sentence or a few, and of which scans they are true.

    Attributes:
        text: the words.
        says: the abnormalities it affirms or denies; None when it says more than that (a size, a lobe) and
            so is taken to be true of its own scan alone.
    """

    text: str
    says: tuple[tuple[str, bool], ...] | None


def short_text(
    statements: Sequence[Statement], labels: Mapping[str, bool], rng: np.random.Generator
) -> ShortText:
    """Choose what a short text says: some sentences of the report, or a prompt about one abnormality.

    The prompts teach negation, which whole reports hardly do: they deny most things most of the time.

    Args:
        statements: of the report.
        labels: those that are known.
        rng: what is chosen.
    """
    if labels and (not statements or rng.random() < _PROMPTS_SHARE):
        return _prompt(labels, rng)
    if not statements:
        return ShortText("", None)
    about = [s for s in statements if s.says]
    telling = [s for s in about if s.says[0][1]]
    pool = telling if telling and rng.random() < _TELLING_SHARE else about or list(statements)
    count = min(len(pool), int(rng.integers(1, 4)))
    chosen = [pool[i] for i in rng.choice(len(pool), size=count, replace=False)]
    says = tuple(pair for s in chosen for pair in s.says)
    only_denies = bool(says) and not any(affirmed for _, affirmed in says)
    return ShortText(" ".join(s.text for s in chosen), says if only_denies else None)


def report_statements(report: ReportSections) -> tuple[Statement, ...]:
    """The sentences of a real report that affirm something.

    What they say of the abnormalities is not known. A denial is left out: it would be true of most other
    scans too, which nobody could tell.
    """
    sections = Report(name="", findings=report.findings, impression=report.impression)
    return tuple(Statement(sentence.text) for sentence in split_report(sections) if not sentence.negated)


def _prompt(labels: Mapping[str, bool], rng: np.random.Generator) -> ShortText:
    """A sentence that truthfully affirms or denies one abnormality; half of them affirm."""
    wanted = rng.random() < 0.5
    names = [name for name, present in labels.items() if present == wanted] or list(labels)
    name = names[int(rng.integers(len(names)))]
    pairs = list(PROMPTS.values())
    pair = pairs[int(rng.integers(len(pairs)))]
    template = pair.present if labels[name] else pair.absent
    return ShortText(template.format(name), ((name, labels[name]),))
