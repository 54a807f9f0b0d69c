"""Phone numbers, by the former rules."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata

from service.pipeline.fields.text import Unusable, value_of
from service.pipeline.former.text import plain


class _FormerNumber(NamedTuple):
    calling_code: int
    national: str  # the national significant number, with the leading zeros that belong to it

    @property
    def key(self) -> str:
        return f"+{self.calling_code}{self.national}"


class _FormerPlan(NamedTuple):
    """The form of the numbers of one region, or behind one calling code."""

    calling_code: int
    possible_lengths: frozenset[int]  # also those that can be dialled only locally
    removed: re.Pattern[str]  # beginnings of which libphonenumber may remove a part


_LONGEST_CELL = 250  # libphonenumber's own limit
_SHORTEST_NUMBER = 7
_NOTHING = re.compile(r"(?!)")

_ONE_NUMBER = re.compile(r"\+?[0-9 ().\-]*")
_FORMULA = re.compile(r'=?\s*"(.*)"|=(.*)')
_FLOAT = re.compile(r"(\+?[0-9]+)\.0?")
_SCIENTIFIC = re.compile(r"(?<![^\s,;/|&])[+-]?([0-9]+)(?:[.,]([0-9]+))?[eE]([+-]?[0-9]{1,3})(?![^\s,;/|&])")
_EXTENSION = re.compile(
    r"(?<=[0-9])[\s,;.)\-]*(?:e?xt(?:ensi[oó]n?)?n?|x|#|int|anexo|доб)[\s.:=#\-]*[0-9]{1,9}(?![0-9])",
    re.IGNORECASE,
)
_CONTEXT = re.compile(r"(?:tel:)?([^;]*);phone-context=(\+[0-9.()\-]+)", re.IGNORECASE)
_VANITY = re.compile(r"\+?(?:[ ().\-]*[0-9]){3,}[.\-]?[A-Za-z]{3,}(?:-?[A-Za-z0-9])*")
_KEYPAD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
_BREAK = re.compile(r"[,;|&#\n\r]|[^\W\d_]+|(?=\+)")


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
    """
    region, cell = region.upper(), _phone_cell(text)
    if len(cell) > _LONGEST_CELL:
        raise Unusable("invalid_phone" if re.search("[0-9]", cell) else "phone_no_digits")
    if _ONE_NUMBER.fullmatch(cell):
        number = _read_number(cell, region)
    else:
        cell, lost_digits = _written_out(cell)
        cell = _EXTENSION.sub(" ", cell)
        number = _vanity_number(cell, region) or _first_number(cell, region)
        if number is None and lost_digits:
            raise Unusable("phone_scientific_notation")
    if number is None:
        raise Unusable(_phone_trouble(cell))
    return number.key


def _phone_cell(text: str) -> str:
    """The number without the marks of a spreadsheet or a link around it, its digits as 0-9."""
    cell = plain(text)
    if not cell.isascii():
        cell = re.sub(r"\d", lambda digit: str(unicodedata.decimal(digit[0])), cell)
    if cell[:1] in ("'", "=", '"'):
        cell = cell.lstrip("'")
        if formula := _FORMULA.fullmatch(cell):
            cell = formula[1] or formula[2] or ""
        cell = cell.strip(" '\"")
    if as_float := _FLOAT.fullmatch(cell):
        return as_float[1]
    if in_context := _CONTEXT.match(cell):
        return in_context[2] + in_context[1]
    return cell


def _written_out(cell: str) -> tuple[str, bool]:
    """The cell with scientific notation written out, and whether a number in it had lost digits (left out)."""
    lost_digits = False

    def written_out(found: re.Match[str]) -> str:
        nonlocal lost_digits
        whole, fraction, exponent = found[1], found[2] or "", int(found[3])
        if 0 <= exponent <= len(fraction) and not fraction[exponent:].strip("0"):
            return whole + fraction[:exponent]
        lost_digits = True
        return " "

    return _SCIENTIFIC.sub(written_out, cell), lost_digits


def _phone_trouble(cell: str) -> str:
    longest = max(sum(c in "0123456789" for c in piece) for piece in _BREAK.split(cell))
    if longest == 0:
        return "phone_no_digits"
    return "phone_too_short" if longest < _SHORTEST_NUMBER else "invalid_phone"


def _vanity_number(cell: str, region: str) -> _FormerNumber | None:
    """1-800-FLOWERS by the keypad; only if the number really exists, because letters are mostly just words."""
    if not _VANITY.fullmatch(cell):
        return None
    try:
        parsed = phonenumbers.parse(cell.upper().translate(_KEYPAD), region)
    except NumberParseException:
        return None
    return _stable(_as_number(parsed)) if phonenumbers.is_valid_number(parsed) else None


def _first_number(cell: str, region: str) -> _FormerNumber | None:
    pieces = (piece for piece in _BREAK.split(cell) if piece)
    return next((number for piece in pieces for number in _across_strokes(piece, region)), None)


def _across_strokes(piece: str, region: str) -> Iterator[_FormerNumber]:
    """The numbers that strokes may separate, likeliest first.

    A stroke may separate two numbers, or area code and number (030/1234567). So the part before it is a number of
    its own only if it is long enough; if no such number is found, any usable part is one.
    """
    parts = piece.split("/")
    for end in range(1, len(parts) + 1):
        number = _read_number("".join(parts[:end]), region)
        if number and (len(parts) == 1 or len(number.national) >= _SHORTEST_NUMBER):
            yield number
    if len(parts) > 1:
        yield from filter(None, (_read_number(part, region) for part in parts))


def _read_number(text: str, region: str) -> _FormerNumber | None:
    readings = (_stable(number) for number in _readings(text, region) if number)
    return next(filter(None, readings), None)


def _stable(number: _FormerNumber) -> _FormerNumber | None:
    """The number whose own key is read as itself: libphonenumber removes one trunk 0 at a time."""
    for _ in number.key:
        again = _international(number.key[1:])
        if again is None or again == number:
            return again
        number = again
    return None


def _readings(text: str, region: str) -> Iterator[_FormerNumber | None]:
    """In the order of docs/specification.md section 4: in the region, without its calling code, international."""
    digits = re.sub("[^0-9]", "", text)
    if "+" in text:
        yield _international(digits)
        yield _without_second_code(digits)
    else:
        yield _national(digits, region)
        own_code = str(phonenumbers.country_code_for_region(region))
        if digits.startswith(own_code):
            yield _national(digits.removeprefix(own_code), region)
        # A short number may be possible in some country of the world, but that does not make it likely.
        if len(digits) >= _SHORTEST_NUMBER:
            yield _international(digits)
    if digits.startswith("00"):
        yield _international(digits[2:])
        yield _without_second_code(digits[2:])


def _national(digits: str, region: str) -> _FormerNumber | None:
    plan = _plan_of_region(region)
    if plan is None or not digits:
        return None
    # A call of libphonenumber costs 40 µs; if it would remove nothing, its result is the digits as such.
    if plan.removed.match(digits):
        return _parsed(digits, region)
    return _FormerNumber(plan.calling_code, digits) if len(digits) in plan.possible_lengths else None


def _international(digits: str) -> _FormerNumber | None:
    plan = _plan_behind(digits[:3])
    if plan is None:
        return None
    national = digits[len(str(plan.calling_code)) :]
    if plan.removed.match(national):
        return _parsed("+" + digits, None)
    return _FormerNumber(plan.calling_code, national) if len(national) in plan.possible_lengths else None


def _without_second_code(digits: str) -> _FormerNumber | None:
    """+44 44 20 7946 0958: a web form put its calling code before a number that already had it."""
    plan = _plan_behind(digits[:3])
    code = str(plan.calling_code) if plan else ""
    return _international(digits.removeprefix(code)) if code and digits.startswith(code + code) else None


def _parsed(number: str, region: str | None) -> _FormerNumber | None:
    try:
        parsed = phonenumbers.parse(number, region)
    except NumberParseException:
        return None
    return _as_number(parsed) if phonenumbers.is_possible_number(parsed) else None


def _as_number(parsed: phonenumbers.PhoneNumber) -> _FormerNumber:
    return _FormerNumber(parsed.country_code or 0, phonenumbers.national_significant_number(parsed))


@cache
def _plan_of_region(region: str) -> _FormerPlan | None:
    metadata = PhoneMetadata.metadata_for_region(region, None)
    if metadata is None or metadata.country_code is None:
        return None
    lengths = _plan_behind(str(metadata.country_code))
    own_code = str(metadata.country_code)
    beginnings = _any_of(metadata.international_prefix, own_code, metadata.national_prefix_for_parsing)
    return lengths and lengths._replace(removed=beginnings)


@cache
def _plan_behind(digits: str) -> _FormerPlan | None:
    """The plan of the calling code at the beginning of the digits; calling codes have one to three digits."""
    codes = (int(digits[:end]) for end in range(1, len(digits[:3]) + 1) if digits[0] != "0")
    for code in codes:
        main_region = phonenumbers.region_code_for_country_code(code)
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, main_region)
        if metadata is not None and metadata.general_desc is not None:
            general = metadata.general_desc
            lengths = frozenset((*general.possible_length, *general.possible_length_local_only))
            return _FormerPlan(code, lengths, _any_of(metadata.national_prefix_for_parsing))
    return None


def _any_of(*beginnings: str | None) -> re.Pattern[str]:
    given = [f"(?:{beginning})" for beginning in beginnings if beginning]
    return re.compile("|".join(given)) if given else _NOTHING


def norm_phone(text: str, region: str) -> str | None:
    """The number's key; None if it is unusable."""
    return value_of(lambda: read_phone(text, region))
