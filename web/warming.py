"""The first question waits for nothing: encoders and snapshots are loaded while the page is opened."""

import logging
import threading

from encoders.errors import CtsearchError
from retrieval.search import SearchOptions
from web.desk import Desk

_log = logging.getLogger(__name__)
_QUESTION = "lung"  # any: what it needs is kept, what it finds is not


def warm_up(desk: Desk) -> threading.Thread:
    """Ask each collection a question, in a thread that ends with the process."""
    thread = threading.Thread(target=_ask_all, args=(desk,), name="warming", daemon=True)
    thread.start()
    return thread


def _ask_all(desk: Desk) -> None:
    for info in desk.store.collections():
        try:
            desk.search.search_by_text(_QUESTION, SearchOptions(k=1), collection=info.name)
        except CtsearchError as error:  # whoever asks next is told the same
            _log.warning("the collection %s cannot be asked: %s", info.name, error)
