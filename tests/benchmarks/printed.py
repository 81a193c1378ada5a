"""The tables, each figure beside its budget; budgets are those of the design, stated once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.command_line import CommandTime
from tests.benchmarks.engines import Cell
from tests.benchmarks.loading import CopyTime, LoadTime
from tests.benchmarks.scoring import EvaluationTime
from tests.benchmarks.serving import ServedTime
from tests.benchmarks.words import WordsTime

SEARCH_MS = ((50_000, 25.0), (500_000, 250.0))  # rows up to which half of the searches end in time
SEARCH_RECALL = 0.99
LOAD_SHARE, BULK = 0.70, 10_000  # of binary COPY into the same tables; cases in a batch of a bulk load
EVALUATION_S = (3_039, 1.0)


@dataclass(slots=True, kw_only=True)
class Results:
    """Everything that one run measured."""

    about: dict[str, Any] = field(default_factory=dict)
    loads: list[tuple[LoadTime, CopyTime]] = field(default_factory=list)
    builds: list[tuple[int, str, float]] = field(default_factory=list)  # rows, what, seconds
    cells: list[Cell] = field(default_factory=list)
    commands: list[CommandTime] = field(default_factory=list)
    words: list[WordsTime] = field(default_factory=list)
    served: list[ServedTime] = field(default_factory=list)
    evaluations: list[EvaluationTime] = field(default_factory=list)


def printed(results: Results) -> str:
    """Return all tables as text, no line longer than 100 characters."""
    blocks = [_searches(results.cells, rows) for rows in dict.fromkeys(cell.rows for cell in results.cells)]
    blocks += [_loads(results), _builds(results), _commands(results)]
    blocks += [_words(results), _served(results), _evaluations(results)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _searches(cells: Sequence[Cell], rows: int) -> str:
    budget = next((ms for most, ms in SEARCH_MS if rows <= most), None)
    lines = [
        f"Search of {rows:,} volumes: ten studies for a stored case, filters resolved, hits fetched",
        f"budget of auto: recall at least {SEARCH_RECALL}, p50 at most {budget or '-'} ms",
        "",
        "engine           exact  recall@10  min ms  p50 ms  p95 ms  bare ms  bare recall  ratio  budget",
    ]
    mine = [cell for cell in cells if cell.rows == rows]
    for name in dict.fromkeys(cell.filter for cell in mine):
        of_filter = [cell for cell in mine if cell.filter == name]
        lines.append(f"-- filter: {name} ({_share(of_filter[0].share)})")
        for cell in of_filter:
            is_met = cell.recall >= SEARCH_RECALL and budget is not None and cell.p50_ms <= budget
            verdict = ("met" if is_met else "MISSED") if cell.engine == "auto" and budget else ""
            lines.append(
                f"{cell.engine:<16} {'yes' if cell.exact else 'no':<5} {cell.recall:>10.3f} "
                f"{cell.min_ms:>7.1f} {cell.p50_ms:>7.1f} {cell.p95_ms:>7.1f} {cell.bare_ms:>8.1f} "
                f"{cell.bare_recall:>12.3f} "
                f"{cell.p50_ms / cell.bare_ms:>6.1f}  {verdict}".rstrip()
            )
    return "\n".join(lines)


def _loads(results: Results) -> str:
    if not results.loads:
        return ""
    lines = [
        "Bulk load through the store, beside one binary COPY a table of the same rows: into tables with the",
        "same indexes and keys, and into tables without any; the least of several loads",
        f"budget of a bulk load: at least {LOAD_SHARE:.0%} of COPY into the same tables",
        "",
        "volumes  cases a batch  what      seconds  volumes/s  COPY s  share  no keys s  share  budget",
    ]
    for load, copy in results.loads:
        latents = _LoadLine(ours=load.latents_s, bare=copy.latents_s, keyed=copy.keyed_latents_s)
        cases = _LoadLine(ours=load.cases_s, bare=copy.cases_s, keyed=copy.keyed_cases_s)
        both = _LoadLine(
            ours=latents.ours + cases.ours, bare=latents.bare + cases.bare, keyed=latents.keyed + cases.keyed
        )
        lines += [
            f"{load.rows:>7,}  {load.batch_cases:>13,}  {what:<8} {line.text(load)}"
            for what, line in (("latents", latents), ("cases", cases), ("both", both))
        ]
        if load.batch_cases >= BULK:
            lines[-1] += "  met" if both.keyed / both.ours >= LOAD_SHARE else "  MISSED"
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _LoadLine:
    """Seconds through the store, by COPY into tables without keys, and into tables with them."""

    ours: float
    bare: float
    keyed: float

    def text(self, load: LoadTime) -> str:
        rate, share, share_without_keys = load.rows / self.ours, self.keyed / self.ours, self.bare / self.ours
        return (
            f"{self.ours:>8.1f} {rate:>10,.0f} {self.keyed:>7.1f} {share:>6.2f} "
            f"{self.bare:>10.1f} {share_without_keys:>6.2f}"
        )


def _builds(results: Results) -> str:
    if not results.builds:
        return ""
    lines = ["Built after the load", "", "volumes  what                    seconds"]
    lines += [f"{rows:>7,}  {what:<22} {seconds:>8.1f}" for rows, what, seconds in results.builds]
    return "\n".join(lines)


def _commands(results: Results) -> str:
    if not results.commands:
        return ""
    lines = ["Wall time of a process, median", "", "volumes  ms     what"]
    lines += [f"{each.rows:>7,}  {each.seconds * 1000:<6.0f} {each.what}" for each in results.commands]
    return "\n".join(lines)


def _words(results: Results) -> str:
    if not results.words:
        return ""
    lines = [
        f"Questions in words, full text alone, over {results.words[0].reports:,} reports",
        "",
        "  p50 ms   p95 ms  plain SQL ms  ratio  question",
    ]
    lines += [
        f"{each.p50_ms:>8.1f} {each.p95_ms:>8.1f} {each.bare_ms:>13.1f} {each.p50_ms / each.bare_ms:>6.1f}  "
        f"{each.question}"
        for each in results.words
    ]
    return "\n".join(lines)


def _served(results: Results) -> str:
    if not results.served:
        return ""
    lines = [
        "The web, served by one process: what clients waited, who ask again after a pause; ranking is what",
        "an answer says it took, encoding apart; budget: p95 of a search and of a page",
        "",
        "clients  pause s  answers  per s   p50 ms   p95 ms  ranking ms  what                        budget",
    ]
    for each in results.served:
        verdict = "" if each.budget_ms is None else "met" if each.p95_ms <= each.budget_ms else "MISSED"
        ranking = "" if each.ranking_p50_ms is None else f"{each.ranking_p50_ms:.1f}"
        lines.append(
            f"{each.clients:>7} {each.pause_s:>8.0f} {each.requests:>8} {each.per_second:>6.1f} "
            f"{each.p50_ms:>8.1f} {each.p95_ms:>8.1f} {ranking:>11}  {each.what:<26}  {verdict}".rstrip()
        )
    return "\n".join(lines)


def _evaluations(results: Results) -> str:
    if not results.evaluations:
        return ""
    lines = [
        "Evaluation: MAP@K, label overlap and Recall@K; the whole has floors and 1,000 resamples",
        f"budget: figures of {EVALUATION_S[0]:,} volumes in {EVALUATION_S[1]:g} s",
        "",
        "volumes  figures s  of that products s  ratio  whole s  budget",
    ]
    for each in results.evaluations:
        verdict = (
            ("met" if each.figures_s <= EVALUATION_S[1] else "MISSED") if each.rows == EVALUATION_S[0] else ""
        )
        lines.append(
            f"{each.rows:>7,} {each.figures_s:>10.2f} {each.product_s:>19.2f} "
            f"{each.figures_s / each.product_s:>6.1f} {each.whole_s:>8.2f}  {verdict}".rstrip()
        )
    return "\n".join(lines)


def _share(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share >= 0.01 else f"{share:.2%}"
