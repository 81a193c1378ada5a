"""Which collection is meant, and the encoder that made it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.engine import Connection

from encoders.errors import CheckpointError, SearchError, UnknownNameError
from retrieval.records import CollectionInfo
from retrieval.schema import Collection
from retrieval.store_collections import collection_named

if TYPE_CHECKING:
    from encoders.encoder import Encoder

DEFAULT_COLLECTION = "default"
_COLLECTIONS = select(
    Collection.id,
    Collection.name,
    Collection.encoder,
    Collection.encoder_digest,
    Collection.preprocessing_digest,
    Collection.latent_dim,
    Collection.created_at,
)


def asked_collection(connection: Connection, name: str | None) -> CollectionInfo:
    """Return the collection that is meant, without its counts; see `choose_collection`.

    Raises:
        SearchError: there is none of that name, or no telling which is meant.
    """
    found = {row["name"]: row for row in connection.execute(_COLLECTIONS).mappings()}
    chosen = choose_collection(list(found), name)
    return CollectionInfo(**found[chosen]) if chosen in found else collection_named(connection, chosen)


def choose_collection(names: Sequence[str], name: str | None) -> str:
    """Return the name that is meant: the one given, or else `default`, or else the only one there is.

    Raises:
        SearchError: no name is given, and there is no collection or no telling which.
    """
    if name is not None:
        return name
    if not names:
        raise UnknownNameError("the archive holds no collection yet; make one with `ctsearch index`")
    if DEFAULT_COLLECTION in names:
        return DEFAULT_COLLECTION
    if len(names) > 1:
        raise SearchError(
            f"the archive holds the collections {', '.join(sorted(names))}; name one with --collection"
        )
    return names[0]


def load_collection_encoder(collection: CollectionInfo, device: str = "cpu") -> "Encoder":
    """Load the encoder that made a collection.

    Raises:
        CheckpointError: it is not where it was, or is another one now.
    """
    from encoders.encoder import load_encoder

    try:
        encoder = load_encoder(collection.encoder, device=device)
    except CheckpointError as error:
        raise CheckpointError(
            f"collection {collection.name!r} needs the encoder that made it, {collection.encoder}: {error}"
        ) from error
    if encoder.digest != collection.encoder_digest:
        made, now = collection.encoder_digest[:12], encoder.digest[:12]
        raise CheckpointError(
            f"the collection {collection.name!r} was made by another encoder ({made}) than "
            f"{collection.encoder} is now ({now}): put that one back, or index again into another collection"
        )
    return encoder


def check_preprocessing(collection: CollectionInfo, encoder: "Encoder") -> None:
    """Refuse to compare a volume prepared by this version with volumes that were prepared otherwise.

    Raises:
        SearchError: the collection was made with other preprocessing or another grid.
    """
    from encoders.volumes import preprocessing_digest

    of_volumes, _, _ = collection.preprocessing_digest.partition("/")  # the rest is about texts
    if of_volumes != preprocessing_digest(encoder.grid):
        raise SearchError(
            f"the collection {collection.name!r} was made with the preprocessing of another version: no new "
            "volume can be compared with it; index the archive again into another collection"
        )
