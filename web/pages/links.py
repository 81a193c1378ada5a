"""Every state of the result list is a link: the search's parameters, some of them changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

ASKING = ("text", "case", "dataset", "report", "upload")  # what is asked; the others say how
Value = str | int | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class State:
    """The parameters of an address, in its order; empty ones are left out."""

    items: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, items: Iterable[tuple[str, str]]) -> "State":
        """Return the state of an address' parameters."""
        return cls(tuple((name, value) for name, value in items if value.strip()))

    def one(self, name: str) -> str:
        """Return a parameter's first value, empty where it is not set."""
        return next((value for key, value in self.items if key == name), "")

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a parameter."""
        return tuple(value for key, value in self.items if key == name)

    def changed(self, changes: Mapping[str, Value]) -> "State":
        """Return the state with some parameters set, or left out where the value is None."""
        kept = [(name, value) for name, value in self.items if name not in changes]
        for name, value in changes.items():
            values = value if isinstance(value, tuple) else () if value is None else (str(value),)
            kept += [(name, each) for each in values]
        return State(tuple(kept))

    def asking(self, **question: str) -> "State":
        """Return the same filters and choices for another question, from its first hits on."""
        return self.changed(dict.fromkeys((*ASKING, "k"), None) | question)

    def address(self, path: str = "/") -> str:
        """Return the address of this state."""
        return f"{path}?{urlencode(self.items)}" if self.items else path
