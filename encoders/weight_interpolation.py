"""WISE-FT: weights between those of a zero-shot model and those of the same model fine-tuned.

Fine-tuning gains detection and loses retrieval; a point on the line between the two keeps much of both
(Wortsman et al., arXiv 2109.01903).
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from encoders.checkpoints import Weights
from encoders.errors import CheckpointError, ConfigError
from encoders.model_card import TOKENIZER_FILE, ModelCard, read_card
from encoders.model_directory import read_model, write_model
from encoders.reports import ReportTokenizer

HEAD = "class_head."


def interpolate(
    zero_shot: Mapping[str, Tensor], fine_tuned: Mapping[str, Tensor], alpha: float
) -> dict[str, Tensor]:
    """Return (1 - alpha) · zero_shot + alpha · fine_tuned, weight by weight, in float32.

    The codebook is interpolated like any weight: fine-tuning moved row i from where the zero-shot model had
    it, what stands in a row is what the projection reads, and the look-up divides by its length. Integers
    (counters) are the fine-tuned model's.

    Args:
        zero_shot: alpha = 0 gives exactly these.
        fine_tuned: alpha = 1 gives exactly these; of the same names and shapes.
        alpha: from 0 to 1.

    Raises:
        ConfigError: alpha is outside.
        CheckpointError: a weight is missing in one of them, or differs in shape.
    """
    check_alpha(alpha)
    for name in sorted(zero_shot.keys() | fine_tuned.keys()):
        shapes = [tuple(of[name].shape) if name in of else None for of in (zero_shot, fine_tuned)]
        if shapes[0] != shapes[1]:
            shown = " and ".join("missing" if shape is None else str(shape) for shape in shapes)
            raise CheckpointError(
                f"the models cannot be interpolated: the weight {name!r} is {shown}; "
                "give a model and what was fine-tuned from it"
            )
    return {name: _between(zero_shot[name], tensor, alpha) for name, tensor in fine_tuned.items()}


def interpolate_models(zero_shot: Weights, fine_tuned: Weights, alpha: float) -> Weights:
    """Return a CT-CLIP between two; a head that only the fine-tuned one has is taken whole.

    Raises:
        ConfigError, CheckpointError: as for `interpolate`.
    """
    if zero_shot.config.class_head is not None and fine_tuned.config.class_head is None:
        raise CheckpointError(
            "the models cannot be interpolated: the first has a head and the second none; "
            "give the zero-shot model first"
        )
    headless = zero_shot.config.class_head is None
    head = {name: of for name, of in fine_tuned.tensors.items() if headless and name.startswith(HEAD)}
    rest = {name: of for name, of in fine_tuned.tensors.items() if name not in head}
    return Weights(fine_tuned.config, interpolate(zero_shot.tensors, rest, alpha) | head)


def write_interpolated(zero_shot: Path, fine_tuned: Path, alpha: float, out: Path) -> ModelCard:
    """Write the CT-CLIP between two model directories; its tokeniser is theirs.

    Raises:
        ConfigError, CheckpointError: as for `interpolate`; or their tokenisers differ.
        StorageError: it cannot be written.
    """
    first, other = read_card(zero_shot), read_card(fine_tuned)
    between = interpolate_models(read_model(first), read_model(other), alpha)
    if first.files.get(TOKENIZER_FILE) != other.files.get(TOKENIZER_FILE):
        raise CheckpointError(
            f"{zero_shot} and {fine_tuned} have not the same tokeniser, so their words are not the same; "
            "give a model and what was fine-tuned from it"
        )
    tokenizer = None if other.tokenizer_file is None else ReportTokenizer.from_path(other.tokenizer_file)
    source = f"{alpha:g} of the way from {first.digest[:12]} to {other.digest[:12]} (WISE-FT)"
    return write_model(out, between, tokenizer=tokenizer, source=source)


def check_alpha(alpha: float) -> None:
    """Refuse what is no place between two models.

    Raises:
        ConfigError: it is below 0 or above 1.
    """
    if not 0 <= alpha <= 1:
        raise ConfigError(f"weights are interpolated at an alpha from 0 to 1, found {alpha}")


def _between(first: Tensor, other: Tensor, alpha: float) -> Tensor:
    if not other.is_floating_point():
        return other.clone()
    return torch.lerp(first.float(), other.float(), alpha)
