"""A collection's volumes data set by data set: CT-RATE and RAD-ChestCT have figures of their own."""

from collections.abc import Mapping

import numpy as np
from sqlalchemy import select

from retrieval.evaluation.named_rows import volume_name
from retrieval.evaluation.pool import Pool
from retrieval.schema import Study, Volume, embedding

UNTOLD = ""  # of latents in a file


def by_dataset(pool: Pool, collection: str | None) -> Mapping[str, Pool]:
    """Return a pool cut by the data set of its volumes, in the order of their names.

    Args:
        pool: of a collection or of a file.
        collection: its name; None for a file, whose volumes stay together.

    Raises:
        DatabaseError: the archive cannot be reached.
    """
    if collection is None:
        return {UNTOLD: pool}
    known = _datasets(collection)
    dataset_N = np.array([known[str(name)] for name in pool.name_N])
    return {str(name): pool.at(np.flatnonzero(dataset_N == name)) for name in np.unique(dataset_N)}


def _datasets(collection: str) -> dict[str, str]:
    """The data set of each volume, under either of the names that a pool may call it by."""
    from retrieval.asked_collection import asked_collection
    from retrieval.migrate import open_archive

    engine = open_archive()
    try:
        with engine.connect() as connection:
            info = asked_collection(connection, collection)
            rows = (
                select(Study.dataset, Volume.name)
                .join(Study, Study.id == Volume.study_id)
                .join(embedding, embedding.c.volume_id == Volume.id)
                .where(embedding.c.collection_id == info.id)
            )
            named = [(dataset, volume_name(name)) for dataset, name in connection.execute(rows)]
    finally:
        engine.dispose()
    return {name: dataset for dataset, name in named} | {f"{d}/{name}": d for d, name in named}
