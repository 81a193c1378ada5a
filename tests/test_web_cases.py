"""Cases, filters' counts, collections and health through the API."""

from sqlalchemy import Engine

from retrieval.filters import AgeRange, Filters
from retrieval.service import CaseSearch
from tests.command import Command
from tests.web_app import client_of
from tests.web_archive import ODD


def test_a_case_is_read_with_all_that_is_known_of_it(client) -> None:
    case = client.get("/api/v1/cases/ct-rate/a_1").json()
    assert (case["patient"], case["day"], case["split"]) == ("a", 0, "valid")
    [report] = case["reports"]
    assert [(one["section"], one["number"], one["text"], one["negated"]) for one in report["sentences"]] == [
        ("findings", 1, "A 9 mm nodule in the left lung.", False),
        ("findings", 2, "No pleural effusion.", True),
        ("impression", 1, "Nodule.", False),
    ]
    assert {one["finding"]: (one["present"], one["source"]) for one in case["labels"]} == {
        "Lung nodule": (True, "manual"),
        "Pleural effusion": (False, "manual"),
    }
    assert [one["volume"] for one in case["volumes"]] == ["a_1_1", "a_1_2"]
    assert case["volumes"][0]["metadata"]["kernel"] == "B50f"
    assert case["other_studies"] == [{"dataset": "ct-rate", "study": "a_2", "day": 96}]
    assert case["collections"] == ["default"]


def test_studies_of_one_name_are_told_apart_by_their_data_set(client) -> None:
    assert client.get("/api/v1/cases/folder/a_1").json()["patient"] == "z"
    for path in ("cases/nowhere/a_1", "cases/ct-rate/a_1_1", "cases/ct-rate/%00"):
        answer = client.get(f"/api/v1/{path}")
        assert answer.status_code == 404
        assert "has no study" in answer.json()["error"]


def test_cases_are_listed_page_by_page_as_the_command_line_lists_them(client, capsys, monkeypatch) -> None:
    printed = Command(capsys, monkeypatch)("cases", "list", "--unit", "study", "--json").json["cases"]
    listed, after, pages = [], None, 0
    while True:
        page = client.get("/api/v1/cases", params={"limit": 2, **({"after": after} if after else {})}).json()
        assert page["count"] == len(page["cases"]) <= 2
        listed += page["cases"]
        after, pages = page["next"], pages + 1
        if after is None:
            break
    assert pages == 3
    assert [case.pop("dataset") for case in listed] == [case["metadata"]["dataset"] for case in printed]
    assert listed == printed


def test_listed_cases_match_filters_and_a_bad_place_is_refused(client) -> None:
    found = client.get("/api/v1/cases?sex=M&limit=1").json()
    assert found["cases"][0]["study"] == "b_1"
    rest = client.get("/api/v1/cases", params={"sex": "M", "limit": 1, "after": found["next"]}).json()
    assert [case["study"] for case in rest["cases"]] == [ODD]
    assert rest["next"] is None
    assert client.get("/api/v1/cases?after=nothing").status_code == 422
    assert client.get("/api/v1/cases?limit=0").status_code == 422


def test_each_filter_counts_what_its_choices_would_leave(archive: Engine) -> None:
    service = CaseSearch(archive)
    everything = service.facets()
    counts = {one.finding: (one.present, one.absent) for one in everything.findings}
    assert everything.studies == 5
    assert (counts["Lung nodule"], counts["Pleural effusion"], counts["Emphysema"]) == (
        (1, 0),
        (0, 1),
        (1, 0),
    )
    assert dict(everything.sex) == {"F": 2, "M": 2}
    assert dict(everything.manufacturer) == {"Philips": 2, "SIEMENS": 2}
    assert dict(everything.dataset) == {"ct-rate": 4, "folder": 1}
    assert [(one.low, one.high, one.count) for one in everything.age] == [(60, 69, 2), (90, None, 2)]
    old_men = service.facets(Filters(sex="M", age=AgeRange(low=90)))
    assert old_men.studies == 2
    assert dict(old_men.sex) == {"M": 2}  # of those of 90 and more
    assert [(one.low, one.count) for one in old_men.age] == [(90, 2)]  # of the men
    assert {one.finding for one in old_men.findings if one.present} == {"Emphysema"}
    assert service.facets(label_source="zero_shot").findings[0].present == 0


def test_the_18_findings_are_listed_with_what_is_known_of_them(client) -> None:
    labels = client.get("/api/v1/labels").json()
    assert len(labels["labels"]) == 18
    nodule = next(one for one in labels["labels"] if one["finding"] == "Lung nodule")
    assert (nodule["present"], nodule["absent"], nodule["unknown"], labels["studies"]) == (1, 0, 4, 5)
    assert client.get("/api/v1/facets?sex=M").json()["studies"] == 2


def test_collections_are_those_of_the_command_line(client, capsys, monkeypatch) -> None:
    printed = Command(capsys, monkeypatch)("collections", "list", "--json").json["collections"]
    listed = client.get("/api/v1/collections").json()["collections"]
    for one, same in zip(listed, printed, strict=True):
        assert {**one, "created_at": 0} == {**same, "created_at": 0}


def test_health_needs_no_session_and_readiness_looks_at_the_schema(archive: Engine, connection) -> None:
    stranger = client_of(archive, token=None)
    assert stranger.get("/api/v1/health/live").json() == {"status": "alive"}
    ready = stranger.get("/api/v1/health/ready")
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    connection.execute("UPDATE alembic_version SET version_num = '0004'")
    behind = stranger.get("/api/v1/health/ready")
    assert behind.status_code == 503
    assert behind.json()["parts"]["schema"]["ready"] is False
