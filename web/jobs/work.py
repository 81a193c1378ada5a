"""What a worker does with a job, whatever becomes of it."""

import logging
from dataclasses import dataclass

from sqlalchemy import Engine

from encoders.errors import CtsearchError, DatabaseError
from retrieval.loaded_encoders import LoadedEncoders
from retrieval.postgres_errors import database_errors
from web.jobs.encoding import encode_upload
from web.jobs.indexing import index_source
from web.jobs.job_rows import Claim, JobGoneError, claim_job, fail_job, put_back
from web.jobs.queue import PutBackError, Stopping
from web.jobs.report import Report
from web.jobs.upload_folders import as_sender_knows_it
from web.settings import WebSettings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a worker has at hand; encoders stay loaded from job to job."""

    engine: Engine
    encoders: LoadedEncoders
    settings: WebSettings

    def perform(self, job_id: int, stopping: Stopping) -> None:
        """Do a job and write how it ended.

        Raises:
            PutBackError: the worker is to stop; the job waits again.
            DatabaseError: the database is away; the job is done again.
        """
        claim = claim_job(self.engine, job_id)
        if claim is None:
            return
        try:
            self._do(claim, stopping)
        except JobGoneError:
            _log.info("job %d was cancelled, or is done by another worker", job_id)
        except PutBackError:
            put_back(self.engine, claim)
            raise
        except DatabaseError:
            raise
        except CtsearchError as error:
            self._fail(claim, str(error))
        except Exception as error:  # torch's out of memory, or a mistake of ours: it must not wait for ever
            _log.exception("job %d failed", job_id)
            reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
            self._fail(claim, f"it could not be done: {reason}")

    def _do(self, claim: Claim, stopping: Stopping) -> None:
        report = Report(self.engine, claim, stopping)
        if claim.kind == "encode":
            encode_upload(self.engine, self.encoders, self.settings, claim, report)
        else:
            index_source(self.engine, self.settings, claim, report)

    def _fail(self, claim: Claim, error: str) -> None:
        try:
            with database_errors(), self.engine.begin() as connection:
                fail_job(connection, claim, as_sender_knows_it(error))
        except JobGoneError:
            _log.info("job %d was cancelled, or is done by another worker", claim.id)
