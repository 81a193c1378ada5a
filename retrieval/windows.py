"""Windows: which Hounsfield units are shown black and which white."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.errors import ConfigError

_WIDEST_HU = 20_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Width and level (its middle), both in Hounsfield units."""

    width_hu: float
    level_hu: float

    def __post_init__(self) -> None:
        if not 1 <= self.width_hu <= _WIDEST_HU or not abs(self.level_hu) <= _WIDEST_HU:
            raise ConfigError(
                f"a window of width {self.width_hu:g} and level {self.level_hu:g} shows nothing: "
                f"take a width from 1 to {_WIDEST_HU:g} HU and a level within ±{_WIDEST_HU:g} HU"
            )

    def __str__(self) -> str:
        return f"{self.width_hu:g}/{self.level_hu:g}"

    def grey(self, hu: NDArray[Any]) -> NDArray[np.uint8]:
        """Map HU to grey, 0 at the window's lower edge and below, 255 at its upper one and above."""
        lower = self.level_hu - self.width_hu / 2
        grey = (np.asarray(hu, np.float32) - np.float32(lower)) / np.float32(self.width_hu) * np.float32(255)
        grey_8bit: NDArray[np.uint8] = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
        return grey_8bit


LUNG = Window(width_hu=1500, level_hu=-600)
MEDIASTINUM = Window(width_hu=350, level_hu=50)
BONE = Window(width_hu=1800, level_hu=400)
PRESETS: Mapping[str, Window] = MappingProxyType({"lung": LUNG, "mediastinum": MEDIASTINUM, "bone": BONE})


def parse_window(text: str) -> Window:
    """Return the window that a preset's name or "WIDTH,LEVEL" in HU says.

    Raises:
        ConfigError: it is neither.
    """
    if text in PRESETS:
        return PRESETS[text]
    width, _, level = text.partition(",")
    try:
        width_hu, level_hu = float(width), float(level)
    except ValueError:
        width_hu = math.nan
    if math.isnan(width_hu):
        raise ConfigError(f"{text[:40]!r} is no window: take {', '.join(PRESETS)}, or WIDTH,LEVEL in HU")
    return Window(width_hu=width_hu, level_hu=level_hu)
