"""A loaded CT-CLIP: batches are cut to what fits in memory, and what does not fit the model is refused."""

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from encoders.codebook import Codebook
from encoders.config import VolumeGrid
from encoders.ct_clip import CtClip
from encoders.errors import ConfigError, ReportError, VolumeError
from encoders.model_card import ModelCard
from encoders.reports import ReportSections, ReportTokenizer, TokenisedReports

VOXELS_AT_ONCE = 60_000_000  # one volume of the published grid; many of a small one
TOKENS_AT_ONCE = 8192  # 16 reports of full length

Array = Tensor | npt.NDArray[np.float32] | npt.NDArray[np.int64]
log = logging.getLogger(__name__)


class ClipEncoder:
    """A loaded CT-CLIP as an `Encoder`."""

    def __init__(
        self,
        model: CtClip,
        card: ModelCard,
        tokenizer: ReportTokenizer | None = None,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.name = card.directory.name
        self.digest = card.digest
        self.latent_dim = model.config.latent_dim
        self.grid = model.config.grid
        self.codebook_size = model.config.volume.codebook_size
        self.has_head = model.class_head is not None
        self.log_temperature = model.log_temperature.item()  # before it loses digits to a shorter type
        self.can_read_text = tokenizer is not None and model.config.report is not None
        self._device, self._dtype = torch.device(device), dtype
        self._model = model.eval().to(device=self._device, dtype=dtype)
        self._config = model.config
        self._tokenizer = tokenizer

    def volume_tokens(self, volume_BCDHW: Array) -> Tensor:
        """Return tokens (B, D', H', W', C) after quantisation, float32.

        Args:
            volume_BCDHW: one channel, on `grid`, in [-1, 1].

        Raises:
            VolumeError: the volume is not on the grid.
        """
        return torch.cat([self._tokens(part)[0].float().cpu() for part in self._parts(volume_BCDHW)])

    def codebook_ids(self, volume_BCDHW: Array) -> Tensor:
        """Return the codebook row of each token, int64 (B, D', H', W').

        Raises:
            VolumeError: the volume is not on the grid.
            ConfigError: the model has no codebook.
        """
        self._codebook()
        ids = [self._tokens(part)[1] for part in self._parts(volume_BCDHW)]
        return torch.cat([part.cpu() for part in ids if part is not None])

    def tokens_of_ids(self, ids: Array) -> Tensor:
        """Return tokens (..., C) of codebook ids (...), as `volume_tokens` gives them, float32.

        Raises:
            ConfigError: the model has no codebook.
            VolumeError: an id is no row of it.
        """
        codebook = self._codebook()
        rows = as_tensor(ids).long()
        if rows.numel() and not 0 <= int(rows.min()) <= int(rows.max()) < self.codebook_size:
            raise VolumeError(
                f"codebook ids reach from {int(rows.min())} to {int(rows.max())} where the model {self.name} "
                f"has {self.codebook_size} rows; they are another model's"
            )
        return codebook.rows[rows.to(self._device)].float().cpu()

    def encode_volumes(self, volume_BCDHW: Array) -> Tensor:
        """Return unit latents (B, L).

        Args:
            volume_BCDHW: one channel, on `grid`, in [-1, 1].

        Raises:
            VolumeError: the volume is not on the grid.
            ConfigError: the model is a volume encoder alone.
        """
        with torch.no_grad():
            latents = [self._model.volume_latents(part) for part in self._parts(volume_BCDHW)]
        return unit_rows(latents)

    def score_volumes(self, volume_BCDHW: Array) -> Tensor:
        """Return the head's probabilities (B, 18) of the findings.

        Raises:
            VolumeError: the volume is not on the grid.
            ConfigError: the model has no head.
        """
        return self.score_latents(self.encode_volumes(volume_BCDHW))

    def score_latents(self, latent_BL: Array) -> Tensor:
        """Return the head's probabilities (B, 18) of volumes whose latents are known.

        Raises:
            ConfigError: the model has no head.
        """
        with torch.no_grad():
            latents = as_tensor(latent_BL).to(device=self._device, dtype=self._dtype)
            return self._model.logits_of(latents).float().sigmoid().cpu()

    def encode_token_ids(self, token_ids_BT: Array, mask_BT: Array) -> Tensor:
        """Return unit latents (B, L) of reports that are tokenised already.

        Args:
            token_ids_BT: rows of the embedding.
            mask_BT: 1 for a token, 0 for padding.

        Raises:
            ReportError: ids or mask do not fit the report tower.
            ConfigError: the model is a volume encoder alone.
        """
        token_ids, mask = as_tensor(token_ids_BT).long(), as_tensor(mask_BT).long()
        self._check_token_ids(token_ids, mask)
        step = max(1, TOKENS_AT_ONCE // token_ids.shape[1])
        with torch.no_grad():
            latents = [
                self._model.report_latents(ids.to(self._device), kept.to(self._device))
                for ids, kept in zip(torch.split(token_ids, step), torch.split(mask, step), strict=True)
            ]
        return unit_rows(latents)

    def tokenise_reports(self, reports: Sequence[str | ReportSections]) -> TokenisedReports:
        """Return token ids, mask, and how many reports were too long.

        Raises:
            ReportError: the model has no tokeniser.
            ConfigError: the model is a volume encoder alone.
        """
        if isinstance(reports, str):
            raise ReportError("reports are encoded as a list, found one string; put it in a list")
        if self._config.report is None:
            raise ConfigError(
                f"the model {self.name} is a volume encoder alone; import a whole CT-CLIP for text"
            )
        if self._tokenizer is None:
            raise ReportError(
                f"the model {self.name} has no tokeniser, so it encodes token ids but no text; import its "
                "checkpoint again with --tokenizer VOCAB (CT-CLIP's is the vocab.txt of "
                "microsoft/BiomedVLP-CXR-BERT-specialized)"
            )
        return self._tokenizer.tokenise(reports, self._config.report.max_tokens)

    def encode_reports(self, reports: Sequence[str | ReportSections]) -> Tensor:
        """Return unit latents (B, L); a report that is too long keeps its impression, which the log says.

        Raises:
            ReportError: the model has no tokeniser.
            ConfigError: the model is a volume encoder alone.
        """
        tokenised = self.tokenise_reports(reports)
        if tokenised.cut:
            longest = tokenised.token_ids.shape[1]
            log.warning(
                "%d of %d reports exceed %d tokens and were cut", tokenised.cut, len(reports), longest
            )
        latents = torch.empty(len(reports), self.latent_dim)
        for rows in _of_like_length(tokenised.mask.sum(axis=1)):
            longest = int(tokenised.mask[rows].sum(axis=1).max())
            latents[torch.from_numpy(rows)] = self.encode_token_ids(
                tokenised.token_ids[rows, :longest], tokenised.mask[rows, :longest]
            )
        return latents

    @torch.no_grad()
    def _tokens(self, volume_BCDHW: Tensor) -> tuple[Tensor, Tensor | None]:
        tokens: Tensor
        ids: Tensor | None
        tokens, ids = self._model.volume_tower(volume_BCDHW)
        return tokens, ids

    def _codebook(self) -> Codebook:
        codebook = self._model.volume_tower.codebook
        if codebook is None:
            raise ConfigError(f"the model {self.name} has no codebook, so its tokens have no ids")
        return codebook

    def _parts(self, volume_BCDHW: Array) -> Iterator[Tensor]:
        parts = volume_parts(volume_BCDHW, self.grid, self.name)
        return (part.to(device=self._device, dtype=self._dtype) for part in parts)

    def _check_token_ids(self, token_ids_BT: Tensor, mask_BT: Tensor) -> None:
        report = self._config.report
        if report is None:
            raise ConfigError(
                f"the model {self.name} is a volume encoder alone; import a whole CT-CLIP for text"
            )
        if token_ids_BT.ndim != 2 or token_ids_BT.shape != mask_BT.shape or not token_ids_BT.numel():
            found = f"{tuple(token_ids_BT.shape)} and {tuple(mask_BT.shape)}"
            raise ReportError(f"token ids and mask need one shape, (reports, tokens), found {found}")
        if token_ids_BT.shape[1] > report.max_tokens:
            raise ReportError(
                f"the encoder reads {report.max_tokens} tokens, found {token_ids_BT.shape[1]}; cut them"
            )
        low, high = int(token_ids_BT.min()), int(token_ids_BT.max())
        if low < 0 or high >= report.vocabulary:
            raise ReportError(
                f"token ids reach from {low} to {high} where the encoder has {report.vocabulary} tokens; "
                "use the tokeniser it was trained with"
            )
        if not mask_BT.any(dim=1).all():
            raise ReportError("a report has no token that the mask keeps; leave it out")


def volume_parts(volume_BCDHW: Array, grid: VolumeGrid, name: str) -> Sequence[Tensor]:
    """Split a batch so that memory does not grow with it.

    Raises:
        VolumeError: it is not on the grid of the encoder of that name.
    """
    volume = as_tensor(volume_BCDHW)
    if volume.ndim != 5 or tuple(volume.shape[1:]) != (1, *grid.shape) or not len(volume):
        expected = ", ".join(map(str, grid.shape))
        raise VolumeError(
            f"the encoder {name} takes volumes (B, 1, {expected}), found {tuple(volume.shape)}; "
            "bring them to its grid first"
        )
    return torch.split(volume, max(1, VOXELS_AT_ONCE // volume[0].numel()))


def as_tensor(array: Array) -> Tensor:
    """Share memory where torch can: it takes neither flipped views nor read-only arrays as they are."""
    if isinstance(array, np.ndarray):
        return torch.from_numpy(np.require(array, requirements=["C", "W"]))
    return torch.as_tensor(array)


def _of_like_length(lengths: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Yield rows of like length in batches, so that little padding is computed."""
    order = np.argsort(lengths, kind="stable")[::-1]
    start = 0
    while start < len(order):
        step = max(1, TOKENS_AT_ONCE // int(lengths[order[start]]))
        yield order[start : start + step].copy()
        start += step


def unit_rows(latents: list[Tensor]) -> Tensor:
    """Join latents and make them unit length once more: a shorter float leaves them slightly off."""
    return torch.nn.functional.normalize(torch.cat([part.float().cpu() for part in latents]), dim=-1)
