"""Which leg of a search in words earns what, on the real validation reports.

    python -m tests.benchmarks.text_legs [QUERIES.json]

Every report is stored without labels; report latents are phantom-tiny's, volume latents are noise (no volume
belongs to these reports). Precision at 10 over the 18 names and three paraphrases of each, and how many of
the first ten lack what "no X" and "without X" exclude; labels are the truth and never evidence.

QUERIES.json asks other questions: {"paraphrases": {finding: [words]}, "negated": {finding: [words]},
"outside": {words: pattern that a sentence saying it matches}, "compound": {words: [[findings that it has],
[those it lacks]]}}, where "A|B" is either finding. The last two are measured in the first min(10, relevant).
"""

import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from encoders.abnormalities import ABNORMALITIES
from encoders.encoder import Encoder, load_encoder
from encoders.negation import is_denial
from encoders.sentences import split_text
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


@dataclass(frozen=True, slots=True)
class _Asked:
    words: str
    right: frozenset[str]  # studies
    first: int = 10  # hits that are looked at


def main() -> None:
    """Print a table: a row a leg."""
    asked = _asked_in(Path(sys.argv[1])) if len(sys.argv) > 1 else _asked_here()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ["CTSEARCH_HOME"] = home
        os.environ.pop("CTSEARCH_DATABASE", None)
        engine = open_archive()
        encoder = load_encoder("phantom-tiny")
        info = _stored(engine, encoder)
        heads = " | ".join(f"{name} ({len(questions)})" for name, questions in asked.items())
        sys.stdout.write(f"| Legs | {heads} |\n|---|{'---|' * len(asked)}\n")
        for name, legs in LEGS.items():
            means = [_mean(engine, info, encoder, legs, questions) for questions in asked.values()]
            sys.stdout.write(f"| {name} | {' | '.join(f'{mean:.3f}' for mean in means)} |\n")
        engine.dispose()
        embedded_server().stop()


def _asked_here() -> dict[str, list[_Asked]]:
    absences = {name: [f"{no} {name.lower()}" for no in ("no", "without")] for name in ABNORMALITIES}
    return {
        "names": _by_label({name: [name] for name in ABNORMALITIES}),
        "paraphrases": _by_label(PARAPHRASES),
        "absences, lacking it": _by_label(absences, has=False),
    }


def _asked_in(path: Path) -> dict[str, list[_Asked]]:
    given = json.loads(path.read_text(encoding="utf-8"))
    asked = {
        "paraphrases": _by_label(given.get("paraphrases", {})),
        "negated, lacking it": _by_label(given.get("negated", {}), has=False),
        "outside the 18": [_outside(words, pattern) for words, pattern in given.get("outside", {}).items()],
        "compound": [_compound(words, *of) for words, of in given.get("compound", {}).items()],
    }
    return {part: [one for one in questions if one.first] for part, questions in asked.items() if questions}


def _by_label(asked: Mapping[str, Iterable[str]], *, has: bool = True) -> list[_Asked]:
    labels = real_labels()
    return [
        _Asked(words, frozenset(study for study in labels if labels[study][finding] == has))
        for finding, wordings in asked.items()
        for words in wordings
    ]


def _outside(words: str, pattern: str) -> _Asked:
    says = re.compile(pattern, re.IGNORECASE)
    right = frozenset(
        study
        for study, report in real_reports().items()
        for text in (report.findings, report.impression)
        if any(says.search(one) and not is_denial(one) for one in split_text(text))
    )
    return _Asked(words, right, min(10, len(right)))


def _compound(words: str, has: Iterable[str], lacks: Iterable[str]) -> _Asked:
    right = frozenset(
        study
        for study, labels in real_labels().items()
        if all(any(labels[one] for one in either.split("|")) for either in has)
        and not any(labels[one] for one in lacks)
    )
    return _Asked(words, right, min(10, len(right)))


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


def _mean(
    engine: Engine,
    info: CollectionInfo,
    encoder: Encoder,
    legs: tuple[LegName, ...],
    questions: Sequence[_Asked],
) -> float:
    shares = []
    for asked in questions:
        hits = _first_ten(engine, info, encoder, asked.words, legs)[: asked.first]
        shares.append(len(asked.right.intersection(hits)) / asked.first)
    return float(np.mean(shares))


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
