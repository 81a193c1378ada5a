"""The use cases that the command line and the web share: ask, score, list, remove.

A question by a stored case loads no model; others load their collection's encoder when they first need it.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine
from sqlalchemy.engine import Connection

from encoders.abnormalities import DEFAULT_PROMPT
from encoders.errors import CheckpointError, ReportError, StorageError
from retrieval.answers import Answer, Question, SearchOptions
from retrieval.archive_cases import ArchiveCases
from retrieval.asked_collection import asked_collection, check_preprocessing
from retrieval.hospital_names import find_case_by_any_name
from retrieval.loaded_encoders import LoadedEncoders
from retrieval.named_cases import StoredCase, case_in, stored_latent
from retrieval.neighbours import Gallery, Latent
from retrieval.planner import EngineChoice
from retrieval.questions import (
    encode_volume,
    from_case,
    from_report,
    from_report_text,
    from_text,
    from_volume,
)
from retrieval.records import CollectionInfo
from retrieval.scoring import FindingRanking, FindingScores, rank_by_findings, score_by_head, score_latent
from retrieval.search import search_many
from retrieval.sessions import one_state
from retrieval.upload_questions import from_upload

if TYPE_CHECKING:
    from encoders.encoder import Encoder
    from retrieval.deidentify import PseudonymKey
    from retrieval.snapshot_files import Snapshot

_log = logging.getLogger(__name__)


@contextmanager
def open_case_search(*, device: str = "cpu") -> Iterator["CaseSearch"]:
    """Yield the use cases over the archive of `CTSEARCH_DATABASE` or `CTSEARCH_HOME`.

    Raises:
        DatabaseError: the database cannot be reached.
    """
    from retrieval.archive_key import existing_key
    from retrieval.migrate import open_archive

    engine = open_archive()
    try:
        yield CaseSearch(engine, key=existing_key(), device=device)
    finally:
        engine.dispose()


class CaseSearch(ArchiveCases):
    """Answers about one archive. `collection` is a name; None is the default one or the only one there is."""

    def __init__(
        self,
        engine: Engine,
        *,
        key: "PseudonymKey | None" = None,
        device: str = "cpu",
        actor: str = "cli",
    ) -> None:
        super().__init__(engine, key=key, actor=actor)
        self._encoders = LoadedEncoders(device)

    def on_behalf_of(self, actor: str, *, opens_sealed: bool = True) -> "CaseSearch":
        """Return the same use cases, with the same encoders in memory, audited under another name.

        Args:
            actor: for the audit.
            opens_sealed: whether the hospital's own names and paths are looked for and shown.
        """
        same = copy(self)
        same._actor = actor
        if not opens_sealed:
            same._key = None
        return same

    # Questions

    def search_by_case(
        self,
        name: str,
        options: SearchOptions,
        *,
        collection: str | None = None,
        dataset: str | None = None,
    ) -> Answer:
        """Find the cases most like a stored one, by the latent it has.

        Args:
            name: the archive's name of a volume or study; or the hospital's: a path, an accession, a UID.
            options: how many, filters, unit, exclusion.
            collection: where to look.
            dataset: where the case is from; `name` is then exactly its name there.

        Raises:
            SearchError: there is no such case or collection, or the case has no latent in it.
        """
        with one_state(self._engine) as connection:
            info = asked_collection(connection, collection)
            case = self._case(connection, name, dataset)
            question = from_case(connection, info, case, options.filters.label_source, self._key)
        return self._ask(info, question, options)

    def search_by_cases(
        self, names: Sequence[str], options: SearchOptions, *, collection: str | None = None
    ) -> list[Answer]:
        """Find the cases most like each of many stored ones; their latents are compared together.

        Args:
            names: as for `search_by_case`.
            options: for all of them.
            collection: where to look.

        Raises:
            SearchError: there is no such case or collection, or a case has no latent in it.
        """
        with one_state(self._engine) as connection:
            info = asked_collection(connection, collection)
            source = options.filters.label_source
            questions = [
                from_case(
                    connection, info, find_case_by_any_name(connection, name, self._key), source, self._key
                )
                for name in names
            ]
        return self.search_many(info, questions, options)

    def search_by_latents(
        self, latents_QL: npt.NDArray[np.float32], options: SearchOptions, *, collection: str | None = None
    ) -> list[Answer]:
        """Find the cases whose volumes are nearest to latents of one's own.

        Args:
            latents_QL: (Q, L), of volumes, by the encoder that made the collection.
            options: for all of them.
            collection: where to look.

        Raises:
            SearchError: there is no such collection, or the latents are not finite or of another length.
        """
        questions = [
            Question(asked={"kind": "latent", "row": row}, kind="volume", latent=latent_L)
            for row, latent_L in enumerate(np.atleast_2d(latents_QL))
        ]
        return self.search_many(self.collection(collection), questions, options)

    def search_by_volume(
        self, path: Path, options: SearchOptions, *, collection: str | None = None
    ) -> Answer:
        """Find the cases most like a CT file or a folder with one DICOM series; it is not stored.

        Raises:
            VolumeError: it cannot be read as a CT in Hounsfield units.
            SearchError: the collection is not there, empty, or of other preprocessing.
        """
        info = self.collection(collection)
        encoder = self.encoder(info)
        check_preprocessing(info, encoder)
        with one_state(self._engine) as connection:
            question, warnings = from_volume(connection, encoder, path, options.filters.label_source)
        return replace(self._ask(info, question, options), warnings=warnings)

    def search_by_text(self, text: str, options: SearchOptions, *, collection: str | None = None) -> Answer:
        """Find the cases that a sentence describes, by what reports say, by their latents and by volumes.

        With `options.legs` of ("text",) no model is loaded.

        Raises:
            ReportError: a leg is asked for whose encoder cannot read text.
            SearchError: the text is empty, or the collection is not there or empty.
        """
        info = self.collection(collection)
        return self._ask_in_words(info, lambda encoder: from_text(encoder, text), options)

    def search_by_report(
        self, path: Path, options: SearchOptions, *, collection: str | None = None
    ) -> Answer:
        """Find the cases most like a report in a text file; it is not stored.

        Raises:
            ReportError: it cannot be read, or a leg is asked for whose encoder cannot read text.
            SearchError: the collection is not there or empty.
        """
        info = self.collection(collection)
        return self._ask_in_words(info, lambda encoder: from_report(encoder, path), options)

    def search_by_report_text(
        self, text: str, options: SearchOptions, *, collection: str | None = None
    ) -> Answer:
        """Find the cases most like a report given as text; it is not stored.

        Raises:
            ReportError: it is too long or says nothing, or a leg is asked for whose encoder cannot read text.
            SearchError: the collection is not there or empty.
        """
        info = self.collection(collection)
        return self._ask_in_words(info, lambda encoder: from_report_text(encoder, text), options)

    def search_by_upload(
        self,
        upload_id: str,
        options: SearchOptions,
        *,
        collection: str | None = None,
        actor: str | None = None,
    ) -> Answer:
        """Find the cases most like an upload, by the latent that was stored of it.

        Args:
            upload_id: of the upload.
            options: how many, filters, unit, exclusion.
            collection: where to look.
            actor: whose upload it must be; None: anybody's.

        Raises:
            UnknownNameError: there is no such upload of theirs, or no such collection.
            NotEncodedError: it has no latent in the collection yet.
        """
        with one_state(self._engine) as connection:
            info = asked_collection(connection, collection)
            source = options.filters.label_source
            question, warnings = from_upload(connection, info, upload_id, source, actor=actor)
        answer = self._ask(info, question, options)
        return replace(answer, warnings=(*warnings, *answer.warnings))

    # Scores

    def score_case(
        self,
        name: str,
        findings: Sequence[str] = (),
        *,
        prompt: str = DEFAULT_PROMPT,
        collection: str | None = None,
        dataset: str | None = None,
    ) -> FindingScores:
        """Return how likely findings are in a stored case, by its stored latent.

        Args:
            name: as for `search_by_case`.
            findings: in words; none stands for the 18.
            prompt: as for `encoders.zero_shot.prompt_pair`.
            collection: whose latent.
            dataset: as for `search_by_case`.

        Raises:
            SearchError: there is no such case or collection, or no volume of the case has a latent in it.
            ReportError: the collection's encoder cannot read text.
        """
        with one_state(self._engine) as connection:
            info = asked_collection(connection, collection)
            case = self._case(connection, name, dataset)
            stored = stored_latent(connection, info.id, info.name, case, kinds=("volume",))
        return self._scorer(info, findings, prompt)(stored.latent)

    def score_volume(
        self,
        path: Path,
        findings: Sequence[str] = (),
        *,
        prompt: str = DEFAULT_PROMPT,
        collection: str | None = None,
    ) -> FindingScores:
        """Return how likely findings are in a CT file or a folder with one DICOM series.

        Raises:
            VolumeError: it cannot be read as a CT in Hounsfield units.
            SearchError: the collection, whose encoder is taken, is not there.
            ReportError: the encoder cannot read text.
        """
        info = self.collection(collection)
        score = self._scorer(info, findings, prompt)
        check_preprocessing(info, self.encoder(info))
        latent, warnings = encode_volume(self.encoder(info), path)
        return replace(score(latent), warnings=warnings)

    def rank_by_findings(
        self,
        findings: Sequence[str],
        options: SearchOptions,
        *,
        prompt: str = DEFAULT_PROMPT,
        collection: str | None = None,
    ) -> list[FindingRanking]:
        """Return, for each finding, the cases of a collection that show it most.

        Raises:
            SearchError: the collection is not there.
            ReportError: its encoder cannot read text.
        """
        info = self.collection(collection)
        prompts = self._encoders.prompts(info, findings, prompt)
        gallery = Gallery(collection_id=info.id, filters=options.filters, unit=options.unit)
        with one_state(self._engine) as connection:
            return rank_by_findings(connection, gallery, info.name, prompts, options.limit)

    def encoder(self, collection: CollectionInfo) -> "Encoder":
        """Return the encoder that made a collection, loaded once.

        Raises:
            CheckpointError: it is not where it was, or is another one now.
        """
        return self._encoders.of(collection)

    def search_many(
        self, info: CollectionInfo, questions: Sequence[Question], options: SearchOptions
    ) -> list[Answer]:
        """Answer questions that were made with the collection's encoder.

        Raises:
            SearchError: the collection is empty, or a filter names a value that the archive does not have.
        """
        if not questions:
            return []
        snapshot = self._snapshot_in_memory(info, options.engine)  # before the transaction that it serves
        with one_state(self._engine) as connection:
            answers = search_many(connection, info, questions, options, snapshot=snapshot, key=self._key)
        shown = [hit.volume for answer in answers if answer.opened for hit in answer.hits if hit.volume]
        if shown:
            self._store.audit(self._actor, "show sources", f"collection {info.name}", {"volumes": shown})
        return answers

    def _case(self, connection: Connection, name: str, dataset: str | None) -> StoredCase:
        if dataset is None:
            return find_case_by_any_name(connection, name, self._key)
        return case_in(connection, dataset, name)

    def _ask(self, info: CollectionInfo, question: Question, options: SearchOptions) -> Answer:
        return self.search_many(info, [question], options)[0]

    def _ask_in_words(
        self, info: CollectionInfo, ask: "Callable[[Encoder | None], Question]", options: SearchOptions
    ) -> Answer:
        """Search latents too where the encoder is there and reads text; else say that it was left out."""
        if set(options.legs) == {"text"}:
            return self._ask(info, ask(None), options)
        try:
            question = ask(self.encoder(info))
        except (CheckpointError, ReportError) as error:
            if options.legs:
                raise
            answer = self._ask(info, ask(None), options)
            alone = f"{error}: only what reports say was searched"
            return replace(answer, warnings=(alone, *answer.warnings))
        return self._ask(info, question, options)

    def _snapshot_in_memory(self, info: CollectionInfo, engine: EngineChoice) -> "Snapshot | None":
        if engine == "pgvector":
            return None
        if engine == "faiss":
            return self._snapshots.required(info)
        try:
            return self._snapshots.current(info)
        except StorageError as error:
            _log.warning("%s; PostgreSQL answers meanwhile", error)
            return None

    def _scorer(
        self, info: CollectionInfo, findings: Sequence[str], prompt: str
    ) -> "Callable[[Latent], FindingScores]":
        """Return what scores a latent: the model's own head where it has one and no words are asked for."""
        encoder = self.encoder(info)
        if encoder.has_head and not findings and prompt == DEFAULT_PROMPT:
            return partial(score_by_head, encoder=encoder)
        return partial(score_latent, prompts=self._encoders.prompts(info, findings, prompt))
