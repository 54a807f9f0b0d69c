"""What a delivered JSON file is, and the careful way to read it: a stream of elements, in bounded memory.

The engine reads the plain shapes by itself, through a window onto the array. This module finds that window,
and reads what the engine refuses: JSON Lines, members after the array, elements of the wrong type. It
is strict JSON, and it alone says at which line and byte a document goes wrong. Rules: CONTRACT section 3.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from service.errors import InputError, UnreadableFile
from service.model import Layout, Source
from service.readers.rows import RawRow, RejectedRow

_CHUNK_BYTES = 1 << 20
_GLANCE_BYTES = 1 << 16
MAX_ELEMENT_CHARACTERS = 16 << 20
# What may stand before the array of customers: it is kept, for it may turn out to be the first of JSON Lines.
MAX_MEMBERS = 10_000
MAX_DEPTH = 500
"""How deep a value may be nested. Below what any Python parses, so that it does not matter who reads the file."""
LOOKED_AT = 500
"""So many elements are looked at to find the layout that a document is written in."""
# Not \s: a form feed is no blank in JSON.
_OBJECT_END = re.compile(rb"\][ \t\r\n]*\}[ \t\r\n]*\Z")
_ARRAY_END = re.compile(rb"\][ \t\r\n]*\Z")
_ONE_BRACKET = bytes.maketrans(b"]", b"}")
_UNTOLD = re.compile(rb",\}|:-0[,}]")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_CUT_SHORT = re.compile(r"(?:-|t|tr|tru|f|fa|fal|fals|n|nu|nul|\\u?[0-9A-Fa-f]{0,3})?\s*")
_MEMBER = r"[A-Za-z0-9_ $@/()&:#+\-]+"
_SIMPLE_PLACE = re.compile(rf"(?:{_MEMBER}(?:\[\d{{1,6}}\])?\.)*{_MEMBER}")
# A member that may stand before the array and needs no care: plain text, a number, true, false, null.
_PLAIN_MEMBER = (
    rb'"[ !#-\[\]-~]*"[ \t\r\n]*:[ \t\r\n]*'
    rb'(?:"[ !#-\[\]-~]*"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)[ \t\r\n]*,[ \t\r\n]*'
)
_BLANKS = re.compile(r"[ \t\n\r]+")
_TOO_LONG = f"a value is longer than {MAX_ELEMENT_CHARACTERS >> 20} MB, or has no end"
_TOO_DEEP = f"a value is nested too deeply, in more than {MAX_DEPTH} levels"
_HINT = "export it again and drop it again"
_NAME_OF_A_MEMBER = re.compile(r"[A-Za-z_][A-Za-z_-]{0,40}")


def layout_of(path: Path, source: Source) -> tuple[Layout, tuple[str, ...]]:
    """The layout that the first customers of the document are written in, and the places of it that they have.

    The source's own layout where none fits.
    """
    one_for_each = {layout.rows_at: layout for layout in source.layouts}
    heads = {rows_at: _first_elements(path, layout) for rows_at, layout in one_for_each.items()}
    layout = source.layout_of(lambda it: _places_in(heads[it.rows_at], it))
    return layout, _places_in(heads[layout.rows_at], layout)


def _first_elements(path: Path, layout: Layout) -> list[Any]:
    """The customers that the first chunk of the document holds whole; what is broken in it is told by who reads on."""
    with open(path, "rb") as file:
        head = io.BytesIO(file.read(_CHUNK_BYTES))
    found: list[Any] = []
    with suppress(InputError):
        for element in islice(_elements(head, layout, lambda first: True), LOOKED_AT):
            found.append(element)  # what came before the break counts
    return found


def members_before(path: Path, rows_at: str) -> dict[str, str]:
    """The texts, numbers, trues and falses that stand before the array of customers, in the document's first chunk."""
    with open(path, "rb") as file:
        text = _Stream(io.BytesIO(file.read(_CHUNK_BYTES)))
    found: dict[str, Any] = {}
    with suppress(InputError):  # what is broken is told by who reads on
        while text.peek() == ("," if found else "{"):
            text.expect(text.peek())
            name = _member_name(text)
            if name == rows_at and text.peek() == "[":
                return {name: shown for name, value in found.items() if (shown := _as_text(value)) is not None}
            found.setdefault(name, text.value())
    return {}  # an array, or lines: what stands there are customers


def has_simple_places(layout: Layout) -> bool:
    """Whether an engine finds them as we do: plain names of members, and no element of an array at their end."""
    return all(_SIMPLE_PLACE.fullmatch(place) for place in layout.paths)


def _places_in(elements: Iterable[Any], layout: Layout) -> tuple[str, ...]:
    found = {place for element in elements for place in _paths_of(element, layout)}
    return tuple(place for place in layout.paths if place in found)


def _paths_of(element: Any, layout: Layout) -> set[str]:
    return {place for place in layout.paths if _at(element, place) is not None}


def array_window(path: Path, rows_at: str) -> tuple[int, int] | None:
    """Offsets of the first byte inside the array of customers and of its closing bracket.

    None where head or tail are not those of ``{"customers": […]}``, with plain members before it, or of a bare
    array. The closing bracket is
    a good guess, not a proof: an engine that reads ``[`` + window + ``]`` fails loudly where it is wrong.
    """
    opens = re.compile(
        rb'(?:\xef\xbb\xbf)?[ \t\r\n]*(?:\{[ \t\r\n]*(?:%s){0,100}"%s"[ \t\r\n]*:[ \t\r\n]*)?\['
        % (_PLAIN_MEMBER, re.escape(rows_at.encode()))
    )
    with open(path, "rb") as file:
        opening = opens.match(file.read(_CHUNK_BYTES))
        if opening is None:
            return None
        size = file.seek(0, 2)
        tail_at = max(opening.end(), size - _CHUNK_BYTES)
        file.seek(tail_at)
        tail = file.read()
    closing = (_OBJECT_END if b"{" in opening[0] else _ARRAY_END).search(tail)
    return None if closing is None else (opening.end(), tail_at + closing.start())


def may_be_lax(path: Path, window: tuple[int, int]) -> bool:
    """Whether something stands in the window that DuckDB takes for something else, without a trace.

    That is a comma before a closing bracket inside an element, a vertical tab or a form feed for a blank, and -0 for
    0. Texts are not told apart, so a text with such a comma is suspected too: the careful reader knows.
    """
    start, end = window
    with open(path, "rb") as file:
        file.seek(start)
        last = b""
        while chunk := file.read(min(_GLANCE_BYTES, end - file.tell())):
            dense = last + chunk.translate(_ONE_BRACKET, b" \t\r\n")
            if b"\v" in dense or b"\f" in dense or (_has_a_sign_of_it(dense) and _UNTOLD.search(dense)):
                return True
            last = dense[-3:]  # all but one byte of the longest
    return False


def _has_a_sign_of_it(dense: bytes) -> bool:
    """Whether ``,}`` or ``:-`` is there: numpy looks through a file in a third of the time that ``re`` takes."""
    marks = np.frombuffer(dense, np.uint8)
    one, following = marks[:-1], marks[1:]
    is_sign = ((one == ord(",")) & (following == ord("}"))) | ((one == ord(":")) & (following == ord("-")))
    return bool(is_sign.any())


def careful_rows(path: Path, layout: Layout) -> Iterator[RawRow | RejectedRow]:
    """Every element of the customers' array (or line), in order, as cells or as a reject.

    Raises: UnreadableFile with line and byte for a truncated or malformed document, or one that holds no
    customers in a known place.
    """
    with open(path, "rb") as file:
        elements = _elements(file, layout, lambda first: not layout.lacking(_paths_of(first, layout)))
        yield from _rows(elements, layout)


def _rows(elements: Iterable[Any], layout: Layout) -> Iterator[RawRow | RejectedRow]:
    for row_number, element in enumerate(elements, start=1):
        if not isinstance(element, dict):
            yield RejectedRow(row_number, "not_an_object", f"element {row_number} is no JSON object")
            continue
        cells = tuple(_text_at(element, place) for place in layout.paths)
        halved = (at for at, cell in zip(layout.paths, cells, strict=True) if cell and _HALF_CHARACTER.search(cell))
        if at_fault := next(halved, None):
            why = f"element {row_number} holds half of a surrogate pair"
            yield RejectedRow(row_number, "undecodable", why, column=at_fault)
        else:
            yield row_number, cells


@cache
def steps_to(place: str) -> tuple[str | int, ...]:
    """The way to a place: names of members and numbers of elements.

    >>> steps_to("addresses[0].telephone")
    ('addresses', 0, 'telephone')
    """
    found = re.findall(r"\[(\d+)\]|([^.\[\]]+)", place)
    return tuple(int(number) if number else name for number, name in found)


def _at(element: Any, place: str) -> Any:
    """What stands at a place; None where it, or the way to it, is not there."""
    value = element
    for step in steps_to(place):
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _text_at(element: dict[str, Any], place: str) -> str | None:
    return _as_text(_at(element, place))


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def _elements(file: BinaryIO, layout: Layout, is_customer: Callable[[Any], bool]) -> Iterator[Any]:
    """The elements of the array of customers, or the lines; a lone object is a line if it is a customer."""
    text = _Stream(file)
    match text.peek():
        case "":
            _refuse("the file is empty" if text.size_bytes == 0 else "the file holds blanks only", text)
        case "[":
            yield from _array(text)
            _at_end(text)
        case "{":
            yield from _object_or_lines(text, layout, is_customer)
        case _:
            _refuse("the document is no JSON object or array", text)


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


def _object_or_lines(text: _Stream, layout: Layout, is_customer: Callable[[Any], bool]) -> Iterator[Any]:
    """``{"customers": […], …}``, or JSON Lines: which of the two shows when the first object ends."""
    text.expect("{")
    first: dict[str, Any] = {}
    found = False
    members = 0
    while text.peek() != "}":
        if members:
            text.expect(",")
        members += 1
        name = _member_name(text)
        if name == layout.rows_at and text.peek() == "[":
            if found:
                _refuse(f'"{layout.rows_at}" stands twice', text)
            found, first[name] = True, None
            yield from _array(text)
        elif not found:
            first.setdefault(name, text.value())
            if members > MAX_MEMBERS or text.passed_bytes > MAX_ELEMENT_CHARACTERS:
                _refuse_without_customers("where it should stand, at the beginning", first, layout, text)
        else:
            text.value()
    text.expect("}")
    if found:
        _at_end(text)
    elif text.peek() == "" and not is_customer(first):
        _refuse_without_customers("", first, layout, text)
    else:
        yield first
        while text.peek():
            yield text.value()


def _member_name(text: _Stream) -> str:
    name = text.value()
    if not isinstance(name, str):
        _refuse("a member's name must be text", text)
    text.expect(":")
    return name


def _at_end(text: _Stream) -> None:
    if text.peek():
        _refuse("something stands after the end of the document", text)


def _refuse(what: str, text: _Stream) -> NoReturn:
    raise UnreadableFile(what, where=text.position(), hint=_HINT)


def _refuse_without_customers(place: str, members: Mapping[str, Any], layout: Layout, text: _Stream) -> NoReturn:
    # What is keyed by addresses or ids is not quoted.
    named = [name for name in members if _NAME_OF_A_MEMBER.fullmatch(name)][:20]
    hint = "export the customers again, or name the member that holds them as rows_at in service.toml"
    if layout.page:
        hint = f'put them into "{layout.rows_at}", or into an array by themselves, as {layout.page} says'
    raise UnreadableFile(
        f'there is no array "{layout.rows_at}" {place}'.rstrip(),
        where=text.position(),
        found=", ".join(named),
        hint=f"{hint}, and drop it again",
    )


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _first_wins(members: list[tuple[str, Any]]) -> dict[str, Any]:
    # As the engine has it, so that a file means the same whoever reads it.
    return dict(reversed(members))


# Numbers stay as written: 12345678901234567890123 and 1.50 are texts to us.
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
    """Values and marks of a JSON text, read in chunks; knows its line and byte."""

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
                _refuse("the document is malformed: NaN and Infinity are no JSON numbers", self)
            except RecursionError:
                _refuse(_TOO_DEEP, self)
            else:
                length = end - self._at
                if self._is_whole(length):
                    self._step_over(length, value)
                    return value

    def _is_whole(self, length: int) -> bool:
        """Whether a value of this length ends here: a number may go on in the next chunk, also behind "." or "e+"."""
        if length > MAX_ELEMENT_CHARACTERS:
            _refuse(_TOO_LONG, self)
        return self._at + length + 2 < len(self._text) or not self._more()

    def _step_over(self, length: int, value: Any) -> None:
        if length > 2 * MAX_DEPTH and _is_too_deep(value):
            _refuse(_TOO_DEEP, self)
        self._at += length

    @property
    def passed_bytes(self) -> int:
        """How much of the file lies behind us, but for the last chunk."""
        return self._byte

    def position(self) -> str:
        """Line and byte, from 1, of where we stand."""
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
        """Read another chunk behind what is left; False at the end of the file."""
        if self._ended:
            return False
        # As much again as is waiting, so that a large element is not parsed anew for every small chunk.
        chunk = self._file.read(max(_CHUNK_BYTES, len(self._text) - self._at))
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
