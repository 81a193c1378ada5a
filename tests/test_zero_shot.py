"""Zero-shot probabilities come from stored latents, and any finding can be asked for."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from encoders.abnormalities import ABNORMALITIES, ALIASES, PROMPTS, PromptPair
from encoders.checkpoints import Weights
from encoders.config import CtClipConfig, ReportEncoderConfig, VolumeEncoderConfig
from encoders.ct_clip import CtClip
from encoders.encoder import Encoder, load_encoder
from encoders.errors import SearchError
from encoders.model_directory import write_model
from encoders.reports import ReportTokenizer
from encoders.zero_shot import Prompts, encode_prompts, pair_logits, probabilities, prompt_pair
from tests.shared import shared_file

PRESENT = PROMPTS["is present"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """A tiny model with random weights and a vocabulary of the words that prompts use."""
    folder = tmp_path_factory.mktemp("models")
    words = {word.lower() for name in ABNORMALITIES for word in name.split()}
    words |= {
        "findings",
        "are",
        "compatible",
        "with",
        "there",
        "crazy",
        "paving",
        "is",
        "not",
        "no",
        "present",
        ".",
    }
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(words)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    torch.manual_seed(0)
    config = CtClipConfig(
        volume=VolumeEncoderConfig(
            image_px=8, slices=4, patch_px=8, patch_slices=4, width=8, spatial_depth=1, temporal_depth=1
        ),
        report=ReportEncoderConfig(
            vocabulary=len(vocabulary), width=32, layers=2, heads=4, feed_forward=64, max_tokens=32
        ),
        latent_dim=16,
    )
    tokenizer = ReportTokenizer.from_path(folder / "vocab.txt")
    write_model(folder / "random", Weights(config, CtClip(config).state_dict()), tokenizer=tokenizer)
    return load_encoder(folder / "random")


@pytest.fixture(scope="module")
def volumes() -> np.ndarray:
    latents: np.ndarray = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    latents /= np.linalg.norm(latents, axis=1, keepdims=True)
    return latents


def test_the_published_pair_of_texts_gives_the_published_probabilities() -> None:
    expected = load_file(shared_file("golden/ctclip_tiny/expected.safetensors"))
    temperature = load_file(shared_file("golden/ctclip_tiny/checkpoint.safetensors"))["temperature"].item()
    prompts = Prompts(
        pair=PRESENT,
        findings=("anything",),
        latents=expected["text_latents"][None, :2].numpy(),
        scale=math.exp(temperature),
    )
    volume = expected["image_latents"][:1]
    np.testing.assert_allclose(pair_logits(volume, prompts)[0, 0], expected["pair_logits"], atol=1e-5)
    np.testing.assert_allclose(probabilities(volume, prompts)[0, 0], expected["pair_probs"][0], atol=1e-5)


def test_probability_is_the_hand_worked_softmax_over_the_two_sentences() -> None:
    latents = np.array([[[1.0, 0.0], [0.0, 1.0]]], dtype=np.float32)
    prompts = Prompts(pair=PRESENT, findings=("nodule",), latents=latents, scale=2.0)
    shown = probabilities(np.array([[0.6, 0.8], [1.0, 0.0]], dtype=np.float32), prompts)
    assert shown[:, 0] == pytest.approx([1 / (1 + math.exp(0.4)), 1 / (1 + math.exp(-2))])


def test_all_18_findings_are_scored_at_once_in_their_order(encoder, volumes) -> None:
    prompts = encode_prompts(encoder)
    shown = probabilities(volumes, prompts)
    assert prompts.findings == ABNORMALITIES
    assert shown.shape == (5, 18)
    for column, name in enumerate(ABNORMALITIES):
        texts = encoder.encode_reports([f"{name} is present.", f"{name} is not present."])
        logits = math.exp(encoder.log_temperature) * volumes @ texts.numpy().T
        np.testing.assert_allclose(shown[:, column], torch.from_numpy(logits).softmax(dim=1)[:, 0], atol=1e-6)


def test_the_log_odds_are_one_inner_product_away(encoder, volumes) -> None:
    prompts = encode_prompts(encoder)
    shown = probabilities(volumes, prompts)
    np.testing.assert_allclose(volumes @ prompts.directions.T, np.log(shown / (1 - shown)), atol=1e-5)


def test_any_finding_can_be_asked_for_in_words(encoder, volumes) -> None:
    prompts = encode_prompts(encoder, [" crazy  paving. ", "crazy paving"], PROMPTS["compatible"])
    assert prompts.findings == ("crazy paving",)
    assert probabilities(volumes, prompts).shape == (5, 1)
    for findings in ([], [" . "]):
        with pytest.raises(SearchError, match="finding is empty"):
            encode_prompts(encoder, findings)


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("there is", PROMPTS["there is"]),
        ("{X} is present.", PROMPTS["is present"]),
        ("{} is Seen.", PROMPTS["is seen"]),
        ("{X} is [not] observed.", PROMPTS["is observed"]),
        ("There is [no] {X}.", PROMPTS["there is"]),
        ("[Not] {X}.", PROMPTS["not"]),
        ("Signs of {X}.|Normal, without {X}.", PromptPair("Signs of {}.", "Normal, without {}.")),
    ],
)
def test_a_prompt_is_a_name_a_sentence_or_a_pair_of_them(text, pair) -> None:
    assert prompt_pair(text) == pair


@pytest.mark.parametrize(
    "text", ["", "is absent", "{X} may be present.", "Nodule is [not] present.", "{X}|nothing", "{X}.|{X}."]
)
def test_a_prompt_that_denies_nothing_is_refused_in_one_sentence(text) -> None:
    with pytest.raises(SearchError, match=r"affirmed and denied.*'There is \[no\] \{X\}\.'") as raised:
        prompt_pair(text)
    assert "\n" not in str(raised.value)


def test_the_paper_s_seven_prompts_name_the_finding_on_both_sides() -> None:
    assert len(PROMPTS) == 7
    for pair in PROMPTS.values():
        assert pair.present.count("{}") == pair.absent.count("{}") == 1
        assert pair.present != pair.absent


def test_every_finding_has_other_names_and_none_stands_for_two() -> None:
    names = [name.lower() for finding in ABNORMALITIES for name in (finding, *ALIASES[finding])]
    assert len(ABNORMALITIES) == len(ALIASES) == 18
    assert len(names) == len(set(names))
