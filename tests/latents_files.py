"""Writes latents and labels as files that `ctsearch evaluate` reads."""

from pathlib import Path

import numpy as np

from encoders.abnormalities import ABNORMALITIES


def write_latents(path: Path, *, seed: int = 0, studies: int = 12, **changed) -> Path:
    """Two reconstructions a study, named as CT-RATE names them; None takes an array out."""
    draw = np.random.default_rng(seed)
    names = [f"valid_{number}_a_{r}" for number in range(studies) for r in (1, 2)]
    arrays = {
        "name": np.array(names),
        "volume": draw.standard_normal((len(names), 5)),
        "report": np.repeat(draw.standard_normal((studies, 5)), 2, axis=0),
        **changed,
    }
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def write_labels(path: Path, *, studies: int = 12, skip: int = 0) -> Path:
    """Findings drawn for each study; the first `skip` studies have no row."""
    draw = np.random.default_rng(7)
    rows = [",".join(["VolumeName", *ABNORMALITIES])]
    for number in range(studies):
        present = ",".join(map(str, (draw.random(18) < 0.2).astype(int)))
        if number >= skip:
            rows += [f"valid_{number}_a_{r}.nii.gz,{present}" for r in (1, 2)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path
