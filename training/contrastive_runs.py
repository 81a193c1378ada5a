"""The named runs of contrastive training: the published recipe, the paper's, ours, and those of phantoms."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from encoders.config import CtClipConfig, ReportEncoderConfig, VolumeEncoderConfig
from encoders.errors import ConfigError
from retrieval.datasets.phantom import TRAINING_SEEDS
from training.examples import Sections
from training.runs import VolumeRun, choose_run
from training.towers import Frozen

Optimization = Literal["adam", "adamw", "muon"]
PHANTOMS = f"12000:{TRAINING_SEEDS.start}"  # of all runs of encoders on phantoms: drawn once


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastiveRun(VolumeRun):
    """A contrastive training of both towers.

    Attributes:
        model: its dimensions, unless the training starts from a model; the vocabulary's size is at most
            `model.report.vocabulary` where it is learnt from the reports.
        sections: of the report.
        negatives_within: a volume's negatives are the others among so many neighbours in the batch; None:
            all of the batch. The published recipe looks for them on one GPU of 8 volumes.
        equal_reports_match: reconstructions of one scan, and reports of the same words, are right answers;
            otherwise they are taken for wrong ones, as in the published recipe.
        short_weight, prompt_weight: of the losses of short texts and of prompts, beside 1 for whole reports.
        frozen: what does not learn.
        optimization: "muon" moves the matrices of the volume's side by Muon and all else by AdamW.
        muon_rate: its peak learning rate.
        log_temperature: where it starts; the cosines are multiplied by its exponential.
        most_log_temperature: where it is clamped; None: nowhere.
    """

    model: CtClipConfig
    sections: Sections = "both"
    negatives_within: int | None = None
    equal_reports_match: bool = True
    short_weight: float = 0.0
    prompt_weight: float = 0.0
    frozen: Frozen = "nothing"
    optimization: Optimization = "adamw"
    muon_rate: float = 0.0
    log_temperature: float = 1.0
    most_log_temperature: float | None = 4.6052  # a hundredfold (Radford et al., arXiv 2103.00020)

    def __post_init__(self) -> None:
        VolumeRun.__post_init__(self)
        if self.negatives_within is not None and self.batch_size % self.negatives_within:
            raise ConfigError(
                f"a batch of {self.batch_size} is not a multiple of the {self.negatives_within} volumes "
                "that the run looks for negatives among; choose --batch-size so"
            )
        for name, kinds in (("sections", Sections), ("frozen", Frozen), ("optimization", Optimization)):
            if getattr(self, name) not in get_args(kinds):
                raise ConfigError(f"{name}={getattr(self, name)!r} is unknown; take one of {get_args(kinds)}")


def published() -> ContrastiveRun:
    """The published recipe, faults and all: 8 volumes a GPU (on four), findings only, 80 % of the data."""
    return ContrastiveRun(
        name="published",
        model=CtClipConfig(),
        steps=100_001,
        batch_size=32,
        negatives_within=8,
        equal_reports_match=False,
        sections="findings",
        data_share=0.8,
        optimization="adam",
        peak_rate=1.25e-6,
        rate_floor=1.0,
        betas=(0.9, 0.99),
        max_grad_norm=0.5,
        most_log_temperature=None,
        recompute=True,
        evaluate_every=1000,
        save_every=1000,
    )


def ct_clip() -> ContrastiveRun:
    """The recipe as the paper describes it: whole reports, all of the data, one matrix over the batch."""
    return replace(published(), name="ct-clip", negatives_within=None, sections="both", data_share=1.0)


def ct_clip_plus() -> ContrastiveRun:
    """Ours: many negatives, true positives, short texts and prompts, Muon, a rate that rises and falls."""
    return ContrastiveRun(
        name="ct-clip-plus",
        model=CtClipConfig(),
        steps=12_500,
        batch_size=256,
        chunk_size=8,
        peak_rate=1e-4,
        optimization="muon",
        muon_rate=5e-4,
        warm_up=500,
        weight_decay=0.05,
        betas=(0.9, 0.98),
        short_weight=1.0,
        prompt_weight=2.0,
        farthest_shift=4,
        log_temperature=2.6,
        recompute=True,
        evaluate_every=250,
        save_every=250,
    )


def phantom() -> ContrastiveRun:
    """The recipe of the built-in encoder phantom-tiny."""
    return replace(
        ct_clip_plus(),
        name="phantom",
        model=_PHANTOM_MODEL,
        data=PHANTOMS,
        one_per_patient=True,
        steps=2400,
        batch_size=32,
        chunk_size=None,
        peak_rate=4e-3,
        muon_rate=6e-3,
        warm_up=60,
        betas=(0.9, 0.999),
        farthest_shift=1,  # so that no patient is learnt by where it lies
        recompute=False,
        evaluate_every=400,
    )


def phantom_published() -> ContrastiveRun:
    """The published recipe on phantoms, with the model, the data and the volumes seen of `phantom`."""
    ours = phantom()
    return replace(
        published(),
        name="phantom-published",
        model=ours.model,
        data=ours.data,
        one_per_patient=ours.one_per_patient,
        steps=ours.steps,
        batch_size=ours.batch_size,
        recompute=False,
        evaluate_every=ours.evaluate_every,
        save_every=ours.save_every,
    )


_PHANTOM_MODEL = CtClipConfig(
    volume=VolumeEncoderConfig(
        image_px=96,
        slices=48,
        patch_px=24,
        patch_slices=8,
        pixel_mm=3.75,
        slice_mm=7.5,
        width=96,
        spatial_depth=1,
        temporal_depth=1,
        heads=3,
        head_width=32,
        codebook_size=0,
        pooling="flatten",
    ),
    report=ReportEncoderConfig(
        vocabulary=1500,
        width=64,
        layers=1,
        heads=2,
        feed_forward=128,
        max_tokens=512,
        dropout=0.0,
        pooling="mean",
    ),
    latent_dim=128,
)

Part = Literal["short-texts", "prompts", "muon", "shifts", "warm-up", "equal-reports-match", "all-negatives"]


def without_parts(run: ContrastiveRun, parts: Sequence[Part]) -> ContrastiveRun:
    """A run without some of its parts, for an ablation; all else stays, the volumes seen too."""
    for part in parts:
        run = _without(run, part)
    return run


def _without(run: ContrastiveRun, part: Part) -> ContrastiveRun:
    return replace(
        run,
        short_weight=0.0 if part == "short-texts" else run.short_weight,
        prompt_weight=0.0 if part == "prompts" else run.prompt_weight,
        optimization="adamw" if part == "muon" else run.optimization,
        farthest_shift=0 if part == "shifts" else run.farthest_shift,
        warm_up=0 if part == "warm-up" else run.warm_up,
        equal_reports_match=run.equal_reports_match and part != "equal-reports-match",
        negatives_within=8 if part == "all-negatives" else run.negatives_within,
    )


CONTRASTIVE_RUNS = {
    "published": published,
    "ct-clip": ct_clip,
    "ct-clip-plus": ct_clip_plus,
    "phantom": phantom,
    "phantom-published": phantom_published,
}


def contrastive_run(name: str) -> ContrastiveRun:
    """The contrastive run of a name.

    Raises:
        ConfigError: there is none of that name.
    """
    return choose_run(CONTRASTIVE_RUNS, name, "contrastive")
