"""Full-text search: hand-made reports, and the real validation reports with their labels as truth.

The real ones are stored without labels and with latents that are noise, so what is found is found by words.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from sqlalchemy import Engine

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import SearchError
from encoders.negation import is_denial, split_by_polarity
from encoders.sentences import split_text
from retrieval.filters import Filters
from retrieval.fusion import TEXT_WEIGHT, fuse_with_text
from retrieval.hits import Hit
from retrieval.misspelt import is_one_letter_away
from retrieval.neighbours import Neighbour
from retrieval.postgres import open_engine
from retrieval.postgres_server import EmbeddedServer
from retrieval.questions import from_text
from retrieval.records import CollectionInfo
from retrieval.search import Answer, SearchOptions, search
from retrieval.telegraphic import in_sentences
from retrieval.text_sql import ENOUGH
from tests.conftest import TEMPLATE, address_of
from tests.shared import shared_file
from tests.small_archive import fill, study, unit
from tests.test_sentences import read_rows, real_reports

DIM = 8
PARAPHRASES = {
    "Medical material": ("central venous catheter", "medical devices", "implanted hardware"),
    "Arterial wall calcification": (
        "aortic calcification",
        "atheromatous plaques of the aorta",
        "vascular calcifications",
    ),
    "Cardiomegaly": ("enlarged heart", "heart size is increased", "increased cardiothoracic ratio"),
    "Pericardial effusion": ("fluid in the pericardium", "pericardial fluid", "small pericardial effusion"),
    "Coronary artery wall calcification": (
        "coronary calcification",
        "calcified plaques in the coronary arteries",
        "CAC",
    ),
    "Hiatal hernia": ("hiatus hernia", "sliding hernia", "small sliding-type hiatal hernia"),
    "Lymphadenopathy": ("enlarged lymph nodes", "mediastinal adenopathy", "LAP"),
    "Emphysema": ("emphysematous changes", "centrilobular emphysema", "bullous emphysema"),
    "Atelectasis": ("linear atelectasis", "atelectatic changes", "subsegmental collapse"),
    "Lung nodule": ("pulmonary nodules", "5 mm nodule in the right upper lobe", "SPN"),
    "Lung opacity": ("ground-glass opacities", "GGO", "patchy opacities in both lungs"),
    "Pulmonary fibrotic sequela": ("fibrotic bands", "pleuroparenchymal sequelae", "scarring"),
    "Pleural effusion": ("bilateral pleural effusions", "pleural fluid", "effusion in the pleural space"),
    "Mosaic attenuation pattern": ("mosaic attenuation", "mosaic perfusion", "mosaicism"),
    "Peribronchial thickening": (
        "bronchial wall thickening",
        "peribronchial cuffing",
        "thickened bronchial walls",
    ),
    "Consolidation": ("airspace consolidation", "consolidated lung", "consolidative opacities"),
    "Bronchiectasis": ("dilated bronchi", "bronchiectatic changes", "bronchial dilatation"),
    "Interlobular septal thickening": ("septal thickening", "thickened interlobular septa", "Kerley lines"),
}
BEYOND = {  # what must stand in a sentence of the reports found, however it is worded
    "tree-in-bud": r"\bbud",
    "azygos fissure": r"azyg\w* fissure",
    "sternotomy wires": r"sternotom|stern\w+.*sutur|sutur.*stern",
    "crazy paving": r"crazy",
    "left-sided PICC": r"PICC|catheter.*vena cava|vena cava.*catheter",
    "rib fracture": r"fractur.*\b(rib|costa)|\b(rib|costa).*fractur",
    "pneumothorax": r"pneumothora",
    "air bronchogram": r"bronchogram",
    "reversed halo sign": r"halo",
    "honeycombing": r"honeycomb",
    "thyroid nodule": r"thyroid.*nod|nod.*thyroid",
    "gallstones": r"gallbladder|cholelith",
    "fatty liver": r"steato|fat|adipos",
    "aortic aneurysm": r"aneurysm",
    "gynaecomastia": r"gyn.*mast",
    "kyphoscoliosis": r"kypho|scolio",
    "cavitary lesion": r"cavit",
    "renal cyst": r"cyst",
    "splenomegaly": r"spleen|spleno",
    "metastases": r"metasta",
    "situs inversus": r"situs inversus",
}


TYPED = {  # as into a search box: what is asked for, and what is asked to be absent
    "plural and adjective": ("atelectases; ; Atelectasis", "emphysematous lungs; ; Emphysema"),
    "another order": ("hernia hiatal; ; Hiatal hernia", "bronchi ectatic; ; Bronchiectasis"),
    "organ's adjective": (
        "cardiac enlargement; ; Cardiomegaly",
        "calcified coronaries; ; Coronary artery wall calcification",
    ),
    "lay words": ("fluid around the lung; ; Pleural effusion", "lung scars; ; Pulmonary fibrotic sequela"),
    "abbreviation": ("HH; ; Hiatal hernia", "consol RLL; ; Consolidation"),
    "a letter wrong": (
        "plural effusion; ; Pleural effusion",
        "brochiectasis; ; Bronchiectasis",
        "mosiac attenuation; ; Mosaic attenuation pattern",
    ),
    "said again": (
        "bronchiectatic airways; ; Bronchiectasis",
        "patient with septal lines; ; Interlobular septal thickening",
    ),
    "denied after it": (
        "emphysema absent; Emphysema; ",
        "pleural effusion: none; Pleural effusion; ",
        "consolidation not visible; Consolidation; ",
    ),
    "denied before it": (
        "nothing suggesting lymphadenopathy; Lymphadenopathy; ",
        "negative for pericardial effusion; Pericardial effusion; ",
    ),
    "where it is not": (
        "pleural spaces free of fluid; Pleural effusion; ",
        "coronaries free of calcification; Coronary artery wall calcification; ",
        "heart not enlarged; Cardiomegaly; ",
    ),
    "both": (
        "nodule, emphysema absent; Emphysema; Lung nodule",
        "effusion w/o consolidation; Consolidation; Pleural effusion",
        "rule out cardiomegaly, no effusion; Pleural effusion; Cardiomegaly",
    ),
}


@pytest.fixture(scope="module")
def real_archive(server: EmbeddedServer) -> Iterator[tuple[Engine, CollectionInfo]]:
    """The 1,564 validation reports, a volume each, and latents that know nothing."""
    reports = real_reports()
    noise = np.random.default_rng(20).normal(size=(2, len(reports), DIM))
    with server.connect(autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE real_reports TEMPLATE {}").format(sql.Identifier(TEMPLATE))
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CTSEARCH_DATABASE", address_of(server, "real_reports"))
        engine = open_engine()
        cases = [
            study(name, volumes=(f"{name}_1",), findings=report.findings, impression=report.impression)
            for name, report in reports.items()
        ]
        info = fill(
            engine,
            cases,
            volumes={f"{name}_1": latent for name, latent in zip(reports, noise[0], strict=True)},
            reports=dict(zip(reports, noise[1], strict=True)),
            dim=DIM,
        )
        yield engine, info
        engine.dispose()
    with server.connect(autocommit=True) as connection:
        connection.execute("DROP DATABASE real_reports WITH (FORCE)")


def found(archive: tuple[Engine, CollectionInfo], text: str, k: int = 10, **options) -> list[Hit]:
    return list(answered(archive, text, k, **options).hits)


def answered(archive: tuple[Engine, CollectionInfo], text: str, k: int = 10, **options) -> Answer:
    """Ask with all legs; the question's latent is as good as any."""
    engine, info = archive
    question = replace(from_text(None, text), latent=unit(np.ones(info.latent_dim)))
    with engine.connect() as connection:
        return search(connection, info, question, SearchOptions(k=k, **options))


def real_labels() -> dict[str, dict[str, bool]]:
    rows = read_rows(shared_file("ct_rate/validation_labels.csv"))
    return {row["VolumeName"].rsplit("_", 1)[0]: {x: row[x] == "1" for x in ABNORMALITIES} for row in rows}


def test_names_and_paraphrases_find_reports_with_the_finding(real_archive) -> None:
    labels = real_labels()
    precision = {
        asked: np.mean([labels[hit.study][finding] for hit in found(real_archive, asked)])
        for finding in ABNORMALITIES
        for asked in (finding, *PARAPHRASES[finding])
    }
    assert len(precision) == 72
    assert np.mean(list(precision.values())) >= 0.95, precision
    assert min(precision.values()) >= 0.7, precision


@pytest.mark.parametrize("as_typed", TYPED)
def test_what_is_typed_into_a_search_box_is_understood(real_archive, as_typed: str) -> None:
    labels = real_labels()
    share = {}
    for line in TYPED[as_typed]:
        asked, absent, present = (part.strip() for part in line.split(";"))
        hits = [labels[hit.study] for hit in found(real_archive, asked, legs=("text",))]
        share[asked] = np.mean(
            [all(hit[x] for x in (present,) if x) and not any(hit[x] for x in (absent,) if x) for hit in hits]
        )
        assert len(hits) == 10
    assert min(share.values()) >= 0.8, share
    assert np.mean(list(share.values())) >= 0.9, share


def test_what_is_asked_to_be_absent_is_absent(real_archive) -> None:
    labels = real_labels()
    lacking = {
        asked: np.mean([not labels[hit.study][finding] for hit in found(real_archive, asked)])
        for finding in ABNORMALITIES
        for asked in (f"no {finding.lower()}", f"without {finding.lower()}")
    }
    assert np.mean(list(lacking.values())) >= 0.95, lacking


def test_a_sentence_of_one_report_finds_that_report_first(real_archive) -> None:
    where: dict[str, set[str]] = {}
    for name, report in real_reports().items():
        for sentence in (*split_text(report.findings), *split_text(report.impression)):
            where.setdefault(sentence, set()).add(name)
    single = sorted(sentence for sentence, names in where.items() if len(names) == 1)
    denied = [sentence for sentence in single if is_denial(sentence)]
    rng = random.Random(3)
    for sample, legs in (
        (rng.sample(single, 200), ("text",)),
        (rng.sample(denied, 100), ("text",)),
        (rng.sample(single, 40), ()),  # of all legs; the others are slower and no wiser
    ):
        first = [found(real_archive, each, 1, legs=legs)[0].study in where[each] for each in sample]
        assert np.mean(first) >= 0.95


def test_other_findings_are_found_by_what_reports_say(real_archive) -> None:
    reports = real_reports()
    right: Counter[bool] = Counter()
    for asked, pattern in BEYOND.items():
        places = [(hit.study, hit.legs["text"]) for hit in found(real_archive, asked)]
        saying = [name for name, place in places if place is not None and place.score >= 0.6] or [
            name for name, _ in places[:1]
        ]
        for name in saying:
            sentences = (*split_text(reports[name].findings), *split_text(reports[name].impression))
            says = any(re.search(pattern, each, re.IGNORECASE) and not is_denial(each) for each in sentences)
            right[says] += 1
    assert right[True] / right.total() >= 0.95


# Without an archive


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
