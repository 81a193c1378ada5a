"""Our search and the bare engine's own call, over the same rows."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy import Engine

from retrieval.faiss_collection import FaissCollection, IndexKind, open_faiss
from retrieval.filters import Filters
from retrieval.label_bits import bits_of
from retrieval.planner import EngineChoice
from retrieval.records import CollectionInfo
from retrieval.schema import partition_name
from retrieval.search import SearchOptions
from retrieval.service import CaseSearch
from retrieval.sessions import own_session
from retrieval.snapshots import Snapshots
from tests.benchmarks.archive import LATENT_DIM, Archive
from tests.benchmarks.asked import Asked, K

_WARM_UP = 3
_BARE_EF_SEARCH = 200
_BARE_LISTS = 32
_BARE_REFINED = 8
BareCall = Callable[[NDArray[np.float32]], Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One engine under one filter: milliseconds a question, and the share of the ten nearest it found."""

    rows: int
    filter: str
    share: float
    engine: str
    exact: bool
    recall: float  # of studies, against brute force
    min_ms: float
    p50_ms: float
    p95_ms: float
    bare_ms: float  # median
    bare_recall: float  # of volumes
    why: str

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self) | {"ratio": round(self.p50_ms / self.bare_ms, 2)}


def search_cell(
    engine: Engine, archive: Archive, asked: Asked, name: str, choice: EngineChoice, bare: BareCall
) -> Cell:
    """Ask every question of one filter through `CaseSearch`, as the command line and the web do, and bare.

    A question is a stored case by its name: looking it up, resolving the filters, ranking, and fetching what
    is shown are in the time.
    """
    service = CaseSearch(engine)
    options = SearchOptions(k=K, filters=asked.filters, engine=choice)
    names = [archive.volume[row] for row in asked.query_Q]
    for query in names[:_WARM_UP]:
        service.search_by_case(query, options)
    taken, found, answers = [], [], []
    for query in names:
        start = time.perf_counter()
        answer = service.search_by_case(query, options)
        taken.append(time.perf_counter() - start)
        answers.append(answer)
        found.append([hit.study for hit in answer.hits])
    truth = [[archive.study[study] for study in studies if study >= 0] for studies in asked.studies_QK]
    bare_taken, bare_found = _bare(archive, asked, bare)
    return Cell(
        rows=len(archive),
        filter=asked.name,
        share=asked.share,
        engine=name,
        exact=all(answer.exact for answer in answers),
        recall=_recall(found, truth),
        min_ms=_ms(taken, 0),
        p50_ms=_ms(taken, 50),
        p95_ms=_ms(taken, 95),
        bare_ms=_ms(bare_taken, 50),
        bare_recall=_recall(bare_found, [[row for row in rows if row >= 0] for rows in asked.volumes_QK]),
        why=answers[-1].explanation[0],
    )


def bare_faiss(engine: Engine, info: CollectionInfo, asked: Asked, row_of: NDArray[np.int64]) -> BareCall:
    """Return FAISS's own search of the snapshot's index file with the same rows chosen by a bitmap.

    Args:
        engine: of the archive.
        info: the collection.
        asked: the filter.
        row_of: the archive's row by volume id.
    """
    faiss = open_faiss()
    snapshots = Snapshots(engine)
    snapshot = snapshots.load(info)
    files, part = snapshot.manifest.parts["volume"], snapshot.parts["volume"]
    index = faiss.read_index(str(snapshots.folder(info) / files.index.name), faiss.IO_FLAG_MMAP_IFC)
    row_N = row_of[part.item_id_N]
    bits = None if asked.matches_N is None else np.packbits(asked.matches_N[row_N], bitorder="little")
    chosen = None if bits is None else faiss.IDSelectorBitmap(len(row_N), faiss.swig_ptr(bits))
    parameters = _parameters(faiss, files.kind, chosen)

    def call(query_L: NDArray[np.float32]) -> Sequence[int]:
        held = bits  # noqa: F841 - the selector points into it
        _, row_1K = index.search(query_L[None], K, params=parameters)
        return [int(row_N[row]) for row in row_1K[0] if row >= 0]

    return call


def bare_sql(
    session: psycopg.Connection[Any],
    info: CollectionInfo,
    asked: Asked,
    row_of: NDArray[np.int64],
    *,
    by_index: bool,
) -> BareCall:
    """Return the plain SQL for the nearest volumes under a filter: all compared, or by the HNSW index."""
    conditions, values = _conditions(asked.filters)
    half = f"halfvec({LATENT_DIM})"
    order = f"latent::{half} <#> %(query)s::{half}" if by_index else "latent <#> %(query)s"
    statement = (
        f"SELECT volume_id FROM {partition_name(info.id)} WHERE volume_id IS NOT NULL "
        f"{''.join(f'AND {condition} ' for condition in conditions)}ORDER BY {order} LIMIT {K}"
    )
    session.execute("SET hnsw.iterative_scan = relaxed_order")
    session.execute(f"SET hnsw.ef_search = {_BARE_EF_SEARCH}")

    def call(query_L: NDArray[np.float32]) -> Sequence[int]:
        rows = session.execute(statement, {**values, "query": query_L}).fetchall()
        return [int(row_of[volume_id]) for (volume_id,) in rows]

    return call


def rows_by_volume_id(engine: Engine, archive: Archive) -> NDArray[np.int64]:
    """Return the archive's row for each volume id."""
    row_of_name = {name: row for row, name in enumerate(archive.volume)}
    with own_session(engine) as session:
        stored = session.execute("SELECT id, name FROM volume").fetchall()
    rows = np.full(max(volume_id for volume_id, _ in stored) + 1, -1, np.int64)
    for volume_id, name in stored:
        rows[volume_id] = row_of_name[name]
    return rows


def build_snapshot(engine: Engine, info: CollectionInfo, kind: IndexKind) -> float:
    """Build a snapshot of a kind and return the seconds that it took."""
    start = time.perf_counter()
    built = Snapshots(engine).build(info, kind=kind)
    part: FaissCollection = built.parts["volume"].latents
    if part.kind != kind:
        raise ValueError(f"{len(part)} latents are too few for a {kind} index: take more rows")
    return time.perf_counter() - start


def _parameters(faiss: Any, kind: IndexKind, chosen: Any) -> Any:
    """Return what each index of FAISS is asked with by itself, a filter included."""
    if kind == "hnsw":
        return faiss.SearchParametersHNSW(sel=chosen, efSearch=128)
    if kind == "flat":
        return faiss.SearchParameters(sel=chosen)
    lists = faiss.SearchParametersIVF(sel=chosen, nprobe=_BARE_LISTS)
    if kind == "ivf-fp16":
        return lists
    return faiss.IndexRefineSearchParameters(k_factor=_BARE_REFINED, base_index_params=lists)


def _conditions(filters: Filters) -> tuple[list[str], dict[str, Any]]:
    conditions = []
    values: dict[str, Any] = {"with": bits_of(filters.labels), "without": bits_of(filters.without_labels)}
    if filters.labels or filters.without_labels:
        conditions.append(
            "study_id IN (SELECT study_id FROM label "
            "WHERE (present & %(with)s) = %(with)s AND ((known & ~present) & %(without)s) = %(without)s)"
        )
    of_volumes = []
    if filters.sex:
        of_volumes.append("sex = %(sex)s")
        values["sex"] = filters.sex
    if filters.age:
        of_volumes.append("age_years BETWEEN %(low)s AND %(high)s")
        values |= {"low": filters.age.low, "high": filters.age.high}
    if filters.manufacturer:
        of_volumes.append("manufacturer = %(manufacturer)s")
        values["manufacturer"] = filters.manufacturer
    if of_volumes:
        conditions.append(f"volume_id IN (SELECT id FROM volume WHERE {' AND '.join(of_volumes)})")
    return conditions, values


def _bare(archive: Archive, asked: Asked, call: BareCall) -> tuple[list[float], list[Sequence[int]]]:
    queries_QL = archive.latent_NL[asked.query_Q]
    for query_L in queries_QL[:_WARM_UP]:
        call(query_L)
    taken, found = [], []
    for query_L in queries_QL:
        start = time.perf_counter()
        found.append(call(query_L))
        taken.append(time.perf_counter() - start)
    return taken, found


def _recall(found: Sequence[Sequence[Any]], truth: Sequence[Sequence[Any]]) -> float:
    shares = [
        len(set(these) & set(those)) / len(those) for these, those in zip(found, truth, strict=True) if those
    ]
    return float(np.mean(shares)) if shares else 1.0


def _ms(seconds: Sequence[float], percentile: int) -> float:
    return round(float(np.percentile(seconds, percentile)) * 1000, 3)
