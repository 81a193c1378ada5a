"""What people said of hits, relevant to a question or not: kept, taken back, and given out as qrels.

A topic is what was looked for: the words, the case, the report or the upload, and the findings that it must
or must not have. How many hits, which engine and whose scans were looked at do not make another topic.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from encoders.errors import SearchError
from retrieval.desk_schema import Relevance
from retrieval.findings import abnormality_named
from retrieval.named_cases import case_in, find_case, study_in
from retrieval.postgres_errors import database_errors
from retrieval.records import storable
from retrieval.schema import Study

_SUBJECTS = ("text", "case", "report", "upload")
_KEY_LENGTH = 16  # hex digits of a topic: 64 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What one person said of one study under one question."""

    query_key: str
    query: Mapping[str, Any]
    collection: str
    dataset: str
    study: str
    relevant: bool
    actor: str
    at: datetime


def topic_of(connection: Connection, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a search looks for, in one way of writing.

    A report is kept as the digest of its text: what is marked is kept when a patient leaves.

    Args:
        connection: to the archive, which says which case is meant.
        query: the search, as it was asked.

    Raises:
        SearchError: it is no search, or its case is not there.
    """
    given = [name for name in _SUBJECTS if query.get(name)]
    if len(given) != 1 or not isinstance(query[given[0]], str):
        raise SearchError(f"a mark needs the search that it is of, with one of {', '.join(_SUBJECTS)}")
    subject = given[0]
    value = storable(" ".join(query[subject].split()))
    topic: dict[str, Any] = {subject: value}
    if subject == "text":
        topic = {"text": value.casefold()}
    elif subject == "report":
        topic = {"report": f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"}
    elif subject == "case":
        topic = _case(connection, query["case"], query.get("dataset"))
    for name in ("labels", "without_labels"):
        if query.get(name):
            topic[name] = sorted({abnormality_named(finding) for finding in query[name]})
    return topic


def query_key(topic: Mapping[str, Any]) -> str:
    """Return the name of a topic; equal topics have equal names, in every archive and version."""
    written = json.dumps(topic, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()[:_KEY_LENGTH]


def mark(
    engine: Engine,
    query: Mapping[str, Any],
    *,
    actor: str,
    collection: str,
    dataset: str,
    study: str,
    relevant: bool | None,
) -> str:
    """Keep what somebody says of a hit, in place of what they said before; None takes it back.

    Returns:
        The topic's key.

    Raises:
        UnknownNameError: the study is not there.
        SearchError: `query` is no search.
    """
    with database_errors(), engine.begin() as connection:
        topic = topic_of(connection, query)
        key, study_id = query_key(topic), study_in(connection, dataset, study).study_id
        said = (Relevance.actor == actor, Relevance.query_key == key, Relevance.study_id == study_id)
        if relevant is None:
            connection.execute(delete(Relevance).where(*said))
            return key
        row = {
            "actor": actor,
            "query_key": key,
            "study_id": study_id,
            "query": topic,
            "collection": storable(collection),
            "relevant": relevant,
        }
        changed = {name: row[name] for name in ("query", "collection", "relevant")}
        connection.execute(
            insert(Relevance)
            .values(row)
            .on_conflict_do_update(
                index_elements=["actor", "query_key", "study_id"], set_={**changed, "at": func.now()}
            )
        )
    return key


def marks_of(
    connection: Connection, *, actor: str | None = None, query: Mapping[str, Any] | None = None
) -> list[Mark]:
    """Return marks, by topic, study and person.

    Args:
        connection: to the archive.
        actor: whose; None: everybody's.
        query: of which search; None: of all.

    Raises:
        SearchError: `query` is no search.
    """
    wanted = _marks()
    if actor is not None:
        wanted = wanted.where(Relevance.actor == actor)
    if query is not None:
        wanted = wanted.where(Relevance.query_key == query_key(topic_of(connection, query)))
    return [Mark(**row) for row in connection.execute(wanted).mappings()]


def qrels(marks: Sequence[Mark]) -> str:
    """Return marks as TREC qrels: topic, 0, document, 1 or 0.

    Where people disagree on a study the majority counts, and a tie is relevant. A document is dataset/study,
    percent-encoded where a name has blanks, which TREC's format cannot hold, or percent signs.
    """
    votes: dict[tuple[str, str], list[bool]] = {}
    for each in marks:
        votes.setdefault((each.query_key, document(each.dataset, each.study)), []).append(each.relevant)
    lines = [
        f"{topic} 0 {name} {int(2 * sum(said) >= len(said))}" for (topic, name), said in sorted(votes.items())
    ]
    return "".join(f"{line}\n" for line in lines)


def document(dataset: str, study: str) -> str:
    """Return the name of a study in qrels."""
    return "/".join(quote(part, safe="/") for part in (dataset, study))


def _case(connection: Connection, name: str, dataset: Any) -> dict[str, Any]:
    """Name a case by its data set and study, however it was named: its reconstructions are one question."""
    case = case_in(connection, dataset, name) if isinstance(dataset, str) else find_case(connection, name)
    return {"case": case.study, "dataset": case.dataset}


def _marks() -> Select[Any]:
    return (
        select(
            Relevance.query_key,
            Relevance.query,
            Relevance.collection,
            Study.dataset,
            Study.name.label("study"),
            Relevance.relevant,
            Relevance.actor,
            Relevance.at,
        )
        .join(Study, Study.id == Relevance.study_id)
        .order_by(Relevance.query_key, Study.dataset, Study.name.collate("C"), Relevance.actor)
    )
