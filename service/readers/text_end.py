"""Where the text of a file ends: DOS programs end it with Ctrl-Z, and may fill the last block with more of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

_TAIL_BYTES = 1 << 16
_CTRL_Z = b"\x1a"
_BLANKS = b" \t\r\n\x1a"


def text_end(path: Path, *, unit_bytes: int = 1) -> int:
    """The offset behind the text: before the Ctrl-Z at its end, else the size of the file.

    ``unit_bytes``: the size of a character, 2 in UTF-16.
    """
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - _TAIL_BYTES)
        file.seek(start)
        tail = file.read()
    blanks = _BLANKS + b"\0" if unit_bytes > 1 else _BLANKS
    text = tail.rstrip(blanks)
    if _CTRL_Z not in tail[len(text) :]:
        return size
    # The line break of the last row stays, and in UTF-16 the whole of its last character.
    end = start + len(text) + tail[len(text) :].index(_CTRL_Z)
    return end - end % unit_bytes


class TextFile(io.RawIOBase):
    """The bytes of a file up to the end of its text."""

    def __init__(self, path: Path, end: int | None = None) -> None:
        self._end = text_end(path) if end is None else end
        self._file = io.FileIO(path)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        start = (0, self._at, self._end)[whence]
        self._at = min(self._end, start + offset)
        return self._file.seek(self._at)

    def readinto(self, buffer: Any) -> int:
        length = self._file.readinto(memoryview(buffer)[: self._end - self._at]) or 0
        self._at += length
        return length

    def close(self) -> None:
        self._file.close()
        super().close()


def open_text(path: Path) -> io.BufferedReader:
    """The bytes of a file up to the end of its text."""
    return io.BufferedReader(TextFile(path))
