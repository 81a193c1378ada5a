"""A whole set of questions and answers: from cases and articles to one file; what is left out is counted."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chat.backends import BackendError
from chat.kept_entries import KeptEntries
from chat.vqa import Entry, RuleKind, ServerKind, write_entries
from chat.vqa_rules import RuleQuestions, one_report, rule_entries
from retrieval.cases import Case, Unreadable
from retrieval.datasets import Source
from retrieval.index_summary import IndexProgress

if TYPE_CHECKING:
    from chat.vqa_generated import Generated


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRequest:
    """What a set is made of."""

    by_rule: tuple[RuleKind, ...] = ()
    by_server: tuple[ServerKind, ...] = ()
    articles: tuple[Path, ...] = ()  # files, or folders of them
    limit: int | None = None  # studies
    seed: int = 0
    go_on: bool = False  # keep what the server wrote for this set, and ask for the rest

    @property
    def needs_server(self) -> bool:
        """Whether a language model is asked."""
        return bool(self.by_server or self.articles)


@dataclass(slots=True)
class SetSummary:
    """What was written, and what was not."""

    studies: int = 0
    without_report: int = 0
    entries: Counter[str] = field(default_factory=Counter)  # by kind
    rejected: Counter[str] = field(default_factory=Counter)  # what a server wrote, by reason
    unreadable: list[Unreadable] = field(default_factory=list)
    gave_up: str | None = None  # why the server was given up before the end

    def to_json(self) -> dict[str, Any]:
        """Return what `chat-data --json` prints."""
        return {
            "studies": self.studies,
            "without_report": self.without_report,
            "entries": dict(self.entries),
            "rejected": dict(self.rejected.most_common()),
            "failed": [{"item": one.item, "error": one.error} for one in self.unreadable],
        }


class SetWriter:
    """Writes one set; the server and the articles are found before anything is read."""

    def __init__(self, request: SetRequest, out: Path) -> None:
        """Get ready.

        Args:
            request: what the set is made of.
            out: the file.

        Raises:
            ConfigError: a server is needed and none is set, or its client is not installed; or an earlier run
                was ended and it is not said whether to go on.
            DatasetError: an article or the earlier set cannot be read.
        """
        self._request, self._out = request, out
        self._summary = SetSummary()
        self._kept: KeptEntries | None = None
        self._articles: tuple[Path, ...] = ()
        self._generated: Generated | None = None
        if request.needs_server:
            self._prepare_server()

    @property
    def sends_to(self) -> str | None:
        """The address on another computer that texts are sent to, if they are."""
        return None if self._generated is None else self._generated.server.settings.sends_to

    def write(self, source: Source | None, progress: IndexProgress) -> SetSummary:
        """Write the set; what there is when the server is given up is written too.

        Raises:
            StorageError: the file cannot be written.
        """
        whole = False
        try:
            entries: Iterable[Entry] = self._counted(source, progress)
            if self._kept is not None:
                entries = list(entries)  # hours of a server: no half-written set lies about meanwhile
            write_entries(self._out, entries)
            whole = True
        finally:
            if self._kept is not None:
                self._kept.close(whole=whole)
        if self._generated is not None:
            self._summary.rejected = self._generated.rejected
        return self._summary

    def _prepare_server(self) -> None:
        from chat.openai_server import ChatServer
        from chat.server_settings import server_settings

        server = ChatServer(server_settings())
        from chat.vqa_generated import Generated, article_files  # pydantic comes with the client

        self._articles = article_files(self._request.articles)
        self._kept = KeptEntries(self._out, go_on=self._request.go_on)
        done = frozenset(entry.id.rpartition("_")[0] for entry in self._kept.entries)
        self._generated = Generated(server, self._request.seed, done)

    def _counted(self, source: Source | None, progress: IndexProgress) -> Iterator[Entry]:
        for entry in self._entries(source, progress):
            self._summary.entries[entry.kind] += 1
            yield entry

    def _entries(self, source: Source | None, progress: IndexProgress) -> Iterator[Entry]:
        if self._kept is not None:
            yield from self._kept.entries
        try:
            if source is not None:
                yield from self._of_source(source, progress)
            if self._generated is not None:
                for article in self._articles:
                    yield from self._keeping(self._generated.of_article(article))
        except BackendError as error:
            self._summary.gave_up = str(error)

    def _of_source(self, source: Source, progress: IndexProgress) -> Iterator[Entry]:
        for entry in source:
            if isinstance(entry, Unreadable):
                self._summary.unreadable.append(entry)
                continue
            if self._summary.studies == self._request.limit:
                return
            self._summary.studies += 1
            self._summary.without_report += one_report(entry) is None
            yield from self._of_case(entry)
            progress.update(
                done=self._summary.studies,
                total=source.count,
                failed=len(self._summary.unreadable),
                step="asking",
            )

    def _of_case(self, case: Case) -> Iterator[Entry]:
        yield from rule_entries(case, RuleQuestions(kinds=self._request.by_rule, seed=self._request.seed))
        if self._generated is not None and self._request.by_server:
            yield from self._keeping(self._generated.of_case(case, self._request.by_server))

    def _keeping(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        for entry in entries:
            if self._kept is not None:
                self._kept.add(entry)
            yield entry
