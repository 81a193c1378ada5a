"""Which of the 18 findings a filter names; free text is read by `retrieval.text_query`."""

import re
from difflib import get_close_matches

from encoders.abnormalities import ABNORMALITIES, ALIASES
from encoders.errors import SearchError


def abnormality_named(name: str) -> str:
    """Return the finding that `name` stands for; case, hyphens, plurals and aliases do not matter.

    Raises:
        SearchError: it is none of the 18; the nearest names are given.
    """
    found = _BY_PHRASE.get(_phrase(name))
    if found is not None:
        return found
    near = get_close_matches(_phrase(name), _BY_PHRASE, n=3, cutoff=0.6)
    names = list(dict.fromkeys(_BY_PHRASE[phrase] for phrase in near)) or list(ABNORMALITIES)
    hint = "did you mean" if near else "take one of"
    raise SearchError(f"{name!r} is not one of the 18 findings; {hint} {', '.join(names)}")


def _phrase(text: str) -> str:
    """Lower case, words only, each in the singular."""
    words = re.findall(r"[^\W_]+", text.lower())
    return " ".join(_singular(word) for word in words)


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith(("ss", "sis", "us")) and len(word) > 3:
        return word[:-1]
    return word


_BY_PHRASE: dict[str, str] = {
    _phrase(name): finding for finding in ABNORMALITIES for name in (finding, *ALIASES[finding])
}
