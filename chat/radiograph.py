"""Digitally reconstructed radiographs: a CT as parallel X-rays would show it, for 2D comparators."""

import io
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.config import VolumeGrid
from retrieval.atomic_file import written_atomically

View = Literal["frontal", "lateral"]

WATER_PER_MM = 0.0206
"""Attenuation of water at 60 keV, near the mean energy of a chest radiograph (NIST XCOM: 0.2059 cm²/g)."""

_GRID = VolumeGrid(slices=240, rows=480, columns=480, slice_mm=1.75, pixel_mm=1.0)  # a chest with its arms
_PIXEL_MM = 1.0
_BODY = 0.5  # attenuation of 25 mm of water: less is air, cloth or the table
_WINDOW = (1.0, 99.5)  # percentiles of the body, black to white


def attenuation(
    hu_SLP: NDArray[np.float32], spacing_mm: tuple[float, float, float], view: View
) -> NDArray[np.float32]:
    """Return the attenuation along parallel rays, the sum of Beer and Lambert's law: exp(-it) passes.

    Args:
        hu_SLP: Hounsfield units, axes towards Superior, Left and Posterior; below -1000 counts as air.
        spacing_mm: along the same axes.
        view: "frontal" sums from front to back, "lateral" from side to side.

    Returns:
        Rows from superior down. Columns of the frontal view towards the patient's left, as it is hung; of the
        lateral view towards posterior, the patient looking left.
    """
    axis = 2 if view == "frontal" else 1
    relative = np.maximum(hu_SLP.astype(np.float32) / np.float32(1000) + np.float32(1), np.float32(0))
    rays: NDArray[np.float32] = relative.sum(axis=axis)[::-1] * np.float32(WATER_PER_MM * spacing_mm[axis])
    return rays


def film(rays: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Map attenuation to grey as a film: air black, bone white, its window from percentiles of the body."""
    body = rays[rays > _BODY]
    if not body.size:
        return np.zeros(rays.shape, np.uint8)
    low, high = np.percentile(body, _WINDOW)
    grey: NDArray[np.uint8] = np.clip(np.rint((rays - low) / max(high - low, 1e-6) * 255), 0, 255).astype(
        np.uint8
    )
    return grey


def write_radiograph(volume: str, path: Path, view: View) -> tuple[str, ...]:
    """Write a radiograph of a volume as a PNG of square pixels of 1 mm.

    Args:
        volume: a CT file, a folder with one DICOM series, or the uri of a phantom.
        path: of the PNG.
        view: as for `attenuation`.

    Returns:
        What is doubtful about the volume, in whole sentences.

    Raises:
        VolumeError: it cannot be read as a CT in Hounsfield units.
        StorageError: the PNG cannot be written.
    """
    hu_SLP, spacing_mm, doubts = _read(volume)
    rays = attenuation(hu_SLP, spacing_mm, view)
    across_mm = spacing_mm[1] if view == "frontal" else spacing_mm[2]
    size = (round(rays.shape[1] * across_mm / _PIXEL_MM), round(rays.shape[0] * spacing_mm[0] / _PIXEL_MM))
    picture = Image.fromarray(film(rays)).resize(size, Image.Resampling.BICUBIC)
    stored = io.BytesIO()
    picture.save(stored, format="PNG")
    with written_atomically(path) as stream:
        stream.write(stored.getvalue())
    return doubts


def _read(
    volume: str,
) -> tuple[NDArray[np.float32], tuple[float, float, float], tuple[str, ...]]:
    from encoders.volumes import prepare_volume
    from retrieval.datasets.phantom import SHOWN_MM, draw_volume

    if volume.startswith("phantom:"):
        return (*draw_volume(volume, SHOWN_MM), ())
    prepared = prepare_volume(Path(volume), grid=_GRID)
    hu_SLP = prepared.volume_DHW * np.float32(1000)  # it is in [-1, 1]
    return hu_SLP, _GRID.spacing_mm, prepared.warnings
