"""The dimensions of a published checkpoint, read off the shapes of its weights.

A size is what most of the keys that show it agree on, so that one damaged key is named as the damaged one.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping

from encoders.config import CtClipConfig, ReportEncoderConfig, VolumeEncoderConfig
from encoders.errors import CheckpointError, ConfigError
from encoders.published_keys import REPORT_PREFIX, VOLUME_PREFIX

Shapes = Mapping[str, tuple[int, ...]]
PUBLISHED_IMAGE_PX = 480
PUBLISHED_SLICES = 240
PUBLISHED_TEXT_HEADS = 12

_SPATIAL = VOLUME_PREFIX + "enc_spatial_transformer."
_TEMPORAL = VOLUME_PREFIX + "enc_temporal_transformer."
_ANY_LAYER = (_SPATIAL + "layers.*.", _TEMPORAL + "layers.*.")
_BERT_LAYER = REPORT_PREFIX + "encoder.layer.*."
_LATENT = "to_visual_latent.weight"


def config_from_shapes(
    shapes: Shapes, *, slices: int, text_heads: int, image_px: int | None = None
) -> CtClipConfig:
    """Infer every dimension that the shapes tell.

    Args:
        shapes: of a checkpoint's weights, under the keys of a whole published model.
        slices: of the grid; no shape tells it.
        text_heads: attention heads of the report tower; no shape tells them.
        image_px: rows and columns of the grid, for a volume encoder alone; a whole model tells them.

    Raises:
        CheckpointError: a key that tells a size is missing, or sizes cannot go together.
    """
    try:
        return CtClipConfig(
            volume=_volume_config(shapes, slices, image_px),
            report=_report_config(shapes, text_heads) if _has(shapes, REPORT_PREFIX) else None,
            latent_dim=_latent_dim(shapes),
        )
    except ConfigError as error:
        raise CheckpointError(f"its sizes cannot go together: {error}") from error


def _volume_config(shapes: Shapes, slices: int, image_px: int | None) -> VolumeEncoderConfig:
    embedding, first_slice = VOLUME_PREFIX + "to_patch_emb.", VOLUME_PREFIX + "to_patch_emb_first_frame."
    voxels = _size(
        shapes, (embedding + "2.weight", 1), (embedding + "1.weight", 0), (embedding + "1.bias", 0)
    )
    pixels = _size(
        shapes,
        (first_slice + "2.weight", 1),
        (first_slice + "1.weight", 0),
        (first_slice + "1.bias", 0),
        (VOLUME_PREFIX + "to_pixels_first_frame.0.weight", 0),
    )
    width = _size(
        shapes,
        (embedding + "2.weight", 0),
        (embedding + "3.weight", 0),
        (_SPATIAL + "norm_out.gamma", 0),
        (_TEMPORAL + "norm_out.gamma", 0),
    )
    patch_px = _whole_root(pixels, first_slice + "2.weight", pixels)
    patch_slices = _quotient(voxels, pixels, embedding + "2.weight")
    if slices < 1 or slices % patch_slices:
        raise CheckpointError(
            f"its slice patch is {patch_slices}, and {slices} slices are no multiple of it; "
            "give the number of slices it was trained on as --slices"
        )
    head_width = _size(shapes, *((layer + f"1.{part}_scale", 0) for layer in _ANY_LAYER for part in "qk"))
    inner = _size(
        shapes,
        *((layer + "1.to_q.weight", 0) for layer in _ANY_LAYER),
        (_SPATIAL + "layers.*.1.to_out.weight", 1),
    )
    return VolumeEncoderConfig(
        image_px=_image_px(shapes, width, patch_px, image_px),
        slices=slices,
        patch_px=patch_px,
        patch_slices=patch_slices,
        width=width,
        spatial_depth=_depth(shapes, _SPATIAL + "layers."),
        temporal_depth=_depth(shapes, _TEMPORAL + "layers."),
        heads=_quotient(inner, head_width, _SPATIAL + "layers.0.1.to_q.weight"),
        head_width=head_width,
        codebook_size=_size(
            shapes,
            (VOLUME_PREFIX + "vq._codebook.cluster_size", 1),
            (VOLUME_PREFIX + "vq._codebook.embed", 1),
        ),
    )


def _report_config(shapes: Shapes, heads: int) -> ReportEncoderConfig:
    embeddings = REPORT_PREFIX + "embeddings."
    width = _size(
        shapes,
        (embeddings + "LayerNorm.weight", 0),
        (embeddings + "word_embeddings.weight", 1),
        (embeddings + "position_embeddings.weight", 1),
    )
    if heads < 1 or width % heads:
        raise CheckpointError(
            f"its report tower is {width} wide, which {heads} heads do not divide; "
            "give their number as --text-heads"
        )
    return ReportEncoderConfig(
        vocabulary=_size(shapes, (embeddings + "word_embeddings.weight", 0)),
        width=width,
        layers=_depth(shapes, REPORT_PREFIX + "encoder.layer."),
        heads=heads,
        feed_forward=_size(
            shapes, (_BERT_LAYER + "intermediate.dense.bias", 0), (_BERT_LAYER + "output.dense.weight", 1)
        ),
        max_tokens=_size(shapes, (embeddings + "position_embeddings.weight", 0)),
    )


def _latent_dim(shapes: Shapes) -> int:
    """0 for a volume encoder alone: it has tokens, and no latent."""
    if _LATENT not in shapes and not _has(shapes, REPORT_PREFIX):
        return 0
    return _size(shapes, (_LATENT, 0), ("to_text_latent.weight", 0), ("to_text_latent_extra.weight", 0))


def _image_px(shapes: Shapes, width: int, patch_px: int, asked: int | None) -> int:
    if _LATENT not in shapes:
        return PUBLISHED_IMAGE_PX if asked is None else asked
    seen = _size(shapes, (_LATENT, 1))
    image_px = _whole_root(_quotient(seen, width, _LATENT), _LATENT, seen) * patch_px
    if asked is not None and asked != image_px:
        raise CheckpointError(
            f"its weights are for images of {image_px} px, not of {asked}; leave --image-size out"
        )
    return image_px


def _size(shapes: Shapes, *places: tuple[str, int]) -> int:
    """The size that most places, (key with * for a layer, axis), agree on; the first place wins a tie."""
    found: Counter[int] = Counter()
    for key, axis in places:
        pattern = re.compile(re.escape(key).replace(r"\*", r"\d+"))
        found.update(
            shape[axis] for name, shape in shapes.items() if len(shape) > axis and pattern.fullmatch(name)
        )
    if not found:
        raise CheckpointError(f"the key {places[0][0].replace('*', '0')!r} is missing")
    return found.most_common(1)[0][0]


def _depth(shapes: Shapes, prefix: str) -> int:
    """How many layers there are; at least one, so that an empty stack is a missing key."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return len({match[1] for name in shapes if (match := pattern.match(name))}) or 1


def _has(shapes: Shapes, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in shapes)


def _quotient(total: int, part: int, key: str) -> int:
    if part < 1 or total < part or total % part:
        raise CheckpointError(f"the key {key!r} has a side of {total}, which is no multiple of {part}")
    return total // part


def _whole_root(square: int, key: str, side: int) -> int:
    root = math.isqrt(square)
    if root * root != square:
        raise CheckpointError(f"the key {key!r} has a side of {side}, which does not make a square image")
    return root
