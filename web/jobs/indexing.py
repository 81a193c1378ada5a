"""A job that indexes an upload or a folder of the server, the way `ctsearch index` does."""

from pathlib import Path

from sqlalchemy import Engine, text

from encoders.errors import InputError
from retrieval.archive import index_archive
from retrieval.index_summary import IndexRequest
from retrieval.kept_uploads import FILES
from retrieval.postgres_errors import database_errors
from web.jobs.job_rows import Claim, finish_job
from web.jobs.report import Report
from web.jobs.served_folders import contained_folder
from web.jobs.unpacking import unpack
from web.jobs.upload_folders import as_sender_knows_it, upload_folder
from web.settings import WebSettings

_MOST_FAILURES = 1000  # are listed; all are in the archive's own list


def index_source(engine: Engine, settings: WebSettings, claim: Claim, report: Report) -> None:
    """Do a job of kind "index".

    Raises:
        CtsearchError: the source or the collection cannot be taken; items that fail are listed instead.
        JobGoneError: the job was cancelled meanwhile; what was indexed until then stays.
    """
    asked = claim.asked
    if claim.upload is not None:
        source = _unpacked(engine, claim.upload, settings, report)
    else:
        source = contained_folder(asked["folder"], (asked["served"],))
    report.say("unpacked", "reading")
    request = IndexRequest(
        source=str(source),
        format=asked["format"],
        collection=asked["collection"],
        encoder=asked["encoder"],
        device=settings.device,
        workers=1,
        anonymous=asked["anonymous"],
        retry_failed=asked["retry_failed"],
    )
    summary = index_archive(request, report)
    document = summary.to_json()
    failures = document.pop("failed")
    if isinstance(failures, list):
        document["failed"] = len(failures)
        with database_errors(), engine.begin() as connection:
            shown = [
                {name: as_sender_knows_it(value) for name, value in failure.items()}
                for failure in failures[:_MOST_FAILURES]
            ]
            finish_job(connection, claim, document, shown, progress=report.last())


def _unpacked(engine: Engine, upload_id: str, settings: WebSettings, report: Report) -> Path:
    """Return the folder of an upload's files; from now on it is the archive's and does not expire."""
    report.say("received", "unpacking")
    folder = upload_folder(upload_id)
    files = unpack(
        folder,
        largest_bytes=settings.largest_unpacked_bytes,
        most_files=settings.largest_upload_files,
        told=lambda done, total: report.say("received", "unpacking", done, total),
    )
    if not files:
        raise InputError("the upload holds no CT: send another")
    with database_errors(), engine.begin() as connection:
        connection.execute(text("UPDATE upload SET indexed_at = now() WHERE id = :id"), {"id": upload_id})
    return folder / FILES
