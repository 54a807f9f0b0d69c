"""The number of rows in a Parquet file, as its footer states it, without an engine.

The footer is a Thrift struct in the compact protocol: ``FileMetaData`` of parquet.thrift, with ``num_rows`` as field 3.
"""

from __future__ import annotations

import os
from pathlib import Path

_MAGIC = b"PAR1"
_MOST_BYTES = 64 << 20
_MOST_LEVELS = 16
_NUM_ROWS = 3
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = {4, 5, 6}


def row_count(path: Path) -> int | None:
    """The number of rows that the footer states; None where the file has none. Raises: OSError."""
    footer = _footer_of(path)
    try:
        return None if footer is None else _Compact(footer).integer(_NUM_ROWS)
    except (IndexError, ValueError):
        return None


def _footer_of(path: Path) -> bytes | None:
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 8, 0))
        end = file.read()
        length = int.from_bytes(end[:4], "little")
        if end[4:] != _MAGIC or not 0 < length <= min(size - 12, _MOST_BYTES):
            return None
        file.seek(size - 8 - length)
        return file.read(length)


class _Compact:
    """A struct in Thrift's compact protocol, read from the front. Raises: IndexError, ValueError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def integer(self, field: int) -> int | None:
        """The value of an integer field; None where the struct has none."""
        number = 0
        while (head := self._byte()) != _STOP:
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            if number == field and head & 15 in _INTEGERS:
                return self._zigzag()
            self._skip(head & 15, _MOST_LEVELS)
        return None

    def _skip(self, kind: int, levels: int, *, is_element: bool = False) -> None:
        if not levels:
            raise ValueError("too many levels")
        if kind in (_TRUE, _FALSE):
            self._at += is_element  # of a field, its type is its value
        elif kind in _INTEGERS:
            self._varint()
        elif kind in (_BYTE, _DOUBLE):
            self._at += 1 if kind == _BYTE else 8
        elif kind == _BINARY:
            length = self._varint()
            self._at += length
        elif kind in (_LIST, _SET):
            self._skip_list(levels - 1)
        elif kind == _STRUCT:
            self._skip_struct(levels - 1)
        else:
            raise ValueError("a type that no footer has")

    def _skip_list(self, levels: int) -> None:
        head = self._byte()
        for _ in range(self._varint() if head >> 4 == 15 else head >> 4):
            self._skip(head & 15, levels, is_element=True)

    def _skip_struct(self, levels: int) -> None:
        while (head := self._byte()) != _STOP:
            if not head >> 4:
                self._zigzag()
            self._skip(head & 15, levels)

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def _zigzag(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
