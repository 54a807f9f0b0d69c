"""Origins: which columns or members of an export each field is read from, by what its rows hold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from service.engine.contract import Table
from service.model import FieldPath, Layout
from service.readers.rows import cell_name

FIRST_USABLE = ("full_name", "email", "phone", "signup_date")
"""Fields of which the first usable value of a row counts, where a layout has several paths; see ``first_usable``."""


@dataclass(frozen=True)
class Origins:
    """What each field of an export is read from."""

    paths: Mapping[str, tuple[FieldPath, ...]]
    """Field -> its field paths under which any row has a value, in order of preference."""
    elsewhere: Mapping[str, tuple[int, FieldPath]]
    """Field that has one origin in the whole export -> number of rows with a value at another origin only, and a path
    there."""


def origins_of(
    cells: Table, layout: Layout, fields: Collection[str], value: Callable[[str, FieldPath], str]
) -> Origins:
    """Find the origins at which the rows of an export have values.

    In:   cells  RAW, read in this layout
          value  field, field path -> SQL for its value
    """
    counts = ", ".join(f"count({cell_name(index)})" for index in range(len(layout.paths)))
    row = cells.rows(f"select {counts or '0'} from this")[0]
    filled = {path for path, count in zip(layout.paths, row, strict=False) if count}
    paths: dict[str, tuple[FieldPath, ...]] = {}
    elsewhere: dict[str, tuple[int, FieldPath]] = {}
    for name in fields:
        options = [tuple(it for it in origin if not filled.isdisjoint(it)) for origin in layout.origins_of(name)]
        origins = [origin for origin in options if origin]
        if name in layout.one_origin and len(origins) > 1:
            counted = _counts(cells, origins, partial(value, name))
            first = next((index for index, (count, _) in enumerate(counted) if count), 0)
            if stray := counted[first][1]:
                other = next(index for index, (count, _) in enumerate(counted) if count and index != first)
                elsewhere[name] = (stray, origins[other][0])
            origins = origins[first : first + 1]
        paths[name] = tuple(path for origin in origins for path in origin)
    return Origins(paths, elsewhere)


def _counts(
    cells: Table, origins: list[tuple[FieldPath, ...]], value: Callable[[FieldPath], str]
) -> list[tuple[int, int]]:
    """For each origin the number of rows with a value there, and of those with a value at another origin only."""
    values = [f"coalesce({', '.join([*map(value, origin), 'null::varchar'])})" for origin in origins]
    named = ", ".join(f"{sql} as origin_{index}" for index, sql in enumerate(values))
    any_origin = f"coalesce({', '.join(f'origin_{index}' for index in range(len(origins)))}) is not null"
    counted = ", ".join(
        f"count(origin_{index}), count(*) filter ({any_origin} and origin_{index} is null)"
        for index in range(len(origins))
    )
    row = cells.rows(f"select {counted} from (select {named} from this)")[0]
    return list(zip(row[::2], row[1::2], strict=True))


def columns_of(name: str, path_count: int) -> list[str]:
    """The columns of the rows with the field's values under each of its paths, in order.

    >>> columns_of("email", 3)
    ['email', 'email_2', 'email_3']
    """
    return [name, *(f"{name}_{number}" for number in range(2, path_count + 1))]
