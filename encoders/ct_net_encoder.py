"""A loaded CT-Net as an `Encoder`: volumes have latents and scores, and there is no text."""

from collections.abc import Iterator, Sequence
from typing import NoReturn

import torch
from torch import Tensor

from encoders.clip_encoder import Array, ScoresFrom, unit_rows, volume_parts
from encoders.ct_net import CtNet
from encoders.errors import ConfigError
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
        self.scores_from: ScoresFrom = "volumes"  # a latent has lost the length that the head reads
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
        with torch.no_grad():
            logits = [self._model.finding_logits(part) for part in self._parts(volume_BCDHW)]
        return torch.cat([part.float().cpu() for part in logits]).sigmoid()

    def score_latents(self, latent_BL: Array) -> NoReturn:  # noqa: ARG002 - the protocol's
        """Refuse: the head reads features, whose length their latents have lost."""
        raise ConfigError(f"the model {self.name} is a CT-Net, which scores volumes and not their latents")

    def volume_tokens(self, volume_BCDHW: Array) -> NoReturn:  # noqa: ARG002
        """Refuse: a convolutional network has no tokens."""
        raise ConfigError(f"the model {self.name} is a CT-Net and has no tokens; take a CT-CLIP for them")

    def codebook_ids(self, volume_BCDHW: Array) -> NoReturn:  # noqa: ARG002
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
        raise ConfigError(
            f"the model {self.name} is a CT-Net and reads no text: ask with a volume or a case, "
            "or search a collection of a CT-CLIP"
        )

    def _parts(self, volume_BCDHW: Array) -> Iterator[Tensor]:
        parts = volume_parts(volume_BCDHW, self.grid, self.name)
        return (part.to(device=self._device, dtype=self._dtype) for part in parts)
