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
from web.jobs.served_folders import folder_and_root
from web.jobs.unpacking import unpack_upload
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
        source, _ = folder_and_root(asked["folder"], (asked["served"],))
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
    failures = document["failed"]
    document["failed"] = len(failures)
    shown = [
        {name: as_sender_knows_it(value) for name, value in failure.items()}
        for failure in failures[:_MOST_FAILURES]
    ]
    with database_errors(), engine.begin() as connection:
        finish_job(connection, claim, document, shown, progress=report.last())


def _unpacked(engine: Engine, upload_id: str, settings: WebSettings, report: Report) -> Path:
    """Return the folder of an upload's files; from now on it is the archive's and does not expire."""
    if not unpack_upload(upload_id, settings, report):
        raise InputError("the upload holds no CT: send another")
    with database_errors(), engine.begin() as connection:
        connection.execute(text("UPDATE upload SET indexed_at = now() WHERE id = :id"), {"id": upload_id})
    return upload_folder(upload_id) / FILES
