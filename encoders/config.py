"""Dimensions of the models and of the grid a volume is brought to; the defaults are the published ones."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from encoders.errors import ConfigError

VolumePooling = Literal["mean_slices", "flatten"]
ReportPooling = Literal["first", "mean"]


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
    pooling: VolumePooling = "mean_slices"  # what the latent's projection sees

    def __post_init__(self) -> None:
        sizes = (
            self.image_px,
            self.slices,
            self.patch_px,
            self.patch_slices,
            self.width,
            self.heads,
            self.head_width,
        )
        if min(sizes) < 1 or min(self.spatial_depth, self.temporal_depth, self.codebook_size) < 0:
            raise ConfigError(f"a volume encoder needs positive sizes, found {self}")
        if self.image_px % self.patch_px:
            raise ConfigError(f"image_px={self.image_px} is not a multiple of {self.patch_px=}")
        if self.slices % self.patch_slices:
            raise ConfigError(f"slices={self.slices} is not a multiple of {self.patch_slices=}")
        if self.pooling not in get_args(VolumePooling):
            raise ConfigError(f"pooling={self.pooling!r} is unknown; take one of {get_args(VolumePooling)}")

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
    dropout: float = 0.1  # in training only
    pooling: ReportPooling = "first"

    def __post_init__(self) -> None:
        if min(self.vocabulary, self.width, self.layers, self.heads, self.feed_forward, self.max_tokens) < 1:
            raise ConfigError(f"a report encoder needs positive sizes, found {self}")
        if self.width % self.heads:
            raise ConfigError(f"the report encoder's width={self.width} is not a multiple of {self.heads=}")
        if self.pooling not in get_args(ReportPooling):
            raise ConfigError(f"pooling={self.pooling!r} is unknown; take one of {get_args(ReportPooling)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassHeadConfig:
    """ClassFine's head, which scores the 18 findings from a volume's latent (arXiv 2403.17834)."""

    dropout: float = 0.3  # in training only

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"a share of what a head sees is dropped, at least 0 and below 1, found {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CtClipConfig:
    """Both towers and the space they meet in; `latent_dim` 0 means a volume encoder alone, tokens only."""

    volume: VolumeEncoderConfig = field(default_factory=VolumeEncoderConfig)
    report: ReportEncoderConfig | None = field(default_factory=ReportEncoderConfig)
    latent_dim: int = 512
    class_head: ClassHeadConfig | None = None

    def __post_init__(self) -> None:
        if self.latent_dim < 0 or (self.report is not None and self.latent_dim == 0):
            raise ConfigError(
                f"a model with a report encoder needs a latent, found latent_dim={self.latent_dim}"
            )
        if self.class_head is not None and self.latent_dim == 0:
            raise ConfigError("a head scores latents, and a volume encoder alone has none")

    @property
    def grid(self) -> VolumeGrid:
        """The voxel grid the volume tower takes."""
        return self.volume.grid

    @property
    def pooled_width(self) -> int:
        """How many numbers of a volume the latent's projection sees."""
        groups, rows, columns = self.volume.token_shape
        return (groups if self.volume.pooling == "flatten" else 1) * rows * columns * self.volume.width

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict that `from_json` reads back; without a head as before there were heads."""
        described = asdict(self)
        if self.class_head is None:
            del described["class_head"]
        return described

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "CtClipConfig":
        """Read what `to_json` wrote.

        Raises:
            ConfigError: a dimension is missing or unknown.
        """
        try:
            report, head = data["report"], data.get("class_head")
            return cls(
                volume=VolumeEncoderConfig(**data["volume"]),
                report=None if report is None else ReportEncoderConfig(**report),
                latent_dim=data["latent_dim"],
                class_head=None if head is None else ClassHeadConfig(**head),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"the model's config.json does not describe a CT-CLIP: {error}") from error
