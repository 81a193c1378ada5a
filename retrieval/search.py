"""A question against a collection: filter, rank exactly in Postgres, fuse, and fetch what is shown.

A volume asks volume latents; it asks report latents only where a collection has no others. A report or a
sentence asks both. Rankings of the two kinds are fused by rank, never by cosine (`retrieval.fusion`).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from sqlalchemy import select
from sqlalchemy.engine import Connection

from encoders.errors import SearchError
from retrieval.filters import Filters, refuse_unknown_values
from retrieval.fusion import FUSION_DEPTH, fuse
from retrieval.hits import Hit, fetch_hits
from retrieval.matched_sentences import Wording
from retrieval.named_cases import LatentKind, StoredCase, studies_of_patients
from retrieval.neighbours import Gallery, Latent, Neighbour, Unit, nearest_reports, nearest_volumes
from retrieval.schema import embedding
from retrieval.sources import volume_sources

if TYPE_CHECKING:
    from retrieval.deidentify import PseudonymKey

Exclusion = Literal["same-study", "same-patient", "none"]
EngineName = Literal["faiss", "pgvector"]
_MOST_ROWS = 2**31  # more than any archive holds, and still a number that Postgres takes


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """How many cases are wanted, and which may be among them.

    Raises:
        SearchError: k is less than 1, or a choice does not exist.
    """

    k: int = 10
    filters: Filters = field(default_factory=Filters)
    unit: Unit = "study"  # what a hit is
    exclude: Exclusion = "same-study"  # as the case that the question came from

    def __post_init__(self) -> None:
        if self.k < 1:
            raise SearchError(f"k={self.k} asks for no hits; take 1 or more")
        for noun, value, choices in (("unit", self.unit, Unit), ("exclude", self.exclude, Exclusion)):
            if value not in get_args(choices):
                raise SearchError(f"{noun} {value!r} is unknown; take one of {', '.join(get_args(choices))}")

    @property
    def limit(self) -> int:
        """`k`, or as many rows as Postgres can count."""
        return min(self.k, _MOST_ROWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, as a latent, and what is known of the case it came from."""

    asked: Mapping[str, Any]  # how the question was put: the first entries of `query` in the answer
    kind: LatentKind
    latent: Latent  # (L,), unit length
    origins: tuple[StoredCase, ...] = ()  # the stored cases that the question is
    labels: tuple[str, ...] = ()  # the findings that it has or names
    wording: Wording = field(default_factory=Wording)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Hits, best first, and how they were found."""

    query: Mapping[str, Any]
    collection: str
    engine: EngineName
    exact: bool
    took_ms: float  # ranking and fetching; encoding the question is not in it
    hits: tuple[Hit, ...]
    explanation: tuple[str, ...] = ()  # a sentence each
    warnings: tuple[str, ...] = ()  # about the file that asked
    opened: int = 0  # sealed sources that are shown

    def to_json(self) -> dict[str, Any]:
        """What `ctsearch search --json` prints."""
        return {
            "query": dict(self.query),
            "collection": self.collection,
            "engine": self.engine,
            "exact": self.exact,
            "took_ms": round(self.took_ms, 3),
            "hits": [hit.to_json() for hit in self.hits],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """Neighbours of a question, best first, and the sentences that say how they were ranked."""

    neighbours: tuple[Neighbour, ...]
    explanation: tuple[str, ...]


def search(
    connection: Connection,
    collection_id: int,
    collection: str,
    question: Question,
    options: SearchOptions,
    key: "PseudonymKey | None" = None,
) -> Answer:
    """Answer a question from one collection.

    Args:
        connection: to the archive; one snapshot, or a case removed meanwhile is found and then missing.
        collection_id: of the collection whose encoder made the question's latent.
        collection: its name.
        question: what is asked.
        options: how many, filters, unit, exclusion.
        key: opens sealed sources; None leaves them out.

    Returns:
        min(k, number of matches) hits.

    Raises:
        SearchError: the collection is empty, or a filter names a value that the archive does not have.
    """
    start = time.perf_counter()
    gallery = Gallery(
        collection_id=collection_id,
        filters=options.filters,
        unit=options.unit,
        excluded_studies=excluded_studies(connection, question.origins, options.exclude),
    )
    ranked = rank_exactly(connection, gallery, collection, question, options.limit)
    if not ranked.neighbours:
        refuse_unknown_values(connection, options.filters)
    shown = [neighbour.volume_id for neighbour in ranked.neighbours if neighbour.volume_id is not None]
    sources = volume_sources(connection, shown, key)
    hits = fetch_hits(
        connection,
        ranked.neighbours,
        label_source=options.filters.label_source,
        query_labels=question.labels,
        wanted=question.wording,
        sources=sources,
    )
    return Answer(
        query=_query(question, options),
        collection=collection,
        engine="pgvector",
        exact=True,
        took_ms=(time.perf_counter() - start) * 1000,
        hits=hits,
        explanation=ranked.explanation,
        opened=sum(source.is_sealed for source in sources.values()),
    )


def rank_exactly(
    connection: Connection, gallery: Gallery, collection: str, question: Question, k: int
) -> Ranked:
    """Rank a gallery by every kind of latent that the question may ask.

    Raises:
        SearchError: the collection holds no latent.
    """
    kinds = kinds_asked(latent_kinds(connection, gallery.collection_id), question.kind)
    if not kinds:
        raise SearchError(f"the collection {collection!r} is empty; put cases into it with `ctsearch index`")
    depth = k if len(kinds) == 1 else max(k, FUSION_DEPTH)
    rankings, explanation = [], []
    for kind in kinds:
        start = time.perf_counter()
        nearest = nearest_volumes if kind == "volume" else nearest_reports
        rankings.append(nearest(connection, gallery, question.latent, depth))
        took_ms = (time.perf_counter() - start) * 1000
        explanation.append(
            f"{kind} latents: filtered first, then exact inner products in pgvector; "
            f"{len(rankings[-1])} {'rows' if gallery.unit == 'volume' else 'studies'} in {took_ms:.1f} ms"
        )
    if len(kinds) > 1:
        explanation.append(f"fused by reciprocal rank over the first {depth} of each")
    if gallery.excluded_studies:
        explanation.append(f"{len(gallery.excluded_studies)} studies of the question's own case left out")
    return Ranked(neighbours=tuple(fuse(rankings, gallery.unit)[:k]), explanation=tuple(explanation))


def latent_kinds(connection: Connection, collection_id: int) -> tuple[LatentKind, ...]:
    """Return which kinds of latent a collection holds."""
    mine = select(embedding.c.collection_id).where(embedding.c.collection_id == collection_id)
    has_volumes, has_reports = connection.execute(
        select(
            mine.where(embedding.c.volume_id.is_not(None)).exists(),
            mine.where(embedding.c.report_id.is_not(None)).exists(),
        )
    ).one()
    held: tuple[tuple[LatentKind, bool], ...] = (("volume", has_volumes), ("report", has_reports))
    return tuple(kind for kind, there in held if there)


def kinds_asked(held: tuple[LatentKind, ...], asked_by: LatentKind) -> tuple[LatentKind, ...]:
    """Return the kinds of latent that a volume's or a report's latent is compared with."""
    return ("volume",) if asked_by == "volume" and "volume" in held else held


def excluded_studies(
    connection: Connection, origins: tuple[StoredCase, ...], exclude: Exclusion
) -> frozenset[int]:
    """Return the studies that may not be found, because the question came from them."""
    if exclude == "none" or not origins:
        return frozenset()
    if exclude == "same-patient":
        return studies_of_patients(connection, [case.patient_id for case in origins])
    return frozenset(case.study_id for case in origins)


def _query(question: Question, options: SearchOptions) -> dict[str, Any]:
    return {
        **question.asked,
        "labels": list(question.labels),
        "k": options.k,
        "unit": options.unit,
        "exclude": options.exclude,
        "filters": options.filters.to_json(),
    }
