"""A job that encodes an upload: unpacked, read, preprocessed, encoded, stored."""

import json
from collections.abc import Sequence

import numpy as np
from sqlalchemy import Engine, text

from encoders.errors import CheckpointError, SearchError
from encoders.volumes import grid_from_settled, settle_scan
from retrieval.asked_collection import asked_collection, check_preprocessing
from retrieval.cases import VolumeFile
from retrieval.loaded_encoders import LoadedEncoders
from retrieval.neighbours import Latent
from retrieval.postgres_errors import database_errors
from retrieval.reading import file_sha256
from retrieval.records import CollectionInfo
from web.jobs.chosen_volume import choose_volume
from web.jobs.job_rows import Claim, finish_job
from web.jobs.report import Report
from web.jobs.unpacking import unpack_upload
from web.jobs.upload_folders import as_sender_knows_it
from web.settings import WebSettings


def encode_upload(
    engine: Engine, encoders: LoadedEncoders, settings: WebSettings, claim: Claim, report: Report
) -> None:
    """Do a job of kind "encode", and store its latent and its end in one transaction.

    Raises:
        CtsearchError: the upload is no CT that can be read, or the collection or its encoder is gone.
        JobGoneError: the job was cancelled meanwhile; nothing is stored.
    """
    if claim.upload is None:
        raise SearchError("the job names no upload: upload again")
    with database_errors(), engine.connect() as connection:
        info = asked_collection(connection, claim.asked["collection"])
    files = unpack_upload(claim.upload, settings, report)
    report.say("unpacked", "reading")
    volume, told = choose_volume(files)
    settled = settle_scan(volume.readable)
    report.say("read", "preparing")
    encoder = encoders.of(info)
    check_preprocessing(info, encoder)
    prepared = grid_from_settled(settled, encoder.grid)
    del settled  # a gigabyte or two, not needed while encoding
    report.say("preprocessed", "encoding")
    latent: Latent = encoder.encode_volumes(prepared.volume_DHW[None, None]).numpy()[0]
    if not np.isfinite(latent).all():
        raise CheckpointError("the latent of the upload is not finite: check the encoder's weights")
    report.say("encoded", "storing")
    _store(engine, claim, info, volume, latent, (*told, *prepared.warnings), report)


def _store(
    engine: Engine,
    claim: Claim,
    info: CollectionInfo,
    volume: VolumeFile,
    latent: Latent,
    warnings: Sequence[str],
    report: Report,
) -> None:
    content = file_sha256(volume)
    named = {"kind": volume.kind, "files": [path.name for path in volume.paths]}
    warnings = [as_sender_knows_it(warning) for warning in warnings]
    result = {"upload": claim.upload, "collection": info.name, "warnings": warnings}
    with database_errors(), engine.begin() as connection:
        finish_job(connection, claim, result, progress=report.last())  # first: the upload may be gone
        connection.execute(_VOLUME, {"upload": claim.upload, "volume": json.dumps(named)})
        connection.execute(
            _LATENT,
            {
                "upload": claim.upload,
                "collection": info.id,
                "latent": latent.astype(np.float32),
                "content": content,
                "warnings": json.dumps(warnings),
            },
        )


_VOLUME = text("UPDATE upload SET volume = CAST(:volume AS jsonb) WHERE id = :upload")
_LATENT = text("""
INSERT INTO upload_latent (upload_id, collection_id, latent, content, warnings)
VALUES (:upload, :collection, :latent, :content, CAST(:warnings AS jsonb))
ON CONFLICT (upload_id, collection_id) DO UPDATE
SET latent = excluded.latent, content = excluded.content, warnings = excluded.warnings, made_at = now()
""")
