"""Dimensions of CT-Net, and which model a config.json describes."""

from dataclasses import asdict, dataclass
from typing import Any

from encoders.config import CtClipConfig, VolumeGrid
from encoders.errors import ConfigError

CT_NET = "ct-net"
SLICES_IN_GROUP = 3  # ResNet-18 reads them as the three colours of a photograph
REDUCTIONS = (((3, 3, 3), (3, 1, 1)), ((3, 3, 3), (3, 1, 1)), ((3, 2, 2), (3, 2, 2)))  # kernel, stride
_RESNET_DOUBLINGS = 3  # of its width, after its first stage


@dataclass(frozen=True, slots=True, kw_only=True)
class CtNetConfig:
    """CT-Net on CT-CLIP's grid; widths are those of Draelos et al. (arXiv 2002.04752)."""

    image_px: int = 480
    slices: int = 240
    slice_mm: float = 1.5
    pixel_mm: float = 0.75
    resnet_width: int = 64
    pools_stem: bool = True  # without it small images are halved once less
    reduced_width: int = 64  # channels after the first 3D convolution; the next two halve them
    hidden: int = 128
    features: int = 96
    dropout: float = 0.5  # in training only

    def __post_init__(self) -> None:
        sizes = (self.image_px, self.slices, self.resnet_width, self.hidden, self.features)
        if min(sizes) < 1 or self.reduced_width < 4 or not 0 <= self.dropout < 1:
            raise ConfigError(f"a CT-Net needs positive sizes, found {self}")
        if self.slices % SLICES_IN_GROUP:
            raise ConfigError(f"slices={self.slices} is not a multiple of {SLICES_IN_GROUP}")
        if min(self.reduced_shape) < 1:
            raise ConfigError(
                f"image_px={self.image_px} and resnet_width={self.resnet_width} leave nothing after CT-Net's "
                "three 3D convolutions; make them larger"
            )

    @property
    def grid(self) -> VolumeGrid:
        """The voxel grid this encoder takes."""
        return VolumeGrid(
            slices=self.slices,
            rows=self.image_px,
            columns=self.image_px,
            slice_mm=self.slice_mm,
            pixel_mm=self.pixel_mm,
        )

    @property
    def report(self) -> None:
        """CT-Net reads no text."""
        return

    @property
    def latent_dim(self) -> int:
        """A latent is the features and a 1, at unit length; see `encoders.ct_net.CtNet.volume_latents`."""
        return self.features + 1

    @property
    def groups(self) -> int:
        """Groups of slices, which are the channels of the first 3D convolution."""
        return self.slices // SLICES_IN_GROUP

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of ResNet-18's features of one group."""
        side = self.image_px
        for _ in range(4 + self.pools_stem):
            side = (side + 1) // 2
        return (self.resnet_width << _RESNET_DOUBLINGS, side, side)

    @property
    def reduced_shape(self) -> tuple[int, int, int]:
        """What the three 3D convolutions, which are not padded, leave of `feature_shape`."""
        shape = self.feature_shape
        for kernel, stride in REDUCTIONS:
            left = [(n - k) // s + 1 for n, k, s in zip(shape, kernel, stride, strict=True)]
            shape = (left[0], left[1], left[2])
        return shape

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict that `from_json` reads back."""
        return {"architecture": CT_NET, **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "CtNetConfig":
        """Read what `to_json` wrote.

        Raises:
            ConfigError: a dimension is missing or unknown.
        """
        try:
            return cls(**{name: value for name, value in data.items() if name != "architecture"})
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the model's config.json does not describe a CT-Net: {error}") from error


ModelConfig = CtClipConfig | CtNetConfig


def model_config(data: dict[str, Any]) -> ModelConfig:
    """Read what either `to_json` wrote.

    Raises:
        ConfigError: a dimension is missing or unknown.
    """
    if data.get("architecture") == CT_NET:
        return CtNetConfig.from_json(data)
    return CtClipConfig.from_json(data)
