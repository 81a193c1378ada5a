"""The chest of one phantom: its measures, and where its lungs, lobes, heart and vessels lie (mm; z, x, y)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from retrieval.cases import Sex
from retrieval.datasets.phantom.canvas import Floats, Point, floats

Side = Literal["right", "left"]
Lobe = Literal["upper", "middle", "lower"]

_ROUNDNESS = 2.4  # exponent of the superellipses that chest sections follow


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """Measures of a chest; all lengths in mm. Ranges and their sources: docs/phantom.md.

    Attributes:
        height: of the lungs, apex to posterior sulcus.
        half_width: of the rib cage's inside, at its widest.
        half_depth: the same, front to back.
        dome: height of the right diaphragm above the posterior sulcus.
        dome_drop: how much lower the left diaphragm stands.
        fat: subcutaneous fat; muscle: chest wall within it.
        heart_ratio: transverse heart over the inside of the rib cage (cardiothoracic ratio).
        ascending_aorta, pulmonary_trunk: diameters.
        scoliosis: sideways shift of the spine at its bend.
        liver_hu, lung_hu, blood_hu: attenuation.
        seed: what else is random in it: vessels, airways, texture.
    """

    sex: Sex
    height: float
    half_width: float
    half_depth: float
    dome: float
    dome_drop: float
    fat: float
    muscle: float
    heart_ratio: float
    ascending_aorta: float
    pulmonary_trunk: float
    scoliosis: float
    liver_hu: float
    lung_hu: float
    bone_hu: float
    blood_hu: float
    seed: int

    @property
    def bottom(self) -> float:
        """Z of the posterior sulcus, the lowest lung."""
        return -self.height / 2

    @property
    def top(self) -> float:
        """Z of the lung apex."""
        return self.height / 2

    @property
    def carina(self) -> Point:
        """Where the trachea divides."""
        return (0.15 * self.height, 3.0, 8.0)

    def hilum(self, side: Side) -> Point:
        """Where vessels and bronchi enter a lung."""
        sign = 1 if side == "left" else -1
        return (self.carina[0] - (18 if side == "right" else 10), sign * 32.0, 8.0)

    @property
    def heart_radii(self) -> Point:
        """Half-axes of the heart along (z, x, y)."""
        half = self.heart_ratio * self.half_width
        return (0.80 * half, half, 0.74 * half)

    @property
    def heart_centre(self) -> Point:
        """Middle of the heart: two thirds of it lie left of the midline."""
        rz, rx, ry = self.heart_radii
        floor = self.bottom + 0.72 * self.dome
        return (floor + 0.88 * rz, 0.30 * rx, min(-0.18 * self.half_depth, 0.80 * self.half_depth - 30 - ry))

    @property
    def spine_y(self) -> float:
        """Y of the middle of the vertebral bodies."""
        return self.half_depth - 30

    def spine_x(self, z: Floats) -> Floats:
        """X of the middle of the vertebral bodies at a height."""
        return floats(self.scoliosis * np.cos(np.pi * z / self.height).astype(np.float32))

    def widths(self, z: Floats) -> tuple[Floats, Floats, Floats]:
        """Inside of the rib cage at a height: half-width, half-depth, and y of its middle."""
        t = np.clip((z - self.bottom) / self.height, -0.4, 0.995)
        up = np.clip((t - 0.35) / 0.65, 0, 1)
        narrowing = np.maximum(1 - up**2.6, 1e-3) ** 0.4545
        low = 1 - 0.05 * np.clip((0.35 - t) / 0.35, 0, 2) ** 2
        wide = self.half_width * np.where(t > 0.35, narrowing, low)
        deep = self.half_depth * np.where(t > 0.35, narrowing**0.9, low)
        return wide, deep, 12.0 * up**2

    def cavity_depth(self, z: Floats, x: Floats, y: Floats) -> Floats:
        """Distance inside the pleura, mm, positive inside; the arrays broadcast against each other."""
        wide, deep, middle = self.widths(z)
        wide, deep = np.maximum(wide, 6), np.maximum(deep, 6)
        across = (np.abs(x) / wide) ** _ROUNDNESS
        along = (np.abs(y - middle) / deep) ** _ROUNDNESS
        scale = np.minimum(wide, deep) / _ROUNDNESS
        return (scale - scale * across) - scale * along

    def mediastinum_half_width(self, z: Floats, y: Floats) -> Floats:
        """Half the distance between the lungs, mm."""
        t = (z - self.bottom) / self.height
        hilar = np.exp(-(((z - self.carina[0] + 8) / 28) ** 2))
        middle = np.exp(-(((y - 4) / 42) ** 2))
        inlet = 12 * np.clip((t - 0.72) / 0.2, 0, 1)
        return floats(9 + (15 + 7 * hilar) * middle + inlet)

    def diaphragm(self, x: Floats, y: Floats) -> Floats:
        """Z of the upper surface of the diaphragm."""
        right = self._dome(x + 0.46 * self.half_width, y, self.dome)
        left = self._dome(x - 0.50 * self.half_width, y, self.dome - self.dome_drop)
        middle = np.clip(1 - (np.abs(x) / 45) ** 4, 0, 1) * np.clip(1 - ((y + 15) / 60) ** 4, 0, 1)
        return self.bottom + np.maximum(np.maximum(right, left), middle * 0.72 * self.dome)

    def _dome(self, x: Floats, y: Floats, height: float) -> Floats:
        square = (x / (0.60 * self.half_width)) ** 2 + ((y + 6) / (1.02 * self.half_depth)) ** 2
        return height * np.clip(1 - square**1.15, 0, 1)

    def lung_depth(self, points_N3: Floats) -> Floats:
        """Distance of points inside the nearest lung surface, mm; positive in a lung and off the heart."""
        z, x, y = np.asarray(points_N3, dtype=np.float32).T
        pleura = self.cavity_depth(z, x, y)
        medial = np.abs(x) - self.mediastinum_half_width(z, y)
        centre, radii = self.heart_centre, self.heart_radii
        square = sum(((a - c) / r) ** 2 for a, c, r in zip((z, x, y), centre, radii, strict=True))
        heart = (np.sqrt(square) - 1) * min(radii) - 6
        spine = np.hypot(x - self.spine_x(z), y - self.spine_y) - 24
        above = z - self.diaphragm(x, y)
        return floats(np.minimum.reduce([pleura, medial, heart, spine, above]))

    def lobe(self, points_N3: Floats) -> tuple[np.ndarray, np.ndarray]:
        """Which lung ("right", "left") and which lobe ("upper", "middle", "lower") points lie in.

        The oblique fissures run from high behind to low in front; the right lung's horizontal one parts upper
        from middle lobe (F. H. Netter, Atlas of Human Anatomy, lungs).
        """
        z, x, y = np.asarray(points_N3, dtype=np.float32).T
        t = (z - self.bottom) / self.height
        below = t < 0.46 + 0.26 * y / self.half_depth
        side = np.where(x < 0, "right", "left")
        middle = (x < 0) & (t < 0.50)
        return side, np.where(below, "lower", np.where(middle, "middle", "upper"))

    def places(self, rng: np.random.Generator, count: int, *, margin_mm: float) -> Floats:
        """Random points (count, 3) inside the lungs, at least `margin_mm` from their surface."""
        found: list[Floats] = []
        total = 0
        for _ in range(200):
            unit = rng.uniform(-1, 1, (4 * count, 3)).astype(np.float32)
            tries = unit * floats([self.height / 2, self.half_width, self.half_depth])
            kept = tries[self.lung_depth(tries) > margin_mm]
            found.append(kept)
            total += len(kept)
            if total >= count:
                break
        points = np.concatenate(found)
        if not len(points):
            return np.tile(floats([[*self.hilum("right")]]), (count, 1))
        return points[np.arange(count) % len(points)]


def draw_anatomy(rng: np.random.Generator, sex: Sex, age: float) -> Anatomy:
    """A healthy chest of the given sex and age; findings change it later (`dataclasses.replace`)."""
    tall = rng.normal(0, 1)
    female = sex == "F"

    def around(man: float, woman: float, spread: float, share: float = 0.0) -> float:
        noise = share * tall + (1 - share**2) ** 0.5 * rng.normal(0, 1)
        return float((woman if female else man) + spread * np.clip(noise, -2, 2))

    return Anatomy(
        sex=sex,
        height=around(252, 226, 8, 0.7),
        half_width=around(134, 122, 4, 0.6),
        half_depth=around(92, 84, 4, 0.3),
        dome=around(64, 60, 3),
        dome_drop=float(rng.uniform(6, 16)),
        fat=float(np.clip(rng.gamma(8, 2.4 if female else 2.0), 6, 36)),
        muscle=around(24, 20, 3),
        heart_ratio=float(np.clip(rng.normal(0.43, 0.022), 0.38, 0.475)),
        ascending_aorta=float(np.clip(28 + 0.16 * (age - 40) + rng.normal(0, 1.5), 23, 39)),
        pulmonary_trunk=float(np.clip(rng.normal(25, 1.5), 21, 28.5)),
        scoliosis=float(rng.normal(0, 1.5)),
        liver_hu=float(rng.normal(58, 3)),
        lung_hu=float(rng.uniform(-875, -835)),
        bone_hu=float(np.clip(430 - 4.4 * (age - 30) + rng.normal(0, 15), 110, 480)),
        blood_hu=float(rng.normal(40, 3)),
        seed=int(rng.integers(2**31)),
    )
