"""What filters mean: unknown is not absent, sources have their order, a row answers for itself."""

import csv
from collections import defaultdict

import pytest
from sqlalchemy import Engine

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import SearchError
from retrieval.case_list import ListedCase, list_cases
from retrieval.cases import Acquisition, Case, Volume
from retrieval.filters import AgeRange, Filters, parse_age, parse_label_source, parse_sex
from retrieval.findings import abnormality_named
from retrieval.store import Store
from tests.shared import shared_file
from tests.small_archive import study


def listed(engine: Engine, unit="volume", limit=None, **filters) -> list[ListedCase]:
    with engine.connect() as connection:
        return list_cases(connection, Filters(**filters), unit, limit)


def volumes(engine: Engine, **filters) -> set[str | None]:
    return {case.volume for case in listed(engine, **filters)}


# Names


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lung nodule", "Lung nodule"),
        ("LUNG NODULES", "Lung nodule"),
        ("pleural-effusions", "Pleural effusion"),
        ("  hiatus   hernia ", "Hiatal hernia"),
        ("Lymphadenopathies", "Lymphadenopathy"),
        ("coronary calcification", "Coronary artery wall calcification"),
        ("ground-glass", "Lung opacity"),
        ("Bronchiectasis", "Bronchiectasis"),
    ],
)
def test_a_finding_goes_by_any_of_its_names(typed, meant) -> None:
    assert abnormality_named(typed) == meant


def test_every_finding_goes_by_its_own_name() -> None:
    assert [abnormality_named(name.upper()) for name in ABNORMALITIES] == list(ABNORMALITIES)


def test_a_misspelt_finding_is_answered_with_the_nearest() -> None:
    with pytest.raises(SearchError, match=r"did you mean Pleural effusion"):
        abnormality_named("pleural efusion")


def test_a_finding_that_is_none_is_answered_with_the_eighteen() -> None:
    with pytest.raises(SearchError) as refusal:
        Filters(labels=("xyzzy",))
    assert all(name in str(refusal.value) for name in ABNORMALITIES)


# Options


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("40:70", 40, 70), (":70", None, 70), ("40:", 40, None), (" 40 : 70.5 ", 40, 70.5), ("55", 55, 55)],
)
def test_an_age_range_may_be_open(text, low, high) -> None:
    assert parse_age(text) == AgeRange(low=low, high=high)


@pytest.mark.parametrize("text", ["", ":", "old", "70:40", "40-70", "-5:", "nan:", ":inf", "1:2:3"])
def test_an_age_that_is_no_range_is_refused_with_an_example(text) -> None:
    with pytest.raises(SearchError, match=r"40:70|40: or"):
        parse_age(text)


def test_sex_and_label_source_are_read_in_any_case() -> None:
    assert (parse_sex("f"), parse_label_source("Zero-Shot")) == ("F", "zero_shot")
    for parse, wrong in ((parse_sex, "X"), (parse_label_source, "rumour")):
        with pytest.raises(SearchError, match="unknown; take"):
            parse(wrong)


def test_one_finding_cannot_be_asked_for_both_ways() -> None:
    with pytest.raises(SearchError, match="Lung nodule is asked for both"):
        Filters(labels=("nodule",), without_labels=("pulmonary nodules",))


# Rows


def test_a_missing_label_is_neither_present_nor_absent(engine) -> None:
    known, absent, unknown = (
        study("s1", labels={"Emphysema": True}),
        study("s2", labels={"Emphysema": False}),
        study("s3", labels={"Lung nodule": True}),
    )
    Store(engine).save_cases([known, absent, unknown])
    assert volumes(engine, labels=("Emphysema",)) == {"s1_1", "s1_2"}
    assert volumes(engine, without_labels=("Emphysema",)) == {"s2_1", "s2_2"}
    assert len(volumes(engine)) == 6


def test_the_stronger_source_decides_finding_by_finding(engine) -> None:
    store = Store(engine)
    claims = {
        "manual": {"Emphysema": False},
        "extractor": {"Emphysema": True, "Atelectasis": True},
        "zero_shot": {"Emphysema": True, "Atelectasis": False, "Cardiomegaly": True},
    }
    for source in ("zero_shot", "manual", "extractor"):
        store.save_cases([study("s", labels=claims[source], label_source=source)])
    assert {label for case in listed(engine) for label in case.labels} == {"Atelectasis", "Cardiomegaly"}
    assert volumes(engine, labels=("Emphysema",)) == set()
    assert volumes(engine, without_labels=("Emphysema",)) == {"s_1", "s_2"}
    assert volumes(engine, labels=("Atelectasis", "Cardiomegaly")) == {"s_1", "s_2"}
    assert volumes(engine, labels=("Emphysema",), label_source="extractor") == {"s_1", "s_2"}
    assert volumes(engine, labels=("Cardiomegaly",), label_source="extractor") == set()
    assert listed(engine, label_source="zero_shot")[0].labels == ("Cardiomegaly", "Emphysema")


def test_each_reconstruction_answers_for_itself(engine) -> None:
    Store(engine).save_cases(
        [
            study(
                "s",
                acquisition={
                    "s_1": Acquisition(sex="F", age_years=64, manufacturer="Siemens Healthineers"),
                    "s_2": Acquisition(sex="F", age_years=65, manufacturer="SIEMENS"),
                },
            )
        ]
    )
    assert volumes(engine, age=AgeRange(low=65)) == {"s_2"}
    assert volumes(engine, age=AgeRange(low=64, high=64)) == {"s_1"}
    assert volumes(engine, manufacturer="siemens") == {"s_2"}
    assert volumes(engine, manufacturer="SIEMENS HEALTHINEERS", sex="F") == {"s_1"}
    whole = listed(engine, unit="study", age=AgeRange(low=64))
    assert [case.volumes for case in whole] == [("s_1", "s_2")]


def test_a_study_without_a_volume_has_no_sex_age_or_scanner(engine) -> None:
    Store(engine).save_cases([study("report_only", volumes=(), findings="A nodule.")])
    assert volumes(engine) == {None}
    assert volumes(engine, sex="F") == volumes(engine, age=AgeRange(high=200)) == set()
    assert listed(engine, dataset="CT-RATE")[0].study == "report_only"


def test_a_value_that_no_row_has_is_answered_with_those_there_are(engine) -> None:
    Store(engine).save_cases([study("s", acquisition=Acquisition(manufacturer="Philips"), split="valid")])
    with pytest.raises(SearchError, match=r"manufacturer 'GE'; the archive has Philips"):
        listed(engine, manufacturer="GE")
    with pytest.raises(SearchError, match=r"split 'test'; the archive has valid"):
        listed(engine, split="test")
    assert listed(engine, manufacturer="philips", sex="F") == []


def test_the_list_is_cut_after_so_many_rows_or_studies(engine) -> None:
    Store(engine).save_cases([study("a"), study("b"), study("c")])
    assert [case.volume for case in listed(engine, limit=3)] == ["a_1", "a_2", "b_1"]
    assert [case.study for case in listed(engine, unit="study", limit=2)] == ["a", "b"]


# The real tables


@pytest.fixture(scope="module")
def tables() -> list[dict[str, str]]:
    """One row a volume: labels and metadata of the real validation split."""
    rows: dict[str, dict[str, str]] = {}
    for name in ("validation_labels.csv", "validation_metadata.csv"):
        with shared_file(f"ct_rate/{name}").open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                rows.setdefault(row["VolumeName"].removesuffix(".nii.gz"), {}).update(row)
    return [row | {"name": name} for name, row in rows.items()]


@pytest.fixture
def validation(engine: Engine, tables) -> Engine:
    scans = defaultdict(list)
    for row in tables:
        scans[row["name"].rsplit("_", 1)[0]].append(row)
    cases = [
        Case(
            dataset="ct-rate",
            patient=name.rsplit("_", 1)[0],
            study=name,
            labels={finding: rows[0][finding] == "1" for finding in ABNORMALITIES},
            volumes=tuple(
                Volume(
                    name=row["name"],
                    acquisition=Acquisition(
                        sex=row["PatientSex"] or None,
                        age_years=float(row["PatientAge"].rstrip("Y")) if row["PatientAge"] else None,
                        manufacturer=row["Manufacturer"],
                    ),
                )
                for row in rows
            ),
        )
        for name, rows in scans.items()
    ]
    Store(engine).save_cases(cases)
    return engine


def test_filters_return_exactly_the_rows_that_the_tables_say(validation, tables) -> None:
    def said(**wanted) -> set[str]:
        return {
            row["name"] for row in tables if all(row[column] == value for column, value in wanted.items())
        }

    ages = {row["name"]: int(row["PatientAge"].rstrip("Y") or -1) for row in tables}
    assert volumes(validation) == {row["name"] for row in tables}
    assert volumes(validation, labels=("Emphysema",)) == said(Emphysema="1")
    assert volumes(validation, without_labels=("Emphysema",)) == said(Emphysema="0")
    assert volumes(validation, sex="F") == said(PatientSex="F")
    assert volumes(validation, manufacturer="pnms") == said(Manufacturer="PNMS")
    assert volumes(validation, age=parse_age("40:70")) == {n for n, age in ages.items() if 40 <= age <= 70}
    both = volumes(
        validation,
        labels=("Lung nodule",),
        without_labels=("Consolidation",),
        sex="M",
        age=parse_age(":60"),
        manufacturer="Siemens Healthineers",
    )
    expected = said(
        PatientSex="M", Manufacturer="Siemens Healthineers", Consolidation="0", **{"Lung nodule": "1"}
    )
    assert both == {name for name in expected if 0 <= ages[name] <= 60}
    assert both
