"""Figures on data held out, while a training runs: whether reports find their scans, and prompts findings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from encoders.abnormalities import ABNORMALITIES, DEFAULT_PROMPT, PROMPTS
from encoders.errors import CtsearchError
from retrieval.metrics import auroc, recall_at_k
from training.batches import Batch, Pair, PairCollation
from training.distributed import Place, gather_rows
from training.examples import PairExamples
from training.facts import UNKNOWN, YES, Facts
from training.towers import Encoded, Texts

_AT_ONCE = 8


@dataclass(frozen=True)
class HeldOut:
    """Volumes with reports that nothing is learnt from; every process encodes as many of them."""

    examples: PairExamples
    collation: PairCollation
    place: Place

    @torch.no_grad()
    def __call__(self, towers: nn.Module) -> Mapping[str, float]:
        """Recall of scans by their reports, and zero-shot detection.

        Args:
            towers: `training.towers.Towers`, wrapped or not, in evaluation mode.
        """
        device, asked = self.place.device, self._prompts()
        parts: list[tuple[Tensor, Tensor, Facts]] = []
        prompts = torch.empty(0)
        for batch in self._batches():
            here = batch.part(slice(None), device)
            texts = [Texts(here.report_ids_BT, here.report_mask_BT, ()), asked]
            with self.place.autocast():
                encoded: Encoded = towers(here.volume_BCDHW, here.facts.present_B.to(device), texts)
            reports, prompts = encoded.texts
            parts.append(
                (
                    gather_rows(encoded.volume_BL, self.place),
                    gather_rows(reports, self.place),
                    batch.facts.gathered(self.place),
                )
            )
        volumes, written, facts = zip(*parts, strict=True)
        return _figures(torch.cat(volumes), torch.cat(written), prompts, facts)

    def _batches(self) -> Iterator[Batch]:
        """As many batches on every process; None fills the last ones."""
        ours: list[int | None] = [*range(self.place.rank, len(self.examples), self.place.processes)]
        most = -(-len(self.examples) // self.place.processes)
        ours += [None] * (most - len(ours))
        for start in range(0, most, _AT_ONCE):
            yield self.collation([self._pair(index) for index in ours[start : start + _AT_ONCE]])

    def _pair(self, index: int | None) -> Pair | None:
        if index is None:
            return None
        try:
            return self.examples.load(index, 0)
        except CtsearchError:
            return None

    def _prompts(self) -> Texts:
        pair = PROMPTS[DEFAULT_PROMPT]
        words = [template.format(name) for template in (pair.present, pair.absent) for name in ABNORMALITIES]
        tokens = self.collation.tokenizer.tokenise(words, self.collation.max_tokens)
        ids, mask = (torch.from_numpy(t).to(self.place.device) for t in (tokens.token_ids, tokens.mask))
        return Texts(ids, mask, ())


def _figures(volume: Tensor, report: Tensor, prompt: Tensor, parts: Sequence[Facts]) -> dict[str, float]:
    present = torch.cat([part.present_B for part in parts])
    study = torch.cat([part.study_B for part in parts])[present].cpu().numpy()
    labels = torch.cat([part.labels_BC for part in parts])[present].cpu().numpy()
    volumes, reports, prompts = (t.cpu().numpy() for t in (volume[present], report[present], prompt))
    _, first = np.unique(study, return_index=True)  # a study's report is asked for once
    similarity = reports[first] @ volumes.T
    scores = volumes @ (prompts[: len(ABNORMALITIES)] - prompts[len(ABNORMALITIES) :]).T
    areas = [
        auroc(scores[known, i], labels[known, i] == YES)
        for i in range(len(ABNORMALITIES))
        if (known := labels[:, i] != UNKNOWN).any()
    ]
    areas = [area for area in areas if not np.isnan(area)]
    figures = {f"recall_{k}": recall_at_k(similarity, study[first], study, k) for k in (5, 10)}
    return figures | ({"zero_shot_auroc": float(np.mean(areas))} if areas else {})
