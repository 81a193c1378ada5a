"""Runs of chat models: each a function that returns every number of a training."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from chat.projector import PUBLISHED_HEADS
from encoders.errors import ConfigError
from retrieval.datasets.phantom import TRAINING_SEEDS
from training.examples import Sections
from training.runs import VolumeRun

_PHANTOMS = TRAINING_SEEDS.start + 3  # others than those the encoder and its heads learnt from
Stage = Literal["align", "instruct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRun(VolumeRun):
    """A projector alone that learns to tell what volumes show, or it and an adapter that learn to converse.

    Attributes:
        stage: "align" trains a new projector beside a frozen language model, "instruct" goes on with that
            projector, and trains an adapter and the task tokens too.
        epochs: passes over the data; they give `steps` once it is known how much data there is.
        warm_up_share: of the steps.
        init, encoder: of "align", the language model and the encoder where none is given.
        queries, pool_width, heads: of a new projector; its other widths are the encoder's and the model's.
        adapter_rate: peak rate of adapter and task tokens; `peak_rate` is the projector's.
        lora_rank, lora_alpha: of the adapter.
        longest: tokens of a conversation; the end of a longer one is not learnt from.
        sections: of the reports that are answers.
        reports_share: of the volumes whose report "instruct" asks for too; of all it asks whether findings
            are present.
        system: what the model is told before the first question.
    """

    stage: Stage
    epochs: int = 1
    steps: int = 1
    warm_up_share: float = 0.03
    rate_floor: float = 0.0
    init: str | None = None
    encoder: str | None = None
    queries: int = 256
    pool_width: int = 512
    heads: int = PUBLISHED_HEADS
    adapter_rate: float = 2e-5
    lora_rank: int = 128
    lora_alpha: int = 256
    longest: int = 2048
    sections: Sections = "both"
    reports_share: float = 1.0
    system: str = ""

    def __post_init__(self) -> None:
        VolumeRun.__post_init__(self)
        if min(self.epochs, self.lora_rank, self.longest) < 1:
            raise ConfigError(f"the run {self.name} needs at least one epoch, rank and token: {self}")
        if self.farthest_shift:
            raise ConfigError(f"the run {self.name} moves no volumes: their tokens are computed once")


def published_align() -> ChatRun:
    """CT-CHAT's first step: the projector alone, on reports; the width of its pool is ours."""
    return ChatRun(
        name="published",
        stage="align",
        batch_size=12,
        chunk_size=1,
        peak_rate=1e-3,
        recompute=True,
        log_every=10,
        save_every=500,
    )


def phantom_align() -> ChatRun:
    """The same with SmolLM2 of 135 million weights and the phantoms' encoder, on impressions."""
    return ChatRun(
        name="phantom",
        stage="align",
        init="smollm2",
        encoder="phantom-tiny",
        data=f"400:{_PHANTOMS}",
        one_per_patient=True,
        queries=16,
        pool_width=96,
        batch_size=8,
        chunk_size=4,
        peak_rate=5e-4,
        sections="impression",
        longest=256,
        system="You read chest CTs.",
        log_every=5,
        evaluate_every=1000,
        save_every=25,
    )


def published_instruct() -> ChatRun:
    """CT-CHAT's second step: projector and adapter on questions; its batch is LLaVA's."""
    return replace(published_align(), stage="instruct", batch_size=128, peak_rate=2e-5)


def phantom_instruct() -> ChatRun:
    """The same after `phantom_align`, for hundreds of steps in place of thousands.

    So rates are higher, the adapter is small, and most questions are those whose answer is one word: they say
    most about the volume for their length.
    """
    return replace(
        phantom_align(),
        stage="instruct",
        data=f"800:{_PHANTOMS}",
        warm_up_share=0.1,
        adapter_rate=5e-4,
        lora_rank=16,
        lora_alpha=32,
        reports_share=0.25,
        longest=384,
    )


ALIGN_RUNS: Mapping[str, Callable[[], ChatRun]] = {"published": published_align, "phantom": phantom_align}
INSTRUCT_RUNS: Mapping[str, Callable[[], ChatRun]] = {
    "published": published_instruct,
    "phantom": phantom_instruct,
}


def with_conversations(run: ChatRun, count: int, steps: int | None = None) -> ChatRun:
    """The run with the steps that its epochs take of so many conversations, and its warm-up.

    Args:
        run: as named.
        count: of the conversations.
        steps: in place of whole epochs.

    Raises:
        ConfigError: they do not fill a batch.
    """
    an_epoch = count // run.batch_size
    if not an_epoch:
        raise ConfigError(f"{count} conversations do not fill a batch of {run.batch_size}; give more data")
    total = steps or run.epochs * an_epoch
    return replace(run, steps=total, warm_up=math.ceil(run.warm_up_share * total))
