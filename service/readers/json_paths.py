"""Paths into a JSON element: ``contact.email``, ``addresses[0].telephone``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from service.model import Layout
from service.readers.rows import BOOLEAN_CELL


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
    """The cell of a value: a text, or a number as text; a truth value is none."""
    return BOOLEAN_CELL if isinstance(value, bool) else as_text(value)


def paths_of(element: Any, layout: Layout) -> set[str]:
    """The paths of the layout at which the element has a value."""
    return {path for path in layout.paths if value_at(element, path) is not None}


def paths_in(elements: Iterable[Any], layout: Layout) -> tuple[str, ...]:
    """The paths of the layout at which one of the elements has a value, in the order of the layout."""
    found = {path for element in elements for path in paths_of(element, layout)}
    return tuple(path for path in layout.paths if path in found)
