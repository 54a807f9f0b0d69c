"""What a JSON document is: its layout, and the members before its array of customers, from its first megabyte."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from service.errors import InputError
from service.model import Layout, Source
from service.readers.json_paths import paths_in
from service.readers.json_stream import elements, members_before

HEAD_BYTES = 1 << 20
SAMPLED_ELEMENTS = 500
"""The number of elements from which the layout is found."""


@dataclass(frozen=True)
class JsonShape:
    """How a JSON document is to be read."""

    layout: Layout
    paths: tuple[str, ...]
    """The paths of the layout that the first customers have."""
    members: dict[str, str]
    """Scalar members before the array of customers, as text."""


def probe(path: Path, source: Source) -> JsonShape:
    """Find the layout by the first customers; the source's own layout if none fits."""
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    one_for_each = {layout.rows_at: layout for layout in source.layouts}
    samples = {rows_at: _first_elements(head, layout) for rows_at, layout in one_for_each.items()}
    layout = source.layout_of(lambda it: paths_in(samples[it.rows_at], it))
    return JsonShape(
        layout, paths_in(samples[layout.rows_at], layout), members_before(io.BytesIO(head), layout.rows_at)
    )


def _first_elements(head: bytes, layout: Layout) -> list[Any]:
    """The customers that the head holds whole. Parse errors are ignored here; the full read reports them."""
    found: list[Any] = []
    with suppress(InputError):
        for element in islice(elements(io.BytesIO(head), layout, lambda first: True), SAMPLED_ELEMENTS):
            found.append(element)  # one by one: those before an error count
    return found
