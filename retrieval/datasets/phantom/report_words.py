"""The words of phantom reports: for each abnormality how it is affirmed, denied and summed up."""

import numpy as np

from retrieval.datasets.phantom.findings import Finding

NORMAL: dict[str, tuple[str, ...]] = {
    "airways": (
        "Trachea and both main bronchi are open.",
        "Trachea, both main bronchi are open and no occlusive pathology is detected.",
        "No obstructive pathology was observed in the trachea and both main bronchi.",
    ),
    "vessels": (
        "Mediastinal main vascular structures are of normal calibration.",
        "The diameter of the ascending aorta is {aorta} mm and within normal limits.",
        "Thoracic aorta diameter is normal.",
    ),
    "abdomen": (
        "Upper abdominal organs included in the sections are normal.",
        "No space-occupying lesion was detected in the liver that entered the cross-sectional area.",
        "Upper abdominal sections entering the examination area are natural.",
    ),
    "bones": (
        "Bone structures in the study area are natural.",
        "Vertebral corpus heights are preserved.",
        "No lytic-destructive lesion was detected in bone structures.",
    ),
    "impression": (
        "Thorax CT examination within normal limits.",
        "No significant pathology was detected in the thorax.",
        "Findings within normal limits.",
    ),
}

# (section, sentences of the findings, sentence of the impression)
INCIDENTAL: dict[str, tuple[str, tuple[str, ...], str]] = {
    "hepatic steatosis": (
        "abdomen",
        (
            "Liver density is decreased in accordance with hepatic steatosis.",
            "A decrease in liver parenchyma density consistent with fatty liver is observed.",
        ),
        "Hepatic steatosis.",
    ),
    "ascending aortic dilatation": (
        "vessels",
        (
            "The ascending aorta is wider than normal.",
            "Aneurysmatic dilatation of the ascending aorta is observed.",
        ),
        "Dilatation of the ascending aorta.",
    ),
    "pulmonary trunk dilatation": (
        "vessels",
        ("The diameter of the main pulmonary artery has increased.", "The pulmonary trunk is dilated."),
        "Increase in the diameter of the main pulmonary artery.",
    ),
    "scoliosis": (
        "bones",
        (
            "Scoliosis is observed in the thoracic vertebral column.",
            "There is scoliosis of the thoracic spine.",
        ),
        "Thoracic scoliosis.",
    ),
    "elevated right hemidiaphragm": (
        "abdomen",
        ("The right hemidiaphragm is elevated.", "Elevation of the right diaphragm is observed."),
        "Elevation of the right hemidiaphragm.",
    ),
}

PRESENT: dict[str, tuple[str, ...]] = {
    "Medical material": (
        "A {nature} is observed in the {site}.",
        "There is a {nature} in the {site}.",
    ),
    "Arterial wall calcification": (
        "{degree} calcified atheroma plaques are observed in the wall of the {sites}.",
        "{degree} atherosclerotic wall calcifications are present in the {sites}.",
        "There are {degree} calcific plaques in the arterial wall of the {sites}.",
    ),
    "Cardiomegaly": (
        "Heart size has increased, the cardiothoracic ratio is {ratio}.",
        "{degree} cardiomegaly is observed with a cardiothoracic ratio of {ratio}.",
        "The heart is larger than normal, with {degree} cardiomegaly.",
    ),
    "Pericardial effusion": (
        "Pericardial effusion measuring {size} in its thickest part is observed.",
        "There is a {degree} pericardial effusion with a thickness of {size}.",
    ),
    "Coronary artery wall calcification": (
        "{degree} calcifications are observed in the wall of the {sites} coronary artery.",
        "There are {degree} coronary artery calcifications in the {sites} territory.",
        "Calcific plaques of {degree} extent are present in the coronary arteries, {sites}.",
    ),
    "Hiatal hernia": (
        "A {nature} hiatal hernia of {size} is observed.",
        "There is a {degree} hiatal hernia, {nature}, measuring {size}.",
    ),
    "Lymphadenopathy": (
        "Enlarged lymph nodes are observed in the {sites} station, the largest with a short axis of {size}.",
        "There are pathologically enlarged {sites} lymph nodes, short axis up to {size}.",
        "Lymphadenopathy is present in the {sites} region, measuring {size} in short diameter.",
    ),
    "Emphysema": (
        "{degree} {nature} emphysema is observed in {site}.",
        "{degree} emphysematous changes, {nature} in type, are present in {site}.",
        "There are {nature} emphysematous areas of {degree} extent in {site}.",
    ),
    "Atelectasis": (
        "{nature} atelectasis is observed in the {sites}.",
        "There is {nature} atelectasis of {size} in the {sites}.",
        "Atelectatic changes of {nature} type are present in the {sites}.",
    ),
    "Lung nodule": (
        "{count} {nature} {nodules} observed in the {sites}, measuring {size}.",
        "In the {sites}, {count} {nature} {nodules} seen, {largest} {size} in diameter.",
    ),
    "Lung opacity": (
        "Ground-glass opacities are observed in the {sites}, the largest measuring {size}.",
        "There are {degree} ground-glass density increases in the {sites}.",
        "Areas of ground-glass opacity up to {size} are present in the {sites}.",
    ),
    "Pulmonary fibrotic sequela": (
        "Pleuroparenchymal sequela changes and fibrotic bands are observed in the {sites}.",
        "{degree} fibrotic sequela changes are present in the {sites}.",
        "There are linear fibrotic densities consistent with sequelae in the {sites}.",
    ),
    "Pleural effusion": (
        "A {degree} pleural effusion is seen on the {side_phrase}, measuring {size} in its thickest part.",
        "There is {degree} {side_adjective} pleural effusion with a thickness of {size}.",
        "Pleural effusion reaching {size} is present on the {side_phrase}.",
    ),
    "Mosaic attenuation pattern": (
        "A {degree} mosaic attenuation pattern is observed in {site}.",
        "Mosaic attenuation of {degree} extent is present in {site}.",
    ),
    "Peribronchial thickening": (
        "{degree} peribronchial thickening is observed in the {site} bronchi of both lungs.",
        "There is {degree} bilateral {site} peribronchial wall thickening.",
    ),
    "Consolidation": (
        "Consolidation is observed in the {sites}, measuring {size}.",
        "There are {degree} areas of consolidation with air bronchograms in the {sites}, up to {size}.",
        "Consolidated parenchyma of {size} is present in the {sites}.",
    ),
    "Bronchiectasis": (
        "{nature} bronchiectasis is observed in the {sites}.",
        "There are {degree} bronchiectatic changes, {nature} in type, in the {sites}.",
        "Bronchiectasis of {nature} type is present in the {sites}.",
    ),
    "Interlobular septal thickening": (
        "{degree} interlobular septal thickening is observed in {site}.",
        "There is {degree} thickening of the interlobular septa in {site}.",
    ),
}

ABSENT: dict[str, tuple[str, ...]] = {
    "Medical material": ("No medical material was observed.", "No catheter or implanted device is seen."),
    "Arterial wall calcification": (
        "No calcification was detected in the arterial walls.",
        "No atherosclerotic wall calcification is seen in the aorta.",
    ),
    "Cardiomegaly": (
        "Heart contour and size are normal.",
        "No cardiomegaly was detected.",
        "Heart size is natural.",
    ),
    "Pericardial effusion": (
        "Pericardial effusion was not detected.",
        "No pericardial effusion or thickening was observed.",
    ),
    "Coronary artery wall calcification": (
        "No coronary artery calcification was detected.",
        "Calcification was not observed in the coronary arteries.",
    ),
    "Hiatal hernia": ("No hiatal hernia was detected.", "Hiatal hernia was not observed."),
    "Lymphadenopathy": (
        "No enlarged lymph nodes in pathological dimensions were detected.",
        "No lymphadenopathy was observed in the mediastinum, hila or axillae.",
        "No lymph node was detected in mediastinal and hilar pathological size.",
    ),
    "Emphysema": ("No emphysema was detected.", "Emphysematous changes were not observed."),
    "Atelectasis": ("No atelectasis was detected.", "Atelectasis was not observed."),
    "Lung nodule": (
        "No nodule was detected in either lung.",
        "No nodular lesion is seen in the lung parenchyma.",
        "No mass or nodule was observed in both lungs.",
    ),
    "Lung opacity": (
        "No ground-glass opacity was detected.",
        "No infiltrative opacity is seen in the lung parenchyma.",
    ),
    "Pulmonary fibrotic sequela": ("No fibrotic sequela was detected.", "Sequela changes were not observed."),
    "Pleural effusion": (
        "No pleural effusion was detected.",
        "Pleural effusion or thickening was not observed.",
        "No pleural effusion on either side.",
    ),
    "Mosaic attenuation pattern": (
        "No mosaic attenuation pattern was detected.",
        "Mosaic attenuation was not observed.",
    ),
    "Peribronchial thickening": (
        "No peribronchial thickening was detected.",
        "Peribronchial thickening was not observed.",
    ),
    "Consolidation": (
        "No consolidation was detected.",
        "Consolidation was not observed in the lung parenchyma.",
    ),
    "Bronchiectasis": ("No bronchiectasis was detected.", "Bronchiectasis was not observed."),
    "Interlobular septal thickening": (
        "No interlobular septal thickening was detected.",
        "Interlobular septal thickening was not observed.",
    ),
}

SUMMARY: dict[str, tuple[str, ...]] = {
    "Medical material": ("{nature}.",),
    "Arterial wall calcification": (
        "{degree} aortic wall calcification.",
        "Atherosclerotic changes, {degree}.",
    ),
    "Cardiomegaly": ("Cardiomegaly.", "{degree} cardiomegaly."),
    "Pericardial effusion": ("{degree} pericardial effusion.", "Pericardial effusion of {size}."),
    "Coronary artery wall calcification": ("{degree} coronary artery calcification.",),
    "Hiatal hernia": ("Hiatal hernia.", "{degree} hiatal hernia."),
    "Lymphadenopathy": ("Lymphadenopathy, {sites}.", "Enlarged lymph nodes, {sites}, up to {size}."),
    "Emphysema": ("{degree} emphysema in {site}.", "Emphysema, {nature}."),
    "Atelectasis": ("Atelectasis in the {sites}.", "{nature} atelectasis, {sites}."),
    "Lung nodule": ("{nature} {nodule_noun} in the {sites}.", "{nodule_noun} up to {size}, {sites}."),
    "Lung opacity": ("Ground-glass opacities in the {sites}.", "{degree} ground-glass opacities, {sites}."),
    "Pulmonary fibrotic sequela": ("Fibrotic sequela changes in the {sites}.",),
    "Pleural effusion": (
        "{side_adjective} pleural effusion, {degree}.",
        "{degree} pleural effusion on the {side_phrase}.",
    ),
    "Mosaic attenuation pattern": ("Mosaic attenuation pattern in {site}.",),
    "Peribronchial thickening": ("{degree} peribronchial thickening.",),
    "Consolidation": ("Consolidation in the {sites}.", "{degree} consolidation, {sites}."),
    "Bronchiectasis": ("Bronchiectasis in the {sites}.", "{nature} bronchiectasis, {sites}."),
    "Interlobular septal thickening": ("Interlobular septal thickening in {site}.",),
}

_COUNTS = {1: "a single", 2: "two", 3: "three"}


def measure(size_mm: float) -> str:
    """A length as radiologists write it: millimetres below 3 cm, else centimetres."""
    if size_mm < 30:
        return f"{round(size_mm)} mm"
    return f"{size_mm / 10:.1f} cm"


def _listed(words: tuple[str, ...]) -> str:
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} and {words[-1]}"


def words_for(finding: Finding, rng: np.random.Generator) -> dict[str, str]:
    """What the sentences of a finding may name: degree, size, sites, side, number and nature."""
    count = len(finding.lesions)
    both = finding.side == "bilateral"
    return {
        "degree": str(finding.degree),
        "size": measure(finding.size_mm),
        "ratio": f"{finding.size_mm / 100:.2f}",
        "site": finding.lesions[0].site,
        "sites": _listed(finding.sites),
        "nature": finding.lesions[0].nature,
        "side_phrase": "both sides" if both else finding.side,
        "side_adjective": str(finding.side),
        "count": _COUNTS.get(count, "several" if rng.random() < 0.5 else "multiple"),
        "nodules": "nodule is" if count == 1 else "nodules are",
        "largest": "measuring" if count == 1 else "the largest",
        "nodule_noun": "nodule" if count == 1 else "nodules",
    }
