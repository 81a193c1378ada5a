"""A whole set of questions, from `chat-data` over `ask` to `evaluate chat`; volumes that a model is shown."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, insert, select

from chat.choose_backend import LocalModel, choose_backend
from chat.context import Context, Subject
from chat.directory import ChatCard, write_chat_files
from chat.kept_answers import KeptAnswers
from chat.projector import Projector, ProjectorConfig
from chat.question_set import read_questions
from chat.shown_volumes import volumes_of
from encoders.encoder import load_encoder
from encoders.errors import ConfigError, VolumeError
from retrieval.datasets.phantom import phantom_cohort
from retrieval.located_files import located_file
from retrieval.named_cases import find_case
from retrieval.schema import SourceFile, Volume
from retrieval.sources import SERIES_MARK
from tests.command import Command
from tests.datasets import SLICES, make_series
from tests.small_archive import fill, study
from tests.small_chat import small_llm, small_tokenizer, write_llm
from tests.tiny_model import write_tiny_model

SOURCE = "2:5"


@pytest.fixture
def command(
    database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Two phantoms in an archive, and a small chat model that sees through its encoder."""
    command = Command(capsys, monkeypatch)
    write_tiny_model(tmp_path / "encoder", codebook_size=32)
    indexed = command(
        *("index", SOURCE, "--format", "phantom", "--encoder", tmp_path / "encoder", "--workers", 1)
    )
    assert indexed.code == 0, indexed.err
    return command


@pytest.fixture
def chat(tmp_path: Path, command: Command) -> Path:
    return write_chat(
        tmp_path / "chat",
        write_llm(tmp_path / "llm", small_llm(max_position_embeddings=8192)),
        tmp_path / "encoder",
    )


def write_chat(folder: Path, llm: Path, encoder: Path, *, llm_dim: int = 16) -> Path:
    folder.mkdir()
    projector = Projector(ProjectorConfig(context_dim=16, width=8, queries=3, llm_dim=llm_dim, heads=2))
    card = ChatCard(base=str(llm), encoder=str(encoder), encoder_digest=load_encoder(encoder).digest, heads=2)
    write_chat_files(folder, card, projector, projector.state_dict())
    small_tokenizer().save_pretrained(folder)
    return folder


def lines_of(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.open(encoding="utf-8")]


def test_a_set_is_made_asked_and_scored(command: Command, tmp_path: Path) -> None:
    set_, out = tmp_path / "set.json", tmp_path / "answers.jsonl"
    assert command("chat-data", SOURCE, "--kind", "presence", "--kind", "report", "--out", set_).code == 0
    said = command("ask", "--questions", set_, "--out", out, "--json")
    assert said.code == 0, said.err
    asked = json.loads(set_.read_text())
    assert said.json["asked"] == len(asked)
    answered = lines_of(out)
    assert [one["id"] for one in answered] == [one["id"] for one in asked]
    for one in answered:  # by rule and from the same report: what it affirms is affirmed
        if one["task"] == "short_answer":
            assert one["answer"].split()[0].strip(":.,") == one["reference"].split()[0].strip(":.,")
    scored = command("evaluate", "chat", "--answers", out, "--resamples", 10, "--json")
    assert scored.code == 0, scored.err
    assert command("ask", "--questions", set_, "--out", out).code == 2  # what is there is not written over


def test_a_model_is_asked_by_the_volume_alone_and_without_it(
    command: Command, chat: Path, tmp_path: Path
) -> None:
    cases = list(phantom_cohort(2, 5))
    entries = [
        entry(f"{case.study}_{task}", case.volumes[0].name, f"What is it?<{task}>")
        for case in cases
        for task in ("short_answer", "report_generation")
    ]
    entries.append(entry("lost_1", "lost", "Where?<short_answer>"))
    (tmp_path / "set.json").write_text(json.dumps(entries))
    ask = ("ask", "--questions", tmp_path / "set.json", "--backend", "ct-chat", "--model", chat, "--json")
    seen = command(*ask, "--out", tmp_path / "seen.jsonl")
    assert (seen.code, seen.json["asked"]) == (3, 4)
    assert [one["item"] for one in seen.json["failed"]] == ["lost_1"]
    again = command(*ask, "--out", tmp_path / "seen.jsonl")
    assert (again.json["asked"], again.json["kept"]) == (0, 4)
    blind = command(*ask, "--out", tmp_path / "blind.jsonl", "--without-volume")
    assert (blind.code, blind.json["asked"], blind.json["left_out"]) == (0, 3, 2)
    one, other = (one["answer"] for one in lines_of(tmp_path / "seen.jsonl") if one["task"] == "short_answer")
    blind_one, blind_other, _ = (one["answer"] for one in lines_of(tmp_path / "blind.jsonl"))
    assert one != other
    assert blind_one == blind_other


def test_named_cases_and_a_file_are_shown(command: Command, chat: Path, database: str) -> None:
    chosen = choose_backend("ct-chat", LocalModel(directory=chat))
    assert chosen.reader is not None
    first, second = (case.volumes[0] for case in phantom_cohort(2, 5))
    context = Context(create_engine(database))
    shown = context.shown(Subject(names=(second.name, first.name)), chosen.reader)
    assert [tokens.tolist() for tokens in shown] == [
        chosen.reader.read(volume.file).tolist() for volume in (second, first)
    ]
    assert context.shown(Subject(text="nodule"), chosen.reader) == ()
    said = command(
        "ask", "What is seen?", "--case", first.name, "--backend", "ct-chat", "--model", chat, "--json"
    )
    assert (said.code, said.json["backend"], said.json["refused"]) == (0, "ct-chat", False)
    assert "[model]" in said.json["answer"]


def test_a_series_is_shown_whatever_else_lies_in_its_folder(engine: Engine, tmp_path: Path) -> None:
    for series in ("1.5", "1.6"):
        make_series(tmp_path, SeriesInstanceUID=series)
    (tmp_path / "cut.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\x00")
    fill(engine, [study("a", volumes=["a_1"])])
    with engine.begin() as connection:
        place = connection.scalars(select(Volume.id)).one()
        source = {"uri": f"{tmp_path}{SERIES_MARK}1.6", "size": 0, "mtime_ns": 0, "sha256": bytes(32)}
        connection.execute(insert(SourceFile).values(volume_id=place, **source))
        (shown,) = volumes_of(connection, [find_case(connection, "a_1")], None)
    assert [path.name for path in shown.paths] == [f"1.6-{number:03d}.dcm" for number in range(SLICES)]


def test_a_series_that_is_gone_from_its_folder_is_said_to_be(tmp_path: Path) -> None:
    make_series(tmp_path, SeriesInstanceUID="1.5")
    with pytest.raises(VolumeError, match="the series of a_1 is no longer where it was indexed: look"):
        located_file(f"{tmp_path}{SERIES_MARK}1.6", "a_1", advice="look elsewhere")


def test_answers_that_were_kept_are_not_asked_again_and_a_cut_line_is(tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text(json.dumps([entry(name, "v", "Where?") for name in ("a", "b", "c")]))
    questions = tuple(read_questions(tmp_path / "set.json"))
    kept = KeptAnswers(tmp_path / "out.jsonl", {"set": "1"})
    kept.add(questions[0], "Left.\u2028Or right.")
    kept.close()
    with (tmp_path / "out.jsonl.part").open("a") as part:
        part.write('{"id": "b", "answ')
    again = KeptAnswers(tmp_path / "out.jsonl", {"set": "1"})
    assert again.by_id == {"a": "Left.\u2028Or right."}
    again.add(questions[2], "Up.")
    again.close()
    with pytest.raises(ConfigError, match="left of a run with another set or model"):
        KeptAnswers(tmp_path / "out.jsonl", {"set": "2"})
    last = KeptAnswers(tmp_path / "out.jsonl", {"set": "1"})
    assert set(last.by_id) == {"a", "c"}
    last.write(questions, whole=True)
    assert [one["id"] for one in lines_of(tmp_path / "out.jsonl")] == ["a", "c"]
    assert not (tmp_path / "out.jsonl.part").exists()


def test_a_run_that_could_keep_nothing_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text(json.dumps([entry("a", "v", "Where?")]))
    (question,) = read_questions(tmp_path / "set.json")
    (tmp_path / "out.jsonl.part").touch()  # the disk was full when the first answer came
    kept = KeptAnswers(tmp_path / "out.jsonl", {"set": "1"})
    kept.add(question, "Left.")
    kept.close()
    assert KeptAnswers(tmp_path / "out.jsonl", {"set": "1"}).by_id == {"a": "Left."}


def test_what_is_wrong_with_a_backend_is_one_sentence(command: Command, chat: Path, tmp_path: Path) -> None:
    write_chat(tmp_path / "unfit", tmp_path / "llm", tmp_path / "encoder", llm_dim=12)
    (tmp_path / "set.json").write_text(json.dumps([entry("a", "v", "Where?")]))
    question = ("ask", "Is there a nodule?", "--case", "phantom_5_1_a")
    whole = ("ask", "--questions", tmp_path / "set.json")
    for arguments, code, sentence in [
        ((*question, "--backend", "ct-chat"), 2, "needs a chat model: give its directory with --model"),
        ((*question, "--backend", "ct-chat", "--model", "nowhere"), 2, "there is no chat model"),
        (
            (*question, "--backend", "ct-chat", "--model", tmp_path / "unfit"),
            2,
            "the projector gives rows of 12",
        ),
        ((*question, "--model", chat), 2, "--model is for the backend ct-chat"),
        ((*question, "--backend", "openai"), 2, "set CTSEARCH_OPENAI_URL to an OpenAI-compatible server"),
        (whole, 2, "give both"),
        ((*whole, "--out", tmp_path / "o", "--case", "a"), 2, "give nothing else"),
        ((*whole, "--out", tmp_path / "o", "--mode", "short_answer"), 2, "give nothing else"),
        ((*whole, "--out", tmp_path / "o", "-k", "5"), 2, "give nothing else"),
        ((*whole, "--out", tmp_path / "o", "--without-volume"), 2, "extractive sees none"),
    ]:
        said = command(*arguments)
        assert (said.code, said.out) == (code, "")
        assert sentence in said.err
        assert len(said.err.strip().splitlines()) == 1


def entry(name: str, image: str, question: str) -> dict[str, object]:
    turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": "Left."}]
    return {"id": name, "image": image, "conversations": turns}
