"""Where in the lungs a sentence places a finding: the words as written, and the lobes they name.

Only what is told without doubt is returned: a sentence whose words of place do not form one clear account of
lobes has no lobes here, and one that names other organs between them has no place at all.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

LOBES = (
    "right upper lobe",
    "right middle lobe",
    "right lower lobe",
    "left upper lobe",
    "left lower lobe",
)

_TOKEN = re.compile(r"[a-z]+|\d+(?:[.,x]\d+)*|[^\w\s]", re.IGNORECASE)
_SIDE = {"right": "R", "left": "L", "both": "B", "bilateral": "B"}
_PART = {"upper": "upper", "middle": "middle", "lower": "lower", "mid": "middle"}
_WHOLE = frozenset({"lung", "lungs"})
_LOBE = frozenset({"lobe", "lobes"})
_LINGULA = frozenset({"lingula", "lingular"})
_JOINT = frozenset({"the", "of", "and", "in", "at", "on", ",", "&", "-", "to", "or"})
_SPOT = frozenset(  # parts of a lung or lobe
    re.findall(
        r"\w+", "segment segments apex apices apexes base bases fissure fissures zone zones hemithorax"
    )
)
_WHICH = frozenset(  # which part: they belong to a place and are none
    re.findall(
        r"\w+",
        """
        superior inferior anterior posterior medial lateral apical basal basilar apicoposterior anterobasal
        laterobasal posterobasal mediobasal posterolateral anterolateral posteromedial anteromedial
        anteromediobasal subpleural peripheral central perihilar paracardiac paramediastinal interlobar major
        minor oblique horizontal pleural parenchyma
        """,
    )
)
_AWAY = frozenset(  # "adjacent to the fissure" is beside it, "than the left lung" elsewhere
    re.findall(
        r"\w+",
        """
        adjacent near neighboring neighbouring neighborhood towards toward extending extends than between
        except around vicinity beside next compared contralateral ipsilateral outside other previous
        previously operated lobectomy pneumonectomy resected resection
        """,
    )
)

_IS_PLACE = _WHOLE | _LOBE | _LINGULA | _SPOT
_BELONGS = _IS_PLACE | _SIDE.keys() | _PART.keys() | _WHICH | _JOINT


@dataclass(frozen=True, slots=True)
class Place:
    """Words of place, as written, and where in the sentence they stand (characters)."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Token:
    word: str
    start: int
    end: int

    @property
    def is_place(self) -> bool:
        return self.word in _IS_PLACE

    @property
    def belongs(self) -> bool:
        return self.word in _BELONGS


def places(sentence: str) -> tuple[Place, ...]:
    """Return the runs of words that name a lung, a lobe or a part of one.

    Args:
        sentence: one sentence of a report, as written.

    Returns:
        In the sentence's order; none where a word says that what is meant lies elsewhere.
    """
    tokens = [_Token(match[0].lower(), match.start(), match.end()) for match in _TOKEN.finditer(sentence)]
    if any(token.word in _AWAY for token in tokens):
        return ()
    return tuple(
        Place(sentence[run[0].start : run[-1].end], run[0].start, run[-1].end) for run in _runs(tokens)
    )


def lobes(place: str) -> frozenset[str] | None:
    """Return the lobes that words of place name; None where they do not name lobes alone, and clearly.

    "right lung upper and lower lobes", "the upper lobe and lower lobe of the right lung" and "both lower
    lobes" name two each; a segment lies in the lobe it is named with; the lingula is of the left upper lobe.
    """
    words = [match[0] for match in _TOKEN.finditer(place.lower()) if match[0] != "the"]
    reader = _LobeReader()
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if word in _SIDE:
            reader.take_side(_SIDE[word], belongs_to_last=before in ("of", "in") and after in _WHOLE)
        else:
            reader.take(word, goes_on=after == "of")
    return reader.finish()


def _runs(tokens: list[_Token]) -> Iterator[list[_Token]]:
    run: list[_Token] = []
    for token in [*tokens, _Token(".", 0, 0)]:
        if token.belongs:
            run.append(token)
            continue
        while run and run[0].word in _JOINT:
            run.pop(0)
        while run and run[-1].word in _JOINT:
            run.pop()
        if any(one.is_place for one in run) and any(one.word in _SIDE or one.word in _PART for one in run):
            yield run
        run = []


class _LobeReader:
    """Reads words of place from left to right; a side holds for the lobes after it until the next side."""

    def __init__(self) -> None:
        self._found: set[str] = set()
        self._parts: list[str] = []  # named, their lobe not yet
        self._open: list[str] = []  # lobes whose side was not named right before them
        self._side: str | None = None
        self._fresh = False  # a side was named that has no lobe yet
        self._unclear = False

    def take(self, word: str, *, goes_on: bool) -> None:
        """Read a word that is no side; one that goes on with "of" has its lobe after it."""
        if word in _PART:
            self._parts.append(_PART[word])
        elif word in _LOBE:
            self._take_lobes()
        elif word in _LINGULA:
            self._unclear |= self._side == "R" and self._fresh
            self._found.add("left upper lobe")
            self._parts.clear()
            self._fresh = False
        elif word in _SPOT and (self._parts or (self._fresh and not goes_on)):
            self._unclear = True  # "upper zone" is no lobe, "left apicoposterior segment" names none

    def take_side(self, side: str, *, belongs_to_last: bool) -> None:
        """Read a side; "of the right lung" belongs to the lobes before it that have none of their own."""
        known = bool(self._found or self._open)
        if belongs_to_last and known:
            for part in self._open:
                self._add(part, side)
            self._open.clear()
        else:
            self._unclear |= self._fresh
            self._settle()
        self._side, self._fresh = side, not (belongs_to_last and known)

    def finish(self) -> frozenset[str] | None:
        """Return the lobes, if every one has a side and every side a lobe."""
        self._settle()
        if self._parts or self._unclear or self._fresh or not self._found:
            return None
        return frozenset(self._found)

    def _take_lobes(self) -> None:
        self._unclear |= not self._parts
        for part in self._parts:
            if part == "middle":
                self._unclear |= self._side == "L" and self._fresh
                self._found.add("right middle lobe")
            elif self._fresh and self._side is not None:
                self._add(part, self._side)
            else:
                self._open.append(part)
        self._parts.clear()
        self._fresh = False

    def _settle(self) -> None:
        """Give open lobes the side named last; without one nobody knows."""
        self._unclear |= bool(self._open) and self._side is None
        for part in self._open:
            self._add(part, self._side or "")
        self._open.clear()

    def _add(self, part: str, side: str) -> None:
        for name, letter in (("right", "R"), ("left", "L")):
            if side in (letter, "B"):
                self._found.add(f"{name} {part} lobe")
