"""From a volume's files to its axial slices in Hounsfield units, and where they lie."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from retrieval.cases import RescaleRule, VolumeFile
from retrieval.hu_nifti import Grid, Voxels, hounsfield_slice
from retrieval.picture import key_position


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadVolume:
    """A volume in memory, as stored."""

    stored_SLP: NDArray[Any]
    to_hu: tuple[float, float]  # slope, intercept
    grid: Grid
    warnings: tuple[str, ...]

    def slice_at(self, index: int) -> Voxels:
        """Return an axial slice in HU, posterior down and the patient's left on the right, from below."""
        return hounsfield_slice(self.stored_SLP[index].T, *self.to_hu)


def read_hounsfield(file: VolumeFile, rule: RescaleRule) -> ReadVolume:
    """Read a volume, or draw a phantom.

    Raises:
        VolumeError: the file is not a readable CT in Hounsfield units.
    """
    from encoders.volumes import settle_scan
    from retrieval.datasets.phantom import SHOWN_MM, draw_volume

    if file.kind == "phantom":
        hu_SLP, spacing_mm = draw_volume(file.uri, SHOWN_MM)
        return _placed(hu_SLP, spacing_mm, (1.0, 0.0), ())
    settled = settle_scan(file.readable, rule=rule)
    slp = settled.scan.towards_slp()
    return _placed(slp.stored_xyz, slp.spacing_mm, settled.rescale, settled.warnings)


def _placed(
    stored_SLP: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    to_hu: tuple[float, float],
    warnings: tuple[str, ...],
) -> ReadVolume:
    level, depth = key_position(stored_SLP, spacing_mm, to_hu)
    slices, columns, rows = stored_SLP.shape
    slice_mm, column_mm, row_mm = spacing_mm
    grid = Grid(
        shape=(slices, rows, columns),
        spacing_mm=(slice_mm, row_mm, column_mm),
        key=(level, depth, columns // 2),
    )
    return ReadVolume(stored_SLP=stored_SLP, to_hu=to_hu, grid=grid, warnings=warnings)
