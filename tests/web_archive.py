"""A small archive with every kind of thing that the web shows, odd names among them."""

from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from encoders.encoder import load_encoder
from encoders.volumes import preprocessing_digest
from retrieval.cases import Acquisition
from retrieval.records import CollectionInfo
from tests.small_archive import fill, study

ODD = 'späť/ 二+1%2F "<script>" \u202eback'
"""A study's name with all that an address or a page may trip over."""


def fill_archive(engine: Engine, model: Path | None = None) -> CollectionInfo:
    """Two studies of a patient, an odd one, one of the same name in another data set, one without report.

    With a model, latents are as long as its, and it reads the questions.
    """
    woman = Acquisition(sex="F", age_years=61.0, manufacturer="Philips", kernel="B50f")
    man = Acquisition(sex="M", age_years=93.0, manufacturer="SIEMENS")
    cases = [
        study(
            "a_1",
            patient="a",
            day=0,
            split="valid",
            findings="A 9 mm nodule in the left lung. No pleural effusion.",
            impression="Nodule.",
            labels={"Lung nodule": True, "Pleural effusion": False},
            acquisition=woman,
        ),
        study("a_2", patient="a", day=96, findings="The nodule measures 12 mm.", acquisition=woman),
        study(ODD, patient="odd", findings="Pleural effusion. =cmd|' /C calc'!A0", acquisition=man),
        study("b_1", patient="b", labels={"Emphysema": True}, acquisition=man),
        study("a_1", patient="z", dataset="folder", volumes=("z_1",), findings="Emphysema in both lungs."),
    ]
    latents = {
        "a_1_1": [1, 0, 0, 0],
        "a_1_2": [0.98, 0.02, 0, 0],
        "a_2_1": [0.9, 0.1, 0, 0],
        f"{ODD}_1": [0.5, 0.5, 0, 0],
        "b_1_1": [0, 1, 0, 0],
        "z_1": [0, 0, 1, 0],
    }
    if model is None:
        return fill(engine, cases, volumes=latents)
    encoder = load_encoder(model)
    padded = {
        name: np.pad(np.asarray(latent, np.float32), (0, encoder.latent_dim - 4))
        for name, latent in latents.items()
    }
    return fill(
        engine,
        cases,
        volumes=padded,
        encoder=str(model),
        encoder_digest=encoder.digest,
        preprocessing_digest=f"{preprocessing_digest(encoder.grid)}/deidentified-1",
        dim=encoder.latent_dim,
    )
