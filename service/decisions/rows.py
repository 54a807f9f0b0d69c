"""The rows of a CSV file that the service wrote, or a person with a spreadsheet; a cell may have any length."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.files import open_file

_MOST_CELL_CHARACTERS = (1 << 31) - 1
"""The highest limit of Python's reader; its default is below the longest id that an export may have."""


@contextmanager
def csv_rows(path: Path, *, encoding: str = "utf-8", strict: bool = False) -> Iterator[csv.DictReader[str]]:
    """A reader of the rows, with commas between the cells.

    Raises: OSError; the reader raises UnicodeDecodeError, and with ``strict`` csv.Error for a wrong quote.
    """
    csv.field_size_limit(_MOST_CELL_CHARACTERS)
    with open_file(path) as file, io.TextIOWrapper(file, encoding=encoding, newline="") as text:
        yield csv.DictReader(text, strict=strict)
