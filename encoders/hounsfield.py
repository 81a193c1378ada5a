"""Which numbers turn stored values into Hounsfield units: by whose word, and checked on the voxels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encoders.errors import VolumeError
from encoders.scan import Rescale, Scan

RescaleSource = Literal["header", "metadata", "none"]
RescaleRule = Literal["auto", "header", "metadata", "none"]

PADDING_HU = -1500.0  # scanners fill what lies outside the field of view with -2000, -2048, -3024 …
AIR_HU = (-1100.0, -600.0)  # air around the body or in the lungs: a tight crop has only the latter
SOFT_TISSUE_HU = (-50.0, 120.0)  # 0–80 HU and the noise of a sharp kernel
BETWEEN_HU = (-950.0, -300.0)  # lung, and the edges of everything; nothing else fills it
DENSE_HU = 700.0
LEAST_AIR = 0.01  # shares of all voxels but padding; real chests have 0.36 and more of air and lung
LEAST_SOFT_TISSUE = 0.02  # real chests have 0.14 and more; HU that were rescaled twice keep under 0.01
MOST_DENSE = 0.10  # real chests have 0.01; unscaled scanner values show all soft tissue here
LEAST_BETWEEN = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """One way to read the stored values, and what the volume would then consist of."""

    source: RescaleSource
    rescale: Rescale  # stored values to HU
    air: float  # share of voxels near air or lung
    soft_tissue: float
    dense: float
    between: float

    @property
    def is_plausible(self) -> bool:
        """Whether a CT can look like this."""
        # Scanner values with padding of -1024 pass for air (padding) and soft tissue (air), but then the body
        # is denser than bone and nothing lies between.
        unscaled = self.dense > MOST_DENSE and self.between < LEAST_BETWEEN
        return self.air >= LEAST_AIR and self.soft_tissue >= LEAST_SOFT_TISSUE and not unscaled

    def __str__(self) -> str:
        slope, intercept = self.rescale
        return (
            f"{_SAYS[self.source]} (slope {slope:g}, intercept {intercept:g}) gives {self.air:.1%} air near "
            f"-1000 HU, {self.soft_tissue:.1%} soft tissue near 0–80 HU and {self.dense:.1%} above 700 HU"
        )


_SAYS: Mapping[RescaleSource, str] = {
    "header": "the file's header",
    "metadata": "the metadata table",
    "none": "no rescaling",
}


def settle_rescale(
    sample: NDArray[Any],
    *,
    scan: Scan,
    table: Rescale | None,
    rule: RescaleRule,
    name: str,
) -> Guess:
    """Decide how stored values become HU.

    "auto" takes the header if a CT can look like that, else the metadata table if so. CT-RATE's first release
    stores scanner values and needs its table; its second is in HU and comes with the same table, which must
    not be applied again.

    Args:
        sample: stored values from all over the volume.
        scan: the volume, for what its header says.
        table: (slope, intercept) of a metadata table, if there is one.
        rule: who is to be believed.
        name: of the file, for the message.

    Raises:
        VolumeError: no air near -1000 HU or no soft tissue near 0–80 HU, with what each source gives; or the
            rule asks for a table that says nothing of this volume.
    """
    rescales: dict[RescaleSource, Rescale] = {"header": scan.header_rescale}
    if table is not None:
        rescales["metadata"] = scan.with_table_rescale(table)
    if rule == "none":
        rescales["none"] = (1.0, 0.0)
    guesses = {source: guess(sample, source, rescale) for source, rescale in rescales.items()}
    wanted: tuple[RescaleSource, ...] = ("header", "metadata") if rule == "auto" else (rule,)
    if rule == "metadata" and table is None:
        raise VolumeError(
            f"no metadata table gives a rescale for {name}: add its row, or choose another rescale rule"
        )
    for source in wanted:
        if source in guesses and guesses[source].is_plausible:
            return guesses[source]
    raise VolumeError(_refusal(name, guesses, rule))


def check_rescale(rescale: Rescale, said_by: str) -> None:
    """Refuse numbers that cannot turn anything into HU.

    Raises:
        VolumeError: slope or intercept is not a number, or the slope is zero.
    """
    slope, intercept = rescale
    if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0:
        raise VolumeError(
            f"{said_by} gives slope {slope:g} and intercept {intercept:g}, "
            "which rescale nothing: correct them"
        )


def guess(sample: NDArray[Any], source: RescaleSource, rescale: Rescale) -> Guess:
    """Measure what a volume would consist of if this rescale were right.

    Raises:
        VolumeError: slope or intercept is not a number, or the slope is zero.
    """
    check_rescale(rescale, _SAYS[source])
    slope, intercept = rescale
    hu = sample.astype(np.float32).ravel() * np.float32(slope) + np.float32(intercept)
    hu = hu[hu > PADDING_HU]

    def share(low: float, high: float) -> float:
        return float(np.count_nonzero((hu >= low) & (hu <= high))) / max(hu.size, 1)

    return Guess(
        source=source,
        rescale=rescale,
        air=share(*AIR_HU),
        soft_tissue=share(*SOFT_TISSUE_HU),
        dense=share(DENSE_HU, math.inf),
        between=share(*BETWEEN_HU),
    )


def _refusal(name: str, guesses: Mapping[RescaleSource, Guess], rule: RescaleRule) -> str:
    said = "; ".join(str(one) for one in guesses.values())
    if "metadata" not in guesses:
        said += "; no metadata table speaks of it"
    right = [source for source, one in guesses.items() if one.is_plausible and source != rule]
    do = (
        f"take the rescale rule {right[0]}"
        if right
        else "give the right slope and intercept in a metadata table"
    )
    return f"{name} is no CT in Hounsfield units by the rescale rule {rule}: {said}; {do}"
