"""Dates, by the former rules."""

from __future__ import annotations

import re
from datetime import date, timedelta

from service.pipeline.fields.text import Unusable, value_of
from service.pipeline.former.text import plain

_LONGEST_DATE = 100  # the longest way to write one, JavaScript's toString, has about 70 characters
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})"
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+)?"
_HOUR = r"(?:[01]?\d|2[0-4])"
_CLOCK = rf"{_HOUR}:[0-5]\d(?::[0-6]\d(?:[.,]\d+)?)?(?:\s?[ap]\.?m\.?)?|{_HOUR}\s?[ap]\.?m\.?"
_ZONE = r"(?:\s?(?:z|utc?|gmt|[a-z]{1,4}t)(?![a-z]))?(?:\s?[+-]\d\d(?::?\d\d)?)?(?:\s?[(\[][^()\[\]]*[)\]])?"
_TIME = rf"(?:(?:\s?t|,?\s+(?:at\s+)?|,)(?:{_CLOCK}){_ZONE})?"


def _shape(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII | re.IGNORECASE)


_YEAR_FIRST = _shape(rf"{_YEAR}(?P<mark>[-/.])(?P<month>\d{{1,2}})(?P=mark)(?P<day>\d{{1,2}}){_TIME}")
_COMPACT = _shape(rf"{_YEAR}(?P<month>\d\d)(?P<day>\d\d)(?:t\d\d(?:\d\d){{0,2}}(?:[.,]\d+)?{_ZONE}|{_TIME})")
_YEAR_LAST = _shape(
    rf"(?P<a>\d{{1,2}})\s?(?P<mark>[-/.])\s?(?P<b>\d{{1,2}})\s?(?P=mark)\s?(?P<year>\d{{4}}|\d\d){_TIME}"
)
_FIRST_SHORT_YEAR = 69  # POSIX: 69-99 are 1969-1999, 00-68 are 2000-2068
_UNIX = _shape(r"(?P<seconds>\d{9,10})(?:\.\d*)?|(?P<milliseconds>\d{12,13})(?:\.\d*)?")
_TEXTUAL = tuple(
    _shape(_WEEKDAY + order)
    for order in (
        rf"{_MONTH}[\s-]*{_DAY}(?:\s*,\s*|\s+|-){_YEAR}{_TIME}",
        rf"{_DAY}[\s./-]*(?:of\s+)?{_MONTH}[\s,/-]*{_YEAR}{_TIME}",
        rf"{_YEAR}[\s,./-]*{_MONTH}[\s/-]*{_DAY}{_TIME}",
        rf"{_MONTH}\s+{_DAY}\s+(?:{_CLOCK}){_ZONE}\s+{_YEAR}",
    )
)


def read_date(text: str, order: str) -> str:
    """The day as YYYY-MM-DD, as written: a time of day and a zone do not shift it.

    `order` ("MDY" or "DMY") decides only if both readings of a/b/yyyy are possible. Unix times are UTC.
    A year of two digits (1/15/23, 15.01.23, 15-01-23) is 1969-2068 and comes last, after hyphens too:
    99-01-15 is no date. A bare number of days (44941, a spreadsheet's) is no date either.
    Raises: Unusable (invalid_date).

    >>> [read_date(text, "MDY") for text in ("2023-01-15T23:30:00-11:00", "15/01/2023", "1673778600")]
    ['2023-01-15', '2023-01-15', '2023-01-15']
    >>> read_date("03/04/2023", "MDY"), read_date("03/04/2023", "DMY"), read_date("5th of Jan 2023", "DMY")
    ('2023-03-04', '2023-04-03', '2023-01-05')
    >>> read_date("30/10/15 12:49", "MDY"), read_date("3/15/69", "DMY"), read_date("03-04-05", "DMY")
    ('2015-10-30', '1969-03-15', '2005-04-03')
    """
    day = _plain_day(text, order)
    if day is None:
        raise Unusable("invalid_date")
    return day.isoformat()


def norm_date(text: str, order: str) -> str | None:
    """The day; None if it is unusable."""
    return value_of(lambda: read_date(text, order))


def date_evidence(text: str) -> str | None:
    """The order of day and month that an a/b/yyyy or a/b/yy value shows; None if it is not clear by itself.

    >>> [date_evidence(text) for text in ("15/01/2023", "01/15/23", "03/04/2023", "soon")]
    ['DMY', 'MDY', None, None]
    """
    written = _YEAR_LAST.fullmatch(_date_cell(text))
    return _clear_order(int(written["a"]), int(written["b"])) if written else None


def _clear_order(first: int, second: int) -> str | None:
    if 1 <= second <= 12 < first <= 31:
        return "DMY"
    if 1 <= first <= 12 < second <= 31:
        return "MDY"
    return None


def _date_cell(text: str) -> str:
    cell = plain(text)
    return cell if len(cell) <= _LONGEST_DATE else ""


def _plain_day(text: str, order: str) -> date | None:
    cell = _date_cell(text)
    if written := _YEAR_FIRST.fullmatch(cell) or _COMPACT.fullmatch(cell):
        return _real_day(written["year"], written["month"], written["day"])
    if written := _YEAR_LAST.fullmatch(cell):
        day, month = written["a"], written["b"]
        if (_clear_order(int(day), int(month)) or order) != "DMY":
            day, month = month, day
        return _real_day(_whole_year(written["year"]), month, day)
    if written := _UNIX.fullmatch(cell):
        seconds = int(written["seconds"] or int(written["milliseconds"]) // 1000)
        return date(1970, 1, 1) + timedelta(days=seconds // 86_400)
    for shape in _TEXTUAL:
        if written := shape.fullmatch(cell):
            return _real_day(written["year"], _MONTHS.index(written["month"][:3].lower()) + 1, written["day"])
    return None


def _whole_year(year: str) -> str:
    if len(year) == 4:
        return year
    return ("19" if int(year) >= _FIRST_SHORT_YEAR else "20") + year


def _real_day(year: str, month: str | int, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
