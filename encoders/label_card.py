"""What a trained label extractor says of itself: `labels.json`, and whether the files beside it are whole."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from encoders.abnormalities import ABNORMALITIES
from encoders.errors import CheckpointError
from encoders.model_card import file_sha256, verify_files
from encoders.whole_directory import draft_beside, put_in_place

LabelKind = Literal["sentences", "transformer"]

CARD_FILE = "labels.json"
_FORMAT = "ctsearch report labels 1"
_HINT = "make one with ctsearch train report-labels, or take --model rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCard:
    """A label extractor's directory, read without its weights."""

    directory: Path
    kind: LabelKind
    digest: str  # SHA-256 in hexadecimal, of its files
    source: str  # what it was fitted to, in words
    settings: Mapping[str, Any]  # of its kind


def read_label_card(directory: Path) -> LabelCard:
    """Read what a label extractor says of itself, and compare its files with what the card lists.

    Raises:
        CheckpointError: the directory holds none, one of another version, or one that is damaged.
    """
    path = directory / CARD_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = data["format"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(f"{directory} holds no label extractor (no {CARD_FILE}): {_HINT}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): {_HINT}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} does not describe a label extractor: {_HINT}") from error
    if found != _FORMAT:
        raise CheckpointError(
            f"{path} has the format {found!r}, this version reads {_FORMAT!r}: train it again"
        )
    return _checked(directory, path, data)


def write_label_model(
    out: Path,
    *,
    kind: LabelKind,
    source: str,
    settings: Mapping[str, Any],
    write_files: Callable[[Path], None],
) -> LabelCard:
    """Write a label extractor; its directory appears whole or not at all.

    Args:
        out: made here; an extractor that stands there already is replaced.
        kind: which.
        source: what it was fitted to, in words.
        settings: for `labels.json`.
        write_files: is given an empty folder and writes the weights and what belongs to them.

    Raises:
        CheckpointError: `out` holds something else.
        StorageError: the disk is full or may not be written to.
    """
    refuse_other_content(out)
    out = out.absolute()
    with draft_beside(out) as draft:
        write_files(draft)
        files = {path.name: file_sha256(path) for path in sorted(draft.iterdir())}
        card = {
            "format": _FORMAT,
            "kind": kind,
            "source": source,
            "abnormalities": list(ABNORMALITIES),
            "settings": dict(settings),
            "files": files,
        }
        (draft / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        for path in draft.iterdir():
            path.chmod((draft / CARD_FILE).stat().st_mode)  # safetensors lets nobody but its owner read
        put_in_place(draft, out)
    return read_label_card(out)


def refuse_other_content(out: Path) -> None:
    """Look where a model is to go, before it is trained.

    Raises:
        CheckpointError: something stands there that is no label extractor.
    """
    if not out.exists() or (out.is_dir() and (not any(out.iterdir()) or (out / CARD_FILE).is_file())):
        return
    raise CheckpointError(f"{out} exists and is no label extractor: choose another --out")


def _checked(directory: Path, path: Path, data: Mapping[str, Any]) -> LabelCard:
    try:
        files = {str(name): str(digest) for name, digest in data["files"].items()}
        card = LabelCard(
            directory=directory,
            kind=data["kind"],
            digest=hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
            source=str(data["source"]),
            settings=dict(data["settings"]),
        )
        abnormalities = tuple(data["abnormalities"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} does not describe a label extractor: {_HINT}") from error
    if card.kind not in get_args(LabelKind):
        raise CheckpointError(
            f"{path} is of the kind {card.kind!r}, which this version does not know: train it again"
        )
    if abnormalities != ABNORMALITIES:
        raise CheckpointError(f"{path} labels other findings than the 18 of this version: train it again")
    verify_files(directory, files, "train the extractor again")
    return card
