"""Paths into a JSON element: ``contact.email``, ``addresses[0].telephone``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from service.model import Layout
from service.readers.rows import BOOLEAN_MARK


@cache
def steps_of(path: str) -> tuple[str | int, ...]:
    """The steps of a path: names of members and indexes of elements.

    >>> steps_of("addresses[0].telephone")
    ('addresses', 0, 'telephone')
    """
    found = re.findall(r"\[(\d+)\]|([^.\[\]]+)", path)
    return tuple(int(number) if number else name for number, name in found)


def value_at(element: Any, path: str) -> Any:
    """The value at the path; None if the element has none there."""
    value = element
    for step in steps_of(path):
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def as_text(value: Any) -> str | None:
    """A text, or a number or truth value as text; None for everything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def as_cell(value: Any) -> str | None:
    """The cell of a value: a text, or a number as text; a truth value is marked."""
    text = as_text(value)
    return f"{BOOLEAN_MARK}{text}" if isinstance(value, bool) else text


def rows_in(element: Any, inside: Sequence[str]) -> Iterator[Any]:
    """The customers in an element of the array, at the path ``RowsPath.inside``; None where it has none there.

    >>> list(rows_in({"node": {"id": 1}}, ("node",))), list(rows_in({"page": [1, 2]}, ("page",)))
    ([{'id': 1}], [1, 2])
    """
    values = [element]
    for step in inside:
        if step == "[]":
            values = [inner for value in values for inner in (value if isinstance(value, list) else (None,))]
        else:
            values = [value.get(step) if isinstance(value, dict) else None for value in values]
    for value in values:
        if inside and isinstance(value, list):  # "pages[].customers" is an array for each page
            yield from value
        else:
            yield value


def paths_of(element: Any, layout: Layout) -> set[str]:
    """The ``signs_and_paths`` of the layout at which the element has a value."""
    return {path for path in layout.signs_and_paths if value_at(element, path) is not None}


def paths_in(elements: Iterable[Any], layout: Layout) -> tuple[str, ...]:
    """Those at which one of the elements has a value, in the order of the layout."""
    found = {path for element in elements for path in paths_of(element, layout)}
    return tuple(path for path in layout.signs_and_paths if path in found)


def leaves_of(element: Any, depth: int = 4) -> Iterator[str]:
    """The paths of all texts, numbers and truth values of an element: ``contact.email``, ``emails[0].value``.

    Of an array the first element only, down to ``depth`` levels.
    """
    return (path.removeprefix(".") for path in _leaves(element, "", depth))


def _leaves(value: Any, path: str, depth: int) -> Iterator[str]:
    if isinstance(value, dict) and depth:
        for name, inner in value.items():
            if not re.search(r"[.\[\]]", name):
                yield from _leaves(inner, f"{path}.{name}", depth - 1)
    elif isinstance(value, list) and depth and path:
        for inner in value[:1]:
            yield from _leaves(inner, f"{path}[0]", depth - 1)
    elif not isinstance(value, dict | list) and value is not None and path:
        yield path
