"""A few lines of a quarantined file around the place that its reason names: text only, bounded in every direction.

The file may be anything: packed, binary, one line without end, in another encoding.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from msgspec import Struct, structs

from service.documents import Reason
from service.files import open_file
from service.masters.set_files import why_unreadable
from service.printable import printable

_LINES_BESIDE = 3
_LINE_BYTES = 240
"""Shown of a line; of one with a named byte, half before it and half after."""
_WINDOW_BYTES = 1 << 16
_MOST_READ_BYTES = 256 << 20
_MOST_UNPACKED_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
_HEX_WIDTH, _HEX_LINES = 16, 16
_LINE = re.compile(r"\bline (\d{1,15})")
_BYTE = re.compile(r"\bbyte (\d{1,15})")
_GZIP = b"\x1f\x8b"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r\f\x1a\x1b")


class PreviewLine(Struct, frozen=True, kw_only=True):
    """One line; every character that is not printable is an escape."""

    number: int
    """Of the line; of a binary file that of its first byte here. From 1."""
    text: str
    rest: str = ""
    """What follows from the named byte on."""
    is_named: bool = False
    """Whether the reason names this line."""
    is_cut: bool = False
    """Whether it is longer than shown."""
    is_end: bool = False
    """Whether the reason names the end of the file, behind this line."""


class Preview(Struct, frozen=True, kw_only=True):
    """Some lines of one file. They may hold personal data."""

    file_name: str
    is_binary: bool = False
    lines: tuple[PreviewLine, ...] = ()
    note: str = ""
    """Why there are no lines, or what they are."""


@dataclass(frozen=True)
class Location:
    """Where in a batch the reason found something wrong."""

    file_name: str
    line: int | None
    byte: int | None
    """Position in the file, unpacked, from 1."""


def location_of(reason: Reason) -> Location | None:
    """The location that a reason names; None where it names no file."""
    where = f"{reason.where}, "
    names = [name for name in reason.inputs if f", {printable(name)}, " in f", {where}"]
    names = names or [name for name in reason.inputs if reason.message.startswith(f"{printable(name)}: ")]
    if not names:
        return None
    name = max(names, key=len)
    rest = where.rpartition(printable(name))[2]
    return Location(name, _number(_LINE, rest, reason.found), _number(_BYTE, rest, reason.found))


def preview(folder: Path, location: Location) -> Preview:
    """Lines of the file that ``location`` names, a few before and after it; its first lines where no line is named."""
    path, shown = folder / location.file_name, printable(location.file_name)
    try:
        with open_file(path) as file:
            window = _window(_Unpacked.of(file), location)
    except FileNotFoundError:
        return Preview(file_name=shown, note="the file is not there any more")
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return Preview(file_name=shown, note="the file cannot be unpacked up to this place")
    except OSError as error:
        return Preview(file_name=shown, note=why_unreadable(path, error))
    if window is None:
        return Preview(file_name=shown, note="the place is too far from the beginning of the file to be shown here")
    if not window.data:
        return Preview(file_name=shown, note="the file ends before this line" if window.offset else "the file is empty")
    if window.is_binary():
        return Preview(file_name=shown, is_binary=True, lines=tuple(window.hex_lines()))
    return Preview(file_name=shown, lines=tuple(window.lines()))


def _number(pattern: re.Pattern[str], *texts: str) -> int | None:
    found = next(filter(None, map(pattern.search, texts)), None)
    return int(found[1]) if found else None


class _Utf8(io.RawIOBase):
    """A text in UTF-16 as UTF-8."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = b""
        while not content and (chunk := self._file.read(max(2, len(buffer) // 3))):
            content = self._decoder.decode(chunk).encode()
        buffer[: len(content)] = content
        return len(content)


@dataclass(frozen=True)
class _Unpacked:
    """The text of a file as bytes: out of gzip, and in UTF-8 where it was UTF-16."""

    stream: BinaryIO
    most_bytes: int
    """That are read of it to reach a location."""
    can_seek: bool

    @classmethod
    def of(cls, file: BinaryIO) -> _Unpacked:
        stream, can_seek = cast("io.BufferedReader", file), True
        if stream.peek(2)[:2] == _GZIP:
            stream, can_seek = cast("io.BufferedReader", gzip.GzipFile(fileobj=file)), False
        if stream.peek(2)[:2] in _UTF_16:
            stream, can_seek = io.BufferedReader(_Utf8(stream)), False
        return cls(stream, _MOST_READ_BYTES if can_seek else _MOST_UNPACKED_BYTES, can_seek)

    def skip(self, count: int) -> bool:
        """Go to this position; False where that is too far."""
        if self.can_seek:
            self.stream.seek(count)
            return True
        if count > self.most_bytes:
            return False
        while count > 0 and (chunk := self.stream.read(min(count, _CHUNK_BYTES))):
            count -= len(chunk)
        return True

    def from_line(self, number: int) -> tuple[int, bytes] | None:
        """Where this line begins, and some bytes from there on; None where that is too far."""
        passed, left = 0, number - 1
        while passed < self.most_bytes and (chunk := self.stream.read(_CHUNK_BYTES)):
            breaks = chunk.count(b"\n")
            if breaks >= left:
                at = 0
                for _ in range(left):
                    at = chunk.index(b"\n", at) + 1
                return passed + at, chunk[at:] + self.stream.read(_WINDOW_BYTES)
            passed, left = passed + len(chunk), left - breaks
        return (passed, b"") if passed < self.most_bytes else None


@dataclass(frozen=True)
class _Window:
    """Bytes of a file around a location."""

    data: bytes
    offset: int
    """Of ``data`` in the file."""
    at: int
    """Where in ``data`` the named line begins, or the first one that is shown."""
    number: int
    """Of that line."""
    named_byte: int | None
    """In ``data``."""
    is_named: bool

    def is_binary(self) -> bool:
        sample = self.data[max(0, self.at - _LINE_BYTES) : self.at + 2 * _LINE_BYTES]
        controls = len(sample) - len(sample.translate(None, _CONTROLS))
        return b"\0" in sample or controls > len(sample) // 30

    def hex_lines(self) -> Iterator[PreviewLine]:
        begin = max(0, (self.named_byte or self.at) - 4 * _HEX_WIDTH) if self.named_byte is not None else self.at
        for start in range(begin, min(len(self.data), begin + _HEX_WIDTH * _HEX_LINES), _HEX_WIDTH):
            part = self.data[start : start + _HEX_WIDTH]
            letters = "".join(chr(code) if 32 <= code < 127 else "." for code in part)
            text = f"{part.hex(' '):<{3 * _HEX_WIDTH - 1}}  {letters}"
            is_named = self.named_byte is not None and start <= self.named_byte < start + _HEX_WIDTH
            yield PreviewLine(number=self.offset + start + 1, text=text, is_named=is_named)

    def lines(self) -> Iterator[PreviewLine]:
        before = self.data[: self.at].split(b"\n")[:-1]
        if self.offset and self.named_byte is not None:
            before = before[1:]  # the first is the end of a line
        before = before[-_LINES_BESIDE:]
        for number, raw in enumerate(before, self.number - len(before)):
            yield _shown_line(number, raw, None)
        after = self.data[self.at :].split(b"\n", _LINES_BESIDE + 1)[: _LINES_BESIDE + 1]
        for number, raw in enumerate(after, self.number):
            is_named = self.is_named and number == self.number
            byte = self.named_byte - self.at if is_named and self.named_byte is not None else None
            if raw or is_named or number < self.number + len(after) - 1:
                line = _shown_line(number, raw, byte, is_named=is_named)
                yield structs.replace(line, is_end=is_named and self.named_byte == len(self.data))


def _window(file: _Unpacked, location: Location) -> _Window | None:
    """None where the place is too far from the beginning of the file."""
    if location.byte is not None:
        begin = max(0, location.byte - 1 - _WINDOW_BYTES)
        if not file.skip(begin):
            return None
        data = file.stream.read(2 * _WINDOW_BYTES)
        named = min(location.byte - 1 - begin, len(data))
        return _Window(data, begin, data.rfind(b"\n", 0, named) + 1, location.line or 1, named, True)
    number = location.line or 1
    first = max(1, number - _LINES_BESIDE)
    found = file.from_line(first)
    if found is None:
        return None
    offset, data = found
    at = 0
    for _ in range(number - first):
        at = data.find(b"\n", at) + 1 or len(data)
    return _Window(data, offset, at, number, None, location.line is not None)


def _shown_line(number: int, raw: bytes, byte: int | None, *, is_named: bool = False) -> PreviewLine:
    raw = raw.removesuffix(b"\r")
    begin = max(0, byte - _LINE_BYTES // 2) if byte is not None else 0
    end = begin + _LINE_BYTES
    middle = min(byte, end) if byte is not None else end
    return PreviewLine(
        number=number,
        text=_text(raw[begin:middle]),
        rest=_text(raw[middle:end]),
        is_named=is_named,
        is_cut=begin > 0 or len(raw) > end,
    )


def _text(raw: bytes) -> str:
    """In UTF-8, of which a character may be cut at either end, else as Windows programs write."""
    for begin in range(4):
        for end in range(4):
            try:
                return printable(raw[begin : len(raw) - end].decode("utf-8"))
            except UnicodeDecodeError:
                pass
    return printable(raw.decode("cp1252", "replace"))
