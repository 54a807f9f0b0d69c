"""Equal numbers, found by sorting."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from service.engine.contract import IntArray


def first_equal(values: npt.NDArray[np.uint64], is_given: npt.NDArray[np.bool_]) -> IntArray:
    """For each row the smallest position of a row with the same value; -1 where no value is given.

    >>> first_equal(np.array([7, 8, 7, 7], dtype=np.uint64), np.array([True, True, True, False])).tolist()
    [0, 1, 0, -1]
    """
    order = np.argsort(values, kind="stable")
    in_order = values[order]
    is_start = np.ones(len(values), dtype=np.bool_)
    np.not_equal(in_order[1:], in_order[:-1], out=is_start[1:])
    starts = np.flatnonzero(is_start)
    first = np.empty(len(values), dtype=np.int64)
    first[order] = np.repeat(order[starts], np.diff(starts, append=len(values)))
    first[~is_given] = -1
    return first
