"""Questions through the API: sentences as events, the answer that the command line gives."""

import json

import pytest

from encoders.errors import ConfigError
from tests.command import Command
from tests.web_archive import ODD
from web.access.caller import Caller
from web.answering import chosen_backend
from web.settings import WebSettings


def events_of(answer) -> list[tuple[str, dict]]:
    """The events of a stream, read as the standard says: blocks apart by an empty line."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in answer.text.strip().split("\n\n"):
        fields = [line.partition(": ") for line in block.split("\n") if not line.startswith(":")]
        name = next(value for field, _, value in fields if field == "event")
        data = "\n".join(value for field, _, value in fields if field == "data")
        found.append((name, json.loads(data)))
    return found


def ask(client, question: str, *cases: tuple[str, str], **more):
    named = [{"dataset": dataset, "study": study} for dataset, study in cases]
    return client.post("/api/v1/ask", json={"question": question, "cases": named, **more})


def test_an_answer_comes_sentence_by_sentence_and_is_the_command_lines(client, capsys, monkeypatch) -> None:
    printed = Command(capsys, monkeypatch)(
        *("ask", "Is there a nodule?", "--case", "ct-rate/a_1", "--case", "a_2", "--json")
    ).json
    events = events_of(ask(client, "Is there a nodule?", ("ct-rate", "a_1"), ("ct-rate", "a_2")))
    assert [name for name, _ in events[:-1]] == ["sentence"] * (len(events) - 1)
    assert len(events) > 1
    name, answer = events[-1]
    assert name == "answer"
    assert "".join(data["text"] for name, data in events if name == "sentence").strip() == answer["answer"]
    assert {quote["dataset"] for quote in answer["citations"]} == {"ct-rate"}
    assert answer.pop("warnings") == []
    assert answer == printed


def test_studies_of_one_name_are_asked_about_by_their_data_set(client) -> None:
    answer = events_of(ask(client, "Is there emphysema?", ("folder", "a_1")))[-1][1]
    assert [(one["dataset"], one["quote"]) for one in answer["citations"]] == [
        ("folder", "Emphysema in both lungs.")
    ]


def test_what_was_asked_before_goes_with_a_question(client) -> None:
    history = [{"question": "Is there a nodule?", "answer": "Yes."}]
    answer = events_of(ask(client, "How large is it?", ("ct-rate", "a_2"), history=history))[-1][1]
    assert "12 mm" in answer["answer"]


def test_an_odd_name_is_asked_about(client) -> None:
    answer = events_of(ask(client, "Is there a pleural effusion?", ("ct-rate", ODD)))[-1][1]
    assert answer["citations"][0]["study"] == ODD


def test_similar_cases_are_looked_for_where_a_question_is_about_them(client) -> None:
    answer = events_of(ask(client, "What was it in the two most similar cases?", ("ct-rate", "a_1")))[-1][1]
    assert {one["study"] for one in answer["citations"]} >= {"a_2"}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"question": "?", "cases": [{"dataset": "ct-rate", "study": "a_1"}]}, 422, "question is empty"),
        ({"question": "x" * 5000, "cases": [{"dataset": "ct-rate", "study": "a_1"}]}, 422, "4000"),
        ({"question": "Nodule?", "cases": []}, 422, "cases: "),
        ({"question": "Nodule?", "cases": [{"dataset": "ct-rate", "study": "none"}]}, 404, "has no case"),
        ({"question": "Nodule?", "cases": [{"dataset": "folder", "study": "a_1"}], "mode": "x"}, 422, "mode"),
    ],
)
def test_what_is_no_question_is_refused_before_anything_is_streamed(client, body, status, says) -> None:
    answer = client.post("/api/v1/ask", json=body)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["error"]


def test_who_asked_about_which_case_is_in_the_audit(client, connection) -> None:
    events_of(ask(client, "Is there a nodule?", ("ct-rate", "a_1"), ("ct-rate", "a_2")))
    [row] = connection.execute("SELECT actor, action, detail FROM audit_event").fetchall()
    assert row[:2] == (Caller(name="local", role="admin").name, "ask")
    assert row[2]["cases"] == ["ct-rate/a_1", "ct-rate/a_2"]


def test_reports_leave_this_machine_only_where_the_settings_say_so(monkeypatch) -> None:
    monkeypatch.setenv("CTSEARCH_OPENAI_URL", "http://chat.example:8000/v1")
    monkeypatch.setenv("CTSEARCH_OPENAI_MODEL", "m")
    chosen_backend.cache_clear()
    with pytest.raises(ConfigError, match="off this machine"):
        chosen_backend(WebSettings(chat_backend="openai"))
    allowed = chosen_backend(WebSettings(chat_backend="openai", reports_may_leave=True))
    assert allowed.sends_to == "http://chat.example:8000/v1"
    monkeypatch.setenv("CTSEARCH_OPENAI_URL", "http://127.0.0.1:8000/v1")
    chosen_backend.cache_clear()
    assert chosen_backend(WebSettings(chat_backend="openai")).sends_to is None
    chosen_backend.cache_clear()
