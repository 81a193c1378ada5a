"""Volumes as the web shows them: opened without holding up other requests, and in the audit once an hour."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from encoders.errors import StorageError
from retrieval.archive_key import existing_key
from retrieval.kept_views import KeptViews, views_folder
from retrieval.viewing import OpenVolume, VolumeViews
from retrieval.voxel_sources import UPLOAD, OutOfReachError, VoxelSource, upload_source
from web.access.caller import Caller
from web.audit import record
from web.desk import Desk, desk_of
from web.jobs.uploads import own_upload, volume_of_upload
from web.problems import ConflictError

_AUDITED_AGAIN_S = 3600.0
_MOST_REMEMBERED = 10_000
_T = TypeVar("_T")


@dataclass(slots=True)
class Views:
    """What one application shares: the volumes that are open, and who was seen looking at which."""

    volumes: VolumeViews
    seen: dict[tuple[str, bytes], float] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)


def views_of(request: Request) -> Views:
    """Return the application's views, made when they are first asked for."""
    desk = desk_of(request)
    with _making:
        views: Views | None = getattr(request.app.state, "views", None)
        if views is None:
            kept = KeptViews(folder=views_folder(), most_bytes=desk.settings.kept_views_bytes)
            views = Views(VolumeViews(desk.engine, kept, key=existing_key))
            request.app.state.views = views
    return views


async def viewed_source(request: Request, caller: Caller, dataset: str, volume: str) -> VoxelSource:
    """Return where a volume's voxels are, and write into the audit who looks at it.

    Raises:
        UnknownNameError: there is no such volume.
        NotFoundError: there is no such upload of the caller's.
        ConflictError: it cannot be shown.
    """
    return await run_in_threadpool(
        _viewed_source, views_of(request), desk_of(request), caller, dataset, volume
    )


async def opened_volume(request: Request, source: VoxelSource) -> OpenVolume:
    """Return a volume to look at; its file is read now if it was not before.

    Raises:
        VolumeError: its file is not a readable CT in Hounsfield units.
        ConflictError: its file is gone or has changed.
        StorageError: too much waits to be read, or there is no room.
    """
    volumes = views_of(request).volumes
    for _ in range(2):  # what was kept may go between two steps, where room is short
        opened = await run_in_threadpool(volumes.find, source)
        if opened is not None:
            return opened
        await finished(lambda: volumes.open(source))
    raise StorageError(
        f"there is no room to keep {source.name} while it is looked at: ask again, or make room"
    )


async def finished(begin: Callable[[], "Future[_T]"]) -> _T:
    """Wait for work that others may wait for too: a caller who goes away does not end it."""
    try:
        return await asyncio.shield(asyncio.wrap_future(begin()))
    except OutOfReachError as error:
        raise ConflictError(str(error)) from error


def _viewed_source(views: Views, desk: Desk, caller: Caller, dataset: str, volume: str) -> VoxelSource:
    if dataset == UPLOAD:
        upload = own_upload(desk.engine, volume, caller)
        source = upload_source(upload.id, upload.sha256, volume_of_upload(upload))
    else:
        try:
            source = views.volumes.source(dataset, volume)
        except OutOfReachError as error:
            raise ConflictError(str(error)) from error
    if _is_new(views, (caller.name, source.content)):
        subject = f"{dataset}/{source.study}"
        record(desk, caller, "view volume", subject, volume=source.name, sealed=source.is_sealed)
    return source


def _is_new(views: Views, look: tuple[str, bytes]) -> bool:
    """Whether this caller has not been seen with this volume for an hour."""
    now = time.monotonic()
    with views.lock:
        before = views.seen.get(look)
        if before is not None and now - before < _AUDITED_AGAIN_S:
            return False
        if len(views.seen) >= _MOST_REMEMBERED:
            views.seen.clear()
        views.seen[look] = now
    return True


_making = Lock()
