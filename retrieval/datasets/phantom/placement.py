"""Where findings are, how large and of what kind, within what radiology calls typical (docs/phantom.md)."""

from collections.abc import Callable

import numpy as np

from retrieval.datasets.phantom.anatomy import Anatomy, Side
from retrieval.datasets.phantom.body import aorta_path
from retrieval.datasets.phantom.canvas import Point
from retrieval.datasets.phantom.findings import Degree, Finding, Lesion, Where

Placer = Callable[[Anatomy, np.random.Generator, float], tuple[Degree, list[Lesion]]]

_LOBES = (("right", "upper"), ("right", "middle"), ("right", "lower"), ("left", "upper"), ("left", "lower"))


def place(abnormality: str, anatomy: Anatomy, rng: np.random.Generator, growth: float = 1.0) -> Finding:
    """Choose the lesions of one abnormality.

    Args:
        abnormality: a name of `ABNORMALITIES`.
        anatomy: the chest they lie in.
        rng: the same state gives the same lesions.
        growth: factor on the sizes that change between the scans of a patient.
    """
    degree, lesions = _PLACERS[abnormality](anatomy, rng, growth)
    ordered = tuple(sorted(lesions, key=lambda lesion: -lesion.size_mm))
    return Finding(abnormality=abnormality, degree=degree, lesions=ordered)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _degree(share: float) -> Degree:
    return "mild" if share < 0.4 else "moderate" if share < 0.75 else "severe"


def _within(value: float, low: float, high: float) -> float:
    return float(min(max(value, low), high))


def _sides(rng: np.random.Generator, both: float) -> list[Side]:
    if rng.random() < both:
        return ["right", "left"]
    return ["right"] if rng.random() < 0.5 else ["left"]


def _point(values: "np.ndarray") -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))


def _lobe_names(side: str, lobe: str) -> str:
    return f"{side} {lobe} lobe"


def _in_lobes(
    anatomy: Anatomy,
    rng: np.random.Generator,
    lobes: list[tuple[str, str]],
    margin_mm: float,
    prefer: Callable[["np.ndarray"], "np.ndarray"] | None = None,
) -> list[Lesion]:
    """One lesion in each lobe named, at least `margin_mm` inside; the most preferred of a few places."""
    points = anatomy.places(rng, 240, margin_mm=margin_mm)
    sides, names = anatomy.lobe(points)
    found = []
    for side, lobe in lobes:
        mine = points[(sides == side) & (names == lobe)]
        if not len(mine):
            mine = points[sides == side]
        choice = mine[rng.integers(len(mine), size=6)]
        best = choice[0] if prefer is None else choice[np.argmax(prefer(choice))]
        # the name follows the place, which is not in the wished lobe where a small lobe had no room
        where, name = anatomy.lobe(best[None])
        found.append(
            Lesion(
                site=_lobe_names(str(where[0]), str(name[0])),
                side="right" if where[0] == "right" else "left",
                centre_mm=_point(best),
                size_mm=0.0,
                seed=_seed(rng),
            )
        )
    return found


def _sized(lesion: Lesion, size_mm: float, nature: str = "") -> Lesion:
    return Lesion(
        site=lesion.site,
        side=lesion.side,
        centre_mm=lesion.centre_mm,
        size_mm=round(size_mm, 1),
        nature=nature,
        seed=lesion.seed,
    )


def _some_lobes(rng: np.random.Generator, count: int, weights: list[float]) -> list[tuple[str, str]]:
    chance = np.array(weights) / sum(weights)
    return [_LOBES[i] for i in rng.choice(len(_LOBES), size=count, replace=False, p=chance)]


def _nodules(anatomy: Anatomy, rng: np.random.Generator, growth: float) -> tuple[Degree, list[Lesion]]:
    count = int(rng.choice([1, 3, 5, 8], p=[0.3, 0.25, 0.25, 0.2]))
    nature = str(rng.choice(["solid", "ground-glass", "calcified"], p=[0.68, 0.17, 0.15]))
    largest = _within(np.exp(rng.normal(np.log(20), 0.25)) * growth, 8.0, 29.0)
    lobes = [_LOBES[i] for i in rng.choice(len(_LOBES), size=count, p=[0.26, 0.12, 0.24, 0.2, 0.18])]
    lesions = _in_lobes(anatomy, rng, lobes, margin_mm=3 + largest / 2)
    sizes = [largest] + [_within(largest * rng.uniform(0.6, 1.0), 6.0, 29.0) for _ in lesions[1:]]
    return _degree(largest / 28), [_sized(a, s, nature) for a, s in zip(lesions, sizes, strict=True)]


def _patches(low_mm: float, high_mm: float) -> Placer:
    """Rounded patches in one to four lobes, most of them peripheral: ground glass or consolidation."""

    def placer(anatomy: Anatomy, rng: np.random.Generator, growth: float) -> tuple[Degree, list[Lesion]]:
        count = int(rng.choice([1, 2, 3, 4], p=[0.2, 0.27, 0.28, 0.25]))
        lobes = _some_lobes(rng, count, [0.2, 0.1, 0.28, 0.17, 0.25])
        peripheral = _in_lobes(anatomy, rng, lobes, margin_mm=8.0, prefer=lambda p: -anatomy.lung_depth(p))
        sizes = [_within(rng.uniform(low_mm, high_mm) * growth, low_mm, high_mm) for _ in lobes]
        share = sum(sizes) / (2.5 * high_mm)
        return _degree(share), [_sized(a, s) for a, s in zip(peripheral, sizes, strict=True)]

    return placer


def _atelectasis(anatomy: Anatomy, rng: np.random.Generator, growth: float) -> tuple[Degree, list[Lesion]]:
    count = int(rng.choice([1, 2], p=[0.6, 0.4]))
    lobes = _some_lobes(rng, count, [0.06, 0.24, 0.3, 0.15, 0.25])
    lesions = _in_lobes(anatomy, rng, lobes, margin_mm=12.0, prefer=lambda p: -p[:, 0])
    nature = str(rng.choice(["linear", "plate-like", "subsegmental"], p=[0.4, 0.3, 0.3]))
    sizes = [_within(rng.uniform(45, 75) * growth, 35.0, 85.0) for _ in lesions]
    return _degree(sum(sizes) / 140), [_sized(a, s, nature) for a, s in zip(lesions, sizes, strict=True)]


def _effusion(anatomy: Anatomy, rng: np.random.Generator, growth: float) -> tuple[Degree, list[Lesion]]:
    lesions = []
    for side in _sides(rng, both=0.45):
        thick = _within(np.exp(rng.normal(np.log(22), 0.5)) * growth, 8.0, 60.0)
        sign = 1.0 if side == "left" else -1.0
        centre = (anatomy.bottom + 30, sign * 0.5 * anatomy.half_width, 0.8 * anatomy.half_depth)
        lesions.append(
            Lesion(site=f"{side} pleural space", side=side, centre_mm=centre, size_mm=round(thick, 1))
        )
    largest = max(lesion.size_mm for lesion in lesions)
    return ("mild" if largest < 20 else "moderate" if largest < 40 else "severe"), lesions


def _diffuse(sites: tuple[str, ...], chances: tuple[float, ...]) -> Placer:
    """A pattern over both lungs or a zone of them; its measure is the share of lung involved, percent."""

    def placer(_anatomy: Anatomy, rng: np.random.Generator, _growth: float) -> tuple[Degree, list[Lesion]]:
        share = float(rng.uniform(0.25, 1.0))
        site = str(rng.choice(sites, p=chances))
        lesion = Lesion(
            site=site,
            side="bilateral",
            centre_mm=(0.0, 0.0, 0.0),
            size_mm=round(100 * share),
            nature="centrilobular" if rng.random() < 0.7 else "paraseptal",
            seed=_seed(rng),
        )
        return _degree(share), [lesion]

    return placer


def _sequela(anatomy: Anatomy, rng: np.random.Generator, _growth: float) -> tuple[Degree, list[Lesion]]:
    lesions = []
    for side in _sides(rng, both=0.5):
        sign = 1.0 if side == "left" else -1.0
        apex = (anatomy.top - 28.0, sign * 0.33 * anatomy.half_width, 12.0)
        lesions.append(
            Lesion(
                site=f"{side} lung apex",
                side=side,
                centre_mm=apex,
                size_mm=round(float(rng.uniform(22, 50)), 1),
                nature="pleuroparenchymal",
                seed=_seed(rng),
            )
        )
    return _degree(max(a.size_mm for a in lesions) / 50), lesions


def _bronchial(anatomy: Anatomy, rng: np.random.Generator, _growth: float) -> tuple[Degree, list[Lesion]]:
    wall = float(rng.uniform(2.0, 3.6))
    lesion = Lesion(
        site=str(rng.choice(["central", "lower lobe"], p=[0.65, 0.35])),
        side="bilateral",
        centre_mm=anatomy.carina,
        size_mm=round(wall, 1),
        seed=_seed(rng),
    )
    return _degree((wall - 2.0) / 1.6), [lesion]


def _bronchiectasis(
    anatomy: Anatomy, rng: np.random.Generator, _growth: float
) -> tuple[Degree, list[Lesion]]:
    lobes = _some_lobes(rng, int(rng.choice([1, 2], p=[0.55, 0.45])), [0.15, 0.2, 0.28, 0.12, 0.25])
    lesions = _in_lobes(anatomy, rng, lobes, margin_mm=16.0)
    nature = str(rng.choice(["cylindrical", "cystic", "varicose"], p=[0.65, 0.2, 0.15]))
    sizes = [float(rng.uniform(7, 14)) for _ in lesions]
    return _degree((max(sizes) - 6) / 8), [_sized(a, s, nature) for a, s in zip(lesions, sizes, strict=True)]


def _cardiomegaly(anatomy: Anatomy, rng: np.random.Generator, _growth: float) -> tuple[Degree, list[Lesion]]:
    ratio = float(rng.uniform(0.53, 0.64))
    lesion = Lesion(site="heart", side="midline", centre_mm=anatomy.heart_centre, size_mm=round(100 * ratio))
    return _degree((ratio - 0.51) / 0.13), [lesion]


def _pericardial(anatomy: Anatomy, rng: np.random.Generator, growth: float) -> tuple[Degree, list[Lesion]]:
    thick = _within(np.exp(rng.normal(np.log(11), 0.4)) * growth, 5.0, 28.0)
    lesion = Lesion(
        site="pericardium", side="midline", centre_mm=anatomy.heart_centre, size_mm=round(thick, 1)
    )
    return ("mild" if thick < 10 else "moderate" if thick < 20 else "severe"), [lesion]


def _hernia(anatomy: Anatomy, rng: np.random.Generator, _growth: float) -> tuple[Degree, list[Lesion]]:
    size = float(rng.uniform(32, 75))
    back = min(anatomy.spine_y - 18, 34.0)
    centre = (anatomy.bottom + 0.72 * anatomy.dome + 0.45 * size, 12.0, back - 0.15 * size)
    nature = "sliding type" if size < 50 or rng.random() < 0.5 else "mixed type"
    lesion = Lesion(
        site="retrocardiac", side="midline", centre_mm=centre, size_mm=round(size, 1), nature=nature
    )
    return _degree((size - 27) / 48), [lesion]


def _stations(anatomy: Anatomy) -> dict[str, tuple[Where, Point]]:
    """Lymph node stations (IASLC map, Rusch et al., J Thorac Oncol 2009) in this chest."""
    cz, cx, cy = anatomy.carina
    right, left = anatomy.hilum("right"), anatomy.hilum("left")
    return {
        "right lower paratracheal": ("right", (cz + 14, -18.0, 4.0)),
        "left lower paratracheal": ("left", (cz + 8, 19.0, 10.0)),
        "prevascular": ("midline", (cz + 10, 8.0, -38.0)),
        "aortopulmonary": ("left", (cz + 4, 27.0, -8.0)),
        "subcarinal": ("midline", (cz - 20, cx, cy + 6)),
        "right hilar": ("right", (right[0] - 6, right[1] - 12, right[2])),
        "left hilar": ("left", (left[0] - 6, left[1] + 12, left[2])),
        "right axillary": ("right", (0.30 * anatomy.height, -(anatomy.half_width - 2), -2.0)),
        "left axillary": ("left", (0.30 * anatomy.height, anatomy.half_width - 2, -2.0)),
    }


def _nodes(anatomy: Anatomy, rng: np.random.Generator, growth: float) -> tuple[Degree, list[Lesion]]:
    stations = _stations(anatomy)
    count = int(rng.choice([1, 2, 4], p=[0.25, 0.35, 0.4]))
    chances = [0.2, 0.1, 0.13, 0.1, 0.17, 0.1, 0.1, 0.05, 0.05]
    lesions = []
    for name in rng.choice(list(stations), size=count, replace=False, p=chances):
        side, centre = stations[str(name)]
        short = _within(np.exp(rng.normal(np.log(22), 0.2)) * growth, 12.0, 32.0)
        lesions.append(
            Lesion(site=str(name), side=side, centre_mm=centre, size_mm=round(short, 1), seed=_seed(rng))
        )
    return _degree((max(a.size_mm for a in lesions) - 10) / 20), lesions


def _plaques(anatomy: Anatomy, rng: np.random.Generator, _growth: float) -> tuple[Degree, list[Lesion]]:
    share = float(rng.uniform(0.3, 1.0))
    _, path = aorta_path(anatomy)
    lesions = []
    for _ in range(4 + round(22 * share)):
        step = int(rng.integers(len(path) - 1))
        part = rng.random()
        centre = path[step] * (1 - part) + path[step + 1] * part
        site = "aortic arch" if step < 4 else "descending aorta"
        size = float(rng.uniform(10, 20))
        lesions.append(
            Lesion(
                site=site, side="midline", centre_mm=_point(centre), size_mm=round(size, 1), seed=_seed(rng)
            )
        )
    return _degree(share), lesions


def _coronaries(anatomy: Anatomy, rng: np.random.Generator, _growth: float) -> tuple[Degree, list[Lesion]]:
    share = float(rng.uniform(0.3, 1.0))
    vessels = ("left anterior descending", "circumflex", "right coronary")
    count = 1 + (share > 0.35) + (share > 0.7)
    chosen = rng.choice(vessels, size=count, replace=False, p=[0.6, 0.15, 0.25])
    lesions = [
        Lesion(
            site=str(name),
            side="midline" if name == "right coronary" else "left",
            centre_mm=anatomy.heart_centre,
            size_mm=round(float(20 + 45 * share * rng.uniform(0.7, 1.0)), 1),
            seed=_seed(rng),
        )
        for name in chosen
    ]
    return _degree(share), lesions


def _material(anatomy: Anatomy, rng: np.random.Generator, _growth: float) -> tuple[Degree, list[Lesion]]:
    devices: dict[str, tuple[str, Where]] = {
        "port catheter": ("right chest wall", "right"),
        "central venous catheter": ("superior vena cava", "right"),
        "cardiac pacemaker": ("left chest wall", "left"),
        "median sternotomy wires": ("sternum", "midline"),
    }
    nature = str(rng.choice(list(devices), p=[0.3, 0.2, 0.22, 0.28]))
    site, side = devices[nature]
    lesion = Lesion(
        site=site, side=side, centre_mm=anatomy.carina, size_mm=0.0, nature=nature, seed=_seed(rng)
    )
    return "mild", [lesion]


_PLACERS: dict[str, Placer] = {
    "Medical material": _material,
    "Arterial wall calcification": _plaques,
    "Cardiomegaly": _cardiomegaly,
    "Pericardial effusion": _pericardial,
    "Coronary artery wall calcification": _coronaries,
    "Hiatal hernia": _hernia,
    "Lymphadenopathy": _nodes,
    "Emphysema": _diffuse(("both upper lobes", "both lungs"), (0.75, 0.25)),
    "Atelectasis": _atelectasis,
    "Lung nodule": _nodules,
    "Lung opacity": _patches(50.0, 110.0),
    "Pulmonary fibrotic sequela": _sequela,
    "Pleural effusion": _effusion,
    "Mosaic attenuation pattern": _diffuse(("both lungs", "both lower lobes"), (0.7, 0.3)),
    "Peribronchial thickening": _bronchial,
    "Consolidation": _patches(45.0, 95.0),
    "Bronchiectasis": _bronchiectasis,
    "Interlobular septal thickening": _diffuse(("both lower lobes", "both lungs"), (0.6, 0.4)),
}
