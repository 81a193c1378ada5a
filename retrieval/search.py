"""A question against a collection: filter, rank, fuse, and fetch what is shown.

A volume asks latents; a report or a sentence asks what reports say too (`retrieval.legs`). Rankings are fused
by rank and by what is said, never by cosine (`retrieval.fusion`).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from encoders.errors import SearchError
from retrieval.answers import Answer, Exclusion, Question, SearchOptions
from retrieval.engines import Ranking
from retrieval.filters import refuse_unknown_values
from retrieval.fusion import FUSION_DEPTH
from retrieval.hits import fetch_hits
from retrieval.legs import fuse_legs, latents_asked
from retrieval.named_cases import LatentKind, StoredCase, studies_of_patients
from retrieval.neighbours import Gallery
from retrieval.planner import nearest
from retrieval.records import CollectionInfo
from retrieval.schema import Report, embedding
from retrieval.snapshot_files import Snapshot
from retrieval.sources import volume_sources
from retrieval.text_query import TextQuery, parse

if TYPE_CHECKING:
    from retrieval.deidentify import PseudonymKey

__all__ = ["Answer", "Question", "SearchOptions", "search", "search_many"]

_UNKNOWN_WORDS = "no report has any word of the question"


def search(
    connection: Connection,
    info: CollectionInfo,
    question: Question,
    options: SearchOptions,
    *,
    snapshot: Snapshot | None = None,
    key: "PseudonymKey | None" = None,
) -> Answer:
    """Answer a question from one collection; see `search_many`."""
    return search_many(connection, info, [question], options, snapshot=snapshot, key=key)[0]


def search_many(
    connection: Connection,
    info: CollectionInfo,
    questions: Sequence[Question],
    options: SearchOptions,
    *,
    snapshot: Snapshot | None = None,
    key: "PseudonymKey | None" = None,
) -> list[Answer]:
    """Answer questions from one collection: filters are resolved once, latents compared together.

    Args:
        connection: to the archive; one transaction that keeps its snapshot (REPEATABLE READ), or a case
            removed meanwhile is found and then missing.
        info: the collection, whose encoder made the questions' latents.
        questions: what is asked.
        options: how many, filters, unit, exclusion, engine.
        snapshot: of the collection, for the engine in memory; it was loaded before the transaction began.
        key: opens sealed sources; None leaves them out.

    Returns:
        An answer each, with min(k, number of matches) hits; the time taken is shared out evenly.

    Raises:
        SearchError: the collection is empty, a filter names a value that the archive does not have, a latent
            has another length than the collection's or is not finite, or FAISS has nothing to search.
    """
    start = time.perf_counter()
    _check_latents(info, questions)
    galleries = [
        Gallery(
            collection_id=info.id,
            filters=options.filters,
            unit=options.unit,
            excluded_studies=excluded_studies(connection, question.origins, options.exclude),
        )
        for question in questions
    ]
    rankings = _rank(connection, info, questions, galleries, options, snapshot)
    answers = [
        _answer(connection, info, question, gallery, options, legs, key)
        for question, gallery, legs in zip(questions, galleries, rankings, strict=True)
    ]
    took_ms = (time.perf_counter() - start) * 1000 / max(1, len(questions))
    return [replace(answer, took_ms=took_ms) for answer in answers]


def _rank(
    connection: Connection,
    info: CollectionInfo,
    questions: Sequence[Question],
    galleries: Sequence[Gallery],
    options: SearchOptions,
    snapshot: Snapshot | None,
) -> list[dict[LatentKind, Ranking]]:
    """Rank each question by every kind of latent that it may ask."""
    held = latent_kinds(connection, info.id)
    if not held and not any(_searches_text(question, options) for question in questions):
        raise _empty(info)
    asked = [
        () if question.latent is None else latents_asked(held, question.kind, options.legs)
        for question in questions
    ]
    fused = any(
        len(kinds) + _searches_text(question, options) > 1
        for question, kinds in zip(questions, asked, strict=True)
    )
    depth = max(options.limit, FUSION_DEPTH) if fused else options.limit
    legs: list[dict[LatentKind, Ranking]] = [{} for _ in questions]
    for kind in held:
        asking = [position for position, kinds in enumerate(asked) if kind in kinds]
        if not asking:
            continue
        rankings = nearest(
            connection,
            [galleries[position] for position in asking],
            kind,
            np.array([questions[position].latent for position in asking], np.float32),
            depth,
            choice=options.engine,
            snapshot=snapshot,
        )
        for position, ranking in zip(asking, rankings, strict=True):
            legs[position][kind] = ranking
    return legs


def _answer(
    connection: Connection,
    info: CollectionInfo,
    question: Question,
    gallery: Gallery,
    options: SearchOptions,
    legs: Mapping[LatentKind, Ranking],
    key: "PseudonymKey | None",
) -> Answer:
    query = parse(connection, question.words)
    said = query if _searches_text(question, options) else None
    rankings = {kind: leg.neighbours for kind, leg in legs.items()}
    if said is not None and not question.words_decide:
        said = said.affirming()
    fused = fuse_legs(
        connection, gallery, {**rankings}, said, options.limit, words_decide=question.words_decide
    )
    if not fused.neighbours:
        refuse_unknown_values(connection, options.filters)
        if not (latent_kinds(connection, info.id) or _has_reports_of_all(connection)):
            raise _empty(info)
    shown = [neighbour.volume_id for neighbour in fused.neighbours if neighbour.volume_id is not None]
    sources = volume_sources(connection, shown, key)
    hits = fetch_hits(
        connection,
        fused.neighbours,
        label_source=options.filters.label_source,
        query_labels=question.labels or query.labels,
        wanted=query,
        sources=sources,
        places=fused.places,
    )
    return Answer(
        query=_query(replace(question, labels=question.labels or query.labels), options),
        collection=info.name,
        engine="faiss" if any(leg.engine == "faiss" for leg in legs.values()) else "pgvector",
        exact=fused.exact and all(leg.exact for leg in legs.values()),
        took_ms=0.0,
        hits=hits,
        explanation=(*(query.notes if said else ()), *_explanation(legs, gallery), *fused.explanation),
        warnings=_warnings(said, rankings),
        opened=sum(source.is_sealed for source in sources.values()),
    )


def _warnings(said: TextQuery | None, rankings: Mapping[LatentKind, object]) -> tuple[str, ...]:
    if said is None or said.units:
        return ()
    return (f"{_UNKNOWN_WORDS}{': latents alone rank the cases' if rankings else ''}",)


def _explanation(legs: Mapping[LatentKind, Ranking], gallery: Gallery) -> tuple[str, ...]:
    lines = [
        f"{kind} latents: {leg.why}; {'exact' if leg.exact else 'approximate'} ({leg.engine})"
        for kind, leg in legs.items()
    ]
    if gallery.excluded_studies:
        count = len(gallery.excluded_studies)
        lines.append(f"{count} {'study' if count == 1 else 'studies'} of the question's own case left out")
    return tuple(lines)


def _check_latents(info: CollectionInfo, questions: Sequence[Question]) -> None:
    for question in questions:
        if question.latent is None:
            continue
        if question.latent.shape != (info.latent_dim,):
            raise SearchError(
                f"the question's latent has shape {question.latent.shape}, the collection {info.name!r} has "
                f"latents of {info.latent_dim} numbers: ask with the encoder that made it, {info.encoder}"
            )
        if not np.isfinite(question.latent).all():
            raise SearchError("the question's latent is not finite: check what it was made from")


_LATENTS = select(embedding.c.collection_id).where(embedding.c.collection_id == bindparam("collection"))
_HELD = select(
    _LATENTS.where(embedding.c.volume_id.is_not(None)).exists(),
    _LATENTS.where(embedding.c.report_id.is_not(None)).exists(),
)


def latent_kinds(connection: Connection, collection_id: int) -> tuple[LatentKind, ...]:
    """Return which kinds of latent a collection holds."""
    has_volumes, has_reports = connection.execute(_HELD, {"collection": collection_id}).one()
    held: tuple[tuple[LatentKind, bool], ...] = (("volume", has_volumes), ("report", has_reports))
    return tuple(kind for kind, there in held if there)


def _searches_text(question: Question, options: SearchOptions) -> bool:
    return question.kind == "report" and bool(question.words) and (not options.legs or "text" in options.legs)


def _has_reports_of_all(connection: Connection) -> bool:
    """Whether there are reports of studies without any latent: they belong to every collection."""
    has_latent = select(embedding.c.study_id).where(embedding.c.study_id == Report.study_id).exists()
    return bool(connection.scalar(select(select(Report.id).where(~has_latent).exists())))


def _empty(info: CollectionInfo) -> SearchError:
    return SearchError(f"the collection {info.name!r} is empty; put cases into it with `ctsearch index`")


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
        "legs": list(options.legs),
        "engine": options.engine,
        "filters": options.filters.to_json(),
    }
