"""What identifies a patient leaves texts; what is medical stays; names become keyed pseudonyms."""

import re
import stat
import threading
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.errors import ConfigError, StorageError
from retrieval.cases import Report
from retrieval.deidentify import KEY_BYTES, PseudonymKey
from retrieval.deidentify_text import KnownIdentity, scrub_report, scrub_text

FIRST_STUDY = date(2021, 3, 1)
KNOWN = KnownIdentity(
    people=("MÜLLER-SMALL^JANE^Q", "Roe^Richard^^Dr"),
    identifiers=("PAT-0815", "ACC778812"),
    institutions=("St. Elsewhere General",),
)


def scrubbed(text: str, known: KnownIdentity | None = None) -> str:
    return scrub_text(text, known=known, first_study=FIRST_STUDY).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Compared with the CT of 2021-03-11.", "Compared with the CT of day 10."),
        ("Compared with the CT of 11.03.2021.", "Compared with the CT of day 10."),
        ("Compared with the CT of 11.3.2021 14:35.", "Compared with the CT of day 10."),
        ("Compared with 03/15/2021.", "Compared with day 14."),
        ("Compared with 15/03/2021 and 04/03/2021.", "Compared with day 14 and day 3."),
        ("Compared with 03/15/2021 and 03/04/2021.", "Compared with day 14 and day 3."),
        ("CT dated 20210311.", "CT dated day 10."),
        ("CT from 11.03.21 is at hand.", "CT from day 10 is at hand."),
        ("Seen on 12 March 2021.", "Seen on day 11."),
        ("Seen on March 12, 2021.", "Seen on day 11."),
        ("Seen on the 12th of March 2021.", "Seen on the day 11."),
        ("Seen on 12-Mar-2021 and 12. März 2021.", "Seen on day 11 and day 11."),
        ("Previous CT: 19.02.2020", "Previous CT: day -376"),  # 2020 was a leap year: 10 + 366
        ("Known since March 2021.", "Known since about day 14."),  # the 15th
        ("Known since 03/2021.", "Known since about day 14."),
        ("Lobectomy in 2018.", "Lobectomy in 2018."),  # a year alone is no identifier
        # nobody can tell the day of these
        ("Compared with 03/04/2021.", "Compared with [date]."),
        ("Examination dated 0.08.2020", "Examination dated [date]"),
        ("Examination dated 28.0.1.2020,", "Examination dated [date],"),
        ("Examination dated 16.03. showed it.", "Examination dated [date] showed it."),
        ("Seen on 12 March.", "Seen on [date]."),
        ("Date of birth: 12.03.1950", "Date of birth: [date]"),
        ("born 1950", "born [date]"),
        ("DOB 03/12/50", "DOB [date]"),
        ("The patient (1.2.1948) coughs.", "The patient ([date]) coughs."),
    ],
)
def test_dates_become_days_since_the_first_study(text: str, expected: str) -> None:
    assert scrubbed(text) == expected


def test_dates_without_a_first_study_are_only_removed() -> None:
    result = scrub_text("Compared with 11.03.2021 and March 2020.")
    assert result.text == "Compared with [date] and [date]."
    assert result.removed == {"date": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith was informed.", "Dr. [name] was informed."),
        ("Prof. Dr. med. Hans-Peter von Goethe reads.", "Prof. Dr. med. [name] reads."),
        ("Seen by Dr Ayşe Yılmaz.", "Seen by Dr [name]."),
        ("dr. smith was informed.", "dr. [name] was informed."),
        ("Mr Jones coughs, Mrs. O'Neill does not.", "Mr [name] coughs, Mrs. [name] does not."),
        ("DR. SMITH WAS INFORMED.", "DR. [name] WAS INFORMED."),
        ("Patient: Doe, John\nLungs are clear.", "Patient: [name]\nLungs are clear."),
        ("Patient name: john doe", "Patient name: [name]"),
        ("Patient: Smoker with cough", "Patient: Smoker with cough"),
        ("The patient John Doe coughs.", "The patient [name] coughs."),
        ("Referring physician: A. Brown-Miller.", "Referring physician: [name]."),
        ("Electronically signed by Jane Roe, MD", "Electronically signed by [name], MD"),
        ("Jane B. Roe, M.D.", "[name], M.D."),
        ("Discussed with Susan Calvin by phone.", "Discussed with [name] by phone."),
        ("Discussed with Thoracic Surgery.", "Discussed with Thoracic Surgery."),
    ],
)
def test_names_given_away_by_a_title_or_label_are_removed(text: str, expected: str) -> None:
    assert scrubbed(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Müller-Small, Jane coughs.", "[name] coughs."),
        ("JANE MUELLER-SMALL COUGHS.", "[name] COUGHS."),
        ("Jane's cough. J. Muller-Small.", "[name] cough. [name]."),
        ("Roe agrees; richard roe too.", "[name] agrees; [name] too."),
        ("See PAT-0815 and pat-0815.", "See [id] and [id]."),
        ("Made at St. Elsewhere General.", "Made at [institution]."),
    ],
)
def test_names_the_source_knows_are_found_in_any_spelling(text: str, expected: str) -> None:
    assert scrubbed(text, KNOWN) == expected


@pytest.mark.parametrize(
    ("surname", "text"),
    [
        ("SMALL", "Small nodules in the right lung. A small effusion."),
        ("Stone", "Stone in the gallbladder. No kidney stone."),
        ("Lung_Dx-A0001", "Lung windows. The lungs are clear. Left lung."),
        ("NG", "NG tube in place."),
        ("White", "WHITE LUNG ON THE LEFT."),
    ],
)
def test_a_patient_named_like_a_medical_word_leaves_it_in_place(surname: str, text: str) -> None:
    assert scrubbed(text, KnownIdentity(people=(f"{surname}^JOHN",))) == text


@pytest.mark.parametrize(
    ("text", "expected", "kind"),
    [
        ("MRN: 1234567", "MRN: [id]", "identifier"),
        ("Medical record number 12-34-567.", "Medical record number [id].", "identifier"),
        ("Accession No. A778812 done.", "Accession No. [id] done.", "identifier"),
        ("Patient ID: X99-12", "Patient ID: [id]", "identifier"),
        ("SSN 078-05-1120", "SSN [id]", "identifier"),
        ("Study 1.2.840.113619.2.55.3.604688 is old.", "Study [id] is old.", "identifier"),
        ("File 20345678 is missing.", "File [id] is missing.", "identifier"),
        ("Call (555) 123-4567.", "Call [phone].", "phone"),
        ("Call +90 532 123 45 67.", "Call [phone].", "phone"),
        ("Tel: 0532 123 45 67", "Tel: [phone]", "phone"),
        ("pager 12345", "pager [phone]", "phone"),
        ("Mail jane.roe@clinic.example.org now", "Mail [e-mail] now", "e-mail"),
        ("See https://pacs.example.org/study?id=7 now", "See [url] now", "web address"),
        ("Lives at 221B Baker Street.", "Lives at [address].", "address"),
        ("Wohnt Hauptstraße 12.", "Wohnt [address].", "address"),
        ("CT from Saint Anna Hospital today.", "CT from [institution] today.", "institution"),
        ("University of Freedonia report", "[institution] report", "institution"),
        ("CT of an outside hospital.", "CT of an outside hospital.", None),
        ("A 93-year-old woman", "A 90+-year-old woman", "age over 89"),
        ("An 89-year-old woman", "An 89-year-old woman", None),
    ],
)
def test_numbers_and_places_that_identify_are_removed(text: str, expected: str, kind: str | None) -> None:
    result = scrub_text(text, first_study=FIRST_STUDY)
    assert result.text == expected
    assert dict(result.removed) == ({} if kind is None else {kind: 1})


@pytest.mark.parametrize(
    "text",
    [
        "A nodule of 2.5 cm, 5x4x5 mm, 1.5 mm, 12 x 10.5 x 9 mm.",
        "T4-5, T10-11-12, Th 12, L1/2, segment 4/5, segments 8-9-10, ribs 7/8/10, 3/6 systolic murmur.",
        "pT2a N1 M0, stage IIIB, T1c N0 M0.",
        "Pleural drainage is in place; Bl57 kernel, Br40f.",
        "HU value of -5 to 120; density 1024 HU; FEV1 2.31 l; SUV 3.5.",
        "Series 2 image 134, 1.25 mm, 512x512, 120 kV, 250 mAs.",
        "Follow-up in 3-6 months, in 3/6/12 months.",
        "Aorta 40.5 mm, previously 38.25 mm; volume 12345 mm3.",
        "Kerley B lines, Ghon complex, Bochdalek hernia, Hounsfield units, Swan-Ganz catheter.",
        "Findings may 5 mm apart; CO-RADS 5; Lung-RADS 4A; BI-RADS 2; Covid-19 pneumonia.",
        "MR Imaging and MR angiography are recommended; MRS too.",
        "Dr was told. Prior lobectomy 2018, chemotherapy 2019-2020.",
        "Patient Position: HFS. Patient History: cough. Clinic and laboratory correlation.",
        "In the right upper lobe, 4th rib, 1st of two nodules. Ratio 1/2, 50%.",
    ],
)
def test_medical_text_is_left_as_it_is(text: str) -> None:
    assert scrub_text(text, known=KNOWN, first_study=FIRST_STUDY).text == text


def test_every_section_of_a_report_is_scrubbed_and_counted() -> None:
    report = Report(
        name="r",
        findings="Nodule, stable since 11.03.2021.",
        impression="Dr. Roe was informed on 12.03.2021.",
        clinical_information="MRN 1234567, cough.",
        technique="Low dose.",
    )
    clean, removed = scrub_report(report, first_study=FIRST_STUDY)
    assert clean == Report(
        name="r",
        findings="Nodule, stable since day 10.",
        impression="Dr. [name] was informed on day 11.",
        clinical_information="MRN [id], cough.",
        technique="Low dose.",
    )
    assert removed == {"date": 2, "name": 1, "identifier": 1}


@given(
    st.lists(
        st.sampled_from(
            [
                "Dr. Smith",
                "11.03.2021",
                "MRN 123456",
                "5 mm",
                "March 2020",
                "Jane",
                "born 1950",
                "3/4/21",
                "a nodule",
            ]
        ),
        max_size=6,
    )
)
def test_scrubbing_twice_is_scrubbing_once(words: list[str]) -> None:
    once = scrubbed(" and ".join(words), KNOWN)
    assert scrubbed(once, KNOWN) == once


def test_a_pseudonym_is_stable_under_its_key_and_tells_nothing() -> None:
    key = PseudonymKey(b"k" * KEY_BYTES)
    name = key.pseudonym("patient", "dicom", "PAT-0815")
    assert re.fullmatch(r"patient-[a-z2-7]{16}", name)
    assert name == PseudonymKey(b"k" * KEY_BYTES).pseudonym("patient", "dicom", "PAT-0815")
    others = {
        PseudonymKey(b"l" * KEY_BYTES).pseudonym("patient", "dicom", "PAT-0815"),
        key.pseudonym("study", "dicom", "PAT-0815").replace("study", "patient"),
        key.pseudonym("patient", "folder", "PAT-0815"),
        key.pseudonym("patient", "dicomP", "AT-0815"),
        key.pseudonym("patient", "dicom", "pat-0815"),
    }
    assert len(others | {name}) == 6
    assert "k" * 8 not in repr(key)


def test_a_sealed_identity_opens_with_its_key_only() -> None:
    key = PseudonymKey(b"k" * KEY_BYTES)
    sealed = key.encrypt(b'{"accession": "ACC778812"}')
    assert b"ACC778812" not in sealed
    assert sealed != key.encrypt(b'{"accession": "ACC778812"}')
    assert key.decrypt(sealed) == b'{"accession": "ACC778812"}'
    for forged in (sealed[:-1] + bytes([sealed[-1] ^ 1]), b"\x02" + sealed[1:], sealed[:10], b""):
        with pytest.raises(ConfigError, match="key"):
            key.decrypt(forged)
    with pytest.raises(ConfigError, match="restore the key file"):
        PseudonymKey(b"l" * KEY_BYTES).decrypt(sealed)


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "pseudonym.key"
    key = PseudonymKey.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size == KEY_BYTES
    assert PseudonymKey.load_or_create(path) == key
    assert [entry.name for entry in path.parent.iterdir()] == ["pseudonym.key"]


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    path = tmp_path / "pseudonym.key"
    keys: list[PseudonymKey] = []
    starters = [
        threading.Thread(target=lambda: keys.append(PseudonymKey.load_or_create(path))) for _ in range(8)
    ]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pseudonym.key"
    PseudonymKey.load_or_create(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="can be read by others"):
        PseudonymKey.load_or_create(path)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * (KEY_BYTES + 1)])
def test_a_file_that_is_no_key_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pseudonym.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="not a pseudonym key"):
        PseudonymKey.load_or_create(path)
    assert path.read_bytes() == content


def test_a_key_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises((StorageError, ConfigError), match="pseudonym key"):
        PseudonymKey.load_or_create(in_the_way / "pseudonym.key")


def test_real_anonymous_reports_lose_nothing_but_dates() -> None:
    import csv

    from tests.shared import shared_file

    with shared_file("ct_rate/validation_reports.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))[:500]
    altered = []
    for row in rows:
        for column in ("ClinicalInformation_EN", "Technique_EN", "Findings_EN", "Impressions_EN"):
            result = scrub_text(row[column], first_study=FIRST_STUDY)
            if result.text != row[column]:
                altered.append((row["VolumeName"], dict(result.removed)))
    assert altered == [("valid_321_a", {"date": 1})]  # the one date in these 500 reports, found with grep
