"""Which sentences of the cases a question needs, within a budget of tokens: what a language model may see."""

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

from chat.evidence import CaseEvidence, Quote
from chat.question import understand
from chat.scope import asked_cases, names_of
from chat.sentence_reading import read_sentence
from chat.verdicts import mentions

TOKEN_BUDGET = 3000  # of sentences; a model of 8,192 keeps room for the question, history and answer
_TOKENS_A_WORD = 1.6  # radiology in a BPE vocabulary, rounded up
_TOKENS_A_CITATION = 16


def pick_sentences(
    question: str, cases: Sequence[CaseEvidence], *, budget_tokens: int = TOKEN_BUDGET
) -> tuple[Quote, ...]:
    """Return the sentences a question picks, in the order of the reports.

    First what speaks of its topics, affirmed or denied; then impressions; then what else is affirmed. Within
    each, cases take turns, so that the budget is no first case's alone.

    Args:
        question: as typed.
        cases: in their order.
        budget_tokens: how much may be picked.
    """
    picked: dict[Quote, None] = {}
    left = budget_tokens
    for quote in _by_need(question, cases):
        if quote in picked:
            continue
        left -= _tokens(quote)
        if left < 0:
            break
        picked[quote] = None
    return tuple(quote for case in cases for quote in case.sentences if quote in picked)


def _by_need(question: str, cases: Sequence[CaseEvidence]) -> Iterator[Quote]:
    parts = understand(question, names=names_of(cases))
    for part in parts:
        scope = asked_cases(part.text, cases).cases
        for topic in part.topics:
            yield from _in_turn([[quote for quote, _, _ in mentions(case, topic)] for case in scope])
    impressions = [[quote for quote in case.sentences if quote.section == "impression"] for case in cases]
    affirmed = [[q for q in case.sentences if any(read_sentence(q.text).findings[:2])] for case in cases]
    yield from (quote for quote in _in_turn(impressions) if read_sentence(quote.text).words)
    yield from _in_turn(affirmed)


def _in_turn(of_cases: Sequence[Sequence[Quote]]) -> Iterator[Quote]:
    return (quote for quote in chain.from_iterable(zip_longest(*of_cases)) if quote is not None)


def _tokens(quote: Quote) -> int:
    return int(len(quote.text.split()) * _TOKENS_A_WORD) + _TOKENS_A_CITATION
