"""`ctsearch ask` as a person uses it, over a small archive."""

import io
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from chat.context import Context, Subject
from chat.stored_evidence import stored_cases
from retrieval.cases import Acquisition
from retrieval.named_cases import find_case
from retrieval.sessions import one_state
from tests.command import Command
from tests.small_archive import fill, study


@pytest.fixture
def archive(engine: Engine) -> Engine:
    """Two studies of a patient, one of another, one without a report."""
    cases = [
        study(
            "a_1",
            patient="a",
            day=0,
            findings="A 9 mm nodule in the left lung. No effusion.",
            impression="Nodule.",
            labels={"Lung nodule": True, "Emphysema": False},
            acquisition=Acquisition(sex="F", age_years=61.0),
        ),
        study("a_2", patient="a", day=96, findings="The nodule measures 12 mm.", impression="Larger nodule."),
        study("b_1", patient="b", findings="Emphysema in both lungs."),
        study("c_1", patient="c", labels={"Emphysema": True}),
    ]
    latents = {
        "a_1_1": [1, 0, 0, 0],
        "a_2_1": [0.9, 0.1, 0, 0],
        "b_1_1": [0.5, 0.5, 0, 0],
        "c_1_1": [0, 1, 0, 0],
    }
    fill(engine, cases, volumes=latents)
    return engine


@pytest.fixture
def command(archive: Engine, capsys, monkeypatch) -> Command:
    return Command(capsys, monkeypatch)


def test_an_answer_in_json_has_every_key_and_nothing_else_is_printed(command: Command) -> None:
    said = command("ask", "Is there a nodule?", "--case", "a_1", "--json")
    assert said.code == 0
    assert said.json == {
        "answer": "Yes: “A 9 mm nodule in the left lung.” [a_1 findings 1] “Nodule.” [a_1 impression 1]",
        "refused": False,
        "backend": "extractive",
        "citations": [
            {
                "study": "a_1",
                "dataset": "ct-rate",
                "section": "findings",
                "sentence": 1,
                "quote": "A 9 mm nodule in the left lung.",
            },
            {
                "study": "a_1",
                "dataset": "ct-rate",
                "section": "impression",
                "sentence": 1,
                "quote": "Nodule.",
            },
        ],
    }


def test_studies_of_one_name_in_two_datasets_are_cited_apart(command: Command, archive: Engine) -> None:
    namesake = study(
        "a_1", patient="a", dataset="folder", volumes=("x_1",), day=30, findings="A 4 mm nodule."
    )
    other_report = replace(namesake.reports[0], name="x")
    fill(archive, [replace(namesake, reports=(other_report,))])
    both = ("--case", "ct-rate/a_1", "--case", "folder/a_1")
    said = command("ask", "How large is the nodule?", *both, "--json").json
    assert [(one["study"], one["dataset"], one["quote"]) for one in said["citations"]] == [
        ("a_1", "ct-rate", "A 9 mm nodule in the left lung."),
        ("a_1", "folder", "A 4 mm nodule."),
    ]
    assert "[ct-rate/a_1 findings 1]" in said["answer"]
    assert "[folder/a_1 findings 1]" in said["answer"]
    of_one = command("ask", "Is there a nodule in folder/a_1?", *both, "--json").json
    assert [one["dataset"] for one in of_one["citations"]] == ["folder"]
    apart = command("ask", "How many days are between the studies?", *both, "--json").json
    assert apart["refused"]  # patients of one name in two datasets are two


def test_cases_are_named_by_volume_or_study_and_similar_ones_are_looked_for(command: Command) -> None:
    by_volume = command("ask", "How old is the patient?", "--case", "a_1_2", "--json").json
    assert by_volume["answer"] == "By the stored metadata, a_1: 61 years."
    similar = command("ask", "What was it in the two most similar cases?", "--case", "a_1", "--json").json
    assert [one["study"] for one in similar["citations"]] == ["a_2", "b_1"]
    in_words = command("ask", "Which cases have emphysema?", "--text", "emphysema", "--json").json
    assert in_words["answer"].startswith("With emphysema: b_1")


def test_a_question_on_follow_up_brings_the_other_studies_of_the_patient(command: Command) -> None:
    said = command("ask", "Did the patient have a follow-up, and how large is the nodule?", "--case", "a_1")
    assert "a_2 was made 96 days after a_1" in said.out
    assert "“The nodule measures 12 mm.” [a_2 findings 1]" in said.out
    assert said.out.endswith("Research use only.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("Is there a nodule?", "--case", "a_9"), 2, "no case is called 'a_9'; did you mean"),
        (("Is there a nodule?", "--case", "a_1", "--text", "x"), 2, "found --case and --text"),
        (("", "--case", "a_1"), 2, "the question is empty"),
        (("nodule " * 1500, "--case", "a_1"), 2, "the question has 10500 characters; ask in at most 4000"),
        (("Is there a nodule?", "--case", "a_1", "--mode", "essay"), 2, "mode 'essay' is unknown"),
        (("Is there a nodule?", "--case", "a_1", "--backend", "oracle"), 2, "backend 'oracle' is unknown"),
        (("--json", "--case", "a_1"), 2, "--json answers one question"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(command: Command, arguments, code: int, sentence: str) -> None:
    said = command("ask", *arguments)
    assert said.code == code
    assert said.out == ""
    assert sentence in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_without_any_case_the_question_is_refused_and_not_an_error(command: Command) -> None:
    said = command("ask", "Is there a nodule in this image?", "--json")
    assert said.code == 0
    assert said.json["refused"]
    assert said.json["citations"] == []


def test_a_conversation_remembers_shows_cases_and_sources_and_survives_errors(
    command: Command, monkeypatch
) -> None:
    typed = [
        "Is there a nodule?",
        "How large is it?",
        "/sources",
        "/cases",
        "/nonsense",
        "x" * 5000,
        "/quit",
        "no",
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(typed)))
    said = command("ask", "--case", "a_1")
    lines = said.out.splitlines()
    assert lines[0].startswith("Yes:")
    assert lines[1] == "As measured: “A 9 mm nodule in the left lung.” [a_1 findings 1]"
    assert lines[2] == "1 a_1, findings, sentence 1: “A 9 mm nodule in the left lung.”"
    assert lines[3] == "1 a_1 · day 0, 61 years, female, 3 sentences · Lung nodule (manual)"
    assert len(lines) == 4
    assert "5000 characters" in said.err
    assert said.code == 0


def test_a_conversation_says_once_what_the_search_for_its_cases_has_to_say(
    command: Command, monkeypatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Is there a nodule?\nIs there emphysema?\n"))
    said = command("ask", "--text", "emphysema")
    assert said.code == 0
    assert said.err.count("only what reports say was searched") == 1


def test_a_case_that_is_not_there_is_said_before_anything_is_asked(command: Command, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Is there a nodule?\n"))
    said = command("ask", "--case", "a_9")
    assert said.code == 2
    assert said.out == ""


def test_stored_evidence_is_what_the_tables_hold(archive: Engine) -> None:
    with one_state(archive) as connection:
        studies = [find_case(connection, name) for name in ("c_1", "a_1", "a_1_2")]
        bare, first = stored_cases(connection, studies)
    assert (first.study, first.patient, first.rank, first.day) == ("a_1", "a", 2, 0)
    assert (first.sex, first.age, first.volumes) == ("F", 61.0, ("a_1_1", "a_1_2"))
    assert (dict(first.labels), first.label_source) == ({"Lung nodule": True, "Emphysema": False}, "manual")
    assert [(q.section, q.sentence, q.text) for q in first.sentences] == [
        ("findings", 1, "A 9 mm nodule in the left lung."),
        ("findings", 2, "No effusion."),
        ("impression", 1, "Nodule."),
    ]
    assert (bare.study, bare.rank, bare.sentences) == ("c_1", 1, ())


def test_evidence_of_a_question_holds_what_it_picks(archive: Engine) -> None:
    evidence = Context(archive).evidence(Subject(names=("a_1", "b_1")), "Where is the nodule?")
    assert [case.study for case in evidence.cases] == ["a_1", "b_1"]
    assert evidence.chosen[0].text == "A 9 mm nodule in the left lung."
    assert not evidence.has_volume
