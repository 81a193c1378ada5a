"""Uploads and jobs for tests: a collection, files to bring, a worker that does what waits."""

import gzip
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from fastapi.testclient import TestClient
from pydicom.dataset import Dataset
from sqlalchemy import Engine

from encoders.encoder import load_encoder
from encoders.volumes import preprocessing_digest
from retrieval.archive import BUILT_IN_ENCODER
from retrieval.records import CollectionInfo
from retrieval.store import Store
from tests.synthetic_ct import as_xyz, chest_hu, dicom_slices, write_nifti
from web.jobs.worker import run_worker
from web.settings import WebSettings


def phantom_collection(engine: Engine, name: str = "default") -> CollectionInfo:
    """An empty collection of the encoder that is built in."""
    encoder = load_encoder(BUILT_IN_ENCODER)
    return Store(engine).ensure_collection(
        name,
        encoder=BUILT_IN_ENCODER,
        encoder_digest=encoder.digest,
        preprocessing_digest=f"{preprocessing_digest(encoder.grid)}/deidentified-1",
        latent_dim=encoder.latent_dim,
    )


def nifti_bytes(*, noise: float = 10.0, shape: tuple[int, int, int] = (24, 48, 48)) -> bytes:
    """A drawn chest as .nii.gz; another noise is another scan."""
    image = nib.Nifti1Image(as_xyz(chest_hu(shape, noise=noise)), np.diag((-8.0, -8.0, 8.0, 1.0)))
    return gzip.compress(image.to_bytes(), 1, mtime=0)


def dicom_bytes(slices: list[Dataset] | None = None) -> dict[str, bytes]:
    """The files of a drawn series, by the names that a browser would give them."""
    files = {}
    for number, image in enumerate(slices or dicom_slices(chest_hu((24, 48, 48)), pixel_mm=8.0)):
        out = io.BytesIO()
        pydicom.dcmwrite(out, image, enforce_file_format=True)
        files[f"CT1/IM{number:04}"] = out.getvalue()
    return files


def zip_bytes(files: Mapping[Any, bytes]) -> bytes:
    """A zip of files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def bring(client: TestClient, files: Mapping[str, bytes] | bytes, **fields: str) -> Any:
    """Upload files by name, or one called chest.nii.gz; returns the answer."""
    named = {"chest.nii.gz": files} if isinstance(files, bytes) else files
    sent = [("files", (name, content)) for name, content in named.items()]
    return client.post("/api/v1/uploads", files=sent, data=fields)


def do_jobs(**settings) -> None:
    """Do what waits, in this process, as `ctsearch worker --once` does."""
    run_worker(WebSettings(**settings), once=True)


def job_of(client: TestClient, number: int) -> Any:
    """A job as the API tells it."""
    return client.get(f"/api/v1/jobs/{number}").json()


def served_folder(tmp_path: Path) -> Path:
    """A folder with two scans and what is no CT."""
    folder = tmp_path / "served" / "scans"
    folder.mkdir(parents=True)
    for number in range(2):
        write_nifti(folder / f"scan{number}.nii.gz", as_xyz(chest_hu(noise=5.0 + number)))
    (folder / "broken.nii.gz").write_bytes(b"no CT at all")
    return folder


def tree(folder: Path) -> set[str]:
    """Every path below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
