"""The encoder that retrieval, training and chat see: volumes and reports in, latents out."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from encoders.checkpoints import Weights
from encoders.clip_encoder import Array, ClipEncoder
from encoders.config import VolumeGrid
from encoders.ct_clip import CtClip
from encoders.ct_net import CtNet
from encoders.ct_net_config import CtNetConfig
from encoders.ct_net_encoder import CtNetEncoder
from encoders.errors import CheckpointError, ConfigError
from encoders.model_card import BUILT_IN, ModelCard, built_in_names, read_card
from encoders.model_directory import CtNetWeights, read_ct_net, read_model
from encoders.reports import ReportSections, ReportTokenizer, TokenisedReports

__all__ = [
    "ClipEncoder",
    "CtNetEncoder",
    "Encoder",
    "build_ct_net",
    "build_model",
    "built_in_names",
    "load_encoder",
    "model_directory",
]


class Encoder(Protocol):
    """Turns volumes and reports into unit latents of one space; results are float32 on the CPU."""

    @property
    def name(self) -> str:
        """The built-in name, or the directory's."""

    @property
    def digest(self) -> str:
        """SHA-256 over weights, configuration and tokeniser: latents of one digest can be compared."""

    @property
    def latent_dim(self) -> int:
        """Length of a latent; 0 for a volume encoder alone."""

    @property
    def grid(self) -> VolumeGrid:
        """The grid that volumes are brought to."""

    @property
    def can_read_text(self) -> bool:
        """Whether reports can be encoded: a report tower and a tokeniser are there."""

    @property
    def has_head(self) -> bool:
        """Whether it scores the 18 findings itself, as ClassFine and CT-Net do, and needs no prompts."""

    @property
    def codebook_size(self) -> int:
        """How many rows tokens are taken from; 0: there is no codebook."""

    @property
    def log_temperature(self) -> float:
        """What similarities are scaled by, as its logarithm."""

    def volume_tokens(self, volume_BCDHW: Array) -> Tensor:
        """Return tokens (B, D', H', W', C) after quantisation."""

    def codebook_ids(self, volume_BCDHW: Array) -> Tensor:
        """Return the codebook row of each token, int64 (B, D', H', W')."""

    def tokens_of_ids(self, ids: Array) -> Tensor:
        """Return the codebook's rows of these ids (...), as `volume_tokens` gives them: (..., C)."""

    def encode_volumes(self, volume_BCDHW: Array) -> Tensor:
        """Return unit latents (B, L)."""

    def score_volumes(self, volume_BCDHW: Array) -> Tensor:
        """Return the probabilities (B, 18) of the findings by the model's own head."""

    def score_latents(self, latent_BL: Array) -> Tensor:
        """Return the same of volumes whose latents are known: no volume is encoded."""

    def encode_token_ids(self, token_ids_BT: Array, mask_BT: Array) -> Tensor:
        """Return unit latents (B, L) of reports that are tokenised already."""

    def tokenise_reports(self, reports: Sequence[str | ReportSections]) -> TokenisedReports:
        """Return token ids, mask, and how many reports were too long."""

    def encode_reports(self, reports: Sequence[str | ReportSections]) -> Tensor:
        """Return unit latents (B, L) of reports."""


_ONE_AT_A_TIME = threading.Lock()  # transformers imports its parts late, and fails where two threads do so


def load_encoder(
    name_or_directory: str | Path, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Encoder:
    """Load a model for inference; its files are compared with its digest first.

    Args:
        name_or_directory: a built-in encoder's name, or a directory that `ctsearch models import` wrote.
        device: as torch names it.
        dtype: arithmetic of the towers.

    Raises:
        CheckpointError: there is no such model, or it has been changed or cut off.
        ConfigError: the device is not there.
    """
    card = read_card(model_directory(name_or_directory))
    try:
        with _ONE_AT_A_TIME:
            return _load(card, device, dtype)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"the device {device!r} cannot be used ({reason}); take another --device"
        ) from error


def _load(card: ModelCard, device: str, dtype: torch.dtype) -> Encoder:
    if isinstance(card.described, CtNetConfig):
        return CtNetEncoder(build_ct_net(read_ct_net(card)), card, device=device, dtype=dtype)
    model = build_model(read_model(card))
    tokenizer = None if card.tokenizer_file is None else ReportTokenizer.from_path(card.tokenizer_file)
    return ClipEncoder(model, card, tokenizer, device=device, dtype=dtype)


def build_ct_net(weights: CtNetWeights) -> CtNet:
    """Make a CT-Net around weights; `weights` are used as they are."""
    with torch.device("meta"):
        model = CtNet(weights.config)
    model.load_state_dict(weights.tensors, assign=True)
    return model


def build_model(weights: Weights) -> CtClip:
    """Make a model around weights, without drawing random ones first; `weights` are used as they are."""
    with torch.device("meta"):
        model = CtClip(weights.config)
    model.load_state_dict(weights.tensors, assign=True)
    if model.report_tower is not None:
        model.report_tower.fill_position_ids()
    return model


def model_directory(name_or_directory: str | Path) -> Path:
    """Return where a model lies.

    Raises:
        CheckpointError: it is neither a directory nor built in.
    """
    names = built_in_names()
    if str(name_or_directory) in names:
        return BUILT_IN / str(name_or_directory)
    directory = Path(name_or_directory).expanduser()
    try:
        if directory.is_dir():
            return directory.resolve()
    except OSError as error:
        raise CheckpointError(f"the model {directory} cannot be read: {error.strerror}") from error
    raise CheckpointError(
        f"there is no encoder {str(name_or_directory)!r}: it is neither a directory nor built in "
        f"({', '.join(names) or 'none is'}); make one with ctsearch models import CHECKPOINT --out DIR"
    )
