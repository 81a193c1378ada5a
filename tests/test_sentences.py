"""Reports become sentences, and a sentence that only denies is marked."""

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.abnormalities import ABNORMALITIES
from encoders.negation import is_denial, split_by_polarity
from encoders.plain_words import plain_words
from encoders.sentences import SECTIONS, split_report, split_text
from retrieval.cases import Report
from tests.shared import shared_file

# Drawn at random from the real validation reports among sentences with "no", "not", "without" and the like,
# and judged by reading them: report, then the sentence's number. Of these 126, 3 were wrong at first sight.
FINDINGS_THAT_ARE_NO_DENIAL = """
    1016_e:10 1019_a:16 1058_a:2 1065_a:15 1067_a:14 1134_a:13 1149_a:4 1167_a:24 1170_b:9 118_a:13 118_a:22
    1228_a:14 123_a:10 1240_a:14 1240_a:6 131_a:2 261_a:5 27_b:11 331_d:10 345_a:8 362_a:23 403_a:8 413_a:16
    414_b:13 437_a:7 44_a:16 457_a:15 486_a:12 537_b:8 538_c:11 636_b:14 690_a:3 694_b:14 710_a:11 722_a:21
    738_a:9 739_a:7 741_a:3 803_a:19 804_b:12 991_b:13
"""
FINDINGS_DENIED = """
    104_a:10 106_a:36 1075_a:6 107_a:9 1097_b:20 1155_a:5 1216_a:9 1247_b:7 1250_a:8 1270_a:10 13_a:13 14_a:15
    167_a:4 18_a:20 196_a:13 216_a:10 217_a:4 218_a:12 226_a:5 250_a:20 250_c:8 257_a:11 26_a:16 273_a:13
    278_a:17 289_a:5 382_b:9 387_b:14 401_a:34 403_b:20 43_a:11 453_a:10 465_a:10 47_a:1 482_b:6 538_a:22
    541_a:17 572_a:5 592_a:17 5_a:1 5_a:11 649_a:11 64_b:5 650_a:46 650_a:3 655_b:3 658_a:9 681_a:13 699_a:9
    69_a:15 6_a:11 709_a:10 723_a:3 760_a:7 787_c:21 787_d:9 80_a:8 850_c:9 850_c:10 850_c:6 905_a:10 937_b:21
    937_b:18 937_g:13 96_a:15 99_a:9
"""
IMPRESSIONS_THAT_ARE_NO_DENIAL = """
    1041_a:10 1097_b:3 1258_a:4 26_a:2 350_a:2 538_c:2 551_a:1 619_a:1 694_b:4 705_a:2 722_a:3 815_b:2 830_c:3
    915_b:1 937_d:1
"""
IMPRESSIONS_DENIED = "274_c:1 430_a:1 857_a:2 961_a:9"


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def real_reports() -> dict[str, Report]:
    return {
        row["VolumeName"]: Report(
            name=row["VolumeName"], findings=row["Findings_EN"], impression=row["Impressions_EN"]
        )
        for row in read_rows(shared_file("ct_rate/validation_reports.csv"))
    }


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", ()),
        (" . \n ; ", ()),
        ("Heart size is normal. No effusion.", ("Heart size is normal.", "No effusion.")),
        ("A nodule of 1.5 cm is seen.", ("A nodule of 1.5 cm is seen.",)),
        ("A nodule of 5 mm. Follow-up.", ("A nodule of 5 mm.", "Follow-up.")),
        ("Discussed with Dr. Smith at noon.", ("Discussed with Dr. Smith at noon.",)),
        ("Nodules, e.g. in the apex, approx. 3 mm.", ("Nodules, e.g. in the apex, approx. 3 mm.",)),
        ("1. Emphysema. 2. Nodule of 4.5 mm.", ("1. Emphysema.", "2. Nodule of 4.5 mm.")),
        ("1) Emphysema.\n2) Nodule", ("1) Emphysema.", "2) Nodule")),
        ("Fracture of the 4. rib on the left.", ("Fracture of the 4. rib on the left.",)),
        ("Image no. 5 shows it.", ("Image no. 5 shows it.",)),
        ("Clinic and lab. correlation is advised.", ("Clinic and lab. correlation is advised.",)),
        ("In the lung window; A few nodules.", ("In the lung window;", "A few nodules.")),
        ("As far as can be seen; no mass.", ("As far as can be seen;", "no mass.")),
        ("A nodule; it is stable.", ("A nodule; it is stable.",)),
        (
            "Mosaic pattern (small airway? small vessel?). Cysts.",
            ("Mosaic pattern (small airway? small vessel?).", "Cysts."),
        ),
        ("Hiatal hernia at the end.No effusion.", ("Hiatal hernia at the end.", "No effusion.")),
        ("No mass\nNo effusion", ("No mass", "No effusion")),
        ("No mass is seen in the\nright lung.", ("No mass is seen in the right lung.",)),
        ("• Cyst\n• Stone", ("Cyst", "Stone")),
        ('Emphysema " Atelectasis " Cysts', ("Emphysema", "Atelectasis", "Cysts")),
    ],
)
def test_text_is_split_where_a_reader_would_split_it(text: str, sentences: tuple[str, ...]) -> None:
    assert split_text(text) == sentences


@given(st.text(alphabet='aB9.;:!?()"\n •-', max_size=80))
def test_no_word_is_lost_or_invented_by_splitting(text: str) -> None:
    words = re.findall(r"[^\W_]+", text)
    assert re.findall(r"[^\W_]+", " \n ".join(split_text(text))) == words


def test_sentences_are_numbered_within_their_section() -> None:
    report = Report(name="r", findings="Nodule. No effusion.", impression="Nodule.", technique="Axial CT.")
    found = [(one.section, one.ordinal, one.text, one.negated) for one in split_report(report)]
    assert found == [
        ("technique", 1, "Axial CT.", False),
        ("findings", 1, "Nodule.", False),
        ("findings", 2, "No effusion.", True),
        ("impression", 1, "Nodule.", False),
    ]
    assert all(section in SECTIONS for section, *_ in found)


@pytest.mark.parametrize(
    "sentence",
    [
        "No pleural effusion.",
        "There is no pneumothorax.",
        "Pericardial effusion was not observed.",
        "Pleural effusion or thickening is not detected.",
        "Both lungs are free of consolidation.",
        "Negative for pulmonary embolism.",
        "Absence of lymphadenopathy.",
        "The nodule is no longer seen.",
        "The effusion has resolved.",
        "Neither effusion nor thickening.",
        "Lungs without infiltration.",
        "Mediastinal lymph nodes have not reached pathological size.",
        "Heart size is normal and no effusion was detected.",
        "Aeration of both lungs is normal, no nodule is seen.",
        "No mass, nodule or infiltration is seen in either lung.",
        "Consolidation isn't seen.",
        "There are no fibrotic changes.",
        "NO ACUTE INFILTRATE.",
    ],
)
def test_a_sentence_that_only_denies_is_marked(sentence: str) -> None:
    assert is_denial(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "A 5 mm nodule is seen in the right upper lobe.",
        "Heart size is normal.",
        "No significant change in the nodule.",
        "No increase in the size of the nodule was observed.",
        "Not only nodules but also effusions are seen.",
        "Pneumonia cannot be excluded.",
        "Malignancy could not be ruled out.",
        "The heart could not be evaluated optimally without contrast.",
        "Mediastinum was evaluated without IV contrast material.",
        "A nodule without calcification.",
        "Mild cardiomegaly without pericardial effusion.",
        "No effusion was detected, but a nodule of 4 mm is seen.",
        "No effusion was detected and minimal atelectasis is observed in the lower lobe.",
        "There is a nodule that is not calcified.",
        "Lymph nodes not exceeding 1 cm are observed.",
        "A nodule that was not seen in the previous examination.",
        "Nonspecific nodules.",
        "Image no. 5: nodule.",
        "No previous examination is available.",
        "",
    ],
)
def test_a_sentence_that_affirms_or_leaves_open_is_not_a_denial(sentence: str) -> None:
    assert not is_denial(sentence)


@pytest.mark.parametrize(
    ("sentence", "affirmed", "hedged", "denied"),
    [
        ("Nodule without calcification.", "nodule", "", "without calcification."),
        ("No effusion, but atelectasis is seen.", "but atelectasis is seen.", "", "no effusion,"),
        ("Pericardial effusion-thickening was not observed.", "", "", "whole"),
        ("Trachea, both main bronchi are open.", "whole", "", ""),
        ("The nodule is no longer seen.", "", "", "whole"),
        ("The effusion has regressed completely.", "", "", "whole"),
        ("The effusion has regressed.", "whole", "", ""),
        ("There may be a nodule.", "", "whole", ""),
        ("A mosaic pattern (small airway disease?).", "a mosaic pattern .", "(small airway disease?)", ""),
        ("No pneumothorax, mild cardiomegaly.", "mild cardiomegaly.", "", "no pneumothorax"),
        ("No mild or moderate effusion.", "", "", "whole"),
        ("Pneumonia cannot be excluded.", "", "whole", ""),
        ("No significant change in the nodule.", "whole", "", ""),
    ],
)
def test_a_sentence_is_split_into_what_it_affirms_leaves_open_and_denies(
    sentence: str, affirmed: str, hedged: str, denied: str
) -> None:
    said = split_by_polarity(sentence)
    expected = (part.replace("whole", sentence.lower()) for part in (affirmed, hedged, denied))
    assert tuple(re.sub(r"^[ ,]+", "", part) for part in (said.affirmed, said.hedged, said.denied)) == tuple(
        re.sub(r"^[ ,]+", "", part) for part in expected
    )


@given(st.text(alphabet="abno ,;.()?-without", max_size=120))
def test_polarity_loses_no_word(text: str) -> None:
    said = split_by_polarity(text)
    parts = f"{said.affirmed} {said.hedged} {said.denied}"
    assert sorted(re.findall(r"\w+", parts)) == sorted(re.findall(r"\w+", text.lower()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Peri-bronchial thickening, nodule/mass", "peribronchial thickening nodule mass"),
        ("Oedema of the oesophagus, visualised", "edema of the esophagus visualized"),
        ("Calcified plaques; calcifications", "calcification plaques calcification"),
        ("Ground-glass and groundglass", "ground glass and ground glass"),
        ("1.5 mm, 5mm, 5x4 cm", "1.5 mm 5 mm 5x4 cm"),
        ("Aorta.The heart", "aorta the heart"),
        ("İnfiltrasyon, café", "infiltrasyon cafe"),
    ],
)
def test_text_becomes_words_that_can_be_compared(text: str, words: str) -> None:
    assert " ".join(plain_words(text)) == words


def test_denials_in_real_reports_agree_with_a_reader() -> None:
    reports = real_reports()
    wrong = []
    for listed, section, negated in (
        (FINDINGS_THAT_ARE_NO_DENIAL, "findings", False),
        (FINDINGS_DENIED, "findings", True),
        (IMPRESSIONS_THAT_ARE_NO_DENIAL, "impression", False),
        (IMPRESSIONS_DENIED, "impression", True),
    ):
        for name, ordinal in (place.split(":") for place in listed.split()):
            sentences = {(one.section, one.ordinal): one for one in split_report(reports[f"valid_{name}"])}
            if sentences[section, int(ordinal)].negated != negated:
                wrong.append(f"{name} {section} {ordinal}")
    assert len(wrong) <= 2, wrong  # of 126


@pytest.mark.parametrize(
    ("finding", "words", "agreement"),
    [
        ("Pleural effusion", r"pleural (and pericardial |or pericardial )?effusion", 0.98),
        ("Pericardial effusion", r"pericardial (and pleural |or pleural )?effusion", 0.98),
        ("Consolidation", "consolidat", 0.88),
        ("Emphysema", "emphysem", 0.95),
        ("Bronchiectasis", "bronchiecta", 0.95),
    ],
)
def test_what_sentences_affirm_agrees_with_manual_labels(finding: str, words: str, agreement: float) -> None:
    assert finding in ABNORMALITIES
    agreed = []
    for row in read_rows(shared_file("ct_rate/annotated_reports_800.csv")):
        naming = [text for text in split_text(row["report_text"]) if re.search(words, text.lower())]
        if naming:
            agreed.append(any(not is_denial(text) for text in naming) == (row[finding] == "1"))
    assert len(agreed) > 50
    assert sum(agreed) / len(agreed) >= agreement
