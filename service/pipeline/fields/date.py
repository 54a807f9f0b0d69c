"""Dates: the definition, and the same rule in SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date, timedelta
from functools import cache
from operator import attrgetter
from typing import NamedTuple

from service.pipeline.fields.text import Unusable, plain, reason_of, value_of

# ------------------------------------------------------------------------------------------------ definition

_LONGEST_DATE = 100  # the longest way to write one, JavaScript's toString, has about 70 characters
_LAST_DAY = 31
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})"
_YEAR_OR_SHORT = r"(?P<year>\d{4}|\d\d)"
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+)?"
_HOUR = r"(?:[01]?\d|2[0-4])"
_SECONDS = r"[0-6]\d(?:[.,]\d+)?"
_CLOCK = (
    rf"(?:{_HOUR}:[0-5]\d(?::{_SECONDS})?|{_HOUR}\.[0-5]\d(?:\.{_SECONDS})?)(?:\s?[ap]\.?m\.?)?|{_HOUR}\s?[ap]\.?m\.?"
)
_ZONE = r"(?:\s?(?:z|utc?|gmt|[a-z]{1,4}t)(?![a-z]))?(?:\s?[+-]\d\d(?::?\d\d)?)?(?:\s?[(\[][^()\[\]]*[)\]])?"
_TIME = rf"(?:(?:\s?t|,?\s+(?:at\s+)?|,)(?:{_CLOCK}){_ZONE})?"


def _shape(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII | re.IGNORECASE)


_YEAR_FIRST = _shape(rf"{_YEAR}(?P<mark>[-/.])(?P<month>\d{{1,2}})(?P=mark)(?P<day>\d{{1,2}}){_TIME}")
_COMPACT = _shape(rf"{_YEAR}(?P<month>\d\d)(?P<day>\d\d)(?:\.0*|t\d\d(?:\d\d){{0,2}}(?:[.,]\d+)?{_ZONE}|{_TIME})")
_COMPACT_WITH_TIME = _shape(
    r"(?P<year>(?:19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)(?:[01]\d|2[0-4])[0-5]\d(?:[0-6]\d)?(?:\.\d*)?"
)
_YEAR_LAST = _shape(
    rf"(?P<a>\d{{1,2}})\s?(?P<mark>[-/.])\s?(?P<b>\d{{1,2}})\s?(?P=mark)\s?(?P<year>\d{{4}}|\d\d){_TIME}"
)
_FIRST_SHORT_YEAR = 69  # POSIX: 69-99 are 1969-1999, 00-68 are 2000-2068
_UNIX = _shape(r"(?P<seconds>\d{9}|1\d{9})(?:\.\d*)?|(?P<milliseconds>\d{12}|1\d{12})(?:\.\d*)?")
_FIRST_UNIX_SECOND = 315_532_800  # 1980
_TEXTUAL = tuple(
    _shape(_WEEKDAY + order)
    for order in (
        rf"{_MONTH}[\s-]*{_DAY}(?:\s*,\s*|\s+|-){_YEAR_OR_SHORT}{_TIME}",
        rf"{_DAY}[\s./-]*(?:of\s+)?{_MONTH}[\s,/-]*{_YEAR_OR_SHORT}{_TIME}",
        rf"{_YEAR}[\s,./-]*{_MONTH}[\s/-]*{_DAY}{_TIME}",
        rf"{_MONTH}\s+{_DAY}\s+(?:{_CLOCK}){_ZONE}\s+{_YEAR}",
    )
)
# Of nearly all phone numbers these alone show that they are no dates: parts that marks divide, or letters of a month.
_MAY_BE_IN_DIGITS = _shape(r"\d{4}[-/.]\d|\d{1,2}\s?[-/.]\s?\d{1,2}\s?[-/.]")
_MAY_NAME_A_MONTH = re.compile("[JFMASONDjfmasond][AEPUCOaepuco][NBRYLGPTVCnbrylgptvc]")
_ORDERS = ("YMD", "DMY", "MDY")
_MANY_SHORT_DATES = 20


class DateColumn(NamedTuple):
    """How the dates of one column are read, as its own values show.

    order    MDY or DMY: of a/b/yyyy, where both readings are possible
    hyphens  of a-b-c with two digits each: YMD, MDY, DMY, or "unclear"; "": as ``order``
    strokes  of a/b/c and a.b.c with two digits each: YMD; "": as ``order``
    unix     "unix" if numbers are Unix times
    """

    order: str
    hyphens: str = ""
    strokes: str = ""
    unix: str = ""

    @property
    def code(self) -> str:
        """All of it as one text, for SQL."""
        return "|".join(self)


@cache
def _column(code: str) -> DateColumn:
    return DateColumn(*code.split("|"))


def read_date(text: str, column: str) -> str:
    """The day as YYYY-MM-DD, as written: a time of day and a zone do not shift it. `column`: see ``DateColumn.code``.

    A year of two digits (1/15/23, 15.01.23, 15-Jan-23) is 1969-2068 and comes last, unless the column shows that it
    comes first. Unix times are UTC. A bare number of days (44941, a spreadsheet's) is no date.
    Raises: Unusable (unclear_date where the column does not show the order of a-b-c, else invalid_date).

    >>> [read_date(text, "MDY") for text in ("2023-01-15T23:30:00-11:00", "15/01/2023", "202301151030")]
    ['2023-01-15', '2023-01-15', '2023-01-15']
    >>> read_date("03/04/2023", "MDY"), read_date("03/04/2023", "DMY"), read_date("5th of Jan 2023", "DMY")
    ('2023-03-04', '2023-04-03', '2023-01-05')
    >>> read_date("30/10/15 12:49", "MDY"), read_date("3/15/69", "DMY"), read_date("03-04-05", "DMY|YMD")
    ('2015-10-30', '1969-03-15', '2003-04-05')
    >>> read_date("1673778600", "MDY|||unix"), trouble_date("1673778600", "MDY")
    ('2023-01-15', 'invalid_date')
    >>> trouble_date("03-04-05", "MDY|unclear")
    'unclear_date'
    """
    day = _plain_day(text, _column(column))
    if day is None:
        raise Unusable("invalid_date")
    return day.isoformat()


def norm_date(text: str, column: str) -> str | None:
    """The day; None if ``trouble_date`` gives a reason."""
    return value_of(lambda: read_date(text, column))


def trouble_date(text: str, column: str) -> str | None:
    """The reason why the date is unusable, or None."""
    return reason_of(lambda: read_date(text, column))


def date_evidence(text: str) -> str | None:
    """What the value shows about its column, for ``column_of``; None: nothing.

    "DMY" or "MDY" of a/b/yyyy where the order is clear, the parts of a value of three short numbers, or "unix".

    >>> [date_evidence(text) for text in ("15/01/2023", "01/15/23", "23-01-15", "03/04/2023", "1673778600", "soon")]
    ['DMY', '/01 15 23', '-23 01 15', None, 'unix', None]
    """
    cell = _date_cell(text)
    if written := _YEAR_LAST.fullmatch(cell):
        if len(written["year"]) == 2:
            return f"{written['mark']}{written['a']} {written['b']} {written['year']}"
        return _clear_order(int(written["a"]), int(written["b"]))
    return None if unix_second(cell) is None else "unix"


def unix_second(text: str) -> int | None:
    """The seconds since 1970 that digits write, from 1980 on; None for other texts, and for a date in digits.

    >>> unix_second("1673778600"), unix_second("1673778600123"), unix_second("2125550101"), unix_second("202301151030")
    (1673778600, 1673778600, None, None)
    """
    cell = _date_cell(text)
    written = _UNIX.fullmatch(cell)
    if written is None or is_date_in_digits(cell.partition(".")[0]):
        return None
    seconds = int(written["seconds"] or int(written["milliseconds"]) // 1000)
    return seconds if seconds >= _FIRST_UNIX_SECOND else None


def column_of(evidence: Mapping[str, int], filled: int, default_order: str) -> tuple[DateColumn, bool]:
    """How a column is read, and whether its values contradict each other about which part is the day.

    evidence       ``date_evidence`` -> number of values
    filled         number of values in the column
    default_order  where the values do not show the order

    >>> column_of({"DMY": 1}, 9, "MDY")
    (DateColumn(order='DMY', hyphens='', strokes='', unix=''), False)
    """
    hyphens, strokes = _short_dates(evidence, "-"), _short_dates(evidence, "/.")
    is_year_first = bool(strokes) and _fits("YMD", strokes) and any(int(first) > _LAST_DAY for first, _, _ in strokes)
    shown = {it for it in evidence if it in _ORDERS}
    if not is_year_first:
        orders = (_clear_order(*map(int, it[1:].split()[:2])) for it in evidence if it[0] in "/.")
        shown |= {order for order in orders if order is not None}
    order = next(iter(shown)) if len(shown) == 1 else default_order
    hyphen_order, is_shown = _order_of_hyphens(hyphens, order)
    if not shown and is_shown and hyphen_order != "YMD":
        order = hyphen_order
    unix = "unix" if 2 * evidence.get("unix", 0) > filled else ""
    return DateColumn(order, hyphen_order, "YMD" if is_year_first else "", unix), len(shown) > 1


_Parts = tuple[str, str, str]


def _short_dates(evidence: Mapping[str, int], marks: str) -> dict[_Parts, int]:
    """Parts of the short dates with these marks that are a day in some order -> number of values."""
    found: dict[_Parts, int] = {}
    for text, count in evidence.items():
        if text[0] in marks:
            a, b, c = text[1:].split()
            if any(_short_day(order, a, b, c) for order in _ORDERS):
                found[a, b, c] = found.get((a, b, c), 0) + count
    return found


def _order_of_hyphens(dates: Mapping[_Parts, int], order: str) -> tuple[str, bool]:
    """The one order of all values a-b-c, and whether the values themselves show it.

    Days, months and years of two digits look alike. So the year comes first only where a first part is no day, or
    where many values have few first parts, as years are. Few values that may be read so are unclear.
    """
    if not dates:
        return "", False
    fitting = [it for it in _ORDERS if _fits(it, dates)]
    if fitting[:1] == ["YMD"]:
        firsts, lasts = {a for a, _, _ in dates}, {c for _, _, c in dates}
        is_many = sum(dates.values()) >= _MANY_SHORT_DATES
        if max(map(int, firsts)) > _LAST_DAY or (is_many and 2 * len(firsts) < len(lasts)):
            return "YMD", True
        fitting = fitting[1:] if is_many else []
    if not fitting:
        return "unclear", False
    return (order if order in fitting else fitting[0]), len(fitting) == 1


def _fits(order: str, dates: Collection[_Parts]) -> bool:
    return all(_short_day(order, *parts) for parts in dates)


def _short_day(order: str, a: str, b: str, c: str) -> date | None:
    """The day of three short numbers in this order; a year has two digits."""
    part = dict(zip(order, (a, b, c), strict=True))
    return _real_day(_whole_year(part["Y"]), part["M"], part["D"]) if len(part["Y"]) == 2 else None


def _clear_order(first: int, second: int) -> str | None:
    if 1 <= second <= 12 < first <= _LAST_DAY:
        return "DMY"
    if 1 <= first <= 12 < second <= _LAST_DAY:
        return "MDY"
    return None


def _date_cell(text: str) -> str:
    cell = plain(text)
    return cell if len(cell) <= _LONGEST_DATE else ""


def _plain_day(text: str, column: DateColumn) -> date | None:
    """Raises: Unusable (unclear_date)."""
    cell = _date_cell(text)
    if written := _YEAR_FIRST.fullmatch(cell) or _COMPACT.fullmatch(cell) or _COMPACT_WITH_TIME.fullmatch(cell):
        day = _real_day(written["year"], written["month"], written["day"])
        if day or not cell.isdigit():
            return day
    if written := _YEAR_LAST.fullmatch(cell):
        return _day_of_parts(written, column)
    if column.unix and (seconds := unix_second(cell)) is not None:
        return date(1970, 1, 1) + timedelta(days=seconds // 86_400)
    for shape in _TEXTUAL:
        if written := shape.fullmatch(cell):
            month = _MONTHS.index(written["month"][:3].lower()) + 1
            return _real_day(_whole_year(written["year"]), month, written["day"])
    return None


def _day_of_parts(written: re.Match[str], column: DateColumn) -> date | None:
    a, b, year = written["a"], written["b"], written["year"]
    if len(year) == 2:
        order = column.hyphens if written["mark"] == "-" else column.strokes
        if order == "unclear" and any(_short_day(it, a, b, year) for it in _ORDERS):
            raise Unusable("unclear_date")
        if order:
            return _short_day(order, a, b, year) if order in _ORDERS else None
    month, day = (b, a) if (_clear_order(int(a), int(b)) or column.order) == "DMY" else (a, b)
    return _real_day(_whole_year(year), month, day)


def is_written_date(text: str) -> bool:
    """Whether the text is a real day with separators or a month by name, and a year of four digits.

    Only of the years 1900 to 2099, and those that programs write for no date; before a time of day of any year.

    >>> [is_written_date(text) for text in ("2023-01-15", "15.01.2023", "Jan 15, 2023", "555.010.1234", "12-11-5678")]
    [True, True, True, False, False]
    """
    cell = _date_cell(text)
    if not _MAY_BE_IN_DIGITS.match(cell) and not _MAY_NAME_A_MONTH.search(cell):
        return False
    shapes = (shape.fullmatch(cell) for shape in (_YEAR_FIRST, _YEAR_LAST, *_TEXTUAL))
    written = next(filter(None, shapes), None)
    if written is None or len(written["year"]) != 4:
        return False
    is_usual = 1900 <= int(written["year"]) <= 2099 or int(written["year"]) in (1, 9999) or ":" in cell
    return is_usual and _plain_day(cell, DateColumn("MDY")) is not None


def is_date_in_digits(cell: str) -> bool:
    """Whether the text is a day of 1900 to 2099 in 8, 12 or 14 digits: YYYYMMDD, HHMM or HHMMSS behind it.

    >>> [is_date_in_digits(text) for text in ("20230115", "202301151030", "20230115103000", "202301154567", "2023")]
    [True, True, True, False, False]
    """
    if len(cell) not in (8, 12, 14) or not cell.isdigit():
        return False
    written = _COMPACT_WITH_TIME.fullmatch(cell) or (len(cell) == 8 and _COMPACT.fullmatch(cell))
    if not written or not 1900 <= int(written["year"]) <= 2099:
        return False
    return _real_day(written["year"], written["month"], written["day"]) is not None


def _whole_year(year: str) -> str:
    if len(year) == 4:
        return year
    return ("19" if int(year) >= _FIRST_SHORT_YEAR else "20") + year


def _real_day(year: str, month: str | int, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


# ------------------------------------------------------------------------------------------------------- SQL

HOUR_TO_SECOND = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?"
"""Regular expression: a time of day in ISO 8601, with a colon; seconds and their fraction may be absent."""
_TIME_OF_DAY = rf"(?:[T ]{HOUR_TO_SECOND}(?:Z|[+\-]\d\d:?\d\d)?)?"
_TEN_CHARACTERS = rf"[1-9]\d{{3}}(?:-\d\d-\d\d|/\d\d/\d\d){_TIME_OF_DAY}"
_PLAIN_YEAR_FIRST = rf"[1-9]\d{{3}}(?:-\d\d?-\d\d?|/\d\d?/\d\d?|\.\d\d?\.\d\d?){_TIME_OF_DAY}"
_PLAIN_CLOCK = r"(?:0?\d|1\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?: ?[AaPp][Mm])?"
_PLAIN_YEAR_LAST = rf"\d\d?(?:(?:/\d\d?/|\.\d\d?\.)(?:[1-9]\d{{3}}|\d\d)|-\d\d?-[1-9]\d{{3}})(?:,? {_PLAIN_CLOCK})?"
_SHORT_YEAR_LAST = r"\d\d?[/.]\d\d?[/.]\d\d(?:[, ].*)?"
_SHORT_DAY = """try_cast(case when substr(signup_date, {year}, 2) < '69' then '20' else '19' end
                    || substr(signup_date, {year}, 2) || '-' || substr(signup_date, {month}, 2)
                    || '-' || substr(signup_date, {day}, 2) as date)::varchar"""


def _in_any_case(word: str) -> str:
    """Regular expression; not by its flag, by which an "s" is also the long one (ſ)."""
    return "".join(f"[{letter.upper()}{letter}]" for letter in word)


_MONTH_NAMES = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november"),
    *("december", "sept", *_MONTHS),
)
_MONTH_BY_NAME = "|".join(map(_in_any_case, _MONTH_NAMES))
_MONTHS_IN_A_ROW = "".join(_MONTHS)
_DAY_OF_MONTH = r"\d\d?(?:st|nd|rd|th)?"
_DAY_MONTH_YEAR = (
    rf"(?:{_DAY_OF_MONTH}[ \-](?:{_MONTH_BY_NAME})\.?[ \-]|(?:{_MONTH_BY_NAME})\.? {_DAY_OF_MONTH},? )"
    r"(?:[1-9]\d{3}|\d\d)"
)
_PLAIN_UNIX = r"1\d{9}|[4-9]\d{8}"
# DuckDB reads a real day with "-" or "/" between its parts, and prints it as YYYY-MM-DD.
_DATE = rf"""
    case
        when signup_date is null then null
        when regexp_full_match(signup_date, '{_TEN_CHARACTERS}') then try_cast(left(signup_date, 10) as date)::varchar
        when regexp_full_match(signup_date, '\d\d/\d\d/[1-9]\d{{3}}')
            -- a day that is impossible in the order of its column may be possible in the other one
            then case $order when 'DMY' then coalesce($day_first, $month_first) else coalesce($month_first, $day_first)
                end::varchar
        when regexp_full_match(signup_date, '{_DAY_MONTH_YEAR}')
            then try_cast($whole_year
                || '-' || (instr('{_MONTHS_IN_A_ROW}', lower(regexp_extract(signup_date, '[A-Za-z]{{3}}'))) + 2) // 3
                || '-' || regexp_extract(signup_date, '^[^0-9]*([0-9]+)', 1) as date)::varchar
        when regexp_full_match(signup_date, '[1-9]\d{{7}}')
            then try_cast(left(signup_date, 4) || '-' || substr(signup_date, 5, 2) || '-' || right(signup_date, 2)
                as date)::varchar
        when regexp_full_match(signup_date, '\d\d-\d\d-\d\d') and $hyphens <> ''
            then case $hyphens when 'unclear' then null
                when 'YMD' then {_SHORT_DAY.format(year=1, month=4, day=7)}
                when 'DMY' then {_SHORT_DAY.format(year=7, month=4, day=1)}
                else {_SHORT_DAY.format(year=7, month=1, day=4)} end
        when regexp_full_match(signup_date, '{_PLAIN_YEAR_FIRST}')
            then try_cast(regexp_replace(signup_date, '^(\d+).(\d+).(\d+).*$', '\1-\2-\3') as date)::varchar
        when regexp_full_match(signup_date, '{_PLAIN_YEAR_LAST}')
            and ($strokes = '' or not regexp_full_match(signup_date, '{_SHORT_YEAR_LAST}'))
            then coalesce(try_cast($in_order as date), try_cast($in_other_order as date))::varchar
        when $unix = 'unix' and regexp_full_match(signup_date, '{_PLAIN_UNIX}')
            then (date '1970-01-01' + (signup_date::bigint // 86400)::integer)::varchar
        else norm_date(signup_date, $column)
    end
"""
_MONTH_FIRST = "try_cast(right(signup_date, 4) || '/' || left(signup_date, 5) as date)"
_DAY_FIRST = """try_cast(right(signup_date, 4) || '/' || substr(signup_date, 4, 2) || '/' || left(signup_date, 2)
                    as date)"""
_WHOLE_YEAR = """case when substr(signup_date, -3, 1) between '0' and '9' then right(signup_date, 4)
                    when right(signup_date, 2) < '69' then '20' || right(signup_date, 2)
                    else '19' || right(signup_date, 2) end"""
_IN_ORDER = rf"""regexp_replace(signup_date, '^(\d+).(\d+).(\d+).*$',
                    case when not regexp_full_match(signup_date, '{_SHORT_YEAR_LAST}') then ''
                        when regexp_matches(signup_date, '^\d+[/.]\d+[/.](?:69|[7-9])') then '19' else '20' end
                    || case $order when '{{day_first}}' then '\3-\2-\1' else '\3-\1-\2' end)"""
_TERMS = {
    "$day_first": _DAY_FIRST,
    "$month_first": _MONTH_FIRST,
    "$whole_year": _WHOLE_YEAR,
    "$in_order": _IN_ORDER.format(day_first="DMY"),
    "$in_other_order": _IN_ORDER.format(day_first="MDY"),
}


def date_sql(term_of: Callable[[Callable[[DateColumn], str]], str]) -> str:
    """SQL: the day of ``signup_date``, as ``read_date``.

    ``term_of`` returns the SQL term for a property of the column, which may differ from row to row.
    """
    sql = _DATE
    for name, term in _TERMS.items():
        sql = sql.replace(name, term)
    for name in DateColumn._fields:
        sql = sql.replace(f"${name}", term_of(attrgetter(name)))
    return sql.replace("$column", term_of(attrgetter("code")))


# One regular expression for all rows: three short numbers, digits alone, or characters that may be full-width digits.
_MAY_BE_EVIDENCE = r"^\s*\d{1,2}\s?[/.\-]\s?\d{1,2}\s?[/.\-]\s?\d\d|^\s*\d{9,13}(?:\.\d*)?\s*$|[^\x00-\x7F]"
# Each text that shows something is looked at once; the time of day shows nothing, and all Unix times show the same.
DATE_EVIDENCE_SQL = rf"""
    with written as (
        select source, count(*) as times,
            case when strlen(signup_date) > 10 and regexp_full_match(signup_date, '{_PLAIN_YEAR_LAST}')
                    then regexp_extract(signup_date, '^[^ ,]+')
                when regexp_full_match(signup_date, '{_PLAIN_UNIX}') then '1000000000'
                else signup_date end as shown
        from this
        where regexp_matches(signup_date, '{_MAY_BE_EVIDENCE}')
        group by source, shown
    )
    select source, evidence, sum(times)::bigint
    from (select source, times, date_evidence(shown) as evidence from written)
    where evidence is not null
    group by source, evidence
"""
"""SQL on a table of rows: source · evidence · number of values."""

IS_DOUBTFUL_SQL = "(signup_date in ('0001-01-01', '1900-01-01', '1970-01-01') or signup_date >= '2100')"
"""SQL: whether the day of ``signup_date`` is real, but one that programs write for none, or far in the future."""
