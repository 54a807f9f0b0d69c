"""Pairs of exports that are hard in one way each, with as many bytes as an ordinary pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from service.readers.csv_sniff import MAX_COLUMNS

_COLUMNS = "customer_id,full_name,email,phone,signup_date,status"
_MB = 1 << 20
_ID_DIGITS = 9


class Cells(NamedTuple):
    """The values of one row but for its id."""

    name: str
    email: str
    phone: str
    day: str
    more: str = ""
    """A further cell; no field uses it."""


Row = Callable[[int], Cells]
"""The row of a number, counted over both exports."""


@dataclass(frozen=True)
class WorstCase:
    """A kind of pair: its name, what it is, and its rows, given how many there are in all."""

    name: str
    what: str
    row_of: Callable[[int], Row]
    further_columns: int = 0
    """Columns of the CSV file that no field uses; with ``more`` they all hold that cell."""


def write_worst_pair(folder: Path, case: WorstCase, crm_bytes: int, ecom_bytes: int) -> tuple[Path, Path]:
    """Write ``crm_customers.csv`` and ``ecommerce_customers.json`` of about these sizes."""
    sample = case.row_of(1)(0)
    rows_of_crm = max(1, crm_bytes // len(_crm_line(0, sample, case.further_columns).encode()))
    rows_of_ecom = max(1, ecom_bytes // (len(_shop_line(0, sample).encode()) + 2))
    row = case.row_of(rows_of_crm + rows_of_ecom)
    crm, ecom = folder / "crm_customers.csv", folder / "ecommerce_customers.json"
    with open(crm, "w", encoding="utf-8") as out:
        further = ["note", *(f"column_{number}" for number in range(1, case.further_columns))]
        out.write(",".join([_COLUMNS, *further[: case.further_columns]]) + "\n")
        for number in range(rows_of_crm):
            out.write(_crm_line(number, row(number), case.further_columns))
    with open(ecom, "w", encoding="utf-8") as out:
        out.write('{"customers": [\n')
        for number in range(rows_of_ecom):
            out.write((",\n" if number else "") + _shop_line(number, row(rows_of_crm + number)))
        out.write("\n]}\n")
    return crm, ecom


def _crm_line(number: int, cells: Cells, further_columns: int) -> str:
    further = f",{cells.more}" * further_columns
    person = f"{cells.name},{cells.email},{cells.phone},{cells.day},active"
    return f"CRM{number:0{_ID_DIGITS}d},{person}{further}\n"


def _shop_line(number: int, cells: Cells) -> str:
    note = f', "note": "{cells.more}"' if cells.more else ""
    return (
        f'{{"id": "EC{number:0{_ID_DIGITS}d}", "name": "{cells.name}", '
        f'"contact": {{"email": "{cells.email}", "phone": "{cells.phone}"}}, "registered": "{cells.day}"{note}}}'
    )


# --------------------------------------------------------------------------------------------------------- the cases


def _phone(number: int) -> str:
    return f"({200 + number // 8_000_000}) {200 + number // 10_000 % 800}-{number % 10_000:04d}"


def _letters(number: int, alphabet: str = "abcdefghijklmnopqrstuvwxyz") -> str:
    return "".join(alphabet[number // len(alphabet) ** power % len(alphabet)] for power in range(6))


def _unique(number: int) -> Cells:
    letters = _letters(number)
    return Cells(f"Anna {letters.title()}", f"{letters}.{number:09d}@example.com", _phone(number), "2023-01-15")


def _with_one_phone(number: int) -> Cells:
    return _unique(number)._replace(phone=_phone(0))


def _equal(_: int) -> Cells:
    return _unique(0)


def _chain(rows: int) -> Row:
    """Each row has its address in common with one neighbour in the chain, its number with the other."""
    links = np.random.default_rng(1).permutation(rows).tolist()

    def row(number: int) -> Cells:
        link = links[number]
        return _unique(number)._replace(email=f"link.{(link + 1) // 2:09d}@example.com", phone=_phone(link // 2))

    return row


def _unreadable_by_sql(number: int) -> Cells:
    # Greek capitals, whose small sigma has two forms; an address in Greek; a trunk prefix; an ordinal.
    letters = _letters(number, "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ")
    return Cells(
        name=f"ΓΙΩΡΓΟΣ {letters}Σ",
        email=f"{letters.lower()}.{number:09d}@example.com",
        phone=f"+49 (0)30 {number:08d}",
        day=f"{1 + number % 28:02d}th of Jan 2023",
    )


def _same_for_all(row: Row) -> Callable[[int], Row]:
    return lambda rows: row


def _wide(number: int) -> Cells:
    return _unique(number)._replace(more="x")


def _long(number: int) -> Cells:
    return _unique(number)._replace(more="x" * _MB)


NO_FAST_PATH = WorstCase(
    "no fast path", "no name, address, number or date is of a common shape", _same_for_all(_unreadable_by_sql)
)
WORST_CASES: tuple[WorstCase, ...] = (
    WorstCase("one number", "all rows have the same phone number", _same_for_all(_with_one_phone)),
    WorstCase("one chain", "each row is linked to the next alone, all rows are one customer, shuffled", _chain),
    WorstCase("all equal", "all rows are equal but for the id", _same_for_all(_equal)),
    WorstCase("all unique", "no row is linked to another", _same_for_all(_unique)),
    NO_FAST_PATH,
    WorstCase(
        f"{MAX_COLUMNS:,} columns", "as many columns as a CSV file may have", _same_for_all(_wide), MAX_COLUMNS - 6
    ),
    WorstCase("cells of 1 MB", "each row has one, in a column that no field uses", _same_for_all(_long), 1),
)
