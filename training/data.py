"""What a model learns from: pairs of a volume and what is said of it, gathered into batches."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.abnormalities import ABNORMALITIES, PROMPTS
from encoders.reports import ReportSections, ReportTokenizer
from retrieval.datasets.phantom.report import Statement


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


@dataclass(frozen=True, slots=True)
class Pair:
    """One volume with its report, a short text about it, and its labels (18 of True or False)."""

    volume_DHW: NDArray[np.float32]
    report: ReportSections
    short: ShortText
    labels: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Batch:
    """B pairs as tensors; the `matches` are those of `contrastive_loss`, labels in CT-RATE's order."""

    volume_BCDHW: Tensor
    report_ids_BT: Tensor
    report_mask_BT: Tensor
    report_matches_BB: Tensor
    short_ids_BT: Tensor
    short_mask_BT: Tensor
    short_matches_BB: Tensor
    labels_BC: Tensor


class Pairs(Protocol):
    """Where pairs come from."""

    def __len__(self) -> int:
        """How many there are."""

    def pair(self, index: int, epoch: int) -> Pair:
        """One of them; what is random in it, the epoch and the index decide."""


def short_text(
    statements: Sequence[Statement], labels: dict[str, bool], rng: np.random.Generator
) -> ShortText:
    """Choose what a short text says: some sentences of the report, or a prompt about one abnormality.

    The prompts teach negation, which whole reports hardly do: they deny most things most of the time.
    """
    if rng.random() < 0.4:
        return _prompt(labels, rng)
    about = [s for s in statements if s.says]
    telling = [s for s in about if s.says[0][1]]
    pool = telling if telling and rng.random() < 0.75 else about or list(statements)
    count = min(len(pool), int(rng.integers(1, 4)))
    chosen = [pool[i] for i in rng.choice(len(pool), size=count, replace=False)]
    says = tuple(pair for s in chosen for pair in s.says)
    only_denies = bool(says) and not any(affirmed for _, affirmed in says)
    return ShortText(" ".join(s.text for s in chosen), says if only_denies else None)


def _prompt(labels: dict[str, bool], rng: np.random.Generator) -> ShortText:
    """A sentence that truthfully affirms or denies one abnormality; half of them affirm."""
    wanted = rng.random() < 0.5
    names = [name for name, present in labels.items() if present == wanted] or list(labels)
    name = names[int(rng.integers(len(names)))]
    pairs = list(PROMPTS.values())
    pair = pairs[int(rng.integers(len(pairs)))]
    template = pair.present if labels[name] else pair.absent
    return ShortText(template.format(name), ((name, labels[name]),))


def gather(pairs: Sequence[Pair], tokenizer: ReportTokenizer, max_tokens: int) -> Batch:
    """Put pairs into one batch.

    Args:
        pairs: B of them.
        tokenizer: of the report tower.
        max_tokens: the longest text the tower takes.
    """
    reports = tokenizer.tokenise([pair.report for pair in pairs], max_tokens)
    shorts = tokenizer.tokenise([pair.short.text for pair in pairs], max_tokens)
    return Batch(
        volume_BCDHW=torch.from_numpy(np.stack([pair.volume_DHW for pair in pairs])[:, None]),
        report_ids_BT=torch.from_numpy(reports.token_ids),
        report_mask_BT=torch.from_numpy(reports.mask),
        report_matches_BB=_same([pair.report.text for pair in pairs]),
        short_ids_BT=torch.from_numpy(shorts.token_ids),
        short_mask_BT=torch.from_numpy(shorts.mask),
        short_matches_BB=_true_of(pairs),
        labels_BC=torch.from_numpy(np.stack([pair.labels for pair in pairs])),
    )


def _same(texts: Sequence[str]) -> Tensor:
    return torch.tensor([[one == other for other in texts] for one in texts])


def _true_of(pairs: Sequence[Pair]) -> Tensor:
    """Of which volumes (columns) each short text (row) is true."""
    matches = np.eye(len(pairs), dtype=bool)
    labels = np.stack([pair.labels for pair in pairs])
    for row, pair in enumerate(pairs):
        if pair.short.says is not None:
            said = [labels[:, ABNORMALITIES.index(name)] == present for name, present in pair.short.says]
            matches[row] |= np.logical_and.reduce(said)
    return torch.from_numpy(matches)


def batches(
    pairs: Pairs, tokenizer: ReportTokenizer, *, batch_size: int, max_tokens: int, seed: int
) -> Iterator[Batch]:
    """Yield full batches for ever, epoch after epoch, in an order that the seed alone decides."""
    for epoch in itertools.count():
        order = np.random.default_rng([seed, epoch]).permutation(len(pairs))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            chosen = [pairs.pair(int(index), epoch) for index in order[start : start + batch_size]]
            yield gather(chosen, tokenizer, max_tokens)


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """The 18 affirming sentences of one pair of templates, then the 18 denying ones, as token ids (36, T)."""

    ids_PT: Tensor
    mask_PT: Tensor


def prompt_tokens(tokenizer: ReportTokenizer, max_tokens: int) -> list[PromptTokens]:
    """The prompts of every pair of templates."""
    found = []
    for pair in PROMPTS.values():
        texts = [template.format(name) for template in (pair.present, pair.absent) for name in ABNORMALITIES]
        tokens = tokenizer.tokenise(texts, max_tokens)
        found.append(PromptTokens(torch.from_numpy(tokens.token_ids), torch.from_numpy(tokens.mask)))
    return found
