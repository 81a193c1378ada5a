"""VocabFine: a CT-CLIP learns which of two opposite sentences is true of a volume, for all 18 findings."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from encoders.codebook import CodebookTotals
from encoders.ct_clip import CtClip, similarity
from encoders.errors import ConfigError
from encoders.reports import ReportTokenizer
from training.batches import prompt_tokens
from training.distributed import Place, exchanging, sum_over_processes, wrap
from training.dropout import seeds_of
from training.finding_losses import vocabfine_terms
from training.held_out_findings import HeldOutFindings
from training.labelled import LabelledBatch
from training.objective import ParameterGroup, chunks_of, trainable
from training.supervised_runs import SupervisedRun, VocabFineRun
from training.towers import Encoded, Texts, Towers, freeze, move_codebook, recompute_activations


class PromptTowers(Towers):
    """The towers, with the graph of a few sentences at a time: the rest is computed again on the way back."""

    def __init__(self, model: CtClip, at_once: int) -> None:
        super().__init__(model)
        self.at_once = at_once

    def _report_latents(self, texts: Texts) -> Tensor:
        if not torch.is_grad_enabled() or len(texts.ids_BT) <= self.at_once:
            return super()._report_latents(texts)
        parts = []
        for start in range(0, len(texts.ids_BT), self.at_once):
            rows = slice(start, start + self.at_once)
            part = Texts(texts.ids_BT[rows], texts.mask_BT[rows], texts.seeds[rows])
            parts.append(checkpoint(super()._report_latents, part, use_reentrant=False))
        return torch.cat(parts)


class VocabFineObjective:
    """VocabFine as the loop sees it."""

    def __init__(
        self,
        model: CtClip,
        tokenizer: ReportTokenizer,
        run: VocabFineRun,
        place: Place,
        held_out: HeldOutFindings | None = None,
    ) -> None:
        """Say what learns.

        Args:
            model: changed; for LoRA, with its adapters in place (`training.lora`).
            tokenizer: of its report tower.
            run: every number.
            place: of this process.
            held_out: what the model is evaluated on.

        Raises:
            ConfigError: the model has no report tower.
        """
        if model.config.report is None:
            raise ConfigError(
                "VocabFine teaches words, and this model has no report tower; give a whole CT-CLIP"
            )
        self.model, self.run, self.place, self.held_out = model, run, place, held_out
        if run.recompute:
            recompute_activations(model)
        if run.trains == "projections":
            freeze(model, "towers")
        if model.class_head is not None:
            model.class_head.requires_grad_(False)
        self._prompts = prompt_tokens(tokenizer, model.config.report.max_tokens, run.prompt)
        towers = PromptTowers(model, run.prompts_at_once)
        self._towers = wrap(towers, place, blocks=towers.blocks())
        self._totals: list[CodebookTotals] = []

    def parameter_groups(self) -> list[ParameterGroup]:
        """Matrices, which decay, and the rest, which does not."""
        return decaying_groups(self.model, self.run)

    def backward(self, batch: LabelledBatch, step: int) -> Mapping[str, float]:
        """Leave the gradient of the whole batch's loss."""
        self._totals.clear()
        known = batch.known_BC.sum().to(self.place.device, torch.float32)
        sentences = 2 * float(sum_over_processes(known, self.place))
        summed = torch.zeros((), device=self.place.device)
        for chunk in chunks_of(len(batch), self.run.chunk_size):
            part = batch.part(chunk, self.place.device)
            with exchanging(self._towers, last=chunk.stop == len(batch)):
                terms = self._loss_sum(part, step)
                (terms * self.place.processes / max(sentences, 1)).backward()  # type: ignore[no-untyped-call]
            summed += terms.detach()
        temperature = self.model.log_temperature
        if temperature.grad is not None:  # of which DDP knows nothing
            sum_over_processes(temperature.grad, self.place).div_(self.place.processes)
        loss = float(sum_over_processes(summed, self.place)) / max(sentences, 1)
        return {"loss": loss, "temperature": float(temperature.detach())}

    def finish_step(self) -> None:
        """Let the codebook's rows follow their tokens where the volume tower itself learns."""
        if self.run.trains == "all":
            move_codebook(self.model, self._totals, self.place)

    def evaluate(self, step: int) -> Mapping[str, float]:  # noqa: ARG002 - the loop's
        """Zero-shot detection on data held out, if there is any."""
        return {} if self.held_out is None else self.held_out(self._scores)

    def _scores(self, batch: LabelledBatch) -> Tensor:
        affirming, denying = self._logits(batch, 0).chunk(2, dim=1)
        return affirming - denying

    def _loss_sum(self, part: LabelledBatch, step: int) -> Tensor:
        logits_BP = self._logits(part, step)
        summed, _ = vocabfine_terms(logits_BP, part.present_BC, part.known_BC, self.run.loss)
        return summed

    def _logits(self, part: LabelledBatch, step: int) -> Tensor:
        """Similarities (B, 36) with the affirming sentences, then with the denying ones."""
        ids, mask = (t.to(self.place.device) for t in (self._prompts.ids_PT, self._prompts.mask_PT))
        seeds = seeds_of(self.run.seed, step, "prompt", range(len(ids)))
        with self.place.autocast():
            encoded: Encoded = self._towers(part.volume_BCDHW, part.read_B, [Texts(ids, mask, seeds)])
        if encoded.totals is not None and torch.is_grad_enabled():
            self._totals.append(encoded.totals)
        return similarity(encoded.volume_BL, encoded.texts[0], self.model.log_temperature)


def decaying_groups(model: torch.nn.Module, run: SupervisedRun) -> list[ParameterGroup]:
    """The weights that learn in two groups: matrices and convolutions decay, gains and biases do not."""
    weights = trainable(dict(model.named_parameters()))
    kinds = {
        "matrices": [w for w in weights.values() if w.ndim > 1],
        "gains and biases": [w for w in weights.values() if w.ndim <= 1],
    }
    return [
        ParameterGroup(
            name=name,
            parameters=tuple(found),
            peak_rate=run.peak_rate,
            weight_decay=run.weight_decay if name == "matrices" else 0.0,
            betas=run.betas,
        )
        for name, found in kinds.items()
    ]
