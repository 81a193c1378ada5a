"""How sources write column names, sex, age, date and spacing, read into plain values."""

import ast
import math
import re
from datetime import date
from functools import cache

from retrieval.cases import Sex

_AGE = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*([YMWDymwd]?)")
_PER_YEAR = {"Y": 1.0, "": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}
_SEXES: dict[str, Sex] = {"f": "F", "female": "F", "w": "F", "woman": "F", "m": "M", "male": "M", "man": "M"}
_OLDEST = 130.0
_DATE = re.compile(r"((?:19|20)\d\d)[-/.]?([01]\d)[-/.]?([0-3]\d)(?:\.0|[ T].*)?")


@cache
def column_key(name: str) -> str:
    """Return a column name or DICOM keyword as it is compared: letters and digits, lower case."""
    return re.sub(r"[\W_]+", "", name).casefold()


def parse_sex(text: str) -> Sex | None:
    """Return F or M; None for what is neither ("O", empty)."""
    return _SEXES.get(text.strip().lower())


def age_in_years(text: str) -> float | None:
    """Read a DICOM age string: "036Y", "018M", "003W", "010D"; a bare number means years.

    Returns:
        Years; None where the text is no age.

    Source:
        DICOM PS3.5, 6.2, value representation AS.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        return None
    years = float(match[1]) / _PER_YEAR[match[2].upper()]
    return years if years <= _OLDEST else None


def parse_date(text: str) -> date | None:
    """Read a date that starts with its year: "20210427", "2021-04-27", "2021.04.27"; else None."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


def parse_number(text: str) -> float:
    """Read a finite number; a decimal comma is one too.

    Raises:
        ValueError: it is none.
    """
    number = float(re.sub(r"^(-?\d+),(\d+)$", r"\1.\2", text.strip()))
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a finite number")
    return number


def parse_list(text: str) -> list[str]:
    """Read "[0.68, 0.68]", "['Bl57d', '3']" or a single value as a list of texts."""
    text = text.strip()
    if text.startswith(("[", "(")):
        try:
            return [str(value) for value in ast.literal_eval(text)]
        except (ValueError, SyntaxError, TypeError):
            return [part for part in re.split(r"[\s,;\[\]()'\"]+", text) if part]
    return [part for part in re.split(r"\\", text) if part]
