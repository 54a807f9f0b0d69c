"""Blocking keys: values, parts of them, and two values together.

Keys of one record, or of more than ``MOST_SHARERS``, are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from service.pipeline.matching.safe.prepared import IDENTIFIER, Column, Ints, PreparedRecords, column

MOST_SHARERS = 60
"""A key that more records share gives no pairs."""
_LEAST_POPULATION_OF_KEYS = 10_000
_SPARSE = 4
"""Key numbers above this multiple of the number of keys are renumbered, so that ``bincount`` makes no long array."""
_PARTS_TOGETHER = """
    first+last first+city last+city first+postcode last+postcode
    last+state first+state first+birth_year last+birth_year birth_date+state
    birth_day+postcode birth_day+city birth_day+first birth_day+last
    house+postcode house+city house+last house+first house+birth_year
    street+postcode street+city street+last street+first address+birth_year
    first_begin+last_begin first_begin+birth_day last_begin+birth_day
    first_begin+birth_year last_begin+birth_year last_begin+city first_begin+city
    first_begin+last_end last_begin+postcode first_begin+postcode postcode+birth_year
    birth_day+state city+birth_year area+last_begin area+first_begin area+city
"""
_TOGETHER = tuple(tuple(it.split("+")) for it in _PARTS_TOGETHER.split())
_BESIDE = ("state", "birth_year", "postcode")
"""Parts of names and cities count together with one of these: too many share them alone."""
_WHOLE = ("email", "phone", "birth_date", "address", "last")
_Int32s = npt.NDArray[np.int32]


@dataclass(frozen=True)
class SharedKeys:
    """The keys of one kind that several records have, but not many.

    records  records that have such a key, ascending; each once for each of its keys
    keys     the key of each, from 0 on
    members  the records of each key, key after key
    begins   where each key begins in ``members``
    sharers  how many records have each key
    bits     how rare each key is
    """

    records: _Int32s
    keys: _Int32s
    members: _Int32s
    begins: Ints
    sharers: Ints
    bits: npt.NDArray[np.float32]

    def of(self, begin: int, end: int) -> tuple[Ints, Ints, npt.NDArray[np.float32]]:
        """Each record from ``begin`` to before ``end``, with those that share a key, and the bits of that key."""
        part = slice(*np.searchsorted(self.records, (begin, end)))
        keys = self.keys[part]
        sharers = self.sharers[keys]
        others = self.members[_ranges(self.begins[keys], sharers)]
        ones = np.repeat(self.records[part], sharers)
        return ones.astype(np.int64), others.astype(np.int64), np.repeat(self.bits[keys], sharers)


def shared_keys(prepared: PreparedRecords) -> list[SharedKeys]:
    """The keys of every kind that the records have."""
    parts = dict(prepared.columns)
    parts |= {name: _derived(prepared.columns[of], make) for name, (of, make) in _PARTS.items() if of in parts}
    return [_shared(*kind, prepared.count) for kind in _each_kind(prepared.columns, parts)]


def _shared(records: Ints, keys: Ints, count: int) -> SharedKeys:
    if len(keys) and int(keys.max()) > _SPARSE * len(keys):
        keys = np.unique(keys, return_inverse=True)[1].ravel()
    sharers = np.bincount(keys)
    is_used = (sharers > 1) & (sharers <= MOST_SHARERS)
    held = is_used[keys]
    numbers = (np.cumsum(is_used) - 1).astype(np.int32)[keys[held]]
    holders, sharers = records[held].astype(np.int32), sharers[is_used]
    bits = np.log2(max(count, _LEAST_POPULATION_OF_KEYS) / sharers).astype(np.float32)
    members = holders[np.argsort(numbers, kind="stable")]
    return SharedKeys(holders, numbers, members, np.cumsum(sharers) - sharers, sharers, bits)


def _each_kind(columns: Mapping[str, Column], parts: Mapping[str, Column]) -> Iterator[tuple[Ints, Ints]]:
    for name, it in columns.items():
        if name in _WHOLE or name.startswith(IDENTIFIER):
            records = np.flatnonzero(it.codes >= 0)
            yield records, it.codes[records]
        if make := _GRAMS.get(name.split(".")[0]):
            yield _grams(it, make)
    for one, other in _TOGETHER:
        if one in parts and other in parts:
            a, b = parts[one].codes, parts[other].codes
            records = np.flatnonzero((a >= 0) & (b >= 0))
            yield records, a[records] * len(parts[other].texts) + b[records]
    for name in ("first", "last", "city"):
        if name in columns:
            records, grams = _grams(columns[name], lambda text: _windows(text, 3))
            for beside in (parts[it].codes[records] for it in _BESIDE if it in parts):
                held = beside >= 0
                yield records[held], beside[held] * (int(grams.max()) + 1) + grams[held]
    if "first" in columns and "last" in columns:
        yield _swapped(columns["first"], columns["last"])


def _swapped(first: Column, last: Column) -> tuple[Ints, Ints]:
    """Both parts of the name as a set: the same for transposed names."""
    both = column((*first.texts, *last.texts)).codes
    a, b = both[: len(first.texts)][first.codes], both[len(first.texts) :][last.codes]
    records = np.flatnonzero((first.codes >= 0) & (last.codes >= 0))
    a, b = a[records], b[records]
    return records, np.minimum(a, b) * (len(both) + 1) + np.maximum(a, b)


def _derived(of: Column, make: Callable[[str], str]) -> Column:
    """A part of each value; for values without it -1."""
    part = column(make(text) for text in of.texts)
    return Column(np.where(of.codes >= 0, part.codes[of.codes], -1), part.texts)


def _grams(of: Column, make: Callable[[str], set[str]]) -> tuple[Ints, Ints]:
    numbers: dict[str, int] = {}
    lists = [[numbers.setdefault(gram, len(numbers)) for gram in sorted(make(text))] for text in of.texts]
    lengths = np.array([len(it) for it in lists], np.int64)
    begins = np.cumsum(lengths) - lengths
    flat = np.fromiter(chain.from_iterable(lists), np.int64, int(lengths.sum()))
    records = np.flatnonzero(of.codes >= 0)
    codes = of.codes[records]
    return np.repeat(records, lengths[codes]), flat[_ranges(begins[codes], lengths[codes])]


def _ranges(begins: Ints, lengths: Ints) -> Ints:
    """The numbers begin, begin + 1, … of every range, behind each other."""
    ends = np.cumsum(lengths)
    return np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(begins - ends + lengths, lengths)


def _windows(text: str, size: int) -> set[str]:
    return {text[it : it + size] for it in range(max(1, len(text) - size + 1))}


def _of_email(email: str) -> set[str]:
    local = "".join(filter(str.isalnum, email.rpartition("@")[0]))
    digits = "".join(filter(str.isdigit, local))
    return {f"={local}", *({f"#{digits}"} if len(digits) > 3 else ()), *_windows(local, 5)}


def _of_phone(phone: str) -> set[str]:
    number = phone.partition("x")[0]
    return {f"={number}", *_windows(phone.replace("x", ""), 7)}


_GRAMS: Mapping[str, Callable[[str], set[str]]] = {
    "email": _of_email,
    "phone": _of_phone,
    "address": lambda text: _windows(text, 5),
    "identifier": lambda text: _windows(text, 5),
    "last": lambda text: _windows(f"_{text}_", 4),
    "first": lambda text: _windows(f"_{text}_", 4),
}
_PARTS: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "birth_year": ("birth_date", lambda text: text[:4]),
    "birth_day": ("birth_date", lambda text: "".join(sorted((text[4:6], text[6:8])))),
    "house": ("address", lambda text: next((word for word in text.split() if word[:1].isdigit()), "")),
    "street": ("address", lambda text: next((word for word in text.split() if len(word) > 2 and word.isalpha()), "")),
    "first_begin": ("first", lambda text: text[:3]),
    "last_begin": ("last", lambda text: text[:3]),
    "last_end": ("last", lambda text: text[-3:]),
    "area": ("phone", lambda text: text[:6]),
}
