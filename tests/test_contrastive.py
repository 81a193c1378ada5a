"""Contrastive training: the loss worked by hand, pairs that are true, and a run that learns and repeats."""

import json
import logging
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from encoders.abnormalities import ABNORMALITIES, PROMPTS
from encoders.encoder import load_encoder
from encoders.errors import CheckpointError
from encoders.reports import ReportSections
from retrieval.datasets.phantom import TRAINING_SEEDS
from retrieval.datasets.phantom.report import Statement
from tests.small_contrastive import CONFIG, PAIRS, RUN, TOKENIZER, fit_small, pair, prompts, share
from training.batches import prompt_tokens
from training.checkpoint import CHECKPOINT_FILE
from training.contrastive import contrastive_loss, prompt_loss
from training.contrastive_objective import ContrastiveObjective, Latents, batch_loss, contrastive_groups
from training.contrastive_runs import (
    ContrastiveRun,
    phantom,
)
from training.distributed import Place
from training.facts import NO, UNKNOWN, YES, same_report, true_of
from training.loop import train_step
from training.optimizers import Optimizers
from training.runs import changed
from training.schedule import warmed_cosine
from training.short_texts import report_statements, short_text
from training.starting_model import starting_model
from training.stream import Share
from training.towers import new_model
from training.train_contrastive import train_contrastive
from training.vocabulary import learn_vocabulary
from training.whole_training import Options, training_folder


def tiny_run() -> ContrastiveRun:
    """The phantom run, made small enough to take a second."""
    run = phantom()
    volume = replace(
        run.model.volume,
        image_px=32,
        slices=16,
        pixel_mm=11.25,
        slice_mm=22.5,
        patch_px=16,
        width=16,
        heads=1,
    )
    report = replace(run.model.report, vocabulary=600, width=16, heads=2, feed_forward=32)
    model = replace(run.model, volume=volume, report=report, latent_dim=16)
    return replace(
        run,
        model=model,
        data=f"10:{TRAINING_SEEDS.start}",
        steps=6,
        batch_size=8,
        warm_up=2,
        peak_rate=3e-3,
        log_every=3,
        save_every=3,
    )


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


def test_real_reports_give_the_sentences_that_affirm() -> None:
    report = ReportSections(
        findings="There is a 7 mm nodule in the left lobe. No pleural effusion was detected.",
        impression="Nodule.",
    )
    texts = [statement.text for statement in report_statements(report)]
    assert texts == ["There is a 7 mm nodule in the left lobe.", "Nodule."]
    rng = np.random.default_rng(0)
    assert all(short_text(report_statements(report), {}, rng).says is None for _ in range(20))
    assert short_text((), {}, rng).text == ""


def test_one_scan_and_equal_words_match() -> None:
    matches = same_report(share(Place()).facts)
    expected = np.eye(PAIRS, dtype=bool)
    for one, other in ((1, 5), (2, 6)):
        expected[one, other] = expected[other, one] = True
    assert np.array_equal(matches.numpy(), expected)


def test_a_denial_matches_every_scan_that_is_known_to_lack_the_finding() -> None:
    items = [pair(index) for index in range(PAIRS)]
    found = true_of(share(Place()).facts)
    for row, item in enumerate(items):
        for column, other in enumerate(items):
            if item is None or other is None:
                continue
            if item.short.says is None:
                holds = item.study == other.study
            else:
                ((name, present),) = item.short.says
                holds = other.labels.get(name) == present or item.study == other.study
            assert bool(found[row, column]) == holds, (row, column)


def test_facts_tell_what_is_known_from_what_is_not() -> None:
    facts = share(Place()).facts
    assert facts.present_B.tolist() == [index != 3 for index in range(PAIRS)]
    assert set(facts.labels_BC[0, :10].tolist()) <= {YES, NO}
    assert set(facts.labels_BC[0, 10:].tolist()) == {UNKNOWN}
    assert facts.says_BC[1, 1] == NO
    assert facts.general_B.tolist() == [False, True, False, False, False, True, False, True]


def test_the_same_reports_give_the_same_vocabulary_in_another_process() -> None:
    """The library's own order of letters differs from process to process."""
    line = "from tests.small_contrastive import TOKENIZER; print(TOKENIZER.to_json())"
    outcome = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == TOKENIZER.to_json().strip()


def test_the_vocabulary_spells_words_that_it_has_not_learnt() -> None:
    tokenizer = learn_vocabulary(["No pleural effusion was detected."] * 50, 900)
    unknown = 1
    for text in ("Sarcoidosis with hilar adenopathy, 23 mm.", "xyzzy 7/8 (q)", "CRAZY PAVING"):
        assert unknown not in tokenizer.tokenise([text], 64).token_ids
    assert tokenizer.vocabulary <= 900
    ids = tokenizer.tokenise(["No pleural effusion was detected."], 64).token_ids
    assert ids.shape[1] == 8  # [CLS] no pleural effusion was detected . [SEP]


def test_prompts_affirm_the_18_findings_and_then_deny_them() -> None:
    tokenizer = learn_vocabulary([], 900)
    tokens = prompt_tokens(tokenizer, 64, "there is")
    assert len(tokens.ids_PT) == 36
    wanted = ("There is Medical material.", "There is no Medical material.")
    for row, sentence in zip((0, 18), wanted, strict=True):
        ids = tokens.ids_PT[row][tokens.mask_PT[row] == 1]
        assert ids.tolist() == tokenizer.tokenise([sentence], 64).token_ids[0].tolist()


# --- the loss of a batch ----------------------------------------------------------------------------------


def latents(count: int = PAIRS) -> Latents:
    rows = [
        functional.normalize(torch.randn(count, 4, generator=torch.Generator().manual_seed(i)), dim=-1)
        for i in range(4)
    ]
    return Latents(rows[0], rows[1], rows[2], None)


def test_a_pair_that_is_missing_changes_nothing_but_its_absence() -> None:
    facts, run, given = share(Place()).facts, replace(RUN, prompt_weight=0.0), latents()
    rows = torch.tensor([0, 1, 2, 4, 5, 6, 7])
    kept = Latents(*(None if part is None else part[rows] for part in given))
    temperature = torch.tensor(1.0)
    assert batch_loss(given, facts, temperature, run).item() == pytest.approx(
        batch_loss(kept, facts.at(rows), temperature, run).item()
    )


def test_negatives_within_groups_are_the_mean_of_the_groups() -> None:
    run = replace(RUN, prompt_weight=0.0, short_weight=0.0, negatives_within=4, equal_reports_match=False)
    given, temperature = latents(), torch.tensor(1.0)
    halves = [
        contrastive_loss(given.volume_BL[rows], given.report_BL[rows], temperature)
        for rows in ([0, 1, 2], [4, 5, 6, 7])  # 3 is missing
    ]
    found = batch_loss(given, share(Place()).facts, temperature, run)
    assert found.item() == pytest.approx(torch.stack(halves).mean().item())


def test_unknown_labels_count_nowhere_in_the_prompt_loss() -> None:
    volume, given = unit([1.0, 0.0], [0.0, 1.0]), unit([1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.8, 0.6])
    present, known = torch.tensor([[True, False], [True, True]]), torch.tensor([[True, False], [True, True]])
    each = [  # log-sigmoid of the difference between affirming and denying
        -math.log(1 / (1 + math.exp(-(1.0 - 0.0)))),
        -math.log(1 / (1 + math.exp(-(0.0 - 1.0)))),
        -math.log(1 / (1 + math.exp(-(0.8 - 0.6)))),
    ]
    found = prompt_loss(volume, given, torch.tensor(0.0), present, known)
    assert found.item() == pytest.approx(np.mean(each))
    nothing = torch.zeros_like(known)
    assert prompt_loss(volume, given, torch.tensor(0.0), present, nothing).item() == 0.0


# --- training ---------------------------------------------------------------------------------------------


def test_only_matrices_and_convolutions_decay_and_every_weight_is_in_one_group() -> None:
    model = new_model(CONFIG, 0)
    groups = {group.name: group for group in contrastive_groups(model, RUN)}
    assert groups["the volume side's matrices"].optimizer == "muon"
    assert all(weight.ndim == 2 for weight in groups["the volume side's matrices"].parameters)
    assert groups["the temperature"].parameters == (model.log_temperature,)
    for group in groups.values():
        assert (group.weight_decay > 0) == (group.parameters[0].ndim > 1)
    every = [weight for group in groups.values() for weight in group.parameters]
    assert sorted(map(id, every)) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize(
    ("frozen", "still"),
    [
        ("towers", ("volume_tower", "report_tower")),
        ("volume_tower", ("volume_tower",)),
        ("report_tower", ("report_tower",)),
    ],
)
def test_what_is_frozen_stays_and_all_else_moves(tmp_path: Path, frozen: str, still: tuple[str, ...]) -> None:
    run = replace(RUN, frozen=frozen, steps=2)
    before = new_model(CONFIG, run.seed).state_dict()
    after = fit_small(tmp_path, Place(), run).state_dict()
    for name, weight in after.items():
        if name.endswith("offset"):
            continue  # a constant
        assert torch.equal(weight, before[name]) == name.startswith(still), name


def test_the_temperature_is_clamped_after_a_step() -> None:
    model = new_model(CONFIG, 0)
    objective = ContrastiveObjective(model, replace(RUN, most_log_temperature=1.5), Place(), prompts())
    model.log_temperature.data.fill_(3.0)
    objective.finish_step()
    assert model.log_temperature.item() == pytest.approx(1.5)


def test_the_loss_falls_on_pairs_that_are_seen_again() -> None:
    run = replace(RUN, steps=25, peak_rate=1e-2, muon_rate=1e-2, rate_floor=1.0)
    objective = ContrastiveObjective(new_model(CONFIG, 0), run, Place(), prompts())
    optimizers = Optimizers(objective.parameter_groups())
    batch = share(Place())
    losses = [
        train_step(objective, optimizers, Share(step, batch, ()), run, Place())["loss"]
        for step in range(run.steps)
    ]
    assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:5])


def test_a_run_writes_a_model_that_encodes_and_can_be_started_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = Options(cache=tmp_path / "cache", held_out=f"4:{TRAINING_SEEDS.start + 1}")
    with caplog.at_level(logging.INFO, logger="training"):
        card = train_contrastive(tiny_run(), tmp_path / "tiny", Place(), options)
    encoder = load_encoder(card.directory)
    assert encoder.encode_reports(["No pleural effusion."]).shape == (1, 16)
    assert encoder.encode_volumes(torch.zeros(1, 1, 16, 32, 32)).shape == (1, 16)
    said = [record.getMessage().split(":")[0] for record in caplog.records if "step " in record.getMessage()]
    assert said == ["step 3 of 6", "step 6 of 6", "step 6"]
    assert (training_folder(tmp_path / "tiny") / CHECKPOINT_FILE).exists()
    with pytest.raises(CheckpointError, match="exists already"):
        train_contrastive(tiny_run(), tmp_path / "tiny", Place(), options)
    resumed = train_contrastive(tiny_run(), tmp_path / "tiny", Place(), replace(options, resume=True))
    assert resumed.digest == card.digest

    further = replace(options, init=card.directory, held_out=None)
    second = train_contrastive(changed(tiny_run(), steps=1), tmp_path / "more", Place(), further)
    moved = load_encoder(second.directory)
    apart = (moved.encode_reports(["A nodule."]) - encoder.encode_reports(["A nodule."])).abs().max()
    assert 0 < apart < 0.5
    assert second.tokenizer_file.read_bytes() == card.tokenizer_file.read_bytes()


def test_the_report_tower_starts_from_a_bert_as_transformers_writes_it(tmp_path: Path) -> None:
    bert = new_model(CONFIG, 5).report_tower.bert
    bert.save_pretrained(tmp_path / "bert")
    words = json.loads(TOKENIZER.to_json())["model"]["vocab"]
    vocabulary = "\n".join(sorted(words, key=words.get)) + "\n"
    (tmp_path / "bert" / "vocab.txt").write_text(vocabulary, encoding="utf-8")
    start = starting_model(RUN, [], Place(), tmp_path, text_encoder=tmp_path / "bert")
    for name, weight in start.model.report_tower.bert.state_dict().items():
        assert torch.equal(weight, bert.state_dict()[name]), name
    text = ["A nodule of 7 mm."]
    assert np.array_equal(
        start.tokenizer.tokenise(text, 48).token_ids, TOKENIZER.tokenise(text, 48).token_ids
    )
    assert start.model.log_temperature.item() == RUN.log_temperature

    wider = replace(CONFIG, report=replace(CONFIG.report, width=32))
    with pytest.raises(CheckpointError, match="no BERT of the run's dimensions"):
        starting_model(replace(RUN, model=wider), [], Place(), tmp_path, text_encoder=tmp_path / "bert")
