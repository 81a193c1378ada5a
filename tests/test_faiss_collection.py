"""Each kind of FAISS index against NumPy; and what is asked of a search that cannot be answered."""

import functools
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from encoders.errors import ConfigError, CtsearchError, InputError, SearchError, StorageError
from retrieval.faiss_collection import INDEX_KINDS, FaissCollection, index_kind
from retrieval.filters import Filters
from retrieval.search import SearchOptions
from retrieval.service import CaseSearch
from retrieval.store import EmbeddingRow, Store
from tests.small_archive import fill, study, unit

ROWS, DIM = 17_000, 16  # more than 16,384 rows: fewer become a flat index
SHARES = (0.0, 1 / ROWS, 0.001, 0.1, 0.5, 1.0)


@functools.cache
def clustered() -> tuple[np.ndarray, np.ndarray]:
    """Latents (ROWS, DIM) in 200 clusters, a hundred of them twice; and forty queries among them."""
    rng = np.random.default_rng(12)
    centre_CL = rng.normal(size=(200, DIM))
    latent_NL = centre_CL[rng.integers(200, size=ROWS)] + 0.4 * rng.normal(size=(ROWS, DIM))
    latent_NL[100:200] = latent_NL[:100]
    query_QL = centre_CL[:40] + 0.4 * rng.normal(size=(40, DIM))
    return of_unit_length(latent_NL), of_unit_length(query_QL)


def of_unit_length(latent_NL: np.ndarray) -> np.ndarray:
    return np.asarray(latent_NL / np.linalg.norm(latent_NL, axis=1, keepdims=True), np.float32)


@functools.cache
def built(kind: str) -> FaissCollection:
    return FaissCollection.build(np.array_split(clustered()[0], 7), DIM, index_kind(kind))


def among(share: float) -> np.ndarray:
    chosen_N = np.zeros(ROWS, bool)
    chosen_N[np.random.default_rng(1).permutation(ROWS)[: round(share * ROWS)]] = True
    return chosen_N


def best(query_L: np.ndarray, k: int, among_N: np.ndarray | None = None) -> np.ndarray:
    """The k highest inner products, in float64."""
    score_N = clustered()[0].astype(np.float64) @ query_L.astype(np.float64)
    return np.sort(score_N if among_N is None else score_N[among_N])[::-1][:k]


@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_an_index_of_each_kind_has_what_it_was_given(kind: str) -> None:
    index = built(kind)
    assert (index.kind, len(index), index.latent_dim) == (kind, ROWS, DIM)


@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_without_a_filter_nearly_all_of_the_nearest_are_found(kind: str) -> None:
    latent_NL, query_QL = clustered()
    nearest = built(kind).nearest(query_QL, 10)
    recalls = []
    for query_L, row_K, score_K in zip(query_QL, nearest.row_QK, nearest.score_QK, strict=True):
        expected = best(query_L, 10)
        assert len(set(row_K.tolist())) == 10
        assert np.allclose(latent_NL[row_K] @ query_L, score_K, atol=2e-3 if kind == "ivf-fp16" else 1e-5)
        assert (np.diff(score_K) <= 0).all()
        recalls.append(np.mean(latent_NL[row_K] @ query_L >= expected[-1] - 1e-6))
        if built(kind).is_exact(filtered=False):
            assert np.allclose(score_K, expected, atol=1e-5)
    assert np.mean(recalls) >= 0.95
    assert built(kind).is_exact(filtered=False) == (kind == "flat")


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_among_rows_that_a_filter_left_none_is_lost(kind: str, share: float) -> None:
    latent_NL, query_QL = clustered()
    among_N = among(share)
    k = min(10, int(among_N.sum()))
    nearest = built(kind).nearest(query_QL, 10, among_N)
    assert nearest.row_QK.shape == nearest.score_QK.shape == (len(query_QL), k)
    tolerance = 2e-3 if kind == "ivf-fp16" else 1e-5  # halves
    for query_L, row_K, score_K in zip(query_QL, nearest.row_QK, nearest.score_QK, strict=True):
        assert among_N[row_K].all()
        assert len(set(row_K.tolist())) == k
        assert np.allclose(score_K, best(query_L, 10, among_N), atol=tolerance)
        assert np.allclose(latent_NL[row_K] @ query_L, best(query_L, 10, among_N), atol=tolerance)


@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_more_than_there_are_yields_all_that_match(kind: str) -> None:
    among_N = among(0.001)
    nearest = built(kind).nearest(clustered()[1][:3], 10**9, among_N)
    for row_K in nearest.row_QK:
        assert sorted(row_K) == np.flatnonzero(among_N).tolist()


def test_more_than_there_are_yields_every_row_of_a_flat_index() -> None:
    [row_K] = built("flat").nearest(clustered()[1][:1], ROWS + 5).row_QK
    assert sorted(row_K) == list(range(ROWS))


@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_a_file_that_is_mapped_answers_as_the_index_that_wrote_it(kind: str, tmp_path: Path) -> None:
    path, query_QL = tmp_path / "index.faiss", clustered()[1]
    built(kind).write(path)
    mapped = FaissCollection.read(path, index_kind(kind))
    assert (len(mapped), mapped.latent_dim) == (ROWS, DIM)
    for among_N in (None, among(0.1)):
        written, read = built(kind).nearest(query_QL, 20, among_N), mapped.nearest(query_QL, 20, among_N)
        assert np.array_equal(written.row_QK, read.row_QK)
        assert np.array_equal(written.score_QK, read.score_QK)


@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_few_latents_or_none_become_a_flat_index(kind: str, tmp_path: Path) -> None:
    few = FaissCollection.build([clustered()[0][:50]], DIM, index_kind(kind))
    empty = FaissCollection.build([], DIM, index_kind(kind))
    assert few.kind == empty.kind == "flat"
    assert few.nearest(clustered()[1], 60).row_QK.shape == (40, 50)
    assert empty.nearest(clustered()[1], 5).row_QK.shape == (40, 0)
    empty.write(tmp_path / "empty.faiss")
    assert len(FaissCollection.read(tmp_path / "empty.faiss", "flat")) == 0


def test_a_file_that_is_no_index_is_one_sentence(tmp_path: Path) -> None:
    for content in (b"", b"x" * 5000, b"IxFI" + b"\xff" * 60):
        (tmp_path / "wrong.faiss").write_bytes(content)
        with pytest.raises(InputError, match=r"wrong\.faiss is no index that FAISS can read: build it again"):
            FaissCollection.read(tmp_path / "wrong.faiss", "flat")
    with pytest.raises(StorageError, match="cannot be written"):
        built("flat").write(tmp_path / "no folder" / "index.faiss")
    with pytest.raises(ConfigError, match="there is no FAISS index 'annoy'; take one of flat, hnsw"):
        index_kind("annoy")


# What cannot be asked


@pytest.fixture
def service(engine: Engine) -> CaseSearch:
    """Two studies in `default`, and nothing in `bare`."""
    volumes = {name: unit([1, number, 0, 0]) for number, name in enumerate(("a_1", "a_2", "b_1", "b_2"))}
    fill(engine, [study("a"), study("b")], volumes=volumes)
    fill(engine, [], collection="bare")
    return CaseSearch(engine)


def refusal(ask, *arguments, **options) -> str:
    with pytest.raises(CtsearchError) as refused:
        ask(*arguments, **options)
    said = str(refused.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize("engine_name", ["auto", "faiss", "pgvector"])
def test_what_cannot_be_searched_is_one_sentence(service: CaseSearch, engine_name) -> None:
    options, good = SearchOptions(engine=engine_name), unit([1, 0, 0, 0])

    def ask(latent, **more) -> str:
        return refusal(service.search_by_latents, np.asarray(latent, np.float32), options, **more)

    assert "is not finite" in ask([np.nan, 0, 0, 1])
    assert "is not finite" in ask([good, [0, np.inf, 0, 0]])
    assert "has shape (3,), the collection 'default' has latents of 4 numbers: ask with the encoder" in ask(
        [1, 0, 0]
    )
    assert "'bare' is empty; put cases into it with `ctsearch index`" in ask(good, collection="bare")
    assert "no collection 'defualt': did you mean 'default'" in ask(good, collection="defualt")


@pytest.mark.parametrize("engine_name", ["auto", "faiss", "pgvector"])
def test_more_hits_than_there_are_cases_are_all_of_them(service: CaseSearch, engine_name) -> None:
    [answer] = service.search_by_latents(
        unit([1, 0, 0, 0]), SearchOptions(k=10**12, unit="volume", engine=engine_name)
    )
    assert [hit.volume for hit in answer.hits] == ["a_1", "a_2", "b_1", "b_2"]
    [none] = service.search_by_latents(
        unit([1, 0, 0, 0]), SearchOptions(engine=engine_name, filters=Filters(sex="F"))
    )
    assert none.hits == ()


def test_no_hits_and_findings_that_are_none_are_refused_before_anything_is_searched() -> None:
    assert refusal(SearchOptions, k=0) == "k=0 asks for no hits; take 1 or more"
    assert "did you mean Emphysema" in refusal(Filters, labels=("emphysemia",))
    assert "did you mean Pleural effusion" in refusal(Filters, without_labels=("pleural efusion",))
    with pytest.raises(SearchError, match="engine 'annoy' is unknown; take one of auto, faiss, pgvector"):
        SearchOptions(engine="annoy")


def test_latents_of_another_encoder_never_come_into_a_collection(engine: Engine, service: CaseSearch) -> None:
    store = Store(engine)
    digests = {"encoder_digest": "e" * 64, "preprocessing_digest": "p" * 64}
    for other in ({"encoder_digest": "f" * 64}, {"preprocessing_digest": "f" * 64}, {"latent_dim": 8}):
        wanted = {"encoder": "tiny", "latent_dim": 4} | digests | other
        assert "'default'" in refusal(store.ensure_collection, "default", **wanted)
    info, [case] = store.collection("default"), [study("c")]
    saved = store.save_cases([case])
    ids = {"study_id": saved.study_id(case), "volume_id": saved.volume_id(case, case.volumes[0])}
    for latent in (np.full(4, np.nan), np.zeros(4), np.ones(4), np.ones(3)):
        row = EmbeddingRow(**ids, content=b"x", latent=latent.astype(np.float32))
        assert "the latent of volume" in refusal(store.save_embeddings, info, [row])
    [answer] = service.search_by_latents(unit([1, 0, 0, 0]), SearchOptions(unit="volume", engine="faiss"))
    assert len(answer.hits) == 4
