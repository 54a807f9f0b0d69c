"""Exports packed with gzip are unpacked into the work folder first, so that all readers read plain files."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import UnreadableFile

_CHUNK_BYTES = 1 << 20
MOST_TIMES_LARGER = 200
"""Customers pack to a tenth; a file that unpacks to so much more is a bomb, and would fill the disk."""
ALWAYS_ALLOWED_BYTES = 64 << 20
_BEGINNING = b"\x1f\x8b"


@contextmanager
def unpacked(path: Path, work_folder: Path) -> Iterator[Path]:
    """The file itself; if its name ends in ``.gz``, its unpacked content as a file that exists until the block ends.

    Raises: UnreadableFile if it is not a gzip file, damaged, truncated, or unpacks to far more than customers do.
    """
    if not path.name.lower().endswith(".gz"):
        yield path
        return
    # A name of our own: the name of the file may be as long as names can be.
    target = work_folder / f"unpacked{Path(path.name[:-3]).suffix}"
    try:
        _unpack(path, target)
        yield target
    finally:
        target.unlink(missing_ok=True)


def _unpack(path: Path, target: Path) -> None:
    with open(path, "rb") as file:
        beginning = file.read(len(_BEGINNING))
    if beginning and beginning != _BEGINNING:
        raise UnreadableFile(
            "the file is not packed with gzip, though its name ends in .gz",
            hint="take .gz off its name or pack it, and drop it again",
        )
    most_bytes = max(ALWAYS_ALLOWED_BYTES, MOST_TIMES_LARGER * path.stat().st_size)
    written = 0
    with gzip.open(path, "rb") as packed, open(target, "wb") as file:
        while chunk := _next_chunk(packed, written):
            file.write(chunk)
            written += len(chunk)
            if written > most_bytes:
                raise UnreadableFile(
                    f"it unpacks to more than {MOST_TIMES_LARGER} times its size",
                    hint="check that it is a customer export; if it is, drop it unpacked",
                )


def _next_chunk(packed: gzip.GzipFile, written: int) -> bytes:
    try:
        return packed.read(_CHUNK_BYTES)
    except EOFError:
        what = "the gzip file ends too early (it is truncated)"
    except (gzip.BadGzipFile, zlib.error):
        what = "the gzip file is damaged"
    where = f"after {written} unpacked bytes" if written else ""
    raise UnreadableFile(what, where=where, hint="pack it again and drop it again")
