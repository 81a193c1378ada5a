"""Findings in words against stored latents: how likely each is in a case, and which cases show it most.

No volume is encoded for a stored case; prompts are encoded once for an encoder and kept.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Connection

from encoders.abnormalities import ABNORMALITIES, PromptPair
from encoders.zero_shot import Prompts, probabilities
from retrieval.filters import refuse_unknown_values
from retrieval.hits import Hit, fetch_hits
from retrieval.neighbours import Gallery, Latent, nearest_volumes
from retrieval.text_query import parse

if TYPE_CHECKING:
    from encoders.encoder import Encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingScores:
    """Probabilities, in the order they were asked for: zero-shot, or by the model's own head."""

    prompt: str | None  # the sentence for "present", {} standing for the finding; None: a head scored
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


def score_latent(latent: Latent, prompts: Prompts) -> FindingScores:
    """Return the probability of each finding.

    Args:
        latent: (L,), of a volume.
        prompts: encoded by the encoder that made the latent.
    """
    shown = probabilities(latent[None], prompts)[0].tolist()
    return FindingScores(
        prompt=prompts.pair.present, probabilities=dict(zip(prompts.findings, shown, strict=True))
    )


def score_by_head(latent: Latent, encoder: "Encoder") -> FindingScores:
    """Return the probability of each of the 18 findings by the head of the encoder that made the latent.

    Args:
        latent: (L,), of a volume.
        encoder: with a head.
    """
    shown = encoder.score_latents(latent[None])[0].tolist()
    return FindingScores(prompt=None, probabilities=dict(zip(ABNORMALITIES, shown, strict=True)))


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
    wanted = parse(connection, finding)
    hits = fetch_hits(
        connection,
        neighbours,
        label_source=gallery.filters.label_source,
        query_labels=wanted.labels,
        wanted=wanted,
        sources={},
    )
    took_ms = (time.perf_counter() - start) * 1000
    return FindingRanking(
        prompt=pair.present, finding=finding, collection=collection, took_ms=took_ms, hits=hits
    )


def _sigmoid(log_odds: float) -> float:
    """The softmax over a pair, from the difference of its logits."""
    return 0.5 * (1 + math.tanh(log_odds / 2))
