"""Answers as tables that fit 80 columns; what reports say is shown without its control characters."""

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from retrieval.answers import Answer
    from retrieval.case_list import ListedCase
    from retrieval.collection_status import CollectionStatus
    from retrieval.hits import Hit
    from retrieval.latent_indexes import HnswState
    from retrieval.records import CollectionInfo
    from retrieval.snapshots import SnapshotState
    from retrieval.store_runs import RunStatus

RESEARCH_USE = "Research use only: nothing here is a diagnosis."
_SAYING_LENGTH = 150  # of what is quoted from a report
_TERMINAL_CODE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def print_answer(answer: "Answer", title: str) -> None:
    """Print the hits of a search; `title` says what was asked."""
    print_hits(answer.hits, f"{title}\n{answer.collection}, {_how(answer)}")


def print_hits(hits: Sequence["Hit"], title: str, *, score: str = "Score") -> None:
    """Print hits, best first; `score` says what the figure is."""
    console = _console()
    console.print(*(Text(printable(line)) for line in title.splitlines()), sep="\n")
    if not hits:
        console.print(Text("No case matches."))
        return
    table = _table(("#", "right"), (score, "right"), ("Sex, age", "left"), ("Case", "left"))
    for hit in hits:
        table.add_row(str(hit.rank), f"{hit.score:.3f}", _who(hit.metadata), _case(hit))
    console.print(table)
    console.print(Text(RESEARCH_USE, style="dim"))


def print_cases(cases: Sequence["ListedCase"]) -> None:
    """Print one row a case, and how many there are."""
    console = _console()
    table = _table(
        ("Study, volumes", "left"),
        ("Sex, age", "left"),
        ("Scanner", "left"),
        ("Findings", "left"),
        ("Collections", "left"),
    )
    for case in cases:
        volumes = [Text(printable(name), style="dim") for name in case.volumes or ("report only",)]
        table.add_row(
            Group(Text(printable(case.study), style="bold"), *volumes),
            _who(case.metadata),
            Text(printable(str(case.metadata["manufacturer"] or ""))),
            Text(", ".join(case.labels)),
            Text(", ".join(case.collections), style="dim"),
        )
    if cases:
        console.print(table)
    console.print(Text(f"{len(cases)} cases"))


def print_collections(collections: Sequence["CollectionInfo"]) -> None:
    """Print one row a collection."""
    table = _table(
        ("Collection", "left"),
        ("Encoder", "left"),
        ("Numbers", "right"),
        ("Volumes", "right"),
        ("Reports", "right"),
        ("Studies", "right"),
    )
    for info in collections:
        counts = (
            "?" if count is None else f"{count:,}" for count in (info.volumes, info.reports, info.studies)
        )
        table.add_row(Text(info.name), Text(info.encoder), str(info.latent_dim), *counts)
    _console().print(table if collections else Text("There is no collection; `ctsearch index` makes one."))


def print_collection_statuses(collections: Sequence["CollectionStatus"]) -> None:
    """Print two rows a collection, one a kind of latent, and what became of its last index run."""
    names = ("Collection", "Latents of", "Rows", "HNSW index", "Snapshot")
    table = _table(*((name, "right" if name == "Rows" else "left") for name in names))
    for status in collections:
        named = (Text(status.name), Text(_size(status.size_bytes), style="dim"))
        held = _snapshot(status.snapshot)
        for first, (kind, rows), last in zip(named, status.rows.items(), held, strict=True):
            table.add_row(first, f"{kind}s", f"{rows:,}", _index(status.hnsw[kind]), last)
    console = _console()
    console.print(table)
    for status in collections:
        if status.runs:
            console.print(Text(f"{status.name}: {_run(status.runs[0])}"))


def print_probabilities(title: str, probabilities: dict[str, float]) -> None:
    """Print findings, the likeliest first."""
    console = _console()
    console.print(Text(printable(title)))
    table = _table(("Finding", "left"), ("Probability", "right"), ("", "left"))
    for finding, probability in sorted(probabilities.items(), key=lambda item: -item[1]):
        table.add_row(
            Text(printable(finding)), f"{probability:.3f}", Text("█" * round(probability * 30), style="cyan")
        )
    console.print(table)
    console.print(Text(RESEARCH_USE, style="dim"))


def printable(text: str) -> str:
    """Replace control, format and unassigned characters by spaces: a report may not steer a terminal."""
    text = _TERMINAL_CODE.sub("", text)
    return "".join(" " if unicodedata.category(character)[0] == "C" else character for character in text)


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def _table(*columns: tuple[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, overflow="fold", vertical="top")
    return table


def _how(answer: "Answer") -> str:
    return f"{'exact' if answer.exact else 'approximate'} ({answer.engine}) in {answer.took_ms:.0f} ms"


def _who(metadata: Any) -> str:
    age = metadata.get("age_years")
    parts = (metadata.get("sex"), None if age is None else f"{age:g}")
    return ", ".join(part for part in parts if part) or "?"


def _case(hit: "Hit") -> Group:
    """Name, findings (the shared ones first), and what the report says, a line each."""
    names = Text(printable(hit.study), style="bold")
    names.append(f"  {printable(hit.volume or 'report only')}", style="not bold dim")
    lines = [names]
    source = printable(str(hit.metadata.get("source", "")).partition("#")[0])
    if source.startswith("/") and (hit.volume or "") not in source:
        lines.append(Text(source, style="dim"))
    if hit.shared_labels:
        lines.append(Text(f"shares {', '.join(hit.shared_labels)}", style="cyan"))
    if hit.missing_labels:
        lines.append(Text(f"lacks {', '.join(hit.missing_labels)}"))
    others = ", ".join(label for label in hit.labels if label not in hit.shared_labels)
    if others:
        lines.append(Text(f"also {others}" if hit.shared_labels else others))
    if len(hit.legs) > 1:
        lines.append(Text(_places(hit), style="dim"))
    saying = _saying(hit)
    if saying:
        lines.append(Text(f"“{saying}”", style="italic"))
    return Group(*lines)


def _places(hit: "Hit") -> str:
    """Say which rank a hit has in each leg: "text 1, report 14, volume –"."""
    return ", ".join(f"{leg} {place.rank if place else '–'}" for leg, place in hit.legs.items())


def _saying(hit: "Hit") -> str:
    """The best sentence, else the first words of the impression, else of the findings."""
    text = " ".join(printable(next(iter(hit.matched_sentences), hit.impression or hit.findings)).split())
    return text if len(text) <= _SAYING_LENGTH else text[: _SAYING_LENGTH - 1].rsplit(" ", 1)[0] + "…"


def _index(state: "HnswState") -> str:
    size = "" if state.size_bytes is None else f", {_size(state.size_bytes)}"
    if state.state == "building":
        return "building" if state.percent is None else f"building, {state.percent:.0f} %"
    if state.state == "invalid":
        return f"unfinished{size}"
    return f"{state.state}{size}"


def _snapshot(state: "SnapshotState") -> tuple[Text, Text]:
    """Its state, and under it its size."""
    if state.problem is not None:
        return Text("missing"), Text("")
    rows = "row" if state.behind == 1 else "rows"
    behind = f"{state.behind:,} {rows} behind" if state.behind else "current"
    return Text(f"{state.built}, {behind}"), Text(_size(state.size_bytes), style="dim")


def _run(run: "RunStatus") -> str:
    when = run.started_at.astimezone().strftime("%Y-%m-%d %H:%M")
    ended = {
        "running": "is running",
        "finished": "finished",
        "failed": "failed",
        "interrupted": "was interrupted; the same command goes on from there",
    }[run.state]
    counts = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in run.counts.items() if count)
    return f"the index run of {when} {ended}" + (f" ({counts})" if counts else "")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
