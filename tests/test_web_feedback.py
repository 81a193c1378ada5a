"""Marks of relevance through the API: kept, taken back, read by ir_measures, gone with the patient."""

import csv
import io

import ir_measures
import pytest
from sqlalchemy import Engine

from retrieval.relevance import document, query_key, topic_of
from retrieval.service import CaseSearch
from tests.web_archive import ODD

QUESTION = {"text": "pleural effusion"}


def mark(client, study: str, relevant: bool | None, query=QUESTION, dataset: str = "ct-rate"):
    return client.post(
        "/api/v1/feedback",
        json={
            "query": query,
            "collection": "default",
            "dataset": dataset,
            "study": study,
            "relevant": relevant,
        },
    )


def test_a_mark_is_kept_replaced_and_taken_back(client) -> None:
    key = mark(client, "a_1", True).json()["query_key"]
    assert mark(client, "a_1", False).json()["query_key"] == key
    mark(client, "a_2", True, {"text": "nodule"})
    marks = client.get("/api/v1/feedback", params=QUESTION).json()["marks"]
    assert [(one["study"], one["relevant"], one["query"]) for one in marks] == [("a_1", False, QUESTION)]
    assert len(client.get("/api/v1/feedback").json()["marks"]) == 2
    assert mark(client, "a_1", None).status_code == 200
    assert client.get("/api/v1/feedback", params=QUESTION).json()["marks"] == []


def test_equal_questions_are_one_topic_and_others_are_not(archive: Engine) -> None:
    same = [
        {"text": "Pleural  effusion "},
        {"text": "pleural effusion", "k": 50, "engine": "pgvector", "sex": "F"},
    ]
    other = [
        {"text": "effusion"},
        {"text": "pleural effusion", "without_labels": ["emphysema"]},
        {"report": "pleural effusion"},
    ]
    with archive.connect() as connection:
        keys = [query_key(topic_of(connection, query)) for query in (QUESTION, *same, *other)]
        by_volume, by_study = (
            query_key(topic_of(connection, query))
            for query in ({"case": "a_2_1"}, {"case": "a_2", "dataset": "ct-rate"})
        )
    assert len(set(keys[:3])) == 1
    assert len(set(keys)) == 1 + len(other)
    assert by_volume == by_study


def test_a_report_is_kept_as_its_digest_alone(client, connection) -> None:
    mark(client, "a_1", True, {"report": "Findings: Mrs Smith has a nodule."})
    [(kept,)] = connection.execute("SELECT query::text FROM relevance").fetchall()
    assert "Smith" not in kept
    assert "sha256:" in kept


def test_qrels_are_read_by_ir_measures(client, archive: Engine) -> None:
    key = mark(client, "a_1", False).json()["query_key"]
    mark(client, ODD, True)
    mark(client, "a_1", True, dataset="folder")
    text = client.get("/api/v1/feedback/qrels").text
    read = list(ir_measures.read_trec_qrels(io.StringIO(text)))
    assert {(one.query_id, one.doc_id, one.relevance) for one in read} == {
        (key, "ct-rate/a_1", 0),
        (key, "folder/a_1", 1),
        (key, document("ct-rate", ODD), 1),
    }
    hits = client.post("/api/v1/search", json={**QUESTION, "legs": ["text"]}).json()["hits"]
    run = [ir_measures.ScoredDoc(key, document(hit["dataset"], hit["study"]), -hit["rank"]) for hit in hits]
    assert hits[0]["study"] == ODD
    assert ir_measures.calc_aggregate([ir_measures.RR], read, run)[ir_measures.RR] == 1.0


def test_of_several_people_the_majority_counts_and_a_tie_is_relevant(client, connection) -> None:
    mark(client, "a_1", True)
    add = (
        "INSERT INTO relevance (actor, query_key, query, collection, study_id, relevant) "
        "SELECT %s, query_key, query, collection, study_id, false FROM relevance WHERE actor = 'local'"
    )
    connection.execute(add, ("anna",))
    assert client.get("/api/v1/feedback/qrels").text.endswith(" ct-rate/a_1 1\n")
    connection.execute(add, ("ben",))
    assert client.get("/api/v1/feedback/qrels").text.endswith(" ct-rate/a_1 0\n")
    assert client.get("/api/v1/feedback/qrels?mine=true").text.endswith(" ct-rate/a_1 1\n")


def test_marks_as_csv_hold_no_formula(client) -> None:
    mark(client, "a_1", True, {"text": '=HYPERLINK("http://x")'})
    [row] = csv.DictReader(io.StringIO(client.get("/api/v1/feedback.csv").text))
    assert row["query"].startswith("text: =")
    assert (row["study"], row["relevant"], row["actor"]) == ("a_1", "True", "local")


def test_a_patient_who_is_removed_leaves_no_mark_not_even_as_the_question(
    client, archive, connection
) -> None:
    mark(client, "a_1", True)  # as a hit
    mark(client, "b_1", True, {"case": "a_2_1"})  # as the question
    mark(client, "b_1", True)
    CaseSearch(archive).remove_patient("ct-rate/a")
    kept = connection.execute("SELECT query FROM relevance").fetchall()
    assert kept == [(QUESTION,)]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"study": "none"}, 404),
        ({"query": {}}, 422),
        ({"query": {"case": "none"}}, 404),
        ({"relevant": "maybe"}, 422),
        ({"query": {"text": "x", "labels": ["gout"]}}, 422),
    ],
)
def test_a_bad_mark_is_refused(client, changed, status) -> None:
    body = {"query": QUESTION, "collection": "default", "dataset": "ct-rate", "study": "a_1"}
    answer = client.post("/api/v1/feedback", json={**body, "relevant": True, **changed})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]
