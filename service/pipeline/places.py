"""Places: which columns or members of an export each field is read from, by what its rows hold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from service.engine.contract import Table
from service.model import FieldPath, Layout
from service.readers.rows import cell_name

COMPARED = ("full_name", "email", "phone", "signup_date")
"""Fields of which the first usable value of a row counts, where a layout has several paths; see ``first_usable``."""


@dataclass(frozen=True)
class Places:
    """What each field of an export is read from."""

    paths: Mapping[str, tuple[FieldPath, ...]]
    """Field -> its field paths under which any row has a value, in order of preference."""
    elsewhere: Mapping[str, tuple[int, FieldPath]]
    """Field that has one place in the whole export -> number of rows with a value at another place only, and a path
    there."""


def places_of(cells: Table, layout: Layout, fields: Collection[str], value: Callable[[FieldPath], str]) -> Places:
    """Find the places at which the rows of an export have values.

    In:   cells  RAW, read in this layout
          value  field path -> SQL for its value
    """
    counts = ", ".join(f"count({cell_name(index)})" for index in range(len(layout.paths)))
    row = cells.derive(f"select {counts or '0'} from this").rows()[0]
    filled = {path for path, count in zip(layout.paths, row, strict=False) if count}
    paths: dict[str, tuple[FieldPath, ...]] = {}
    elsewhere: dict[str, tuple[int, FieldPath]] = {}
    for name in fields:
        options = [tuple(it for it in place if not filled.isdisjoint(it)) for place in layout.places_of(name)]
        places = [place for place in options if place]
        if name in layout.one_place and len(places) > 1:
            counted = _counts(cells, places, value)
            first = next((index for index, (count, _) in enumerate(counted) if count), 0)
            if stray := counted[first][1]:
                other = next(index for index, (count, _) in enumerate(counted) if count and index != first)
                elsewhere[name] = (stray, places[other][0])
            places = places[first : first + 1]
        paths[name] = tuple(path for place in places for path in place)
    return Places(paths, elsewhere)


def _counts(
    cells: Table, places: list[tuple[FieldPath, ...]], value: Callable[[FieldPath], str]
) -> list[tuple[int, int]]:
    """For each place the number of rows with a value there, and of those with a value at another place only."""
    values = [f"coalesce({', '.join([*map(value, place), 'null::varchar'])})" for place in places]
    named = ", ".join(f"{sql} as place_{index}" for index, sql in enumerate(values))
    any_place = f"coalesce({', '.join(f'place_{index}' for index in range(len(places)))}) is not null"
    counted = ", ".join(
        f"count(place_{index}), count(*) filter ({any_place} and place_{index} is null)" for index in range(len(places))
    )
    row = cells.derive(f"select {counted} from (select {named} from this)").rows()[0]
    return list(zip(row[::2], row[1::2], strict=True))


def other_column(name: str, number: int) -> str:
    """The column of the rows with the field's value under its path with this number, from 2."""
    return f"{name}_{number}"
