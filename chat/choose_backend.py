"""Which backend drafts: the built-in one, unless another is asked for by name."""

from chat.backends import Backend
from chat.extractive import Extractive
from encoders.errors import SearchError

BACKENDS = (Extractive.name,)


def choose_backend(name: str) -> Backend:
    """Return the backend of this name.

    Raises:
        SearchError: there is none.
    """
    if name == Extractive.name:
        return Extractive()
    raise SearchError(f"backend {name!r} is unknown; take one of {', '.join(BACKENDS)}")
