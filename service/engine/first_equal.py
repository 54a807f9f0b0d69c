"""Equal values of 128 bits, found by sorting: the first row with the value of each row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from service.engine.contract import IntArray

_Halves = npt.NDArray[np.uint64]


def first_equal(low: _Halves, high: _Halves, is_given: npt.NDArray[np.bool_]) -> IntArray:
    """For each row the smallest position of a row with the same two halves; -1 where no value is given.

    >>> halves = np.array([7, 8, 7, 7], dtype=np.uint64)
    >>> first_equal(halves, halves, np.array([True, True, True, False])).tolist()
    [0, 1, 0, -1]
    """
    order = np.argsort(low, kind="stable")
    is_start = _starts(low[order])
    if np.any(_starts(high[order]) & ~is_start):  # half of a value is another's: so rare that it may be slow
        order = np.lexsort((high, low))
        is_start = _starts(low[order]) | _starts(high[order])
    starts = np.flatnonzero(is_start)
    first = np.empty(len(order), dtype=np.int64)
    first[order] = np.repeat(order[starts], np.diff(starts, append=len(order)))
    first[~is_given] = -1
    return first


def _starts(values: _Halves) -> npt.NDArray[np.bool_]:
    """Whether each value differs from the one before it."""
    is_start = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=is_start[1:])
    return is_start
