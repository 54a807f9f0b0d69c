"""Phone numbers: the definition, and the same rule in SQL."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import accumulate, chain

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from service.engine.contract import sql_text
from service.pipeline.fields.date import is_date_in_digits, is_written_date
from service.pipeline.fields.number_plan import (
    Number,
    behind_calling_code,
    dialled,
    exists,
    international_shapes,
    mobiles_that_exist,
    plan_behind,
    plan_of_region,
)
from service.pipeline.fields.text import Unusable, plain, reason_of, value_of, without_entities

# ------------------------------------------------------------------------------------------------ definition


_LONGEST_CELL = 250  # libphonenumber's own limit
_SHORTEST_NUMBER = 7
_LONGEST_EXTENSION = 6
_MEXICAN_MOBILE, _DIGITS_OF_A_MEXICAN_MOBILE = "521", 13
_NO_DIGITS = re.compile("[^0-9]+")
_GROUP = re.compile("[0-9]+")

_ONE_NUMBER = re.compile(r"\+?[0-9 ().\-]*")
_FORMULA = re.compile(r'=?\s*"(.*)"|=(.*)')
_FLOAT = re.compile(r"(\+?[0-9]+)\.0*")
_SCIENTIFIC = re.compile(r"(?<![^\s,;/|&])[+-]?([0-9]+)(?:[.,]([0-9]+))?[eE]([+-]?[0-9]{1,3})(?![^\s,;/|&])")
_EXTENSION = re.compile(
    r"(?<=[0-9])[\s,;.)\-]*(?:e?xt(?:ensi[oó]n?)?n?|x|#|int|anexo|доб)[\s.:=#\-]*[0-9]{1,9}(?![0-9])",
    re.IGNORECASE,
)
_MAY_HAVE_AN_EXTENSION = re.compile("[xX#]|[nN][tT]")  # of ASCII texts all that have one
_CONTEXT = re.compile(r"(?:tel:)?([^;]*);phone-context=(\+[0-9.()\-]+)", re.IGNORECASE)
_VANITY = re.compile(r"\+?(?:[ ().\-]*[0-9]){3,}[.\-]?[A-Za-z]{3,}(?:-?[A-Za-z0-9])*")
_KEYPAD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
_BREAK = re.compile(r"[,;|&#\n\r]|:::+|[^\W\d_]+|(?=\+)")
_SINGLE_NUMBER = re.compile(r"\+?(?:[0-9]|[^\w+,;|&#\n\r/])*")
_CALLING_CODES = frozenset(map(str, COUNTRY_CODE_TO_REGION_CODE))
_DIALLED_ABROAD = ("00", "011")
_SHORTEST_RAW, _LONGEST_RAW = 9, 15
_RUN_UP = "0123456789" * 3
_RUN_DOWN = _RUN_UP[::-1]
RAW = "raw:"
"""Beginning of the key of a number that cannot be read; see ``compared_phone``."""


def read_phone(text: str, region: str) -> str:
    """The first usable number of the cell as a key: "+", calling code, national significant number.

    An extension is dropped; a number without a country is read by the rules of ``region``.
    Raises: Unusable (phone_no_digits, phone_too_short, phone_scientific_notation, invalid_phone).

    >>> read_phone("+1-555-0101", "US"), read_phone("555.0102", "US"), read_phone("1-555-0101", "US")
    ('+15550101', '+15550102', '+15550101')
    >>> {read_phone(text, "US") for text in ("+44 20 7946 0958", "011442079460958", "442079460958")}
    {'+442079460958'}
    >>> read_phone("030/1234567", "DE"), read_phone("06 1234 5678", "IT"), read_phone("5550101.0", "US")
    ('+49301234567', '+390612345678', '+15550101')
    >>> [trouble_phone(t, "US") for t in ("call me", "911", "5.55E+06", "123456789012345678")]
    ['phone_no_digits', 'phone_too_short', 'phone_scientific_notation', 'invalid_phone']
    """
    region, cell = region.upper(), _phone_cell(text)
    is_one = len(cell) <= _LONGEST_CELL and not _is_date(cell, region)
    number = _number_in(cell, region) if is_one else None
    if number is None:
        raise Unusable(_reason_of_unusable(cell, region))
    return number.key


def compared_phone(text: str, region: str) -> str | None:
    """The key by which numbers are compared: ``norm_phone``, or ``raw:`` and the digits of one that cannot be read.

    So the very same number in two exports is the same, whatever it is. Dates and runs of digits, which are typed
    where there is no number, have no key.

    >>> [compared_phone(text, "US") for text in ("212 555 0101 77 1", "2023-01-15 10:30", "999999999")]
    ['raw:2125550101771', None, None]
    """
    region, cell = region.upper(), _phone_cell(text)
    if len(cell) > _LONGEST_CELL or _is_date(cell, region):
        return None
    if number := _number_in(cell, region):
        return number.key
    cell = _without_extension(cell).strip()
    digits = _digits(cell)
    if not _SINGLE_NUMBER.fullmatch(cell) or ":::" in cell or not _SHORTEST_RAW <= len(digits) <= _LONGEST_RAW:
        return None
    return None if digits in _RUN_UP or digits in _RUN_DOWN or len({*digits}) == 1 else RAW + digits


def _number_in(cell: str, region: str) -> Number | None:
    """The first usable number of a cell that is no date."""
    if _ONE_NUMBER.fullmatch(cell):
        return _read_number(cell, region)
    cell = _without_extension(_written_out(cell)[0])
    return _vanity_number(cell, region) or _first_number(cell, region)


def _reason_of_unusable(cell: str, region: str) -> str:
    if len(cell) > _LONGEST_CELL:
        return "invalid_phone" if re.search("[0-9]", cell) else "phone_no_digits"
    if not _ONE_NUMBER.fullmatch(cell) and not _is_date(cell, region):
        cell, lost_digits = _written_out(cell)
        cell = _without_extension(cell)
        if lost_digits:
            return "phone_scientific_notation"
    longest = max(len(_digits(piece)) for piece in _BREAK.split(cell))
    if longest == 0:
        return "phone_no_digits"
    return "phone_too_short" if longest < _SHORTEST_NUMBER else "invalid_phone"


def _is_date(cell: str, region: str) -> bool:
    """Whether the cell is a date: with separators, or in 12 or 14 digits; in 8 if no number of the region has 8."""
    if not cell.isdigit():
        return is_written_date(cell)
    if not is_date_in_digits(cell):
        return False
    plan = plan_of_region(region)
    return len(cell) > 8 or plan is None or 8 not in plan.possible_lengths


def _digits(text: str) -> str:
    return _NO_DIGITS.sub("", text)


def _phone_cell(text: str) -> str:
    """The number without the marks of a spreadsheet or a link around it, its digits as 0-9."""
    cell = plain(without_entities(text))
    if not cell.isascii():
        cell = re.sub(r"\d", lambda digit: str(unicodedata.decimal(digit[0])), cell)
    if cell[:1] in ("'", "=", '"'):
        cell = cell.lstrip("'")
        if formula := _FORMULA.fullmatch(cell):
            cell = formula[1] or formula[2] or ""
        cell = cell.strip(" '\"")
    if "." in cell and (as_float := _FLOAT.fullmatch(cell)):
        return as_float[1]
    if ";" in cell and (in_context := _CONTEXT.match(cell)):
        return in_context[2] + in_context[1]
    return cell


def _without_extension(cell: str) -> str:
    return cell if cell.isascii() and not _MAY_HAVE_AN_EXTENSION.search(cell) else _EXTENSION.sub(" ", cell)


def _written_out(cell: str) -> tuple[str, bool]:
    """The cell with scientific notation written out, and whether a number in it had lost digits (left out)."""
    if "e" not in cell and "E" not in cell:
        return cell, False
    lost_digits = False

    def written_out(found: re.Match[str]) -> str:
        nonlocal lost_digits
        whole, fraction, exponent = found[1], found[2] or "", int(found[3])
        if 0 <= exponent <= len(fraction) and not fraction[exponent:].strip("0"):
            return whole + fraction[:exponent]
        lost_digits = True
        return " "

    return _SCIENTIFIC.sub(written_out, cell), lost_digits


def _vanity_number(cell: str, region: str) -> Number | None:
    """1-800-FLOWERS by the keypad; only if the number really exists, because letters are mostly just words."""
    if not _VANITY.fullmatch(cell):
        return None
    digits = _digits(cell.upper().translate(_KEYPAD))
    number = behind_calling_code(digits) if cell.startswith("+") else _national(digits, region)
    return _stable(number) if number is not None and exists(*number) else None


def _first_number(cell: str, region: str) -> Number | None:
    pieces = (piece for piece in _BREAK.split(cell) if _GROUP.search(piece))
    return next((number for piece in pieces for number in _across_strokes(piece, region)), None)


def _across_strokes(piece: str, region: str) -> Iterator[Number]:
    """The numbers that strokes may separate, likeliest first.

    A stroke may separate two numbers, or area code and number (030/1234567). So the part before it is a number of
    its own only if it is long enough; if no such number is found, any usable part is one.
    """
    parts = piece.split("/")
    first = number = _read_number(parts[0], region)
    if len(parts) == 1:
        if first:
            yield first
        return
    for end in range(1, len(parts) + 1):
        if end > 1:
            number = _read_number("/".join(parts[:end]), region)
        if number and len(number.national) >= _SHORTEST_NUMBER:
            yield number
    yield from filter(None, chain([first], (_read_number(part, region) for part in parts[1:])))


def _read_number(text: str, region: str) -> Number | None:
    for number in _readings(text, region):
        if number is not None and (stable := _stable(number)) is not None:
            return stable
    return None


def _stable(number: Number) -> Number | None:
    """The number whose own key is read as itself: libphonenumber removes one trunk 0 at a time."""
    for _ in number.key:
        again = _international(number.key[1:])
        if again is None or again == number:
            return again
        number = again
    return None


def _readings(text: str, region: str) -> Iterator[Number | None]:
    """In the order of docs/specification.md section 4: in the region, without its calling code, international."""
    if "." in text and (as_float := _FLOAT.fullmatch(text.strip())):
        text = as_float[1]
    groups = _GROUP.findall(text)
    digits = "".join(groups)
    if "+" in text:
        if digits.startswith("1") and (before := _before_an_extension(groups)):
            yield _international("1" + before)
        yield _international(digits)
        yield _without_second_code(digits)
        if digits.startswith("00"):
            yield _international(digits[2:])
            yield _without_second_code(digits[2:])
        return
    own_code, is_dialled_abroad = _own_code(region), digits.startswith(_DIALLED_ABROAD)
    if own_code == "1" and not is_dialled_abroad and (before := _before_an_extension(groups)):
        yield _national(before, region)
    yield _unless_foreign(_national(digits, region), own_code, is_dialled_abroad=is_dialled_abroad)
    if digits.startswith(own_code):
        yield _unless_foreign(_national(digits.removeprefix(own_code), region), own_code, is_dialled_abroad=False)
    # A short number may be possible in some country of the world, but that does not make it likely.
    if len(digits) >= _SHORTEST_NUMBER:
        yield from map(_if_valid, _foreign(groups, digits))


def _before_an_extension(groups: list[str]) -> str | None:
    """The ten digits of a North American number (3-3-4) before an extension without a mark; else None."""
    if len(groups) < 2 or sum(map(len, groups)) < 11:  # ten digits and one
        return None
    without_code = [*filter(None, [groups[0][1:]]), *groups[1:]] if groups[0].startswith("1") else []
    for *number, extension in filter(None, (groups, without_code)):
        ends = [*accumulate(map(len, number))]
        if ends[-1:] == [10] and {*ends} <= {3, 6, 10} and len(extension) <= _LONGEST_EXTENSION:
            return "".join(number)
    return None


def _unless_foreign(number: Number | None, own_code: str, *, is_dialled_abroad: bool) -> Number | None:
    """The number of the region. One behind its prefix for calls abroad must exist, unless the prefix is 00 or 011."""
    if number is None or str(number.calling_code) == own_code or is_dialled_abroad:
        return number
    return _if_valid(number)


def _foreign(groups: list[str], digits: str) -> Iterator[Number | None]:
    """Readings as a number of another country, for texts that do not begin with "+"."""
    if len(groups) == 1 or groups[0] in _CALLING_CODES:
        yield _international(digits)
    for prefix in _DIALLED_ABROAD:
        if digits.startswith(prefix):
            yield _international(digits.removeprefix(prefix))
            yield _without_second_code(digits.removeprefix(prefix))


def _if_valid(number: Number | None) -> Number | None:
    """The number if it exists by the plan of its country: not only its length must be right."""
    if number is None or (plan := plan_behind(number.key[1:4])) is None:
        return None
    return number if exists(plan.calling_code, plan.without_trunk_prefix(number.national)) else None


def _national(digits: str, region: str) -> Number | None:
    plan = plan_of_region(region)
    return dialled(digits, plan) if plan is not None and digits else None


@lru_cache(1)  # whether a number is stable is asked right behind it
def _international(digits: str) -> Number | None:
    if digits.startswith(_MEXICAN_MOBILE) and len(digits) == _DIGITS_OF_A_MEXICAN_MOBILE:
        digits = _MEXICAN_MOBILE[:2] + digits[3:]  # they had a 1 until 2019, and have it in WhatsApp to this day
    return behind_calling_code(digits)


def _without_second_code(digits: str) -> Number | None:
    """+44 44 20 7946 0958: a web form put its calling code before a number that already had it."""
    plan = plan_behind(digits[:3])
    code = str(plan.calling_code) if plan else ""
    return _international(digits.removeprefix(code)) if code and digits.startswith(code + code) else None


@cache
def _own_code(region: str) -> str:
    return str(phonenumbers.country_code_for_region(region))


def norm_phone(text: str, region: str) -> str | None:
    """The number's key; None if ``trouble_phone`` gives a reason."""
    return value_of(lambda: read_phone(text, region))


def trouble_phone(text: str, region: str) -> str | None:
    """The reason why the number is unusable, or None."""
    return reason_of(lambda: read_phone(text, region))


def reason_of_unusable_phone(text: str, region: str) -> str:
    """What ``trouble_phone`` returns of a number that is unusable; it is not read again."""
    return _reason_of_unusable(_phone_cell(text), region.upper())


def phone_as_printed(key: str, region: str) -> str:
    """Digits only; without the calling code if it is the region's own.

    >>> phone_as_printed("+15550101", "US"), phone_as_printed("+442079460958", "US")
    ('5550101', '442079460958')
    """
    digits = _digits(key)
    return digits.removeprefix(str(phonenumbers.country_code_for_region(region.upper()) or ""))


def key_of_printed_phone(text: str, region: str) -> str | None:
    """The key of a number that ``phone_as_printed`` printed; None if it is none.

    >>> key_of_printed_phone("5550101", "US"), key_of_printed_phone("442079460958", "US")
    ('+15550101', '+442079460958')
    """
    found = compared_phone(text, region)
    return found and found.replace(RAW, "+")


# ------------------------------------------------------------------------------------------------------- SQL

# Regions where ten digits, with or without 1 before them, are a whole number and nothing is added to fewer.
_PLAIN_NANP_REGIONS = frozenset({"US", "CA"})

# In plain NANP regions: ten digits or seven, with an extension, a second number, a spreadsheet's ' or .0. Behind any
# prefix for calls abroad: possible numbers from which libphonenumber removes nothing. In the definition's order.
_POSSIBLE, _WITH_TRUNK_PREFIX = international_shapes()
_MOBILES = mobiles_that_exist()
_TEN_DIGITS = r"(?:\+?1[ .\-]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .\-]?)[2-9]\d\d[ .\-]?\d{4}"
_AND_MORE = rf" ?(?:(?:x|ext\.?) ?\d{{1,6}}|/ ?{_TEN_DIGITS})"
_TEN_DIGITS_ALONE = r"^''?\+?1?[ .\-]?\(?(\d{3})\)?[ .\-]?(\d{3})[ .\-]?(\d{4}).*$"
_SEVEN_DIGITS = r"(?:\+?1[ .\-]?)?[2-9]\d\d[ .\-]?\d{4}"
_SEVEN_DIGITS_ALONE = r"^\+?1?[ .\-]?(\d{3})[ .\-]?(\d{4})$"
_DATE_IN_DIGITS = r"20\d{10}(?:\d\d)?"
_RUN_OF_DIGITS = "|".join(
    [
        *(f"{digit}+" for digit in range(10)),
        *(f"{it[at : at + 11]}.*" for it in (_RUN_UP, _RUN_DOWN) for at in range(10)),
    ]
)
_GROUPS = r"[1-9]\d*(?:[ ()\-]{1,3}\d+|\.\d\d+)*"
_DIGITS = "phone"
for _mark in (" ", "-", ".", "(", ")", "+", "''"):  # a regular expression would take twice as long
    _DIGITS = f"replace({_DIGITS}, '{_mark}', '')"
_DIGITS_ABROAD = f"case when starts_with(phone, '011') then substr({_DIGITS}, 4) else {_DIGITS} end"
_DIGITS_BEHIND_00 = "case when starts_with(phone, '00') then substr(phone, 3) else phone end"
_PHONE_KEY = rf"""
    case
        when phone is null then null
        when $is_nanp
            and regexp_full_match(phone, '''?{_TEN_DIGITS}|{_TEN_DIGITS}{_AND_MORE}|1?[2-9]\d\d[2-9]\d{{6}}\.0*')
            then regexp_replace(phone, '{_TEN_DIGITS_ALONE}', '+1\1\2\3')
        when not regexp_matches(phone, '[0-9]|[^ -~]') then null
        when $is_nanp and regexp_full_match(phone, '{_SEVEN_DIGITS}') and not regexp_full_match(phone, '19\d{{6}}')
            then regexp_replace(phone, '{_SEVEN_DIGITS_ALONE}', '+1\1\2')
        when (
                regexp_full_match(phone, '''?\+{_GROUPS}')
                or ($is_nanp and regexp_full_match(phone, '011[ .\-]?{_GROUPS}'))
            )
            and regexp_full_match({_DIGITS_ABROAD}, '{_POSSIBLE}')
            and not regexp_matches({_DIGITS_ABROAD}, '^(?:{_WITH_TRUNK_PREFIX})')
            then '+' || {_DIGITS_ABROAD}
        -- digits alone, or behind 00, are foreign if the number exists; behind 00, fewer digits may be domestic
        when $is_nanp and regexp_full_match(phone, '(?:00)?[2-9]\d{{10,14}}')
            and not regexp_full_match(phone, '{_DATE_IN_DIGITS}')
            and regexp_full_match({_DIGITS_BEHIND_00}, '{_MOBILES}')
            and not regexp_matches({_DIGITS_BEHIND_00}, '^(?:{_WITH_TRUNK_PREFIX})')
            then '+' || {_DIGITS_BEHIND_00}
        else compared_phone(phone, $region)
    end
"""


def phone_key_sql(region: str, is_nanp: str) -> str:
    """SQL: the key of ``phone``, as ``compared_phone``. Both arguments are SQL terms, which may differ from row to row.

    ``region`` is the region whose rules apply, ``is_nanp`` the term of ``is_plain_nanp`` for it.
    """
    return _PHONE_KEY.replace("$region", region).replace("$is_nanp", is_nanp)


def phone_key_in(region: str) -> str:
    """SQL: the key of ``phone``, all read by the rules of one region; null if it cannot be read."""
    key = phone_key_sql(sql_text(region), is_plain_nanp(region))
    return f"list_transform([{key}], lambda key: case when not starts_with(key, '{RAW}') then key end)[1]"


def key_of_printed_phone_in(region: str) -> str:
    """SQL: the key of ``phone``, which was printed by ``phone_as_printed``.

    Whatever the region cannot read was printed with its calling code; it need not exist there.
    """
    key = phone_key_sql(sql_text(region), is_plain_nanp(region))
    return rf"""
        case
            -- more digits than numbers of the region have, no date and no run of digits: foreign, existing or not
            when {is_plain_nanp(region)} and regexp_full_match(phone, '[2-9]\d{{10,14}}')
                and not regexp_full_match(phone, '{_DATE_IN_DIGITS}|{_RUN_OF_DIGITS}')
                and regexp_full_match(phone, '{_POSSIBLE}')
                and not regexp_matches(phone, '^(?:{_WITH_TRUNK_PREFIX})')
                then '+' || phone
            else regexp_replace({key}, '^{RAW}', '+')
        end
    """


def is_plain_nanp(region: str) -> str:
    """SQL, true or false: whether the fast path for North American numbers holds in a region."""
    return "true" if region in _PLAIN_NANP_REGIONS else "false"


def phone_as_printed_sql(region: str) -> str:
    """SQL: ``phone_key`` as it is printed, see ``phone_as_printed``; null if it could not be read."""
    own_code = f"+{_own_code(region)}"
    return f"""case when starts_with(phone_key, '{own_code}') then substr(phone_key, {len(own_code)} + 1)
                 when not {IS_RAW_SQL} then substr(phone_key, 2) end"""


def other_phone_key_sql(region: str) -> str:
    """SQL: ``phone_key`` where it is not the printed phone behind the calling code of ``region``; null for most.

    So two phones are compared as equal if and only if ``coalesce(<this>, <the printed phone>)`` is the same text.
    """
    return f"case when not starts_with(phone_key, '+{_own_code(region)}') then phone_key end"


def phone_is_changed_sql(region: str) -> str:
    """SQL: whether ``phone_key`` is printed in another way than ``written_phone`` has it."""
    own_code = f"+{_own_code(region)}"
    beginning = f"case when starts_with(phone_key, '{own_code}') then '{own_code}' else '+' end"
    return f"not {IS_RAW_SQL} and phone_key <> {beginning} || written_phone"


IS_RAW_SQL = f"starts_with(phone_key, '{RAW}')"
"""SQL: whether ``phone_key`` is of a number that could not be read."""
