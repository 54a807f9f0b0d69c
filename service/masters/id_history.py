"""What became of a unified id over the batches: read from the CSV files of the kept sets, which are in its order."""

from __future__ import annotations

import csv
import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal, get_args

from msgspec import Struct

from service import unified_ids
from service.files import open_file
from service.folders import OutboxFolders
from service.ledger import Entry

MOST_SCANNED_BYTES = 96 << 20
"""So much of ``id_changes.csv`` is searched for other customers' changes that mention the id; about 0.1 s."""
MOST_SETS = 1000
"""So many sets are searched; about 0.1 s more."""
MOST_EVENTS = 200
_CHUNK_BYTES = 1 << 20
_MOST_LINE_BYTES = 64 << 10
_MOST_SKIPPED_BYTES = 64 << 20
"""Of a longer line than any customer's: the file is not ours, and may be without end."""
_COLUMNS = 5
_OWN_NUMBER = re.compile(rb"(?:CUST)?([0-9]{1,18}),")

IdChange = Literal["created", "merged", "split", "retired", "revived"]
CustomerState = Literal["live", "merged", "retired"]
_CHANGES: tuple[IdChange, ...] = get_args(IdChange)


class IdEvent(Struct, frozen=True, kw_only=True):
    """A change of a batch that concerns the id: a row of its ``id_changes.csv``."""

    batch_id: str
    published_at: str | None
    change: IdChange
    unified_id: str
    """The customer that changed."""
    from_ids: tuple[str, ...]
    to_ids: tuple[str, ...]


class IdHistory(Struct, frozen=True, kw_only=True):
    """All that the kept sets say about an id."""

    events: tuple[IdEvent, ...] = ()
    """The latest first."""
    is_whole: bool = True
    """False where older sets are too many, or too large to search for changes of others that mention the id."""


def number_of(unified_id: str) -> int | None:
    """The number in a unified id; None if it is none.

    >>> number_of("CUST007"), number_of("CUST7")
    (7, None)
    """
    number = unified_ids.number_in(unified_id)
    return number if number is not None and unified_ids.unified_id(number) == unified_id else None


def history_of(unified_id: str, outbox: OutboxFolders, kept: Iterable[Entry]) -> IdHistory:
    """The changes that concern an id, from the ``id_changes.csv`` of the sets, the latest first."""
    events: list[IdEvent] = []
    left, is_whole = MOST_SCANNED_BYTES, True
    for number, entry in enumerate(kept):
        if number == MOST_SETS:
            return IdHistory(events=tuple(events), is_whole=False)
        with suppress(OSError), open_file(outbox.set_of(entry.outcome.batch_id) / "id_changes.csv") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= left:
                left -= size
                lines = _lines_with(file, unified_id.encode())
            else:
                is_whole = False
                lines = _lines_of(file, number_of(unified_id) or 0)
            events += filter(None, (_event(line, unified_id, entry) for line in lines))
        if len(events) >= MOST_EVENTS:
            return IdHistory(events=tuple(events[:MOST_EVENTS]), is_whole=False)
    return IdHistory(events=tuple(events), is_whole=is_whole)


def state_of(unified_id: str, folder: Path) -> tuple[CustomerState, str | None] | None:
    """What ``register_customers.csv`` of a set says of an id, and the id it was merged into; None: it never was one."""
    number, merged_into = number_of(unified_id), None
    state: CustomerState | None = None
    with suppress(OSError), open_file(folder / "register_customers.csv") as file:
        seen: set[int] = set()
        while number and number not in seen:
            seen.add(number)
            cells = next((line.decode("ascii", "replace").split(",") for line in _lines_of(file, number)), [])
            found = _state(cells[1]) if len(cells) > 2 else None
            state = state or found
            if found != "merged" or not cells[2].strip().isdigit():
                break
            number = int(cells[2])
            merged_into = unified_ids.unified_id(number)
    return None if state is None else (state, merged_into)


def _state(text: str) -> CustomerState | None:
    known: dict[str, CustomerState] = {"live": "live", "merged": "merged", "retired": "retired"}
    return known.get(text)


def _lines_with(file: BinaryIO, unified_id: bytes) -> Iterator[bytes]:
    """The lines that contain the id, by a search of the whole file."""
    mention = re.compile(re.escape(unified_id) + rb"(?![0-9])")
    rest = b""
    while chunk := file.read(_CHUNK_BYTES):
        block = rest + chunk
        whole = block.rfind(b"\n") + 1
        yield from _lines_in(block[:whole], unified_id, mention)
        rest = block[whole:] if len(block) - whole < _MOST_LINE_BYTES else b""
    yield from _lines_in(rest, unified_id, mention)


def _lines_in(block: bytes, unified_id: bytes, mention: re.Pattern[bytes]) -> Iterator[bytes]:
    at = block.find(unified_id)
    while at >= 0:
        end = block.find(b"\n", at)
        end = len(block) if end < 0 else end
        if mention.match(block, at):
            yield block[block.rfind(b"\n", 0, at) + 1 : end]
            at = block.find(unified_id, end)
        else:
            at = block.find(unified_id, at + 1)


def _lines_of(file: BinaryIO, number: int) -> Iterator[bytes]:
    """The lines that begin with a customer's number, or its id, in a file that is in the order of the numbers."""
    low, high = 0, os.fstat(file.fileno()).st_size
    while low < high:
        middle = (low + high) // 2
        found = _number_behind(file, middle)
        if found is None or found >= number:
            high = middle
        else:
            low = middle + 1
    _number_behind(file, low)
    while (line := _line(file)) and (own := _OWN_NUMBER.match(line)) and int(own[1]) == number:
        yield line


def _number_behind(file: BinaryIO, position: int) -> int | None:
    """The number of the first line with one that begins at or behind ``position``; the file stands before it then."""
    file.seek(max(0, position - 1))
    if position:
        _line(file)
    while True:
        start = file.seek(0, os.SEEK_CUR)
        line = _line(file)
        if not line:
            return None
        if found := _OWN_NUMBER.match(line):
            file.seek(start)
            return int(found[1])


def _line(file: BinaryIO) -> bytes:
    """The next line, of a long one its beginning. Raises: OSError where it is too long to be one of ours."""
    line = rest = file.readline(_MOST_LINE_BYTES)
    skipped = 0
    while rest and not rest.endswith(b"\n"):
        if skipped > _MOST_SKIPPED_BYTES:
            raise OSError(errno.EFBIG, "a line is too long")
        rest = file.readline(_MOST_LINE_BYTES)
        skipped += len(rest)
    return line


def _event(line: bytes, unified_id: str, entry: Entry) -> IdEvent | None:
    """The event of a row that concerns the id; None for any other, and for one that is not as it was written."""
    try:
        cells = next(csv.reader([line.decode("utf-8", "replace").rstrip("\r\n")]), [])
    except csv.Error:  # a list of ids that is longer than a cell may be
        return None
    change = next((word for word in _CHANGES if word in cells[1:2]), None)
    if len(cells) < _COLUMNS or change is None:
        return None
    from_ids, to_ids = (tuple(filter(None, cell.split(","))) for cell in cells[2:4])
    if unified_id not in (cells[0], *from_ids, *to_ids):
        return None
    return IdEvent(
        batch_id=entry.outcome.batch_id,
        published_at=entry.outcome.ended_at,
        change=change,
        unified_id=cells[0],
        from_ids=from_ids,
        to_ids=to_ids,
    )
