"""Which published key holds which of our weights, and what a published checkpoint may hold besides."""

import re

from encoders.config import CtClipConfig

VOLUME_PREFIX = "visual_transformer."
REPORT_PREFIX = "text_transformer."

# (ours, published), inside one transformer layer; published index 2 is a cross-attention never built
_LAYER_KEYS = (
    ("position.depthwise.weight", "0.dsconv.weight"),
    ("position.depthwise.bias", "0.dsconv.bias"),
    ("attention.query_scale", "1.q_scale"),
    ("attention.key_scale", "1.k_scale"),
    ("attention.norm.weight", "1.norm.gamma"),
    ("attention.norm.offset", "1.norm.beta"),
    ("attention.to_query.weight", "1.to_q.weight"),
    ("attention.to_key_value.weight", "1.to_kv.weight"),
    ("attention.to_out.weight", "1.to_out.weight"),
    ("feed_forward.norm.weight", "3.0.weight"),
    ("feed_forward.norm.bias", "3.0.bias"),
    ("feed_forward.to_value_gate.weight", "3.1.weight"),
    ("feed_forward.to_out.weight", "3.4.weight"),
)
_AFFINE_KEYS = (
    ("patches.voxel_norm", "to_patch_emb.1"),
    ("patches.projection", "to_patch_emb.2"),
    ("patches.token_norm", "to_patch_emb.3"),
    ("position_bias.hidden_1", "spatial_rel_pos_bias.net.0.0"),
    ("position_bias.hidden_2", "spatial_rel_pos_bias.net.1.0"),
    ("position_bias.to_heads", "spatial_rel_pos_bias.net.2"),
)
_STACKS = (("spatial", "enc_spatial_transformer"), ("temporal", "enc_temporal_transformer"))
_BERT_EMBEDDINGS = ("word_embeddings", "position_embeddings", "token_type_embeddings")
_BERT_LAYER = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
_UNUSED = re.compile(
    r"(to_text_latent_extra|to_visual_latent_extra)\."
    r"|text_transformer\.(pooler\.|embeddings\.(position_ids|token_type_ids)$)"
    r"|(visual_transformer\.)?(to_pixels|to_patch_emb_first_frame)"
    r"|.*\.context_norm\.(gamma|beta)$|.*\.null_kv$|.*\.initted$"
)


def is_unused(key: str) -> bool:
    """Whether published checkpoints hold this key without the model ever reading it."""
    return _UNUSED.match(key) is not None


def published_names(config: CtClipConfig) -> dict[str, str]:
    """Map every weight of `CtClip(config)` to the published key that holds it, in the published order.

    A volume encoder alone is named as inside a whole model, with `visual_transformer.` before each key.
    """
    names: dict[str, str] = {}
    if config.report is not None:
        names |= {"log_temperature": "temperature"} | _report_names(config.report.layers)
    names |= _volume_names(config)
    if config.report is not None:
        names["report_projection.weight"] = "to_text_latent.weight"
    if config.latent_dim:
        names["volume_projection.weight"] = "to_visual_latent.weight"
    return names


def published_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape under which a published checkpoint holds our weight `name`, ours being `shape`."""
    return (1, *shape) if name.startswith("volume_tower.codebook.") else shape


def _report_names(layers: int) -> dict[str, str]:
    inside = [f"embeddings.{name}.weight" for name in _BERT_EMBEDDINGS]
    inside += [f"embeddings.LayerNorm.{part}" for part in ("weight", "bias")]
    for index in range(layers):
        inside += [
            f"encoder.layer.{index}.{name}.{part}" for name in _BERT_LAYER for part in ("weight", "bias")
        ]
    return {f"report_tower.bert.{name}": REPORT_PREFIX + name for name in inside}


def _volume_names(config: CtClipConfig) -> dict[str, str]:
    inside: dict[str, str] = {}
    for ours, published in _AFFINE_KEYS:
        inside |= {f"{ours}.{part}": f"{published}.{part}" for part in ("weight", "bias")}
    depths = (config.volume.spatial_depth, config.volume.temporal_depth)
    for (our_stack, published_stack), depth in zip(_STACKS, depths, strict=True):
        for index in range(depth):
            inside |= {
                f"{our_stack}.layers.{index}.{ours}": f"{published_stack}.layers.{index}.{published}"
                for ours, published in _LAYER_KEYS
            }
        inside[f"{our_stack}.norm.weight"] = f"{published_stack}.norm_out.gamma"
        inside[f"{our_stack}.norm.offset"] = f"{published_stack}.norm_out.beta"
    if config.volume.codebook_size:
        inside["codebook.counts"] = "vq._codebook.cluster_size"
        inside["codebook.rows"] = "vq._codebook.embed"
    return {f"volume_tower.{ours}": VOLUME_PREFIX + published for ours, published in inside.items()}
