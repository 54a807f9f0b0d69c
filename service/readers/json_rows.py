"""Read a JSON document row by row, whatever its shape: JSON Lines, members after the array, elements of other types.

The engine reads plain documents by itself; these rows are for the documents that it refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from service.readers.json_layout import JsonShape
from service.readers.json_paths import as_cell, value_at
from service.readers.json_stream import elements
from service.readers.rows import RawRow, RejectedRow
from service.readers.text_end import open_text

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def careful_rows(path: Path, shape: JsonShape) -> Iterator[RawRow | RejectedRow]:
    """Every element of the array of customers (or line), in order, as cells or as a reject.

    Raises: UnreadableFile with line and byte for a truncated or malformed document, or one without customers.
    """
    layout = shape.layout
    with open_text(path) as file:
        for row_number, element in enumerate(elements(file, shape.expected), start=1):
            if not isinstance(element, dict):
                yield RejectedRow(row_number, "not_an_object", f"element {row_number} is not a JSON object")
                continue
            cells = tuple(as_cell(value_at(element, path)) for path in layout.paths)
            broken = (at for at, cell in zip(layout.paths, cells, strict=True) if cell and _LONE_SURROGATE.search(cell))
            if at_fault := next(broken, None):
                why = f"element {row_number} holds half of a surrogate pair"
                yield RejectedRow(row_number, "undecodable", why, column=at_fault)
            else:
                yield row_number, cells
