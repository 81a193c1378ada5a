"""What a person asks to be evaluated, loaded: a collection scored zero-shot, or scores in a file."""

from dataclasses import dataclass
from pathlib import Path

from encoders.errors import ConfigError
from retrieval.evaluation.detection.scored_pool import (
    ScoredPool,
    head_pool,
    read_scores_file,
    zero_shot_pool,
)
from retrieval.evaluation.label_table import with_labels
from retrieval.evaluation.ranking import Progress
from retrieval.evaluation.sources import archive_state, names_a_file, stored_pool
from retrieval.filters import LabelSource


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionRequest:
    """One of `collection` and `scores` (with `labels`), and what it is compared with.

    Attributes:
        against: a collection's name or an .npz.
        label_source: whose labels count, for a collection.
        skip_unlabelled: leave volumes without labels out instead of refusing them.
        device: that encodes prompts.
    """

    collection: str | None = None
    scores: Path | None = None
    labels: Path | None = None
    against: str | None = None
    label_source: LabelSource | None = None
    skip_unlabelled: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        if (self.collection is None) == (self.scores is None):
            found = "none" if self.scores is None else "both"
            raise ConfigError(f"one of --collection and --scores is evaluated; found {found}")
        if self.scores is not None and self.labels is None:
            raise ConfigError("--scores needs --labels CSV: a row a volume, a column a finding")
        if self.collection is not None and self.labels is not None:
            raise ConfigError("a collection's labels are the archive's: leave out --labels")


def load_scores(
    request: DetectionRequest, progress: Progress | None = None
) -> tuple[ScoredPool, ScoredPool | None]:
    """Return the scores that are asked for, labelled, and those they are compared with.

    Raises:
        InputError: a file, a table or a collection will not do; the sentence says why.
        DatabaseError: a collection is asked for and the database cannot be reached.
    """
    if request.scores is not None:
        scored = _file_scores(request, request.scores)
    else:
        scored = _stored_scores(request, request.collection, progress, main=True)
    if request.against is None:
        return scored, None
    if names_a_file(request.against):
        return scored, read_scores_file(Path(request.against))
    return scored, _stored_scores(request, request.against, progress, main=False)


def _file_scores(request: DetectionRequest, scores: Path) -> ScoredPool:
    scored = read_scores_file(scores)
    if request.labels is None:
        return scored
    pool = with_labels(scored.pool, request.labels, leave_out=request.skip_unlabelled, say_missing=False)
    return scored.at([str(name) for name in pool.name_N], pool)


def _stored_scores(
    request: DetectionRequest, name: str | None, progress: Progress | None, *, main: bool
) -> ScoredPool:
    """Score a collection; what is evaluated has labels and every prompt, what it is compared with neither."""
    from retrieval.asked_collection import load_collection_encoder

    with archive_state() as connection:
        info, pool = stored_pool(
            connection, name, request.label_source, skip_unlabelled=request.skip_unlabelled, labelled=main
        )
    encoder = load_collection_encoder(info, request.device)
    if encoder.has_head:
        return head_pool(pool, encoder)
    return zero_shot_pool(pool, encoder, every_prompt=main, progress=progress)
