"""Zero-shot scores from stored latents: the published formula, worked out by torch, for any words."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from encoders.abnormalities import ABNORMALITIES
from encoders.encoder import load_encoder
from encoders.errors import CheckpointError, ReportError, SearchError
from retrieval.cases import Acquisition, Sex
from retrieval.filters import Filters
from retrieval.search import SearchOptions
from retrieval.service import CaseSearch
from tests.small_archive import fill, study, unit
from tests.tiny_model import LATENT_DIM, write_tiny_model

CASES = 12
SEXES: tuple[Sex, Sex] = ("F", "M")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_model(directory)
    return directory


@pytest.fixture
def latents() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        f"s{number}_{each}": unit(rng.normal(size=LATENT_DIM)) for number in range(CASES) for each in (1, 2)
    }


def archive(engine: Engine, latents, directory: Path, digest: str) -> CaseSearch:
    cases = [
        study(f"s{number}", acquisition=Acquisition(sex=SEXES[number % 2]), findings="Normal.")
        for number in range(CASES)
    ]
    cases.append(study("told", volumes=("told_1",), findings="A nodule."))
    fill(
        engine,
        cases,
        volumes=latents,
        reports={"told": np.ones(LATENT_DIM)},
        encoder=str(directory),
        encoder_digest=digest,
        dim=LATENT_DIM,
    )
    return CaseSearch(engine)


@pytest.fixture
def ward(engine, latents, model) -> CaseSearch:
    return archive(engine, latents, model, load_encoder(model).digest)


def softmax_by_torch(model: Path, latent: np.ndarray, present: str, absent: str) -> float:
    """P = softmax(exp(temperature) · (v·present, v·absent)) [0], arXiv 2403.17834."""
    encoder = load_encoder(model)
    both = encoder.encode_reports([present, absent]) @ torch.from_numpy(latent)
    return float(torch.softmax(both * np.exp(encoder.log_temperature), dim=0)[0])


def test_the_eighteen_are_scored_from_the_stored_latent(ward, latents, model) -> None:
    scores = ward.score_case("s3_2", prompt="{} is present.")
    assert list(scores.probabilities) == list(ABNORMALITIES)
    for finding in ("Lung nodule", "Emphysema", "Pleural effusion"):
        expected = softmax_by_torch(
            model, latents["s3_2"], f"{finding} is present.", f"{finding} is not present."
        )
        assert scores.probabilities[finding] == pytest.approx(expected, abs=1e-6)
    assert scores.to_json()["prompt"] == "{} is present."


def test_a_study_is_scored_by_its_first_reconstruction(ward) -> None:
    assert ward.score_case("s3") == ward.score_case("s3_1")


def test_any_finding_and_any_prompt_can_be_scored(ward, latents, model) -> None:
    scores = ward.score_case("s0_1", ["crazy paving"], prompt="There is [no] {}.")
    expected = softmax_by_torch(model, latents["s0_1"], "There is crazy paving.", "There is no crazy paving.")
    assert scores.to_json() == {
        "prompt": "There is {}.",
        "abnormalities": {"crazy paving": pytest.approx(expected, abs=1e-6)},
    }


def test_a_collection_is_ranked_by_probability(ward, latents, model) -> None:
    expected = {
        name: softmax_by_torch(model, latent, "crazy paving is present.", "crazy paving is not present.")
        for name, latent in latents.items()
    }

    @settings(max_examples=20, deadline=None)
    @given(
        k=st.integers(1, 30),
        sex=st.sampled_from([None, "F", "M"]),
        unit_of_hits=st.sampled_from(["study", "volume"]),
    )
    def check(k, sex, unit_of_hits) -> None:
        options = SearchOptions(k=k, filters=Filters(sex=sex), unit=unit_of_hits)
        [ranking] = ward.rank_by_findings(["crazy paving"], options)
        allowed = {
            name: score
            for name, score in expected.items()
            if sex in (None, SEXES[int(name[1:].split("_")[0]) % 2])
        }
        if unit_of_hits == "study":
            best = [max(allowed[f"s{n}_1"], allowed[f"s{n}_2"]) for n in range(CASES) if f"s{n}_1" in allowed]
        else:
            best = list(allowed.values())
        assert [hit.score for hit in ranking.hits] == pytest.approx(sorted(best, reverse=True)[:k], abs=1e-6)
        assert all(hit.score == pytest.approx(expected[hit.volume or ""], abs=1e-6) for hit in ranking.hits)

    check()


def test_a_case_without_a_volume_latent_cannot_be_scored(ward) -> None:
    with pytest.raises(SearchError, match="told has no latent of its volume in the collection"):
        ward.score_case("told")


@pytest.mark.parametrize("finding", ["", "  "])
def test_a_finding_must_be_named(ward, finding) -> None:
    with pytest.raises(SearchError, match="finding is empty"):
        ward.score_case("s0", [finding])


def test_an_encoder_that_is_gone_or_another_one_now_is_told(engine, latents, model, tmp_path) -> None:
    gone = archive(engine, latents, tmp_path / "gone", "e" * 64)
    with pytest.raises(CheckpointError, match=r"'default' needs the encoder that made it, .*gone"):
        gone.score_case("s0")


def test_an_encoder_of_another_digest_is_refused(engine, latents, model) -> None:
    other = archive(engine, latents, model, "f" * 64)
    with pytest.raises(CheckpointError, match=r"made by another encoder \(ffffffffffff\)"):
        other.score_case("s0")


def test_an_encoder_without_a_tokeniser_says_so(engine, latents, tmp_path) -> None:
    card = write_tiny_model(tmp_path / "mute", reads_text=False)
    mute = archive(engine, latents, tmp_path / "mute", card.digest)
    with pytest.raises(ReportError, match="no tokeniser"):
        mute.score_case("s0")
    assert mute.search_by_case("s0", SearchOptions(k=1)).hits  # what needs no text still works
