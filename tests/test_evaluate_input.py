"""What `ctsearch evaluate retrieval` refuses, and the sentences it does so with."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from tests.command import Command
from tests.latents_files import write_labels, write_latents
from tests.small_archive import fill, study


@pytest.fixture
def run(capsys, monkeypatch) -> Command:
    return Command(capsys, monkeypatch)


@pytest.mark.parametrize(
    ("library", "extra"),
    [
        ("ir_measures", ()),
        ("matplotlib.figure", ("--out", "{out}")),
        ("sklearn.manifold", ("--out", "{out}")),
    ],
)
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, extra: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # as Python marks what cannot be imported
    latents, labels = write_latents(tmp_path / "a.npz"), write_labels(tmp_path / "labels.csv")
    options = [option.format(out=tmp_path / "out") for option in extra]
    done = run("evaluate", "retrieval", "--latents", latents, "--labels", labels, *options)
    assert done.code == 2
    assert "pip install 'ctsearch[evaluate]'" in done.err
    assert not (tmp_path / "out").exists()


def spoilt(array: np.ndarray, value: float) -> np.ndarray:
    array = array.copy()
    array[3] = value
    return array


VOLUME = np.random.default_rng(0).standard_normal((24, 5))
NAMES = np.array([f"valid_{number}_a_{r}" for number in range(12) for r in (1, 2)])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"volume": spoilt(VOLUME, np.nan)}, "not finite (valid_1_a_2)"),
        ({"volume": spoilt(VOLUME, np.inf)}, "not finite (valid_1_a_2)"),
        ({"volume": spoilt(VOLUME, 0)}, "all zeros (valid_1_a_2)"),
        ({"report": spoilt(VOLUME, np.nan)}, "report latents of 1 volumes are not finite"),
        ({"report": VOLUME[:, :4]}, "(24, 4)"),
        ({"report": VOLUME[:20]}, "(20, 5)"),
        ({"volume": VOLUME[:, 0]}, "shape (24,)"),
        ({"report": None}, "no array report"),
        ({"name": np.array(["valid_1_a_1", *NAMES[1:]])}, "more than once (valid_1_a_1)"),
        ({"name": NAMES[:7]}, "shape (7,)"),
        ({"name": np.array([f"scan {n}" for n in range(24)])}, "no array study"),
        ({"name": np.array(list(NAMES), dtype=object)}, "pickled"),
        ({"has_report": np.ones(5, bool)}, "has_report"),
        ({"study": np.array(["one"] * 24)}, "one study"),
        ({"name": NAMES[:0], "volume": VOLUME[:0], "report": VOLUME[:0]}, "no volume"),
    ],
)
def test_latents_that_will_not_do_are_refused_in_one_sentence(
    run: Command, tmp_path: Path, changed: dict, said: str
) -> None:
    latents = write_latents(tmp_path / "a.npz", **changed)
    done = run("evaluate", "retrieval", "--latents", latents, "--labels", write_labels(tmp_path / "l.csv"))
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut off", b"\x93NUMPY"])
def test_files_that_are_no_latents_are_refused(run: Command, tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "broken.npz"
    broken.write_bytes(content)
    done = run("evaluate", "retrieval", "--latents", broken, "--labels", write_labels(tmp_path / "l.csv"))
    assert done.code == 2
    assert "broken.npz" in done.err


def test_one_array_and_a_file_with_a_flipped_bit_are_refused(run: Command, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "l.csv")
    one = tmp_path / "one.npz"
    with one.open("wb") as stream:
        np.save(stream, VOLUME)
    flipped = write_latents(tmp_path / "flipped.npz")
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    for latents in (one, flipped, tmp_path):
        done = run("evaluate", "retrieval", "--latents", latents, "--labels", labels)
        assert done.code == 2
        assert str(latents) in done.err


def test_volumes_without_a_label_row_are_refused_by_number_and_name_or_left_out(
    run: Command, tmp_path: Path
) -> None:
    latents, labels = write_latents(tmp_path / "a.npz"), write_labels(tmp_path / "labels.csv", skip=2)
    arguments = ("evaluate", "retrieval", "--latents", latents, "--labels", labels, "--json")
    refused = run(*arguments)
    assert refused.code == 2
    assert "no row for 4 of 24 volumes" in refused.err
    assert "valid_0_a_1" in refused.err
    found = run(*arguments, "--skip-unlabelled")
    assert found.json["pool"]["volumes"] == 20
    assert "4 volumes without a row" in found.err


def test_missing_label_columns_and_unknown_cells_count_as_absent_and_are_counted(
    run: Command, tmp_path: Path
) -> None:
    latents, labels = write_latents(tmp_path / "a.npz"), write_labels(tmp_path / "labels.csv")
    rows = [line.split(",")[:-1] for line in labels.read_text(encoding="utf-8").splitlines()]
    rows[1][1] = "-1"
    labels.write_text("\n".join(map(",".join, rows)), encoding="utf-8")
    done = run("evaluate", "retrieval", "--latents", latents, "--labels", labels, "--json")
    assert done.json["pool"]["unknown_labels"] == 24 + 1
    assert "no column for Interlobular septal thickening" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "one of --collection and --latents"),
        (("--latents", "{latents}"), "--labels"),
        (("--latents", "{latents}", "--labels", "{labels}", "--collection", "x"), "found both"),
        (("--latents", "{latents}", "--labels", "{labels}", "--report-section", "title"), "title"),
        (("--latents", "{latents}", "--labels", "{labels}", "--against", "missing.npz"), "missing.npz"),
        (("--latents", "{latents}", "--labels", "missing.csv"), "missing.csv"),
        (
            ("--latents", "{latents}", "--labels", "{labels}", "--against", "{stranger}"),
            "no volume name in common",
        ),
    ],
)
def test_options_that_cannot_go_together_end_in_one_sentence(
    run: Command, tmp_path: Path, arguments: tuple, said: str
) -> None:
    stranger = np.array([f"train_{number}_a_{r}" for number in range(12) for r in (1, 2)])
    paths = {
        "latents": write_latents(tmp_path / "a.npz"),
        "labels": write_labels(tmp_path / "labels.csv"),
        "stranger": write_latents(tmp_path / "b.npz", name=stranger),
    }
    done = run("evaluate", "retrieval", *(argument.format(**paths) for argument in arguments))
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.usefixtures("database")
def test_a_collection_that_is_not_there_is_refused(run: Command) -> None:
    done = run("evaluate", "retrieval", "--collection", "nowhere")
    assert done.code == 2
    assert "nowhere" in done.err


def test_studies_without_labels_in_a_collection_are_refused_or_left_out(run: Command, engine: Engine) -> None:
    draw = np.random.default_rng(0)
    cases = [
        study(f"valid_{n}_a", labels={"Emphysema": n % 2 == 0} if n else {}, findings="Lungs.")
        for n in range(5)
    ]
    volumes = {v.name: draw.standard_normal(4) for case in cases for v in case.volumes}
    fill(engine, cases, volumes=volumes, reports={c.study: draw.standard_normal(4) for c in cases})
    refused = run("evaluate", "retrieval", "--collection", "default")
    assert refused.code == 2
    assert "1 of 5 studies of the collection default have no label (valid_0_a)" in refused.err
    found = run("evaluate", "retrieval", "--collection", "default", "--skip-unlabelled", "--json").json
    assert found["pool"]["studies"] == 4
    assert found["pool"]["gallery"] == 4
    assert found["pool"]["unknown_labels"] == 8 * 17
