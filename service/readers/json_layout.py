"""What a JSON document is: its layout, and the members before its array of customers, from its first megabyte."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from service.errors import InputError
from service.model import Layout, Source
from service.readers.json_paths import leaves_of, paths_in, paths_of, rows_in
from service.readers.json_stream import Expected, elements, members_before
from service.readers.quotable_names import is_named_as_id, quotable
from service.readers.rows import FileReport, RejectedRow
from service.readers.text_end import open_text
from service.rows_path import is_rows_path, rows_path

HEAD_BYTES = 1 << 20
SAMPLED_ELEMENTS = 500
"""The number of elements from which the layout is found."""
_MOST_DEPTH = 5
_MOST_ARRAYS = 200
_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,40}")


@dataclass(frozen=True)
class JsonShape:
    """How a JSON document is to be read."""

    layout: Layout
    paths: tuple[str, ...]
    """The paths of the layout that the first customers have."""
    members: dict[str, str]
    """Scalar members before the array of customers, as text."""
    unread: tuple[str, ...]
    """Other paths at which the first customers have values, as far as a message may quote them."""
    expected: Expected
    """How the stream finds the customers."""

    def report(self, rejects: Sequence[RejectedRow] = ()) -> FileReport:
        """What reading a document of this shape and with these rejects showed."""
        return FileReport(self.layout, self.paths, rejects=rejects, members=self.members, unread=self.unread)


def probe(path: Path, source: Source) -> JsonShape:
    """Find the layout by the first customers; the source's own layout if none fits."""
    with open_text(path) as file:
        head = file.read(HEAD_BYTES)
    one_for_each = {layout.rows_at: layout for layout in source.layouts}
    samples = {rows_at: list(_first_customers(head, layout)) for rows_at, layout in one_for_each.items()}

    def found(layout: Layout) -> tuple[str, ...]:
        return paths_in(samples[layout.rows_at], layout)

    layout = source.layout_of(found) or _without_ids(source, found, samples[source.own.rows_at]) or source.own
    sample = samples[layout.rows_at]
    return JsonShape(
        layout,
        tuple(path for path in found(layout) if path in layout.paths),
        members_before(io.BytesIO(head), layout.rows_at),
        _unread(sample, layout),
        Expected(layout.rows_at, lambda first: not layout.lacking(paths_of(first, layout)), _Hint(source, layout)),
    )


def _without_ids(source: Source, found: Callable[[Layout], Collection[str]], sample: Iterable[Any]) -> Layout | None:
    """The layout for customers without ids; None if a member looks like an id."""
    return None if _has_ids(sample) else source.layout_without_ids(found)


def _has_ids(sample: Iterable[Any]) -> bool:
    """Whether a member of any of these customers is named as an id."""
    names = {name for element in sample if isinstance(element, dict) for name in element}
    return any(map(is_named_as_id, names))


def _first_customers(head: bytes, layout: Layout) -> Iterator[Any]:
    """The customers that the head holds whole. Parse errors are ignored here; the full read reports them."""
    expected = Expected(layout.rows_at, lambda first: True, lambda first: "")
    with suppress(InputError):
        yield from islice(elements(io.BytesIO(head), expected), SAMPLED_ELEMENTS)


def _unread(sample: Iterable[Any], layout: Layout) -> tuple[str, ...]:
    leaves = dict.fromkeys(leaf for element in sample for leaf in leaves_of(element))
    return tuple(leaf for leaf in leaves if leaf not in layout.paths and quotable(leaf) == leaf)


@dataclass(frozen=True)
class _Hint:
    """What to do about a document without customers in a known array."""

    source: Source
    layout: Layout

    def __call__(self, first: Mapping[str, Any]) -> str:
        if self.layout.page:
            return f'put them into "{self.layout.rows_at}", or into an array, as {self.layout.page} describes'
        arrays = list(islice(_arrays(first), _MOST_ARRAYS))
        fitting = [(at, rows) for at, rows in arrays if self._fits(at, rows, dict(arrays))]
        table = f"in service.toml, in the table [[sources]] of {self.source.name}"
        if fitting:
            at, _ = max(fitting, key=lambda it: len(it[1]))
            return f'{table}, set rows_at = "{at}"'
        if arrays:
            at, rows = max(arrays, key=lambda it: len(it[1]))
            return (
                f'export the customers as docs/sources.md describes; or {table}, set rows_at = "{at}"'
                f" and map its members with fields{_members(rows)}"
            )
        return 'export the customers as an array, or as a member "customers" that is an array'

    def _fits(self, at: str, rows: list[Any], arrays: Mapping[str, list[Any]]) -> bool:
        layouts = [replace(layout, rows_at=at) for layout in self.source.layouts]
        source = replace(self.source, layouts=tuple(layouts))

        def found(layout: Layout) -> Collection[str]:
            return paths_in(rows, layout)

        if source.layout_of(found) is not None:
            return True
        outer, inside, _ = at.partition("[]")
        has_ids_outside = bool(inside) and _has_ids(arrays.get(outer, ()))
        return not has_ids_outside and source.layout_without_ids(found) is not None


def _members(rows: Iterable[Any]) -> str:
    names = dict.fromkeys(leaf for row in rows for leaf in leaves_of(row))
    shown = [name for name in names if quotable(name) == name][:20]
    return f" ({', '.join(shown)})" if shown else ""


def _arrays(value: Any, path: str = "", depth: int = _MOST_DEPTH) -> Iterator[tuple[str, list[Any]]]:
    """Path, as rows_at, and first elements of every array of objects; the outer arrays first."""
    if not isinstance(value, dict) or not depth:
        return
    found: list[tuple[str, list[Any]]] = []
    for name, inner in value.items():
        at = f"{path}.{name}" if path else name
        if not _MEMBER.fullmatch(name):
            continue
        if isinstance(inner, list) and any(isinstance(row, dict) for row in inner):
            found.append((at, inner[:SAMPLED_ELEMENTS]))
            yield found[-1]
        elif isinstance(inner, dict):
            yield from _arrays(inner, at, depth - 1)
    for at, rows in found:
        yield from _within_elements(at, rows)


def _within_elements(at: str, array: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Path and customers of what lies inside the elements of an array, by its first: ``edges[].node``."""
    first = array[0]
    for name, inner in first.items() if isinstance(first, dict) else ():
        path = f"{at}[].{name}"
        if isinstance(inner, dict | list) and is_rows_path(path):
            rows = [row for element in array for row in rows_in(element, rows_path(path).inside)]
            if any(isinstance(row, dict) for row in rows):
                yield path, rows
