"""What knowing nothing of a scan gets: one constant answer to every question, or another patient's report."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from chat.answers_file import Answered
from chat.backends import Mode
from encoders.errors import DatasetError

ALL_NORMAL = (
    "The trachea and the main bronchi are patent and of normal caliber. The heart is of normal size and "
    "shape. The thoracic aorta, its branches and the pulmonary arteries are of normal caliber, and no "
    "calcification of their walls or of the coronary arteries is seen. There is no pericardial effusion "
    "or thickening. The esophagus is of normal caliber and its wall is not thickened. There is no hiatal "
    "hernia. No lymph nodes of pathological size are seen in the mediastinum, the hila, the "
    "supraclavicular fossae or the axillae. Both lungs are normally aerated. No nodule, mass, "
    "consolidation, ground-glass opacity or infiltrate is detected in the parenchyma of either lung. "
    "There is no emphysema, atelectasis, bronchiectasis or fibrotic change. The bronchial walls and the "
    "interlobular septa are not thickened. There is no pleural effusion, pleural thickening or "
    "pneumothorax. In the upper abdominal sections the liver, gallbladder, spleen, pancreas, both adrenal "
    "glands and both kidneys are normal and no mass is seen. The vertebral bodies are of normal height "
    "and alignment, and no lytic or destructive lesion is seen in the bones. Impression: chest CT within "
    "normal limits."
)
"""A normal chest CT; a site whose reports are worded otherwise gives its own."""

_IN_SENTENCES: tuple[Mode, ...] = ("long_answer", "report_generation")


def read_normal_report(path: Path) -> str:
    """Read a report of one's own in which all is normal.

    Raises:
        DatasetError: it cannot be read, or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as text in UTF-8: give a file with one report") from error
    if not text:
        raise DatasetError(f"{path} is empty: give a file with one report")
    return text


def constant_answer(answers: Sequence[Answered], normal: str = ALL_NORMAL) -> str:
    """Return the floor's answer to every question of a task: all is normal, or the commonest reference.

    Args:
        answers: of one task; answers in a word are best guessed by what is most often right.
        normal: the report in which nothing is found.
    """
    if answers[0].task in _IN_SENTENCES:
        return normal
    counted = Counter(_constant_of(one) for one in answers)
    return min(counted, key=lambda answer: (-counted[answer], answer))


def floor_answers(answers: Sequence[Answered], normal: str = ALL_NORMAL) -> tuple[Answered, ...]:
    """Return the same questions of one task, each answered by the floor."""
    constant = constant_answer(answers, normal)
    return tuple(replace(one, answer=constant) for one in answers)


def anothers_answers(answers: Sequence[Answered]) -> tuple[Answered, ...]:
    """Return the same questions, each answered by the reference of another patient; none where there is one.

    Whoever writes so writes as the reports do and knows nothing of the scan.
    """
    ordered = sorted(range(len(answers)), key=lambda place: (answers[place].patient, place))
    most = max(Counter(one.patient for one in answers).values())
    if 2 * most > len(answers):
        return ()
    given = {ordered[at]: ordered[(at + most) % len(ordered)] for at in range(len(ordered))}
    return tuple(replace(one, answer=answers[given[place]].reference) for place, one in enumerate(answers))


def _constant_of(answered: Answered) -> str:
    text = answered.reference.strip()
    return text[:3] if answered.task == "multiple_choice" and text.startswith("(") else text
