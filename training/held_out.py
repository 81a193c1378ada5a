"""Figures on data held out, while a training runs: whether reports find their scans, and prompts findings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from encoders.abnormalities import ABNORMALITIES, DEFAULT_PROMPT, PROMPTS
from encoders.ct_clip import CtClip
from encoders.errors import CtsearchError
from retrieval.metrics import auroc, recall_at_k
from training.batches import Batch, Pair, PairCollation
from training.distributed import Place, gather_rows
from training.examples import PairExamples
from training.facts import UNKNOWN, YES, Facts

_AT_ONCE = 8


@dataclass(frozen=True)
class HeldOut:
    """Volumes with reports that nothing is learnt from; every process encodes as many of them."""

    examples: PairExamples
    collation: PairCollation
    place: Place

    @torch.no_grad()
    def __call__(self, model: CtClip, step: int) -> Mapping[str, float]:  # noqa: ARG002 - the loop tells it
        """Recall of scans by their reports, and zero-shot detection, of a model in evaluation mode."""
        volumes, reports, facts = [], [], []
        for batch in self._batches():
            here = batch.part(slice(None), self.place.device)
            with self.place.autocast():
                volumes.append(gather_rows(model.volume_latents(here.volume_BCDHW).float(), self.place))
                texts = model.report_latents(here.report_ids_BT, here.report_mask_BT)
                reports.append(gather_rows(texts.float(), self.place))
            facts.append(batch.facts.gathered(self.place))
        prompts = self._prompts(model)
        return _figures(torch.cat(volumes), torch.cat(reports), prompts, facts)

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

    def _prompts(self, model: CtClip) -> Tensor:
        pair = PROMPTS[DEFAULT_PROMPT]
        texts = [template.format(name) for template in (pair.present, pair.absent) for name in ABNORMALITIES]
        tokens = self.collation.tokenizer.tokenise(texts, self.collation.max_tokens)
        ids, mask = (torch.from_numpy(t).to(self.place.device) for t in (tokens.token_ids, tokens.mask))
        return model.report_latents(ids, mask).float()


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
