"""Sixteen at once: each gets the answer that it would get alone, whatever is loaded for the first time."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from sqlalchemy import Engine

from encoders.encoder import load_encoder
from retrieval.answers import SearchOptions
from retrieval.postgres import open_engine
from retrieval.service import CaseSearch
from tests.small_archive import fill, study
from tests.tiny_model import LATENT_DIM, write_tiny_model

CLIENTS, ROUNDS = 16, 3


@pytest.fixture
def archive(engine: Engine, tmp_path: Path) -> Engine:
    """Two thousand latents and more: a snapshot is built for them by whoever asks first."""
    write_tiny_model(tmp_path / "tiny")
    rng = np.random.default_rng(0)
    cases = [
        study(f"s_{number}", findings=f"Nodule number {number}." if number % 7 else "No nodule. Emphysema.")
        for number in range(1100)
    ]
    latents = {volume.name: rng.normal(size=LATENT_DIM) for case in cases for volume in case.volumes}
    digest = load_encoder(tmp_path / "tiny").digest
    fill(
        engine, cases, volumes=latents, encoder=str(tmp_path / "tiny"), encoder_digest=digest, dim=LATENT_DIM
    )
    return engine


def test_sixteen_clients_get_what_each_gets_alone(archive: Engine) -> None:
    pytest.importorskip("faiss", reason="snapshots are searched by FAISS")

    def asked(service: CaseSearch, number: int):
        case = service.search_by_case(f"s_{number}", SearchOptions(k=5))
        text = service.search_by_text("emphysema", SearchOptions(k=5))
        scores = service.score_case(f"s_{number}", [f"finding {number % 3}"])
        return (
            [(hit.study, round(hit.score, 5)) for hit in (*case.hits, *text.hits)],
            {name: round(value, 5) for name, value in scores.probabilities.items()},
        )

    alone = [asked(CaseSearch(archive), number) for number in range(2)]
    engine = open_engine(pool_size=CLIENTS)
    service, together = CaseSearch(engine), Barrier(CLIENTS)

    def client(number: int):
        together.wait()
        return [asked(service, (number + turn) % 2) for turn in range(ROUNDS)]

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(client, range(CLIENTS)))
    engine.dispose()
    for number, turns in enumerate(answers):
        assert turns == [alone[(number + turn) % 2] for turn in range(ROUNDS)]
