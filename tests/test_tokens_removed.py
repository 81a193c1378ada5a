"""Tokens kept for chat go with the patient they are of."""

from pathlib import Path

import pytest

from chat.volume_tokens import VolumeTokens
from encoders.encoder import load_encoder
from retrieval.datasets.phantom import phantom_cohort
from retrieval.kept_tokens import tokens_folder
from tests.command import Command
from tests.tiny_model import write_tiny_model


def test_removing_a_patient_deletes_the_tokens_of_its_volumes_and_no_others(
    database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command = Command(capsys, monkeypatch)
    model = write_tiny_model(tmp_path / "model").directory
    indexed = command("index", "3:5", "--format", "phantom", "--encoder", model, "--workers", 1)
    assert indexed.code == 0, indexed.err
    tokens = VolumeTokens(tokens_folder(), load_encoder(model))
    cases = list(phantom_cohort(3, 5))
    for case in cases:
        for volume in case.volumes:
            tokens.read(volume.file)
    gone = sum(len(case.volumes) for case in cases if case.patient == cases[0].patient)
    before = list(tokens_folder().rglob("*.tokens"))
    assert len(before) == sum(len(case.volumes) for case in cases)
    assert command("cases", "remove", "--patient", cases[0].patient).code == 0
    assert len(list(tokens_folder().rglob("*.tokens"))) == len(before) - gone
