"""Contrastive training: the loss worked by hand, pairs that are true, and a run that learns and repeats."""

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from encoders.abnormalities import ABNORMALITIES, PROMPTS
from encoders.ct_clip import CtClip
from encoders.errors import ConfigError, CtsearchError
from encoders.volumes import grid_from_hounsfield
from retrieval.datasets.phantom import TRAINING_SEEDS
from retrieval.datasets.phantom.report import Statement
from retrieval.datasets.phantom.scan import draw_scan, reconstruct
from training.contrastive import contrastive_loss, prompt_loss
from training.data import Batch, batches, gather, prompt_tokens, short_text
from training.loop import make_optimizers, train, train_step
from training.phantom_pairs import PhantomPairs, drawn_pairs, training_scan
from training.runs import ContrastiveRun, named_run, phantom, with_source
from training.schedule import warmed_cosine
from training.train_contrastive import phantom_vocabulary, train_phantom
from training.vocabulary import learn_vocabulary


def tiny_run() -> ContrastiveRun:
    """The phantom run, made small enough to take a second."""
    run = phantom()
    volume = replace(run.model.volume, width=16, heads=1, head_width=16)
    report = replace(run.model.report, vocabulary=600, width=16, heads=2, feed_forward=32)
    model = replace(run.model, volume=volume, report=report, latent_dim=16)
    return replace(
        run, model=model, patients=16, steps=6, batch_size=8, warm_up=2, peak_rate=3e-3, log_every=3
    )


@pytest.fixture(scope="module")
def pairs() -> Iterator[PhantomPairs]:
    run = tiny_run()
    with drawn_pairs(12, run.data_seed, run.model.volume.grid, workers=1) as drawn:
        yield drawn


def one_batch(pairs: PhantomPairs, run: ContrastiveRun, count: int) -> Batch:
    return gather([pairs.pair(index, 0) for index in range(count)], phantom_vocabulary(run), 512)


def unit(*rows: list[float]) -> torch.Tensor:
    return functional.normalize(torch.tensor(rows), dim=-1)


# --- losses -----------------------------------------------------------------------------------------------


def test_the_loss_of_a_pair_of_right_angles_is_worked_by_hand() -> None:
    latents = unit([1.0, 0.0], [0.0, 1.0])
    # logits are e^0 on the diagonal times 1, and 0 beside it
    expected = -math.log(math.e / (math.e + 1))
    assert contrastive_loss(latents, latents, torch.tensor(0.0)).item() == pytest.approx(expected)


def test_the_loss_is_the_mean_of_both_directions() -> None:
    volume, text = unit([1.0, 0.0], [0.6, 0.8]), unit([1.0, 0.0], [0.0, 1.0])
    logits = (text @ volume.T * 2).numpy()  # log temperature ln 2
    rows = np.mean([-logits[i, i] + math.log(np.exp(logits[i]).sum()) for i in range(2)])
    columns = np.mean([-logits[i, i] + math.log(np.exp(logits[:, i]).sum()) for i in range(2)])
    found = contrastive_loss(volume, text, torch.tensor(math.log(2.0))).item()
    assert found == pytest.approx((rows + columns) / 2, abs=1e-6)


def test_equal_reports_do_not_push_each_other_apart() -> None:
    volume, text = unit([1.0, 0.0], [1.0, 0.0]), unit([1.0, 0.0], [1.0, 0.0])
    volume.requires_grad_()
    alike = torch.ones(2, 2, dtype=torch.bool)
    loss = contrastive_loss(volume, text, torch.tensor(0.0), alike)
    assert loss.item() == pytest.approx(math.log(2))  # the entropy of two right answers, its least value
    loss.backward()
    assert volume.grad.abs().max() < 1e-7


def test_the_prompt_loss_is_that_of_a_softmax_over_the_pair() -> None:
    volume = unit([1.0, 0.0])
    prompts = unit([1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0])  # two affirm, then two deny
    present = torch.tensor([[True, False]])
    right = math.exp(1) / (math.exp(1) + 1)
    assert prompt_loss(volume, prompts, torch.tensor(0.0), present).item() == pytest.approx(-math.log(right))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.25),
        (3, 1.0),  # the end of the rise
        (4, 1.0),  # the top of the cosine
        (8, 0.5),  # half way down
        (12, 0.0),
    ],
)
def test_the_rate_rises_and_falls_as_a_cosine(step: int, expected: float) -> None:
    assert warmed_cosine(step, steps=12, warm_up=4) == pytest.approx(expected)
    assert warmed_cosine(step, steps=12, warm_up=4, floor=0.1) >= min(expected, 0.1)


# --- data -------------------------------------------------------------------------------------------------


def test_short_texts_are_true_of_the_scans_they_are_said_of() -> None:
    rng = np.random.default_rng(0)
    labels = {name: index % 3 == 0 for index, name in enumerate(ABNORMALITIES)}
    statements = [
        Statement("There is a large effusion.", (("Medical material", True),)),
        Statement("No atelectasis was detected.", (("Arterial wall calcification", False),)),
    ]
    texts = [short_text(statements, labels, rng) for _ in range(400)]
    assert all(labels[name] == present for text in texts for name, present in text.says or ())
    assert any(text.says is None for text in texts)  # says more than a label
    prompts = {
        t.format(n) for pair in PROMPTS.values() for t in (pair.present, pair.absent) for n in ABNORMALITIES
    }
    asked = [text for text in texts if text.text in prompts]
    assert 0.3 < len(asked) / len(texts) < 0.5
    assert 0.35 < np.mean([text.says[0][1] for text in asked]) < 0.65


def test_a_denial_matches_every_scan_that_it_is_true_of(pairs: PhantomPairs) -> None:
    items = [pairs.pair(index, epoch=1) for index in range(12)]
    batch = gather(items, phantom_vocabulary(tiny_run()), 512)
    assert batch.short_matches_BB.diagonal().all()
    assert any(item.short.says is not None for item in items)
    for row, item in enumerate(items):
        if item.short.says is None:
            assert batch.short_matches_BB[row].sum() == 1
            continue
        for column, other in enumerate(items):
            holds = all(other.labels[ABNORMALITIES.index(n)] == present for n, present in item.short.says)
            assert bool(batch.short_matches_BB[row, column]) == (holds or row == column)


def test_batches_go_through_all_pairs_in_an_order_that_the_seed_decides(pairs: PhantomPairs) -> None:
    tokenizer = phantom_vocabulary(tiny_run())

    def epoch(seed: int) -> list[Batch]:
        return list(islice(batches(pairs, tokenizer, batch_size=4, max_tokens=512, seed=seed), 3))

    first, again, other = epoch(3), epoch(3), epoch(4)
    assert all(torch.equal(a.volume_BCDHW, b.volume_BCDHW) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(a.short_ids_BT, b.short_ids_BT) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0].volume_BCDHW, other[0].volume_BCDHW)
    labels = sorted(tuple(row.tolist()) for batch in first for row in batch.labels_BC)
    assert labels == sorted(tuple(pairs.labels[i][name] for name in ABNORMALITIES) for i in range(12))


def test_a_pair_is_on_the_grid_in_range_and_differs_between_epochs(pairs: PhantomPairs) -> None:
    volumes = [pairs.pair(2, epoch).volume_DHW for epoch in range(4)]
    assert volumes[0].shape == (48, 96, 96)
    assert volumes[0].dtype == np.float32
    assert -1.0 <= volumes[0].min() < -0.9
    assert 0.3 < volumes[0].max() <= 1.0
    assert any(not np.array_equal(volumes[0], other) for other in volumes[1:])
    assert all(np.corrcoef(volumes[0].ravel(), other.ravel())[0, 1] > 0.7 for other in volumes)


def test_pairs_are_the_scans_that_the_seed_names_and_leave_nothing_behind(tmp_path: Path) -> None:
    run = tiny_run()
    with drawn_pairs(3, run.data_seed, run.model.volume.grid, folder=tmp_path) as drawn:
        scan, reconstruction = training_scan(run.data_seed, 1)
        hu = draw_scan(scan, scan.frame())
        expected = grid_from_hounsfield(
            reconstruct(hu, scan.frame(), reconstruction), scan.frame().spacing_mm, run.model.volume.grid
        )
        np.testing.assert_allclose(drawn.voxels[1] / 1000, expected, atol=0.0006)
        assert drawn.labels[1] == scan.labels
    assert not list(tmp_path.iterdir())


def test_the_vocabulary_spells_words_that_it_has_not_learnt() -> None:
    tokenizer = learn_vocabulary(["No pleural effusion was detected."] * 50, 900)
    unknown = 1
    for text in ("Sarcoidosis with hilar adenopathy, 23 mm.", "xyzzy 7/8 (q)", "CRAZY PAVING"):
        assert unknown not in tokenizer.tokenise([text], 64).token_ids
    assert tokenizer.vocabulary <= 900
    ids = tokenizer.tokenise(["No pleural effusion was detected."], 64).token_ids
    assert ids.shape[1] == 8  # [CLS] no pleural effusion was detected . [SEP]


def test_all_prompts_are_tokenised_by_template() -> None:
    tokens = prompt_tokens(learn_vocabulary([], 900), 64)
    assert len(tokens) == len(PROMPTS)
    assert all(t.ids_PT.shape[0] == 36 for t in tokens)


# --- training ---------------------------------------------------------------------------------------------


def test_the_loss_falls_and_the_same_run_gives_the_same_weights(pairs: PhantomPairs) -> None:
    run = replace(tiny_run(), steps=16)
    tokenizer = phantom_vocabulary(run)
    batch = one_batch(pairs, run, 8)
    report = replace(run.model.report, vocabulary=tokenizer.vocabulary)
    prompts = prompt_tokens(tokenizer, 512)

    def trained() -> tuple[CtClip, list[float]]:
        torch.manual_seed(run.seed)
        model = CtClip(replace(run.model, report=report))
        return model, train(model, [batch] * run.steps, prompts, run)

    first, losses = trained()
    second, again = trained()
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert losses == again
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name]), name


def test_a_run_writes_a_model_that_encodes_and_logs_its_losses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from encoders.encoder import load_encoder

    with caplog.at_level(logging.INFO, logger="training.loop"):
        card = train_phantom(tiny_run(), tmp_path / "tiny")
    encoder = load_encoder(card.directory)
    assert encoder.encode_reports(["No pleural effusion."]).shape == (1, 16)
    assert encoder.encode_volumes(torch.zeros(1, 1, 48, 96, 96)).shape == (1, 16)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["step 3 of 6", "step 6 of 6"]


def test_a_loss_that_is_not_finite_stops_the_training(pairs: PhantomPairs) -> None:
    run = tiny_run()
    tokenizer = phantom_vocabulary(run)
    batch = one_batch(pairs, run, 8)
    model = CtClip(replace(run.model, report=replace(run.model.report, vocabulary=tokenizer.vocabulary)))
    with torch.no_grad():
        model.volume_projection.weight[0, 0] = float("nan")
    prompts = prompt_tokens(tokenizer, 512)
    with pytest.raises(CtsearchError, match="not finite"):
        train_step(model, batch, prompts[0], optimizers=make_optimizers(model, run), run=run)


def test_only_matrices_decay() -> None:
    run = tiny_run()
    model = CtClip(run.model)
    muon, adam = make_optimizers(model, run)
    (volume,), (decayed, free) = muon.param_groups, adam.param_groups
    assert min(decayed["weight_decay"], volume["weight_decay"]) > 0 == free["weight_decay"]
    assert any(p is model.log_temperature for p in free["params"])
    every = [p for group in (volume, decayed, free) for p in group["params"]]
    assert sorted(map(id, every)) == sorted(map(id, model.parameters()))


def test_a_source_changes_the_data_of_a_run_alone() -> None:
    run = named_run("phantom")
    seed = TRAINING_SEEDS.start + 4
    assert with_source(run, f"64:{seed}") == replace(run, patients=64, data_seed=seed)
    assert with_source(run, None) == run


@pytest.mark.parametrize(
    ("source", "reason"),
    [("200:7", "not among those"), ("many", "N:SEED"), ("8", "fill a batch"), ("", "N:SEED")],
)
def test_training_on_what_an_archive_may_hold_is_refused(source: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        with_source(named_run("phantom"), source)


def test_an_unknown_run_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match="there is phantom"):
        named_run("phantoms")
