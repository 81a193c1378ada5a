"""Runs of VocabFine, ClassFine and CT-Net: each a function that returns every number of a training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from encoders.abnormalities import DEFAULT_PROMPT
from encoders.config import ClassHeadConfig
from encoders.ct_net_config import CtNetConfig
from encoders.errors import ConfigError
from training.contrastive_runs import PHANTOMS
from training.finding_losses import VocabFineLoss
from training.runs import VolumeRun

VocabFineWeights = Literal["all", "projections", "lora"]
ClassFineWeights = Literal["all", "head"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedRun(VolumeRun):
    """What the three have in common; CT-Net recomputes nothing.

    Attributes:
        epochs: passes over the data; they give `steps` once it is known how much data there is.
        init: the model that is fine-tuned where none is given; None: one must be given, or none is needed.
    """

    epochs: int
    steps: int = 1
    evaluate_every: int = 500
    init: str | None = None

    def __post_init__(self) -> None:
        VolumeRun.__post_init__(self)
        if self.epochs < 1:
            raise ConfigError(f"the run {self.name} needs at least one epoch, found {self.epochs}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabFineRun(SupervisedRun):
    """VocabFine: the words of the 18 findings are taught to a CT-CLIP.

    Attributes:
        loss: the paper's ("bce") or the published script's ("mse").
        trains: all weights, the projections (and the temperature), or adapters and the projections.
        prompt: which of `encoders.abnormalities.PROMPTS` the findings are put into.
        prompts_at_once: sentences whose graph is kept at once; the result does not depend on it.
        lora_rank, lora_alpha: of the adapters.
    """

    loss: VocabFineLoss = "bce"
    trains: VocabFineWeights = "all"
    prompt: str = DEFAULT_PROMPT
    prompts_at_once: int = 12
    lora_rank: int = 8
    lora_alpha: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFineRun(SupervisedRun):
    """ClassFine: a head on a CT-CLIP's volume latents, alone or with the volume tower and its projection."""

    trains: ClassFineWeights = "all"
    head: ClassHeadConfig = field(default_factory=ClassHeadConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class CtNetRun(SupervisedRun):
    """CT-Net, from new weights or from ImageNet's."""

    model: CtNetConfig = field(default_factory=CtNetConfig)


def published_vocabfine() -> VocabFineRun:
    """VocabFine as the paper has it: every weight, batches of one volume."""
    return VocabFineRun(
        name="published",
        epochs=10,
        batch_size=1,
        peak_rate=1e-5,
        warm_up=10_000,
        rate_floor=0.0,
        weight_decay=0.1,
        recompute=True,
        log_every=100,
        save_every=2000,
    )


def phantom_vocabfine() -> VocabFineRun:
    """VocabFine of a CT-CLIP of phantoms, in minutes on one core."""
    return VocabFineRun(
        name="phantom",
        init="phantom-tiny",
        data=PHANTOMS,
        one_per_patient=True,
        farthest_shift=1,
        epochs=1,
        batch_size=16,
        peak_rate=3e-4,
        warm_up=50,
        weight_decay=0.1,
    )


def published_classfine() -> ClassFineRun:
    """ClassFine: volume tower, projection and head, batches of 8; its rates are taken to be VocabFine's."""
    return ClassFineRun(
        name="published",
        epochs=10,
        batch_size=8,
        peak_rate=1e-5,
        warm_up=10_000,
        rate_floor=0.0,
        weight_decay=0.1,
        recompute=True,
        log_every=100,
        save_every=2000,
    )


def phantom_classfine() -> ClassFineRun:
    """ClassFine of a CT-CLIP of phantoms, in minutes on one core."""
    return ClassFineRun(
        name="phantom",
        init="phantom-tiny",
        data=PHANTOMS,
        one_per_patient=True,
        farthest_shift=1,
        epochs=1,
        batch_size=16,
        peak_rate=1e-3,
        warm_up=50,
        weight_decay=0.1,
    )


def published_ct_net() -> CtNetRun:
    """CT-Net on CT-CLIP's grid; the paper gives no rates, these are ours."""
    return CtNetRun(
        name="published",
        epochs=10,
        batch_size=8,
        chunk_size=1,
        peak_rate=1e-4,
        warm_up=500,
        weight_decay=1e-4,
        log_every=100,
        save_every=1000,
    )


def phantom_ct_net() -> CtNetRun:
    """A CT-Net of phantoms on phantom-tiny's grid.

    Its ResNet is an eighth as wide. What is left of so small an image after the 3D convolutions is one cell,
    so these are wider; with the published 16 channels and dropout of 0.5 it learnt nothing.
    """
    return CtNetRun(
        name="phantom",
        data=PHANTOMS,
        one_per_patient=True,
        farthest_shift=1,
        model=CtNetConfig(
            image_px=96,
            slices=48,
            slice_mm=7.5,
            pixel_mm=3.75,
            resnet_width=8,
            pools_stem=False,
            reduced_width=256,
            dropout=0.1,
        ),
        epochs=1,
        batch_size=16,
        peak_rate=1e-3,
        warm_up=20,
        weight_decay=1e-4,
    )


VOCABFINE_RUNS: Mapping[str, Callable[[], VocabFineRun]] = {
    "published": published_vocabfine,
    "phantom": phantom_vocabfine,
}
CLASSFINE_RUNS: Mapping[str, Callable[[], ClassFineRun]] = {
    "published": published_classfine,
    "phantom": phantom_classfine,
}
CT_NET_RUNS: Mapping[str, Callable[[], CtNetRun]] = {"published": published_ct_net, "phantom": phantom_ct_net}

RunT = TypeVar("RunT", bound=SupervisedRun)


def with_data_of(run: RunT, examples: int) -> RunT:
    """The run with the steps that its epochs take of so many examples.

    Raises:
        ConfigError: they do not fill a batch.
    """
    an_epoch = examples // run.batch_size
    if not an_epoch:
        raise ConfigError(f"{examples} volumes do not fill a batch of {run.batch_size}; give more data")
    return replace(run, steps=run.epochs * an_epoch)
