"""Records as they are compared: each field as numbers of its distinct values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from service.pipeline.matching.safe.folding import digits_of, folded
from service.pipeline.matching.safe.lexicon import words
from service.pipeline.matching.safe.person_names import PersonName, person_name

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Pairs = tuple[Ints, Ints, Floats]
"""One record of each pair, the other, the weight."""
Texts = Sequence[str | None]
IDENTIFIER = "identifier."
NAMES = ("first", "last", "generation")
LOCALITIES = ("state", "city", "postcode")
"""From the widest on."""
_TEXT_FIELDS = ("address", "city", "postcode", "state")
_MANY_EQUAL = 6
"""A phone number with this many equal digits in a row is a placeholder."""
_STREETS = {
    "street": "st",
    "road": "rd",
    "avenue": "ave",
    "av": "ave",
    "boulevard": "blvd",
    "drive": "dr",
    "lane": "ln",
    "court": "ct",
    "place": "pl",
    "square": "sq",
    "highway": "hwy",
    "apartment": "apt",
    "suite": "ste",
    "crescent": "cres",
    "circuit": "cct",
    "close": "cl",
    "north": "n",
    "south": "s",
    "east": "e",
    "west": "w",
}


@dataclass(frozen=True)
class Column:
    """One field: ``codes`` has the number of its value for each record, -1 where it is missing."""

    codes: Ints
    texts: list[str]

    def counts(self) -> Ints:
        """How many records have each value."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))


@dataclass(frozen=True)
class PreparedRecords:
    """The distinct records, and which of them each record is.

    columns   field -> values of the distinct records
    distinct  for each record the number of its distinct record
    is_firm   whether the name of each distinct record is, in one of its copies, that of a firm
    """

    columns: Mapping[str, Column]
    distinct: Ints
    is_firm: npt.NDArray[np.bool_]

    @cached_property
    def namesakes(self) -> Ints:
        """Of each distinct record that has nothing but a name, how many copies there are beyond two; else 0.

        Two copies may be one customer in two exports. More of them show that the name is common.
        """
        copies = np.bincount(self.distinct, minlength=self.count)
        has_more = np.zeros(self.count, bool)
        for name, values in self.columns.items():
            if name not in NAMES:
                has_more |= values.codes >= 0
        return np.where(has_more, 0, np.maximum(copies - 2, 0))

    @property
    def count(self) -> int:
        """How many distinct records there are."""
        return int(self.distinct.max()) + 1 if len(self.distinct) else 0


def prepare(fields: Mapping[str, Texts]) -> PreparedRecords:
    """The records as they are compared.

    In: fields  any of name, first_name, last_name, email, phone, phone_extension, birth_date, address, city, postcode,
                state and identifier.*; one value for each record
    """
    names = _names(fields)
    columns = {name: column(texts) for name, texts in _compared(fields, names).items()}
    # Firms have no first name; where all are firms, they contradict each other in it nevertheless.
    columns = {name: it for name, it in columns.items() if it.texts or (name == "first" and columns["last"].texts)}
    if not columns:
        return PreparedRecords({}, np.arange(len(names)), np.zeros(len(names), bool))
    rows = np.stack([it.codes for it in columns.values()], axis=1)
    _, first, distinct = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    # Numbered by the first copy of each distinct record, so that the order of the values does not matter.
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    kept, distinct = np.sort(first), rank[distinct.ravel()]
    is_firm = np.zeros(len(kept), bool)
    is_firm[distinct[[name.is_firm for name in names]]] = True
    return PreparedRecords({name: Column(it.codes[kept], it.texts) for name, it in columns.items()}, distinct, is_firm)


def column(texts: Iterable[str]) -> Column:
    """The texts as a column; an empty one is missing."""
    numbers: dict[str, int] = {}
    codes = [numbers.setdefault(text, len(numbers)) if text else -1 for text in texts]
    return Column(np.array(codes, np.int64), list(numbers))


def _names(fields: Mapping[str, Texts]) -> list[PersonName]:
    nothing: Texts = [None] * len(next(iter(fields.values()), ()))
    rows = zip(*(fields.get(field, nothing) for field in ("name", "first_name", "last_name")), strict=True)
    return [person_name(*row) for row in rows]


def _compared(fields: Mapping[str, Texts], names: Sequence[PersonName]) -> dict[str, list[str]]:
    nothing: Texts = [None] * len(names)
    found = {part: [str(name[number]) for name in names] for number, part in enumerate(NAMES)}
    found["email"] = [_email(text) for text in fields.get("email", nothing)]
    numbers = zip(fields.get("phone", nothing), fields.get("phone_extension", nothing), strict=True)
    found["phone"] = [_phone(*number) for number in numbers]
    found["birth_date"] = [_digits(text) for text in fields.get("birth_date", nothing)]
    for field in _TEXT_FIELDS:
        found[field] = [_plain(text) for text in fields.get(field, nothing)]
    found["address"] = [_street(text) for text in found["address"]]
    for field in sorted(it for it in fields if it.startswith(IDENTIFIER)):
        found[field] = [_plain(text).replace(" ", "") for text in fields[field]]
    return found


def _plain(text: str | None) -> str:
    return folded(text) if text else ""


def _digits(text: str | None) -> str:
    return digits_of(text) if text else ""


def _street(text: str) -> str:
    return " ".join(_STREETS.get(word, word) for word in text.split())


def _email(text: str | None) -> str:
    """The address, unless it stands for none."""
    local, _, domain = (text or "").strip().casefold().rpartition("@")
    if not local or "*" in local or local in words("placeholder_mailboxes"):
        return ""
    return f"{local}@{domain}"


def _phone(number: str | None, extension: str | None) -> str:
    """The digits, and behind an ``x`` those of the extension; empty where they stand for no number."""
    digits = _digits(number)
    if len(digits) < 5 or any(digit * _MANY_EQUAL in digits for digit in "0123456789") or "123456789" in digits:
        return ""
    return f"{digits}x{_digits(extension)}" if extension else digits
