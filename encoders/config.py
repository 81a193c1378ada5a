"""Dimensions of the towers and of the grid a volume is brought to; the defaults are the published CT-CLIP's."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from encoders.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeGrid:
    """The grid every volume is brought to before it is encoded (arXiv 2403.17834, section 4).

    Axes are (slices, rows, columns), increasing towards Superior, Left and Posterior.
    """

    slices: int = 240
    rows: int = 480
    columns: int = 480
    slice_mm: float = 1.5
    pixel_mm: float = 0.75

    def __post_init__(self) -> None:
        if min(self.slices, self.rows, self.columns) < 1 or min(self.slice_mm, self.pixel_mm) <= 0:
            raise ConfigError(f"a volume grid needs positive sizes and spacings, found {self}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return (self.slices, self.rows, self.columns)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Target spacing along (slices, rows, columns), mm."""
        return (self.slice_mm, self.pixel_mm, self.pixel_mm)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeEncoderConfig:
    """3D ViT dimensions; the defaults are those of the published CT-CLIP (arXiv 2403.17834)."""

    image_px: int = 480
    slices: int = 240
    patch_px: int = 20
    patch_slices: int = 10
    slice_mm: float = 1.5
    pixel_mm: float = 0.75
    width: int = 512
    spatial_depth: int = 4
    temporal_depth: int = 4
    heads: int = 8
    head_width: int = 32
    codebook_size: int = 8192  # 0: tokens are not quantised
    pooling: Literal["mean_slices", "flatten"] = "mean_slices"  # what the latent's projection sees

    def __post_init__(self) -> None:
        if self.image_px % self.patch_px:
            raise ConfigError(f"image_px={self.image_px} is not a multiple of {self.patch_px=}")
        if self.slices % self.patch_slices:
            raise ConfigError(f"slices={self.slices} is not a multiple of {self.patch_slices=}")

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
    def token_shape(self) -> tuple[int, int, int]:
        """Tokens along (slice groups, rows, columns)."""
        cells = self.image_px // self.patch_px
        return (self.slices // self.patch_slices, cells, cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportEncoderConfig:
    """BERT dimensions; the defaults are CXR-BERT's."""

    vocabulary: int = 30522
    width: int = 768
    layers: int = 12
    heads: int = 12
    feed_forward: int = 3072
    max_tokens: int = 512
    pooling: Literal["first", "mean"] = "first"


@dataclass(frozen=True, slots=True, kw_only=True)
class CtClipConfig:
    """Both towers and the space they meet in; `latent_dim` 0 means a volume encoder alone, tokens only."""

    volume: VolumeEncoderConfig = field(default_factory=VolumeEncoderConfig)
    report: ReportEncoderConfig | None = field(default_factory=ReportEncoderConfig)
    latent_dim: int = 512

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict that `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "CtClipConfig":
        """Read what `to_json` wrote.

        Raises:
            ConfigError: a dimension is missing or unknown.
        """
        try:
            report = data["report"]
            return cls(
                volume=VolumeEncoderConfig(**data["volume"]),
                report=None if report is None else ReportEncoderConfig(**report),
                latent_dim=data["latent_dim"],
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(f"the model's config.json does not describe a CT-CLIP: {error}") from error
