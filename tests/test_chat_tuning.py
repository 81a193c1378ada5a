"""Chat models in training: what learns, what the loss counts, and that it falls, alone and in parts."""

import json
import logging
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from chat.adapter import add_adapter
from chat.chat_format import IMAGE, ChatFormat, Turn, add_task_tokens
from chat.model import ChatModel, batch_of, make_room
from chat.volume_tokens import VolumeTokens
from encoders.encoder import load_encoder
from encoders.errors import ConfigError, DatasetError
from encoders.reports import ReportSections
from retrieval.cases import VolumeFile
from tests.small_chat import WIDTH, small_llm, small_projector, small_tokenizer, volume
from tests.tiny_model import write_tiny_model
from training.chat_data import ChatCollation, ChatItem, ConversationExamples
from training.chat_runs import ChatRun, published_align, published_instruct, with_conversations
from training.chat_tuning import ChatObjective
from training.conversations import (
    Conversation,
    finding_conversations,
    read_conversations,
    report_conversations,
    report_text,
)
from training.distributed import Place
from training.examples import Example
from training.loop import train_step
from training.new_projector import fit_to_volumes
from training.optimizers import Optimizers
from training.stream import Share

RUN = ChatRun(
    name="small", stage="align", steps=80, batch_size=3, peak_rate=1e-2, adapter_rate=1e-2, warm_up=2
)
TALK = (("<image>one?", "yes"), ("<image>what<long_answer>", "two nodules"), ("no volume", "none"))


def chat_of(stage: str, **of_llm) -> ChatModel:
    llm, tokenizer = small_llm(**of_llm), small_tokenizer()
    llm.model.norm.weight.data.fill_(4)  # of random weights none is sure of a word
    if stage == "align":
        return ChatModel(llm, tokenizer, small_projector())
    new = add_task_tokens(tokenizer)
    make_room(llm, len(tokenizer))
    return ChatModel(add_adapter(llm, rank=2, alpha=4, new_tokens=new), tokenizer, small_projector())


def batch(model: ChatModel, talk=TALK, *, unreadable: bool = False):
    items = []
    for number, (question, answer) in enumerate(talk):
        chat = model.format.tokenise([Turn(model.format.trained_question(question), answer)])
        items.append(ChatItem(chat, tuple(volume(number) for _ in range(chat.volumes))))
    return ChatCollation(WIDTH)([*items, None] if unreadable else items)


def gradients(stage: str, **changes) -> tuple[float, dict[str, torch.Tensor]]:
    model = chat_of(stage)
    objective = ChatObjective(model, replace(RUN, stage=stage, **changes), Place())
    objective.model.train()
    figures = objective.backward(batch(model, unreadable=bool(changes)), 0)
    return figures["loss"], {
        name: weight.grad for name, weight in objective.model.named_parameters() if weight.grad is not None
    }


def test_the_loss_is_the_mean_over_the_answers_tokens_alone() -> None:
    model = chat_of("align")
    loss, _ = gradients("align")
    terms = []
    for number, (question, answer) in enumerate(TALK):
        chat = model.format.tokenise([Turn(model.format.trained_question(question), answer)])
        alone = batch_of([chat], [volume(number)] * chat.volumes, WIDTH)
        said = model.logits(alone)[0, -len(answer) - 3 : -2]  # each letter and the end, from one place before
        ends = torch.tensor([*model.tokenizer(answer)["input_ids"], 257])
        terms.append(cross_entropy(said, ends, reduction="none"))
    assert loss == pytest.approx(torch.cat(terms).mean().item(), rel=1e-5)


@pytest.mark.parametrize("stage", ["align", "instruct"])
def test_chunks_recomputation_and_a_place_that_could_not_be_read_change_no_gradient(stage: str) -> None:
    loss, whole = gradients(stage)
    for changes in ({"chunk_size": 1}, {"chunk_size": 2, "recompute": True}):
        again, parts = gradients(stage, **changes)
        assert again == pytest.approx(loss, rel=1e-5)
        assert parts.keys() == whole.keys()
        for name, gradient in whole.items():
            torch.testing.assert_close(parts[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("stage", ["align", "instruct"])
def test_what_is_frozen_drops_nothing_and_is_computed_again_all_the_same(stage: str) -> None:
    model = chat_of(stage, attention_dropout=0.5)
    objective = ChatObjective(model, replace(RUN, stage=stage, recompute=True), Place())
    objective.model.train()
    passes = []
    objective.model.blocks()[0].mlp.register_forward_pre_hook(lambda *_: passes.append(1))
    losses = {objective.backward(batch(model), step)["loss"] for step in range(2)}
    assert (len(losses), len(passes)) == (1, 4)  # two steps, forwards and on the way back


def test_what_learns_is_the_projector_and_then_also_the_adapter_and_the_task_tokens() -> None:
    _, aligned = gradients("align")
    assert {name.split(".")[1] for name in aligned} == {"projector"}
    assert len(aligned) == len(small_projector().state_dict())
    _, tuned = gradients("instruct")
    of_llm = {name for name in tuned if name.startswith("chat.llm.")}
    assert all("lora_" in name or "trainable_tokens" in name for name in of_llm)
    (rows,) = [gradient for name, gradient in tuned.items() if "trainable_tokens" in name]
    assert rows.abs().sum(1).gt(0).tolist() == [True, False, False, False]  # <long_answer> was asked for
    assert tuned.keys() > aligned.keys()


@pytest.mark.parametrize(
    ("stage", "of_llm"),
    [("align", {}), ("instruct", {}), ("instruct", {"tie_word_embeddings": True})],
)
def test_the_loss_falls_and_what_a_checkpoint_keeps_is_what_has_moved(stage: str, of_llm: dict) -> None:
    model = chat_of(stage, **of_llm)
    before = {name: w.detach().clone() for name, w in model.named_parameters()}
    objective = ChatObjective(model, replace(RUN, stage=stage), Place())
    optimizers = Optimizers(objective.parameter_groups())
    asked = "<image>?<short_answer>"
    share = batch(model, ((asked, "yes"), (asked, "no"), (asked, "maybe")))
    losses = [
        train_step(objective, optimizers, Share(step, share, ()), objective.run, Place())["loss"]
        for step in range(RUN.steps)
    ]
    assert losses[-1] < 0.6 * losses[0]
    kept = objective.model.state_dict()
    moved = {f"chat.{name}" for name, w in model.named_parameters() if not torch.equal(w, before[name])}
    assert moved == set(kept)
    if stage == "instruct":
        turns = [Turn(model.format.trained_question(asked))]
        answers = ["".join(model.eval().stream(turns, [volume(n)], limit=9)) for n in range(3)]
        assert answers == ["yes", "no", "maybe"]  # one question; the volume alone decides


def test_rows_of_a_new_projector_tell_volumes_apart_and_are_as_large_as_words() -> None:
    common = 9 * volume(0, tokens=1)[:, None]  # what all tokens share hides what they tell
    tokens = common + torch.stack([volume(n) + volume(n + 99, tokens=1) for n in range(1, 40)])
    projector = small_projector()

    def told_apart() -> float:
        rows = projector(tokens[20:]).detach()
        return float(rows.std(0).mean() / rows.square().mean().sqrt())

    before = told_apart()
    fit_to_volumes(projector, tokens[:20], words_rms=0.25)
    rows = projector(tokens[:20]).detach()
    torch.testing.assert_close(rows.mean((0, 1)), torch.zeros(16), atol=1e-5, rtol=0)
    assert float(rows.square().mean().sqrt()) == pytest.approx(0.25, rel=1e-3)
    assert told_apart() > 3 * before


def test_published_runs_have_the_papers_numbers() -> None:
    align, instruct = published_align(), published_instruct()
    assert (align.peak_rate, align.epochs, align.batch_size) == (1e-3, 1, 12)
    assert (instruct.peak_rate, instruct.adapter_rate) == (2e-5, 2e-5)
    assert (instruct.lora_rank, instruct.lora_alpha, align.queries, align.heads) == (128, 256, 256, 8)
    sized = with_conversations(align, 12_000)
    assert (sized.steps, sized.warm_up, sized.rate_floor) == (1000, 30, 0)
    with pytest.raises(ConfigError, match="5 conversations do not fill a batch of 12"):
        with_conversations(align, 5)


def example(name: str, **labels: bool) -> Example:
    file = VolumeFile(kind="nifti", uri=name, paths=(Path(name),))
    report = ReportSections(findings="Heart  normal.", impression="Not given.")
    return Example(name=name, patient=name, study=name, file=file, report=report, labels=labels)


def entry(image: object = "train_1_a_1.nii.gz", **changes) -> dict:
    said = [{"from": "human", "value": f"{IMAGE}\nWhat?"}, {"from": "gpt", "value": "A nodule."}]
    return {"id": "q1", "image": image, "conversations": said, **changes}


def test_llavas_json_is_read_with_one_volume_several_or_none(tmp_path: Path, caplog) -> None:
    pair = [{"from": "human", "value": f"{IMAGE} {IMAGE}"}, {"from": "gpt", "value": "b"}]
    text = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    entries = [
        entry(),
        entry(["dir/train_1_a_1.npz", "train_2_a_1"], conversations=pair),
        {"id": 7, "conversations": text * 2},
        entry("train_9_a_1.nii.gz"),
    ]
    (tmp_path / "vqa.json").write_text(json.dumps(entries))
    with caplog.at_level(logging.INFO):
        found = read_conversations(tmp_path / "vqa.json", [example("train_1_a_1"), example("train_2_a_1")])
    assert [[file.uri for file in one.files] for one in found] == [
        ["train_1_a_1"],
        ["train_1_a_1", "train_2_a_1"],
        [],
    ]
    assert found[0].turns == (Turn("<image>\nWhat?", "A nodule."),)
    assert (found[2].name, len(found[2].turns)) == ("7", 2)
    assert "3 of 4 conversations" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is not JSON .*: give a list in LLaVA's format"),
        ("[" * 100_000, "is not JSON .*: give a list in LLaVA's format"),
        ("{}", "is no list of conversations"),
        ("[]", "holds no conversation"),
        (json.dumps([entry(), {"image": "a"}]), 'entry 2 .* has no "conversations"'),
        (json.dumps([entry(conversations=[{"from": "human"}])]), 'entry 1 .* lacks a "from" or "value"'),
        (json.dumps([entry(7)]), 'entry 1 .* its "image" is no name'),
        (
            json.dumps([entry(conversations=[{"from": "gpt", "value": "a"}])]),
            r"entry 1 \(q1\) .* no exchange",
        ),
        (json.dumps([entry(["train_1_a_1", "b"])]), "names 2 volumes and has 1 <image>"),
        (json.dumps([entry("train_9_a_1")]), "no volume that .* names is in the data"),
    ],
)
def test_json_that_is_not_llavas_is_refused_with_the_entry_at_fault(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "vqa.json").write_text(content)
    with pytest.raises(DatasetError, match=message):
        read_conversations(tmp_path / "vqa.json", [example("train_1_a_1")])


def test_reports_and_findings_make_conversations_by_themselves() -> None:
    one = example("a", Atelectasis=True, Cardiomegaly=False, Emphysema=False, Consolidation=False)
    request = "Please provide the radiology report for the following chest CT volume"
    (plain,) = report_conversations([one], task=False)
    assert plain.turns == (Turn(f"{request} <image>", "Findings: Heart normal."),)
    (asked,) = report_conversations([one], task=True)
    form = ChatFormat(small_tokenizer("<report_generation>"), 3)
    assert asked.turns[0].question == form.question(f"{request}.", "report_generation", 1)
    assert report_text(ReportSections(findings="a", impression="b\nc")) == "Findings: a Impression: b c"


def test_a_finding_is_asked_for_in_as_many_volumes_that_show_it_as_in_others() -> None:
    rare = {"Emphysema", "Consolidation"}  # each in one volume of five; the third in four of them
    labels = [{"Emphysema": n == 0, "Consolidation": n == 1, "Atelectasis": n != 2} for n in range(5)]
    examples = [example(str(n), **said) for n, said in enumerate(labels)]
    told: Counter[tuple[str, str]] = Counter()
    for one in finding_conversations([*examples, example("unknown")], seed=0):
        assert [IMAGE in turn.question for turn in one.turns] == [True] + [False] * (len(one.turns) - 1)
        for turn in one.turns:
            name = turn.question.split("Is there ")[1].removesuffix("?<short_answer>").capitalize()
            assert turn.answer == ("Yes." if labels[int(one.name.split()[0])][name] else "No.")
            told[name, turn.answer] += 1
    assert told == dict.fromkeys(product((*rare, "Atelectasis"), ("Yes.", "No.")), 1)
    assert finding_conversations(examples[:1], seed=0) == ()  # yes is all that could be said


def test_a_long_answer_is_learnt_from_its_start_and_a_question_that_leaves_no_room_is_no_example(
    tmp_path: Path,
) -> None:
    form = ChatFormat(small_tokenizer(), 3)
    turn = Turn("q", "a" * 50)
    length = len(form.tokenise([turn])) - 45
    talk = Conversation(name="long", files=(), turns=(turn,))
    tokens = VolumeTokens(None, load_encoder(write_tiny_model(tmp_path / "encoder").directory))
    item = ConversationExamples([talk], tokens, form, length).load(0, 0)
    learnt = [int(label) for label in item.chat.labels_T if label >= 0]
    assert form.tokenizer.decode(learnt) == "a" * (
        50 + 2 - 45
    )  # with the end and a line's end, which are cut
    with pytest.raises(ConfigError, match="long leaves no room for an answer in 10 tokens"):
        ConversationExamples([talk], tokens, form, 10).load(0, 0)
