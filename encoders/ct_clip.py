"""CT-CLIP: a volume tower and a report tower that meet in one space (arXiv 2403.17834)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.class_head import ClassHead
from encoders.config import CtClipConfig
from encoders.ct_vit import CtVit
from encoders.errors import ConfigError
from encoders.report_bert import ReportBert

INITIAL_LOG_TEMPERATURE = 1.0


class CtClip(nn.Module):
    """Both towers and their projections; either projection may be absent, and then says so when asked."""

    def __init__(self, config: CtClipConfig) -> None:
        super().__init__()
        self.config = config
        self.volume_tower = CtVit(config.volume)
        self.volume_projection = (
            nn.Linear(config.pooled_width, config.latent_dim, bias=False) if config.latent_dim else None
        )
        self.report_tower = None if config.report is None else ReportBert(config.report)
        self.report_projection = (
            None if config.report is None else nn.Linear(config.report.width, config.latent_dim, bias=False)
        )
        self.log_temperature = nn.Parameter(torch.tensor(INITIAL_LOG_TEMPERATURE))
        self.class_head = (
            None if config.class_head is None else ClassHead(config.latent_dim, config.class_head)
        )

    def forward(
        self, volume_BCDHW: Tensor, token_ids_BT: Tensor, mask_BT: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode pairs of volumes and reports.

        Args:
            volume_BCDHW: (B, 1, D, H, W) in [-1, 1], on the grid of the configuration.
            token_ids_BT: int64 token ids of the reports.
            mask_BT: 1 for a token, 0 for padding.

        Returns:
            Unit latents of the volumes (B, L) and of the reports (B, L), and the log temperature, a scalar.
        """
        return (
            self.volume_latents(volume_BCDHW),
            self.report_latents(token_ids_BT, mask_BT),
            self.log_temperature,
        )

    def volume_latents(self, volume_BCDHW: Tensor) -> Tensor:
        """Return unit latents (B, L) of volumes (B, 1, D, H, W).

        Raises:
            ConfigError: the model is a volume encoder alone, without a projection.
        """
        tokens, _ = self.volume_tower(volume_BCDHW)
        return self.project_tokens(tokens)

    def project_tokens(self, tokens_BDHWC: Tensor) -> Tensor:
        """Return unit latents (B, L) of quantised tokens (B, D', H', W', C).

        Raises:
            ConfigError: the model is a volume encoder alone, without a projection.
        """
        if self.volume_projection is None:
            raise ConfigError(
                "this model is a volume encoder alone: it has tokens but no latent; "
                "import a whole CT-CLIP checkpoint to compare cases"
            )
        pool = self.config.volume.pooling
        pooled = tokens_BDHWC.mean(dim=1) if pool == "mean_slices" else tokens_BDHWC
        return functional.normalize(self.volume_projection(pooled.flatten(1)), dim=-1)

    def report_latents(self, token_ids_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Return unit latents (B, L) of tokenised reports.

        Raises:
            ConfigError: the model has no report tower.
        """
        if self.report_tower is None or self.report_projection is None:
            raise ConfigError(
                "this model has no report encoder; import a whole CT-CLIP checkpoint to encode text"
            )
        return functional.normalize(self.report_projection(self.report_tower(token_ids_BT, mask_BT)), dim=-1)

    def finding_logits(self, volume_BCDHW: Tensor) -> Tensor:
        """Return the head's logits (B, 18) of volumes.

        Raises:
            ConfigError: the model has no head.
        """
        return self.logits_of(self.volume_latents(volume_BCDHW))

    def logits_of(self, latent_BL: Tensor) -> Tensor:
        """Return the head's logits (B, 18) of volumes' unit latents.

        Raises:
            ConfigError: the model has no head.
        """
        if self.class_head is None:
            raise ConfigError(
                "this model has no head of its own: score with prompts, or train one with classfine"
            )
        logits: Tensor = self.class_head(latent_BL)
        return logits


def similarity(report_NL: Tensor, volume_ML: Tensor, log_temperature: Tensor | float) -> Tensor:
    """Return logits (N, M): exp(temperature) times the cosine of every report with every volume."""
    return torch.as_tensor(log_temperature).exp() * (report_NL @ volume_ML.T)
