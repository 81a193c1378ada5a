"""Full-text search: hand-made reports, and the real validation reports with their labels as truth.

The real ones are stored without labels and with latents that are noise, so what is found is found by words.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from psycopg import sql
from sqlalchemy import Engine

from encoders.abnormalities import ABNORMALITIES
from encoders.negation import is_denial
from encoders.sentences import split_text
from retrieval.hits import Hit
from retrieval.postgres import open_engine
from retrieval.postgres_server import EmbeddedServer
from retrieval.questions import from_text
from retrieval.records import CollectionInfo
from retrieval.search import Answer, SearchOptions, search
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
