"""How well findings are told on data held out, while a supervised training runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from training.distributed import Place, gather_rows
from training.examples import PairExamples
from training.labelled import LabelCollation, LabelledBatch
from training.unseen import mean_auroc, unseen_batches


@dataclass(frozen=True)
class HeldOutFindings:
    """Labelled volumes that nothing is learnt from; every process scores as many of them."""

    examples: PairExamples
    collation: LabelCollation
    place: Place

    @torch.no_grad()
    def __call__(self, score: Callable[[LabelledBatch], Tensor]) -> Mapping[str, float]:
        """Return the mean AUROC over the findings that are known to be present in some and absent in others.

        Args:
            score: of a batch, (B, 18), the higher the likelier; the model is in evaluation mode.
        """
        scores, present, known = [], [], []
        for batch in unseen_batches(self.examples, self.collation, self.place):
            here = batch.part(slice(None), self.place.device)
            scores.append(gather_rows(score(here).float(), self.place))
            present.append(gather_rows(here.present_BC.long(), self.place))
            known.append(gather_rows(here.known_BC.long(), self.place))
        score_NC, present_NC, known_NC = (torch.cat(of).cpu().numpy() for of in (scores, present, known))
        area = mean_auroc(score_NC, present_NC == 1, known_NC == 1)
        return {} if area is None else {"auroc": area}
