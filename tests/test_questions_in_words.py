"""What questions in words mean: as they are typed, and over archives of a few reports."""

from dataclasses import replace

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from encoders.errors import SearchError
from encoders.negation import split_by_polarity
from retrieval.filters import Filters
from retrieval.fusion import TEXT_WEIGHT, fuse_with_text
from retrieval.hits import Hit
from retrieval.misspelt import is_one_letter_away
from retrieval.neighbours import Neighbour
from retrieval.questions import from_text
from retrieval.records import CollectionInfo
from retrieval.search import Answer, SearchOptions, search
from retrieval.telegraphic import in_sentences
from retrieval.text_sql import ENOUGH
from tests.small_archive import fill, study, unit
from tests.test_text_search import answered, found


@pytest.mark.parametrize(
    ("typed", "affirmed", "denied"),
    [
        ("emphysema: none", "", "no emphysema"),
        ("Effusion & consolidation absent", "", "no effusion and consolidation"),
        ("nodule with effusion absent", "nodule with", "no effusion"),
        ("nodule -effusion", "nodule", "no effusion"),
        ("sliding -type hernia", "sliding -type hernia", ""),
        ("nodule not calcified", "nodule", "not calcified"),
        ("heart not enlarged", "", "no heart enlarged"),
        ("calcified aorta without aneurysm", "calcified aorta", "without aneurysm"),
        ("scarring not appreciable on this scan", "", "no scarring on this scan"),
        ("unable to see scarring", "", "no scarring"),
        ("lymphadenopathy free", "", "no lymphadenopathy"),
        ("not known to have emphysema", "", "no emphysema"),
        ("unremarkable for effusion", "", "no effusion"),
        ("rule out PE", "pe", ""),
        ("ruled out PE", "", "no pe"),
        ("CT may be false negative", "", ""),
        ("no change in nodule", "no change in nodule", ""),
        ("pneumonia cannot be ruled out", "", ""),  # left open
    ],
)
def test_denials_are_read_as_they_are_typed(typed: str, affirmed: str, denied: str) -> None:
    said = split_by_polarity(in_sentences(typed))
    assert (said.affirmed, said.denied) == (affirmed, denied)


@given(st.text("abcd", min_size=5, max_size=9), st.integers(0, 9), st.sampled_from("abcd"))
def test_one_letter_more_less_other_or_two_changed_round_is_one_letter_away(word, place, letter) -> None:
    start, end = word[:place], word[place:]
    for near in (
        start + letter + end,
        start + end[1:],
        start + letter + end[1:],
        start + end[1:2] + end[:1] + end[2:],
    ):
        assert near == word or (is_one_letter_away(word, near) and is_one_letter_away(near, word))
    assert not is_one_letter_away(word, f"xy{word}")


# Small archives


def neighbour(study_id: int, rank: int, score: float = 0.5, **ids: int) -> Neighbour:
    fields = {"volume_id": None, "volume": None, "report_id": None, **ids}
    return Neighbour(study_id=study_id, study=f"s{study_id}", dataset="d", rank=rank, score=score, **fields)


def test_text_outweighs_latents_by_the_smallest_step_and_contradictions_are_last() -> None:
    said = [neighbour(1, 1, 0.81, report_id=7), neighbour(2, 2, 0.8)]
    volumes = [neighbour(3, 1, volume_id=30), neighbour(2, 2, volume_id=20), neighbour(4, 3, volume_id=40)]
    fused = fuse_with_text(said, [volumes], "study", {3: -1.0})
    assert [(row.study_id, row.rank) for row in fused] == [(1, 1), (2, 2), (4, 3), (3, 4)]
    assert [row.score for row in fused] == pytest.approx(
        [0.992 * 0.81, 0.992 * 0.8 + 0.008 * 61 / 62, 0.008 * 61 / 63, 0]
    )
    assert [(row.volume_id, row.report_id) for row in fused] == [
        (None, 7),
        (20, None),
        (40, None),
        (30, None),
    ]
    first_everywhere = fuse_with_text([neighbour(1, 1, 1.0)], [[neighbour(1, 1)]], "study", {})
    assert first_everywhere[0].score == pytest.approx(1)
    assert TEXT_WEIGHT / 100 > 1 - TEXT_WEIGHT


@pytest.fixture
def ward(engine: Engine) -> tuple[Engine, CollectionInfo]:
    """Latents put b first, then e, d, c, a: against the words."""
    said = {
        "a": "Pleural effusion is seen on the left. Heart size has increased.",
        "b": "No pleural effusion. The nodule is calcified.",
        "c": "Minimal effusion in the pleural space? Nodule without calcification.",
        "d": "The liver is normal.",
    }
    cases = [study(name, findings=text) for name, text in said.items()] + [study("e")]
    order = {name: [1.0, place] for place, name in enumerate("bedca")}
    latents = {f"{name}_1": [*latent, 0, 0] for name, latent in order.items()}
    return engine, fill(engine, cases, volumes=latents)


def studies(hits: list[Hit]) -> str:
    return "".join(hit.study for hit in hits)


def first_axis(ward: tuple[Engine, CollectionInfo], text: str, **options) -> Answer:
    engine, info = ward
    question = replace(from_text(None, text), latent=unit([1, 0, 0, 0]))
    with engine.connect() as connection:
        return search(connection, info, question, SearchOptions(**options))


def test_reports_that_say_it_come_first_then_the_silent_by_latents_then_those_that_deny(ward) -> None:
    hits = list(first_axis(ward, "pleural effusion").hits)
    assert studies(hits) == "acedb"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert hits[-1].score == 0
    assert hits[0].legs["text"].rank == 1
    assert hits[0].legs["volume"].rank == 5
    assert hits[2].legs["text"] is None


def test_an_absence_finds_denials_first_and_never_what_affirms_it_before_the_silent(ward) -> None:
    assert studies(first_axis(ward, "no pleural effusion").hits)[:2] == "bd"
    assert studies(first_axis(ward, "without pleural effusion").hits)[-1:] in "ac"


def test_what_one_sentence_affirms_and_denies_is_told_apart(ward) -> None:
    hits = first_axis(ward, "nodule without calcification").hits
    assert hits[0].study == "c"
    assert hits[0].matched_sentences == ("Nodule without calcification.",)


def test_misspelt_words_are_read_as_the_nearest_and_said_so(ward) -> None:
    answer = first_axis(ward, "plueral efusion")
    assert answer.hits[0].study == "a"
    assert "no report has the word 'plueral'; read as 'pleural'" in answer.explanation


def test_the_words_of_a_whole_report_are_one_vote_and_its_denials_none(ward) -> None:
    engine, info = ward
    words = "Pleural effusion is seen. No lymphadenopathy. No pneumothorax."
    question = replace(from_text(None, words), latent=unit([1, 0, 0, 0]), words_decide=False)
    with engine.connect() as connection:
        answer = search(connection, info, question, SearchOptions())
    score = {hit.study: hit.score for hit in answer.hits}
    assert score["a"] == pytest.approx((61 / 61 + 61 / 65) / 2)  # first of the text, fifth of the volumes
    assert score["b"] == pytest.approx(61 / 61 / 2)  # denies it, and is the first of the volumes
    assert answer.hits[0].study == "a"


def test_a_misspelt_finding_is_one_that_the_question_has(ward) -> None:
    answer = answered(ward, "plueral efusion", legs=("text",))
    assert answer.query["labels"] == ["Pleural effusion"]


def test_an_organ_goes_by_its_adjective_and_a_rare_word_by_the_finding_one_letter_away(engine) -> None:
    said = {
        "a": "The spleen is bigger than normal.",
        "b": "Wall of the oesophagus is thick.",
        "c": "Effusion.",
    }
    info = fill(engine, [study(name, findings=text) for name, text in said.items()])
    for asked, first in (("splenic enlargement", "a"), ("esophageal thickening", "b"), ("splean", "a")):
        assert studies(found((engine, info), asked, legs=("text",)))[:1] == first, asked


def test_an_empty_collection_is_said_so_though_another_has_reports(ward) -> None:
    engine, info = ward
    bare = fill(engine, [study("a", findings="Pleural effusion.")], collection="bare")
    with pytest.raises(SearchError, match="'bare' is empty"):
        answered((engine, bare), "pleural effusion", legs=("text",))
    assert answered((engine, info), "pleural effusion", legs=("text",)).hits


def test_words_that_no_report_has_leave_the_answer_to_the_latents_and_warn(ward) -> None:
    answer = first_axis(ward, "xyzzy")
    assert studies(answer.hits) == "bedca"
    assert answer.warnings == ("no report has any word of the question: latents alone rank the cases",)


def test_british_and_american_words_and_abbreviations_find_the_same(engine) -> None:
    info = fill(
        engine, [study("a", findings="Oedema. Ground-glass opacities."), study("b", findings="Cyst.")]
    )
    for asked in ("edema", "GGO", "groundglass opacity", "oedematous"):
        assert found((engine, info), asked, legs=("text",))[:1], asked


def test_the_text_leg_alone_needs_no_latent_and_keeps_filters(engine) -> None:
    cases = [
        study(name, findings="Bronchiectasis.", labels={"Emphysema": name == "b"}, split=split)
        for name, split in (("a", "train"), ("b", "train"), ("c", "valid"))
    ]
    info = fill(engine, cases)
    archive = (engine, info)
    assert studies(found(archive, "bronchiectasis", legs=("text",))) == "abc"
    within = Filters(labels=("Emphysema",), split="train")
    assert studies(found(archive, "bronchiectasis", legs=("text",), filters=within)) == "b"
    by_volume = found(archive, "bronchiectasis", legs=("text",), unit="volume")
    assert [hit.volume for hit in by_volume] == ["a_1", "a_2", "b_1", "b_2", "c_1", "c_2"]


def test_where_very_many_say_it_a_sample_answers_and_a_filter_still_finds_the_only_one(engine) -> None:
    cases = [
        study(f"s{number:04}", findings="A nodule in the lung.", split="valid" if number == 1500 else "train")
        for number in range(ENOUGH + 200)
    ]
    info = fill(engine, cases, volumes={"s0000_1": [1, 0, 0, 0]})
    question = from_text(None, "lung nodule")
    with engine.connect() as connection:
        many = search(connection, info, question, SearchOptions(legs=("text",)))
        one = search(
            connection, info, question, SearchOptions(legs=("text",), filters=Filters(split="valid"))
        )
    assert (len(many.hits), many.exact) == (10, False)
    assert any("a sample" in line for line in many.explanation)
    assert ([hit.study for hit in one.hits], one.exact) == (["s1500"], True)


def test_a_changed_report_is_found_by_its_new_words_alone(engine, connection: psycopg.Connection) -> None:
    info = fill(engine, [study("a", findings="Bronchiectasis.")])
    fill(engine, [study("a", findings="Emphysema.")])
    assert studies(found((engine, info), "emphysema", legs=("text",))) == "a"
    texts = connection.execute("SELECT affirmed FROM report_sentence").fetchall()
    assert texts == [("emphysema",)]
