"""The part of a JSON document that the engine reads by itself: the bytes inside the array of customers.

``{"customers": [ … ]}`` becomes ``[ … ]`` this way, in bounded memory whatever the size: DuckDB would else
have to hold the one object whole, and stops at 4 GiB.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from service.model import Layout
from service.readers.json_stream import MAX_DEPTH
from service.readers.text_end import open_text

_HEAD_BYTES = 1 << 20
_STEP_BYTES = 1 << 16
_FEW_BYTES = 1 << 14
"""Of most files, they open fewer levels than one element may have."""
_SMALLEST_PART_BYTES = 8 << 20
# Not \s: a form feed is not a blank in JSON.
_OBJECT_END = re.compile(rb"\][ \t\r\n]*\}[ \t\r\n]*\Z")
_ARRAY_END = re.compile(rb"\][ \t\r\n]*\Z")
_ONE_BRACKET = bytes.maketrans(b"]", b"}")
_BLANKS = rb"[ \t\r\n]*"
_FIRST_MEMBER = re.compile(rb'[ \t\r\n]*\{([ \t\r\n]*"[^"\\]{1,100}"[ \t\r\n]*:)')
_LAX = re.compile(rb",\}|:-0[,}]")
_NOT_A_NUMBER = re.compile(rb"[:\[,]-?(?:nan|inf(?:inity)?)[,}]", re.IGNORECASE)
_LONGEST_MATCH = len(b":-infinity}")
_BEFORE_A_VALUE = np.isin(np.arange(256), list(b":[,"))
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}["))
_MEMBER = r"[A-Za-z0-9_ $@/()&:#+\-]+"
_SIMPLE_PATH = re.compile(rf"(?:{_MEMBER}(?:\[\d{{1,6}}\])?\.)*{_MEMBER}")
# A member that may precede the array and needs no care: plain text, a number, true, false, null.
_PLAIN_MEMBER = (
    rb'"[ !#-\[\]-~]*"[ \t\r\n]*:[ \t\r\n]*'
    rb'(?:"[ !#-\[\]-~]*"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)[ \t\r\n]*,[ \t\r\n]*'
)


def has_simple_paths(layout: Layout) -> bool:
    """Whether the engine finds the paths as we do: plain names of members, and no element of an array at the end."""
    return all(_SIMPLE_PATH.fullmatch(path) for path in layout.paths)


def array_window(path: Path, rows_at: str) -> tuple[int, int] | None:
    """Offsets of the first byte inside the array of customers and of its closing bracket.

    None for a dotted path, and unless the document is a bare array, or ``{"customers": […]}`` with plain members
    before it only. The closing bracket is a good guess, not a proof: an engine that reads ``[`` + window + ``]``
    fails where it is wrong.
    """
    if re.search(r"[.\[]", rows_at):
        return None
    opens = re.compile(
        rb'(?:\xef\xbb\xbf)?[ \t\r\n]*(?:\{[ \t\r\n]*(?:%s){0,100}"%s"[ \t\r\n]*:[ \t\r\n]*)?\['
        % (_PLAIN_MEMBER, re.escape(rows_at.encode()))
    )
    with open_text(path) as file:
        opening = opens.match(file.read(_HEAD_BYTES))
        if opening is None:
            return None
        size = file.seek(0, 2)
        tail_at = max(opening.end(), size - _HEAD_BYTES)
        file.seek(tail_at)
        tail = file.read()
    closing = (_OBJECT_END if b"{" in opening[0] else _ARRAY_END).search(tail)
    return None if closing is None else (opening.end(), tail_at + closing.start())


def parts_of_window(path: Path, window: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """A window of ``array_window`` in up to ``count`` parts of about one size, each a window of its own.

    It is cut where an object begins like the first customer. This is a good guess: an engine that reads ``[`` + part +
    ``]`` fails where it is wrong.
    """
    start, end = window
    count = min(count, (end - start) // _SMALLEST_PART_BYTES)
    bounds = [start]
    with open_text(path) as file:
        file.seek(start)
        first = _FIRST_MEMBER.match(file.read(_STEP_BYTES))
        if first is None:
            return [window]
        begins = re.compile(rb"\}%s(,)%s\{%s" % (_BLANKS, _BLANKS, re.escape(first[1])))
        for number in range(1, count):
            at = start + (end - start) * number // count
            file.seek(at)
            between = begins.search(file.read(_HEAD_BYTES))
            # A customer larger than a part leads two cuts to one place.
            if between and at + between.start(1) > bounds[-1]:
                bounds += [at + between.start(1), at + between.end(1)]
    bounds.append(end)
    return list(zip(bounds[::2], bounds[1::2], strict=True))


class NeedsStrictParser(Exception):
    """The document may hold something that DuckDB reads as something else, without an error."""


class LaxJson:
    """Checks the bytes of one window, which are fed in order from its beginning.

    Suspicious are a comma before a closing bracket inside an element, a vertical tab or a form feed for a blank,
    -0 for 0, NaN and Infinity, and an element that may have more than ``MAX_DEPTH`` levels. The contents of texts are
    not distinguished: a text with such a comma is suspicious too.
    """

    def __init__(self) -> None:
        self._last = b""
        self._depth = 0
        """Levels of the element that are open, as far as texts do not mislead."""

    def feed(self, chunk: bytes) -> None:
        """Check the next bytes. Raises: NeedsStrictParser."""
        for at in range(0, len(chunk), _STEP_BYTES):
            dense = self._last + chunk[at : at + _STEP_BYTES].translate(_ONE_BRACKET, b" \t\r\n")
            if b"\v" in dense or b"\f" in dense or (_may_match(dense) and _LAX.search(dense)) or _holds_nan(dense):
                raise NeedsStrictParser
            self._refuse_deep(dense[len(self._last) :])
            self._last = dense[1 - _LONGEST_MATCH :]

    def _refuse_deep(self, dense: bytes) -> None:
        """Raises: NeedsStrictParser where an element may have too many levels."""
        is_opening = np.frombuffer(dense, np.uint8) | 32 == ord("{")
        for at in range(0, len(dense), _FEW_BYTES):
            part = dense[at : at + _FEW_BYTES]
            if self._depth + np.count_nonzero(is_opening[at : at + _FEW_BYTES]) >= MAX_DEPTH:
                self._refuse_deep_elements(part)
                continue
            begins = part.rfind(b"},{") + 2
            self._depth = _depth_after(part, self._depth) if begins < 2 else _depth_after(part[begins + 1 :], 0)

    def _refuse_deep_elements(self, dense: bytes) -> None:
        """Look at each element by itself. Raises: NeedsStrictParser."""
        first, *others = dense.split(b"},{")
        self._depth = _depth_after(first, self._depth)
        for part in others:
            if len(part) >= MAX_DEPTH:
                _depth_after(part, 0)
        if others:
            self._depth = _depth_after(others[-1], 0)


def _depth_after(part: bytes, depth: int) -> int:
    """How many levels are open after a part, of those and that many before it. Raises: NeedsStrictParser."""
    brackets = part.translate(None, _NO_BRACKETS)
    closing = brackets.count(b"}")
    if depth + len(brackets) - closing >= MAX_DEPTH:
        steps = np.where(np.frombuffer(brackets, np.uint8) == ord("}"), -1, 1)
        if depth + np.cumsum(steps).max() >= MAX_DEPTH:
            raise NeedsStrictParser
    return max(depth + len(brackets) - 2 * closing, 0)


def _may_match(dense: bytes) -> bool:
    """Whether ``,}`` or ``:-`` is there: numpy searches a file in a third of the time that ``re`` takes."""
    marks = np.frombuffer(dense, np.uint8)
    one, following = marks[:-1], marks[1:]
    is_sign = ((one == ord(",")) & (following == ord("}"))) | ((one == ord(":")) & (following == ord("-")))
    return bool(is_sign.any())


def _holds_nan(dense: bytes) -> bool:
    """Whether NaN or Infinity is there, which DuckDB accepts; ``re`` looks only where ``na`` or ``in`` is a value."""
    marks = np.frombuffer(dense, np.uint8)
    letters = marks | 32
    first, second = letters[1:-1], letters[2:]
    at = np.flatnonzero(((first == ord("n")) & (second == ord("a"))) | ((first == ord("i")) & (second == ord("n"))))
    at -= marks[at] == ord("-")
    return any(_NOT_A_NUMBER.match(dense, start) for start in at[_BEFORE_A_VALUE[marks[at]]].tolist())
