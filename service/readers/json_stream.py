"""A strict JSON parser that reads a document of any size in bounded memory, element by element.

It gives the elements of the array of customers, or of JSON Lines, and alone says at which line and byte a document
is malformed.
Source: docs/specification.md section 3
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

from service.errors import InputError, UnreadableFile
from service.readers.json_paths import as_text, rows_in
from service.rows_path import RowsPath, rows_path

CHUNK_BYTES = 1 << 20
MAX_ELEMENT_CHARACTERS = 16 << 20
# Members before the array of customers are kept, for they may turn out to be the first of JSON Lines.
MAX_MEMBERS = 10_000
MAX_DEPTH = 500
"""How deep a value may be nested. Less than any Python parses, so that it does not matter which reader reads it."""
_CUT_SHORT = re.compile(r"(?:-|t|tr|tru|f|fa|fal|fals|n|nu|nul|\\u?[0-9A-Fa-f]{0,3})?\s*")
_BLANKS = re.compile(r"[ \t\n\r]+")
_TOO_LONG = f"a value is longer than {MAX_ELEMENT_CHARACTERS >> 20} MB, or has no end"
_TOO_DEEP = f"a value is nested too deeply, in more than {MAX_DEPTH} levels"
_HINT = "export it again and drop it again"
_NAME_OF_A_MEMBER = re.compile(r"[A-Za-z_][A-Za-z_-]{0,40}")


@dataclass(frozen=True)
class Expected:
    """Where the customers of a document are expected."""

    rows_at: str
    """See ``service.rows_path``."""
    is_customer: Callable[[Any], bool]
    """Whether a single object is a line of JSON Lines."""
    hint: Callable[[Mapping[str, Any]], str]
    """What to do about a document with these members, in which there are no customers."""

    @property
    def path(self) -> RowsPath:
        """The parsed path."""
        return rows_path(self.rows_at)


def elements(file: BinaryIO, expected: Expected) -> Iterator[Any]:
    """The customers of a document, or of JSON Lines; None for an element that has none at ``RowsPath.inside``.

    Numbers come as text, as written; of repeated members the first counts.
    Raises: UnreadableFile with line and byte for a truncated or malformed document, or one without customers.
    """
    text = _Stream(file)
    match text.peek():
        case "":
            _refuse("the file is empty" if text.size_bytes == 0 else "the file holds blanks only", text)
        case "[":
            # A bare array holds customers; the steps inside its elements count only where rows_at is such a path.
            inside = expected.path.inside if not expected.path.members else ()
            for element in _array(text):
                yield from rows_in(element, inside)
            _at_end(text)
        case "{":
            yield from _ObjectOrLines(text, expected).customers()
        case _:
            _refuse("the document is not a JSON object or array", text)


def members_before(file: BinaryIO, rows_at: str) -> dict[str, str]:
    """Member name -> text, for the scalar members before the array of customers; {} if there is no such array."""
    text = _Stream(file)
    found: dict[str, Any] = {}
    top = rows_path(rows_at).members[:1] or ("",)
    with suppress(InputError):  # the read of the whole document reports what is malformed
        while text.peek() == ("," if found else "{"):
            text.expect(text.peek())
            name = _member_name(text)
            if name in (rows_at, *top) and text.peek() in "[{":
                return {name: shown for name, value in found.items() if (shown := as_text(value)) is not None}
            found.setdefault(name, text.value())
    return {}  # an array, or JSON Lines: the members belong to customers


def _array(text: _Stream) -> Iterator[Any]:
    text.expect("[")
    if text.peek() == "]":
        text.expect("]")
        return
    while True:
        yield text.value()
        if text.peek() == "]":
            text.expect("]")
            return
        text.expect(",")


class _ObjectOrLines:
    """``{"customers": […], …}``, or JSON Lines: the end of the first object shows which."""

    def __init__(self, text: _Stream, expected: Expected) -> None:
        self._text = text
        self._expected = expected
        self._is_found = False
        self._members = 0

    def customers(self) -> Iterator[Any]:
        """See ``elements``."""
        text = self._text
        first: dict[str, Any] = {}
        yield from self._object(first, self._expected.path.members)
        if self._is_found:
            _at_end(text)
        elif text.peek() == "" and not self._expected.is_customer(first):
            self._refuse_without_customers("", first)
        else:
            yield first
            while text.peek():
                yield text.value()

    def _object(self, first: dict[str, Any], steps: tuple[str, ...]) -> Iterator[Any]:
        """The customers inside the object that comes next; ``first`` gets its other members."""
        text = self._text
        text.expect("{")
        is_first = True
        while text.peek() != "}":
            if not is_first:
                text.expect(",")
            is_first = False
            self._members += 1
            name = _member_name(text)
            rest = self._rest_of(name, steps)
            if rest == () and text.peek() == "[":
                if self._is_found:
                    _refuse(f'there is more than one member "{self._expected.rows_at}"', text)
                self._is_found, first[name] = True, None
                for element in _array(text):
                    yield from rows_in(element, self._expected.path.inside)
            elif rest and text.peek() == "{":
                inner: dict[str, Any] = {}
                yield from self._object(inner, rest)
                first.setdefault(name, inner)
            elif not self._is_found:
                self._keep(name, first)
            else:
                text.value()
        text.expect("}")

    def _rest_of(self, name: str, steps: tuple[str, ...]) -> tuple[str, ...] | None:
        """The steps behind this member on the way to the customers; None if it is not on the way."""
        if name == self._expected.rows_at and steps == self._expected.path.members:
            return ()  # a name with a full stop in it
        return steps[1:] if steps and steps[0] == name else None

    def _keep(self, name: str, first: dict[str, Any]) -> None:
        text = self._text
        is_array = text.peek() == "["
        try:
            first.setdefault(name, text.value())
        except UnreadableFile as error:
            if is_array and error.message == _TOO_LONG:
                self._refuse_without_customers("", first | {name: [{}]})
            raise
        if self._members > MAX_MEMBERS or text.passed_bytes > MAX_ELEMENT_CHARACTERS:
            self._refuse_without_customers("at the beginning, where it must be", first)

    def _refuse_without_customers(self, where: str, members: Mapping[str, Any]) -> NoReturn:
        # Members whose names look like addresses or ids are not quoted.
        named = [name for name in members if _NAME_OF_A_MEMBER.fullmatch(name)][:20]
        raise UnreadableFile(
            f'there is no array "{self._expected.rows_at}" {where}'.rstrip(),
            where=self._text.position(),
            found=", ".join(named),
            hint=f"{self._expected.hint(members)}, and drop it again",
        )


def _member_name(text: _Stream) -> str:
    name = text.value()
    if not isinstance(name, str):
        _refuse("a member's name must be text", text)
    text.expect(":")
    return name


def _at_end(text: _Stream) -> None:
    if text.peek():
        _refuse("there is text after the end of the document", text)


def _refuse(what: str, text: _Stream) -> NoReturn:
    raise UnreadableFile(what, where=text.position(), hint=_HINT)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _first_wins(members: list[tuple[str, Any]]) -> dict[str, Any]:
    # As in the engine, so that a file has the same content for both readers.
    return dict(reversed(members))


# Numbers are kept as written: 12345678901234567890123 and 1.50 are texts here.
_DECODER = json.JSONDecoder(object_pairs_hook=_first_wins, parse_float=str, parse_int=str, parse_constant=_no_constant)


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _encoding(head: bytes) -> tuple[str, int]:
    """Encoding by byte order mark, and the length of the mark."""
    marks = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
    return next(((name, len(mark)) for mark, name in marks.items() if head.startswith(mark)), ("utf-8", 0))


class _Stream:
    """The values and marks of a JSON text, read in chunks; knows line and byte of its position."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        encoding, self._byte = _encoding(file.read(3))
        file.seek(self._byte)
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._text = ""
        self._at = 0
        self._ended = False
        self._line = 1
        self.size_bytes = 0

    def peek(self) -> str:
        """The next character that is not blank, or "" at the end."""
        while True:
            if self._at == len(self._text):
                if not self._more():
                    return ""
            elif blanks := _BLANKS.match(self._text, self._at):
                self._at = blanks.end()
            else:
                return self._text[self._at]

    def expect(self, mark: str) -> None:
        """Step over ``mark``, which must come next."""
        found = self.peek()
        if found != mark:
            what = "the document ends too early" if not found else "the document is malformed"
            _refuse(f'{what}: "{mark}" is missing', self)
        self._at += 1

    def value(self) -> Any:
        """The next JSON value, whole."""
        if not self.peek():
            _refuse("the document ends too early (it is truncated)", self)
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                ahead = error.pos - self._at
                is_large = len(self._text) - self._at > MAX_ELEMENT_CHARACTERS
                if is_large and ("Unterminated" in error.msg or ahead > MAX_ELEMENT_CHARACTERS):
                    _refuse(_TOO_LONG, self)
                if is_large or not self._more():
                    self._complain(error.msg, ahead)
            except ValueError:
                _refuse("the document is malformed: NaN and Infinity are not JSON numbers", self)
            except RecursionError:
                _refuse(_TOO_DEEP, self)
            else:
                length = end - self._at
                if self._is_whole(length):
                    self._step_over(length, value)
                    return value

    def _is_whole(self, length: int) -> bool:
        """Whether a value of this length ends here: a number may continue in the next chunk, also after "." or "e+"."""
        if length > MAX_ELEMENT_CHARACTERS:
            _refuse(_TOO_LONG, self)
        return self._at + length + 2 < len(self._text) or not self._more()

    def _step_over(self, length: int, value: Any) -> None:
        if length > 2 * MAX_DEPTH and _is_too_deep(value):
            _refuse(_TOO_DEEP, self)
        self._at += length

    @property
    def passed_bytes(self) -> int:
        """The number of bytes before the chunk at hand."""
        return self._byte

    def position(self) -> str:
        """Line and byte of the position, from 1."""
        passed = self._text[: self._at]
        return f"line {self._line + passed.count(chr(10))}, byte {self._byte + self._bytes(passed) + 1}"

    def _complain(self, what: str, ahead: int) -> NoReturn:
        self._at = min(self._at + ahead, len(self._text))
        is_cut_short = "Unterminated" in what or _CUT_SHORT.fullmatch(self._text, self._at)
        truncated = self._ended and is_cut_short
        _refuse(
            "the document ends too early (it is truncated)" if truncated else "the document is malformed",
            self,
        )

    def _more(self) -> bool:
        """Append another chunk to the rest; False at the end of the file."""
        if self._ended:
            return False
        # As much again as is left, so that a large element is not parsed again for every small chunk.
        chunk = self._file.read(max(CHUNK_BYTES, len(self._text) - self._at))
        self._ended = not chunk
        self.size_bytes += len(chunk)
        passed = self._text[: self._at]
        self._line += passed.count("\n")
        self._byte += self._bytes(passed)
        self._text = self._text[self._at :]
        self._at = 0
        try:
            self._text += self._decoder.decode(chunk, final=self._ended)
        except UnicodeDecodeError as error:
            self._text += error.object[: error.start].decode(self._encoding, errors="ignore")
            self._at = len(self._text)
            _refuse("the document is not UTF-8 text", self)
        return not self._ended

    def _bytes(self, text: str) -> int:
        return len(text.encode(self._encoding, errors="surrogatepass"))
