"""Questions by what somebody uploaded: its latent was stored when it was encoded, nothing is encoded here."""

import numpy as np
from sqlalchemy import select
from sqlalchemy.engine import Connection

from encoders.errors import SearchError, UnknownNameError
from retrieval.answers import Question
from retrieval.desk_schema import Job, Upload, UploadLatent
from retrieval.filters import LabelSource
from retrieval.questions import from_latent
from retrieval.records import CollectionInfo, storable


class NotEncodedError(SearchError):
    """An upload has no latent in a collection yet; `job` is the last that was to make one."""

    def __init__(self, sentence: str, job: int | None) -> None:
        super().__init__(sentence)
        self.job = job


def from_upload(
    connection: Connection,
    collection: CollectionInfo,
    upload_id: str,
    source: LabelSource | None,
    *,
    actor: str | None = None,
) -> tuple[Question, tuple[str, ...]]:
    """Ask with the stored latent of an upload; returns warnings about it too.

    An upload whose bytes the archive holds is that case: it brings its labels, and may be excluded as it.

    Args:
        connection: to the archive.
        collection: whose encoder made the latent.
        upload_id: of the upload.
        source: whose labels count; None: the first that speaks.
        actor: whose upload it must be; None: anybody's.

    Raises:
        UnknownNameError: there is no such upload of theirs.
        NotEncodedError: it has no latent in the collection.
    """
    upload = connection.execute(
        select(Upload.actor, Upload.name).where(Upload.id == storable(upload_id))
    ).one_or_none()
    if upload is None or (actor is not None and upload.actor != actor):
        raise UnknownNameError(f"there is no upload {upload_id!r} of yours: upload the scan again")
    encoded = connection.execute(
        select(UploadLatent.latent, UploadLatent.content, UploadLatent.warnings).where(
            UploadLatent.upload_id == upload_id, UploadLatent.collection_id == collection.id
        )
    ).one_or_none()
    if encoded is None:
        raise _not_encoded(connection, collection, upload_id)
    asked = {"kind": "upload", "upload": upload_id, "name": upload.name}
    latent = np.asarray(encoded.latent, np.float32)
    question = from_latent(connection, latent, encoded.content, source, asked)
    return question, tuple(encoded.warnings)


def _not_encoded(connection: Connection, collection: CollectionInfo, upload_id: str) -> NotEncodedError:
    is_of_it = Job.upload_id == upload_id, Job.asked["collection"].astext == collection.name
    jobs = select(Job.id, Job.state).where(Job.kind == "encode", *is_of_it)
    job = connection.execute(jobs.order_by(Job.id.desc()).limit(1)).one_or_none()
    if job is None:
        return NotEncodedError(
            f"the upload {upload_id} is not encoded for the collection {collection.name!r}: "
            "upload it again and name that collection",
            None,
        )
    return NotEncodedError(
        f"the upload {upload_id} has no latent in the collection {collection.name!r} yet: "
        f"job {job.id} is {job.state}",
        job.id,
    )
