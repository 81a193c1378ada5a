"""A question, what is wanted of its answer, and the answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from encoders.errors import SearchError
from retrieval.engines import EngineName
from retrieval.filters import Filters
from retrieval.fusion import LegName
from retrieval.hits import Hit
from retrieval.named_cases import LatentKind, StoredCase
from retrieval.neighbours import Latent, Unit
from retrieval.planner import EngineChoice

Exclusion = Literal["same-study", "same-patient", "none"]
_MOST_ROWS = 2**31  # more than any archive holds, and still a number that Postgres takes


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """How many cases are wanted, and which may be among them.

    Raises:
        SearchError: k is less than 1, or a choice does not exist.
    """

    k: int = 10
    filters: Filters = field(default_factory=Filters)
    unit: Unit = "study"  # what a hit is
    exclude: Exclusion = "same-study"  # as the case that the question came from
    engine: EngineChoice = "auto"
    legs: tuple[
        LegName, ...
    ] = ()  # what is searched; none stands for all that the question and collection have

    def __post_init__(self) -> None:
        if self.k < 1:
            raise SearchError(f"k={self.k} asks for no hits; take 1 or more")
        chosen = (
            ("unit", self.unit, Unit),
            ("exclude", self.exclude, Exclusion),
            ("engine", self.engine, EngineChoice),
            *(("leg", leg, LegName) for leg in self.legs),
        )
        for noun, value, choices in chosen:
            if value not in get_args(choices):
                raise SearchError(f"{noun} {value!r} is unknown; take one of {', '.join(get_args(choices))}")

    @property
    def limit(self) -> int:
        """`k`, or as many rows as Postgres can count."""
        return min(self.k, _MOST_ROWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, as a latent or in words, and what is known of the case it came from."""

    asked: Mapping[str, Any]  # how the question was put: the first entries of `query` in the answer
    kind: LatentKind
    latent: Latent | None  # (L,), unit length; None where words alone are searched for
    origins: tuple[StoredCase, ...] = ()  # the stored cases that the question is
    labels: tuple[str, ...] = ()  # the findings that it has or names
    words: str = ""  # searched for in reports if `kind` is report; sentences of hits are shown by them
    words_decide: bool = True  # before latents do; not so for a whole report, of which no other says it all


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Hits, best first, and how they were found."""

    query: Mapping[str, Any]
    collection: str
    engine: EngineName
    exact: bool
    took_ms: float  # ranking and fetching; encoding the question is not in it
    hits: tuple[Hit, ...]
    explanation: tuple[str, ...] = ()  # a sentence each
    warnings: tuple[str, ...] = ()  # about the file that asked
    opened: int = 0  # sealed sources that are shown

    def to_json(self) -> dict[str, Any]:
        """What `ctsearch search --json` prints."""
        return {
            "query": dict(self.query),
            "collection": self.collection,
            "engine": self.engine,
            "exact": self.exact,
            "took_ms": round(self.took_ms, 3),
            "hits": [hit.to_json() for hit in self.hits],
            "explanation": list(self.explanation),
            "warnings": list(self.warnings),
        }
