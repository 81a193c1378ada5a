"""The contrastive objective: every negative of every process with its gradient, in memory for one chunk.

The loss of the whole batch needs all latents at once but no graph behind them. So the latents are computed
first, without a graph where there are several chunks; exchanged; each process computes the loss of all and
its gradient by the latents; and that gradient goes back through the towers, chunk by chunk (gradient caching,
Gao et al., arXiv 2101.06983). Each process sends back the gradient of its own latents alone: as all compute
the same loss, no gradient has to be exchanged before that of the weights.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from encoders.codebook import CodebookTotals
from encoders.ct_clip import CtClip
from training.batches import Batch, PromptTokens
from training.contrastive import contrastive_loss, prompt_loss
from training.contrastive_runs import ContrastiveRun
from training.distributed import Place, exchanging, gather_rows, own_rows, wrap
from training.dropout import seeds_of
from training.facts import UNKNOWN, YES, Facts, same_report, true_of
from training.objective import ParameterGroup, chunks_of, trainable
from training.towers import Encoded, Texts, Towers, freeze, move_codebook, recompute_activations

Evaluation = Callable[[nn.Module], Mapping[str, float]]


class Latents(NamedTuple):
    """Unit latents of B volumes, reports and short texts, and of the prompts (36, L) of this step."""

    volume_BL: Tensor
    report_BL: Tensor
    short_BL: Tensor | None
    prompt_PL: Tensor | None


class ContrastiveObjective:
    """A CT-CLIP that learns from pairs of volumes and reports."""

    def __init__(
        self,
        model: CtClip,
        run: ContrastiveRun,
        place: Place,
        prompts: Sequence[PromptTokens],
        evaluation: Evaluation | None = None,
    ) -> None:
        """Prepare a model for training; it is moved to the device and changed in place.

        Args:
            model: equal on every process.
            run: what learns, and from which losses.
            place: this process among the others.
            prompts: by template; the steps take them in turn.
            evaluation: figures on data held out; it is given what encodes, to be called by all processes.
        """
        freeze(model, run.frozen)
        if run.recompute:
            recompute_activations(model)
        self.model = model.to(place.device)
        self.run, self.place, self.prompts, self.evaluation = run, place, prompts, evaluation
        towers = Towers(self.model)
        self._towers = wrap(towers, place, blocks=towers.blocks())
        self._totals: Sequence[CodebookTotals] = ()

    def parameter_groups(self) -> list[ParameterGroup]:
        """Each side's matrices, other weights, and gains and biases; the temperature."""
        return contrastive_groups(self.model, self.run)

    def backward(self, batch: Batch, step: int) -> Mapping[str, float]:
        """Leave the gradient of the whole batch's loss in `.grad`."""
        chunks = chunks_of(len(batch), self.run.chunk_size)
        facts = batch.facts.gathered(self.place)
        if len(chunks) == 1:  # one pass: its graph is kept until the loss is known
            with exchanging(self._towers, last=True):
                encoded = [self._encode(batch, chunks[0], step, last=True)]
                loss, wanted = self._loss(_joined(encoded), facts)
                self._send_back(encoded[0], wanted, chunks[0])
        else:
            encoded = self._without_graph(batch, chunks, step)
            loss, wanted = self._loss(_joined(encoded), facts)
            for chunk in chunks:
                last = chunk is chunks[-1]
                with exchanging(self._towers, last=last):
                    self._send_back(self._encode(batch, chunk, step, last=last), wanted, chunk)
        self._totals = [one.totals for one in encoded if one.totals is not None]
        return {"loss": loss, "temperature": self.model.log_temperature.detach().exp().item()}

    @torch.no_grad()
    def finish_step(self) -> None:
        """Move the codebook's rows once, by the tokens of all processes, and clamp the temperature."""
        move_codebook(self.model, self._totals, self.place)
        self._totals = ()
        if self.run.most_log_temperature is not None:
            self.model.log_temperature.clamp_(max=self.run.most_log_temperature)

    def evaluate(self, step: int) -> Mapping[str, float]:  # noqa: ARG002 - the loop tells it
        """Figures on data held out."""
        return {} if self.evaluation is None else self.evaluation(self._towers)

    @torch.no_grad()
    def _without_graph(self, batch: Batch, chunks: Sequence[slice], step: int) -> list[Encoded]:
        return [self._encode(batch, chunk, step, last=chunk is chunks[-1]) for chunk in chunks]

    def _encode(self, batch: Batch, chunk: slice, step: int, *, last: bool) -> Encoded:
        """One pass of the towers; the prompts go with the last chunk."""
        part = batch.part(chunk, self.place.device)
        first = self.place.rank * len(batch)
        places = range(first + chunk.start, first + chunk.stop)
        texts = [self._texts("report", part.report_ids_BT, part.report_mask_BT, step, places)]
        if self.run.short_weight:
            texts.append(self._texts("short", part.short_ids_BT, part.short_mask_BT, step, places))
        if self.run.prompt_weight and last:
            prompts = self.prompts[step % len(self.prompts)]
            texts.append(
                self._texts("prompt", prompts.ids_PT, prompts.mask_PT, step, range(len(prompts.ids_PT)))
            )
        with self.place.autocast():
            encoded: Encoded = self._towers(
                part.volume_BCDHW, part.facts.present_B.to(self.place.device), texts
            )
        return encoded

    def _texts(self, kind: str, ids: Tensor, mask: Tensor, step: int, places: Sequence[int]) -> Texts:
        seeds = seeds_of(self.run.seed, step, kind, places)
        return Texts(ids.to(self.place.device), mask.to(self.place.device), seeds)

    def _loss(self, local: list[Tensor], facts: Facts) -> tuple[float, list[Tensor]]:
        """The loss of the whole batch, and its gradient by this process's latents.

        That of the temperature stays in its `.grad`: it is the same on every process.
        """
        per_pair = 2 + bool(self.run.short_weight)
        leaves = [
            (gather_rows(rows, self.place) if i < per_pair else rows.detach()).requires_grad_()
            for i, rows in enumerate(local)
        ]
        loss = batch_loss(self._named(leaves), facts, self.model.log_temperature, self.run)
        loss.backward()  # type: ignore[no-untyped-call]
        wanted = []
        for i, leaf in enumerate(leaves):
            gradient = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
            # the weights' gradients are averaged over processes: those of a process's own pairs are to be
            # added up, while every process has all of the prompts
            wanted.append(own_rows(gradient, self.place) * self.place.processes if i < per_pair else gradient)
        return float(loss.item()), wanted

    def _named(self, leaves: Sequence[Tensor]) -> Latents:
        volume, report, *rest = leaves
        short = rest.pop(0) if self.run.short_weight else None
        return Latents(volume, report, short, rest.pop(0) if self.run.prompt_weight else None)

    def _send_back(self, encoded: Encoded, wanted: Sequence[Tensor], chunk: slice) -> None:
        """Take the gradient by the latents of one chunk through the towers."""
        per_pair = 2 + bool(self.run.short_weight)
        total = torch.zeros((), device=self.place.device)
        for i, rows in enumerate((encoded.volume_BL, *encoded.texts)):
            total = total + (rows * (wanted[i][chunk] if i < per_pair else wanted[i])).sum()
        total.backward()  # type: ignore[no-untyped-call]


def batch_loss(latents: Latents, facts: Facts, log_temperature: Tensor, run: ContrastiveRun) -> Tensor:
    """The losses of whole reports, short texts and prompts of a batch, all against the same volume latents.

    Pairs whose volume could not be read count nowhere. Where the run looks for negatives among neighbours,
    the loss is the mean over such groups.
    """
    size = run.negatives_within or len(facts.present_B)
    rows = torch.arange(len(facts.present_B), device=facts.present_B.device)
    groups = [group[facts.present_B[group]] for group in torch.split(rows, size)]
    groups = [group for group in groups if len(group)]
    losses = [_pairs_loss(latents, facts, group, log_temperature, run) for group in groups]
    loss = torch.stack(losses).mean() if losses else 0.0 * latents.volume_BL.sum()
    if latents.prompt_PL is not None and groups:
        here = torch.cat(groups)
        labels = facts.labels_BC[here]
        detection = prompt_loss(
            latents.volume_BL[here], latents.prompt_PL, log_temperature, labels == YES, labels != UNKNOWN
        )
        loss = loss + run.prompt_weight * detection
    return loss


def _pairs_loss(
    latents: Latents, facts: Facts, rows: Tensor, log_temperature: Tensor, run: ContrastiveRun
) -> Tensor:
    volume, known = latents.volume_BL[rows], facts.at(rows)
    matches = same_report(known) if run.equal_reports_match else None
    loss = contrastive_loss(volume, latents.report_BL[rows], log_temperature, matches)
    if latents.short_BL is not None:
        short = contrastive_loss(volume, latents.short_BL[rows], log_temperature, true_of(known))
        loss = loss + run.short_weight * short
    return loss


def contrastive_groups(model: nn.Module, run: ContrastiveRun) -> list[ParameterGroup]:
    """The weights of a CT-CLIP in groups.

    Muon moves the matrices of the volume's side where the run asks for it. Voxels share one strong direction,
    what all chests have in common, and Adam's steps follow it. Muon's are orthogonal, so that directions in
    which patients differ are learnt as fast (figures: docs/phantom.md). Only matrices and convolutions decay.
    """
    found: dict[str, list[nn.Parameter]] = {}
    for name, weight in trainable(dict(model.named_parameters())).items():
        side = name.partition("_")[0]  # volume_…, report_…, log_temperature
        kind = "gains and biases" if weight.ndim <= 1 else "matrices" if weight.ndim == 2 else "convolutions"
        where = "the temperature" if side == "log" else f"the {side} side's {kind}"
        found.setdefault(where, []).append(weight)
    return [_group(name, tuple(weights), run) for name, weights in found.items()]


def _group(name: str, weights: tuple[nn.Parameter, ...], run: ContrastiveRun) -> ParameterGroup:
    if run.optimization == "muon" and name == "the volume side's matrices":
        return ParameterGroup(
            name=name,
            parameters=weights,
            peak_rate=run.muon_rate,
            weight_decay=run.weight_decay,
            optimizer="muon",
            betas=(0.95, 0.0),
        )
    return ParameterGroup(
        name=name,
        parameters=weights,
        peak_rate=run.peak_rate,
        weight_decay=run.weight_decay if weights[0].ndim > 1 else 0.0,
        optimizer="adam" if run.optimization == "adam" else "adamw",
        betas=run.betas,
    )


def _joined(encoded: Sequence[Encoded]) -> list[Tensor]:
    """Latents of this process: volumes, reports, short texts if any, prompts if any, chunk after chunk."""
    most = max(len(one.texts) for one in encoded)
    texts = [torch.cat([one.texts[i] for one in encoded if i < len(one.texts)]) for i in range(most)]
    return [torch.cat([one.volume_BL for one in encoded]), *texts]
