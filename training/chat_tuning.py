"""Chat models as the loop trains them: the loss of the answers, of a projector alone or with an adapter."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from chat.chat_format import NO_LABEL
from chat.model import ChatBatch, ChatModel
from training.chat_data import ChatCollation, ConversationExamples
from training.chat_runs import ChatRun
from training.distributed import Place, exchanging, sum_over_processes, wrap
from training.objective import ParameterGroup, chunks_of, trainable
from training.unseen import unseen_batches

LLM = "chat.llm."
PROJECTOR = "chat.projector."


class Learning(nn.Module):
    """A chat model of which a checkpoint keeps what learns, and nothing of the frozen language model."""

    def __init__(self, chat: ChatModel) -> None:
        super().__init__()
        self.chat = chat

    def forward(self, batch: ChatBatch) -> Tensor:
        """Return the cross-entropy of all that is learnt from, summed, float32."""
        labels_BT = batch.labels_BT[:, 1:]  # of a position the next word is learnt
        learnt_P = (labels_BT != NO_LABEL).any(0).nonzero()[:, 0]
        if not len(learnt_P):
            learnt_P = learnt_P.new_zeros(1)
        summed = cross_entropy(
            self.chat.logits(batch, learnt_P).float().flatten(0, 1),
            labels_BT[:, learnt_P].flatten(),
            ignore_index=NO_LABEL,
            reduction="sum",
        )
        if len(batch.tokens_KNC):
            return summed
        idle: Tensor = self.chat.projector(batch.tokens_KNC.new_zeros(1, 1, batch.tokens_KNC.shape[-1]))
        return summed + 0 * idle.float().sum()  # every weight takes part in each pass, as DDP and FSDP ask

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but the language model: what is frozen of it drops nothing at random."""
        super().train(mode)
        self.chat.llm.eval()
        return self

    def state_dict(self) -> dict[str, Any]:  # type: ignore[override]
        """Return what learns, by name."""
        learning = trainable(dict(self.named_parameters()))
        return {name: tensor for name, tensor in super().state_dict().items() if name in learning}

    def blocks(self) -> list[nn.Module]:
        """What FSDP2 gathers apart: the language model's layers, as it names them itself."""
        whole = set(getattr(self.chat.llm, "_no_split_modules", None) or ())
        return [part for part in self.chat.llm.modules() if type(part).__name__ in whole]


def recompute(block: nn.Module) -> None:
    """Have a block's activations made again on the way back; transformers does in training mode alone."""
    changed: Any = block
    changed.forward = partial(checkpoint, block.forward, use_reentrant=False)


@dataclass(frozen=True, slots=True)
class HeldOutChat:
    """Conversations that nothing is learnt from, and the same about volumes of others.

    A model that looks at the volume loses more about another's than about its own.
    """

    examples: ConversationExamples
    collation: ChatCollation
    place: Place

    @torch.no_grad()
    def __call__(self, module: nn.Module) -> dict[str, float]:
        """Return the loss a token of all answers: with their own volumes, and with another's beside them."""
        sums_4 = torch.zeros(4, dtype=torch.float64, device=self.place.device)
        for batch in unseen_batches(self.examples, self.collation, self.place):
            here = batch.part(slice(0, None), self.place.device)
            swapped = replace(here, tokens_KNC=here.tokens_KNC.roll(1, 0))
            with self.place.autocast():
                losses = module(here), module(swapped)
            learnt = (here.labels_BT[:, 1:] >= 0).sum()
            several = len(here.tokens_KNC) > 1  # one alone has no other to be taken for
            sums_4 += torch.stack([losses[0], learnt, losses[1] * several, learnt * several])
        own, counted, other, counted_other = sum_over_processes(sums_4, self.place).tolist()
        figures = {"loss": own / max(counted, 1)}
        return figures | ({"loss of another volume": other / counted_other} if counted_other else {})


class ChatObjective:
    """A chat model as the loop sees it; its loss is the mean over all tokens of the batch's answers."""

    def __init__(
        self, chat: ChatModel, run: ChatRun, place: Place, held_out: HeldOutChat | None = None
    ) -> None:
        """Say what learns.

        Args:
            chat: on the place's device; of "instruct" its language model has an adapter already.
            run: every number.
            place: of this process.
            held_out: what the model is evaluated on.
        """
        self.run, self.place, self.held_out = run, place, held_out
        if run.stage == "align":
            chat.llm.requires_grad_(False)
        chat.projector.requires_grad_(True)
        if place.device.type == "cpu":  # from one profile on a busy machine; no careful comparison was made
            chat.llm.set_attn_implementation("eager")  # type: ignore[operator]
        if place.dtype != torch.float32:  # autocast casts; peft would cast what it reads to float32 and back
            parts: list[Any] = list(chat.llm.modules())
            for part in parts:
                if hasattr(part, "cast_input_dtype_enabled"):
                    part.cast_input_dtype_enabled = False
        self.model = Learning(chat)
        for block in self.model.blocks() if run.recompute else ():
            recompute(block)
        self._module = wrap(self.model, place, blocks=self.model.blocks())

    def parameter_groups(self) -> list[ParameterGroup]:
        """The projector, and what of the language model learns."""
        learning = trainable(dict(self.model.named_parameters()))
        groups = (
            ("the projector", PROJECTOR, self.run.peak_rate),
            ("the adapter", LLM, self.run.adapter_rate),
        )
        return [
            ParameterGroup(
                name=said,
                parameters=tuple(w for name, w in learning.items() if name.startswith(prefix)),
                peak_rate=rate,
                weight_decay=self.run.weight_decay,
                betas=self.run.betas,
            )
            for said, prefix, rate in groups
        ]

    def backward(self, batch: ChatBatch, step: int) -> Mapping[str, float]:  # noqa: ARG002 - nothing is random
        """Leave the gradient of the whole batch's loss."""
        learnt = (batch.labels_BT[:, 1:] >= 0).sum().to(self.place.device, torch.float32)
        counted = max(float(sum_over_processes(learnt, self.place)), 1)
        summed = torch.zeros((), device=self.place.device)
        for chunk in chunks_of(len(batch), self.run.chunk_size):
            with exchanging(self._module, last=chunk.stop == len(batch)):
                with self.place.autocast():
                    loss: Tensor = self._module(batch.part(chunk, self.place.device))
                (loss * self.place.processes / counted).backward()  # type: ignore[no-untyped-call]
            summed += loss.detach()
        return {"loss": float(sum_over_processes(summed, self.place)) / counted}

    def finish_step(self) -> None:
        """Nothing comes after a step."""

    def evaluate(self, step: int) -> Mapping[str, float]:  # noqa: ARG002 - the loop's
        """Return the losses on conversations held out, if there are any."""
        return {} if self.held_out is None else self.held_out(self._module)
