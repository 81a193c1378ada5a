"""ClassFine's head: the 18 findings from a volume's latent (LiPro in the published code)."""

from torch import Tensor, nn

from encoders.abnormalities import ABNORMALITIES
from encoders.config import ClassHeadConfig


class ClassHead(nn.Module):
    """ReLU, dropout, and one linear map to the findings (arXiv 2403.17834, ClassFine)."""

    def __init__(self, latent_dim: int, config: ClassHeadConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.to_findings = nn.Linear(latent_dim, len(ABNORMALITIES))

    def forward(self, latent_BL: Tensor) -> Tensor:
        """Return logits (B, 18), in the order of `ABNORMALITIES`, of unit latents (B, L)."""
        logits: Tensor = self.to_findings(self.dropout(latent_BL.relu()))
        return logits
