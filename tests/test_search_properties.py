"""Random filters over the real validation tables: every engine against brute force from the CSV files."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from sqlalchemy import Engine

from encoders.abnormalities import ABNORMALITIES
from retrieval import faiss_collection
from retrieval.cases import Case
from retrieval.faiss_collection import INDEX_KINDS
from retrieval.filters import LABEL_PRECEDENCE, AgeRange, Filters
from retrieval.latent_indexes import build_hnsw
from retrieval.named_cases import find_case
from retrieval.neighbours import Gallery
from retrieval.planner import nearest
from retrieval.postgres import open_engine
from retrieval.postgres_server import EmbeddedServer
from retrieval.records import CollectionInfo
from retrieval.search import Question, SearchOptions, search
from retrieval.snapshot_files import Snapshot
from retrieval.snapshots import Snapshots
from retrieval.store import Store
from tests.conftest import TEMPLATE, address_of
from tests.shared import shared_file
from tests.small_archive import fill
from tests.test_latent_indexes import Told
from tests.validation_archive import DIM, Archive, Row, around, as_the_tables_say, elsewhere, give_latents

EXACT = ("pgvector", "flat")
ENGINES = ("pgvector", "pgvector hnsw", *INDEX_KINDS)


@dataclass(frozen=True)
class Stored:
    """The archive in a database, with what each engine needs."""

    archive: Archive
    engine: Engine
    of_hnsw: Engine  # whose sessions take an index wherever there is one
    plain: CollectionInfo
    indexed: CollectionInfo
    snapshots: dict[str, Snapshot]


@pytest.fixture(scope="module")
def stored(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    shared_file("ct_rate/validation_metadata.csv")
    name = "search_properties"
    with server.connect(autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CTSEARCH_HOME", str(tmp_path_factory.mktemp("home")))
        address = address_of(server, name)
        patch.setenv(
            "CTSEARCH_DATABASE", address + "&options=-c%20enable_seqscan%3Doff%20-c%20enable_sort%3Doff"
        )
        of_hnsw = open_engine()
        patch.setenv("CTSEARCH_DATABASE", address)
        engine = open_engine()
        patch.setattr(faiss_collection, "_LEARNS_FROM", 1000)  # or 3,000 latents would all be flat
        yield _stored(engine, of_hnsw)
    engine.dispose()
    of_hnsw.dispose()
    with server.connect(autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _stored(engine: Engine, of_hnsw: Engine) -> Stored:
    archive, rng = Archive(), np.random.default_rng(20)
    cases = [*as_the_tables_say(archive, rng), *elsewhere(archive)]
    give_latents(archive, rng)
    for source in LABEL_PRECEDENCE:
        Store(engine).save_cases([case for case in cases if case.label_source == source])
    distinct = list({(case.dataset, case.study): case for case in cases}.values())
    plain, indexed = (
        fill_unscaled(engine, distinct, archive, collection) for collection in ("plain", "indexed")
    )
    build_hnsw(engine, indexed, Told())
    snapshots = {kind: Snapshots(engine).build(plain, kind=kind) for kind in INDEX_KINDS}
    for kind, snapshot in snapshots.items():
        assert {part.latents.kind for part in snapshot.parts.values()} == {kind}
    return Stored(archive, engine, of_hnsw, plain, indexed, snapshots)


def fill_unscaled(engine: Engine, cases: list[Case], archive: Archive, collection: str) -> CollectionInfo:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.small_archive.unit", lambda latent: latent)  # it would leave the grid
        return fill(
            engine, cases, volumes=archive.volumes, reports=archive.reports, collection=collection, dim=DIM
        )


FINDINGS = st.lists(st.sampled_from(ABNORMALITIES), max_size=3, unique=True)


@st.composite
def filters(draw: st.DrawFn) -> Filters:
    """Any combination; each field is left out about as often as it is set."""
    findings = draw(FINDINGS)
    present = draw(st.integers(0, len(findings)))
    low, high = sorted(draw(st.tuples(st.integers(15, 95), st.integers(15, 95))))
    ages = [None, AgeRange(low=low, high=high), AgeRange(low=low + 0.5), AgeRange(high=high)]
    makers = [None, None, None, "Philips", "siemens", "SIEMENS HEALTHINEERS", "PNMS"]
    return Filters(
        labels=tuple(findings[:present]),
        without_labels=tuple(findings[present:]),
        label_source=draw(st.sampled_from([None, None, *LABEL_PRECEDENCE])),
        sex=draw(st.sampled_from([None, None, "F", "M"])),
        age=draw(st.sampled_from(ages)),
        manufacturer=draw(st.sampled_from(makers)),
        split=draw(st.sampled_from([None, None, "valid", "TRAIN"])),
        dataset=draw(st.sampled_from([None, None, None, "CT-RATE", "folder"])),
    )


@dataclass(frozen=True)
class Asked:
    """A question by a latent; a stored volume's leaves out what `exclude` says."""

    latent: np.ndarray
    by: Row | None


@st.composite
def asked(draw: st.DrawFn) -> tuple[int, bool]:
    return draw(st.integers(0, 10_000)), draw(st.booleans())


def question(archive: Archive, drawn: tuple[int, bool]) -> Asked:
    seed, is_stored = drawn
    with_latent = [row for row in archive.rows if row.volume in archive.volumes]
    if is_stored:
        row = with_latent[seed % len(with_latent)]
        return Asked(archive.volumes[row.volume], row)
    return Asked(around(np.random.default_rng(seed), seed, 0.6), None)


def left_out(archive: Archive, by: Row | None, exclude: str) -> set[str]:
    if by is None or exclude == "none":
        return set()
    if exclude == "same-study":
        return {by.study}
    return {row.study for row in archive.rows if (row.dataset, row.patient) == (by.dataset, by.patient)}


@pytest.mark.parametrize("engine", ENGINES)
def test_no_filter_loses_a_row_or_finds_one_that_does_not_match(stored: Stored, engine: str) -> None:
    archive, snapshot = stored.archive, stored.snapshots.get(engine)
    opened = stored.of_hnsw if engine == "pgvector hnsw" else stored.engine
    info = stored.indexed if engine == "pgvector hnsw" else stored.plain
    approximate = set()

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        wanted=st.just(Filters()) | filters() | filters(),
        drawn=asked(),
        k=st.integers(1, 30) | st.integers(1, 400) | st.just(5000),
        unit_of_hits=st.sampled_from(["study", "volume"]),
        exclude=st.sampled_from(["same-study", "same-patient", "none"]),
        kind=st.sampled_from(["volume", "volume", "report"]),
    )
    def check(wanted, drawn, k, unit_of_hits, exclude, kind) -> None:
        one = question(archive, drawn)
        rows = archive.matching(wanted, left_out(archive, one.by, exclude))
        by_volumes = archive.volumes_ranked(rows, one.latent, unit_of_hits)
        by_reports = archive.reports_ranked(rows, one.latent)
        options = SearchOptions(
            k=k,
            filters=wanted,
            unit=unit_of_hits,
            exclude=exclude,
            engine="pgvector" if snapshot is None else "faiss",
        )
        with opened.connect() as connection:
            origins = () if one.by is None else (find_case(connection, f"{one.by.dataset}/{one.by.volume}"),)
            put = Question(asked={}, kind=kind, latent=one.latent, origins=origins)
            answer = search(connection, info, put, options, snapshot=snapshot)
        if engine in EXACT:
            assert answer.exact
        if not answer.exact:
            approximate.add(kind)
        hits = [(hit.study, hit.volume) for hit in answer.hits]
        found = set(hits) if unit_of_hits == "volume" else {study_name for study_name, _ in hits}
        assert len(found) == len(hits)  # nothing twice
        there = {(row.study, row.volume) for row in rows}
        studies = {row.study for row in rows}
        assert all(hit in there or (hit[1] is None and hit[0] in studies) for hit in hits)
        assert [hit.rank for hit in answer.hits] == list(range(1, len(hits) + 1))
        if kind == "volume":
            assert len(hits) == min(k, len(by_volumes))
            scores = {volume: -score for score, _, volume in by_volumes}
            if unit_of_hits == "volume" or answer.exact:
                assert [hit.score for hit in answer.hits] == [scores[hit.volume] for hit in answer.hits]
            if answer.exact:
                assert [(-hit.score, hit.study, hit.volume) for hit in answer.hits] == by_volumes[:k]
        else:
            with_report = {name for _, name in by_reports}
            names = {hit[1] for hit in by_volumes} | with_report
            pairs = {(hit[1], hit[2]) for hit in by_volumes}
            pairs |= {(row.study, row.volume) for row in rows if row.study in with_report}
            assert len(hits) == min(k, len(names if unit_of_hits == "study" else pairs))

    check()
    assert (approximate == set()) == (engine in EXACT)


@pytest.mark.parametrize("engine", ENGINES)
def test_reports_are_ranked_as_brute_force_ranks_them(stored: Stored, engine: str) -> None:
    archive, snapshot = stored.archive, stored.snapshots.get(engine)
    opened = stored.of_hnsw if engine == "pgvector hnsw" else stored.engine
    info = stored.indexed if engine == "pgvector hnsw" else stored.plain

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        wanted=st.just(Filters()) | filters(),
        drawn=asked(),
        k=st.integers(1, 200) | st.just(5000),
        unit_of_hits=st.sampled_from(["study", "volume"]),
    )
    def check(wanted, drawn, k, unit_of_hits) -> None:
        one = question(archive, drawn)
        rows = archive.matching(wanted, set())
        expected = archive.reports_ranked(rows, one.latent)
        gallery = Gallery(collection_id=info.id, filters=wanted, unit=unit_of_hits)
        with opened.connect() as connection:
            [ranking] = nearest(
                connection,
                [gallery],
                "report",
                one.latent[None],
                k,
                choice="pgvector" if snapshot is None else "faiss",
                snapshot=snapshot,
            )
        found = [(-each.score, each.study) for each in ranking.neighbours]
        if unit_of_hits == "volume":
            shown = defaultdict(list)
            for row in rows:
                shown[row.study].append(row.volume)
            expected = [each for each in expected for _ in shown[each[1]]]
            named = [each.volume for each in ranking.neighbours]
            assert all(each.volume in shown[each.study] for each in ranking.neighbours)
            assert len(set(named)) == len(named)
        assert len(found) == min(k, len(expected))
        if ranking.exact:
            assert found == expected[:k]
        assert set(found) <= set(expected)

    check()


def test_many_questions_at_once_are_answered_as_one_by_one(stored: Stored) -> None:
    wanted = Filters(labels=("Lung nodule",), sex="F")
    queries = np.stack([around(np.random.default_rng(seed), seed, 0.6) for seed in range(40)])
    gallery = Gallery(collection_id=stored.plain.id, filters=wanted, unit="study")
    with stored.engine.connect() as connection:
        for kind in INDEX_KINDS:
            rankings = nearest(
                connection,
                [gallery] * len(queries),
                "volume",
                queries,
                7,
                choice="faiss",
                snapshot=stored.snapshots[kind],
            )
            rows = stored.archive.matching(wanted, set())
            for query, ranking in zip(queries, rankings, strict=True):
                expected = stored.archive.volumes_ranked(rows, query, "study")[:7]
                assert [(-each.score, each.study, each.volume) for each in ranking.neighbours] == expected
