"""Dates in reports become days since the patient's first study: follow-up can still be asked about."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

DATE = (
    "[date]"  # stands for a date whose day cannot be told: no first study is known, or the date is ambiguous
)
_FIRST_YEAR_OF_1900S = 69  # of two digits, as POSIX reads them
LONGEST_DAYS = (
    30 * 365
)  # further from the first study a date is a birth or a slip, and a day count would tell

_MONTHS = (
    ("january", "jan", "januar", "jänner", "janvier", "enero", "ocak"),
    ("february", "feb", "februar", "février", "febrero", "şubat"),
    ("march", "mar", "märz", "mär", "mars", "marzo", "mart"),
    ("april", "apr", "avril", "abril", "nisan"),
    ("may", "mai", "mayo", "mayıs"),
    ("june", "jun", "juni", "juin", "junio", "haziran"),
    ("july", "jul", "juli", "juillet", "julio", "temmuz"),
    ("august", "aug", "août", "agosto", "ağustos"),
    ("september", "sept", "sep", "septembre", "septiembre", "eylül"),
    ("october", "oct", "oktober", "okt", "octobre", "octubre", "ekim"),
    ("november", "nov", "novembre", "noviembre", "kasım"),
    ("december", "dec", "dezember", "dez", "décembre", "diciembre", "aralık"),
)
_MONTH_NUMBER = {name: number for number, names in enumerate(_MONTHS, start=1) for name in names}
_MONTH = rf"(?:{'|'.join(sorted(_MONTH_NUMBER, key=len, reverse=True))})\b\.?"
_ENGLISH_MONTH = rf"(?:{'|'.join(names[0].title() for names in _MONTHS)})\b"
_YEAR = r"(?:19|20)\d\d"
_TIME = r"(?:[ T]?,?\s?(?:at )?\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:\s?(?:[AaPp][Mm]\b|[AaPp]\.[Mm]\.))?Z?)?"
_UNIT = r"(?!\s?(?:mm|cm|ml|cc|mg|mGy|HU|kV|mA|%|x\s?\d|×|months?\b|weeks?\b|days?\b|years?\b|hours?\b))"
_NOT_INSIDE = r"(?<![\w.,/-])"
_ORDINAL = r"(?:st|nd|rd|th|\.)?"
_COUNTED = re.compile(  # "ribs 7/8/10" and "segments 8-9-10" are no dates
    r"(?:segments?|ribs?|levels?|stations?|vertebra\w*|images?|slices?|sections?|series|grades?|disc\w*|lobes?)"
    r"\W*(?:\w+\W+)?$",
    re.IGNORECASE,
)
_DATED = re.compile(
    r"\b(?:dated?|on|from|since|until|before|after|of|vom|am|scan|ct|mri?|pet|study|exam\w*|with|to|prior|and)\W*$",
    re.IGNORECASE,
)

Order = Literal["day first", "month first"]
Precision = Literal["day", "month", "none"]


@dataclass(frozen=True, slots=True)
class FoundDate:
    """Characters [start, end) of a text that say a date; `value` is None where it cannot be told which."""

    start: int
    end: int
    value: date | None
    precision: Precision = "day"


def replace_dates(text: str, first_study: date | None) -> tuple[str, int]:
    """Replace every date by "day N", N days after the first study, or by [date] where that is not known.

    A month with its year becomes "about day N"; a year alone stays. 03/04/2021 is read as its neighbours in
    the text are; alone, nobody can tell which month it means, and it becomes [date].

    Args:
        text: a section of a report.
        first_study: when the patient was first examined, day 0.

    Returns:
        The text, and how many dates were replaced.

    Source:
        HIPAA safe harbour, 45 CFR 164.514(b)(2)(i)(C): all elements of dates but the year.
    """
    pieces, position, count = [], 0, 0
    for found in find_dates(text):
        if found.start < position:
            continue
        pieces += [text[position : found.start], _as_day(found, first_study)]
        position, count = found.end, count + 1
    return "".join([*pieces, text[position:]]), count


def find_dates(text: str) -> list[FoundDate]:
    """Return the dates of a text by where they start, the longer first; they may overlap."""
    order = _order_of(text)
    found = [
        *_labelled_births(text),
        *_numeric_dates(text, order),
        *_short_dates(text, order),
        *_written_dates(text),
    ]
    return sorted(found, key=lambda one: (one.start, -one.end))


def _as_day(found: FoundDate, first_study: date | None) -> str:
    if found.value is None or first_study is None:
        return DATE
    days = (found.value - first_study).days
    if abs(days) > LONGEST_DAYS:
        return DATE
    return f"day {days}" if found.precision == "day" else f"about day {days}"


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


_BIRTH = re.compile(
    rf"\b(?:dob|d\.o\.b\.?|date of birth|birth ?date|born(?: on| in)?|geb(?:\.|oren am)?"
    r"|doğum tarihi)\s*[:=]?\s*"
    rf"((?:\d{{1,2}}[./ -]){{0,2}}{_YEAR}\b|{_YEAR}[-/.]\d\d?[-/.]\d\d?|\d{{1,2}}[./-]\d{{1,2}}[./-]\d\d\b"
    rf"|(?:\d{{1,2}}{_ORDINAL} )?{_MONTH} (?:\d{{1,2}}{_ORDINAL},? )?{_YEAR})",
    re.IGNORECASE,
)
_YEAR_FIRST = re.compile(
    rf"{_NOT_INSIDE}({_YEAR})([-/.])(\d{{1,2}})\2(\d{{1,2}})(?!\d|[./-]\d){_TIME}"
    rf"|\b({_YEAR})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?:\d{{6}}(?:\.\d+)?)?\b"
)
_YEAR_LAST = re.compile(rf"(?<![\d,])((?:\d{{1,2}}\s?[./-]\s?){{2,3}})({_YEAR})(?!\d|[./-]\d){_TIME}")
_MONTH_AND_YEAR = re.compile(
    rf"(?<![\w,/-])(?<!\d\.)(?:(0?[1-9]|1[0-2])[/.-]({_YEAR})|({_YEAR})-(0[1-9]|1[0-2]))(?![\d/.-]\d|\d){_UNIT}"
)
_SHORT = re.compile(rf"{_NOT_INSIDE}(\d{{1,2}})([./-])(\d{{1,2}})\2'?(\d\d)(?![\w/-]|\.\d){_UNIT}{_TIME}")
_DAY_AND_MONTH = re.compile(
    r"(?<=\bdated )(?:\d{1,2}\.\d{1,2}\b\.?|\d{1,2}/\d{1,2}\b)(?![\d,/])"
    r"|(?:(?<=\bvom )|(?<=\bon )|(?<=\bam ))\d{1,2}\.\d{1,2}\.(?!\d)"
)
_WRITTEN = re.compile(
    rf"\b(\d{{1,2}}){_ORDINAL}(?: of)?[\s-]?({_MONTH}),?[\s-]*({_YEAR}|'?\d\d\b(?!\s?(?:mm|cm)))\b{_TIME}"
    rf"|\b({_MONTH})\s?(\d{{1,2}}){_ORDINAL},?\s({_YEAR})\b{_TIME}"
    rf"|\b({_MONTH}),?(?:\sof)?[\s-]({_YEAR})\b",
    re.IGNORECASE,
)
_WITHOUT_YEAR = re.compile(
    rf"\b(?:\d{{1,2}}{_ORDINAL}(?: of)? {_ENGLISH_MONTH}|{_ENGLISH_MONTH} \d{{1,2}}\b(?:st|nd|rd|th)?{_UNIT}"
    rf"|(?:(?<=\b[Ii]n )|(?<=\bdated )|(?<=\b[Ss]ince )|(?<=\b[Ll]ast )|(?<=\b[Ff]rom )|(?<=\buntil ))"
    rf"{_ENGLISH_MONTH})"
)


def _labelled_births(text: str) -> Iterator[FoundDate]:
    for match in _BIRTH.finditer(text):
        yield FoundDate(match.start(1), match.end(1), None, "none")


def _numeric_dates(text: str, order: Order | None) -> Iterator[FoundDate]:
    for match in _YEAR_FIRST.finditer(text):
        year, month, day = match.group(1, 3, 4) if match[1] else match.group(5, 6, 7)
        yield FoundDate(*match.span(), _date(int(year), int(month), int(day)))
    for match in _YEAR_LAST.finditer(text):
        parts = re.split(r"\s?[./-]\s?", match[1])[:-1]
        value = _resolve(parts, match[1], int(match[2]), order) if len(parts) == 2 else None
        yield FoundDate(*match.span(), value)
    for match in _MONTH_AND_YEAR.finditer(text):
        year, month = (match[2], match[1]) if match[1] else (match[3], match[4])
        yield FoundDate(*match.span(), _date(int(year), int(month), 15), "month")
    for match in _DAY_AND_MONTH.finditer(text):
        yield FoundDate(*match.span(), None, "none")


def _short_dates(text: str, order: Order | None) -> Iterator[FoundDate]:
    """Yield dates with a year of two digits, where neither place nor words say that it is a count."""
    for match in _SHORT.finditer(text):
        first, separator, second, year = match.groups()
        before = text[max(0, match.start() - 30) : match.start()]
        if _COUNTED.search(before) or not (1 <= int(first) <= 31 and 1 <= int(second) <= 31):
            continue
        padded = len(first) == len(second) == 2
        if min(int(first), int(second)) > 12 or not (_DATED.search(before) or (padded and separator != "-")):
            continue
        yield FoundDate(*match.span(), _resolve([first, second], separator, _century(int(year)), order))


def _written_dates(text: str) -> Iterator[FoundDate]:
    for match in _WRITTEN.finditer(text):
        if match[2]:
            year = match[3].lstrip("'")
            whole = _century(int(year)) if len(year) == 2 else int(year)
            yield FoundDate(*match.span(), _date(whole, _month(match[2]), int(match[1])))
        elif match[4]:
            yield FoundDate(*match.span(), _date(int(match[6]), _month(match[4]), int(match[5])))
        else:
            yield FoundDate(*match.span(), _date(int(match[8]), _month(match[7]), 15), "month")
    for match in _WITHOUT_YEAR.finditer(text):
        yield FoundDate(*match.span(), None, "none")


def _month(name: str) -> int:
    return _MONTH_NUMBER[name.lower().rstrip(".")]


def _century(year: int) -> int:
    return 2000 + year if year < _FIRST_YEAR_OF_1900S else 1900 + year


def _resolve(parts: list[str], separators: str, year: int, order: Order | None) -> date | None:
    first, second = int(parts[0]), int(parts[1])
    day_first, month_first = _date(year, second, first), _date(year, first, second)
    if "." in separators or month_first is None or first == second:
        return day_first or month_first
    if day_first is None:
        return month_first
    return None if order is None else (day_first if order == "day first" else month_first)


def _order_of(text: str) -> Order | None:
    """Return how this text writes 03/04/2021, if one of its dates can be read in one way only."""
    orders = {
        "day first" if int(first) > 12 else "month first"
        for first, second in re.findall(rf"\b(\d{{1,2}})[/-](\d{{1,2}})[/-](?:{_YEAR}|\d\d)\b", text)
        if (int(first) > 12) != (int(second) > 12)
    }
    if orders == {"day first"}:
        return "day first"
    return "month first" if orders == {"month first"} else None
