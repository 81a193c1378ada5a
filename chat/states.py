"""States that are told by their opposite: foramina that "are open" are not narrowed."""

from chat.sentence_reading import ReadSentence
from chat.stems import Stems, canonical

_ABNORMAL = frozenset(canonical("abnormal abnormality pathology"))
NORMAL = frozenset(canonical("normal natural unremarkable clear regular intact healthy"))
_OPPOSITES = {
    state: frozenset(canonical(opposites))
    for states, opposites in (
        ("narrowed obstructed blocked closed", "open patent preserved normal natural"),
        ("dilated enlarged thickened widened displaced deviated", "normal natural midline"),
        ("loss decreased reduced collapsed compression", "preserved normal natural"),
        ("abnormal abnormality pathology", "normal natural unremarkable"),
    )
    for state in canonical(states)
}
_WHAT_IS_WRONG = frozenset(
    canonical(
        "lesion mass cyst nodule nodular stone fracture calcification thickening dilated enlarged hypodense"
        " hyperdense degenerative steatosis metastasis heterogeneous atrophy"
    )
)


def denies_by_opposite(words: Stems, read: ReadSentence) -> bool:
    """Whether a sentence says of what is asked about that it is in the opposite state."""
    states = words & _OPPOSITES.keys()
    rest = words - states
    if not states or not rest or not rest <= read.affirmed or any(read.findings[:2]):
        return False
    return all(_OPPOSITES[state] & read.affirmed for state in states)


def says_what_is_wrong(words: Stems, read: ReadSentence) -> bool:
    """Whether a sentence affirms a lesion of what is asked to be abnormal."""
    rest = words - _ABNORMAL
    if rest == words or not rest or not rest <= read.affirmed:
        return False
    return bool(any(read.findings[:2]) or _WHAT_IS_WRONG & read.affirmed) and not NORMAL & read.affirmed
