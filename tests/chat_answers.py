"""What a chat model says of phantoms it has not learnt from, and what it says when the volume is another's.

    python -m tests.chat_answers DIR [--phantoms 30] [--seed 101] [--shown 3]

Prints as JSON, with the own volume and with that of the next phantom: the AUROC of 18 findings by the first
token of "Is there X?" (Yes against No), and F1 of the findings that the rules read in the reports it writes.
Then how many answers the other volume changes, how many different reports there are, and the first of them.
In bfloat16, so that a CPU is done in minutes.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chat.chat_format import Turn
from chat.directory import load_chat_model, read_chat_card
from chat.model import ChatModel, batch_of
from chat.volume_tokens import VolumeTokens
from encoders.abnormalities import ABNORMALITIES
from encoders.encoder import load_encoder
from encoders.report_labels import load_label_extractor
from retrieval.cases import Case
from retrieval.datasets.phantom import phantom_cohort
from training.conversations import REPORT_REQUEST
from training.unseen import mean_auroc

Scores = NDArray[np.float64]
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Scan:
    """A phantom's first volume as the encoder shows it, and the truth."""

    case: Case
    tokens: Tensor


def scans_of(directory: Path, count: int, seed: int) -> list[Scan]:
    """One scan a patient, encoded."""
    card = read_chat_card(directory)
    tokens = VolumeTokens(None, load_encoder(card.encoder))
    first = {case.patient: case for case in reversed(list(phantom_cohort(count, seed)))}
    return [Scan(case, tokens.read(case.volumes[0].file)) for case in first.values()]


@torch.no_grad()
def finding_scores(chat: ChatModel, tokens: Tensor) -> Scores:
    """Yes against No as the first token of an answer, (18,)."""
    questions = [
        chat.format.question(f"Is there {name.lower()}?", "short_answer", 1) for name in ABNORMALITIES
    ]
    chats = [chat.format.tokenise([Turn(question)]) for question in questions]
    batch = batch_of(chats, [tokens] * len(chats), tokens.shape[-1])
    ends = torch.tensor([len(one) - 1 for one in chats])
    last, place = ends.unique(return_inverse=True)
    said = chat.logits(batch, last)[range(len(chats)), place]
    yes, no = (chat.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in ("Yes", "No"))
    return (said[:, yes].double() - said[:, no].double()).numpy()


def _f1(named: Truth, truth: Truth) -> float:
    return float(2 * (named & truth).sum() / max(named.sum() + truth.sum(), 1))


def main(arguments: Sequence[str]) -> None:
    """Print the figures of a chat model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    for name, default in (("phantoms", 30), ("seed", 101), ("shown", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args(arguments)
    chat = load_chat_model(asked.directory, dtype=torch.bfloat16)
    scans = scans_of(asked.directory, asked.phantoms, asked.seed)
    truth = np.array([[scan.case.labels[name] for name in ABNORMALITIES] for scan in scans])
    known = np.ones_like(truth)
    own = np.stack([finding_scores(chat, scan.tokens) for scan in scans])
    other = np.roll(own, 1, axis=0)
    request = [Turn(chat.format.question(f"{REPORT_REQUEST}.", "report_generation", 1))]
    reports = ["".join(chat.stream(request, [scan.tokens], limit=60)) for scan in scans]
    named = load_label_extractor("rules").label_reports(reports)
    figures = {
        "volumes": len(scans),
        "auroc": mean_auroc(own, truth, known),
        "auroc of another volume": mean_auroc(other, truth, known),
        "answers that another volume changes": float(np.mean((own > 0) != (other > 0))),
        "f1 of reports": _f1(named, truth),
        "f1 of reports of another volume": _f1(np.roll(named, 1, axis=0), truth),
        "different reports": len(set(reports)),
        "reports": [
            {"said": said, "written": scan.case.reports[0].impression}
            for said, scan in list(zip(reports, scans, strict=True))[: asked.shown]
        ],
    }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
