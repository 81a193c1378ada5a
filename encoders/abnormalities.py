"""The 18 findings of CT-RATE: their order, the names people use for them, and the prompts that ask for them."""

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
