"""`python -m tests.benchmarks`: measure, print the tables, write them as JSON."""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from retrieval.faiss_collection import INDEX_KINDS
from retrieval.latent_indexes import build_hnsw
from retrieval.records import CollectionInfo
from retrieval.sessions import own_session
from retrieval.store import Store
from retrieval.upkeep import vacuum
from tests.benchmarks.archive import Archive, make_archive
from tests.benchmarks.asked import Asked, everything_asked
from tests.benchmarks.command_line import command_times
from tests.benchmarks.engines import bare_faiss, bare_sql, build_snapshot, rows_by_volume_id, search_cell
from tests.benchmarks.homes import own_archive
from tests.benchmarks.loading import COLLECTION, CopyTime, LoadTime, bare_copy, least, load
from tests.benchmarks.machine import machine
from tests.benchmarks.printed import Results, printed
from tests.benchmarks.scoring import evaluation_time
from tests.benchmarks.serving import served_times, with_any_reports
from tests.benchmarks.words import with_reports, words_times

PGVECTOR = ("pgvector-exact", "pgvector-hnsw")
EVALUATED = (3_039, 47_149)
BATCH_OF_INDEXER, LARGE_BATCH = 64, 10_000
MOST_ROWS_IN_SMALL_BATCHES = 100_000
LOADS = 3
WEB_VOLUMES = 50_000


class Told:
    """Says on stderr what is being done; what `retrieval` reports progress to."""

    def update(self, *, done: int, total: int | None, failed: int, step: str) -> None:
        """Say nothing: a line a phase is enough here."""

    def __call__(self, what: str) -> None:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")
        sys.stderr.flush()


def main() -> None:
    """Run what is asked for."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # servers are stopped on the way
    options = _options()
    results, told = Results(), Told()
    with tempfile.TemporaryDirectory(prefix="ctsearch-bench-") as own:
        home = options.home or Path(own)
        for rows in options.rows:
            told(f"drawing {rows:,} volumes")
            archive = make_archive(rows, seed=options.seed, study_directions=options.study_directions)
            if "load" in options.parts:
                _measure_load(archive, results, told)
            if {"search", "cli"} & set(options.parts):
                _measure(home / f"rows_{rows}", archive, options, results, told)
            _write(results, options.json)
        if "words" in options.parts:
            _measure_words(Path(own) / "words", options, results, told)
        if "web" in options.parts:
            _measure_web(options.home / "web" if options.home else Path(own) / "web", options, results, told)
        if "evaluation" in options.parts:
            _measure_evaluation(options, results, told)
    sys.stdout.write(printed(results))
    _write(results, options.json)
    told(f"written to {options.json}")


def _write(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_document(results), indent=1) + "\n", encoding="utf-8")


def _measure_load(archive: Archive, results: Results, told: Told) -> None:
    """Load into new archives several times, and keep the least of each time: of ours and of the bare one."""
    small = (BATCH_OF_INDEXER,) if len(archive) <= MOST_ROWS_IN_SMALL_BATCHES else ()
    for batch in (*small, LARGE_BATCH):
        loads: list[LoadTime] = []
        copies: list[CopyTime] = []
        for _ in range(LOADS if small else 1):
            told(f"loading {len(archive):,} volumes in batches of {batch:,} cases")
            with (
                tempfile.TemporaryDirectory(prefix="ctsearch-bench-") as home,
                own_archive(Path(home)) as engine,
            ):
                info, taken = load(engine, archive, batch)
                loads.append(taken)
                copies.append(bare_copy(engine, info))
        results.loads.append((least(loads), least(copies)))


def _measure(home: Path, archive: Archive, options: argparse.Namespace, results: Results, told: Told) -> None:
    with own_archive(home) as engine:
        if not results.about:
            about = {"seed": options.seed, "queries": options.queries, "labels": archive.labels_from}
            results.about = about | machine(engine)
        info = _loaded(engine, archive, options, told)
        vacuum(engine, info, told)
        if "search" in options.parts:
            asked = list(everything_asked(archive, options.queries, seed=options.seed + 1))
            for engine_name in options.engines:
                _measure_engine(engine, info, archive, asked, engine_name, results, told)
                _write(results, options.json)
        if "cli" in options.parts:
            told("timing the command line")
            build_snapshot(engine, info, "flat")
            some = next(
                each for each in everything_asked(archive, 1, seed=options.seed) if each.filters.labels
            )
            results.commands += command_times(archive, some)


def _loaded(engine: Engine, archive: Archive, options: argparse.Namespace, told: Told) -> CollectionInfo:
    store = Store(engine)
    stored = {info.name: info for info in store.collections()}
    if COLLECTION in stored:
        if stored[COLLECTION].volumes != len(archive):
            raise SystemExit(
                f"{options.home} holds {stored[COLLECTION].volumes} volumes: give another --home"
            )
        return stored[COLLECTION]
    told(f"loading {len(archive):,} volumes in batches of {LARGE_BATCH:,} cases")
    return load(engine, archive, LARGE_BATCH)[0]


def _measure_engine(
    engine: Engine,
    info: CollectionInfo,
    archive: Archive,
    asked: Iterable[Asked],
    name: str,
    results: Results,
    told: Told,
) -> None:
    told(f"{len(archive):,} volumes, {name}: building")
    with own_session(engine) as session:
        _build(engine, session, info, name, len(archive), results, told)
        row_of = rows_by_volume_id(engine, archive)
        for each in asked:
            told(f"{len(archive):,} volumes, {name}: {each.name}")
            if name in PGVECTOR:
                bare = bare_sql(session, info, each, row_of, by_index=name == "pgvector-hnsw")
                cells = [(name, "pgvector")]
            else:
                bare = bare_faiss(engine, info, each, row_of)
                cells = [(f"faiss {name}", "faiss"), *([("auto", "auto")] if name == "flat" else [])]
            for shown, choice in cells:
                results.cells.append(search_cell(engine, archive, each, shown, choice, bare))


def _build(
    engine: Engine, session: Any, info: CollectionInfo, name: str, rows: int, results: Results, told: Told
) -> None:
    if name == "pgvector-exact":
        session.execute(f"DROP INDEX IF EXISTS embedding_{info.id}_hnsw_volume")
        return
    start = time.perf_counter()
    if name == "pgvector-hnsw":
        build_hnsw(engine, info, told, kinds=["volume"])
    else:
        build_snapshot(engine, info, name)
    results.builds.append((rows, name if name in PGVECTOR else f"faiss {name}", time.perf_counter() - start))


def _measure_words(home: Path, options: argparse.Namespace, results: Results, told: Told) -> None:
    archive = with_reports(make_archive(min(options.rows), seed=options.seed))
    if archive is None:
        told("the real reports are not at hand: questions in words are left out")
        return
    told(f"loading {len(archive.study):,} studies with reports")
    with own_archive(home) as engine:
        info, _ = load(engine, archive, LARGE_BATCH)
        vacuum(engine, info, told)
        told("asking in words")
        results.words = words_times(engine)
    _write(results, options.json)


def _measure_web(home: Path, options: argparse.Namespace, results: Results, told: Told) -> None:
    archive = with_any_reports(make_archive(WEB_VOLUMES, seed=options.seed))
    with own_archive(home) as engine:
        if not results.about:
            results.about = {"seed": options.seed, "labels": archive.labels_from} | machine(engine)
        info = _loaded(engine, archive, options, told)
        vacuum(engine, info, told)
        build_snapshot(engine, info, "flat")
        told(f"serving {len(archive):,} volumes")
        results.served = served_times(archive)
    _write(results, options.json)


def _measure_evaluation(options: argparse.Namespace, results: Results, told: Told) -> None:
    sizes = [rows for rows in EVALUATED if rows <= max(options.rows)]
    if not sizes:
        return
    archive = make_archive(max(sizes), seed=options.seed)
    for rows in sizes:
        told(f"evaluating {rows:,} volumes")
        results.evaluations.append(evaluation_time(archive, rows, seed=options.seed))
        _write(results, options.json)


def _document(results: Results) -> dict[str, Any]:
    return {
        "about": results.about,
        "search": [cell.to_json() for cell in results.cells],
        "load": [{**asdict(load), "bare": asdict(bare)} for load, bare in results.loads],
        "build": [{"rows": rows, "what": what, "seconds": s} for rows, what, s in results.builds],
        "command_line": [asdict(each) for each in results.commands],
        "words": [asdict(each) for each in results.words],
        "web": [asdict(each) for each in results.served],
        "evaluation": [asdict(each) for each in results.evaluations],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    engines = ("pgvector-exact", *INDEX_KINDS, "pgvector-hnsw")
    parts = ("load", "search", "cli", "words", "web", "evaluation")
    parser.add_argument("--rows", type=int, nargs="+", default=[47_149], help="volumes; a run for each")
    parser.add_argument("--queries", type=int, default=40, help="questions a filter and engine")
    parser.add_argument("--engines", nargs="+", choices=engines, default=list(engines))
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--study-directions", type=int, default=32, help="dimensions in which studies differ")
    parser.add_argument("--home", type=Path, help="keep the archives here, and use those that are there")
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks.json"), help="also written")
    return parser.parse_args()


if __name__ == "__main__":
    main()
