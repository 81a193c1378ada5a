"""ClassFine and CT-Net: a logit a finding, and a loss in which both kinds of a finding weigh the same."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from encoders.codebook import CodebookTotals
from encoders.ct_clip import CtClip
from encoders.ct_net import CtNet
from encoders.errors import ConfigError
from training.distributed import Place, exchanging, sum_over_processes, wrap
from training.dropout import each_row, seeds_of
from training.finding_losses import weighted_terms
from training.held_out_findings import HeldOutFindings
from training.labelled import LabelledBatch
from training.objective import ParameterGroup, chunks_of
from training.supervised_runs import ClassFineRun, CtNetRun
from training.towers import (
    is_trained,
    layers_of,
    move_codebook,
    quantised_tokens,
    recompute_activations,
)
from training.vocabfine import decaying_groups


class Scored(NamedTuple):
    """Logits (B, 18), and what the codebook learns of the volumes."""

    logits_BC: Tensor
    totals: CodebookTotals | None


class HeadedTower(nn.Module):
    """What ClassFine trains of a CT-CLIP: volume tower, projection and head; or the head alone."""

    def __init__(self, model: CtClip) -> None:
        super().__init__()
        self.volume_tower = model.volume_tower
        self.volume_projection = model.volume_projection
        self.class_head = model.class_head
        self._whole = (model,)  # in a tuple, so that it is no part of this module

    def forward(self, volume_BCDHW: Tensor, read_B: Tensor, seeds: Sequence[int]) -> Scored:
        """Score volumes; `seeds` are those of their dropout, `read_B` is False where there is none."""
        model = self._whole[0]
        learns = is_trained(self.volume_tower)
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            tokens, totals = quantised_tokens(self.volume_tower, volume_BCDHW, read_B)
            latent_BL = model.project_tokens(tokens).float()
        return Scored(each_row(model.logits_of, latent_BL, seeds), totals)

    def blocks(self) -> list[nn.Module]:
        """What FSDP2 gathers apart."""
        layers = layers_of(self.volume_tower)
        return layers if self.volume_projection is None else [*layers, self.volume_projection]


class WholeNet(nn.Module):
    """CT-Net with dropout by sample."""

    def __init__(self, model: CtNet) -> None:
        super().__init__()
        self.net = model

    def forward(self, volume_BCDHW: Tensor, read_B: Tensor, seeds: Sequence[int]) -> Scored:  # noqa: ARG002
        """Score volumes."""
        reduced_BR = self.net.reduced(volume_BCDHW).float()
        return Scored(
            each_row(lambda row: self.net.logits_of_features(self.net.features_of(row)), reduced_BR, seeds),
            None,
        )

    def blocks(self) -> list[nn.Module]:
        """What FSDP2 gathers apart: nothing, the net is small."""
        return []


class SupervisedObjective:
    """ClassFine or CT-Net as the loop sees it.

    CT-Net's BatchNorm takes the statistics of one chunk on one process, as its published training did: of all
    trainings here it is the one whose result depends on how a batch is divided. What it remembers of them is
    averaged over the processes.
    """

    def __init__(
        self,
        model: CtClip | CtNet,
        positive_weight_C: Tensor,
        run: ClassFineRun | CtNetRun,
        place: Place,
        held_out: HeldOutFindings | None = None,
    ) -> None:
        """Say what learns.

        Args:
            model: changed; a CT-CLIP with a head, or a CT-Net.
            positive_weight_C: see `training.finding_losses.positive_weights`.
            run: every number.
            place: of this process.
            held_out: what the model is evaluated on.

        Raises:
            ConfigError: a CT-CLIP has no head.
        """
        self.model, self.run, self.place, self.held_out = model, run, place, held_out
        if isinstance(model, CtClip):
            _let_learn(model, run)
            if run.recompute:
                recompute_activations(model)
        module = HeadedTower(model) if isinstance(model, CtClip) else WholeNet(model)
        self._positive_weight_C = positive_weight_C.to(place.device)
        self._module = wrap(module, place, blocks=module.blocks())
        self._totals: list[CodebookTotals] = []

    def parameter_groups(self) -> list[ParameterGroup]:
        """Matrices, which decay, and the rest, which does not."""
        return decaying_groups(self.model, self.run)

    def backward(self, batch: LabelledBatch, step: int) -> Mapping[str, float]:
        """Leave the gradient of the whole batch's loss."""
        self._totals.clear()
        known = batch.known_BC.sum().to(self.place.device, torch.float32)
        counted = max(float(sum_over_processes(known, self.place)), 1)
        summed = torch.zeros((), device=self.place.device)
        for chunk in chunks_of(len(batch), self.run.chunk_size):
            with exchanging(self._module, last=chunk.stop == len(batch)):
                terms = self._loss_sum(batch, chunk, step)
                (terms * self.place.processes / counted).backward()  # type: ignore[no-untyped-call]
            summed += terms.detach()
        return {"loss": float(sum_over_processes(summed, self.place)) / counted}

    def finish_step(self) -> None:
        """Codebook rows follow their tokens; BatchNorm's memory becomes that of all processes."""
        if isinstance(self.model, CtNet):
            _average_statistics(self.model, self.place)
        else:
            move_codebook(self.model, self._totals, self.place)

    def evaluate(self, step: int) -> Mapping[str, float]:  # noqa: ARG002 - the loop's
        """Detection on data held out, if there is any."""
        return {} if self.held_out is None else self.held_out(self._scores)

    def _scores(self, batch: LabelledBatch) -> Tensor:
        scored: Scored = self._module(batch.volume_BCDHW, batch.read_B, range(len(batch)))
        return scored.logits_BC

    def _loss_sum(self, batch: LabelledBatch, chunk: slice, step: int) -> Tensor:
        part = batch.part(chunk, self.place.device)
        first = self.place.rank * len(batch)
        places = range(first + chunk.start, first + chunk.stop)
        seeds = seeds_of(self.run.seed, step, "head", places)
        with self.place.autocast():
            scored: Scored = self._module(part.volume_BCDHW, part.read_B, seeds)
        if scored.totals is not None:
            self._totals.append(scored.totals)
        summed, _ = weighted_terms(
            scored.logits_BC.float(), part.present_BC, part.known_BC, self._positive_weight_C
        )
        return summed


def _let_learn(model: CtClip, run: ClassFineRun | CtNetRun) -> None:
    if model.class_head is None or not isinstance(run, ClassFineRun):
        raise ConfigError("ClassFine trains a head, and this model has none; give it one first")
    learning: list[nn.Module] = [model.class_head]
    if run.trains == "all":
        learning += [part for part in (model.volume_tower, model.volume_projection) if part is not None]
    model.requires_grad_(False)
    for part in learning:
        part.requires_grad_(True)


@torch.no_grad()
def _average_statistics(model: CtNet, place: Place) -> None:
    if place.processes == 1:
        return
    for statistics in model.buffers():
        if statistics.is_floating_point():
            sum_over_processes(statistics, place).div_(place.processes)
