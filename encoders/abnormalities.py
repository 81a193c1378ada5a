"""The 18 findings of CT-RATE: their order, the names people use for them, the prompts that ask for them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PromptPair:
    """Two sentences, `{}` standing for the finding (arXiv 2403.17834, zero-shot detection)."""

    present: str
    absent: str


ABNORMALITIES: tuple[str, ...] = (
    "Medical material",
    "Arterial wall calcification",
    "Cardiomegaly",
    "Pericardial effusion",
    "Coronary artery wall calcification",
    "Hiatal hernia",
    "Lymphadenopathy",
    "Emphysema",
    "Atelectasis",
    "Lung nodule",
    "Lung opacity",
    "Pulmonary fibrotic sequela",
    "Pleural effusion",
    "Mosaic attenuation pattern",
    "Peribronchial thickening",
    "Consolidation",
    "Bronchiectasis",
    "Interlobular septal thickening",
)

PROMPTS: dict[str, PromptPair] = {
    "is present": PromptPair("{} is present.", "{} is not present."),
    "name": PromptPair("{}.", "No {}."),
    "compatible": PromptPair("Findings are compatible with {}.", "Findings are not compatible with {}."),
    "there is": PromptPair("There is {}.", "There is no {}."),
    "is seen": PromptPair("{} is seen.", "{} is not seen."),
    "not": PromptPair("{}.", "Not {}."),
    "is observed": PromptPair("{} is observed.", "{} is not observed."),
}
DEFAULT_PROMPT = "is present"

ALIASES: dict[str, tuple[str, ...]] = {
    "Medical material": (
        "medical device",
        "medical hardware",
        "foreign material",
        "pacemaker",
        "catheter",
        "chest tube",
        "endotracheal tube",
        "nasogastric tube",
        "tracheostomy",
        "stent",
        "sternotomy wire",
        "surgical clip",
        "prosthesis",
    ),
    "Arterial wall calcification": (
        "arterial calcification",
        "aortic calcification",
        "aortic wall calcification",
        "vascular calcification",
        "atherosclerosis",
        "atherosclerotic calcification",
        "atherosclerotic plaque",
    ),
    "Cardiomegaly": ("enlarged heart", "cardiac enlargement", "heart enlargement", "increased heart size"),
    "Pericardial effusion": ("pericardial fluid",),
    "Coronary artery wall calcification": (
        "coronary calcification",
        "coronary artery calcification",
        "coronary wall calcification",
        "coronary atherosclerosis",
        "coronary plaque",
        "CAC",
    ),
    "Hiatal hernia": ("hiatus hernia", "sliding hernia"),
    "Lymphadenopathy": (
        "adenopathy",
        "LAP",
        "lymphadenomegaly",
        "enlarged lymph node",
        "pathological lymph node",
        "lymph node enlargement",
    ),
    "Emphysema": ("emphysematous change", "emphysematous", "bulla", "bullae"),
    "Atelectasis": ("atelectatic change", "atelectatic", "lung collapse"),
    "Lung nodule": ("nodule", "pulmonary nodule", "SPN"),
    "Lung opacity": (
        "opacity",
        "pulmonary opacity",
        "ground glass",
        "ground glass opacity",
        "ground glass density",
        "GGO",
        "infiltrate",
    ),
    "Pulmonary fibrotic sequela": (
        "fibrotic sequela",
        "fibrotic sequelae",
        "fibrotic change",
        "fibrotic band",
        "parenchymal band",
        "fibrosis",
        "lung fibrosis",
        "pulmonary fibrosis",
        "sequela change",
        "scarring",
    ),
    "Pleural effusion": ("pleural fluid", "hydrothorax"),
    "Mosaic attenuation pattern": (
        "mosaic attenuation",
        "mosaic perfusion",
        "mosaic pattern",
        "air trapping",
    ),
    "Peribronchial thickening": (
        "bronchial wall thickening",
        "bronchial thickening",
        "peribronchial wall thickening",
        "peribronchial cuffing",
    ),
    "Consolidation": ("airspace consolidation", "consolidative opacity"),
    "Bronchiectasis": ("bronchiectatic change", "bronchiectatic", "bronchial dilatation"),
    "Interlobular septal thickening": (
        "septal thickening",
        "interlobular thickening",
        "thickened interlobular septa",
        "Kerley line",
    ),
}
"""What else each finding is called; a name stands for one finding only."""
