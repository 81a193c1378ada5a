"""Files and folders that somebody brings."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from encoders.errors import InputError
from web.access.caller import Caller, Reader
from web.audit import record
from web.desk import Desk, desk_of
from web.jobs.orders import check_room, order_encoding
from web.jobs.receiving import Limits, Received, receive, too_large
from web.jobs.upload_folders import check_disk, delete_folder, new_upload
from web.jobs.uploads import check_received, keep_upload, name_of, own_upload, remove_upload
from web.problems import ConflictError

router = APIRouter(tags=["uploads"])

_FORM_BYTES = 4 << 20  # what boundaries and headers of a form may take beside its files
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "One .nii, .nii.gz, .nrrd or zip, or the files of a DICOM series.",
                        },
                        "collection": {
                            "type": "string",
                            "description": "For whose encoder; the default collection where it is left out.",
                        },
                        "encode": {
                            "type": "string",
                            "enum": ["true", "false"],
                            "description": "false: it is only to be indexed, nothing is encoded now.",
                        },
                    },
                }
            }
        },
    }
}
_NOT_DELETED: dict[int | str, dict[str, Any]] = {
    404: {"description": "none of yours"},
    409: {"description": "it was indexed"},
}
_EXAMPLE = {"upload": "9f86d081884c7d659a2feaa0c55ad015", "name": "chest.nii.gz", "size": 8123456, "job": 7}


@router.post(
    "/uploads",
    status_code=201,
    openapi_extra=_BODY,
    responses={
        201: {"content": {"application/json": {"example": _EXAMPLE}}},
        413: {"description": "larger than this server takes"},
        422: {"description": "no CT, or a zip that is not taken"},
        429: {"description": "too much work waits; see Retry-After"},
        503: {"description": "no room on the server's disk"},
    },
)
async def upload(request: Request, caller: Reader) -> dict[str, Any]:
    """Bring a CT to ask by. The same bytes again are the same upload, and are not encoded again."""
    desk = desk_of(request)
    length = _announced(request)
    if length > desk.settings.largest_upload_bytes + _FORM_BYTES:
        raise too_large(desk.settings.largest_upload_bytes)
    upload_id, folder = await run_in_threadpool(_prepare, desk, length)
    try:
        received = await receive(
            request.stream(),
            request.headers.get("content-type", ""),
            folder / "sent",
            Limits(
                body_bytes=desk.settings.largest_upload_bytes + _FORM_BYTES,
                files=desk.settings.largest_upload_files,
            ),
        )
        return await run_in_threadpool(_keep, desk, caller, upload_id, received)
    except ClientDisconnect as error:
        delete_folder(folder)
        raise InputError("the upload ended in the middle: send it again") from error
    except BaseException:
        delete_folder(folder)  # nothing half stays, whatever happened
        raise


@router.get("/uploads/{upload_id}", responses={404: {"description": "none of yours"}})
def show_upload(request: Request, caller: Reader, upload_id: str) -> dict[str, Any]:
    """Return what an upload of yours is called, and when it came."""
    return own_upload(desk_of(request).engine, upload_id, caller).to_json()


@router.delete("/uploads/{upload_id}", status_code=204, responses=_NOT_DELETED)
def delete_upload(request: Request, caller: Reader, upload_id: str) -> Response:
    """Delete an upload of yours: its bytes, what was encoded of it, its jobs."""
    desk = desk_of(request)
    found = own_upload(desk.engine, upload_id, caller)
    if found.indexed_at is not None:
        raise ConflictError(
            "the upload was indexed, so it is the archive's: ctsearch cases remove takes its study out"
        )
    remove_upload(desk.engine, found.id)
    record(desk, caller, "remove upload", f"upload/{found.id}")
    return Response(status_code=204)


def _announced(request: Request) -> int:
    said = request.headers.get("content-length", "0")
    return int(said) if said.isdecimal() else 0


def _prepare(desk: Desk, length: int) -> tuple[str, Any]:
    check_room(desk.engine, desk.settings.waiting_jobs)
    check_disk(length)
    return new_upload()


def _keep(desk: Desk, caller: Caller, upload_id: str, received: Received) -> dict[str, Any]:
    check_received(received, desk.settings)
    kept = keep_upload(desk.engine, upload_id, caller.name, received.files)
    try:
        job = _order(desk, caller, kept, received)
    except BaseException:
        remove_upload(desk.engine, upload_id)  # not `kept`: an upload of before stays
        raise
    record(desk, caller, "upload", f"upload/{kept}", files=len(received.files), job=job)
    size = sum(file.size for file in received.files)
    return {"upload": kept, "name": name_of(received.files), "size": size, "job": job}


def _order(desk: Desk, caller: Caller, upload_id: str, received: Received) -> int | None:
    if received.fields.get("encode") == "false":
        return None
    return order_encoding(
        desk.engine,
        actor=caller.name,
        upload=upload_id,
        collection=received.fields.get("collection") or None,
        waiting_jobs=desk.settings.waiting_jobs,
    )
