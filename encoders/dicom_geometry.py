"""Slices put in order along their normal, and what keeps them from being one volume."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from encoders.dicom_headers import Plane
from encoders.dicom_pixels import same_pixels
from encoders.errors import VolumeError

SAME_PLACE_MM = 0.01  # closer than this, two slices are one
GAP = 1.5  # a step this many times the usual one means that slices are missing
UNEVEN = 0.1  # steps may differ by this share of the usual one, for positions written with one decimal …
ROUNDING_MM = 0.11  # … and by this much
LIMIT_TILT_DEG = 3.0  # a shear of 1.6 cm over a chest of 30 cm; no chest protocol tilts the gantry on purpose
OFF_LINE_MM = 1.0
SAME_DIRECTION = 1e-3  # direction cosines as scanners round them


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Slices in order without duplicates; with problems they are no volume."""

    planes: tuple[Plane, ...]
    spacing_mm: tuple[float, float, float]  # (along a row, along a column, between slices)
    problems: tuple[str, ...]


def arrange(planes: Sequence[Plane]) -> Arrangement:
    """Sort slices by their position along the normal, drop copies, and find what does not fit.

    Two slices in one place with the same pixels are one slice; with other pixels they are a problem.
    The distance between slices comes from their positions, never from their thickness (DICOM PS3.3 C.7.6.2).
    """
    mixture = _mixture(planes)
    if mixture:
        return Arrangement(planes=tuple(planes), spacing_mm=(0.0, 0.0, 0.0), problems=(mixture,))
    normal = _normal(planes[0])
    at_mm = {plane: float(np.dot(plane.position_mm, normal)) for plane in planes}
    ordered = sorted(planes, key=lambda plane: (at_mm[plane], str(plane.path), plane.frame))
    kept, conflicts = _without_copies(ordered, at_mm)
    steps_mm = [at_mm[above] - at_mm[below] for below, above in pairwise(kept)]
    between_rows, between_columns = kept[0].pixel_mm
    return Arrangement(
        planes=tuple(kept),
        spacing_mm=(between_columns, between_rows, sum(steps_mm) / len(steps_mm) if steps_mm else 0.0),
        problems=(*conflicts, *_uneven(kept, at_mm, steps_mm), *_tilt(kept, normal)),
    )


def is_stack(planes: Sequence[Plane]) -> bool:
    """Tell whether any two slices are parallel and apart; scouts and bolus tracking show one place each."""
    places: dict[tuple[float, ...], set[float]] = defaultdict(set)
    for plane in planes:
        direction = tuple(round(value, 2) for value in plane.orientation)
        places[direction].add(round(float(np.dot(plane.position_mm, _normal(plane))), 1))
    # Directions that are none are left to be refused by name.
    return any(len(found) > 1 for found in places.values()) or not _is_orthonormal(planes[0].orientation)


def _mixture(planes: Sequence[Plane]) -> str | None:
    first = planes[0]
    if any(math.dist(plane.orientation, first.orientation) > SAME_DIRECTION for plane in planes):
        count = len({tuple(round(value, 2) for value in plane.orientation) for plane in planes})
        return f"mixes {max(count, 2)} orientations of slices"
    sizes = sorted({(plane.columns, plane.rows) for plane in planes})
    if len(sizes) > 1:
        return "mixes image sizes " + " and ".join(f"{columns}×{rows}" for columns, rows in sizes[:3])
    if any(not np.allclose(plane.pixel_mm, first.pixel_mm, rtol=1e-3) for plane in planes):
        return "mixes pixel spacings"
    if min(first.pixel_mm) <= 0:
        return "has a pixel spacing that is not positive"
    if not _is_orthonormal(first.orientation):
        return "has an orientation that is none"
    return None


def _is_orthonormal(orientation: tuple[float, ...]) -> bool:
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    products = (along_row @ along_row, along_column @ along_column, along_row @ along_column)
    return bool(np.allclose(products, (1, 1, 0), atol=0.01))


def _normal(plane: Plane) -> np.ndarray:
    return np.cross(plane.orientation[:3], plane.orientation[3:])


def _without_copies(ordered: Sequence[Plane], at_mm: dict[Plane, float]) -> tuple[list[Plane], list[str]]:
    kept: list[Plane] = []
    conflicts: list[str] = []
    for plane in ordered:
        if kept and at_mm[plane] - at_mm[kept[-1]] < SAME_PLACE_MM:
            if not _are_copies(kept[-1], plane):
                conflicts.append(f"has two different slices at {at_mm[plane]:.1f} mm")
        else:
            kept.append(plane)
    return kept, conflicts[:1]


def _are_copies(one: Plane, other: Plane) -> bool:
    try:
        return same_pixels(one, other)
    except VolumeError:  # a damaged slice is nobody's copy, and is named when it is decoded
        return False


def _uneven(kept: Sequence[Plane], at_mm: dict[Plane, float], steps_mm: Sequence[float]) -> Iterator[str]:
    usual_mm = float(np.median(steps_mm))
    gaps = [
        f"{at_mm[below]:.1f} and {at_mm[above]:.1f} mm"
        for below, above in pairwise(kept)
        if at_mm[above] - at_mm[below] > GAP * usual_mm
    ]
    if gaps:
        more = f" and in {len(gaps) - 3} more places" if len(gaps) > 3 else ""
        yield f"misses slices between {', '.join(gaps[:3])}{more}"
    elif any(abs(step - usual_mm) > UNEVEN * usual_mm + ROUNDING_MM for step in steps_mm):
        yield f"has uneven steps between slices, {min(steps_mm):.2f} to {max(steps_mm):.2f} mm"


def _tilt(kept: Sequence[Plane], normal: np.ndarray) -> Iterator[str]:
    ways = np.array([plane.position_mm for plane in kept]) - kept[0].position_mm
    along = ways @ normal
    if along[-1] <= 0:
        return
    sideways = ways - np.outer(along, normal)
    tilt_deg = math.degrees(math.atan2(float(np.linalg.norm(sideways[-1])), along[-1]))
    if tilt_deg > LIMIT_TILT_DEG:
        yield f"was taken with the gantry tilted by {tilt_deg:.0f}°"
    off_line_mm = np.linalg.norm(sideways - np.outer(along / along[-1], sideways[-1]), axis=1).max()
    if off_line_mm > OFF_LINE_MM:
        yield f"has slices that lie up to {off_line_mm:.1f} mm beside the others"
