"""CT-Net: ResNet-18 on groups of three slices, 3D convolutions over all groups, and the findings' logits.

A supervised baseline that reads no text (Draelos et al., Medical Image Analysis 2021, arXiv 2002.04752).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.abnormalities import ABNORMALITIES
from encoders.ct_net_config import REDUCTIONS, SLICES_IN_GROUP, CtNetConfig
from encoders.resnet import ResNet18

_GROUPS_AT_ONCE = 16  # without gradients: 80 groups of the full grid would take 2 GB


class CtNet(nn.Module):
    """(B, 1, D, H, W) in [-1, 1] to the logits of the 18 findings."""

    def __init__(self, config: CtNetConfig) -> None:
        super().__init__()
        self.config = config
        self.resnet = ResNet18(config.resnet_width, pools_stem=config.pools_stem)
        widths = [config.groups, *(config.reduced_width >> halved for halved in range(len(REDUCTIONS)))]
        layers: list[nn.Module] = []
        for (before, after), (kernel, stride) in zip(pairwise(widths), REDUCTIONS, strict=True):
            layers += [nn.Conv3d(before, after, kernel, stride), nn.ReLU()]
        self.reduce = nn.Sequential(*layers)
        depth, rows, columns = config.reduced_shape
        self.to_hidden = nn.Linear(widths[-1] * depth * rows * columns, config.hidden)
        self.to_features = nn.Linear(config.hidden, config.features)
        self.to_findings = nn.Linear(config.features, len(ABNORMALITIES))
        self.dropout = nn.Dropout(config.dropout)
        for module in (*self.reduce, self.to_hidden, self.to_features):
            if isinstance(module, nn.Conv3d | nn.Linear):  # torch's own start lets biases drown the volume
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, volume_BCDHW: Tensor) -> Tensor:
        """Return logits (B, 18), in the order of `ABNORMALITIES`."""
        return self.finding_logits(volume_BCDHW)

    def finding_logits(self, volume_BCDHW: Tensor) -> Tensor:
        """Return logits (B, 18) of volumes (B, 1, D, H, W)."""
        return self.logits_of_features(self.features(volume_BCDHW))

    def volume_latents(self, volume_BCDHW: Tensor) -> Tensor:
        """Return the features and a 1 beside them, at unit length, (B, F + 1): for volume to volume search.

        The 1 keeps the length that is divided by, so that a stored latent has its scores.
        """
        return functional.normalize(
            functional.pad(self.features(volume_BCDHW).float(), (0, 1), value=1.0), dim=-1
        )

    def logits_of_features(self, feature_BF: Tensor) -> Tensor:
        """Return logits (B, 18) of features (B, F)."""
        logits: Tensor = self.to_findings(self.dropout(feature_BF.relu()))
        return logits

    def features(self, volume_BCDHW: Tensor) -> Tensor:
        """Return what the last layer's ReLU takes, (B, F): of both signs, so every volume has a direction.

        The groups of slices are the channels of the first 3D convolution, and ResNet-18's channels the depth
        that it runs along, as in the published model.
        """
        return self.features_of(self.reduced(volume_BCDHW))

    def reduced(self, volume_BCDHW: Tensor) -> Tensor:
        """Return what the convolutions leave of volumes, (B, R)."""
        batch, _, slices, rows, columns = volume_BCDHW.shape
        groups = volume_BCDHW.reshape(-1, SLICES_IN_GROUP, rows, columns)
        maps = self._maps(groups).view(batch, slices // SLICES_IN_GROUP, *self.config.feature_shape)
        left: Tensor = self.reduce(maps).flatten(1)
        return left

    def features_of(self, reduced_BR: Tensor) -> Tensor:
        """Return the features (B, F) of what the convolutions left."""
        features: Tensor = self.to_features(self.dropout(functional.relu(self.to_hidden(reduced_BR))))
        return features

    def _maps(self, groups_GCHW: Tensor) -> Tensor:
        if torch.is_grad_enabled() or self.training:  # BatchNorm's statistics are those of the whole batch
            whole: Tensor = self.resnet(groups_GCHW)
            return whole
        return torch.cat([self.resnet(part) for part in torch.split(groups_GCHW, _GROUPS_AT_ONCE)])


def features_of_latents(latent_BL: Tensor) -> Tensor:
    """Return the features (B, F) that unit latents (B, F + 1) were made of."""
    return latent_BL[:, :-1] / latent_BL[:, -1:]
