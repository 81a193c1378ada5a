"""The report of a phantom scan, in radiologists' English: findings as they are read, then the impression."""

from dataclasses import dataclass

import numpy as np

from retrieval.datasets.phantom.findings import Finding
from retrieval.datasets.phantom.report_words import ABSENT, INCIDENTAL, NORMAL, PRESENT, SUMMARY, words_for
from retrieval.datasets.phantom.scan import PhantomScan


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence, and which abnormalities it affirms (True) or denies (False)."""

    text: str
    says: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Both sections, as text and as the statements they are made of."""

    findings: str
    impression: str
    statements: tuple[Statement, ...]


# Sections of the reading, and what is looked for in each. Every abnormality is in exactly one.
_READING: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("airways", ()),
    ("heart", ("Cardiomegaly", "Coronary artery wall calcification")),
    ("pericardium", ("Pericardial effusion",)),
    ("vessels", ("Arterial wall calcification",)),
    ("devices", ("Medical material",)),
    ("nodes", ("Lymphadenopathy",)),
    ("oesophagus", ("Hiatal hernia",)),
    ("parenchyma", ("Emphysema", "Mosaic attenuation pattern", "Lung nodule", "Lung opacity", "Consolidation",
                    "Atelectasis", "Pulmonary fibrotic sequela", "Interlobular septal thickening")),
    ("bronchi", ("Peribronchial thickening", "Bronchiectasis")),
    ("pleura", ("Pleural effusion",)),
    ("abdomen", ()),
    ("bones", ()),
)  # fmt: skip

_SILENT = {  # how often a reading passes over what is not there
    "Medical material": 0.8, "Coronary artery wall calcification": 0.5, "Arterial wall calcification": 0.5,
    "Emphysema": 0.5, "Mosaic attenuation pattern": 0.6, "Atelectasis": 0.5,
    "Pulmonary fibrotic sequela": 0.6,
    "Interlobular septal thickening": 0.6, "Peribronchial thickening": 0.5, "Bronchiectasis": 0.5,
    "Hiatal hernia": 0.4, "Lung opacity": 0.2, "Consolidation": 0.2,
}  # fmt: skip


def write_report(scan: PhantomScan) -> WrittenReport:
    """Write the report of a scan; the same scan gives the same words."""
    rng = np.random.default_rng(scan.text_seed)
    sections = list(_READING)
    if rng.random() < 0.4:  # some read the lungs first
        sections = sections[7:10] + sections[:7] + sections[10:]
    statements = [s for section, names in sections for s in _section(scan, section, names, rng)]
    summary = _impression(scan, rng)
    return WrittenReport(
        findings=" ".join(s.text for s in statements),
        impression=" ".join(s.text for s in summary),
        statements=(*statements, *summary),
    )


def _choose(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _section(
    scan: PhantomScan, section: str, names: tuple[str, ...], rng: np.random.Generator
) -> list[Statement]:
    said: list[Statement] = []
    if section in NORMAL:
        said += [Statement(text) for text in _normal(scan, section, rng)]
    shuffled = [names[i] for i in rng.permutation(len(names))]
    for name in sorted(shuffled, key=lambda n: n not in scan.findings):
        if name in scan.findings:
            said.append(_present(scan.findings[name], rng))
        elif rng.random() >= _SILENT.get(name, 0.0):
            said.append(Statement(_choose(rng, ABSENT[name]), ((name, False),)))
    said += [
        Statement(_choose(rng, INCIDENTAL[i][1])) for i in scan.incidentals if INCIDENTAL[i][0] == section
    ]
    return said


def _normal(scan: PhantomScan, section: str, rng: np.random.Generator) -> list[str]:
    """What is said of a normal organ, unless something incidental contradicts it."""
    if any(INCIDENTAL[i][0] == section for i in scan.incidentals):
        return []
    text = _choose(rng, NORMAL[section])
    return [text.format(aorta=round(scan.anatomy.ascending_aorta))]


def _present(finding: Finding, rng: np.random.Generator) -> Statement:
    text = _choose(rng, PRESENT[finding.abnormality]).format(**words_for(finding, rng))
    return Statement(text[0].upper() + text[1:], ((finding.abnormality, True),))


def _impression(scan: PhantomScan, rng: np.random.Generator) -> list[Statement]:
    said = []
    for name in [n for _, names in _READING for n in names]:
        if name in scan.findings:
            text = _choose(rng, SUMMARY[name]).format(**words_for(scan.findings[name], rng))
            said.append(Statement(text[0].upper() + text[1:], ((name, True),)))
    said += [Statement(INCIDENTAL[i][2]) for i in scan.incidentals]
    if not said:
        return [Statement(_choose(rng, NORMAL["impression"]))]
    return said
