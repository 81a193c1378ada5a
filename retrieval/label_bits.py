"""The 18 findings of a study as bits of an integer: bit n is `ABNORMALITIES[n]`.

Stored so, one row a study: a row a finding took nine tenths of a bulk load, and a filter on two findings two
questions instead of one.
"""

from collections.abc import Iterable, Mapping

from encoders.abnormalities import ABNORMALITIES

_BIT = {name: 1 << position for position, name in enumerate(ABNORMALITIES)}


def bits_of(names: Iterable[str]) -> int:
    """Return the bits of findings.

    Raises:
        KeyError: one is none of `ABNORMALITIES`.
    """
    return sum(_BIT[name] for name in set(names))


def known_and_present(labels: Mapping[str, bool]) -> tuple[int, int]:
    """Return the bits of the findings that something is said of, and of those that are there."""
    return sum(map(_BIT.__getitem__, labels)), sum(_BIT[name] for name, there in labels.items() if there)


def labels_of(known: int, present: int) -> dict[str, bool]:
    """Return whether each known finding is there, in the order of `ABNORMALITIES`."""
    return {name: bool(present & bit) for name, bit in _BIT.items() if known & bit}
