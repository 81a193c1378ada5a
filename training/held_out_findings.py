"""How well findings are told on data held out, while a supervised training runs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from encoders.errors import CtsearchError
from retrieval.metrics import auroc
from training.batches import Pair
from training.distributed import Place, gather_rows
from training.examples import PairExamples
from training.labelled import LabelCollation, LabelledBatch

_AT_ONCE = 8


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
        for batch in self._batches():
            here = batch.part(slice(None), self.place.device)
            scores.append(gather_rows(score(here).float(), self.place))
            present.append(gather_rows(here.present_BC.long(), self.place))
            known.append(gather_rows(here.known_BC.long(), self.place))
        score_NC, present_NC, known_NC = (torch.cat(of).cpu().numpy() for of in (scores, present, known))
        areas = [
            auroc(score_NC[rows, column], present_NC[rows, column] == 1)
            for column in range(score_NC.shape[1])
            if (rows := known_NC[:, column] == 1).any()
        ]
        found = [area for area in areas if not np.isnan(area)]
        return {"auroc": float(np.mean(found))} if found else {}

    def _batches(self) -> Iterator[LabelledBatch]:
        """As many batches on every process; None fills the last ones."""
        ours: list[int | None] = [*range(self.place.rank, len(self.examples), self.place.processes)]
        most = -(-len(self.examples) // self.place.processes)
        ours += [None] * (most - len(ours))
        for start in range(0, most, _AT_ONCE):
            yield self.collation([self._load(index) for index in ours[start : start + _AT_ONCE]])

    def _load(self, index: int | None) -> Pair | None:
        if index is None:
            return None
        try:
            return self.examples.load(index, 0)
        except CtsearchError:
            return None
