"""The check that the bytes of a CSV file are text: no NUL bytes, no line without end; and whether they are UTF-8.

It runs on the bytes that a reader or the engine reads anyway, so it costs no pass over the file.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import InputError, UnreadableFile

MAX_LINE_BYTES = 16 << 20
_STEP_BYTES = 1 << 20
_NEWLINE = b"\n"
_UNDECODED = re.compile("[\udc80-\udcff]")


class Utf8Count:
    """Counts what the bytes of a file are in UTF-8: characters of several bytes, and bytes that are none."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        self.characters = 0
        """Of more than one byte."""
        self.invalid_bytes = 0

    def feed(self, chunk: bytes, *, final: bool = False) -> None:
        """Count the next bytes."""
        text = self._decoder.decode(chunk, final)
        if text.isascii():
            return
        self.invalid_bytes += (invalid := len(_UNDECODED.findall(text)))
        self.characters += len(text) - invalid - len(text.encode("ascii", errors="ignore"))

    @property
    def is_utf_8(self) -> bool:
        """Whether the file is UTF-8 but for a few bytes."""
        return not self.invalid_bytes or self.characters > self.invalid_bytes


class CsvBytes:
    """Checks the bytes of one file, which are fed in order from its beginning, or from the beginning of a row."""

    def __init__(self, encoding: str, at: int = 0) -> None:
        """``at``: the offset in the file of the first byte that is fed. Errors count lines from there."""
        self._may_hold_nul = encoding.startswith("utf-16")
        self._passed = at
        self._line = 1
        self._length = 0
        """Bytes of the line at hand."""

    def feed(self, chunk: bytes) -> None:
        """Check the next bytes.

        Raises: UnreadableFile for a NUL byte (a hole in a file reads as NUL bytes) and for a line longer than
        ``MAX_LINE_BYTES``, for which DuckDB takes gigabytes, or which it loses without an error.
        """
        at = 0
        while at < len(chunk):
            # Steps end at multiples of their size in the file, so that the result does not depend on the size of the
            # chunks, nor on where the first one begins.
            step = chunk[at : at + _STEP_BYTES - self._passed % _STEP_BYTES]
            self._check(step)
            self._passed += len(step)
            at += len(step)

    def _check(self, step: bytes) -> None:
        if not self._may_hold_nul and b"\0" in step:
            raise UnreadableFile(
                "the file holds NUL bytes; it is not CSV text",
                where=f"line {self._line + step[: step.index(0)].count(_NEWLINE)}",
                hint="export as CSV in UTF-8",
            )
        self._line += step.count(_NEWLINE)
        last_break = max(step.rfind(_NEWLINE), step.rfind(b"\r"))
        self._length = self._length + len(step) if last_break < 0 else len(step) - last_break - 1
        if self._length > MAX_LINE_BYTES:
            raise endless_row(self._line)


def endless_row(line: int) -> UnreadableFile:
    """The error for a row without end."""
    return UnreadableFile(
        f"a row is longer than {MAX_LINE_BYTES >> 20} MB", where=f"line {line}", hint="check that it is a CSV export"
    )


@contextmanager
def binary_faults_first(path: Path, encoding: str) -> Iterator[None]:
    """If the block refuses the file, check all of its bytes first: that it is binary explains other faults.

    Raises: UnreadableFile for what ``CsvBytes`` finds, else the error of the block.
    """
    try:
        yield
    except InputError:
        check = CsvBytes(encoding)
        with open(path, "rb") as file:
            while chunk := file.read(_STEP_BYTES):
                check.feed(chunk)
        raise
