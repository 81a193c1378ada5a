"""A CT-CLIP of a few thousand random weights that reads text: enough for a command, at no cost."""

import re
from pathlib import Path

import torch

from encoders.abnormalities import ABNORMALITIES
from encoders.checkpoints import Weights
from encoders.config import CtClipConfig, ReportEncoderConfig, VolumeEncoderConfig
from encoders.ct_clip import CtClip
from encoders.model_card import ModelCard
from encoders.model_directory import write_model
from encoders.reports import ReportTokenizer

LATENT_DIM = 16
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",")
WORDS = """
    no not is are there in the a of right left upper lower lobe lung both bilateral crazy paving nodule
    pleural effusion heart normal observed present
"""


def write_tiny_model(
    directory: Path, *, seed: int = 0, reads_text: bool = True, codebook_size: int = 0
) -> ModelCard:
    """Write the model and its tokeniser; another seed is another encoder."""
    written = " ".join([WORDS, *ABNORMALITIES]).lower()
    words = dict.fromkeys([*SPECIAL_TOKENS, *re.findall(r"[a-z]+", written)])
    vocabulary = directory.with_name(f"{directory.name}.vocab.txt")
    vocabulary.write_text("\n".join(words) + "\n", encoding="utf-8")
    config = CtClipConfig(
        volume=VolumeEncoderConfig(
            image_px=32,
            slices=16,
            patch_px=16,
            patch_slices=8,
            slice_mm=15.0,
            pixel_mm=12.0,
            width=16,
            spatial_depth=1,
            temporal_depth=1,
            heads=2,
            head_width=8,
            codebook_size=codebook_size,
        ),
        report=ReportEncoderConfig(
            vocabulary=len(words), width=16, layers=1, heads=2, feed_forward=32, max_tokens=64
        ),
        latent_dim=LATENT_DIM,
    )
    torch.manual_seed(seed)
    model = CtClip(config)
    weights = Weights(config=config, tensors=dict(model.state_dict()))
    tokenizer = ReportTokenizer.from_path(vocabulary) if reads_text else None
    return write_model(directory, weights, tokenizer=tokenizer)
