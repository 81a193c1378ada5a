"""Search is exact, whatever the filter: held against brute force in NumPy and hand-worked rankings."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from encoders.errors import ReportError, SearchError
from retrieval.asked_collection import choose_collection
from retrieval.cases import Acquisition, Case, Report
from retrieval.filters import AgeRange, Filters
from retrieval.fusion import fuse
from retrieval.named_cases import cases_of_content, find_case
from retrieval.neighbours import Neighbour
from retrieval.questions import from_case, read_report
from retrieval.records import CollectionInfo
from retrieval.search import Answer, Question, SearchOptions, search
from retrieval.service import CaseSearch
from retrieval.store import FileRow, Store
from tests.small_archive import fill, study, unit

DIM = 8
STUDIES = 60
FINDINGS = ("Emphysema", "Lung nodule")
MAKERS = ("Philips", "SIEMENS")


@dataclass(frozen=True)
class Archive:
    """What was stored, kept to compare with."""

    engine: Engine
    info: CollectionInfo
    cases: list[Case]
    volumes: dict[str, np.ndarray]
    reports: dict[str, np.ndarray]


@pytest.fixture
def clustered(engine: Engine) -> Archive:
    """Sixty studies in six clusters; some lack a volume, latent, report or label, some are identical."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(6, DIM))
    cases, volumes, reports = [], {}, {}
    for number in range(STUDIES):
        name = f"s{number:02d}"
        names = [f"{name}_{each}" for each in range(1, 1 + rng.integers(0, 3))]
        for volume in names:
            if rng.random() < 0.9:
                volumes[volume] = unit(centres[number % 6] + 0.1 * rng.normal(size=DIM))
        if rng.random() < 0.8:
            reports[name] = unit(centres[number % 6] + 0.3 * rng.normal(size=DIM))
        cases.append(
            study(
                name,
                patient=f"p{number // 2}",
                volumes=names,
                acquisition={
                    volume: Acquisition(
                        sex=("F", "M", None)[rng.integers(3)],
                        age_years=float(rng.integers(20, 90)),
                        manufacturer=MAKERS[rng.integers(2)],
                    )
                    for volume in names
                },
                findings="A nodule." if name in reports else "",
                split=("train", "valid")[number % 2],
                labels={f: bool(rng.integers(2)) for f in FINDINGS if rng.random() < 0.7},
            )
        )
    some = sorted(volumes)
    for original, copy in zip(some[:6], some[20:26], strict=True):
        volumes[copy] = volumes[original]  # ties
    return Archive(
        engine, fill(engine, cases, volumes=volumes, reports=reports, dim=DIM), cases, volumes, reports
    )


def ask(archive: Archive, kind, latent, **options) -> Answer:
    question = Question(asked={"kind": kind}, kind=kind, latent=latent)
    with archive.engine.connect() as connection:
        return search(connection, archive.info, question, SearchOptions(**options))


FILTERS = st.builds(
    Filters,
    labels=st.lists(st.sampled_from(FINDINGS), max_size=1).map(tuple),
    without_labels=st.just(()),
    sex=st.sampled_from([None, "F", "M"]),
    age=st.none() | st.builds(AgeRange, low=st.integers(20, 50), high=st.none() | st.integers(50, 90)),
    manufacturer=st.sampled_from([None, *MAKERS]),
    split=st.sampled_from([None, "train", "VALID"]),
) | st.builds(Filters, without_labels=st.just(("Emphysema",)), labels=st.just(("Lung nodule",)))


def study_matches(case: Case, filters: Filters) -> bool:
    return (
        all(case.labels.get(label) is True for label in filters.labels)
        and all(case.labels.get(label) is False for label in filters.without_labels)
        and filters.split in (None, case.split, (case.split or "").upper())
    )


def volume_matches(of: Acquisition, filters: Filters) -> bool:
    low, high = (None, None) if filters.age is None else (filters.age.low, filters.age.high)
    return (
        filters.sex in (None, of.sex)
        and filters.manufacturer in (None, of.manufacturer)
        and (low is None or (of.age_years or 0) >= low)
        and (high is None or (of.age_years or 0) <= high)
    )


def brute_force_volumes(
    archive: Archive, filters: Filters, query: np.ndarray
) -> list[tuple[float, str, str]]:
    """(-score, study, volume) of every volume with a latent that matches, best first, ties by name."""
    return sorted(
        (-float(archive.volumes[volume.name] @ query), case.study, volume.name)
        for case in archive.cases
        if study_matches(case, filters)
        for volume in case.volumes
        if volume.name in archive.volumes and volume_matches(volume.acquisition, filters)
    )


def brute_force_reports(archive: Archive, filters: Filters, query: np.ndarray) -> list[tuple[float, str]]:
    """(-score, study) of every report with a latent whose study matches and has a volume that does."""
    return sorted(
        (-float(archive.reports[case.study] @ query), case.study)
        for case in archive.cases
        if case.study in archive.reports
        and study_matches(case, filters)
        and (
            not filters.on_volumes
            or any(volume_matches(volume.acquisition, filters) for volume in case.volumes)
        )
    )


def first_of_each_study(ranking):
    best: dict[str, tuple] = {}
    for row in ranking:
        best.setdefault(row[1], row)
    return list(best.values())


@pytest.mark.parametrize("unit_of_hits", ["study", "volume"])
def test_a_volume_finds_what_brute_force_finds(clustered, unit_of_hits) -> None:
    @settings(max_examples=120, deadline=None)
    @given(filters=FILTERS, k=st.integers(1, 80), seed=st.integers(0, 999))
    def check(filters, k, seed) -> None:
        query = unit(np.random.default_rng(seed).normal(size=DIM))
        if seed % 3 == 0:
            query = list(clustered.volumes.values())[seed % len(clustered.volumes)]
        ranking = brute_force_volumes(clustered, filters, query)
        expected = (ranking if unit_of_hits == "volume" else first_of_each_study(ranking))[:k]
        answer = ask(clustered, "volume", query, filters=filters, k=k, unit=unit_of_hits)
        assert answer.exact
        assert [hit.rank for hit in answer.hits] == list(range(1, len(expected) + 1))
        assert [hit.score for hit in answer.hits] == pytest.approx(
            [-score for score, *_ in expected], abs=1e-6
        )
        scores = {volume: -score for score, _, volume in ranking}
        for hit in answer.hits:
            assert hit.volume in scores  # never a row that does not match
            assert hit.score == pytest.approx(scores[hit.volume], abs=1e-6)
        assert len({hit.volume for hit in answer.hits}) == len(answer.hits)

    check()


def test_a_sentence_finds_what_fusing_two_brute_force_rankings_finds(clustered) -> None:
    @settings(max_examples=60, deadline=None)
    @given(filters=FILTERS, k=st.integers(1, 80), seed=st.integers(0, 999))
    def check(filters, k, seed) -> None:
        query = unit(np.random.default_rng(seed).normal(size=DIM))
        of_volumes = [row[1] for row in first_of_each_study(brute_force_volumes(clustered, filters, query))]
        of_reports = [row[1] for row in brute_force_reports(clustered, filters, query)]
        expected = {
            name: sum(
                61 / (61 + ranks.index(name)) / 2 for ranks in (of_volumes, of_reports) if name in ranks
            )
            for name in {*of_volumes, *of_reports}
        }
        answer = ask(clustered, "report", query, filters=filters, k=k)
        assert len(answer.hits) == min(k, len(expected))
        assert [hit.score for hit in answer.hits] == pytest.approx(
            sorted(expected.values(), reverse=True)[:k], abs=1e-9
        )
        assert all(hit.score == pytest.approx(expected[hit.study]) for hit in answer.hits)

    check()


def test_identical_latents_come_in_the_order_of_their_names(clustered) -> None:
    copies = sorted(clustered.volumes)
    answer = ask(clustered, "volume", clustered.volumes[copies[20]], unit="volume", k=2)
    assert [hit.volume for hit in answer.hits] == [copies[0], copies[20]]
    assert ask(clustered, "volume", clustered.volumes[copies[20]], k=1).hits[0].volume == copies[0]


def test_all_that_matches_comes_back_when_more_is_asked_for(clustered) -> None:
    everything = ask(clustered, "report", unit(np.ones(DIM)), k=100_000)
    with_latent = {name.rsplit("_", 1)[0] for name in clustered.volumes} | set(clustered.reports)
    assert {hit.study for hit in everything.hits} == with_latent


def test_report_hits_in_volumes_stand_for_every_volume_that_matches(clustered) -> None:
    only_reports = fill(
        clustered.engine, clustered.cases, reports=clustered.reports, collection="reports", dim=DIM
    )
    archive = Archive(clustered.engine, only_reports, clustered.cases, {}, clustered.reports)
    filters = Filters(sex="F")
    found = ask(archive, "volume", unit(np.ones(DIM)), unit="volume", k=1000, filters=filters).hits
    assert {hit.volume for hit in found} == {
        volume.name
        for case in clustered.cases
        if case.study in clustered.reports
        for volume in case.volumes
        if volume.acquisition.sex == "F"
    }
    ranking = [row[1] for row in brute_force_reports(archive, filters, unit(np.ones(DIM)))]
    assert list(dict.fromkeys(hit.study for hit in found)) == ranking


# Hand-worked


def neighbour(
    study_id: int, rank: int, *, volume_id: int | None = None, report_id: int | None = None
) -> Neighbour:
    return Neighbour(
        study_id=study_id,
        study=f"s{study_id}",
        dataset="d",
        volume_id=volume_id,
        volume=None if volume_id is None else f"v{volume_id}",
        report_id=report_id,
        rank=rank,
        score=0.5,
    )


def test_ranks_are_fused_and_scores_of_two_kinds_never_compared() -> None:
    of_volumes = [neighbour(1, 1, volume_id=11), neighbour(2, 2, volume_id=21)]
    of_reports = [neighbour(3, 1, report_id=3), neighbour(1, 2, report_id=1), neighbour(2, 3, report_id=2)]
    fused = fuse([of_volumes, of_reports], "study")
    assert [(n.study_id, n.rank) for n in fused] == [(1, 1), (2, 2), (3, 3)]
    assert [n.score for n in fused] == pytest.approx([(1 + 61 / 62) / 2, (61 / 62 + 61 / 63) / 2, 1 / 2])
    assert [(n.volume_id, n.report_id) for n in fused] == [(11, 1), (21, 2), (None, 3)]


def test_a_single_ranking_keeps_its_cosines() -> None:
    ranking = [neighbour(1, 1, volume_id=11)]
    assert fuse([ranking], "study") == ranking


def axes(*names: str) -> dict[str, np.ndarray]:
    """Latents at 0, 10, 20 … degrees in one plane: each is nearest to its neighbours in the list."""
    return {
        name: np.array([np.cos(np.radians(10 * step)), np.sin(np.radians(10 * step)), 0, 0])
        for step, name in enumerate(names)
    }


@pytest.fixture
def ward(engine: Engine) -> CaseSearch:
    """Two scans of Ann, one each of Bob and Cyd, on a line by likeness."""
    cases = [
        study(
            "ann_a",
            patient="ann",
            labels={"Lung nodule": True, "Emphysema": True},
            findings="There is a nodule in the right upper lobe. No pleural effusion was observed.",
            impression="Emphysema with a nodule.",
            acquisition=Acquisition(sex="F", age_years=61, manufacturer="Philips", kernel="B"),
            day=0,
        ),
        study("ann_b", patient="ann", labels={"Lung nodule": True}, day=90),
        study(
            "bob_a",
            patient="bob",
            labels={"Lung nodule": True, "Emphysema": False, "Pleural effusion": True},
            findings="Bilateral pleural effusion. No nodule was observed in either lung.",
        ),
        study("cyd_a", patient="cyd", labels={"Emphysema": True}, findings="Emphysema in both upper lobes."),
    ]
    volumes = axes("ann_a_1", "ann_a_2", "ann_b_1", "bob_a_1", "bob_a_2", "cyd_a_1", "cyd_a_2")
    fill(engine, cases, volumes=volumes, reports=axes("bob_a", "ann_a", "cyd_a"))
    return CaseSearch(engine)


def studies(answer: Answer) -> list[str]:
    return [hit.study for hit in answer.hits]


def test_a_case_leaves_out_its_own_study_its_patient_or_nothing(ward) -> None:
    assert studies(ward.search_by_case("ann_a_1", SearchOptions())) == ["ann_b", "bob_a", "cyd_a"]
    assert studies(ward.search_by_case("ann_a_1", SearchOptions(exclude="same-patient"))) == [
        "bob_a",
        "cyd_a",
    ]
    own = ward.search_by_case("ann_a_1", SearchOptions(exclude="none", unit="volume", k=3))
    assert [(hit.volume, round(hit.score, 4)) for hit in own.hits] == [
        ("ann_a_1", 1.0),
        ("ann_a_2", 0.9848),  # cos 10°
        ("ann_b_1", 0.9397),  # cos 20°
    ]


def test_a_study_shows_its_best_reconstruction(ward) -> None:
    hits = ward.search_by_case("cyd_a", SearchOptions()).hits
    assert [hit.volume for hit in hits] == ["bob_a_2", "ann_b_1", "ann_a_2"]


def test_a_hit_says_what_it_shares_and_how_it_was_made(ward) -> None:
    hits = {hit.study: hit for hit in ward.search_by_case("bob_a", SearchOptions()).hits}
    hit = hits["ann_a"]
    assert (hit.study, hit.patient, hit.volume) == ("ann_a", "ann", "ann_a_2")
    assert hit.labels == ("Emphysema", "Lung nodule")
    assert hit.shared_labels == ("Lung nodule",)
    assert hit.impression == "Emphysema with a nodule."
    assert dict(hit.metadata) | {"model": 0} == {
        "dataset": "ct-rate",
        "split": None,
        "day": 0,
        "sex": "F",
        "age_years": 61.0,
        "manufacturer": "Philips",
        "model": 0,
        "kernel": "B",
        "slice_mm": None,
        "pixel_mm": None,
    }


def test_matched_sentences_affirm_what_the_question_affirms(ward) -> None:
    def said(text: str) -> dict[str, tuple[str, ...]]:
        info = ward.collection(None)
        question = Question(asked={}, kind="report", latent=unit([1, 0, 0, 0]), words=text)
        with ward._engine.connect() as connection:
            answer = search(connection, info, question, SearchOptions())
        return {hit.study: hit.matched_sentences for hit in answer.hits}

    affirmed = said("Nodules of the lung")
    assert affirmed["ann_a"] == (
        "Emphysema with a nodule.",
        "There is a nodule in the right upper lobe.",
    )
    assert affirmed["bob_a"] == ("No nodule was observed in either lung.",)  # nothing there affirms it
    assert affirmed["ann_b"] == affirmed["cyd_a"] == ()
    denied = said("No pleural effusion")
    assert denied["ann_a"] == ("No pleural effusion was observed.",)


def test_a_file_of_an_archived_volume_is_that_case(ward, engine) -> None:
    store = Store(engine)
    with engine.connect() as connection:
        case = find_case(connection, "ann_a_1")
    store.save_files(
        [FileRow(volume_id=case.volume_id or 0, uri="/a/1.nii.gz", size=3, mtime_ns=1, sha256=b"\1" * 32)]
    )
    with engine.connect() as connection:
        assert cases_of_content(connection, b"\1" * 32) == [case]
        assert cases_of_content(connection, b"\2" * 32) == []
        info = ward.collection(None)
        question = from_case(connection, info, case, None)
        assert studies(search(connection, info, question, SearchOptions(k=1))) == ["ann_b"]


def test_a_case_goes_by_its_volume_its_study_or_its_file(ward, engine) -> None:
    with engine.connect() as connection:
        assert find_case(connection, "ann_a_2.nii.gz").volume == "ann_a_2"
        assert find_case(connection, "ann_a").volume is None
        assert find_case(connection, "ct-rate/bob_a").study == "bob_a"
        assert find_case(connection, "original", ("volume-x", "cyd_a_1")).volume == "cyd_a_1"
        for name, hint in (
            ("ann", "is a patient, not a case; take one of the studies ann_a, ann_b"),
            ("bob_a_7", "did you mean bob_a_2, bob_a_1"),
            ("zzz", "cases list"),
        ):
            with pytest.raises(SearchError, match=hint):
                find_case(connection, name)


def test_one_name_in_two_datasets_asks_which(ward, engine) -> None:
    Store(engine).save_cases([study("bob_a", dataset="folder", volumes=("x",))])
    with engine.connect() as connection:
        with pytest.raises(SearchError, match="name one as ct-rate/bob_a or folder/bob_a"):
            find_case(connection, "bob_a")
        assert find_case(connection, "folder/bob_a").dataset == "folder"


def test_a_case_without_a_latent_of_its_own_asks_with_its_report(engine) -> None:
    cases = [study("a", findings="x y."), study("b", findings="z."), study("c", volumes=("c_1",))]
    fill(engine, cases, reports=axes("a", "b"))
    service = CaseSearch(engine)
    answer = service.search_by_case("a_1", SearchOptions())
    assert [(hit.study, hit.volume) for hit in answer.hits] == [("b", "b_1")]
    assert answer.hits[0].score == pytest.approx(np.cos(np.radians(10)), abs=1e-6)  # one kind: the cosine
    with pytest.raises(
        SearchError, match="c has no latent of its volume or report in the collection 'default'"
    ):
        service.search_by_case("c", SearchOptions())


# Refusals


def test_an_empty_collection_and_one_that_is_not_there_are_told_apart(engine) -> None:
    service = CaseSearch(engine)
    with pytest.raises(SearchError, match="holds no collection yet"):
        service.collection(None)
    fill(engine, [study("a")], collection="chests")
    with pytest.raises(SearchError, match="no collection 'chest': did you mean 'chests'"):
        service.collection("chest")
    assert service.collection(None).name == "chests"
    info = fill(engine, [study("a")], collection="default")
    question = Question(asked={}, kind="volume", latent=unit([1, 0, 0, 0]))
    with engine.connect() as connection, pytest.raises(SearchError, match="'default' is empty"):
        search(connection, info, question, SearchOptions())


def test_without_a_name_the_default_collection_is_meant_or_the_only_one() -> None:
    assert choose_collection(["b", "default"], None) == "default"
    assert choose_collection(["b"], None) == "b"
    assert choose_collection(["b"], "c") == "c"
    with pytest.raises(SearchError, match="collections a, b; name one"):
        choose_collection(["b", "a"], None)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": -3}, {"unit": "patient"}, {"exclude": "me"}])
def test_options_that_make_no_sense_are_refused(wrong) -> None:
    with pytest.raises(SearchError):
        SearchOptions(**wrong)


def test_more_hits_than_a_statement_has_parameters_are_fetched(engine) -> None:
    many = [study(f"s{number:05d}", volumes=(f"s{number:05d}_1",)) for number in range(3000)]
    fill(engine, many, volumes={case.volumes[0].name: [1, number, 0, 0] for number, case in enumerate(many)})
    answer = CaseSearch(engine).search_by_case("s00000", SearchOptions(k=70_000))
    assert len(answer.hits) == 2999
    assert answer.hits[0].study == "s00001"


# Reports in files


def test_a_report_file_has_its_sections_and_loses_its_letterhead(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_text("St. Elsewhere\nFINDINGS: A nodule.\nClear pleura.\n\nImpression:\nNodule.\n", "utf-8")
    assert read_report(path) == Report(
        name="report", findings="A nodule.\nClear pleura.", impression="Nodule."
    )
    path.write_bytes("Nodule de 3 mm à droite.".encode("latin-1"))
    assert read_report(path).findings == "Nodule de 3 mm à droite."


@pytest.mark.parametrize("content", [b"", b"  \n", b"Technique: Axial.", b"\x1f\x8b\0\0", b"x" * (1 << 21)])
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, content) -> None:
    path = tmp_path / "report.txt"
    path.write_bytes(content)
    with pytest.raises(ReportError, match=r"report\.txt"):
        read_report(path)
    with pytest.raises(ReportError, match=r"none\.txt cannot be read"):
        read_report(tmp_path / "none.txt")
