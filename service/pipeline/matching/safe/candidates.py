"""Candidates: pairs of records that share something rare. Work and memory grow with the records, not with their pairs.

Every record has keys: its values, parts of them, and two values together. A key that many records share is left out;
of the rest each record takes the neighbours with which it shares the most, rare keys counting most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from service.pipeline.matching.safe.prepared import IDENTIFIER, Column, Ints, PreparedRecords, column

MOST_SHARERS = 60
"""A key that more records share gives no pairs."""
NEIGHBOURS = 16
"""So many neighbours each record has at most, before those of the others are added."""
_LEAST_BITS = 6.0
"""Neighbours that share less are not looked at."""
_LEAST_POPULATION = 10_000
_IN_A_ROW = 4
"""Sharers of a frequent value are compared with so many that follow in the order of their other values."""
_AT_ONCE = 4_000_000
_TOGETHER = (
    *(("first", "last"), ("first", "city"), ("last", "city"), ("first", "postcode"), ("last", "postcode")),
    *(("last", "state"), ("first", "state"), ("first", "birth_year"), ("last", "birth_year"), ("birth_date", "state")),
    *(("birth_day", "postcode"), ("birth_day", "city"), ("birth_day", "first"), ("birth_day", "last")),
    *(("house", "postcode"), ("house", "city"), ("house", "last"), ("house", "first"), ("house", "birth_year")),
    *(("street", "postcode"), ("street", "city"), ("street", "last"), ("street", "first"), ("address", "birth_year")),
    *(("first_begin", "last_begin"), ("first_begin", "birth_day"), ("last_begin", "birth_day")),
    *(("first_begin", "birth_year"), ("last_begin", "birth_year"), ("last_begin", "city"), ("first_begin", "city")),
    *(("first_begin", "last_end"), ("last_begin", "postcode"), ("first_begin", "postcode"), ("postcode", "birth_year")),
    *(("city", "birth_year"), ("area", "last_begin"), ("area", "first_begin"), ("area", "city")),
)
_BESIDE = ("state", "birth_year", "postcode")
"""Parts of names and cities count together with one of these: too many share them alone."""
_WHOLE = ("email", "phone", "birth_date", "address", "last")


def candidates(prepared: PreparedRecords) -> tuple[Ints, Ints]:
    """Pairs of different records, the smaller number first, in order."""
    if prepared.count < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    records, keys = _keys(prepared)
    near = [np.empty(0, np.int64), *_nearest(records, keys, prepared.count), *_in_a_row(prepared)]
    pairs = np.unique(np.concatenate(near))
    return pairs // prepared.count, pairs % prepared.count


def _keys(prepared: PreparedRecords) -> tuple[Ints, Ints]:
    """Record and key, numbered from 0 in the order of keys and records."""
    parts = dict(prepared.columns)
    parts |= {name: _derived(prepared.columns[of], make) for name, (of, make) in _PARTS.items() if of in parts}
    found: list[tuple[Ints, Ints]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    begin = 0
    for records, keys in _each_kind(prepared.columns, parts):
        _, numbers = np.unique(keys, return_inverse=True)
        found.append((records, numbers + begin))
        begin += int(numbers.max()) + 1 if len(numbers) else 0
    return np.concatenate([it[0] for it in found]), np.concatenate([it[1] for it in found])


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
    flat = np.array([number for it in lists for number in it], np.int64)
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


def _nearest(records: Ints, keys: Ints, count: int) -> Iterator[Ints]:
    """Each record with those with which it shares most, as smaller * count + larger."""
    sharers = np.bincount(keys)
    is_used = (sharers[keys] > 1) & (sharers[keys] <= MOST_SHARERS)
    records, keys = records[is_used], keys[is_used]
    by_key = np.argsort(keys, kind="stable")
    members, begins = records[by_key], np.searchsorted(keys[by_key], np.arange(len(sharers)))
    by_record = np.argsort(records, kind="stable")
    records, keys = records[by_record], keys[by_record]
    bits = np.log2(max(count, _LEAST_POPULATION) / np.maximum(sharers, 1)).astype(np.float32)
    total = np.cumsum(sharers[keys])
    start = 0
    while start < len(keys):
        done = int(total[start - 1]) if start else 0
        end = int(np.searchsorted(total, done + _AT_ONCE, side="right"))
        end = int(np.searchsorted(records, records[min(max(end, start + 1), len(keys)) - 1], side="right"))
        part = keys[start:end]
        others = members[_ranges(begins[part], sharers[part])]
        ones = np.repeat(records[start:end], sharers[part])
        yield _most_shared(ones, others, np.repeat(bits[part], sharers[part]), count)
        start = end


def _most_shared(ones: Ints, others: Ints, bits: npt.NDArray[np.float32], count: int) -> Ints:
    is_pair = ones != others
    shared = bits[is_pair]
    pairs: Ints = ones[is_pair] * count + others[is_pair]
    if not len(pairs):
        return pairs
    order = np.argsort(pairs, kind="stable")
    pairs, shared = pairs[order], shared[order]
    firsts = np.flatnonzero(np.concatenate(([True], pairs[1:] != pairs[:-1])))
    sums, pairs = np.add.reduceat(shared, firsts), pairs[firsts]
    enough = sums >= _LEAST_BITS
    sums, pairs = sums[enough], pairs[enough]
    order = np.lexsort((pairs, -sums, pairs // count))
    pairs = pairs[order]
    ones = pairs // count
    begins = np.flatnonzero(np.concatenate(([True], ones[1:] != ones[:-1]))) if len(ones) else ones
    rank = np.arange(len(ones)) - np.repeat(begins, np.diff(np.append(begins, len(ones))))
    pairs = pairs[rank < NEIGHBOURS]
    ones, others = pairs // count, pairs % count
    near: Ints = np.minimum(ones, others) * count + np.maximum(ones, others)
    return near


def _in_a_row(prepared: PreparedRecords) -> Iterator[Ints]:
    """Sharers of a value that many share, each with the next ones in the order of all values."""
    count, columns = prepared.count, prepared.columns
    rows = [columns[it].codes for it in ("first", "last", "birth_date", "city") if it in columns]
    for name, it in columns.items():
        if name not in ("email", "phone", "address") and not name.startswith(IDENTIFIER):
            continue
        is_frequent = it.counts() > MOST_SHARERS
        records = np.flatnonzero((it.codes >= 0) & is_frequent[it.codes])
        if not len(records):
            continue
        records = records[np.lexsort((records, *(row[records] for row in rows), it.codes[records]))]
        for step in range(1, _IN_A_ROW + 1):
            ones, others = records[:-step], records[step:]
            same = it.codes[ones] == it.codes[others]
            ones, others = ones[same], others[same]
            yield np.minimum(ones, others) * count + np.maximum(ones, others)
