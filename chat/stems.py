"""Words as stems that can be compared: one for a word, its plural, and all that say the same."""

from collections.abc import Callable
from functools import cache

from encoders.plain_words import plain_words
from encoders.statements import stem
from encoders.word_families import FAMILIES

Stems = frozenset[str]

_SAME = {
    form: word
    for word, forms in (
        ("cancer", "ca carcinoma carcinomas cancers"),
        ("loss", "lost lose loses losing losses"),
        ("infiltration", "infiltrative infiltrating"),
        ("obstruction", "obstructive"),
        ("occlusion", "occlusive"),
        ("diverticulum", "diverticulosis"),
    )
    for form in forms.split()
}
"""What is one word here, beside adverbs: "pathologically" is read as "pathological"."""

_SAID_ALIKE = tuple(
    tuple(family.split())
    for family in (
        "infection infectious infective",
        "atrophy atrophic",
        "malignancy malignant",
        "inflammation inflammatory",
        "necrosis necrotic",
        "drain drainage",
        "hemorrhage hemorrhagic",
        "granuloma granulomatous",
        "tuberculosis tuberculous",
        "cirrhosis cirrhotic",
        "hypertension hypertensive",
        "degeneration degenerative",
        "lobulation lobulated",
        "fibrosis fibrotic",
        "mucus mucous mucoid",
        "operation operated surgery surgical postoperative",
        "normal natural unremarkable",
        "space distance",
        "old prior",
    )
)
"""Further families, of questions and quoted sentences alone; search has those of `encoders.word_families`."""


def canonical(text: str) -> tuple[str, ...]:
    """Return the stems of a text in order, the first of its family for each: "hepatic" is "liver"."""
    return tuple(map(canonical_stem, plain_words(text)))


def word_stem(word: str) -> str:
    """Return the stem of a plain word, its plural's too: "kidneys" is "kidney"."""
    one = _SAME.get(word, word)
    if one.endswith("ically"):
        one = one[:-2]
    if one.endswith("ies") and len(one) > 4:
        return stem(one[:-3] + "y")
    plural = one.endswith("s") and len(one) > 3 and not one.endswith(("ss", "us", "is"))
    return stem(one[:-1] if plural else one)


def first_of_family(one: str) -> str:
    """Return the stem that stands for all that say the same."""
    return families_of_stems().get(one, (one,))[0]


def canonical_stem(word: str) -> str:
    """Return the stem that stands for a plain word and all that say the same."""
    return first_of_family(word_stem(word))


def wording_stems(wording: str, stem_of: Callable[[str], str]) -> tuple[Stems, Stems]:
    """Return the stems of a wording, and of the words that bar it."""
    pieces = wording.split()
    named = plain_words(" ".join(piece for piece in pieces if piece[0] != "-"))
    barred = plain_words(" ".join(piece[1:] for piece in pieces if piece[0] == "-"))
    return frozenset(map(stem_of, named)), frozenset(map(stem_of, barred))


@cache
def families_of_stems() -> dict[str, tuple[str, ...]]:
    """Return, for each stem that has kin, all of them, the one that stands for them first."""
    return {
        member: members
        for family in (*FAMILIES, *_SAID_ALIKE)
        for members in (tuple(dict.fromkeys(word_stem(word) for one in family for word in plain_words(one))),)
        for member in members
    }
