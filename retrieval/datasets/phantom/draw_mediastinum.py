"""How findings of heart, vessels and mediastinum look on CT, and what medicine leaves behind."""

from collections.abc import Callable

import numpy as np

from retrieval.datasets.phantom.anatomy import Anatomy
from retrieval.datasets.phantom.body import Chest, aorta_path
from retrieval.datasets.phantom.canvas import Floats, Point, Segments, floats
from retrieval.datasets.phantom.draw_lungs import random_tilt
from retrieval.datasets.phantom.findings import Finding, Lesion

METAL_HU = 3071.0  # the top of the 12-bit scale
_PLAQUE_HU = 750.0


def draw_hernia(chest: Chest, finding: Finding) -> None:
    """A part of the stomach behind the heart: a wall, its contents, a bubble of gas on top."""
    lesion = finding.lesions[0]
    z, x, y = lesion.centre_mm
    half = lesion.size_mm / 2
    chest.canvas.ellipsoid(lesion.centre_mm, (half, 0.9 * half, 0.62 * half), 38.0)
    chest.canvas.ellipsoid((z, x, y - 0.12 * half), (0.62 * half, 0.55 * half, 0.30 * half), -800.0)


def draw_nodes(chest: Chest, finding: Finding) -> None:
    """Enlarged nodes: ovals whose short axis is the one that is reported."""
    for lesion in finding.lesions:
        short = lesion.size_mm / 2
        rng = np.random.default_rng(lesion.seed)
        radii = (short * 1.35, short * rng.uniform(1.0, 1.25), short)
        chest.canvas.ellipsoid(lesion.centre_mm, radii, 45.0, tilt=random_tilt(lesion.seed, 0.15))


def draw_plaques(chest: Chest, finding: Finding) -> None:
    """Calcium in the aortic wall: curved plates on the outside of the lumen."""
    _, path = aorta_path(chest.anatomy)
    radius = np.linspace(0.45, 0.33, len(path)) * chest.anatomy.ascending_aorta
    for lesion in finding.lesions:
        rng = np.random.default_rng(lesion.seed)
        centre = floats(lesion.centre_mm)
        step = int(np.argmin(np.linalg.norm(path - centre, axis=1)))
        along = path[min(step + 1, len(path) - 1)] - path[max(step - 1, 0)]
        outward = np.cross(along, rng.normal(0, 1, 3))
        outward /= max(np.linalg.norm(outward), 1e-6)
        axes = np.stack(
            [outward, along / np.linalg.norm(along), np.cross(outward, along / np.linalg.norm(along))]
        )
        spot = centre + radius[step] * outward
        half = lesion.size_mm / 2
        chest.canvas.ellipsoid(
            (float(spot[0]), float(spot[1]), float(spot[2])),
            (2.6, half, 0.8 * half),
            _PLAQUE_HU,
            tilt=floats(axes),
        )


def coronary_path(anatomy: Anatomy, name: str) -> Floats:
    """Course of a coronary artery over the surface of the heart, (N, 3) in mm."""
    rz, rx, ry = anatomy.heart_radii
    courses = {  # (up, left, back) as shares of the heart's half-axes
        "left anterior descending": [
            (0.72, 0.15, -0.62),
            (0.45, 0.35, -0.80),
            (0.10, 0.52, -0.78),
            (-0.25, 0.66, -0.60),
        ],
        "circumflex": [(0.62, 0.30, -0.45), (0.45, 0.66, 0.05), (0.15, 0.72, 0.50), (-0.15, 0.50, 0.75)],
        "right coronary": [
            (0.66, -0.22, -0.62),
            (0.35, -0.62, -0.68),
            (-0.10, -0.80, -0.45),
            (-0.50, -0.62, 0.05),
        ],
    }
    unit = np.array(courses[name])
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    lean, left, lie = unit.T * np.array([[rz], [rx], [ry]])
    back = lie - 0.18 * left
    up = lean - 0.30 * left + 0.15 * back  # undoes the heart's lean, see body.draw_heart
    centre = np.array(anatomy.heart_centre)
    return floats(centre + np.stack([up, left, back], 1))


def draw_coronaries(chest: Chest, finding: Finding) -> None:
    """Calcium along the coronary arteries, as short dense stretches."""
    for lesion in finding.lesions:
        rng = np.random.default_rng(lesion.seed)
        path = coronary_path(chest.anatomy, lesion.site)
        left = lesion.size_mm
        for start in np.sort(rng.uniform(0.0, 2.4, 4)):
            stretch = min(left, lesion.size_mm / 3)
            step = int(start)
            begin = path[step] + (start - step) * (path[step + 1] - path[step])
            ahead = path[step + 1] - path[step]
            end = begin + ahead / np.linalg.norm(ahead) * stretch
            chest.canvas.tubes(Segments.along(floats([begin, end]), 2.8), _PLAQUE_HU)
            left -= stretch
            if left <= 0:
                break


def _vein_path(anatomy: Anatomy) -> list[Point]:
    """From the right jugular vein through the superior vena cava to the right atrium."""
    cz, hz = anatomy.carina[0], anatomy.heart_centre[0]
    return [
        (anatomy.top + 40, -30.0, -10.0),
        (anatomy.top - 10, -26.0, -9.0),
        (cz + 40, -22.0, -6.0),
        (hz + 26, -22.0, -6.0),
    ]


def _skin_depth(anatomy: Anatomy) -> float:
    """Y of the fat in front of the pectoral muscles, mm."""
    return -(anatomy.half_depth + 0.9 * anatomy.muscle - 6)


def _draw_port(chest: Chest, _lesion: Lesion) -> None:
    anatomy = chest.anatomy
    port: Point = (0.26 * anatomy.height, -0.60 * anatomy.half_width, _skin_depth(anatomy) + 4)
    chest.canvas.ellipsoid(port, (13, 13, 6), 2200.0)
    chest.canvas.tubes(
        Segments.along([port, (anatomy.top + 5, -44.0, -30.0), *_vein_path(anatomy)[1:]], 1.4), 1800.0
    )


def _draw_catheter(chest: Chest, _lesion: Lesion) -> None:
    chest.canvas.tubes(Segments.along(_vein_path(chest.anatomy), 1.5), 1500.0)


def _draw_pacemaker(chest: Chest, _lesion: Lesion) -> None:
    anatomy = chest.anatomy
    box: Point = (0.28 * anatomy.height, 0.62 * anatomy.half_width, _skin_depth(anatomy) + 4)
    chest.canvas.ellipsoid(box, (24, 21, 6), METAL_HU)
    hz, hx, hy = anatomy.heart_centre
    entry: Point = (anatomy.top - 6, 20.0, -20.0)
    cava = _vein_path(anatomy)[2:]
    apex: Point = (hz - 0.4 * anatomy.heart_radii[0], hx + 0.45 * anatomy.heart_radii[1], hy - 12)
    for tip in (apex, (hz + 4, -18.0, hy - 14)):
        chest.canvas.tubes(Segments.along([box, entry, *cava, tip], 1.2), 2600.0)


def _draw_wires(chest: Chest, _lesion: Lesion) -> None:
    anatomy = chest.anatomy
    for height in np.linspace(0.05, 0.33, 6) * anatomy.height:
        _, deep, middle = anatomy.widths(floats([height]))
        front = float(middle[0] - deep[0] - 7)
        turn = np.linspace(0, 2 * np.pi, 13)
        loop = np.stack([np.full(13, height), 13 * np.cos(turn), front + 8 * np.sin(turn)], 1)
        chest.canvas.tubes(Segments.along(floats(loop), 0.7), METAL_HU)


_DEVICES: dict[str, Callable[[Chest, Lesion], None]] = {
    "port catheter": _draw_port,
    "central venous catheter": _draw_catheter,
    "cardiac pacemaker": _draw_pacemaker,
    "median sternotomy wires": _draw_wires,
}


def draw_material(chest: Chest, finding: Finding) -> None:
    """Ports, catheters, pacemakers, wires."""
    for lesion in finding.lesions:
        _DEVICES[lesion.nature](chest, lesion)


# In the order in which they cover each other.
STROKES: dict[str, Callable[[Chest, Finding], None]] = {
    "Hiatal hernia": draw_hernia,
    "Lymphadenopathy": draw_nodes,
    "Arterial wall calcification": draw_plaques,
    "Coronary artery wall calcification": draw_coronaries,
    "Medical material": draw_material,
}
