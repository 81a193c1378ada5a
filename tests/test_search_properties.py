"""Random filters over the real validation tables: every engine against brute force from the CSV files.

Latents are synthetic, in clusters, and multiples of 2**-11: their inner products are sums without rounding,
so scores, ties and the order among ties are the same in NumPy, PostgreSQL and FAISS, halves included.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from sqlalchemy import Engine

from encoders.abnormalities import ABNORMALITIES
from retrieval import faiss_collection
from retrieval.cases import Acquisition, Case
from retrieval.datasets import Tables, open_source
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
from tests.datasets import cases_of
from tests.shared import shared_file
from tests.small_archive import fill, study
from tests.test_latent_indexes import Told

DIM = 16
CLUSTERS = 24
GRID = 2**11
EXACT = ("pgvector", "flat")
ENGINES = ("pgvector", "pgvector hnsw", *INDEX_KINDS)


@dataclass(frozen=True)
class Row:
    """A volume as the tables say; `volume` is None for a study that has none."""

    study: str
    patient: str
    volume: str | None
    split: str | None
    dataset: str
    sex: str | None = None
    age: float | None = None
    manufacturer: str | None = None


@dataclass
class Archive:
    """What was stored, told by the tables and not by the database."""

    rows: list[Row] = field(default_factory=list)
    labels: dict[tuple[str, str], dict[str, bool]] = field(default_factory=dict)  # by study and source
    volumes: dict[str, np.ndarray] = field(default_factory=dict)  # latents by volume
    reports: dict[str, np.ndarray] = field(default_factory=dict)  # latents by study

    def is_labelled(self, study_name: str, finding: str, present: bool, source: str | None) -> bool:
        for each in ("manual", "extractor", "zero_shot") if source is None else (source,):
            known = self.labels.get((study_name, each), {}).get(finding)
            if known is not None:
                return known is present
        return False

    def matching(self, filters: Filters, left_out: set[str]) -> list[Row]:
        """The rows that match, those of `left_out` studies aside."""
        return [row for row in self.rows if row.study not in left_out and self._matches(row, filters)]

    def _matches(self, row: Row, filters: Filters) -> bool:
        age, source = filters.age, filters.label_source
        return (
            all(self.is_labelled(row.study, finding, True, source) for finding in filters.labels)
            and all(self.is_labelled(row.study, finding, False, source) for finding in filters.without_labels)
            and (filters.split is None or (row.split or "").lower() == filters.split.lower())
            and (filters.dataset is None or row.dataset.lower() == filters.dataset.lower())
            and (filters.sex is None or row.sex == filters.sex)
            and (
                filters.manufacturer is None
                or (row.manufacturer or "").lower() == filters.manufacturer.lower()
            )
            and (age is None or (row.age is not None and (age.low or 0) <= row.age <= (age.high or 999)))
        )

    def volumes_ranked(self, rows: Sequence[Row], query: np.ndarray, unit_of_hits: str) -> list[tuple]:
        """(-score, study, volume), best first; studies by their best reconstruction, ties by name."""
        here = [row for row in rows if row.volume in self.volumes]
        scores = np.stack([self.volumes[row.volume] for row in here]) @ query if here else []
        ranked = sorted((-float(s), row.study, row.volume) for s, row in zip(scores, here, strict=True))
        if unit_of_hits == "volume":
            return ranked
        best: dict[str, tuple] = {}
        for hit in ranked:
            best.setdefault(hit[1], hit)
        return sorted(best.values())

    def reports_ranked(self, rows: Sequence[Row], query: np.ndarray) -> list[tuple]:
        """(-score, study) of studies whose report has a latent, best first, ties by name."""
        here = sorted({row.study for row in rows} & self.reports.keys())
        scores = np.stack([self.reports[name] for name in here]) @ query if here else []
        return sorted((-float(score), name) for score, name in zip(scores, here, strict=True))


def on_grid(latent_NL: np.ndarray) -> np.ndarray:
    """Unit length to 1e-3, and every number a multiple of 2**-11."""
    latent_NL = latent_NL / np.linalg.norm(latent_NL, axis=-1, keepdims=True)
    return np.asarray(np.round(latent_NL * GRID) / GRID, np.float32)


def around(rng: np.random.Generator, cluster: int, spread: float) -> np.ndarray:
    centres_CL = np.random.default_rng(0).normal(size=(CLUSTERS, DIM))
    return on_grid(centres_CL[cluster % CLUSTERS] + spread * rng.normal(size=DIM))


def table(name: str) -> dict[str, dict[str, str]]:
    with shared_file(f"ct_rate/{name}").open(newline="", encoding="utf-8") as stream:
        return {row["VolumeName"].removesuffix(".nii.gz"): row for row in csv.DictReader(stream)}


def as_the_tables_say(archive: Archive, rng: np.random.Generator) -> list[Case]:
    """Fill in the rows, and return cases: labels of three sources that disagree, some unknown."""
    labels, metadata = table("validation_labels.csv"), table("validation_metadata.csv")
    volumes = defaultdict(list)
    for name in metadata:
        volumes[name.rpartition("_")[0]].append(name)
    tables = Tables(
        reports=shared_file("ct_rate/validation_reports.csv"),
        labels=shared_file("ct_rate/validation_labels.csv"),
        metadata=shared_file("ct_rate/validation_metadata.csv"),
    )
    folder = shared_file("ct_rate/validation_labels.csv").parent
    cases = []
    for case in cases_of(open_source(str(folder), tables=tables)):
        split = "train" if rng.random() < 0.3 else "valid"
        for name in volumes[case.study]:
            row = metadata[name]
            age = float(row["PatientAge"].rstrip("Y")) if row["PatientAge"] else None
            patient = case.study.rpartition("_")[0]
            archive.rows.append(
                Row(
                    case.study,
                    patient,
                    name,
                    split,
                    "ct-rate",
                    row["PatientSex"] or None,
                    age,
                    row["Manufacturer"] or None,
                )
            )
        told = {finding: labels[volumes[case.study][0]][finding] == "1" for finding in ABNORMALITIES}
        said = {
            "manual": {name: known for name, known in told.items() if rng.random() < 0.8},
            "extractor": {name: known ^ (rng.random() < 0.2) for name, known in told.items()},
            "zero_shot": {name: bool(rng.integers(2)) for name in told if rng.random() < 0.3},
        }
        for source, share in zip(LABEL_PRECEDENCE, (0.8, 0.6, 0.6), strict=True):
            known = said[source] if rng.random() < share else {}
            archive.labels[case.study, source] = known
            cases.append(replace(case, split=split, labels=known, label_source=source))
    return cases


def elsewhere(archive: Archive) -> list[Case]:
    """Studies of another dataset: one says nothing of its scanner, one has no volume at all."""
    made = [
        study("valid_1_a", dataset="folder", patient="valid_1", volumes=("x_1", "x_2"), findings="A nodule."),
        study("words only", dataset="folder", volumes=(), findings="Emphysema.", labels={"Emphysema": True}),
        study("bare", dataset="folder", volumes=("bare_1",), acquisition=Acquisition(age_years=63.5)),
    ]
    made[0] = replace(made[0], study="other_a", reports=(replace(made[0].reports[0], name="other_a"),))
    archive.labels["words only", "manual"] = {"Emphysema": True}
    archive.rows += [
        Row("other_a", "valid_1", "x_1", None, "folder"),
        Row("other_a", "valid_1", "x_2", None, "folder"),
        Row("words only", "patient of words only", None, None, "folder"),
        Row("bare", "patient of bare", "bare_1", None, "folder", age=63.5),
    ]
    return made


def give_latents(archive: Archive, rng: np.random.Generator) -> None:
    """To most; one in ten is the latent of another volume, number for number."""
    for row in archive.rows:
        cluster = sum(map(ord, row.study))
        if row.volume is not None and rng.random() < 0.92:
            archive.volumes[row.volume] = around(rng, cluster, 0.5)
        if row.study not in archive.reports and rng.random() < 0.7:
            archive.reports[row.study] = around(rng, cluster + 1, 0.8)
    del archive.reports["bare"]  # it has no report
    for latents in (archive.volumes, archive.reports):
        names = sorted(latents)
        for name in rng.choice(names, len(names) // 10, replace=False):
            latents[str(name)] = latents[str(rng.choice(names))]


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
