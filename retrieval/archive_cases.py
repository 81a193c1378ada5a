"""The use cases over what the archive holds: list, read, count, remove."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Engine

from retrieval.asked_collection import asked_collection
from retrieval.case_details import CaseDetails, case_details
from retrieval.case_list import ListedCase, list_cases
from retrieval.facets import Facets, count_facets, count_studies
from retrieval.filters import Filters, LabelSource
from retrieval.hospital_names import stored_name
from retrieval.kept_tokens import forget_tokens, tokens_folder
from retrieval.kept_uploads import forget_uploads, uploaded_volumes
from retrieval.kept_views import forget_views
from retrieval.neighbours import Unit
from retrieval.postgres_errors import database_errors
from retrieval.records import CollectionInfo, Removed
from retrieval.sessions import one_state
from retrieval.snapshots import Snapshots
from retrieval.store import Store

if TYPE_CHECKING:
    from retrieval.deidentify import PseudonymKey


class ArchiveCases:
    """What one archive holds; `retrieval.service.CaseSearch` asks it questions too."""

    def __init__(self, engine: Engine, *, key: "PseudonymKey | None" = None, actor: str = "cli") -> None:
        self._engine = engine
        self._store = Store(engine)
        self._key = key
        self._actor = actor
        self._snapshots = Snapshots(engine)

    def list_cases(
        self,
        filters: Filters,
        unit: Unit = "volume",
        limit: int | None = None,
        *,
        after: tuple[str, str] | None = None,
    ) -> list[ListedCase]:
        """Return what the archive holds, with and without latents; see `retrieval.case_list`.

        Raises:
            SearchError: a filter names a value that the archive does not have.
        """
        with one_state(self._engine) as connection:
            return list_cases(connection, filters, unit, limit, after=after)

    def case(self, dataset: str, study: str) -> CaseDetails:
        """Return all that the archive holds of a study.

        Raises:
            UnknownNameError: there is none of that name.
        """
        with one_state(self._engine) as connection:
            return case_details(connection, dataset, study)

    def facets(self, filters: Filters = Filters(), label_source: LabelSource | None = None) -> Facets:  # noqa: B008 - it is frozen
        """Return how many studies each choice of a filter would leave.

        Args:
            filters: that are set already.
            label_source: whose labels count; None: as the filters have it.
        """
        asked = filters if label_source is None else replace(filters, label_source=label_source)
        with one_state(self._engine) as connection:
            return count_facets(connection, asked)

    def count_studies(self, filters: Filters) -> int:
        """Return how many studies filters leave; `facets` counts each choice of them too."""
        with one_state(self._engine) as connection:
            return count_studies(connection, filters)

    def remove_patient(self, name: str) -> Removed:
        """Remove everything of a patient, by the archive's name or the hospital's.

        Raises:
            SearchError: there is none, or more than one dataset has one.
        """
        return self._remove("patient", name, self._store.remove_patient)

    def remove_study(self, name: str) -> Removed:
        """Remove everything of a study, by the archive's name or the hospital's.

        Raises:
            SearchError: there is none, or more than one dataset has one.
        """
        return self._remove("study", name, self._store.remove_study)

    def drop_collection(self, name: str) -> None:
        """Delete a collection with its latents and its snapshot; cases stay.

        Raises:
            SearchError: there is none of that name.
            StorageError: the snapshot cannot be deleted.
        """
        info = self._store.collection(name)
        self._store.drop_collection(name)
        self._snapshots.delete(info)

    def collection(self, name: str | None) -> CollectionInfo:
        """Return a collection.

        Raises:
            SearchError: there is none of that name, or it is not clear which is meant.
        """
        with one_state(self._engine) as connection:
            return asked_collection(connection, name)

    def _remove(
        self, kind: Literal["patient", "study"], name: str, remove: Callable[..., Removed]
    ) -> Removed:
        """Remove cases, what is kept of them, their uploads, and the snapshots that hold their latents.

        The next search builds a snapshot anew.
        """
        with one_state(self._engine) as connection:
            stored = stored_name(connection, name, kind, self._key)
            uploaded = uploaded_volumes(connection, kind, stored, self._key)
        infos = self._store.collections()
        with self._snapshots.none_built(infos) as delete:
            removed = remove(stored, actor=self._actor)
            for info in infos:
                if info.name in removed.collections:
                    delete(info)
        forget_tokens(tokens_folder(), removed.contents)
        forget_views(removed.contents)
        with database_errors(), self._engine.begin() as connection:
            forget_uploads(connection, uploaded)
        return removed

    @property
    def store(self) -> Store:
        """Collections, removal, identities: what changes the archive."""
        return self._store
