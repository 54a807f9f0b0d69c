"""The header of a CSV file against the layouts of its source: which paths it has, and what is wrong with it.

``names`` are the column names of the header, folded (``folded``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from difflib import get_close_matches

from service.errors import DuplicateColumn, MissingColumn
from service.model import FieldPath, Layout, Source
from service.printable import bounded

_COLUMNS_THAT_IDENTIFY_A_SYSTEM = 3
"""With fewer known columns the file may come from any system: messages then name the source's own columns."""


def folded(name: str) -> str:
    """A column name for comparison: case, composition of accents and surrounding blanks do not matter."""
    return unicodedata.normalize("NFC", bounded(name)).strip().lower()


def known_paths(names: Collection[str], layout: Layout) -> list[str]:
    """The paths of the layout that the header has; of a composed value all or none: half a name is another name."""
    present = set(names)
    options = [option for options in layout.fields.values() for option in options]
    complete = {path for option in options if all(folded(it) in present for it in option) for path in option}
    return [path for path in layout.paths if path in complete]


def most_known_paths(names: Collection[str], source: Source) -> int:
    """The number of known paths in the layout that has most of them."""
    return max(len(known_paths(names, layout)) for layout in source.layouts)


def positions(names: Sequence[str], layout: Layout) -> tuple[int | None, ...]:
    """For every path of the layout the index of its column; None if there is no such column."""
    known = set(known_paths(names, layout))
    return tuple(names.index(folded(path)) if path in known else None for path in layout.paths)


def count_unknown(names: Sequence[str], layout: Layout) -> int:
    """The number of named columns that no field of the layout uses."""
    return len({name for name in names if name} - {folded(path) for path in known_paths(names, layout)})


def missing_column_warnings(names: Sequence[str], layout: Layout, source: Source) -> tuple[str, ...]:
    """One warning per field whose columns are missing."""
    known = set(known_paths(names, layout))
    # The number of orders is not a column of the master, and a field with a default is never N/A.
    fields = [field for field in layout.fields if field != "orders_count" and field not in source.defaults]
    missing = [options[0] for options in map(layout.fields.__getitem__, fields) if not _has_one(options, known)]
    columns = (next(path for path in option if folded(path) not in names) for option in missing)
    return tuple(f'no column "{column}"; its values are N/A' for column in columns)


def _has_one(options: Sequence[FieldPath], known: Collection[str]) -> bool:
    return any(set(option) <= set(known) for option in options)


def refuse_unusable(names: Sequence[str], layout: Layout, source: Source) -> None:
    """Raises: DuplicateColumn, MissingColumn."""
    known = known_paths(names, layout)
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    # A file without a header has a customer in its first line: column names are quoted only if it is a header.
    if repeated and known:
        # Nor if the first customer has slipped into the header's line.
        safe = repeated if _is_header(names, layout) else sorted({folded(name) for name in known} & set(repeated))
        raise DuplicateColumn(
            f"the header names the column {', '.join(map(repr, safe)) or '(unknown name)'} more than once",
            where="line 1",
            hint="keep one of them and drop it again",
        )
    if layout.lacking(known):
        raise _missing_column(names, _closest(names, source), source)


def _closest(names: Sequence[str], source: Source) -> Layout:
    """The layout that was probably meant, for a header that fits none."""
    closest = max(source.layouts, key=lambda layout: len(known_paths(names, layout)))
    return closest if len(known_paths(names, closest)) >= _COLUMNS_THAT_IDENTIFY_A_SYSTEM else source.own


def _missing_column(names: Sequence[str], layout: Layout, source: Source) -> MissingColumn:
    lacking = layout.lacking(known_paths(names, layout)) or ("source_id",)
    wanted = layout.paths_of("email" if "email" in lacking else lacking[0])
    is_header = _is_header(names, layout)
    close = get_close_matches(folded(wanted[0]), names, n=1, cutoff=0.6) if wanted else []
    found = ", ".join(names) if is_header else f"{len(names)} columns, none of them known"
    rename = f'did you mean "{close[0]}"? Rename it' if close and is_header else ""
    hint = rename or "add the column or a header line"
    remedy = f", as {layout.page} lists them" if layout.page else ", or map the columns in service.toml"
    system = "" if layout is source.own else f" (its other columns are those of {layout.name})"
    listed = " or ".join(f'"{path}"' for path in wanted[:3])
    return MissingColumn(
        f"there is no column {listed}{system}",
        where="line 1",
        found=found,
        hint=f"{hint}{remedy}, and drop it again",
    )


def _is_header(names: Sequence[str], layout: Layout) -> bool:
    """Whether the first line holds column names: a file without a header has a customer there instead."""
    if any("@" in name or name.isdigit() or re.search(r"\d{3}", name) for name in names):
        return False
    columns = [folded(path) for path in layout.paths]
    alike = [column for column in columns if get_close_matches(column, names, n=1, cutoff=0.6)]
    return len(alike) > 2 or (len(alike) > 1 and not set(columns).isdisjoint(names))
