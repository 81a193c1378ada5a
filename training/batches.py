"""Pairs of a volume and what is said of it, put into batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.abnormalities import ABNORMALITIES, DEFAULT_PROMPT, PROMPTS
from encoders.config import VolumeGrid
from encoders.reports import ReportSections, ReportTokenizer
from training.facts import Facts, as_row, digest_of
from training.short_texts import ShortText


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One volume with its report, a short text about it, and the labels that are known of it."""

    volume_DHW: NDArray[np.float32]
    study: str
    report: ReportSections
    short: ShortText
    labels: Mapping[str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """B pairs as tensors."""

    volume_BCDHW: Tensor
    report_ids_BT: Tensor
    report_mask_BT: Tensor
    short_ids_BT: Tensor
    short_mask_BT: Tensor
    facts: Facts

    def __len__(self) -> int:
        return len(self.volume_BCDHW)

    def part(self, rows: slice, device: torch.device) -> "Batch":
        """Some of the pairs, on a device."""
        tensors = {
            f.name: getattr(self, f.name)[rows].to(device, non_blocking=True)
            for f in fields(self)
            if f.name != "facts"
        }
        return Batch(facts=self.facts.at(torch.arange(len(self))[rows]), **tensors)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCollation:
    """Makes batches of pairs; where one could not be read there are an empty volume and empty texts."""

    tokenizer: ReportTokenizer
    max_tokens: int
    grid: VolumeGrid

    def __call__(self, pairs: Sequence[Pair | None]) -> Batch:
        """Put pairs into one batch; None stands for one that could not be read."""
        whole = [self._nothing() if pair is None else pair for pair in pairs]
        reports = self.tokenizer.tokenise([pair.report for pair in whole], self.max_tokens)
        shorts = self.tokenizer.tokenise([pair.short.text for pair in whole], self.max_tokens)
        says = [dict(pair.short.says or ()) for pair in whole]
        return Batch(
            volume_BCDHW=torch.from_numpy(np.stack([pair.volume_DHW for pair in whole])[:, None]),
            report_ids_BT=torch.from_numpy(reports.token_ids),
            report_mask_BT=torch.from_numpy(reports.mask),
            short_ids_BT=torch.from_numpy(shorts.token_ids),
            short_mask_BT=torch.from_numpy(shorts.mask),
            facts=Facts(
                present_B=torch.tensor([pair is not None for pair in pairs]),
                study_B=torch.tensor([digest_of(pair.study) for pair in whole]),
                report_B=torch.tensor([digest_of(pair.report.text) for pair in whole]),
                labels_BC=torch.tensor([as_row(pair.labels) for pair in whole]),
                says_BC=torch.tensor([as_row(said) for said in says]),
                general_B=torch.tensor([pair.short.says is not None for pair in whole]),
            ),
        )

    def _nothing(self) -> Pair:
        empty = np.full(self.grid.shape, -1, np.float32)
        return Pair(volume_DHW=empty, study="", report=ReportSections(), short=ShortText("", None), labels={})


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """The 18 affirming sentences of one pair of templates, then the 18 denying ones, as token ids (36, T)."""

    ids_PT: Tensor
    mask_PT: Tensor


def prompt_tokens(tokenizer: ReportTokenizer, max_tokens: int, prompt: str = DEFAULT_PROMPT) -> PromptTokens:
    """The prompts of one pair of templates, by its name in `encoders.abnormalities.PROMPTS`."""
    pair = PROMPTS[prompt]
    texts = [template.format(name) for template in (pair.present, pair.absent) for name in ABNORMALITIES]
    tokens = tokenizer.tokenise(texts, max_tokens)
    return PromptTokens(torch.from_numpy(tokens.token_ids), torch.from_numpy(tokens.mask))
