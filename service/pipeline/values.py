"""What one cell means: the plain-Python definition of every scalar rule.

The engine registers these functions as SQL functions and calls them once per value, so each of them is total
(`norm_*` and `trouble_*` raise nothing, whatever the text), deterministic, and still: normalising a
normalised value changes nothing.

    read_*      the value, or `Unusable` with the reason
    norm_*      the value or None
    trouble_*   the reason or None; of `norm_*` and `trouble_*` exactly one is None

Source: CONTRACT section 4
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata

from service.data import read_toml

MISSING_WORDS: frozenset[str] = frozenset(read_toml("words.toml")["missing"]["words"])


class Unusable(ValueError):
    """A cell says something, but nothing that its column can hold. Carries the reason, never the value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def is_missing(cell: str | None) -> bool:
    """Whether a whole cell says "nothing here".

    >>> [is_missing(cell) for cell in (None, "  ", "N/A", " Unknown ", "Na Li", "0")]
    [True, True, True, True, False, False]
    """
    if cell is None:
        return True
    word = cell.strip().casefold()
    return not word or word in MISSING_WORDS


# -------------------------------------------------------------------------------------------------- any text


_LONGEST_TEXT = 10_000  # Python sorts a run of combining marks in quadratic time: 200,000 of them take a minute


def _visible(text: str) -> str:
    """The text without control and zero-width characters; white space stays."""
    if text.isprintable():
        return text
    return "".join(c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


def _plain(text: str) -> str:
    """The text in its everyday characters (NFKC: full-width, narrow blanks …), visible ones only, trimmed.

    Again until it stands still: what had an invisible character between may now combine.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    return _until_still(lambda it: _visible(unicodedata.normalize("NFKC", it)).strip(), text)


def _until_still(step: Callable[[str], str], text: str) -> str:
    """Repeat the step until it changes nothing, so that the value is the same when it is normalised again.

    Some characters need a second round: ŉ, ß and İ fall apart into others when their case changes. Ten rounds
    are far more than any text needs; of what is absurdly long nothing is left. No text may hang the service.
    """
    for _ in range(10):
        if len(text) > _LONGEST_TEXT:
            return ""
        if (after := step(text)) == text:
            break
        text = after
    return text


# ----------------------------------------------------------------------------------------------------- email

_ANGLE_BRACKETS = re.compile(r"[^<>]*<([^<>]*)>")
_MAILTO = re.compile(r"(?:mailto:\s*)+")


def read_email(text: str) -> str:
    """The address alone, in lower case.

    >>> read_email(" JANE.DOE@EMAIL.COM "), read_email('"Doe, Jane" <mailto:Jane@X.org>')
    ('jane.doe@email.com', 'jane@x.org')
    >>> [trouble_email(text) for text in ("bob@", "a b@x.org", "a@x.org, b@x.org")]
    ['invalid_email', 'invalid_email', 'invalid_email']
    """
    address = _until_still(_bare_address, text)
    local, at, domain = address.partition("@")
    labels = domain.split(".")
    if not (local and at and len(labels) > 1 and all(labels)) or "@" in domain:
        raise Unusable("invalid_email")
    if any(c.isspace() or c in "<>" for c in address):
        raise Unusable("invalid_email")
    return address


def _bare_address(text: str) -> str:
    address = _plain(text).lower()
    if bracketed := _ANGLE_BRACKETS.fullmatch(address):
        address = bracketed[1].strip()
    if link := _MAILTO.match(address):
        address = address[link.end() :].partition("?")[0].strip()
    return address


# ----------------------------------------------------------------------------------------------------- phone


class _Number(NamedTuple):
    calling_code: int
    national: str  # the national significant number, with the leading zeros that belong to it

    @property
    def key(self) -> str:
        return f"+{self.calling_code}{self.national}"


class _Plan(NamedTuple):
    """What a number has to look like in one region, or behind one calling code."""

    calling_code: int
    possible_lengths: frozenset[int]  # also those that can be dialled only locally
    taken_away: re.Pattern[str]  # beginnings of which libphonenumber may take something away


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

    An extension is dropped.
    Reasons: phone_no_digits, phone_too_short, phone_scientific_notation, invalid_phone.

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
    """The cell without what a spreadsheet or a link wrote around the number, its digits as 0-9."""
    cell = _plain(text)
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
    """The cell with scientific notation written out, and whether some of it had lost digits (left out)."""
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


def _vanity_number(cell: str, region: str) -> _Number | None:
    """1-800-FLOWERS by the keypad; only where the number really exists, for letters are mostly just words."""
    if not _VANITY.fullmatch(cell):
        return None
    try:
        parsed = phonenumbers.parse(cell.upper().translate(_KEYPAD), region)
    except NumberParseException:
        return None
    return _standing_still(_as_number(parsed)) if phonenumbers.is_valid_number(parsed) else None


def _first_number(cell: str, region: str) -> _Number | None:
    pieces = (piece for piece in _BREAK.split(cell) if piece)
    return next((number for piece in pieces for number in _across_strokes(piece, region)), None)


def _across_strokes(piece: str, region: str) -> Iterator[_Number]:
    """The numbers that strokes may part, likeliest first.

    A stroke stands between two numbers, but also between area code and number (030/1234567): so what is left
    of it is a number of its own only if it is long enough; where all else fails, any usable part.
    """
    parts = piece.split("/")
    for end in range(1, len(parts) + 1):
        number = _read_number("".join(parts[:end]), region)
        if number and (len(parts) == 1 or len(number.national) >= _SHORTEST_NUMBER):
            yield number
    if len(parts) > 1:
        yield from filter(None, (_read_number(part, region) for part in parts))


def _read_number(text: str, region: str) -> _Number | None:
    readings = (_standing_still(number) for number in _readings(text, region) if number)
    return next(filter(None, readings), None)


def _standing_still(number: _Number) -> _Number | None:
    """The number whose own key reads as itself: libphonenumber takes away one trunk 0 at a time."""
    for _ in number.key:
        again = _international(number.key[1:])
        if again is None or again == number:
            return again
        number = again
    return None


def _readings(text: str, region: str) -> Iterator[_Number | None]:
    """As CONTRACT section 4 lists them: in the region, without its calling code, international."""
    digits = re.sub("[^0-9]", "", text)
    if "+" in text:
        yield _international(digits)
        yield _without_second_code(digits)
    else:
        yield _national(digits, region)
        own_code = str(phonenumbers.country_code_for_region(region))
        if digits.startswith(own_code):
            yield _national(digits.removeprefix(own_code), region)
        # A short number may be possible in some country of the world, but nothing says that it is meant.
        if len(digits) >= _SHORTEST_NUMBER:
            yield _international(digits)
    if digits.startswith("00"):
        yield _international(digits[2:])
        yield _without_second_code(digits[2:])


def _national(digits: str, region: str) -> _Number | None:
    plan = _plan_of_region(region)
    if plan is None or not digits:
        return None
    # Asking libphonenumber costs 40 µs; where it would take nothing away, its answer is the digits as such.
    if plan.taken_away.match(digits):
        return _parsed(digits, region)
    return _Number(plan.calling_code, digits) if len(digits) in plan.possible_lengths else None


def _international(digits: str) -> _Number | None:
    plan = _plan_behind(digits[:3])
    if plan is None:
        return None
    national = digits[len(str(plan.calling_code)) :]
    if plan.taken_away.match(national):
        return _parsed("+" + digits, None)
    return _Number(plan.calling_code, national) if len(national) in plan.possible_lengths else None


def _without_second_code(digits: str) -> _Number | None:
    """+44 44 20 7946 0958: a form put its calling code before a number that had it already."""
    plan = _plan_behind(digits[:3])
    code = str(plan.calling_code) if plan else ""
    return _international(digits.removeprefix(code)) if code and digits.startswith(code + code) else None


def _parsed(number: str, region: str | None) -> _Number | None:
    try:
        parsed = phonenumbers.parse(number, region)
    except NumberParseException:
        return None
    return _as_number(parsed) if phonenumbers.is_possible_number(parsed) else None


def _as_number(parsed: phonenumbers.PhoneNumber) -> _Number:
    return _Number(parsed.country_code or 0, phonenumbers.national_significant_number(parsed))


@cache
def _plan_of_region(region: str) -> _Plan | None:
    metadata = PhoneMetadata.metadata_for_region(region, None)
    if metadata is None or metadata.country_code is None:
        return None
    lengths = _plan_behind(str(metadata.country_code))
    own_code = str(metadata.country_code)
    beginnings = _any_of(metadata.international_prefix, own_code, metadata.national_prefix_for_parsing)
    return lengths and lengths._replace(taken_away=beginnings)


@cache
def _plan_behind(digits: str) -> _Plan | None:
    """The plan of the calling code with which the digits begin; calling codes have one to three digits."""
    codes = (int(digits[:end]) for end in range(1, len(digits[:3]) + 1) if digits[0] != "0")
    for code in codes:
        main_region = phonenumbers.region_code_for_country_code(code)
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, main_region)
        if metadata is not None and metadata.general_desc is not None:
            general = metadata.general_desc
            lengths = frozenset((*general.possible_length, *general.possible_length_local_only))
            return _Plan(code, lengths, _any_of(metadata.national_prefix_for_parsing))
    return None


def international_shapes() -> tuple[str, str]:
    """Two regular expressions for the digits behind a "+", for SQL: of the one, less the other, nothing is taken away.

    The first matches, as a whole, the numbers that are possible behind their calling code; the second, at the
    beginning, those that may hold a trunk prefix.
    """
    by_lengths: dict[str, list[str]] = {}
    by_prefix: dict[str, list[str]] = {}
    for code in map(str, sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)):
        plan = _plan_behind(code)
        assert plan is not None, "libphonenumber lists no calling code without a plan"
        lengths = "|".join(f"[0-9]{{{length}}}" for length in sorted(plan.possible_lengths))
        by_lengths.setdefault(lengths, []).append(code)
        if plan.taken_away is not _NOTHING:
            by_prefix.setdefault(plan.taken_away.pattern, []).append(code)
    return _behind_codes(by_lengths), _behind_codes(by_prefix)


def _behind_codes(codes_of: dict[str, list[str]]) -> str:
    return "|".join(f"(?:{'|'.join(codes)})(?:{rest})" for rest, codes in codes_of.items())


def _any_of(*beginnings: str | None) -> re.Pattern[str]:
    given = [f"(?:{beginning})" for beginning in beginnings if beginning]
    return re.compile("|".join(given)) if given else _NOTHING


def phone_as_printed(key: str, region: str) -> str:
    """Digits only; the calling code is left out where it is the region's own.

    >>> phone_as_printed("+15550101", "US"), phone_as_printed("+442079460958", "US")
    ('5550101', '442079460958')
    """
    digits = re.sub("[^0-9]", "", key)
    return digits.removeprefix(str(phonenumbers.country_code_for_region(region.upper()) or ""))


# ------------------------------------------------------------------------------------------------------ name

PARTICLES = frozenset({"van", "von", "der", "den", "de", "da", "di", "del", "la", "le", "bin", "al"})
SUFFIXES = frozenset({"jr", "sr", "jnr", "snr", "ii", "iii", "iv", "md", "phd", "esq", "dds", "dvm", "cpa", "mba"})
# Letters and digits with their combining marks; all else (blank, hyphen, apostrophe, full stop) ends a part.
_MARKS = r"\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
# But the raised stop of a Catalan double l (Gal·la) is part of its word.
_PART = re.compile(rf"(?:[^\W_]|[{_MARKS}]|(?<=[lL])·(?=[lL]))+")
_ROMAN_NUMERALS = frozenset({"II", "III", "IV"})
_CAMEL_CASE = re.compile(r"(?:Ul+)+Ull+")


def read_name(text: str) -> str:
    """The name as it is shown: one blank between words, Title Case, inner capitals where they belong.

    >>> [read_name(t) for t in ("john smith", "jOHN sMITH", "O'BRIEN", "mcdonald", "jean-luc", "DeVito")]
    ['John Smith', 'John Smith', "O'Brien", 'McDonald', 'Jean-Luc', 'DeVito']
    >>> read_name("Ludwig van Beethoven"), read_name("ludwig van beethoven"), read_name("Smith, John")
    ('Ludwig van Beethoven', 'Ludwig Van Beethoven', 'John Smith')
    >>> read_name("John Smith III"), read_name("JOHN SMITH III"), read_name("DİLEK"), read_name("IJsbrand")
    ('John Smith III', 'John Smith Iii', 'Dilek', 'IJsbrand')
    """
    name = _until_still(_name_once, text)
    # A missing word that only invisible characters had hidden is no name. "Na", the part of a composed name, is.
    if not name or (is_missing(name) and name.casefold() != text.strip().casefold()):
        raise Unusable("invalid_name")
    return name


def name_key(name: str) -> str:
    """What "same name, case-insensitive" compares.

    >>> name_key("Straße") == name_key("STRASSE")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _name_once(text: str) -> str:
    words = _last_name_last(" ".join(_visible(unicodedata.normalize("NFC", text)).split())).split()
    has_capital = any(_is_capital(word[0]) for word in words)
    shown = [
        word if place and has_capital and word in PARTICLES else _PART.sub(_title_case, word)
        for place, word in enumerate(words)
    ]
    if _ends_in_a_numeral(words):
        shown[-1] = words[-1]
    return unicodedata.normalize("NFC", " ".join(shown))


def _ends_in_a_numeral(words: list[str]) -> bool:
    """John Smith III: a numeral is no word. In a name all of capitals nothing tells it from one (Ii, Iv)."""
    return bool(words) and words[-1] in _ROMAN_NUMERALS and any(c.islower() for word in words for c in word)


def _last_name_last(name: str) -> str:
    """Turn "Last, First" round, but not "Name, Jr"."""
    last, comma, first = (part.strip() for part in name.partition(","))
    if not (last and comma and first) or "," in first:
        return name
    if all(word.casefold().replace(".", "") in SUFFIXES for word in first.split()):
        return name
    return f"{first} {last}"


def _title_case(part: re.Match[str]) -> str:
    written = part[0]
    if _is_camel_case(written):
        return written
    lower = written.lower()
    if lower.startswith("mc") and len(lower) > 2:
        return "Mc" + _capitalised(lower[2:])
    return _capitalised(lower)


def _is_camel_case(part: str) -> bool:
    """DeVito, LaToya, JoAnn; not SmITH, JOhn: every piece has two letters, the last one three. IJsbrand too."""
    if part.islower() or part.isupper():
        return False
    if part.startswith("IJ"):  # one letter in Dutch
        part = part[1:]
        return len(part) > 2 and part[1:].islower()
    return _CAMEL_CASE.fullmatch("".join(map(_shape_of_letter, part))) is not None


def _shape_of_letter(letter: str) -> str:
    if _is_capital(letter):
        return "U"
    if letter.islower():
        return "l"
    return "" if _is_mark(letter) else "-"


def _capitalised(lower: str) -> str:
    """The first letter as a capital; marks may stand before it (ʻOkina), a digit may not (3rd)."""
    for place, letter in enumerate(lower):
        if (capital := letter.title()) != letter:
            # Python's lower case of İ is an i with a second dot upon it; Turkish has one: DİLEK is Dilek.
            return lower[:place] + capital + lower[place + 1 :].replace("i\u0307", "i")
        if not _is_mark(letter):
            break
    return lower


def _is_capital(letter: str) -> bool:
    return letter.isupper() or letter.istitle()


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter) in ("Mn", "Mc", "Lm")


# ------------------------------------------------------------------------------------------------------ date

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

    `order` ("MDY" or "DMY") decides only where both readings of a/b/yyyy are possible. Unix times are UTC.
    A year of two digits (1/15/23, 15.01.23, 15-01-23) is 1969-2068 and stands last, after hyphens too:
    99-01-15 is no date. A bare number of days (44941, a spreadsheet's) is no date either.

    >>> [read_date(text, "MDY") for text in ("2023-01-15T23:30:00-11:00", "15/01/2023", "1673778600")]
    ['2023-01-15', '2023-01-15', '2023-01-15']
    >>> read_date("03/04/2023", "MDY"), read_date("03/04/2023", "DMY"), read_date("5th of Jan 2023", "DMY")
    ('2023-03-04', '2023-04-03', '2023-01-05')
    >>> read_date("30/10/15 12:49", "MDY"), read_date("3/15/69", "DMY"), read_date("03-04-05", "DMY")
    ('2015-10-30', '1969-03-15', '2005-04-03')
    >>> trouble_date("2023-02-30", "MDY"), trouble_date("soon", "MDY")
    ('invalid_date', 'invalid_date')
    """
    day = _plain_day(text, order)
    if day is None:
        raise Unusable("invalid_date")
    return day.isoformat()


def date_evidence(text: str) -> str | None:
    """What an a/b/yyyy or a/b/yy value says about the order of its column, if it is clear by itself.

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
    cell = _plain(text)
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


# ---------------------------------------------------------------------------------------------------- status


def read_status(text: str) -> str:
    """The status as its source states it, trimmed, in lower case.

    >>> read_status(" Active ")
    'active'
    """
    return text.strip().lower()


# --------------------------------------------------------------------------------------------------- for SQL


def norm_email(text: str) -> str | None:
    """The address, or None where `trouble_email` says why not."""
    try:
        return read_email(text)
    except Unusable:
        return None


def norm_phone(text: str, region: str) -> str | None:
    """The number's key, or None where `trouble_phone` says why not."""
    try:
        return read_phone(text, region)
    except Unusable:
        return None


def norm_name(text: str) -> str | None:
    """The name, or None where `trouble_name` says why not."""
    try:
        return read_name(text)
    except Unusable:
        return None


def norm_date(text: str, order: str) -> str | None:
    """The day, or None where `trouble_date` says why not."""
    try:
        return read_date(text, order)
    except Unusable:
        return None


def trouble_email(text: str) -> str | None:
    """Why the address is unusable, or None."""
    return _trouble(lambda: read_email(text))


def trouble_phone(text: str, region: str) -> str | None:
    """Why the number is unusable, or None."""
    return _trouble(lambda: read_phone(text, region))


def trouble_name(text: str) -> str | None:
    """Why the name is unusable, or None."""
    return _trouble(lambda: read_name(text))


def trouble_date(text: str, order: str) -> str | None:
    """Why the date is unusable, or None."""
    return _trouble(lambda: read_date(text, order))


def _trouble(read: Callable[[], str]) -> str | None:
    try:
        read()
    except Unusable as unusable:
        return unusable.reason
    return None
