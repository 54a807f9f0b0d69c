"""Hashes that are equal or nearly so, found by sorting."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from service.engine.contract import IntArray


def first_alike(hashes: npt.NDArray[np.uint64], is_given: npt.NDArray[np.bool_]) -> IntArray:
    """For each row the smallest position of a row with the same leading bits; -1 where no hash is given.

    Equal hashes have equal numbers. Others may, too: as many of their last bits as the number of rows has do not count.

    >>> first_alike(np.array([7, 8, 7, 7], dtype=np.uint64) << np.uint64(60), np.array([True, True, True, False]))
    array([ 0,  1,  0, -1])
    """
    given = np.flatnonzero(is_given)
    size = len(given)
    bits = np.uint64(max(size - 1, 1).bit_length())
    last_bits = (np.uint64(1) << bits) - np.uint64(1)
    # One sort of numbers that hold both hash and place is faster than a sort of places by their hashes.
    both = (hashes[given] & ~last_bits) | np.arange(size, dtype=np.uint64)
    both.sort()
    order = given[(both & last_bits).astype(np.int64)]
    both >>= bits
    is_start = np.ones(size, dtype=np.bool_)
    np.not_equal(both[1:], both[:-1], out=is_start[1:])
    starts = np.flatnonzero(is_start)
    first = np.full(len(hashes), -1, dtype=np.int64)
    first[order] = np.repeat(order[starts], np.diff(starts, append=size))
    return first
