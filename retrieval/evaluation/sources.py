"""What a person asks to be evaluated, loaded: a collection, or latents and labels in files."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sqlalchemy.engine import Connection

from encoders.errors import ConfigError
from retrieval.evaluation.label_table import with_ages, with_labels
from retrieval.evaluation.latents_file import read_latents_file
from retrieval.evaluation.pool import Pool, Section
from retrieval.evaluation.ranking import Progress
from retrieval.filters import LabelSource
from retrieval.records import CollectionInfo
from retrieval.sessions import one_state

ReportSection = Literal["both", "findings", "impression", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """One of `collection` and `latents` (with `labels`), and what it is compared with.

    Attributes:
        metadata: a table of ages, for latents in a file.
        against: a collection's name or an .npz.
        section: which section of the reports asks; "all" stands for the whole report, with both sections
            beside it. A collection's sections are encoded now, by the encoder that made it.
        label_source: whose labels count, for a collection.
        skip_unlabelled: leave volumes without labels out instead of refusing them.
    """

    collection: str | None = None
    latents: Path | None = None
    labels: Path | None = None
    metadata: Path | None = None
    against: str | None = None
    section: ReportSection = "both"
    label_source: LabelSource | None = None
    skip_unlabelled: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        if (self.collection is None) == (self.latents is None):
            found = "none" if self.latents is None else "both"
            raise ConfigError(f"one of --collection and --latents is evaluated; found {found}")
        if self.latents is not None and self.labels is None:
            raise ConfigError(
                "--latents needs --labels CSV: a row a volume, a column for each of the 18 findings"
            )
        given = {"--labels": self.labels, "--metadata": self.metadata}
        extra = [option for option, path in given.items() if path is not None]
        if self.collection is not None and extra:
            raise ConfigError(
                f"a collection's labels and ages are the archive's: leave out {' and '.join(extra)}"
            )
        if self.section not in get_args(ReportSection):
            raise ConfigError(
                f"--report-section {self.section!r} is none of {', '.join(get_args(ReportSection))}"
            )

    @property
    def headline(self) -> Section:
        """The section whose figures stand first."""
        return "both" if self.section == "all" else self.section


def load_pools(request: EvaluationRequest, progress: Progress | None = None) -> tuple[Pool, Pool | None]:
    """Return the pool that is asked for, labelled, and the one it is compared with.

    Raises:
        InputError: a file, a table or a collection will not do; the sentence says why.
        DatabaseError: a collection is asked for and the database cannot be reached.
    """
    if request.latents is not None:
        pool = _file_pool(request, request.latents)
    else:
        pool = _stored_pool(request, request.collection, progress, labelled=True)
    if request.against is None:
        return pool, None
    if names_a_file(request.against):
        return pool, read_latents_file(Path(request.against))
    return pool, _stored_pool(request, request.against, progress, labelled=False)


def _file_pool(request: EvaluationRequest, latents: Path) -> Pool:
    pool = read_latents_file(latents)
    if request.labels is not None:
        pool = with_labels(pool, request.labels, leave_out=request.skip_unlabelled)
    return pool if request.metadata is None else with_ages(pool, request.metadata)


def _stored_pool(
    request: EvaluationRequest, name: str | None, progress: Progress | None, *, labelled: bool
) -> Pool:
    from retrieval.asked_collection import load_collection_encoder
    from retrieval.evaluation.stored import with_section

    sections: list[Section] = ["findings", "impression"]
    wanted = [section for section in sections if request.section in (section, "all")]
    with archive_state() as connection:
        info, pool = stored_pool(
            connection, name, request.label_source, skip_unlabelled=request.skip_unlabelled, labelled=labelled
        )
        if not wanted:
            return pool
        encoder = load_collection_encoder(info, request.device)
        for section in wanted:
            pool = with_section(connection, info, pool, section, encoder, progress)
    return pool


def names_a_file(against: str) -> bool:
    """Whether what is compared with is a file and no collection."""
    return Path(against).suffix.lower() == ".npz" or Path(against).is_file()


def stored_pool(
    connection: Connection,
    name: str | None,
    label_source: LabelSource | None,
    *,
    skip_unlabelled: bool,
    labelled: bool,
) -> tuple[CollectionInfo, Pool]:
    """Return a collection and its pool, with the archive's labels if they are asked for.

    Raises:
        SearchError: there is no such collection, or it has no latent of a volume.
        InputError: a volume has no label, and they are not to be left out.
    """
    from retrieval.asked_collection import asked_collection
    from retrieval.evaluation.stored import collection_pool, with_stored_labels

    info = asked_collection(connection, name)
    pool = collection_pool(connection, info)
    if labelled:
        pool = with_stored_labels(
            connection, info, pool, label_source=label_source, leave_out=skip_unlabelled
        )
    return info, pool


@contextmanager
def archive_state() -> Iterator[Connection]:
    """Yield one state of the archive of `CTSEARCH_DATABASE` or `CTSEARCH_HOME`."""
    from retrieval.migrate import open_archive

    engine = open_archive()
    try:
        with one_state(engine) as connection:
            yield connection
    finally:
        engine.dispose()
