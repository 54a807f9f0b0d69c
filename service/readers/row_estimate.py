"""About how many rows a file has, estimated from its first bytes; for the progress of a batch only."""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Literal

_HEAD_BYTES = 1 << 16
_LENGTH_BYTES = 4
_MARK = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def estimated_rows(path: Path, file_format: Literal["csv", "json"]) -> int:
    """The rows of the whole file, if all are as long as the first ones; 0 if it cannot be read."""
    with suppress(OSError, EOFError, zlib.error):
        head, size = _packed_head(path) if path.name.lower().endswith(".gz") else _head(path)
        rows = head.count(b"\n") if file_format == "csv" else _customers(head)
        return round(max(rows, 1) * max(size / len(head), 1)) if head else 0
    return 0


def _head(path: Path) -> tuple[bytes, int]:
    """The first bytes, and the size of the file."""
    with open(path, "rb") as file:
        return file.read(_HEAD_BYTES), path.stat().st_size


def _packed_head(path: Path) -> tuple[bytes, int]:
    """The same of the unpacked file: gzip writes its size, up to 4 GiB, at the end."""
    with open(path, "rb") as file:
        file.seek(-_LENGTH_BYTES, 2)
        size = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    with gzip.open(path, "rb") as unpacked:
        return unpacked.read(_HEAD_BYTES), size


def _customers(head: bytes) -> int:
    """The objects that lie directly in the outermost array of objects; without one the outermost objects."""
    opened: list[bytes] = []
    in_arrays: Counter[int] = Counter()
    outermost = 0
    for found in _MARK.finditer(head):
        mark = found[0]
        if mark in (b"[", b"{"):
            opened.append(mark)
        elif mark in (b"]", b"}") and opened and opened.pop() == b"{":
            outermost += not opened
            in_arrays[len(opened)] += opened[-1:] == [b"["]
    arrays = [depth for depth, objects in in_arrays.items() if objects]
    # In JSON Lines a customer may have arrays of its own.
    return outermost if outermost > 1 or not arrays else in_arrays[min(arrays)]
