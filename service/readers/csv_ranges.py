"""A CSV file in ranges that begin and end at ends of rows, so that each can be read by itself.

A line end ends a row where it is outside quotes: where the number of quotes before it is even. A quote inside a cell
that has none around it makes this wrong, and the engine reads such a cell. It does no harm: the first range that ends
at a wrong place begins at a right one, and is read as in the whole file up to its end. That end is inside quotes, and a
file that ends inside quotes is refused. So if no range is refused, all of them begin and end right.

A file with several kinds of line breaks is not cut: the engine takes one kind for that of all lines, and in a range it
would not see the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

from service.readers.csv_sniff import HEAD_BYTES

_STEP_BYTES = 1 << 20
_FIRST_LINE = re.compile(rb"[^\r\n]*(?:\r\n?|\n)?")
_MARK = re.compile(rb'["\n]')

Range = tuple[int, int]
"""The offsets of its first byte and behind its last."""


def first_line(path: Path) -> bytes:
    """The first line of a file, with its line break."""
    with open(path, "rb") as file:
        found = _FIRST_LINE.match(file.read(HEAD_BYTES))
    assert found is not None, "it matches nothing, too"
    return found[0]


def of_size(start: int, end: int, size: int) -> list[Range]:
    """The bytes from ``start`` to ``end`` in ranges of ``size`` bytes, wherever they begin; one at least."""
    return list(pairwise([*range(start, max(end, start + 1), size), end]))


class Marks(NamedTuple):
    """Counts of the bytes that matter for the ends of rows, in a range of a file."""

    quotes: int
    feeds: int
    returns: int
    pairs: int
    """Of a return and a feed."""


def marks_in(path: Path, within: Range) -> Marks:
    """The counts of a range; a pair belongs to the range in which it begins."""
    start, end = within
    counts = []
    with open(path, "rb") as file:
        file.seek(start)
        chunk = file.read(min(_STEP_BYTES, end - start))
        while chunk:
            start += len(chunk)
            following = file.read(min(_STEP_BYTES, end - start)) or file.read(1)
            pairs = chunk.count(b"\r\n") + (chunk[-1:] + following[:1] == b"\r\n")
            counts.append(Marks(chunk.count(b'"'), chunk.count(b"\n"), chunk.count(b"\r"), pairs))
            chunk = following if start < end else b""
    return Marks(*map(sum, zip(*counts, strict=True))) if counts else Marks(0, 0, 0, 0)


def have_one_line_break(header: bytes, marks: Sequence[Marks]) -> bool:
    """Whether all line breaks in a file are of the kind that its first line has."""
    _, feeds, returns, pairs = map(sum, zip(*marks, strict=True))
    if header.endswith(b"\r\n"):
        return feeds == returns == pairs
    return returns == 0 if header.endswith(b"\n") else feeds == 0


def ending_with_rows(path: Path, ranges: Sequence[Range], marks: Sequence[Marks]) -> list[Range]:
    """The same bytes in ranges that begin after the first end of a row in each of ``ranges``, which have these marks.

    The first one begins at its beginning. A range in which no row ends becomes a part of the one before it; so does
    each whose lines end with ``\\r`` alone.
    """
    before = accumulate(it.quotes for it in marks)
    found = (_row_begin(path, it, is_quoted=count % 2 == 1) for it, count in zip(ranges[1:], before, strict=False))
    end = ranges[-1][1]
    begins = [ranges[0][0], *(at for at in found if at is not None and at < end)]
    return list(pairwise([*begins, end]))


def _row_begin(path: Path, within: Range, *, is_quoted: bool) -> int | None:
    """The offset behind the first end of a row; ``is_quoted``: whether the range begins inside quotes."""
    start, end = within
    with open(path, "rb") as file:
        file.seek(start)
        while chunk := file.read(min(_STEP_BYTES, end - start)):
            for mark in _MARK.finditer(chunk):
                if mark[0] == b'"':
                    is_quoted = not is_quoted
                elif not is_quoted:
                    return start + mark.end()
            start += len(chunk)
    return None
