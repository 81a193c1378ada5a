"""Tables that lie in a source or beside it: which of them belong to its volumes, and which do not."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from encoders.errors import DatasetError
from retrieval.acquisition import column_key
from retrieval.datasets.columns import kinds_of
from retrieval.datasets.joined import KINDS, TableKind
from retrieval.datasets.source import Tables
from retrieval.datasets.tables import Table, cell, read_columns, read_table

_TABLE_FOLDERS = (  # of CT-RATE's release
    "radiology_text_reports",
    "multi_abnormality_labels",
    "metadata",
    "tables",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenTables:
    """The tables to read of each kind, and sentences saying which were taken and which were not."""

    tables: Mapping[TableKind, tuple[Table, ...]]
    warnings: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is no table at all."""
        return not any(self.tables.values())


@dataclass(frozen=True, slots=True)
class _Candidate:
    table: Table
    kinds: frozenset[str]
    splits: frozenset[str]


def table_paths(folder: Path, *, beside: bool) -> tuple[Path, ...]:
    """Return the CSV files of a folder, and of its parent if asked for, in the places releases have them."""
    found: list[Path] = []
    for root in (folder, folder.parent) if beside else (folder,):
        for place in (root, *(root / name for name in _TABLE_FOLDERS)):
            try:
                found += sorted(path for path in place.glob("*.csv") if not path.name.startswith((".", "~")))
            except OSError:
                continue  # the parent is nobody's business if it may not be listed
    return tuple(dict.fromkeys(found))


def choose_tables(
    given: Tables,
    paths: Iterable[Path],
    *,
    volume_splits: frozenset[str],
    names: tuple[str, ...],
    split_of: Callable[[str], str | None],
) -> ChosenTables:
    """Read the tables given, and choose from those that were found for the kinds that were not given.

    A found table is taken if it names cases of the same split as the volumes do; without volumes, as the
    tables given do; without those, of the splits that most kinds of tables name. So labels of the training
    split never come to reports of the validation split.

    Args:
        given: by hand; these are read whatever they name.
        paths: tables that were found.
        volume_splits: splits of the volume files; empty where there are none.
        names: what the name column may be called.
        split_of: a name as written to its split; None where it is no name of this data set.

    Raises:
        DatasetError: a table cannot be read, or two found tables of one kind name the same split.
    """
    by_hand = {kind: read_table(path) for kind in KINDS if (path := getattr(given, kind)) is not None}
    warnings: list[str] = []
    looked_at = _others(paths, given) if len(by_hand) < len(KINDS) else []
    candidates = list(_candidates(looked_at, names, split_of, warnings))
    anchor = (
        volume_splits
        or frozenset().union(*(_splits(table, names, split_of) for table in by_hand.values()))
        or _commonest(candidates)
    )
    chosen: dict[TableKind, tuple[Table, ...]] = {}
    for kind in KINDS:
        if kind in by_hand:
            chosen[kind] = (by_hand[kind],)
            continue
        fitting = [one for one in candidates if kind in one.kinds and one.splits & anchor]
        _refuse_two(kind, fitting)
        chosen[kind] = tuple(one.table for one in fitting)
        warnings += [f"{one.table.path} was taken as {_name(kind)}" for one in fitting]
    taken = {table.path for tables in chosen.values() for table in tables}
    wanted = {kind for kind in KINDS if kind not in by_hand}
    warnings += [
        f"{one.table.path} was left out: it names cases of {_listed(one.splits)}, not of {_listed(anchor)}"
        for one in candidates
        if one.table.path not in taken and one.kinds & wanted
    ]
    return ChosenTables(tables=chosen, warnings=tuple(warnings))


def _others(paths: Iterable[Path], given: Tables) -> list[Path]:
    by_hand = {path.expanduser().resolve() for kind in KINDS if (path := getattr(given, kind)) is not None}
    return [path for path in paths if path.resolve() not in by_hand]


def _candidates(
    paths: Iterable[Path],
    names: tuple[str, ...],
    split_of: Callable[[str], str | None],
    warnings: list[str],
) -> Iterator[_Candidate]:
    for path in paths:
        columns = read_columns(path)
        kinds = kinds_of(columns)
        named = {column_key(column) for column in columns} & {column_key(name) for name in names}
        table = read_table(path) if kinds and named else None
        splits = _splits(table, names, split_of) if table else frozenset()
        if table and splits:
            yield _Candidate(table, kinds, splits)
        elif kinds:
            warnings.append(f"{path} was left out: it names no volumes or studies of this data set")


def _splits(table: Table, names: tuple[str, ...], split_of: Callable[[str], str | None]) -> frozenset[str]:
    place = table.find(names)
    if place is None:
        return frozenset()
    return frozenset(split for row in table.rows if (split := split_of(cell(row, place))) is not None)


def _commonest(candidates: Iterable[_Candidate]) -> frozenset[str]:
    """Return the splits that the most kinds of tables name."""
    kinds: dict[str, set[str]] = {}
    for candidate in candidates:
        for split in candidate.splits:
            kinds.setdefault(split, set()).update(candidate.kinds)
    most = max((len(named) for named in kinds.values()), default=0)
    return frozenset(split for split, named in kinds.items() if len(named) == most)


def _refuse_two(kind: TableKind, fitting: list[_Candidate]) -> None:
    for place, one in enumerate(fitting):
        for other in fitting[place + 1 :]:
            if one.splits & other.splits:
                raise DatasetError(
                    f"{one.table.path} and {other.table.path} could both be the {_name(kind)} of "
                    f"{_listed(one.splits & other.splits)}: say which with --{kind}"
                )


def _name(kind: TableKind) -> str:
    return {"reports": "report table", "labels": "label table", "metadata": "metadata table"}[kind]


def _listed(splits: Iterable[str]) -> str:
    return " and ".join(sorted(splits))
