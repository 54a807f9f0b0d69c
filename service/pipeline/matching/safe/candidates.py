"""Candidates: pairs of records that share something rare. Work and memory grow with the records, not with their pairs.

Each record takes the neighbours with which it shares the most keys, rare ones counting most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from service.pipeline.matching.safe.keys import MOST_SHARERS, SharedKeys, shared_keys
from service.pipeline.matching.safe.prepared import IDENTIFIER, Ints, PreparedRecords

NEIGHBOURS = 16
"""The most neighbours that a record chooses; others may choose it, too."""
_LEAST_BITS = 6.0
"""Pairs that share fewer bits are no candidates."""
_NEXT = 4
"""Each record with a frequent value is compared with this many that follow it in the sorted order."""
_AT_ONCE = 2_000_000


def candidates(prepared: PreparedRecords) -> tuple[Ints, Ints]:
    """Pairs of distinct records, the smaller number first, in order."""
    if prepared.count < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    near = [np.empty(0, np.int64), *_nearest(shared_keys(prepared), prepared.count), *_sorted_neighbours(prepared)]
    pairs = np.unique(np.concatenate(near))
    return pairs // prepared.count, pairs % prepared.count


def _nearest(kinds: Sequence[SharedKeys], count: int) -> Iterator[Ints]:
    """Each record with those with which it shares most, as smaller * count + larger."""
    if not kinds:
        return
    work = np.zeros(count)
    for kind in kinds:
        work += np.bincount(kind.records, kind.sharers[kind.keys], count)
    done = np.cumsum(work)
    begin = 0
    while begin < count:
        before = done[begin - 1] if begin else 0.0
        end = max(begin + 1, int(np.searchsorted(done, before + _AT_ONCE, side="right")))
        ones, others, bits = zip(*(kind.of(begin, end) for kind in kinds), strict=True)
        yield _most_shared(np.concatenate(ones), np.concatenate(others), np.concatenate(bits), count)
        begin = end


def _most_shared(ones: Ints, others: Ints, bits: npt.NDArray[np.float32], count: int) -> Ints:
    is_pair = ones != others
    shared = bits[is_pair]
    pairs: Ints = ones[is_pair] * count + others[is_pair]
    if not len(pairs):
        return pairs
    order = np.argsort(pairs, kind="stable")
    pairs, shared = pairs[order], shared[order]
    begins = _run_begins(pairs)
    sums, pairs = np.add.reduceat(shared, begins), pairs[begins]
    enough = sums >= _LEAST_BITS
    sums, pairs = sums[enough], pairs[enough]
    order = np.lexsort((pairs, -sums, pairs // count))
    pairs = pairs[order]
    ones = pairs // count
    begins = _run_begins(ones)
    rank = np.arange(len(ones)) - np.repeat(begins, np.diff(np.append(begins, len(ones))))
    pairs = pairs[rank < NEIGHBOURS]
    ones, others = pairs // count, pairs % count
    near: Ints = np.minimum(ones, others) * count + np.maximum(ones, others)
    return near


def _run_begins(values: Ints) -> Ints:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.append(True, values[1:] != values[:-1]))[: len(values)]


def _sorted_neighbours(prepared: PreparedRecords) -> Iterator[Ints]:
    """Records with a frequent value, each with those that follow it in the order of all values.

    Source: sorted neighbourhood, Hernández and Stolfo 1995
    """
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
        for step in range(1, _NEXT + 1):
            ones, others = records[:-step], records[step:]
            same = it.codes[ones] == it.codes[others]
            ones, others = ones[same], others[same]
            yield np.minimum(ones, others) * count + np.maximum(ones, others)
