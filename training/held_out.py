"""Figures on data held out, while a training runs: whether reports find their scans, and prompts findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from encoders.abnormalities import ABNORMALITIES
from retrieval.metrics import recall_at_k
from training.batches import PairCollation, prompt_tokens
from training.distributed import Place, gather_rows
from training.examples import PairExamples
from training.facts import UNKNOWN, YES, Facts
from training.towers import Encoded, Texts
from training.unseen import mean_auroc, unseen_batches


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
        for batch in unseen_batches(self.examples, self.collation, self.place):
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

    def _prompts(self) -> Texts:
        tokens = prompt_tokens(self.collation.tokenizer, self.collation.max_tokens)
        return Texts(tokens.ids_PT.to(self.place.device), tokens.mask_PT.to(self.place.device), ())


def _figures(volume: Tensor, report: Tensor, prompt: Tensor, parts: Sequence[Facts]) -> dict[str, float]:
    present = torch.cat([part.present_B for part in parts])
    study = torch.cat([part.study_B for part in parts])[present].cpu().numpy()
    labels = torch.cat([part.labels_BC for part in parts])[present].cpu().numpy()
    volumes, reports, prompts = (t.cpu().numpy() for t in (volume[present], report[present], prompt))
    _, first = np.unique(study, return_index=True)  # a study's report is asked for once
    similarity = reports[first] @ volumes.T
    scores = volumes @ (prompts[: len(ABNORMALITIES)] - prompts[len(ABNORMALITIES) :]).T
    area = mean_auroc(scores, labels == YES, labels != UNKNOWN)
    figures = {f"recall_{k}": recall_at_k(similarity, study[first], study, k) for k in (5, 10)}
    return figures | ({} if area is None else {"zero_shot_auroc": area})
