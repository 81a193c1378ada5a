"""Where a snapshot cannot be made, PostgreSQL answers, and nothing is left lying about."""

import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from encoders.errors import ConfigError, StorageError
from retrieval.faiss_collection import open_faiss
from retrieval.search import SearchOptions
from retrieval.service import CaseSearch
from retrieval.snapshot_files import (
    LOCK,
)
from tests.snapshot_archive import Archive, made_large, query


@pytest.fixture
def large(engine: Engine) -> Archive:
    return made_large(engine)


@pytest.fixture
def full_disk() -> Iterator[Callable[[], None]]:
    """Files end at 16 KB until the function that is yielded is called: the index no longer fits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10, hard))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_answer_to_postgres_and_no_litter(large, request) -> None:
    make_room = request.getfixturevalue("full_disk")
    service = CaseSearch(large.engine)
    for _ in range(2):
        [answer] = service.search_by_latents(query(), SearchOptions(k=5))
        assert (answer.engine, answer.exact, len(answer.hits)) == ("pgvector", True, 1)
    assert {path.name for path in large.folder.iterdir()} <= {LOCK}
    make_room()
    large.finds(query(), "faiss")


@pytest.mark.parametrize("in_its_way", ["home", "home/snapshots"])
def test_a_home_that_cannot_be_written_leaves_the_answer_to_postgres(
    large, tmp_path: Path, in_its_way: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / in_its_way).parent.mkdir(exist_ok=True)
    (tmp_path / in_its_way).write_bytes(b"a file")
    large.finds(query(), "auto")
    assert "PostgreSQL answers meanwhile" in caplog.text
    with pytest.raises(StorageError, match="set CTSEARCH_HOME to"):
        large.finds(query(), "faiss")


def test_without_faiss_postgres_answers(large, monkeypatch: pytest.MonkeyPatch) -> None:
    open_faiss.cache_clear()
    monkeypatch.setitem(sys.modules, "faiss", None)
    large.finds(query(), "auto")
    with pytest.raises(ConfigError, match=r"run pip install 'ctsearch\[cpu\]'"):
        large.finds(query(), "faiss")


def test_a_lock_that_cannot_be_taken_leaves_the_answer_to_postgres(large) -> None:
    (large.folder / LOCK).mkdir(parents=True)
    large.finds(query(), "auto")
