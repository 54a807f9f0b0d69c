"""The header of a CSV file against the layouts of its source: which paths it has, and what is wrong with it.

A column is found by its exact name, in which case does not matter; only where no column has that name by its folded
name, in which blanks, ``_``, ``-`` and ``.`` do not matter either.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache

from service.errors import DuplicateColumn, MissingColumn
from service.model import Layout, Source
from service.printable import bounded
from service.readers.quotable_names import is_named_as_id, quotable, quotable_names

_COLUMNS_THAT_IDENTIFY_A_SYSTEM = 3
"""With fewer known columns the file may come from any system: messages then name the source's own columns."""
_SEPARATORS = re.compile(r"[\s_.\-]+")
_CLOSE = 0.6
"""How similar two names must be, as ``difflib`` measures it, for one to be a misspelling of the other."""


@lru_cache(maxsize=4096)  # the paths of every layout are compared with every header
def exact(name: str) -> str:
    """A column name for comparison: case, composition of accents, and invisible characters at its ends do not matter.

    >>> exact("\\ufeffCustomer_ID ")
    'customer_id'
    """
    return _without_invisible_ends(unicodedata.normalize("NFC", bounded(name))).lower()


@lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """A column name without its separators.

    >>> folded("E-mail"), folded("Signup Date"), folded("signup_date")
    ('email', 'signupdate', 'signupdate')
    """
    return _SEPARATORS.sub("", exact(name)) or exact(name)


def _indexes(names: Iterable[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        if name:
            found.setdefault(name, []).append(index)
    return found


def _without_invisible_ends(name: str) -> str:
    visible = [index for index, c in enumerate(name) if not (c.isspace() or unicodedata.category(c) in ("Cc", "Cf"))]
    return name[visible[0] : visible[-1] + 1] if visible else ""


@dataclass(frozen=True)
class Header:
    """The column names of a file, as written."""

    names: tuple[str, ...]

    @cached_property
    def _exact(self) -> tuple[str, ...]:
        return tuple(map(exact, self.names))

    @cached_property
    def _folded(self) -> dict[str, list[int]]:
        """Folded name -> indexes of its columns."""
        return _indexes(map(folded, self.names))

    @cached_property
    def _columns(self) -> dict[str, list[int]]:
        return _indexes(self._exact)

    def columns_of(self, path: str, *, only_exact: bool = False) -> list[int]:
        """The indexes of the columns that are equally good for a path: one, unless it is missing or ambiguous."""
        found = self._columns.get(exact(path), [])
        return found if found or only_exact else self._folded.get(folded(path), [])

    def known(self, layout: Layout, *, only_exact: bool = False) -> list[str]:
        """The ``signs_and_paths`` of the layout that the header has.

        Of a composed value all or none: half a name is another name.
        """
        present = {path for path in layout.signs_and_paths if self.columns_of(path, only_exact=only_exact)}
        options = [option for options in layout.fields.values() for option in options]
        complete = {path for option in options if present.issuperset(option) for path in option}
        return [
            path for path in layout.signs_and_paths if path in complete or path in present.intersection(layout.signs)
        ]

    def layout(self, source: Source) -> Layout | None:
        """The layout by exact names; by folded names only if none fits by exact ones; None if none fits at all."""
        return source.layout_of(lambda it: self.known(it, only_exact=True)) or source.layout_of(self.known)

    def layout_without_ids(self, source: Source) -> Layout | None:
        """The layout for a file without an id column; None if a column looks like a misspelt id column."""
        own_id = [folded(path) for path in source.own.paths_of("source_id")]
        if any(get_close_matches(path, self._folded, n=1, cutoff=_CLOSE) for path in own_id):
            return None
        if any(map(is_named_as_id, self.names)):
            return None
        return source.layout_without_ids(self.known)

    def most_known(self, source: Source) -> tuple[int, int]:
        """The number of known paths in the layout that has most of them, by folded and by exact names."""
        return (
            max(len(self.known(layout)) for layout in source.layouts),
            max(len(self.known(layout, only_exact=True)) for layout in source.layouts),
        )

    def positions(self, layout: Layout) -> tuple[int | None, ...]:
        """For every path of the layout the index of its column; None if there is no such column."""
        known = set(self.known(layout))
        return tuple(self.columns_of(path)[0] if path in known else None for path in layout.paths)

    def unread(self, layout: Layout) -> list[str]:
        """The named columns that no field of the layout uses, as written."""
        read = set(self.positions(layout))
        return [name for index, name in enumerate(self.names) if self._exact[index] and index not in read]

    def repeated(self, layout: Layout) -> list[str]:
        """The names that several columns have; and columns that are equally good for a path that is read."""
        same = {name for name, columns in self._columns.items() if len(columns) > 1}
        for path in self.known(layout):
            if path in layout.paths and len(columns := self.columns_of(path)) > 1:
                same.update(self._exact[index] for index in columns)
        return sorted(same)

    def is_header(self, layout: Layout) -> bool:
        """Whether the names are column names: a file without a header has a customer there instead."""
        if any("@" in name or name.isdigit() or re.search(r"\d{3}", name) for name in self._exact):
            return False
        columns = [folded(path) for path in layout.paths]
        alike = [column for column in columns if get_close_matches(column, self._folded, n=1, cutoff=_CLOSE)]
        return len(alike) > 2 or (len(alike) > 1 and not set(columns).isdisjoint(self._folded))

    def similar(self, layout: Layout, fields: Collection[str]) -> Iterator[tuple[str, str]]:
        """Column and path, for every field of ``fields`` that is missing and has a column with a similar name."""
        unread = {folded(name): name for name in reversed(self.unread(layout))}
        for field in fields:
            if any(path in self.known(layout) for path in layout.paths_of(field)):
                continue
            paths = [option[0] for option in layout.fields.get(field, ()) if len(option) == 1]
            close = ((path, get_close_matches(folded(path), unread, n=1, cutoff=_CLOSE)) for path in paths)
            match = next(((unread.pop(names[0]), path) for path, names in close if names), None)
            if match is None and field == "source_id" and any(map(is_named_as_id, paths)):
                match = next(((name, paths[0]) for name in unread.values() if is_named_as_id(name)), None)
            if match:
                yield match


def refuse_repeated(header: Header, layout: Layout, line: int) -> None:
    """Raises: DuplicateColumn."""
    # A file without a header has a customer in its first line: column names are quoted only if it is a header.
    known = [path for path in header.known(layout) if path in layout.paths]
    if not known or not (repeated := header.repeated(layout)):
        return
    # Nor if the first customer has slipped into the header's line.
    safe = repeated if header.is_header(layout) else sorted({exact(path) for path in known} & set(repeated))
    raise DuplicateColumn(
        f"the header names the column {', '.join(map(repr, safe)) or '(unknown name)'} more than once",
        where=f"line {line}",
        hint="keep one of them and drop it again",
    )


def missing_column(header: Header, source: Source, line: int) -> MissingColumn:
    """The error for a header that fits no layout."""
    layout = _closest(header, source)
    known = header.known(layout)
    lacking = layout.lacking(known) or ("source_id",)
    wanted = layout.paths_of("email" if "email" in lacking else lacking[0])
    is_header = header.is_header(layout)
    pairs = _quotable_pairs(header, layout, (lacking[0], *layout.fields)) if is_header else {}
    is_enough = any(path in layout.paths_of(name) for name in lacking for path in pairs.values())
    hint = _rename_hint(pairs)
    if not is_enough:
        hint = f'{hint} and add a column "{wanted[0]}"' if hint else "add the column or a header line"
    remedy = f", as {layout.page} lists them" if layout.page else ", or map the columns in service.toml"
    system = "" if layout is source.own else f" (its other columns are those of {layout.name})"
    listed = " or ".join(f'"{path}"' for path in wanted[:3])
    found = ", ".join(quotable_names(header.names)) if is_header else f"{len(header.names)} columns, none of them known"
    return MissingColumn(
        f"there is no column {listed}{system}",
        where=f"line {line}",
        found=found,
        hint=f"{hint}{remedy}, and drop it again",
    )


def _quotable_pairs(header: Header, layout: Layout, fields: Collection[str]) -> dict[str, str]:
    """Column, as it may be quoted -> the path that it may stand for."""
    pairs = ((quotable(column), path) for column, path in header.similar(layout, dict.fromkeys(fields)))
    return {column: path for column, path in pairs if column}


def _rename_hint(pairs: Mapping[str, str]) -> str:
    if len(pairs) == 1:
        ((column, path),) = pairs.items()
        return f'did you mean "{column}"? Rename it to "{path}"'
    listed = " and ".join(f'"{column}" for "{path}"' for column, path in pairs.items())
    return f"did you mean {listed}? Rename them" if pairs else ""


def _closest(header: Header, source: Source) -> Layout:
    """The layout that was probably meant, for a header that fits none."""
    closest = max(source.layouts, key=lambda layout: len(header.known(layout)))
    return closest if len(header.known(closest)) >= _COLUMNS_THAT_IDENTIFY_A_SYSTEM else source.own


def column_names(header: Header, layout: Layout) -> dict[str, str]:
    """Path of the layout -> the exact name of its column."""
    positions = zip(layout.paths, header.positions(layout), strict=True)
    return {path: exact(header.names[index]) for path, index in positions if index is not None}
