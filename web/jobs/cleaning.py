"""Uploads expire: their bytes, latents and jobs go; so do jobs that ended long ago."""

import logging

from sqlalchemy import Engine, text

from encoders.errors import StorageError
from retrieval.postgres_errors import database_errors
from web.jobs.upload_folders import abandoned_folders, delete_folder
from web.jobs.uploads import remove_upload
from web.settings import WebSettings

_log = logging.getLogger(__name__)
_ABANDONED_AFTER_S = 6 * 3600.0
_JOBS_KEPT_DAYS = 90


def clean(engine: Engine, settings: WebSettings) -> None:
    """Delete uploads older than the settings allow, what servers that were killed left, and old jobs.

    Uploads that were indexed stay: the archive's volumes lie in them. Uploads whose job waits or runs stay.
    """
    with database_errors(), engine.begin() as connection:
        connection.execute(_OLD_JOBS, {"days": _JOBS_KEPT_DAYS})
        expired = list(connection.execute(_EXPIRED, {"days": settings.uploads_kept_days}).scalars())
    for upload_id in expired:
        try:
            remove_upload(engine, upload_id)
        except StorageError as error:
            _log.warning("%s", error)
    with database_errors(), engine.connect() as connection:
        folders = abandoned_folders(
            set(connection.execute(text("SELECT id FROM upload")).scalars()), _ABANDONED_AFTER_S
        )
    for folder in folders:
        try:
            delete_folder(folder)
        except StorageError as error:
            _log.warning("%s", error)


_EXPIRED = text("""
SELECT id FROM upload WHERE indexed_at IS NULL AND created_at < now() - make_interval(secs => 86400 * :days)
    AND NOT EXISTS (SELECT FROM job WHERE upload_id = upload.id AND state IN ('queued', 'running'))
ORDER BY created_at
""")
_OLD_JOBS = text(
    "DELETE FROM job WHERE state IN ('finished', 'failed', 'cancelled') "
    "AND finished_at < now() - make_interval(days => :days)"
)
