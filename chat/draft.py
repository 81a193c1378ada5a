"""Lines of a draft, and how they cite: “sentence” [STUDY section N]."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chat.evidence import CaseEvidence, Quote

NOT_IN_CASES = "That is not in these cases"
"""How every refusal begins, whoever drafts it."""
MOST_QUOTES = 8  # of one case in one line
FEW_QUOTES = 3  # where many cases are listed
_MANY = 3  # cases


@dataclass(frozen=True, slots=True)
class Line:
    """A statement, and the sentences that it rests on."""

    text: str
    quotes: tuple[Quote, ...] = ()


def silent(reason: str) -> Line:
    """Return a refusal, with its reason."""
    return Line(f"{NOT_IN_CASES}: {reason}.")


def written(line: Line) -> str:
    """Return a line as text, its quotes with their citations."""
    return " ".join((line.text, *(cited(quote) for quote in line.quotes)))


def cited(quote: Quote) -> str:
    """Return a sentence in quotation marks with where it stands."""
    return f"“{quote.text}” {citation(quote)}"


def citation(quote: Quote) -> str:
    """Return where a sentence stands, as answers write it."""
    return f"[{quote.study} {quote.section} {quote.sentence}]"


def few(quotes: Iterable[Quote], cases: Sequence[CaseEvidence]) -> tuple[Quote, ...]:
    """Return distinct sentences, fewer of each case where there are many cases."""
    distinct = tuple(dict.fromkeys(quotes))
    return distinct[: MOST_QUOTES if len(cases) < _MANY else FEW_QUOTES]


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
