"""What is wrong with a phantom: which of the 18 abnormalities, where, how large and of what kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encoders.abnormalities import ABNORMALITIES
from retrieval.datasets.phantom.canvas import Point

Degree = Literal["mild", "moderate", "severe"]
Where = Literal["right", "left", "bilateral", "midline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """One thing to draw.

    Attributes:
        site: where it is, in the report's words: "right upper lobe", "subcarinal", "aortic arch".
        side: of the body.
        centre_mm: (z, x, y).
        size_mm: the measure that the report names, after the finding's convention (docs/phantom.md).
        nature: its kind, in the report's words: "solid", "port catheter".
        seed: what else is random in its shape.
    """

    site: str
    side: Where
    centre_mm: Point
    size_mm: float
    nature: str = ""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One abnormality that is present: how much of it, and its lesions, largest first."""

    abnormality: str
    degree: Degree
    lesions: tuple[Lesion, ...]

    @property
    def side(self) -> Where:
        """The side that all lesions share, or bilateral."""
        sides = {lesion.side for lesion in self.lesions}
        return next(iter(sides)) if len(sides) == 1 else "bilateral"

    @property
    def sites(self) -> tuple[str, ...]:
        """Where its lesions are, each place once, largest lesion first."""
        return tuple(dict.fromkeys(lesion.site for lesion in self.lesions))

    @property
    def size_mm(self) -> float:
        """The largest lesion's measure."""
        return self.lesions[0].size_mm


@dataclass(frozen=True, slots=True)
class Tendency:
    """How often a finding occurs and what it goes with.

    Attributes:
        prevalence: share of scans that have it.
        age, failure, infection, airways: how strongly it follows each of the four tendencies of a patient,
            as loadings of a one-threshold factor model; their squares sum to less than 1.
        lasting: how much of the rest stays from one scan of a patient to the next (1: all).
    """

    prevalence: float
    age: float = 0.0
    failure: float = 0.0
    infection: float = 0.0
    airways: float = 0.0
    lasting: float = 0.97


# Round numbers near CT-RATE's: how often each finding occurs there, and which go together.
TENDENCIES: Mapping[str, Tendency] = {
    "Medical material": Tendency(0.10, age=0.40, failure=0.60),
    "Arterial wall calcification": Tendency(0.28, age=0.97, failure=0.10),
    "Cardiomegaly": Tendency(0.12, age=0.45, failure=0.78),
    "Pericardial effusion": Tendency(0.07, age=0.15, failure=0.88, lasting=0.5),
    "Coronary artery wall calcification": Tendency(0.25, age=0.97, failure=0.10),
    "Hiatal hernia": Tendency(0.14, age=0.60),
    "Lymphadenopathy": Tendency(0.25, age=0.20, failure=0.35, infection=0.72, lasting=0.8),
    "Emphysema": Tendency(0.19, age=0.40, airways=0.80),
    "Atelectasis": Tendency(0.23, age=0.30, failure=0.80, lasting=0.5),
    "Lung nodule": Tendency(0.42, infection=0.72, airways=0.20, lasting=0.85),
    "Lung opacity": Tendency(0.36, failure=0.18, infection=0.93, lasting=0.4),
    "Pulmonary fibrotic sequela": Tendency(0.26, age=0.38, airways=0.75),
    "Pleural effusion": Tendency(0.13, age=0.20, failure=0.93, infection=0.10, lasting=0.5),
    "Mosaic attenuation pattern": Tendency(0.08, age=0.20, airways=0.75, failure=0.25, lasting=0.7),
    "Peribronchial thickening": Tendency(0.12, age=0.10, airways=0.92, infection=0.10),
    "Consolidation": Tendency(0.19, failure=0.15, infection=0.93, lasting=0.4),
    "Bronchiectasis": Tendency(0.12, airways=0.90),
    "Interlobular septal thickening": Tendency(0.09, age=0.10, failure=0.88, infection=0.20, lasting=0.5),
}

_PASSING = {"failure": 0.6, "infection": 0.3}  # how much of these tendencies stays between scans
_TENDENCY_NAMES = ("age", "failure", "infection", "airways")


@dataclass(frozen=True)
class Disposition:
    """What a patient tends to: standard normal values, four for the tendencies and one a finding."""

    tendencies: NDArray[np.float64]
    own: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Disposition":
        """A random patient's."""
        return cls(rng.standard_normal(len(_TENDENCY_NAMES)), rng.standard_normal(len(ABNORMALITIES)))

    @property
    def age_years(self) -> float:
        """Age that goes with the tendency: 57 ± 16 years, 18 to 90."""
        return float(np.clip(np.rint(57 + 16 * self.tendencies[0]), 18, 90))

    def present_on(self, day: "Disposition") -> dict[str, bool]:
        """Which findings one scan shows.

        Args:
            day: what is particular to the day of the scan.
        """
        stays = np.array([_PASSING.get(name, 1.0) for name in _TENDENCY_NAMES])
        factors = stays * self.tendencies + np.sqrt(1 - stays**2) * day.tendencies
        present = {}
        for number, name in enumerate(ABNORMALITIES):
            tendency = TENDENCIES[name]
            loadings = np.array([getattr(tendency, factor) for factor in _TENDENCY_NAMES])
            lasting = tendency.lasting
            rest = lasting * self.own[number] + (1 - lasting**2) ** 0.5 * day.own[number]
            value = loadings @ factors + (1 - loadings @ loadings) ** 0.5 * rest
            present[name] = bool(value > NormalDist().inv_cdf(1 - tendency.prevalence))
        return present
