"""A collection on a plane: places by hand-worked latents, kept until the collection changes."""

import numpy as np
import pytest
from sqlalchemy import Engine, text

from encoders.errors import SearchError
from retrieval.latent_map import LatentMaps, principal_plane
from retrieval.records import CollectionInfo, EmbeddingRow
from retrieval.sessions import one_state
from retrieval.store import Store
from tests.stored import case
from tests.web_app import client_of


def test_the_plane_has_the_two_directions_of_most_variance() -> None:
    latents = np.array([[0, 0, 4, 0], [0, 0, -4, 0], [0, 2, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1]], np.float32)
    plane, share = principal_plane(latents)
    assert np.abs(plane[0]) == pytest.approx([1, 0], abs=0.02)
    assert plane[0, 0] == pytest.approx(-plane[1, 0], abs=0.02)
    assert np.abs(plane[2]) == pytest.approx([0, 0.5], abs=0.02)
    assert share == pytest.approx(40 / 40.8, abs=0.001)


def test_the_plane_agrees_with_scikit_learn() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    latents = np.random.default_rng(3).normal(size=(50, 8)).astype(np.float32) * np.arange(
        1, 9, dtype=np.float32
    )
    plane, share = principal_plane(latents)
    expected = decomposition.PCA(2)
    reference = expected.fit_transform(latents.astype(np.float64))
    reference /= np.abs(reference).max()
    assert np.abs(plane) == pytest.approx(np.abs(reference), abs=1e-4)
    assert share == pytest.approx(expected.explained_variance_ratio_.sum(), abs=1e-6)


def fill(store: Store, collection: CollectionInfo, latents: dict[str, list[float]]) -> None:
    """Store a study for each latent, with one volume."""
    cases = [case(study, patient=f"p {study}", volumes=[f"v {study}"]) for study in latents]
    saved = store.save_cases(cases)
    store.save_embeddings(
        collection,
        [
            EmbeddingRow(
                study_id=saved.study_id(each),
                volume_id=saved.volume_id(each, each.volumes[0]),
                content=b"c",
                latent=np.array(latents[each.study], np.float32),
            )
            for each in cases
        ],
    )


def drawn(engine: Engine, maps: LatentMaps, collection: CollectionInfo, method: str = "pca"):
    with one_state(engine) as connection:
        return maps.map_of(connection, collection, method)


def test_an_unknown_method_is_refused(engine: Engine, collection: CollectionInfo) -> None:
    with pytest.raises(SearchError, match="pca, tsne"):
        drawn(engine, LatentMaps(), collection, "umap")


AXES = {"a": [1.0, 0, 0, 0], "b": [-1.0, 0, 0, 0], "c": [0, 0.6, 0.8, 0], "d": [0, -0.6, -0.8, 0]}


def test_a_map_is_drawn_again_when_a_latent_comes_and_only_then(
    engine: Engine, store: Store, collection: CollectionInfo
) -> None:
    fill(store, collection, AXES)
    maps = LatentMaps()
    first = drawn(engine, maps, collection)
    assert [point.study for point in first.points] == ["a", "b", "c", "d"]
    with engine.begin() as connection:  # as nothing of ours writes: what writes says so in written_by
        connection.execute(text("UPDATE embedding SET latent = '[0,0,0,1]' WHERE latent = '[1,0,0,0]'"))
    assert drawn(engine, LatentMaps(), collection) != first
    assert drawn(engine, maps, collection) == first
    fill(store, collection, {"e": [0, 0, 0, 1.0]})
    assert [point.study for point in drawn(engine, maps, collection).points] == ["a", "b", "c", "d", "e"]


def test_a_case_that_is_removed_leaves_the_map(
    engine: Engine, store: Store, collection: CollectionInfo
) -> None:
    fill(store, collection, AXES)
    maps = LatentMaps()
    drawn(engine, maps, collection)
    store.remove_study("b")
    assert [point.study for point in drawn(engine, maps, collection).points] == ["a", "c", "d"]


def test_t_sne_places_every_study(engine: Engine, store: Store, collection: CollectionInfo) -> None:
    pytest.importorskip("sklearn")
    fill(store, collection, AXES)
    points = drawn(engine, LatentMaps(), collection, "tsne").points
    assert len({(point.x, point.y) for point in points}) == 4
    assert max(abs(value) for point in points for value in (point.x, point.y)) == pytest.approx(1)


def test_the_page_has_the_points_and_refuses_a_collection_that_is_not_there(
    engine: Engine, store: Store, collection: CollectionInfo
) -> None:
    fill(store, collection, AXES)
    client = client_of(engine)
    page = client.get("/map")
    assert page.status_code == 200
    assert "/map-points?collection=chest" in page.text
    document = client.get("/map-points", params={"collection": "chest"}).json()
    assert [point[5] for point in document["points"]] == ["a", "b", "c", "d"]
    assert client.get("/map", params={"collection": "none"}).status_code == 404
    assert client.get("/map-points", params={"collection": "none"}).status_code == 404


def test_a_collection_without_a_latent_has_a_map_without_points(
    engine: Engine, collection: CollectionInfo
) -> None:
    assert drawn(engine, LatentMaps(), collection).points == ()
