"""Findings in words against stored latents: how likely each is in a case, and which cases show it most.

No volume is encoded for a stored case; prompts are encoded once for an encoder and kept.
"""

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from encoders.abnormalities import ABNORMALITIES, DEFAULT_PROMPT, PROMPTS, PromptPair
from encoders.errors import SearchError
from retrieval.filters import refuse_unknown_values
from retrieval.findings import abnormalities_in
from retrieval.hits import Hit, fetch_hits
from retrieval.matched_sentences import wording
from retrieval.neighbours import Gallery, Latent, nearest_volumes

if TYPE_CHECKING:
    from encoders.encoder import Encoder

_NEGATION = re.compile(r"\[([^\]]+)\] ?")


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingScores:
    """Zero-shot probabilities, in the order they were asked for."""

    prompt: str  # the sentence for "present", {} standing for the finding
    probabilities: Mapping[str, float]
    warnings: tuple[str, ...] = ()  # about the file that was scored

    def to_json(self) -> dict[str, Any]:
        """What `ctsearch score --json` prints for a case."""
        rounded = {finding: round(value, 6) for finding, value in self.probabilities.items()}
        return {"prompt": self.prompt, "abnormalities": rounded}


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRanking:
    """The cases of a collection that show a finding most; a hit's score is the finding's probability."""

    prompt: str
    finding: str
    collection: str
    took_ms: float
    hits: tuple[Hit, ...]

    def to_json(self) -> dict[str, Any]:
        """One element of `rankings` in `ctsearch score --json`."""
        return {"finding": self.finding, "hits": [hit.to_json() for hit in self.hits]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Encoded prompts of some findings."""

    pair: PromptPair
    findings: tuple[str, ...]
    latents: NDArray[np.float32]  # (findings, 2, L): present, absent
    scale: float  # exp of the encoder's log temperature

    @property
    def directions(self) -> NDArray[np.float32]:
        """(findings, L): a volume's inner product with one is the log odds of present against absent."""
        return np.float32(self.scale) * (self.latents[:, 0] - self.latents[:, 1])


def prompt_pair(prompt: str | None) -> PromptPair:
    """Return the two sentences of a prompt.

    Args:
        prompt: the name of one of `PROMPTS`, the sentence of one, or a sentence with `{}` for the finding and
            the negation in brackets, as in "There is [no] {}."; None is the default.

    Raises:
        SearchError: it is none of them.
    """
    if prompt is None:
        return PROMPTS[DEFAULT_PROMPT]
    text = prompt.replace("{X}", "{}").strip()
    known = {name.lower(): pair for name, pair in PROMPTS.items()}
    known |= {pair.present.lower(): pair for pair in reversed(PROMPTS.values())}
    if text.lower() in known:
        return known[text.lower()]
    if "{}" not in text or not _NEGATION.search(text):
        raise SearchError(
            f"prompt {prompt!r} is none of {', '.join(PROMPTS)}; write a sentence with {{}} for the finding "
            'and its negation in brackets, as in "There is [no] {}."'
        )
    return PromptPair(present=_NEGATION.sub("", text), absent=_NEGATION.sub(r"\1 ", text))


def encode_prompts(encoder: "Encoder", findings: Sequence[str], pair: PromptPair) -> Prompts:
    """Encode "present" and "absent" for each finding; none stands for the 18.

    Raises:
        SearchError: a finding is empty.
        ReportError: the encoder cannot read text.
    """
    asked = tuple(dict.fromkeys(finding.strip() for finding in findings)) or ABNORMALITIES
    if "" in asked:
        raise SearchError('a finding is empty; name one, as in --finding "crazy paving"')
    sentences = [side.replace("{}", finding) for finding in asked for side in (pair.present, pair.absent)]
    latents = encoder.encode_reports(sentences).numpy().reshape(len(asked), 2, -1)
    return Prompts(pair=pair, findings=asked, latents=latents, scale=math.exp(encoder.log_temperature))


def score_latent(latent: Latent, prompts: Prompts) -> FindingScores:
    """Return the probability of each finding.

    Args:
        latent: (L,), of a volume.
        prompts: encoded by the encoder that made the latent.

    Source:
        arXiv 2403.17834, zero-shot detection: softmax over the pair, probability of the first.
    """
    log_odds = prompts.directions @ latent
    probabilities = {
        finding: _sigmoid(value) for finding, value in zip(prompts.findings, log_odds.tolist(), strict=True)
    }
    return FindingScores(prompt=prompts.pair.present, probabilities=probabilities)


def rank_by_findings(
    connection: Connection, gallery: Gallery, collection: str, prompts: Prompts, k: int
) -> list[FindingRanking]:
    """Rank a collection's volumes by each finding's probability, best first.

    Raises:
        SearchError: a filter names a value that the archive does not have.
    """
    return [
        _rank_by_finding(connection, gallery, collection, (prompts.pair, finding, direction), k)
        for finding, direction in zip(prompts.findings, prompts.directions, strict=True)
    ]


def _rank_by_finding(
    connection: Connection,
    gallery: Gallery,
    collection: str,
    asked: tuple[PromptPair, str, Latent],
    k: int,
) -> FindingRanking:
    pair, finding, direction = asked
    start = time.perf_counter()
    nearest = nearest_volumes(connection, gallery, direction, k)
    neighbours = [replace(neighbour, score=_sigmoid(neighbour.score)) for neighbour in nearest]
    if not neighbours:
        refuse_unknown_values(connection, gallery.filters)
    hits = fetch_hits(
        connection,
        neighbours,
        label_source=gallery.filters.label_source,
        query_labels=abnormalities_in(finding),
        wanted=wording([(finding, False)]),
    )
    took_ms = (time.perf_counter() - start) * 1000
    return FindingRanking(
        prompt=pair.present, finding=finding, collection=collection, took_ms=took_ms, hits=hits
    )


def _sigmoid(log_odds: float) -> float:
    return 0.5 * (1 + math.tanh(log_odds / 2))
