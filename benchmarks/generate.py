"""Two deterministic exports of any size: six tenths CRM, four tenths shop; 30 % of the rows are repeated people."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

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
