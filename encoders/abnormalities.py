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

ALIASES: Mapping[str, tuple[str, ...]] = {
    "Medical material": (
        "medical device",
        "medical hardware",
        "foreign material",
        "implant",
        "pacemaker",
        "catheter",
        "central venous catheter",
        "port catheter",
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
        "atherosclerotic plaque",
        "calcified plaque",
    ),
    "Cardiomegaly": ("enlarged heart", "heart enlargement", "cardiac enlargement", "increased heart size"),
    "Pericardial effusion": ("pericardial fluid", "fluid in the pericardium"),
    "Coronary artery wall calcification": (
        "coronary calcification",
        "coronary artery calcification",
        "coronary atherosclerosis",
        "coronary plaque",
        "CAC",
    ),
    "Hiatal hernia": ("hiatus hernia", "sliding hernia", "diaphragmatic hiatal hernia"),
    "Lymphadenopathy": (
        "adenopathy",
        "LAP",
        "enlarged lymph node",
        "pathological lymph node",
        "lymph node enlargement",
        "lymphadenomegaly",
    ),
    "Emphysema": (
        "emphysematous change",
        "centrilobular emphysema",
        "paraseptal emphysema",
        "bulla",
        "bullae",
    ),
    "Atelectasis": (
        "atelectatic change",
        "collapse",
        "lung collapse",
        "linear atelectasis",
        "subsegmental atelectasis",
    ),
    "Lung nodule": ("nodule", "pulmonary nodule", "nodular lesion", "solitary pulmonary nodule", "SPN"),
    "Lung opacity": (
        "opacity",
        "pulmonary opacity",
        "infiltrate",
        "infiltration",
        "ground glass opacity",
        "ground glass",
        "GGO",
        "ground glass density",
    ),
    "Pulmonary fibrotic sequela": (
        "fibrosis",
        "pulmonary fibrosis",
        "fibrotic sequela",
        "fibrotic sequelae",
        "fibrotic change",
        "sequela change",
        "scarring",
        "fibrotic band",
        "parenchymal band",
    ),
    "Pleural effusion": ("pleural fluid", "fluid in the pleura", "hydrothorax"),
    "Mosaic attenuation pattern": (
        "mosaic attenuation",
        "mosaic perfusion",
        "mosaic pattern",
        "air trapping",
    ),
    "Peribronchial thickening": (
        "bronchial wall thickening",
        "peribronchial wall thickening",
        "bronchial thickening",
        "peribronchial cuffing",
    ),
    "Consolidation": ("consolidative opacity", "airspace consolidation", "consolidated area"),
    "Bronchiectasis": (
        "bronchiectatic change",
        "bronchial dilatation",
        "dilated bronchi",
        "traction bronchiectasis",
    ),
    "Interlobular septal thickening": (
        "septal thickening",
        "interlobular thickening",
        "thickened interlobular septa",
        "Kerley lines",
    ),
}
"""Further names of each finding, in the singular and unhyphenated; no name stands for two findings."""

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
    "Medical material": ("medical device", "medical hardware", "foreign material", "pacemaker", "catheter"),
    "Arterial wall calcification": (
        "arterial calcification",
        "aortic calcification",
        "aortic wall calcification",
        "vascular calcification",
        "atherosclerosis",
        "atherosclerotic calcification",
    ),
    "Cardiomegaly": ("enlarged heart", "cardiac enlargement", "heart enlargement"),
    "Pericardial effusion": ("pericardial fluid",),
    "Coronary artery wall calcification": (
        "coronary calcification",
        "coronary artery calcification",
        "coronary wall calcification",
        "CAC",
    ),
    "Hiatal hernia": ("hiatus hernia",),
    "Lymphadenopathy": ("adenopathy", "enlarged lymph node", "lymph node enlargement"),
    "Emphysema": ("emphysematous change", "emphysematous"),
    "Atelectasis": ("atelectatic change", "atelectatic"),
    "Lung nodule": ("nodule", "pulmonary nodule"),
    "Lung opacity": (
        "opacity",
        "pulmonary opacity",
        "ground glass",
        "ground glass opacity",
        "GGO",
        "infiltrate",
    ),
    "Pulmonary fibrotic sequela": (
        "fibrotic sequela",
        "fibrotic sequelae",
        "fibrotic change",
        "fibrosis",
        "lung fibrosis",
        "pulmonary fibrosis",
    ),
    "Pleural effusion": ("pleural fluid", "hydrothorax"),
    "Mosaic attenuation pattern": ("mosaic attenuation", "mosaic perfusion"),
    "Peribronchial thickening": ("bronchial wall thickening", "peribronchial cuffing"),
    "Consolidation": ("airspace consolidation",),
    "Bronchiectasis": ("bronchiectatic change", "bronchiectatic"),
    "Interlobular septal thickening": ("septal thickening", "interlobular thickening"),
}
"""What else each finding is called; a name stands for one finding only."""
