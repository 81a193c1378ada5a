"""A collection on a plane: where each study's scans lie among the others, by their latents.

What is near on the plane is often alike; what is far may be too: two dimensions keep little of 512.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from psycopg import sql
from sqlalchemy import BigInteger, Text, cast, func, select
from sqlalchemy.engine import Connection

from encoders.errors import SearchError
from retrieval.latent_copy import copy_latents_out
from retrieval.neighbours import listed
from retrieval.records import CollectionInfo
from retrieval.schema import Label, Study, embedding

MapMethod = Literal["pca", "tsne"]
MOST_FOR_TSNE = 3000  # studies; more take minutes, and whoever asks waits
_TSNE_START_DIM = 30
_MAPS_KEPT = 8

Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPoint:
    """A study on the plane, within -1 and 1; label bits as in `retrieval.label_bits`."""

    dataset: str
    study: str
    x: float
    y: float
    known: int
    present: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentMap:
    """The studies of a collection that have a scan in it, by name."""

    collection: str
    method: MapMethod
    kept_share: float | None  # of the variance, by the two directions of PCA
    points: tuple[MapPoint, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    study_ids: tuple[int, ...]
    plane_N2: Plane
    kept_share: float | None


class LatentMaps:
    """Maps of an archive's collections, drawn once for each state of a collection; places alone are kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], _Placed] = OrderedDict()
        self._drawing = threading.Lock()

    def map_of(self, connection: Connection, info: CollectionInfo, method: MapMethod = "pca") -> LatentMap:
        """Return the map of a collection as it is now.

        Args:
            connection: to the archive; one transaction that keeps its snapshot.
            info: the collection.
            method: principal components, or t-SNE of at most MOST_FOR_TSNE studies.

        Raises:
            SearchError: the method does not exist, its library is not installed, or it has too much to do.
        """
        if method not in get_args(MapMethod):
            raise SearchError(f"map {method!r} is unknown; take one of {', '.join(get_args(MapMethod))}")
        state = (info.id, method, *_state(connection, info.id))
        with self._drawing:  # a second caller waits for the same map
            placed = self._kept.get(state) or _placed(connection, info, method)
            self._kept[state] = placed
            self._kept.move_to_end(state)
            while len(self._kept) > _MAPS_KEPT:
                self._kept.popitem(last=False)
        return LatentMap(
            collection=info.name,
            method=method,
            kept_share=placed.kept_share,
            points=_points(connection, placed),
        )


def principal_plane(latents_NL: Plane) -> tuple[Plane, float]:
    """Return the two principal components of latents, within -1 and 1, and their share of the variance.

    Signs are fixed (the largest coordinate of each direction is positive), so a map looks alike each time.
    """
    centred_NL = latents_NL.astype(np.float64) - latents_NL.mean(axis=0)
    variances, directions_LL = np.linalg.eigh(centred_NL.T @ centred_NL)
    first_L2 = directions_LL[:, ::-1][:, :2]
    first_L2 = first_L2 * np.sign(first_L2[np.abs(first_L2).argmax(axis=0), [0, 1]])
    total = float(variances.sum())
    share = float(variances[-2:].sum()) / total if total > 0 else 0.0
    return _within_one(centred_NL @ first_L2), share


def _tsne_plane(latents_NL: Plane) -> Plane:
    try:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise SearchError(
            "t-SNE needs scikit-learn: pip install 'ctsearch[evaluate]', or take pca"
        ) from error
    dimensions = min(_TSNE_START_DIM, *latents_NL.shape)
    start = PCA(dimensions, random_state=0).fit_transform(latents_NL)
    perplexity = min(30.0, max(1.0, (len(start) - 1) / 3))
    return _within_one(TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(start))


def _within_one(plane_N2: npt.NDArray[Any]) -> Plane:
    largest = float(np.abs(plane_N2).max(initial=0.0))
    return (plane_N2 / (largest or 1.0)).astype(np.float32)


def _state(connection: Connection, collection_id: int) -> tuple[int, int]:
    """Return what changes with every latent that comes, goes or is replaced."""
    written = cast(cast(embedding.c.written_by, Text), BigInteger)
    row = connection.execute(
        select(func.count(), func.coalesce(func.max(written), 0)).where(_of_scans(collection_id))
    ).one()
    return int(row[0]), int(row[1])


def _placed(connection: Connection, info: CollectionInfo, method: MapMethod) -> _Placed:
    ids, latents_NL = copy_latents_out(
        connection,
        sql.SQL(
            "SELECT study_id, avg(latent) FROM embedding WHERE collection_id = {} AND volume_id IS NOT NULL "
            "GROUP BY study_id ORDER BY study_id"
        ).format(sql.Literal(info.id)),
        info.latent_dim,
    )
    study_ids = tuple(ids.tolist())
    if method == "tsne" and len(study_ids) > MOST_FOR_TSNE:
        raise SearchError(
            f"the collection {info.name!r} has {len(study_ids)} studies, and t-SNE takes at most "
            f"{MOST_FOR_TSNE}: take pca"
        )
    if len(study_ids) < 3:
        return _Placed(study_ids, np.zeros((len(study_ids), 2), np.float32), None)
    if method == "tsne":
        return _Placed(study_ids, _tsne_plane(latents_NL), None)
    return _Placed(study_ids, *principal_plane(latents_NL))


def _of_scans(collection_id: int) -> Any:
    return (embedding.c.collection_id == collection_id) & embedding.c.volume_id.is_not(None)


def _points(connection: Connection, placed: _Placed) -> tuple[MapPoint, ...]:
    rows = connection.execute(_STUDIES, {"ids": list(placed.study_ids)})
    named = {row.id: row for row in rows}
    return tuple(
        MapPoint(
            dataset=row.dataset,
            study=row.name,
            x=float(x),
            y=float(y),
            known=row.known or 0,
            present=row.present or 0,
        )
        for study_id, (x, y) in zip(placed.study_ids, placed.plane_N2, strict=True)
        if (row := named.get(study_id)) is not None
    )


_STUDIES = (
    select(Study.id, Study.dataset, Study.name, Label.known, Label.present)
    .outerjoin(Label, Label.study_id == Study.id)
    .where(listed(Study.id))
)
