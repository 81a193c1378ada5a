"""An archive with latents that a test knows, and searches compared with NumPy's whole ranking."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text

from retrieval.records import CollectionInfo, EmbeddingRow
from retrieval.search import SearchOptions
from retrieval.service import CaseSearch
from retrieval.snapshots import FAISS_FROM_ROWS, Snapshots
from tests.small_archive import fill, study, unit

DIM = 8
STUDIES = 30


@dataclass
class Archive:
    """What is stored, kept beside it: volumes' latents by name."""

    engine: Engine
    info: CollectionInfo
    latents: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where its snapshot lies."""
        return Snapshots(self.engine).folder(self.info)

    def ids(self, name: str) -> tuple[int, int]:
        """Of a volume's study, and of the volume."""
        with self.engine.connect() as connection:
            row = connection.execute(
                text("SELECT study_id, id FROM volume WHERE name = :n"), {"n": name}
            ).one()
        return row.study_id, row.id

    def row(self, name: str, latent: np.ndarray) -> EmbeddingRow:
        """A latent for a volume."""
        study_id, volume_id = self.ids(name)
        return EmbeddingRow(study_id=study_id, volume_id=volume_id, content=b"x", latent=latent)

    def finds(self, query: np.ndarray, engine: str = "faiss", service: CaseSearch | None = None) -> None:
        """Search, and compare the whole ranking with NumPy's."""
        options = SearchOptions(k=5000, unit="volume", engine=engine)
        [answer] = (service or CaseSearch(self.engine)).search_by_latents(query, options)
        assert answer.exact
        scores = {name: float(latent @ query) for name, latent in self.latents.items()}
        assert {hit.volume: hit.score for hit in answer.hits} == pytest.approx(scores, abs=1e-6)
        assert [hit.score for hit in answer.hits] == sorted((hit.score for hit in answer.hits), reverse=True)
        if engine != "auto":
            assert answer.engine == engine


def made(engine: Engine, seed: int = 0) -> Archive:
    """Thirty studies of two volumes, each with a latent, and a report, likewise."""
    rng = np.random.default_rng(seed)
    cases = [study(f"s{number:02d}") for number in range(STUDIES)]
    latents = {volume.name: unit(rng.normal(size=DIM)) for case in cases for volume in case.volumes}
    reports = {case.study: unit(rng.normal(size=DIM)) for case in cases}
    cases = [replace(case, reports=study(case.study, findings="A nodule.").reports) for case in cases]
    return Archive(engine, fill(engine, cases, volumes=latents, reports=reports, dim=DIM), latents)


def made_large(engine: Engine) -> Archive:
    """As many latents as a snapshot is made for unasked."""
    latents = dict(zip(map("v{}".format, range(FAISS_FROM_ROWS)), latents_of(FAISS_FROM_ROWS), strict=True))
    info = fill(engine, [study("s", volumes=list(latents))], volumes=latents, dim=DIM)
    return Archive(engine, info, latents)


def latents_of(count: int, seed: int = 5) -> np.ndarray:
    """Unit latents, (count, DIM)."""
    latent_NL = np.random.default_rng(seed).normal(size=(count, DIM))
    return np.asarray(latent_NL / np.linalg.norm(latent_NL, axis=1, keepdims=True), np.float32)


def query(seed: int = 9) -> np.ndarray:
    """A unit latent, (DIM,)."""
    return unit(np.random.default_rng(seed).normal(size=DIM))
