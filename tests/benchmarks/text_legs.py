"""Which leg of a search in words earns what, on the real validation reports.

    python -m tests.benchmarks.text_legs

Every report is stored without labels; report latents are phantom-tiny's, volume latents are noise (no volume
belongs to these reports). Precision at 10 over the 18 names and three paraphrases of each, and how many of
the first ten lack what "no X" and "without X" exclude; labels are the truth and never evidence.
"""

import os
import sys
import tempfile
from collections import Counter

import numpy as np
from sqlalchemy import Engine

from encoders.abnormalities import ABNORMALITIES
from encoders.encoder import Encoder, load_encoder
from retrieval.fusion import LegName
from retrieval.migrate import open_archive
from retrieval.postgres import embedded_server
from retrieval.questions import from_text
from retrieval.records import CollectionInfo
from retrieval.search import SearchOptions, search
from tests.small_archive import fill, study
from tests.test_sentences import real_reports
from tests.test_text_search import PARAPHRASES, real_labels

SEED = 20
BATCH = 64
DEPTH = 300  # of each ranking, where they are three equal votes
EQUAL_VOTES: tuple[LegName, ...] = ("text", "report", "volume")
LEGS: dict[str, tuple[LegName, ...]] = {
    "text alone": ("text",),
    "report latents alone": ("report",),
    "volume latents alone (noise)": ("volume",),
    "all (default)": (),
    "all, as three equal votes": EQUAL_VOTES,
}


def main() -> None:
    """Print a table: a row a leg."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ["CTSEARCH_HOME"] = home
        os.environ.pop("CTSEARCH_DATABASE", None)
        engine = open_archive()
        encoder = load_encoder("phantom-tiny")
        info = _stored(engine, encoder)
        sys.stdout.write(
            "| Legs | P@10, 18 names | P@10, 54 paraphrases | lacking, 36 absences |\n|---|---|---|---|\n"
        )
        for name, legs in LEGS.items():
            sys.stdout.write(f"| {name} | {' | '.join(_figures(engine, info, encoder, legs))} |\n")
        engine.dispose()
        embedded_server().stop()


def _stored(engine: Engine, encoder: Encoder) -> CollectionInfo:
    reports = real_reports()
    texts = [f"{report.findings}\n{report.impression}".strip() or "." for report in reports.values()]
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    latents = np.concatenate([encoder.encode_reports(batch).numpy() for batch in batches])
    noise = np.random.default_rng(SEED).normal(size=latents.shape)
    cases = [
        study(name, volumes=(f"{name}_1",), findings=report.findings, impression=report.impression)
        for name, report in reports.items()
    ]
    volumes = {f"{name}_1": latent for name, latent in zip(reports, noise, strict=True)}
    return fill(
        engine,
        cases,
        volumes=volumes,
        reports=dict(zip(reports, latents, strict=True)),
        dim=encoder.latent_dim,
    )


def _figures(engine: Engine, info: CollectionInfo, encoder: Encoder, legs: tuple[LegName, ...]) -> list[str]:
    labels = real_labels()
    asked = {
        "names": [(finding, finding, True) for finding in ABNORMALITIES],
        "paraphrases": [
            (words, finding, True) for finding in ABNORMALITIES for words in PARAPHRASES[finding]
        ],
        "absences": [
            (f"{no} {finding.lower()}", finding, False)
            for finding in ABNORMALITIES
            for no in ("no", "without")
        ],
    }
    means = [
        np.mean(
            [
                [labels[name][finding] == wanted for name in _first_ten(engine, info, encoder, words, legs)]
                for words, finding, wanted in questions
            ]
        )
        for questions in asked.values()
    ]
    return [f"{mean:.3f}" for mean in means]


def _first_ten(
    engine: Engine, info: CollectionInfo, encoder: Encoder, words: str, legs: tuple[LegName, ...]
) -> list[str]:
    if legs is EQUAL_VOTES:
        votes: Counter[str] = Counter()
        for leg in legs:
            for rank, name in enumerate(_studies(engine, info, encoder, words, (leg,), DEPTH), start=1):
                votes[name] += 1 / (60 + rank)  # type: ignore[assignment]
        return [name for name, _ in votes.most_common(10)]
    return _studies(engine, info, encoder, words, legs, 10)


def _studies(
    engine: Engine, info: CollectionInfo, encoder: Encoder, words: str, legs: tuple[LegName, ...], k: int
) -> list[str]:
    question = from_text(encoder, words)
    with engine.connect() as connection:
        answer = search(connection, info, question, SearchOptions(k=k, legs=legs))
    return [hit.study for hit in answer.hits]


if __name__ == "__main__":
    main()
