"""Two deterministic exports of any size, clean or messy: six tenths CRM (CSV), four tenths shop (JSON).

``write_pair`` is clean: values mostly in the form that a system exports, 30 % of the rows repeat a person.

``write_messy_pair`` is what people type. Of its rows

- 30 % repeat a person of another row. Of these 60 % agree in name, address and number; 10 % each have only an initial
  as first name, another address, another number, or nothing in common but the name. No two people have the same name,
  address or number.
- names are in title case (40 % of the CRM rows, 50 % of the shop's), capitals (15 %), small letters (15 %, 20 %), with
  needless blanks (15 %), or as "Last, First" (15 % of the CRM rows). One in ten last names has a prefix or an
  apostrophe (O'Ba, McBa, van Ba, de la Ba), one in six first names a letter beyond ASCII.
- addresses: 20 % have capitals, 4 % blanks around them, 2 % the scheme of a link; 3 % are missing.
- numbers: eight shapes. 7 % of the people have a number of Britain, Germany, France or India, as +44 20 7000 0000. The
  others are (200) 200-0000 (20 %), 200-200-0000 (18 %), 200.200.0000 (14 %), +1 200 200 0000 (14 %), 1-200-200-0000
  (8 %), 2002000000 (20 %), and (200) 200-0000 x12 (6 %). 5 % are missing.
- dates: five shapes, in equal parts: 2023-01-15, 01/15/2023, 2023/01/15, 15 Jan 2023, January 15, 2023. 2 % are
  missing.
- what is missing is empty or one of the words N/A, -, null, unknown, NONE; in JSON also null.

Each row is a function of the seed and its number alone, so that a later export of the same systems begins at a later
row, and any part can be made by itself.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# ---------------------------------------------------------------------------------------------------- the clean pair

_FIRST = ("John", "Mary", "Jane", "Bob", "Alice", "Peter", "Paul", "Anna", "Juan", "Chloé", "Zoë", "Søren", "Liam")
_LAST = (
    "Smith",
    "Doe",
    "Wilson",
    "Brown",
    "O'Brien",
    "McDonald",
    "García",
    "Müller",
    "Lee",
    "Patel",
    "Nguyen",
    "Rossi",
)
_DATES = ("2023-01-15", "15/01/2023", "2023/02/03", "5 Jan 2023", "20230304")
_SPELLINGS: tuple[Callable[[str], str], ...] = (str, str, str, str.upper, str.lower)


def write_pair(folder: Path, records: int, seed: int = 1) -> tuple[Path, Path]:
    """Write ``crm_customers.csv`` and ``ecommerce_customers.json`` with ``records`` rows together."""
    random_ = random.Random(seed)
    crm, ecom = folder / "crm_customers.csv", folder / "ecommerce_customers.json"
    in_crm = records * 6 // 10
    with open(crm, "w", encoding="utf-8") as out:
        out.write("customer_id,full_name,email,phone,signup_date,status\n")
        for number in range(in_crm):
            person = _person(random_, number, records)
            name = random_.choice(_SPELLINGS)(" ".join(_names(person)))
            status = random_.choice(("active", "inactive"))
            out.write(
                f"CRM{number:07d},{name},{_email(person)},{_phone(random_, person)},{random_.choice(_DATES)},{status}\n"
            )
    with open(ecom, "w", encoding="utf-8") as out:
        out.write('{"customers": [\n')
        for number in range(records - in_crm):
            out.write(",\n" if number else "")
            json.dump(_shop_customer(random_, number, _person(random_, in_crm + number, records)), out)
        out.write("\n]}\n")
    return crm, ecom


def _person(random_: random.Random, number: int, records: int) -> int:
    return number if random_.random() > 0.3 else random_.randrange(records)


def _names(person: int) -> tuple[str, str]:
    return _FIRST[person % len(_FIRST)] + _letters(person), _LAST[person // 13 % len(_LAST)] + _letters(person // 7)


def _letters(number: int) -> str:
    return "".join(chr(97 + number // 26**power % 26) for power in range(4))


def _email(person: int) -> str:
    return f"{_letters(person)}.{person}@Example.com"


def _phone(random_: random.Random, person: int) -> str:
    if person % 14 == 0:
        return f"+44 20 7{person * 31 % 1000:03d} {person * 17 % 10000:04d}"
    if person % 31 == 0:
        return ""
    area, exchange, line = f"{200 + person % 700}", f"{200 + person // 700 % 700}", f"{person // 490000 % 10000:04d}"
    shapes = (
        f"({area}) {exchange}-{line}",
        f"+1-{area}-{exchange}-{line}",
        f"{area}.{exchange}.{line}",
        f"{area}{exchange}{line}",
        f"1{area}{exchange}{line}",
    )
    return random_.choice(shapes)


def _shop_customer(random_: random.Random, number: int, person: int) -> dict[str, object]:
    first, last = _names(person)
    return {
        "id": f"EC{number}",
        "name": {"first": first, "last": last},
        "contact": {"email": _email(person).lower(), "phone": _phone(random_, person)},
        "registered": "2023-01-15T10:30:00Z",
        "orders_count": number % 9,
    }


# ---------------------------------------------------------------------------------------------------- the messy pair

Words = NDArray[np.uint64]

_GIVEN = (
    *("James", "Mary", "Robert", "Patricia", "John", "Jennifer", "Michael", "Linda", "David", "Elizabeth", "William"),
    *("Barbara", "Richard", "Susan", "Joseph", "Jessica", "Thomas", "Karen", "Daniel", "Lisa", "Matthew", "Nancy"),
    *("Anthony", "Sandra", "Mark", "Ashley", "Paul", "Emily", "Steven", "Donna", "Andrew", "Michelle", "Joshua"),
    *("Carol", "Kenneth", "Amanda", "Kevin", "Melissa", "Brian", "Deborah", "Ahmed", "Priya", "Wei", "Fatima", "Omar"),
    *("Yuki", "Olga", "Ivan", "Aisha", "Raj", "Mei", "Ali", "Ingrid", "José", "Chloé", "Zoë", "Søren", "Jürgen"),
    *("André", "Mónica", "Łukasz", "Françoise", "Björn", "Renée"),
)
_SYLLABLES = (
    *("ba", "den", "fo", "gar", "hu", "jo", "ka", "len", "mi", "nor", "pe", "qua", "ri", "san", "to", "ul"),
    *("ver", "wi", "xan", "yo", "zel", "bra", "cle", "dro", "fla", "gri", "kno", "ple", "sti", "tra", "vo", "sha"),
)
_PREFIXES = ("O'", "Mc", "van ", "de la ", *[""] * 36)
_DOMAINS = ("example.com", "example.org", "example.net", "mail.example.com", "post.example.org")
_MISSING = ("", "", "N/A", "-", "null", "unknown", "NONE")
_PHONES = ("({}) {}-{}", "{}-{}-{}", "{}.{}.{}", "+1 {} {} {}", "1-{}-{}-{}", "{}{}{}", "({}) {}-{} x12")
_PHONE_OF_PERCENT = (*[0] * 20, *[1] * 18, *[2] * 14, *[3] * 14, *[4] * 8, *[5] * 20, *[6] * 6)
_STATUSES = (*["active"] * 6, *["inactive"] * 3, "Active", "")
_APOSTROPHE = "'"
_PHONES_ABROAD = ("+44 20 7{0} {1}", "+49 30 4{0}{1}", "+33 1 4{0} {1}", "+91 98{0} 0{1}")
_DAYS = [date(2015, 1, 1) + timedelta(days=number) for number in range(3650)]
_DAY_TEXTS = (
    [f"{day:%Y-%m-%d}" for day in _DAYS],
    [f"{day:%m/%d/%Y}" for day in _DAYS],
    [f"{day:%Y/%m/%d}" for day in _DAYS],
    [f"{day.day} {day:%b %Y}" for day in _DAYS],
    [f"{day:%B} {day.day}, {day.year}" for day in _DAYS],
)
_ROWS_AT_ONCE = 20_000
# Of ten rows the third, seventh and tenth repeat a person.
_PEOPLE_BEFORE = np.array([0, 1, 2, 2, 3, 4, 5, 5, 6, 7], dtype=np.uint64)
_IS_REPEAT = np.array([False, False, True, False, False, False, True, False, False, True])
_SAME, _INITIAL, _OTHER_EMAIL, _OTHER_PHONE, _NAME_ALONE = range(5)
_LIKENESS_OF_TEN = np.array([*[_SAME] * 6, _INITIAL, _OTHER_EMAIL, _OTHER_PHONE, _NAME_ALONE])


class _Row(NamedTuple):
    """One row; the last numbers choose the shape of a value each, below 100 unless another bound is stated."""

    number: int
    person: int
    likeness: int
    """One of ``_SAME`` to ``_NAME_ALONE``."""
    name: int
    email: int
    phone: int
    day: int
    """Below 500."""
    missing: int
    is_changed: bool
    """A later export has another number than a former one."""


def write_messy_pair(
    folder: Path, records: int, seed: int = 1, *, first: int = 0, changed_percent: int = 0
) -> tuple[Path, Path]:
    """Write ``crm_customers.csv`` and ``ecommerce_customers.json``: ``records`` rows together, from row ``first`` on.

    ``changed_percent``: so many rows in a hundred have another phone number than they would have.
    """
    crm, ecom = folder / "crm_customers.csv", folder / "ecommerce_customers.json"
    with open(crm, "w", encoding="utf-8") as table, open(ecom, "w", encoding="utf-8") as document:
        table.write("customer_id,full_name,email,phone,signup_date,status\n")
        document.write('{"customers": [\n')
        separator = ""
        for begin in range(first, first + records, _ROWS_AT_ONCE):
            rows = _rows(begin, min(_ROWS_AT_ONCE, first + records - begin), seed, changed_percent)
            lines, customers = [], []
            for row in rows:
                if row.number % 5 < 3:
                    lines.append(_crm_line(row))
                else:
                    customers.append(_shop_line(row))
            table.write("".join(lines))
            if customers:
                document.write(separator + ",\n".join(customers))
                separator = ",\n"
        document.write("\n]}\n")
    return crm, ecom


def full_name(person: int) -> tuple[str, str]:
    """First and last name of a person, as a careful writer has them; no two of 60 million people have the same."""
    mixed = person * 0x2545F491 % (1 << 26)
    last = _SYLLABLES[mixed >> 6 & 31] + _SYLLABLES[mixed >> 11 & 31] + _SYLLABLES[mixed >> 16 & 31]
    return _GIVEN[mixed & 63], _PREFIXES[person * 7 % 40] + (last + _SYLLABLES[mixed >> 21]).title()


def email_of(person: int, name: tuple[str, str]) -> str:
    """The address of a person of this name."""
    first, last = name
    local = f"{first}.{last}" if first.isascii() else last
    return f"{local.lower().replace(' ', '').replace(_APOSTROPHE, '')}.{person}@{_DOMAINS[person % 5]}"


def _rows(begin: int, count: int, seed: int, changed_percent: int) -> Iterator[_Row]:
    numbers = np.arange(begin, begin + count, dtype=np.uint64)
    one, other, day = (_mixed(numbers, salt, seed) for salt in range(3))
    place = numbers % np.uint64(10)
    before = numbers // np.uint64(10) * np.uint64(7) + _PEOPLE_BEFORE[place]
    is_repeat = _IS_REPEAT[place]
    people = np.where(is_repeat, (one >> np.uint64(16)) % np.maximum(before, np.uint64(1)), before)
    likeness = np.where(is_repeat, _LIKENESS_OF_TEN[_below(one, 0, 10)], _SAME)
    columns = (
        numbers,
        people,
        likeness,
        _below(other, 0, 100),
        _below(other, 16, 100),
        _below(other, 32, 100),
        _below(day, 0, 500),
        _below(day, 16, 100),
        _below(day, 32, 100) < changed_percent,
    )
    return map(_Row._make, zip(*(column.tolist() for column in columns), strict=True))


def _mixed(numbers: Words, salt: int, seed: int) -> Words:
    """Bits that look random, 64 for each number (splitmix64)."""
    bits = numbers * np.uint64(0x9E3779B97F4A7C15) + np.uint64((seed * 3 + salt) * 0xD1B54A32D192ED03 % (1 << 64))
    bits = (bits ^ bits >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ bits >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return bits ^ bits >> np.uint64(31)


def _below(bits: Words, shift: int, bound: int) -> NDArray[np.int64]:
    """Numbers below ``bound`` from 16 of the bits."""
    return ((bits >> np.uint64(shift) & np.uint64(0xFFFF)) * np.uint64(bound) >> np.uint64(16)).astype(np.int64)


def _crm_line(row: _Row) -> str:
    first, last = given = full_name(row.person)
    word = _MISSING[row.number % 7]
    if row.likeness == _INITIAL:
        first = f"{first[0]}."
    name = f'"{last}, {first}"' if row.name >= 85 else _in_case(f"{first} {last}", row.name, 40, 70)
    email, phone, day = _email_in(row, given), _phone_in(row), _day_in(row)
    if day is not None and "," in day:
        day = f'"{day}"'
    cells = f"{word if email is None else email},{word if phone is None else phone},{word if day is None else day}"
    return f"CRM{row.number:08d},{name},{cells},{_STATUSES[row.number % 11]}\n"


def _shop_line(row: _Row) -> str:
    first, last = given = full_name(row.person)
    if row.likeness == _INITIAL:
        first = f"{first[0]}."
    first, last = _in_case(first, row.name, 50, 85), _in_case(last, row.name, 50, 85)
    word = f'"{_MISSING[row.number % 7]}"' if row.number % 3 else "null"
    email, phone, day = (
        word if value is None else f'"{value}"' for value in (_email_in(row, given), _phone_in(row), _day_in(row))
    )
    return (
        f'{{"id": "EC{row.number}", "name": {{"first": "{first}", "last": "{last}"}}, '
        f'"contact": {{"email": {email}, "phone": {phone}}}, "registered": {day}, "orders_count": {row.number % 9}}}'
    )


def _in_case(text: str, choice: int, upper: int, blanks: int) -> str:
    """The text as it is, from ``upper`` on in capitals, then in small letters, from ``blanks`` on with blanks."""
    if choice < upper:
        return text
    if choice < upper + 15:
        return text.upper()
    if choice < blanks:
        return text.lower()
    return f"  {text.replace(' ', '  ')} "


def _email_in(row: _Row, name: tuple[str, str]) -> str | None:
    if row.email < 3:
        return None
    if row.likeness in (_OTHER_EMAIL, _NAME_ALONE):
        email = f"{row.person}.{row.number}@example.org"
    else:
        email = email_of(row.person, name)
    if row.email < 23:
        return email.title()
    if row.email < 27:
        return f" {email} "
    return f"mailto:{email}" if row.email < 29 else email


def _phone_in(row: _Row) -> str | None:
    person = row.person
    if row.missing < 5 or row.likeness == _NAME_ALONE:
        return None
    if row.is_changed:
        person = 30_000_000 + row.number
    elif row.likeness == _OTHER_PHONE:
        person = 10_000_000 + row.number
    elif person * 11 % 100 < 7:
        return _PHONES_ABROAD[person // 100 % 4].format(f"{person // 10_000:03d}", f"{person % 10_000:04d}")
    line = f"{person // 490_000:04d}"
    return _PHONES[_PHONE_OF_PERCENT[row.phone]].format(200 + person % 700, 200 + person // 700 % 700, line)


def _day_in(row: _Row) -> str | None:
    return None if row.day >= 490 else _DAY_TEXTS[row.day % 5][row.person * 769 % 3650]
