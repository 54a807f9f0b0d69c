"""Read plain exports, or parts of them, with DuckDB's own readers.

These are fast and lax. They get plain files only, through ``served_files``, and what they read is dropped if a check of
the bytes or of the rows finds something that they read differently from our readers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import duckdb

from service.engine.contract import BLANK, sql_text
from service.engine.embedded_tables import Database, OutOfMemory
from service.engine.json_columns import json_columns, json_query
from service.errors import TransientError
from service.model import Layout
from service.readers import csv_rows, json_window
from service.readers.csv_bytes import CsvBytes
from service.readers.csv_rows import MAX_CELL_CHARACTERS, MAX_ROW_CHARACTERS
from service.readers.csv_sniff import CsvDialect
from service.readers.json_layout import JsonShape
from service.readers.json_paths import steps_of
from service.readers.json_window import LaxJson, NeedsStrictParser
from service.readers.rows import BOOLEAN_MARK, cell_name
from service.readers.served_files import Served

_MANY_COLUMNS = 100
"""In files with more, those that no field needs are not read: DuckDB holds 2,048 cells of each column that is."""
_READER_BYTES = 40 << 20
"""Measured: what a thread that reads a file has beside the engine's memory."""


class NotPlain(Exception):
    """DuckDB's own reader does not read this file, or not as ours does."""


class Marked(NotPlain):
    """DuckDB has read the file, but a query has marked rows that it may read differently from our reader."""


class FilePart(NamedTuple):
    """A part of an export that DuckDB reads as a file of its own.

    start, end     the offsets of its first byte and behind its last
    before, after  the bytes that make it a document of its own
    encoding       of a CSV file; empty for JSON
    """

    path: Path
    start: int
    end: int
    before: bytes
    after: bytes = b""
    encoding: str = ""

    def served(self) -> Served:
        """The part with a check of its bytes, for one reading."""
        check = CsvBytes(self.encoding, self.start).feed if self.encoding else LaxJson().feed
        return Served(self.path, self.start, self.end, check, self.before, self.after)


class Query(NamedTuple):
    """A query for the rows of plain files; it fails for others.

    sql   for a list of URLs, in SQL
    mark  the column that marks rows which DuckDB may read differently from our reader; empty: there are none
    next  what leads to the next query instead of to the careful reader
    """

    sql: Callable[[str], str]
    mark: str = ""
    next: type[NotPlain] = NotPlain


class Stored(csv_rows.Kept, Protocol):
    """Rows that a query gave."""

    @property
    def name(self) -> str:
        """SQL, behind ``from``."""


S = TypeVar("S", bound=Stored)
T = TypeVar("T")


def csv_queries(dialect: CsvDialect) -> list[Query]:
    """The queries to try. Raises: NotPlain for a file that is not plain by its head."""
    if not dialect.is_plain:
        raise NotPlain
    narrow = Query(partial(_csv_query, dialect=dialect))
    if dialect.width <= _MANY_COLUMNS:
        return [narrow]
    return [Query(partial(_wide_csv_query, dialect=dialect), "may_be_blank", Marked), narrow]


def json_queries(shape: JsonShape) -> list[Query]:
    """The queries to try."""
    layout = shape.layout
    types = json_columns(layout, shape.paths)
    typed = [] if types is None else [Query(partial(json_query, layout=layout, types=types), "is_odd")]
    return [*typed, Query(partial(_json_query, layout=layout), "is_odd")]


def csv_whole(path: Path, dialect: CsvDialect) -> FilePart:
    """A CSV file, whole."""
    return FilePart(path, 0, dialect.end, before=b"", encoding=dialect.encoding)


def json_array(path: Path, layout: Layout) -> tuple[int, int]:
    """The window onto the array of customers. Raises: NotPlain for a document of another shape."""
    window = json_window.array_window(path, layout.rows_at) if json_window.has_simple_paths(layout) else None
    if window is None:
        raise NotPlain
    return window


def json_part(path: Path, window: tuple[int, int]) -> FilePart:
    """A window of a document as an array of its own."""
    return FilePart(path, *window, before=b"[", after=b"]")


def first_that_reads(queries: Sequence[Query], load: Callable[[Query], T]) -> T:
    """What ``load`` gives for the first query that reads the file. Raises: NotPlain; what ``load`` raises."""
    *others, last = queries
    for query in others:
        with suppress(query.next):
            return load(query)
    return load(last)


def loaded(database: Database, parts: Sequence[FilePart], query: Query, store: Callable[[str], S]) -> S:
    """What ``store`` makes of the query for ``parts``, one after the other, if their checks have passed all bytes.

    Raises: NotPlain for a ragged row, a stray quote, another encoding, a malformed or lax document; Marked; what a
    check raised, as UnreadableFile for a binary file.
    """
    served = [part.served() for part in parts]
    stored = None
    try:
        with ExitStack() as open_urls:
            urls = [open_urls.enter_context(database.served(one)) for one in served]
            open_urls.enter_context(database.lending(_bytes_while_reading(database, served)))
            stored = store(query.sql(f"[{', '.join(map(sql_text, urls))}]"))
    except (duckdb.InvalidInputException, duckdb.ConversionException, OutOfMemory, MemoryError):
        pass  # malformed for DuckDB, or too large: our readers need less memory, and say what is odd about the file
    except TransientError:
        if all(one.fault is None for one in served):
            raise
    if stored is not None and all(one.is_checked for one in served):
        _refuse_marked(database, stored, query.mark)
        return stored
    if stored is not None:
        stored.release()
    fault = next((one.fault for one in served if one.fault is not None), None)
    if fault is None or isinstance(fault, NeedsStrictParser | MemoryError):
        raise NotPlain
    raise fault


def _refuse_marked(database: Database, stored: Stored, mark: str) -> None:
    if mark and database.run(f"select count(*) from {stored.name} where {mark}")[0][0]:
        stored.release()
        raise Marked


def _bytes_while_reading(database: Database, served: Sequence[Served]) -> int:
    """What Python and the reader have of a file at one moment: each thread a few copies of a buffer."""
    return min(4 * sum(one.size for one in served), database.threads * _READER_BYTES)


def _csv_query(urls: str, dialect: CsvDialect) -> str:
    """The query for a well-formed CSV file in UTF-8; it fails for any other."""
    # The size of the buffer is given: DuckDB would take sixteen lines of the longest, and if they are one row
    # without end, gigabytes for its cells, which no memory limit counts.
    return f"select {_csv_cells(dialect)} from {_csv_rows(urls, dialect)} where {_is_visible(range(dialect.width))}"


def _wide_csv_query(urls: str, dialect: CsvDialect) -> str:
    """The same, where the cells that we do not read take no memory.

    ``may_be_blank`` marks rows of which none of the cells that we read is visible.
    """
    is_visible = _is_visible(position for position in dialect.positions if position is not None)
    return f"select {_csv_cells(dialect)}, not ({is_visible}) as may_be_blank from {_csv_rows(urls, dialect)}"


def _csv_cells(dialect: CsvDialect) -> str:
    return ", ".join(
        f"{'null::varchar' if position is None else f'c{position}'} as {cell_name(index)}"
        for index, position in enumerate(dialect.positions)
    )


def _csv_rows(urls: str, dialect: CsvDialect) -> str:
    columns = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(dialect.width))
    return f"""
        read_csv(
            {urls}, auto_detect=false, hive_partitioning=false, header=false, skip={dialect.header_lines},
            delim='{dialect.delimiter}', quote='"', escape='"', strict_mode=true,
            max_line_size={MAX_CELL_CHARACTERS}, buffer_size={MAX_ROW_CHARACTERS},
            columns={{{columns}}})
    """


def _is_visible(columns: Iterable[int]) -> str:
    """SQL: whether any of these cells of a CSV row is not blank."""
    cells = ", ".join(f"c{index}" for index in columns)
    # A row that begins with a visible character is not blank; only others must be read whole.
    return f"(coalesce({cells}, '') between '!' and '~~' or not regexp_full_match(concat({cells}), '{BLANK}*'))"


def _json_query(urls: str, layout: Layout) -> str:
    """The query for an array of customers; ``is_odd`` marks rows that DuckDB may read differently from our reader."""
    steps = [steps_of(path) for path in layout.paths]
    paths = ", ".join(f"'{_json_path(path)}'" for path in steps)
    # A path with further paths inside need not be text: a name that is an object is not a name, its parts are.
    outer = {index for index, path in enumerate(steps) if any(other[: len(path)] == path != other for other in steps)}
    is_nested = "(starts_with(cells[{0}], '{{') or starts_with(cells[{0}], '['))"
    cells = ", ".join(
        f"case when not {is_nested.format(index + 1)} then cells[{index + 1}] end as {cell_name(index)}"
        for index in range(len(steps))
    )
    nested = " or ".join(
        f"coalesce({is_nested.format(index + 1)}, false)" for index in range(len(steps)) if index not in outer
    )
    return f"""
        select
            {cells},
            kind is distinct from 'OBJECT' or {nested} or {_is_odd_text(layout)} as is_odd
        from (
            select
                json_type(json) as kind,
                json::varchar as text,
                json_extract_string(json, [{paths}]) as texts,
                case when contains(text, 'true') or contains(text, 'false')
                    then list_transform(list_zip(texts, json_type(json, [{paths}])), lambda it:
                        case it[2] when 'BOOLEAN' then {sql_text(BOOLEAN_MARK)} || it[1] else it[1] end)
                    else texts end as cells
            from read_json({urls}, format='array', records=false, columns={{json: 'JSON'}})
        )
    """


def _is_odd_text(layout: Layout) -> str:
    """SQL: whether DuckDB may read the JSON ``text`` of a row differently."""
    numbers = {path for name in layout.numbers for path in layout.paths_of(name)}
    texts = {re.escape(str(steps_of(path)[-1])) for path in layout.paths if path not in numbers}
    members = "|".join(sorted(texts))
    # DuckDB turns 5.55E+06 into 5550000.0; and a name that begins with a bracket looks like its parts. Both may be
    # harmless text: the careful reader decides.
    odd = rf'"(?:{members})":(?:-?[0-9]+[.e]|-0|"[\[{{])'
    return f"regexp_matches(text, {sql_text(f'(?i){odd}')})"


def _json_path(steps: tuple[str | int, ...]) -> str:
    """The path in DuckDB's notation, for a text in quotes."""
    parts = (f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in steps)
    return "$" + "".join(parts).replace("'", "''")
