"""A loaded CT-Net as an `Encoder`: volumes have latents and scores, and there is no text."""

from collections.abc import Iterator, Sequence
from typing import NoReturn

import torch
from torch import Tensor

from encoders.clip_encoder import Array, as_tensor, unit_rows, volume_parts
from encoders.ct_net import CtNet, features_of_latents
from encoders.errors import ConfigError, ReportError
from encoders.model_card import ModelCard
from encoders.reports import ReportSections, TokenisedReports


class CtNetEncoder:
    """A loaded CT-Net; its latents are its features at unit length, in a space of its own."""

    def __init__(
        self,
        model: CtNet,
        card: ModelCard,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.name = card.directory.name
        self.digest = card.digest
        self.latent_dim = model.config.latent_dim
        self.grid = model.config.grid
        self.can_read_text = False
        self.log_temperature = 0.0
        self.codebook_size = 0
        self.has_head = True
        self._device, self._dtype = torch.device(device), dtype
        self._model = model.eval().to(device=self._device, dtype=dtype)

    def encode_volumes(self, volume_BCDHW: Array) -> Tensor:
        """Return unit latents (B, L).

        Raises:
            VolumeError: the volume is not on the grid.
        """
        with torch.no_grad():
            return unit_rows([self._model.volume_latents(part) for part in self._parts(volume_BCDHW)])

    def score_volumes(self, volume_BCDHW: Array) -> Tensor:
        """Return the probabilities (B, 18) of the findings.

        Raises:
            VolumeError: the volume is not on the grid.
        """
        return self.score_latents(self.encode_volumes(volume_BCDHW))

    def score_latents(self, latent_BL: Array) -> Tensor:
        """Return the probabilities (B, 18) of volumes whose latents are known."""
        with torch.no_grad():
            features = features_of_latents(as_tensor(latent_BL).to(self._device, torch.float32))
            return self._model.logits_of_features(features.to(self._dtype)).float().sigmoid().cpu()

    def volume_tokens(self, volume_BCDHW: Array) -> NoReturn:  # noqa: ARG002
        """Refuse: a convolutional network has no tokens."""
        raise ConfigError(f"the model {self.name} is a CT-Net and has no tokens; take a CT-CLIP for them")

    def codebook_ids(self, volume_BCDHW: Array) -> NoReturn:  # noqa: ARG002
        """Refuse, likewise."""
        raise ConfigError(f"the model {self.name} is a CT-Net and has no codebook; take a CT-CLIP for it")

    def tokens_of_ids(self, ids: Array) -> NoReturn:  # noqa: ARG002
        """Refuse, likewise."""
        raise ConfigError(f"the model {self.name} is a CT-Net and has no codebook; take a CT-CLIP for it")

    def encode_token_ids(self, token_ids_BT: Array, mask_BT: Array) -> NoReturn:  # noqa: ARG002
        """Refuse: there is no text."""
        self._refuse_text()

    def tokenise_reports(self, reports: Sequence[str | ReportSections]) -> TokenisedReports:  # noqa: ARG002
        """Refuse, likewise."""
        self._refuse_text()

    def encode_reports(self, reports: Sequence[str | ReportSections]) -> NoReturn:  # noqa: ARG002
        """Refuse, likewise."""
        self._refuse_text()

    def _refuse_text(self) -> NoReturn:
        raise ReportError(
            f"the model {self.name} is a CT-Net and reads no text: ask with a volume or a case, "
            "or search a collection of a CT-CLIP"
        )

    def _parts(self, volume_BCDHW: Array) -> Iterator[Tensor]:
        parts = volume_parts(volume_BCDHW, self.grid, self.name)
        return (part.to(device=self._device, dtype=self._dtype) for part in parts)
