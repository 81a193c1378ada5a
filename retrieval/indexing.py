"""Read, preprocess, encode, store: one pass over a source, resumable at any point.

What is stored decides what is left to do, never a journal: a case is saved before its voxels are read, a
latent when its batch is encoded, each in one transaction. So a run that is interrupted or killed goes on
where it was, and two runs over one archive do the same work without getting in each other's way.
"""

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from encoders.encoder import Encoder
from encoders.errors import CtsearchError, DatabaseError, StorageError
from encoders.report_labels import LabelExtractor
from encoders.volumes import PreparedVolume
from retrieval.cases import Case, Unreadable
from retrieval.datasets import Source
from retrieval.deidentify import PseudonymKey
from retrieval.index_plan import (
    Rejected,
    ReportJob,
    Unchanged,
    VolumeJob,
    WithoutFile,
    plan_reports,
    plan_volumes,
)
from retrieval.index_summary import Failure, IndexProgress, IndexRequest, IndexSummary
from retrieval.interruption import Interruption
from retrieval.label_cases import with_extracted_labels
from retrieval.reading import read_volume
from retrieval.records import CollectionInfo, EmbeddingRow, FileRow, RunState, SavedCases
from retrieval.store import Store

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_Job = TypeVar("_Job", VolumeJob, ReportJob)
Latents = npt.NDArray[np.float32]

CASES_PER_BATCH = 64
REPORTS_PER_BATCH = 16


class Indexer:
    """Brings a source into a collection."""

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        collection: CollectionInfo,
        request: IndexRequest,
        progress: IndexProgress,
        key: PseudonymKey,
        *,
        extractor: LabelExtractor | None = None,
    ) -> None:
        self._store = store
        self._encoder = encoder
        self._collection = collection
        self._request = request
        self._progress = progress
        self._key = key
        self._extractor = extractor
        self._summary = IndexSummary(collection=collection.name)
        self._interruption = Interruption()
        self._done = 0  # studies of the batches behind
        self._batch_studies = self._batch_items = self._settled = 0  # of the batch under way

    def run(self, source: Source) -> IndexSummary:
        """Index every case of the source.

        Returns:
            What was done; a file that could not be read is listed there and stops nothing.

        Raises:
            DatabaseError: the database went away; what was committed stays.
            StorageError: the disk is full.
        """
        start = time.monotonic()
        state: RunState = "failed"
        with self._store.attended_run(self._collection) as self._run_id:
            try:
                self._index_all(source)
                state = "finished"
            except KeyboardInterrupt:
                state = "interrupted"
                raise
            finally:
                self._summary.seconds = time.monotonic() - start
                self._summary.removed = dict(source.removed)
                self._summary.warnings.extend(source.warnings)
                self._finish(state)
        return self._summary

    def _finish(self, state: RunState) -> None:
        try:
            self._store.finish_run(
                self._run_id, state=state, counts=self._summary.counts(), removed=self._summary.removed
            )
        except CtsearchError:
            if state == "finished":
                raise
            _log.warning("the end of the run could not be recorded: the database is away")

    def _index_all(self, source: Source) -> None:
        self._total = source.count
        self._anonymous = source.anonymous
        self._failed_before = self._store.failures(self._collection)
        with ThreadPoolExecutor(self._request.workers, thread_name_prefix="read") as readers:
            try:
                with self._interruption:
                    for batch in _batches(source, CASES_PER_BATCH):
                        self._index_batch(batch, readers)
            except BaseException:
                readers.shutdown(cancel_futures=True)
                raise

    def _index_batch(self, batch: Sequence[Case | Unreadable], readers: ThreadPoolExecutor) -> None:
        for entry in batch:
            if isinstance(entry, Unreadable):
                self._fail(entry.item, entry.error)
        cases = [entry for entry in batch if isinstance(entry, Case)]
        saved = self._store.save_cases(self._with_labels(cases))
        if not self._anonymous:
            self._seal_identities(cases, saved)
        self._batch_studies, self._settled = len(batch), 0
        self._batch_items = sum(len(case.volumes) + len(case.reports) for case in cases)
        self._index_reports(cases, saved)
        self._index_volumes(cases, saved, readers)
        self._done += len(batch)
        self._batch_items = 0
        self._show("indexing")

    def _with_labels(self, cases: Sequence[Case]) -> Sequence[Case]:
        return cases if self._extractor is None else with_extracted_labels(cases, self._extractor)

    def _seal_identities(self, cases: Sequence[Case], saved: SavedCases) -> None:
        sealed = {
            saved.study_id(case): self._key.encrypt(json.dumps(dict(case.identity)).encode())
            for case in cases
            if case.identity
        }
        self._store.save_identities(sealed)

    def _index_reports(self, cases: Sequence[Case], saved: SavedCases) -> None:
        if not self._encoder.can_read_text:
            return
        jobs = []
        for entry in plan_reports(self._store, self._collection, cases, saved):
            if isinstance(entry, ReportJob):
                jobs.append(entry)
            else:
                self._count_unchanged(entry)
        jobs.sort(key=lambda job: len(job.sections.text))  # equal lengths waste no padding
        for batch in _batches(jobs, REPORTS_PER_BATCH):
            self._save_encoded(batch, self._report_latents)
            self._show("encoding reports")

    def _report_latents(self, jobs: Sequence[ReportJob]) -> Latents:
        tokenised = self._encoder.tokenise_reports([job.sections for job in jobs])
        latents_NL: Latents = self._encoder.encode_token_ids(tokenised.token_ids, tokenised.mask).numpy()
        self._summary.reports_cut += tokenised.cut
        return latents_NL

    def _index_volumes(self, cases: Sequence[Case], saved: SavedCases, readers: ThreadPoolExecutor) -> None:
        ready = self._read(self._volume_jobs(cases, saved), readers)
        for batch in _batches(ready, self._request.batch_size):
            volumes = {job: prepared.volume_DHW for job, prepared in batch}
            self._store.save_files([self._file_row(job, prepared) for job, prepared in batch])
            self._save_encoded(
                list(volumes),
                partial(self._volume_latents, volumes),
            )
            for job in volumes:
                self._flag_equal_content(job)
            self._show("encoding volumes")

    def _volume_latents(self, volumes: Mapping[VolumeJob, Latents], jobs: Sequence[VolumeJob]) -> Latents:
        volume_BCDHW = np.stack([volumes[job] for job in jobs])[:, None]
        latents_NL: Latents = self._encoder.encode_volumes(volume_BCDHW).numpy()
        return latents_NL

    def _save_encoded(self, jobs: Sequence[_Job], encode: Callable[[Sequence[_Job]], Latents]) -> None:
        """Encode and save a batch; if that fails, one by one, so that only what is at fault is lost."""
        try:
            latents_NL = encode(jobs)
        except (RuntimeError, MemoryError) as error:  # torch's, out of memory among them
            if len(jobs) == 1:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                self._fail_job(jobs[0], f"it could not be encoded: {reason}", is_passing=True)
                return
            for job in jobs:
                self._save_encoded([job], encode)
            return
        self._save(jobs, latents_NL)

    def _volume_jobs(self, cases: Sequence[Case], saved: SavedCases) -> Iterator[VolumeJob]:
        for entry in plan_volumes(self._store, self._collection, cases, saved, self._request.rescale):
            match entry:
                case Unchanged():
                    self._count_unchanged(entry)
                case WithoutFile():
                    self._summary.without_file += 1
                case Rejected():
                    self._fail(entry.item, entry.error, study_id=entry.study_id)
                case VolumeJob():
                    before = self._failed_before.get(entry.item)
                    if before is None or before.content != entry.content or self._request.retry_failed:
                        yield entry
                    else:
                        self._settled += 1
                        self._summary.failed.append(Failure(item=entry.item, error=before.error))

    def _read(
        self, jobs: Iterable[VolumeJob], readers: ThreadPoolExecutor
    ) -> Iterator[tuple[VolumeJob, PreparedVolume]]:
        """Read ahead by as many volumes as there are readers, so that memory stays bounded."""
        under_way: deque[tuple[VolumeJob, Future[PreparedVolume]]] = deque()
        jobs = iter(jobs)
        while True:
            for job in islice(jobs, self._request.workers + 1 - len(under_way)):
                future = readers.submit(read_volume, job.file, self._request.rescale, self._encoder.grid)
                under_way.append((job, future))
            if not under_way:
                return
            job, future = under_way.popleft()
            try:
                prepared = future.result()
            except (DatabaseError, StorageError):
                raise
            except (CtsearchError, OSError, MemoryError) as error:
                is_passing = not isinstance(error, CtsearchError)
                self._fail_job(job, str(error) or type(error).__name__, is_passing=is_passing)
                continue
            self._summary.warnings.extend(f"{job.item}: {warning}" for warning in prepared.warnings)
            yield job, prepared

    def _save(self, jobs: Sequence[VolumeJob | ReportJob], latents_NL: Latents) -> None:
        rows = []
        for job, latent_L in zip(jobs, latents_NL, strict=True):
            if not np.isfinite(latent_L).all():
                self._fail_job(job, "its latent is not finite: check the encoder's weights")
                continue
            rows.append(_embedding_row(job, latent_L))
            self._summary.indexed += job.is_new
            self._summary.updated += not job.is_new
            if job.item in self._failed_before:
                self._store.clear_failure(self._collection, job.item)
        self._store.save_embeddings(self._collection, rows)
        self._settled += len(jobs)

    def _file_row(self, job: VolumeJob, prepared: PreparedVolume) -> FileRow:
        return FileRow(
            volume_id=job.volume_id,
            uri=job.file.uri if self._anonymous else None,
            size=job.stat.size,
            mtime_ns=job.stat.mtime_ns,
            sha256=job.sha256,
            rescale_source=prepared.rescale_source,
        )

    def _flag_equal_content(self, job: VolumeJob) -> None:
        others = self._store.same_content(job.sha256, except_volume=job.volume_id) if job.is_new else []
        if others:
            self._summary.warnings.append(
                f"{job.item} has the same bytes as {', '.join(others[:3])}; it is kept as a case of its own"
            )

    def _count_unchanged(self, entry: Unchanged) -> None:
        self._settled += 1
        if entry.file is not None:
            self._store.save_files([entry.file])
        if entry.case_changed:
            self._summary.updated += 1
        else:
            self._summary.unchanged += 1

    def _fail_job(self, job: VolumeJob | ReportJob, error: str, *, is_passing: bool = False) -> None:
        """Record a failure; one that is the machine's and may pass is tried again next time."""
        self._fail(job.item, error, content=None if is_passing else job.content, study_id=job.study_id)

    def _fail(
        self, item: str, error: str, *, content: bytes | None = None, study_id: int | None = None
    ) -> None:
        self._settled += 1
        self._summary.failed.append(Failure(item=item, error=error))
        self._store.record_failure(self._run_id, item=item, content=content, error=error, study_id=study_id)

    def _show(self, step: str) -> None:
        """Report progress; every batch is saved when this is called, so it is safe to stop here."""
        share = min(1.0, self._settled / self._batch_items) if self._batch_items else 0.0
        self._progress.update(
            done=self._done + int(share * self._batch_studies),
            total=self._total,
            failed=len(self._summary.failed),
            step=step,
        )
        self._interruption.check()


def _embedding_row(job: VolumeJob | ReportJob, latent_L: Latents) -> EmbeddingRow:
    return EmbeddingRow(
        study_id=job.study_id,
        volume_id=job.volume_id if isinstance(job, VolumeJob) else None,
        report_id=job.report_id if isinstance(job, ReportJob) else None,
        content=job.content,
        latent=latent_L,
    )


def _batches(entries: Iterable[_T], size: int) -> Iterator[list[_T]]:
    entries = iter(entries)
    while batch := list(islice(entries, size)):
        yield batch
