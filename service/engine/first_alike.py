"""Hashes that are equal or nearly so, found by sorting."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_ROWS_OF_A_PART = 1 << 20


def first_alike(keys: npt.NDArray[np.uint64], bits: int, count: int) -> npt.NDArray[np.int32]:
    """For each of ``count`` positions the smallest whose hash has the same leading bits; -1 where there is no key.

    The last ``bits`` of a key are the position, the others those of a hash. Equal hashes have equal numbers.
    ``keys`` are sorted in place: beside them and the result nothing grows with their number.

    >>> first_alike(np.array([0x72, 0x70, 0x81], dtype=np.uint64), 4, 4).tolist()
    [0, 1, 0, -1]
    """
    keys.sort()
    first = np.full(count, -1, dtype=np.int32)
    position_bits, shift = np.uint64((1 << bits) - 1), np.uint64(bits)
    start = 0  # of the keys with the value of the key before the part, the position of the first
    for begin in range(0, len(keys), _ROWS_OF_A_PART):
        part = keys[begin : begin + _ROWS_OF_A_PART]
        positions = (part & position_bits).astype(np.int32)
        values = part >> shift
        is_start = np.empty(len(part), dtype=np.bool_)
        is_start[0] = begin == 0 or values[0] != keys[begin - 1] >> shift
        np.not_equal(values[1:], values[:-1], out=is_start[1:])
        starts = np.flatnonzero(is_start)
        firsts = np.repeat(positions[starts], np.diff(starts, append=len(part)))
        first[positions[len(part) - len(firsts) :]] = firsts
        first[positions[: len(part) - len(firsts)]] = start
        if len(firsts):
            start = int(firsts[-1])
    return first
