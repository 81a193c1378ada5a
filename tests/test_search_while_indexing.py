"""Thirty-two searchers beside a writer: every answer is the exact one for some state that was committed.

The writer's transactions are drawn beforehand, so that the archive's state after each of them is known. Times
are of the machine's monotonic clock, which all processes share: an answer must be that of a version which was
committed, or being committed, while it was made.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from retrieval import snapshots, store_removal
from retrieval.cases import Acquisition, Case
from retrieval.filters import Filters
from retrieval.latent_indexes import build_hnsw
from retrieval.postgres import open_engine
from retrieval.records import CollectionInfo, EmbeddingRow
from retrieval.search import SearchOptions
from retrieval.service import CaseSearch
from retrieval.snapshots import Snapshots
from retrieval.store import Store
from tests.small_archive import study
from tests.test_latent_indexes import Told
from tests.validation_archive import DIM, around

STUDIES = 150
VERSIONS = 36
QUERIES = [around(np.random.default_rng(900 + seed), seed, 0.4) for seed in range(6)]
ENGINES = ("faiss", "pgvector", "auto")
THREADS, PROCESSES = 28, 4
K = 12

Ranking = list[tuple[float, str]]  # scores and volumes, best first
State = dict[str, tuple[int, ...]]  # by volume: its latent times 2**11


@dataclass
class Seen:
    """An answer, and when it was asked for and given."""

    began: float
    ended: float
    asked: int  # which query
    of_women: bool
    engine: str
    exact: bool  # by an HNSW index it is not: then each hit must be one of that state
    hits: list[tuple[float, str]]


@dataclass
class Step:
    """One transaction: latents that are written, or a study that goes; and the state it leaves."""

    written: dict[str, np.ndarray] = field(default_factory=dict)
    new_studies: tuple[str, ...] = ()
    removed: str | None = None
    state: State = field(default_factory=dict)


def case(name: str) -> Case:
    """Studies of even number are of women."""
    return study(name, acquisition=Acquisition(sex="F" if int(name[1:]) % 2 == 0 else "M"))


def drawn(seed: int) -> list[Step]:
    """The first step fills the archive; then a study comes or goes, or latents are made anew."""
    rng = np.random.default_rng(seed)
    names = [f"s{number:03d}" for number in range(STUDIES)]
    steps = [_writing(rng, [f"{name}_{each}" for name in names for each in (1, 2)], {}, tuple(names))]
    for number in range(1, VERSIONS):
        before = steps[-1].state
        present = sorted({volume[:-2] for volume in before})
        if number % 3 == 0:
            gone = str(rng.choice(present))
            left = {volume: latent for volume, latent in before.items() if volume[:-2] != gone}
            steps.append(Step(removed=gone, state=left))
        elif number % 3 == 1:
            new = tuple(f"s{1000 + 10 * number + each}" for each in range(4))
            steps.append(_writing(rng, [f"{name}_{each}" for name in new for each in (1, 2)], before, new))
        else:
            again = [str(each) for each in rng.choice(sorted(before), 25, replace=False)]
            steps.append(_writing(rng, again, before, ()))
    return steps


def _writing(rng: np.random.Generator, volumes: list[str], before: State, new: tuple[str, ...]) -> Step:
    written = {volume: around(rng, int(rng.integers(6)), 0.4) for volume in volumes}
    packed = {volume: tuple((latent * 2048).astype(int).tolist()) for volume, latent in written.items()}
    return Step(written=written, new_studies=new, state=before | packed)


def rankings(state: State, *, of_women: bool) -> list[Ranking]:
    """Of each query, all of it, ties by name."""
    names = sorted(volume for volume in state if not of_women or int(volume[1:-2]) % 2 == 0)
    latent_NL = np.array([state[name] for name in names], np.float64) / 2048
    scores_QN = np.stack(QUERIES).astype(np.float64) @ latent_NL.T
    ordered = [
        sorted((-float(score), name) for score, name in zip(row, names, strict=True)) for row in scores_QN
    ]
    return [[(-score, name) for score, name in ranking] for ranking in ordered]


def is_of(seen: Seen, ranking: Ranking) -> bool:
    if seen.exact:
        return seen.hits == ranking[:K]
    return len(seen.hits) == K and set(seen.hits) <= set(ranking)


def write(engine: Engine, info: CollectionInfo, step: Step) -> tuple[float, float]:
    """Commit a step and say when it began and ended; new rows of cases come before, unseen by searches."""
    store = Store(engine)
    names = sorted({volume[:-2] for volume in step.written})
    saved = store.save_cases([case(name) for name in names]) if names else None
    rows = [
        EmbeddingRow(
            study_id=saved.studies["ct-rate", volume[:-2]],
            volume_id=saved.volumes["ct-rate", volume],
            content=b"x",
            latent=latent,
        )
        for volume, latent in step.written.items()
    ]
    began = time.monotonic()
    if rows:
        store.save_embeddings(info, rows)
    elif int(step.removed[1:]) % 2:
        CaseSearch(engine).remove_study(step.removed)  # with the snapshot
    else:
        with engine.begin() as connection:
            store_removal.remove_study(connection, step.removed, "test")
    return began, time.monotonic()


def look(service: CaseSearch, number: int, engine: str) -> Seen:
    asked, of_women = number % len(QUERIES), number % 4 == 0
    options = SearchOptions(k=K, unit="volume", engine=engine, filters=Filters(sex="F" if of_women else None))
    began = time.monotonic()
    [answer] = service.search_by_latents(QUERIES[asked], options)
    hits = [(hit.score, hit.volume) for hit in answer.hits]
    return Seen(began, time.monotonic(), asked, of_women, engine, answer.exact, hits)


def renew_often(patch: pytest.MonkeyPatch) -> None:
    """A snapshot lies far behind after forty rows, and every search asks."""
    patch.setattr(snapshots, "FAISS_FROM_ROWS", 100)
    patch.setattr(snapshots, "_BEHIND_ROWS", 40)
    patch.setattr(snapshots, "_BEHIND_SHARE", 0.0)
    patch.setattr(snapshots, "_ASKED_AGAIN_S", 0.0)


def search_in_a_process(stop: str, first: int) -> None:
    """Search until a file is there, then write what was seen to stdout."""
    seen: list[Seen] = []
    with pytest.MonkeyPatch.context() as patch:
        renew_often(patch)
        service = CaseSearch(open_engine())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for number, engine in enumerate(cycle(ENGINES), start=first):
            if Path(stop).exists():
                break
            seen.append(look(service, number, engine))
    json.dump([asdict(each) for each in seen], sys.stdout)


@dataclass
class Searchers:
    """Threads and processes that search until they are stopped."""

    services: list[CaseSearch]
    stop: Path
    seen: list[Seen] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def start(self) -> None:
        code = "from tests.test_search_while_indexing import search_in_a_process as s; s({!r}, {})"
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-c", code.format(str(self.stop), number)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in range(PROCESSES)
        ]
        for process in self.processes:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        self.threads = [threading.Thread(target=self._search, args=[number]) for number in range(THREADS)]
        for thread in self.threads:
            thread.start()

    def _search(self, first: int) -> None:
        service = self.services[first % len(self.services)]
        try:
            for number, engine in enumerate(cycle(ENGINES), start=first):
                if self.stop.exists():
                    return
                self.seen.append(look(service, number, engine))
        except Exception as error:
            self.failures.append(error)

    def end(self) -> None:
        self.stop.touch()
        for thread in self.threads:
            thread.join()
        for process in self.processes:
            out, err = process.communicate()
            assert (process.returncode, err) == (0, "")
            for each in json.loads(out):
                self.seen.append(Seen(**each | {"hits": [tuple(hit) for hit in each["hits"]]}))
        assert self.failures == []


@pytest.fixture
def services(database: str) -> Iterator[list[CaseSearch]]:
    engines = [open_engine() for _ in range(4)]
    yield [CaseSearch(engine) for engine in engines]
    for engine in engines:
        engine.dispose()


@pytest.mark.slow
def test_every_answer_is_exact_for_a_state_that_was_committed(
    engine: Engine, services: list[CaseSearch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew_often(monkeypatch)
    steps = drawn(seed=31)
    info = Store(engine).ensure_collection(
        "default", encoder="tiny", encoder_digest="e" * 64, preprocessing_digest="p" * 64, latent_dim=DIM
    )
    committed = [write(engine, info, steps[0])]
    searchers = Searchers(services, tmp_path / "stop")
    searchers.start()
    try:
        for number, step in enumerate(steps[1:], start=1):
            committed.append(write(engine, info, step))
            if number % 5 == 0:
                Snapshots(engine).build(info)
            if number == VERSIONS // 2:
                build_hnsw(engine, info, Told())
    finally:
        searchers.end()
    expected = {
        of_women: [rankings(step.state, of_women=of_women) for step in steps] for of_women in (False, True)
    }
    for seen in searchers.seen:
        first = max(number for number, (_, ended) in enumerate(committed) if ended <= seen.began)
        last = max(number for number, (began, _) in enumerate(committed) if began <= seen.ended)
        states = [expected[seen.of_women][version][seen.asked] for version in range(first, last + 1)]
        assert any(is_of(seen, state) for state in states), (seen, first, last)
    assert {seen.engine for seen in searchers.seen} == set(ENGINES)
    assert len(searchers.seen) > THREADS + PROCESSES
