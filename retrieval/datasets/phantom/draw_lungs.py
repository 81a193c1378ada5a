"""How findings of lungs and pleura look on CT (Fleischner Society glossary, Bankier et al. 2024)."""

from collections.abc import Callable

import numpy as np

from retrieval.datasets.phantom.anatomy import Side
from retrieval.datasets.phantom.body import SIDES, Chest
from retrieval.datasets.phantom.canvas import Floats, Point, Segments, Window, floats, inside, texture
from retrieval.datasets.phantom.findings import Finding, Lesion
from retrieval.datasets.phantom.vessels import lung_tree

Stroke = Callable[[Chest, Finding], None]

FLUID_HU = 12.0
_EVERYTHING: Window = (slice(None), slice(None), slice(None))


def random_tilt(seed: int, most: float = 1.0) -> Floats:
    """A random 3×3 rotation; `most` below 1 keeps the first axis nearer to the vertical."""
    rng = np.random.default_rng(seed)
    first = np.array([1.0, 0, 0]) + most * rng.normal(0, 1, 3)
    first /= np.linalg.norm(first)
    second = np.cross(first, rng.normal(0, 1, 3))
    second /= np.linalg.norm(second)
    return floats([first, second, np.cross(first, second)])


def _zone(chest: Chest, site: str) -> Floats:
    """Weight along z (D, 1, 1): 1 in the part of the lungs that is named, little elsewhere."""
    z = chest.frame.axes[0] / chest.anatomy.height
    if "upper" in site:
        return floats(np.clip(0.5 + 4.0 * (z - 0.02), 0.08, 1.0).astype(np.float32))
    if "lower" in site:
        return floats(np.clip(0.5 - 4.0 * (z + 0.02), 0.08, 1.0).astype(np.float32))
    return np.ones_like(z)


def draw_emphysema(chest: Chest, finding: Finding) -> None:
    """Holes without walls, mostly in the upper lobes; paraseptal ones lie along the pleura."""
    lesion = finding.lesions[0]
    share = lesion.size_mm / 100
    weight = _zone(chest, lesion.site) * (0.55 + 0.9 * share)
    if lesion.nature == "paraseptal":
        weight = weight * np.exp(-np.maximum(chest.depth_mm, 0) / 18) * 1.7
    field = texture(chest.frame, _EVERYTHING, seed=lesion.seed, cell_mm=9.0)
    holes = np.clip(3.0 * (field + weight * 1.5 - 1.35), 0, 1) * np.minimum(weight * 1.2, 1)
    chest.lung_canvas.blend(holes, -985.0)


def draw_mosaic(chest: Chest, finding: Finding) -> None:
    """Lobules of lower and higher attenuation side by side, with sharp borders."""
    lesion = finding.lesions[0]
    field = texture(chest.frame, _EVERYTHING, seed=lesion.seed, cell_mm=24.0)
    contrast = 110 + 90 * lesion.size_mm / 100
    step = np.clip(6.0 * field, -1, 1) * _zone(chest, lesion.site)
    chest.lung_canvas.hu[...] += contrast * step


def draw_septa(chest: Chest, finding: Finding) -> None:
    """A net of thin lines that outlines lobules, denser at the bases and the periphery."""
    lesion = finding.lesions[0]
    spacing = max(chest.frame.spacing_mm)
    width = max(1.6, 0.6 * spacing)
    opacity = (0.45 + 0.5 * lesion.size_mm / 100) * min(1.0, 3.2 / width)
    lines = np.zeros(chest.frame.shape, dtype=np.float32)
    for part in range(3):
        field = texture(chest.frame, _EVERYTHING, seed=lesion.seed + part, cell_mm=20.0)
        np.maximum(lines, np.clip(1 - np.abs(field) * (13.0 / width), 0, 1), out=lines)
    edge = np.exp(-np.maximum(chest.depth_mm, 0) / 38)
    chest.lung_canvas.blend(lines * _zone(chest, lesion.site) * edge * opacity, -180.0)


def _patch(chest: Chest, lesion: Lesion, *, roughness: float) -> tuple[Floats, Window]:
    """A patch with an irregular border, and the window it lies in."""
    radius = lesion.size_mm / 2
    window = chest.frame.around(lesion.centre_mm, 1.45 * radius)
    offsets = [a - np.float32(c) for a, c in zip(chest.frame.axes_in(window), lesion.centre_mm, strict=True)]
    distance = np.sqrt(sum((o / radius) ** 2 for o in offsets))
    field = texture(chest.frame, window, seed=lesion.seed, cell_mm=max(7.0, 0.28 * lesion.size_mm))
    sharp = min(6.0, radius / chest.frame.edge_mm * 1.5)
    return np.clip(0.5 + sharp * (1 - distance + roughness * field), 0, 1), window


def draw_ground_glass(chest: Chest, finding: Finding) -> None:
    """Hazy patches through which vessels still show."""
    for lesion in finding.lesions:
        patch, window = _patch(chest, lesion, roughness=0.22)
        mottle = texture(chest.frame, window, seed=lesion.seed + 1, cell_mm=6.0)
        chest.lung_canvas.blend(0.85 * patch, -530 + 45 * mottle, window)


def draw_consolidation(chest: Chest, finding: Finding) -> None:
    """Dense patches that hide the vessels; bronchi drawn later stay open in them (air bronchogram)."""
    for lesion in finding.lesions:
        patch, window = _patch(chest, lesion, roughness=0.30)
        chest.lung_canvas.blend(patch, 32.0, window)


def draw_nodules(chest: Chest, finding: Finding) -> None:
    """Rounded opacities up to 30 mm."""
    attenuation = {"solid": 35.0, "ground-glass": -560.0, "calcified": 420.0}
    for lesion in finding.lesions:
        radius = lesion.size_mm / 2
        radii = (radius, radius * 0.94, radius * 1.06)
        hu = attenuation[lesion.nature]
        chest.lung_canvas.ellipsoid(lesion.centre_mm, radii, hu)
        if lesion.nature == "solid" and lesion.size_mm > 12:
            _draw_spicules(chest, lesion)


def _draw_spicules(chest: Chest, lesion: Lesion) -> None:
    rng = np.random.default_rng(lesion.seed)
    directions = rng.normal(0, 1, (9, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    centre = np.array(lesion.centre_mm)
    for direction in directions:
        reach = lesion.size_mm * rng.uniform(0.6, 0.85)
        path = floats([centre + direction * 0.4 * lesion.size_mm, centre + direction * reach])
        chest.lung_canvas.tubes(Segments.along(path, 0.8, 0.3), 0.0)


def draw_atelectasis(chest: Chest, finding: Finding) -> None:
    """Bands and plates of airless lung, nearly horizontal."""
    thickness = {"linear": 4.0, "plate-like": 6.0, "subsegmental": 10.0}  # half of it, mm
    for lesion in finding.lesions:
        half = lesion.size_mm / 2
        thick = thickness[lesion.nature]
        across = 0.28 * half if lesion.nature == "linear" else 0.55 * half
        chest.lung_canvas.ellipsoid(
            lesion.centre_mm,
            (thick, half, across),
            25.0,
            opacity=0.95,
            tilt=random_tilt(lesion.seed, 0.30),
        )


def draw_sequela(chest: Chest, finding: Finding) -> None:
    """Bands that run from a thickened apical pleura into the lung."""
    frame = chest.frame
    for lesion in finding.lesions:
        rng = np.random.default_rng(lesion.seed)
        sign = 1.0 if lesion.side == "left" else -1.0
        top = chest.anatomy.top
        low = (top - 45, min(0.0, sign * 120), -80.0)
        window = frame.window(low, (top, max(0.0, sign * 120), 100.0))
        cap = inside(chest.depth_mm[window] - 2.5 - 0.08 * lesion.size_mm, frame.edge_mm)
        high = np.clip((frame.axes_in(window)[0] - (top - 34)) / 8, 0, 1)
        chest.lung_canvas.blend(0.9 * cap * high, 20.0, window)
        for _ in range(5 + int(lesion.size_mm / 6)):
            start = np.array(lesion.centre_mm) + rng.normal(0, [4, 12, 14]) + [16, 0, 0]
            end = (
                start
                + np.array([-1, 0.2 * sign, 0]) * lesion.size_mm * rng.uniform(0.5, 1)
                + rng.normal(0, 10, 3)
            )
            middle = (start + end) / 2 + rng.normal(0, 3, 3)
            path = floats([start, middle, end])
            chest.lung_canvas.tubes(Segments.along(path, 2.0, 0.9), 10.0)


def draw_peribronchial(chest: Chest, finding: Finding) -> None:
    """Thick walls around the bronchi of both lungs."""
    lesion = finding.lesions[0]
    for side in SIDES:
        tree = lung_tree(chest.anatomy, side)
        near = (tree.level >= 1) & (tree.level <= 5)
        if lesion.site == "lower lobe":
            near &= tree.airways.end[:, 0] < chest.anatomy.hilum(side)[0]
        airways = tree.airways.chosen(near)
        chest.lung_canvas.tubes(airways.widened(lesion.size_mm), 10.0)
        chest.lung_canvas.tubes(airways, -960.0)


def draw_bronchiectasis(chest: Chest, finding: Finding) -> None:
    """Widened bronchi with visible walls, in a bunch that points to the hilum."""
    for lesion in finding.lesions:
        rng = np.random.default_rng(lesion.seed)
        side: Side = "left" if lesion.side == "left" else "right"
        centre = np.array(lesion.centre_mm)
        inward = np.array(chest.anatomy.hilum(side)) - centre
        inward /= max(np.linalg.norm(inward), 1e-6)
        for _ in range(12):
            _draw_wide_bronchus(chest, lesion, centre + rng.normal(0, 13, 3), inward, rng)


def _draw_wide_bronchus(
    chest: Chest, lesion: Lesion, middle: "np.ndarray", inward: "np.ndarray", rng: np.random.Generator
) -> None:
    lumen = lesion.size_mm / 2 * rng.uniform(0.75, 1.0)
    if lesion.nature == "cystic":
        place: Point = (float(middle[0]), float(middle[1]), float(middle[2]))
        outer, inner = lumen * 1.25 + 1.4, lumen * 1.25
        chest.lung_canvas.ellipsoid(place, (outer, outer, outer), 0.0)
        chest.lung_canvas.ellipsoid(place, (inner, inner, inner), -980.0)
        return
    direction = inward + rng.normal(0, 0.25, 3)
    path = floats([middle + 14 * direction, middle + rng.normal(0, 1.5, 3), middle - 14 * direction])
    bronchus = Segments.along(path, lumen, 0.85 * lumen)
    chest.lung_canvas.tubes(bronchus.widened(1.5), 0.0)
    chest.lung_canvas.tubes(bronchus, -980.0)


def draw_effusion(chest: Chest, finding: Finding) -> None:
    """Fluid that layers behind the lung of a patient lying on the back, thickest at the base."""
    z, x, y = chest.frame.axes
    anatomy = chest.anatomy
    for lesion in finding.lesions:
        reach = np.clip(
            1.1 - 0.9 * (z - anatomy.bottom) / (anatomy.height * (0.45 + lesion.size_mm / 80)), 0, 1
        )
        hanging = np.clip((y + 0.35 * anatomy.half_depth) / (0.9 * anatomy.half_depth), 0, 1)
        layer = lesion.size_mm * reach * (hanging * hanging * (3 - 2 * hanging))
        covered = np.minimum(chest.depth_mm, 1.4 * np.maximum(chest.above_mm, 0) + 2)
        fluid = inside(covered - layer, chest.frame.edge_mm) * np.clip(layer / 2, 0, 1)
        half = x > 0 if lesion.side == "left" else x < 0
        chest.lung_canvas.blend(fluid * half, FLUID_HU)


# Drawn before the vessels, which show through them, and after the vessels.
UNDER_VESSELS: dict[str, Stroke] = {
    "Emphysema": draw_emphysema,
    "Mosaic attenuation pattern": draw_mosaic,
    "Lung opacity": draw_ground_glass,
    "Interlobular septal thickening": draw_septa,
    "Consolidation": draw_consolidation,
}
OVER_VESSELS: dict[str, Stroke] = {
    "Peribronchial thickening": draw_peribronchial,
    "Bronchiectasis": draw_bronchiectasis,
    "Pulmonary fibrotic sequela": draw_sequela,
    "Atelectasis": draw_atelectasis,
    "Lung nodule": draw_nodules,
    "Pleural effusion": draw_effusion,
}
