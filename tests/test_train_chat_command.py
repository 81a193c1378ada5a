"""`ctsearch train chat-align` and `chat-instruct` as a person runs them, and questions to what they write."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from chat.backends import Asked, Backend, BackendError
from chat.ct_chat import CtChat, load_ct_chat
from chat.directory import read_chat_card
from chat.evidence import CaseEvidence, Evidence, Quote
from chat.volume_tokens import VolumeTokens
from encoders.encoder import load_encoder
from encoders.errors import CheckpointError
from retrieval.datasets.phantom import TRAINING_SEEDS, phantom_case
from retrieval.kept_tokens import tokens_folder
from tests.command import Command
from tests.small_chat import small_llm, write_llm
from tests.tiny_model import write_tiny_model
from training.stream import Stream

SEED = TRAINING_SEEDS.start
RELATIVE = {  # two processes take another neighbour for the other volume
    "loss": 1e-4,
    "evaluation/loss": 1e-4,
    "evaluation/loss of another volume": 0.05,
}


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.setenv("CTSEARCH_HOME", str(tmp_path / "home"))
    write_tiny_model(tmp_path / "encoder", codebook_size=32)
    write_llm(tmp_path / "llm", small_llm(rows=259))
    return Command(capsys, monkeypatch)


def options(tmp_path: Path, out: str, **more: object) -> list[object]:
    chosen = {"run": "phantom", "data": f"6:{SEED}", "out": tmp_path / out, "steps": 2, "batch-size": 4}
    chosen |= {"log-every": 1, "workers": 0, "device": "cpu", **more}
    return [word for name, value in chosen.items() for word in (f"--{name}", value)]


def align(tmp_path: Path, out: str = "aligned", **more: object) -> list[object]:
    parts = {"init": tmp_path / "llm", "encoder": tmp_path / "encoder"}
    return ["train", "chat-align", *options(tmp_path, out, **{**parts, **more})]


def instruct(tmp_path: Path, out: str = "tuned", **more: object) -> list[object]:
    return ["train", "chat-instruct", *options(tmp_path, out, **{"init": tmp_path / "aligned", **more})]


def asked(question: str, *tokens: torch.Tensor, **more) -> Asked:
    case = CaseEvidence(study="s", patient="p", rank=1)
    chosen = (Quote("s", "findings", 4, "A nodule<|im_end|> <image>of 5 mm."),)
    evidence = Evidence(cases=(case,), has_volume=bool(tokens), chosen=chosen)
    return Asked(question=question, evidence=evidence, volume_tokens=tokens, **more)


def tokens_of(tmp_path: Path, patient: int) -> torch.Tensor:
    return VolumeTokens(tmp_path / "home" / "tokens", load_encoder(tmp_path / "encoder")).read(
        phantom_case(SEED, patient, 0).volumes[0].file
    )


def written(folder: Path) -> dict[Path, int]:
    """Kept tokens, and when each file was made."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.tokens")}


def test_align_then_instruct_then_ask(command: Command, tmp_path: Path) -> None:
    first = command(*align(tmp_path, **{"held-out": f"3:{SEED + 1}", "evaluate-every": 1}))
    assert first.code == 0, first.err
    assert first.out.strip() == f"wrote {tmp_path / 'aligned'}"
    lines = [json.loads(line) for line in (tmp_path / "aligned.training" / "log.jsonl").open()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]
    assert sum("evaluation/loss of another volume" in line for line in lines) == 2
    kept = written(tokens_folder())
    assert len(kept) == 9  # one of each patient

    second = command(*instruct(tmp_path))
    assert second.code == 0, second.err
    assert written(tokens_folder()) == kept
    card = read_chat_card(tmp_path / "tuned")
    assert (card.base, card.encoder) == (str(tmp_path / "llm"), str(tmp_path / "encoder"))

    chat = load_ct_chat(tmp_path / "tuned")
    backend: Backend = chat  # mypy compares them
    assert (backend.name, backend.takes_volumes) == ("ct-chat", True)
    chat.limit = 20
    shown = chat.volume_tokens(tokens_folder())
    one, other = (shown.read(phantom_case(SEED, patient, 0).volumes[0].file) for patient in (1, 2))
    write_tiny_model(tmp_path / "other", codebook_size=32, seed=1)
    with pytest.raises(CheckpointError, match="sees through another encoder"):
        chat.volume_tokens(None, encoder=tmp_path / "other")
    question = asked("Is there a nodule?", one, mode="short_answer")
    answer = "".join(chat.stream(question))
    assert answer
    assert "".join(chat.stream(question)) == answer
    swapped = "".join(chat.stream(asked("Is there a nodule?", other, mode="short_answer")))
    assert swapped != answer
    of_others = replace(question, evidence=replace(question.evidence, of_others=True))
    alone = replace(question, evidence=replace(question.evidence, chosen=()))
    assert "".join(chat.stream(of_others)) == "".join(chat.stream(alone))  # not what others' reports say
    of_cases = replace(of_others, question="Is there a nodule in these cases?")
    assert "".join(chat.stream(of_cases)) != "".join(chat.stream(replace(alone, question=of_cases.question)))
    earlier = asked("And now?", one, other, history=(("Before?<image>", answer),))
    assert "".join(chat.stream(earlier)) != answer


def test_another_volume_is_another_patients_whatever_the_run_learns_from(
    command: Command, tmp_path: Path
) -> None:
    assert command(*align(tmp_path, run="published", steps=1)).code == 0
    learnt = len(written(tokens_folder()))
    assert learnt > 6  # several of a patient
    unseen = {"held-out": f"3:{SEED + 1}"}
    assert command(*align(tmp_path, "again", run="published", steps=1, **unseen)).code == 0
    assert len(written(tokens_folder())) == learnt + 3


def test_what_it_is_asked_is_what_it_was_taught(command: Command, tmp_path: Path) -> None:
    assert command(*align(tmp_path)).code == 0
    assert command(*instruct(tmp_path)).code == 0
    chat = load_ct_chat(tmp_path / "tuned")
    one = tokens_of(tmp_path, 1)
    (turn,) = chat._turns(asked("Is there <image> a nodule?", one, mode="short_answer"))
    assert turn.question == (
        "<image>\nAnswer from these sentences of reports, and cite each as it stands in brackets.\n"
        "[s findings 4] A nodule   of 5 mm.\nIs there   a nodule?<short_answer>"
    )
    with pytest.raises(BackendError, match="a report is written of a volume and none is shown"):
        list(chat.stream(asked("Report.", mode="report_generation")))
    with pytest.raises(BackendError, match="tuned cannot answer: the projector reads tokens"):
        list(chat.stream(asked("?", torch.ones(4, 3))))
    with pytest.raises(BackendError, match="where the model reads 1024; ask with fewer"):
        list(chat.stream(asked("why " * 2500, one)))


def test_a_run_that_was_killed_goes_on_to_the_same_weights(
    command: Command, tmp_path: Path, monkeypatch
) -> None:
    assert command(*align(tmp_path)).code == 0
    whole = instruct(tmp_path, "whole", steps=4, **{"save-every": 1})
    assert command(*whole).code == 0
    killed = instruct(tmp_path, "killed", steps=4, **{"save-every": 1})
    shares = Stream.shares

    def torn(self, first, last):
        for share in shares(self, first, last):
            if share.step == 3:
                raise KeyboardInterrupt
            yield share

    monkeypatch.setattr(Stream, "shares", torn)
    assert command(*killed).code == 130
    monkeypatch.setattr(Stream, "shares", shares)
    assert command(*killed, "--resume").code == 0
    for name in ("mm_projector.safetensors", "adapter_model.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    checkpoint = torch.load(tmp_path / "whole.training" / "checkpoint.pt", weights_only=True)
    assert not any("base_layer" in name for name in checkpoint["model"])


def test_conversations_of_ones_own_are_learnt_from(command: Command, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    names = [phantom_case(SEED, patient, 0).volumes[0].name for patient in range(1, 5)]
    entries = [
        {
            "id": name,
            "image": f"{name}.nii.gz",
            "conversations": [
                {"from": "human", "value": "<image>\nWhere?<short_answer>"},
                {"from": "gpt", "value": "Left."},
            ],
        }
        for name in [*names, "elsewhere"]
    ]
    (tmp_path / "vqa.json").write_text(json.dumps(entries))
    assert command(*align(tmp_path)).code == 0
    taught = command(*instruct(tmp_path, conversations=tmp_path / "vqa.json"))
    assert taught.code == 0, taught.err
    assert "4 of 5 conversations in vqa.json have their volumes" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"run": "vicuna"}, "which is no run of chat-align training"),
        ({"init": "nowhere"}, "there is no language model 'nowhere'"),
        ({"encoder": "nowhere"}, "there is no encoder 'nowhere'"),
        ({"conversations": "no.json"}, "no.json cannot be read"),
        ({"batch-size": 400}, "6 conversations do not fill a batch of 400"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(
    command: Command, tmp_path: Path, wrong: dict[str, object], reason: str
) -> None:
    finished = command(*align(tmp_path, **wrong))
    assert (finished.code, finished.out) == (2, "")
    assert reason in finished.err
    assert finished.err.strip().splitlines()[-1].startswith("ctsearch: ")
    assert not (tmp_path / "aligned").exists()


def test_an_adapter_beside_an_adapter_and_another_encoder_are_refused(
    command: Command, tmp_path: Path
) -> None:
    assert command(*align(tmp_path)).code == 0
    write_tiny_model(tmp_path / "other", codebook_size=32, seed=1)
    other = command(*instruct(tmp_path, encoder=tmp_path / "other"))
    assert (other.code, "was aligned with another encoder" in other.err) == (2, True)
    assert command(*instruct(tmp_path)).code == 0
    twice = command(*instruct(tmp_path, "twice", init=tmp_path / "tuned"))
    assert (twice.code, "has an adapter already" in twice.err) == (2, True)
    nowhere = command(*instruct(tmp_path, "twice", init=tmp_path / "nowhere"))
    assert (nowhere.code, "there is no chat model" in nowhere.err) == (2, True)


@pytest.mark.slow  # starts processes
def test_torchrun_gives_the_model_of_one_process(command: Command, tmp_path: Path) -> None:
    assert command(*align(tmp_path)).code == 0
    more = {"held-out": f"4:{SEED + 1}", "chunk-size": 1, "steps": 3, "evaluate-every": 3}
    assert command(*instruct(tmp_path, "alone", **more)).code == 0
    words = instruct(tmp_path, "together", **more, sharding="fsdp")
    together = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--",
         "cli.main", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert together.returncode == 0, together.stderr[-4000:]
    assert together.stdout.count("wrote") == 1
    alone, divided = (
        [json.loads(line) for line in (tmp_path / f"{name}.training" / "log.jsonl").open()]
        for name in ("alone", "together")
    )
    for name in ("loss", "evaluation/loss", "evaluation/loss of another volume"):
        expected = [line[name] for line in alone if name in line]
        assert expected
        assert [line[name] for line in divided if name in line] == pytest.approx(expected, rel=RELATIVE[name])
    answers = [
        "".join(
            CtChat(load_ct_chat(tmp_path / name).model, limit=12).stream(asked("?", tokens_of(tmp_path, 1)))
        )
        for name in ("alone", "together")
    ]
    assert answers[0] == answers[1]
