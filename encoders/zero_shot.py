"""Zero-shot detection: the probability of any finding, from latents that are already stored.

Each finding is put into two sentences, one that affirms it and one that denies it; a volume's similarities to
both go through a softmax (arXiv 2403.17834, zero-shot detection). No volume is encoded here.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from encoders.abnormalities import ABNORMALITIES, DEFAULT_PROMPT, PROMPTS, PromptPair
from encoders.errors import SearchError

if TYPE_CHECKING:
    from encoders.encoder import Encoder

_NEGATION = re.compile(r"\[([^\]]+)\]( ?)")
_PAIR_MARK = "|"  # between the two sentences of a prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Findings as latents: F of them, each affirmed and denied."""

    pair: PromptPair
    findings: tuple[str, ...]
    latents: NDArray[np.float32]  # (F, 2, L), unit length: affirmed, denied
    scale: float  # exp of the encoder's log temperature

    @property
    def directions(self) -> NDArray[np.float32]:
        """(F, L): a volume's inner product with one is the log odds of present against absent."""
        return np.float32(self.scale) * (self.latents[:, 0] - self.latents[:, 1])


def prompt_pair(text: str = DEFAULT_PROMPT) -> PromptPair:
    """Return the two sentences that a prompt stands for; {X} and {} both stand for the finding.

    Args:
        text: a name of `PROMPTS`; or the affirming sentence of one, as "There is {X}."; or a sentence with
            its negation in brackets, as "There is [no] sign of {X}."; or both sentences, the affirming one
            first, as "{X} seen.|Normal lungs without {X}.".

    Raises:
        SearchError: none of these.
    """
    wanted = " ".join(text.replace("{X}", "{}").replace("{x}", "{}").split())
    for name, pair in PROMPTS.items():
        if wanted.lower() in (name, pair.present.lower()):
            return pair
    if _PAIR_MARK in wanted:
        present, absent = (part.strip() for part in wanted.split(_PAIR_MARK, 1))
    else:
        present, absent = _NEGATION.sub("", wanted), _NEGATION.sub(r"\1\2", wanted)
    if present == absent or "{}" not in present or "{}" not in absent:
        raise SearchError(
            f"the prompt {text!r} does not say how a finding is affirmed and denied; write {{X}} for the "
            "finding and its negation in brackets, as 'There is [no] {X}.', "
            f"or take one of {', '.join(PROMPTS)}"
        )
    return PromptPair(present, absent)


def encode_prompts(
    encoder: "Encoder", findings: Sequence[str] = ABNORMALITIES, pair: PromptPair = PROMPTS[DEFAULT_PROMPT]
) -> Prompts:
    """Encode findings once, to score any number of volumes with.

    Args:
        encoder: whose latents the volumes have.
        findings: the 18, or any in words; named twice, they are encoded once.
        pair: see `prompt_pair`.

    Raises:
        SearchError: there is no finding, or an empty one.
        ReportError: the encoder has no tokeniser.
    """
    names = tuple(dict.fromkeys(" ".join(finding.split()).rstrip(". ") for finding in findings))
    if not names or "" in names:
        raise SearchError("a finding is empty; name one in words, as in 'crazy paving'")
    sentences = [side.replace("{}", name) for name in names for side in (pair.present, pair.absent)]
    latents = encoder.encode_reports(sentences).numpy().reshape(len(names), 2, -1)
    return Prompts(pair=pair, findings=names, latents=latents, scale=math.exp(encoder.log_temperature))


def pair_logits(volume_NL: ArrayLike, prompts: Prompts) -> NDArray[np.float32]:
    """Return the similarities (N, F, 2) of volumes with each finding affirmed and denied, scaled."""
    volume = np.asarray(volume_NL, dtype=np.float32)
    both = volume @ prompts.latents.reshape(-1, volume.shape[1]).T
    return np.float32(prompts.scale) * both.reshape(len(volume), -1, 2)


def probabilities(volume_NL: ArrayLike, prompts: Prompts) -> NDArray[np.float32]:
    """Return the probability (N, F) that each volume shows each finding.

    Args:
        volume_NL: unit latents of the encoder that made the prompts.
        prompts: of F findings.
    """
    logits = pair_logits(volume_NL, prompts)
    weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shown: NDArray[np.float32] = weight[..., 0] / weight.sum(axis=-1)
    return shown
