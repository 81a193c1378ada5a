"""`ctsearch index` as a use case: open the source, the database and the encoder, then run."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from encoders.errors import CheckpointError
from encoders.model_card import built_in_names
from encoders.report_labels import LabelExtractor, load_label_extractor
from encoders.volumes import preprocessing_digest
from retrieval.archive_key import make_key
from retrieval.cases import Case
from retrieval.datasets import Source, open_source
from retrieval.deidentify import DEIDENTIFICATION_VERSION, PseudonymKey
from retrieval.index_summary import Failure, IndexProgress, IndexRequest, IndexSummary
from retrieval.indexing import Indexer
from retrieval.migrate import open_archive
from retrieval.records import CollectionInfo
from retrieval.store import Store
from retrieval.upkeep import tend_collection

if TYPE_CHECKING:
    from encoders.encoder import Encoder

BUILT_IN_ENCODER = "phantom-tiny"
SNAPSHOT_BEHIND_SHARE = 0.01  # of its rows may be newer before an index run renews it: they cost 1 µs each


def index_archive(request: IndexRequest, progress: IndexProgress) -> IndexSummary:
    """Index a source into a collection of the archive, and leave it ready to be searched quickly.

    Args:
        request: what to index, and how.
        progress: is told how far the run is.

    Returns:
        What was done, with the items that failed.

    Raises:
        DatasetError: the source is not in the layout it is said to be.
        CheckpointError: the encoder or the label extractor cannot be loaded.
        SearchError: the collection was made with another encoder or preprocessing.
        DatabaseError: the database cannot be reached, or went away.
    """
    key = make_key()
    extractor = _extractor(request)
    source = _open(request, key)
    engine = open_archive()
    try:
        store = Store(engine)
        name = request.encoder or _encoder_of(request.collection, store) or BUILT_IN_ENCODER
        encoder = _load(name, request)
        collection = store.ensure_collection(
            request.collection,
            encoder=name if name in built_in_names() else str(Path(name).expanduser().resolve()),
            encoder_digest=encoder.digest,
            preprocessing_digest=f"{preprocessing_digest(encoder.grid)}/deidentified-{DEIDENTIFICATION_VERSION}",
            latent_dim=encoder.latent_dim,
        )
        summary = Indexer(store, encoder, collection, request, progress, key, extractor=extractor).run(source)
        start = time.monotonic()
        undone = tend_collection(engine, collection, progress, behind_share=SNAPSHOT_BEHIND_SHARE)
        summary.warnings.extend(undone)
        summary.seconds += time.monotonic() - start
    finally:
        engine.dispose()
    summary.warnings.extend(_doubts(source, encoder))
    return summary


def survey_archive(request: IndexRequest, progress: IndexProgress) -> IndexSummary:
    """Read the source and count what `index_archive` would look at; nothing is stored or encoded."""
    _extractor(request)  # one that is not there is better found before the night's work
    source = _open(request, make_key())
    summary = IndexSummary(collection=request.collection)
    for done, entry in enumerate(source, start=1):
        if isinstance(entry, Case):
            summary.indexed += len(entry.reports) + sum(volume.file is not None for volume in entry.volumes)
            summary.without_file += sum(volume.file is None for volume in entry.volumes)
        else:
            summary.failed.append(Failure(item=entry.item, error=entry.error))
        progress.update(done=done, total=source.count, failed=len(summary.failed), step="reading")
    summary.removed = dict(source.removed)
    summary.warnings.extend(source.warnings)
    return summary


def _open(request: IndexRequest, key: PseudonymKey) -> Source:
    return open_source(
        request.source, format=request.format, tables=request.tables, anonymous=request.anonymous, key=key
    )


def _load(name: str, request: IndexRequest) -> "Encoder":
    import torch

    from encoders.encoder import load_encoder

    encoder = load_encoder(name, device=request.device, dtype=getattr(torch, request.dtype))
    if not encoder.latent_dim:
        raise CheckpointError(
            f"{name} is a volume encoder alone and makes no latents: import a whole CT-CLIP checkpoint"
        )
    return encoder


def _extractor(request: IndexRequest) -> LabelExtractor | None:
    if request.label_model is None:
        return None
    return load_label_extractor(request.label_model, device=request.device)


def _encoder_of(collection: str, store: Store) -> str | None:
    known: dict[str, CollectionInfo] = {info.name: info for info in store.collections()}
    return known[collection].encoder if collection in known else None


def _doubts(source: Source, encoder: "Encoder") -> list[str]:
    doubts = []
    if encoder.name == BUILT_IN_ENCODER and source.dataset != "phantom":
        doubts.append(
            f"{BUILT_IN_ENCODER} was trained on synthetic phantoms only and says nothing of patients: "
            "import CT-CLIP with `ctsearch models import` and name it with --encoder and another --collection"
        )
    if not encoder.can_read_text:
        doubts.append(
            f"{encoder.name} cannot read text, so no report was encoded: for words take a CT-CLIP that was "
            "imported with --tokenizer, and index into another collection"
        )
    return doubts
