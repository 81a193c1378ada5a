"""Voxels: slices as PNG, a preview as NIfTI, the whole volume.

All are made from what is kept of a volume in Hounsfield units, so headers of the source go nowhere.
Volumes are addressed by dataset and name; an upload is the dataset `upload` with its id.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathPart
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from starlette.responses import Response

from encoders.errors import ConfigError, StorageError
from retrieval.hu_nifti import Grid
from retrieval.slice_pictures import LARGEST_PX, PLANES, draw_slice, plane_length
from retrieval.viewing import FORMAT, LARGEST_EDGE, PREVIEW_EDGE, OpenVolume
from retrieval.voxel_sources import VoxelSource
from retrieval.windows import PRESETS, Window, parse_window
from web.access.caller import Reader
from web.ranges import RangedFile
from web.views import finished, opened_volume, viewed_source, views_of

router = APIRouter(tags=["volumes"])
Dataset = Annotated[str, PathPart(max_length=200, examples=["phantom"])]
VolumeName = Annotated[str, PathPart(max_length=1000, examples=["phantom_7_1_a_1"])]
_Responses = dict[int | str, dict[str, Any]]
_PNG: _Responses = {
    200: {"content": {"image/png": {}}, "description": "8 bit grey, square pixels."},
    304: {"description": "It is what If-None-Match names."},
}
_NIFTI: _Responses = {
    200: {"content": {"application/gzip": {}}, "description": "NIfTI-1, int16, Hounsfield units."},
    206: {"description": "The bytes that Range names."},
    304: {"description": "It is what If-None-Match names."},
    416: {"description": "The range lies beyond the end."},
}


class WindowValues(BaseModel):
    """A window."""

    width_hu: float
    level_hu: float


class Triple(BaseModel):
    """One number along each axis: slices upwards, rows backwards, columns to the left."""

    slices: float
    rows: float
    columns: float


class Geometry(BaseModel):
    """What a viewer must know before it shows anything."""

    dataset: str
    volume: str
    study: str
    shape: Triple
    spacing_mm: Triple
    key: Triple
    presets: dict[str, WindowValues]
    warnings: list[str]


@router.get(
    "/geometry/{dataset}/{volume:path}",
    summary="Shape, spacing, key slices, window presets",
)
async def geometry(request: Request, caller: Reader, dataset: Dataset, volume: VolumeName) -> Geometry:
    """Millimetres of previews and whole volumes are counted from the key slices."""
    opened = await opened_volume(request, await viewed_source(request, caller, dataset, volume))
    return Geometry(
        dataset=dataset,
        volume=volume,
        study=opened.source.study,
        shape=_triple(opened.grid.shape),
        spacing_mm=_triple(opened.grid.spacing_mm),
        key=_triple(opened.grid.key),
        presets={
            name: WindowValues(width_hu=preset.width_hu, level_hu=preset.level_hu)
            for name, preset in PRESETS.items()
        },
        warnings=list(opened.warnings),
    )


@router.get(
    "/slices/{dataset}/{volume:path}", response_class=Response, responses=_PNG, summary="A slice as PNG"
)
async def a_slice(
    request: Request,
    caller: Reader,
    dataset: Dataset,
    volume: VolumeName,
    plane: Literal["axial", "coronal", "sagittal"] = "axial",
    at: Annotated[float | None, Query(ge=0, le=1, description="0: inferior, anterior, right.")] = None,
    index: Annotated[int | None, Query(ge=0, description="In place of `at`, from the same end.")] = None,
    window: Annotated[str, Query(max_length=40, description="A preset, or WIDTH,LEVEL in HU.")] = "lung",
    size: Annotated[int | None, Query(ge=16, le=LARGEST_PX, description="Pixels of the longer side.")] = None,
) -> Response:
    """Without `at` and `index` it is the key slice: half of the lung lies below it, or in front of it.

    Axial and coronal slices have the patient's left on the right, sagittal ones posterior on the right.
    """
    if at is not None and index is not None:
        raise ConfigError("both at and index say which slice: give one of them")
    shown = parse_window(window)
    source = await viewed_source(request, caller, dataset, volume)
    etag = _etag(source, "slice", plane, at, index, shown, size)
    if _is_known(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    opened = await opened_volume(request, source)
    which = _which(opened.grid, plane, at, index)
    picture = await run_in_threadpool(draw_slice, opened.voxels(), opened.grid, plane, which, shown, size)
    return Response(picture, media_type="image/png", headers={"ETag": etag, "X-Slice": str(which)})


@router.get(
    "/previews/{dataset}/{volume:path}", response_class=Response, responses=_NIFTI, summary="A small NIfTI"
)
async def preview(
    request: Request,
    caller: Reader,
    dataset: Dataset,
    volume: VolumeName,
    edge: Annotated[
        int, Query(ge=16, le=LARGEST_EDGE, description="Voxels of the longest axis.")
    ] = PREVIEW_EDGE,
) -> Response:
    """Means of voxels, so that no axis is longer than `edge`, in the same space; gzipped."""
    source = await viewed_source(request, caller, dataset, volume)
    etag = _etag(source, "preview", edge)
    if _is_known(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    opened = await opened_volume(request, source)
    path = await finished(lambda: views_of(request).volumes.preview(opened, edge))
    return _file(path, opened, etag, "application/gzip", ".nii.gz")


@router.get("/files/{dataset}/{volume:path}", response_class=Response, responses=_NIFTI, summary="All voxels")
async def whole_file(request: Request, caller: Reader, dataset: Dataset, volume: VolumeName) -> Response:
    """The volume as NIfTI in Hounsfield units, not compressed; parts of it by Range.

    An axial slice is one part: slice i begins at byte 352 + 2 × rows × columns × i.
    """
    source = await viewed_source(request, caller, dataset, volume)
    etag = _etag(source, "whole")
    if _is_known(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    opened = await opened_volume(request, source)
    return _file(opened.path, opened, etag, "application/octet-stream", ".nii")


def _file(path: Path, opened: OpenVolume, etag: str, media_type: str, ending: str) -> Response:
    name = opened.source.name.replace("/", "_") + ending
    try:
        return RangedFile(path, media_type=media_type, headers={"ETag": etag}, name=name)
    except OSError as error:
        raise StorageError(f"what was kept of {opened.source.name} is gone: ask once more") from error


def _which(
    grid: Grid, plane: Literal["axial", "coronal", "sagittal"], at: float | None, index: int | None
) -> int:
    if index is not None:
        return index
    if at is not None:
        return round(at * (plane_length(grid, plane) - 1))
    return int(grid.key[PLANES.index(plane)])


def _etag(source: VoxelSource, *what: str | float | Window | None) -> str:
    identity = repr((FORMAT, source.content, source.rule, [str(one) for one in what]))
    return f'"{hashlib.sha256(identity.encode()).hexdigest()[:32]}"'


def _is_known(request: Request, etag: str) -> bool:
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or etag in [one.strip().removeprefix("W/") for one in given.split(",")]


def _triple(values: tuple[float, float, float]) -> Triple:
    slices, rows, columns = values
    return Triple(slices=slices, rows=rows, columns=columns)
