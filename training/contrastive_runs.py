"""Runs: each a function that returns every number a training needs."""

from dataclasses import dataclass, replace

from encoders.config import CtClipConfig, ReportEncoderConfig, VolumeEncoderConfig
from encoders.errors import ConfigError
from retrieval.datasets.phantom import TRAINING_SEEDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastiveRun:
    """A contrastive training of both towers.

    Attributes:
        model: its dimensions; the vocabulary's size is at most `model.report.vocabulary`.
        patients: phantoms in an epoch.
        data_seed: of the phantoms, one of `TRAINING_SEEDS`.
        steps, batch_size: how long.
        muon_rate: peak learning rate of the matrices on the volume's side, whose optimiser is Muon.
        peak_rate, warm_up, weight_decay, max_grad_norm: of AdamW.
        short_weight, prompt_weight: of the losses of short texts and of prompts, beside 1 for whole reports.
        log_temperature: where it starts; the published 1.0 learns slowly from small batches.
        seed: of the weights and of the order.
        log_every: steps between two lines of the log.
    """

    model: CtClipConfig
    patients: int
    data_seed: int
    steps: int
    batch_size: int
    peak_rate: float
    muon_rate: float
    warm_up: int
    weight_decay: float
    max_grad_norm: float
    short_weight: float
    prompt_weight: float
    log_temperature: float
    seed: int
    log_every: int = 20


def phantom() -> ContrastiveRun:
    """The run that makes the built-in encoder phantom-tiny."""
    return ContrastiveRun(
        model=CtClipConfig(
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
        ),
        patients=4500,
        data_seed=TRAINING_SEEDS.start,
        steps=900,
        batch_size=32,
        peak_rate=4e-3,
        muon_rate=6e-3,
        warm_up=60,
        weight_decay=0.05,
        max_grad_norm=1.0,
        short_weight=1.0,
        prompt_weight=2.0,
        log_temperature=2.6,
        seed=0,
    )


def named_run(name: str) -> ContrastiveRun:
    """The contrastive run of a name.

    Raises:
        ConfigError: there is none of that name.
    """
    runs = {"phantom": phantom}
    if name not in runs:
        raise ConfigError(f'found --run "{name}", which is no contrastive run; there is {", ".join(runs)}')
    return runs[name]()


def with_source(run: ContrastiveRun, source: str | None) -> ContrastiveRun:
    """The run on other phantoms.

    Args:
        run: changed in its data alone.
        source: "N" or "N:SEED"; None leaves the run as it is.

    Raises:
        ConfigError: the source is not of that form, or its seed is not reserved for training: an archive of
            that seed would hold what the encoder has learnt from.
    """
    if source is None:
        return run
    count, _, seed = source.partition(":")
    if not count.isdecimal() or not (seed.isdecimal() or not seed):
        raise ConfigError(
            f'found --data "{source}"; give the number of patients, or N:SEED as in 6000:1000001'
        )
    number = int(seed) if seed else run.data_seed
    if number not in TRAINING_SEEDS:
        raise ConfigError(
            f"seed {number} is not among those that training draws from; "
            f"choose one from {TRAINING_SEEDS.start} to {TRAINING_SEEDS.stop - 1}"
        )
    if int(count) < run.batch_size:
        raise ConfigError(f"{count} patients do not fill a batch of {run.batch_size}; ask for more")
    return replace(run, patients=int(count), data_seed=number)
