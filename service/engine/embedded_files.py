"""Load an export into DuckDB: by DuckDB's own readers if the file is plain, else row by row through ours.

DuckDB's readers are fast and lax. They get plain files only, through ``served_files``, and what they read is dropped
if a check of the bytes or of the rows finds something that they read differently from our readers.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Literal

import duckdb

from service.engine.contract import BLANK, sql_text
from service.engine.embedded_tables import Database, EmbeddedTable, OutOfMemory
from service.engine.json_columns import json_columns, json_query
from service.errors import TransientError
from service.model import InputFile, Layout, Source
from service.readers import csv_rows, csv_sniff, file_kind, gzip_file, json_layout, json_rows, json_window, row_estimate
from service.readers.csv_bytes import CsvBytes, Utf8Count
from service.readers.csv_rows import MAX_CELL_CHARACTERS, MAX_ROW_CHARACTERS
from service.readers.csv_sniff import CsvDialect
from service.readers.json_layout import JsonShape
from service.readers.json_paths import steps_of
from service.readers.json_window import LaxJson, NeedsStrictParser
from service.readers.rows import BOOLEAN_MARK, FileReport, RawRow, RejectedRow, RejectFile, cell_name
from service.readers.served_files import Served

_ROW_BY_ROW = 0.9
"""The share of the time that a careful reader takes; the rest is DuckDB's, which reads what it wrote."""


_READER_BYTES = 40 << 20
"""Measured: what a thread that reads a file has beside the engine's memory."""


class _NotPlain(Exception):
    """DuckDB's own reader does not read this file, or not as ours does."""


def read(database: Database, file: InputFile, work_folder: Path) -> tuple[EmbeddedTable, FileReport]:
    """See ``Engine.read``."""
    read_format = _read_csv if file.file_format == "csv" else _read_json
    with gzip_file.unpacked(file.path, work_folder) as path:
        file_kind.refuse_other_kinds(path, file.file_format, file.file_name)
        return read_format(database, path, file.source)


def _read_csv(database: Database, path: Path, source: Source) -> tuple[EmbeddedTable, FileReport]:
    dialect = csv_sniff.sniff(path, source)
    rejects: Sequence[RejectedRow] = ()
    try:
        table = _plain_csv(database, path, dialect)
    except _NotPlain:
        table, rejects, dialect = _careful_csv(database, path, dialect)
    return table, FileReport(
        dialect.layout,
        dialect.paths,
        rejects=rejects,
        warnings=dialect.warnings,
        unknown_columns=dialect.columns.unread_count,
        unread=dialect.columns.unread,
        column_names=dialect.columns.of_paths,
        is_csv=True,
        written=dialect.description,
    )


def _careful_csv(
    database: Database, path: Path, dialect: CsvDialect
) -> tuple[EmbeddedTable, Sequence[RejectedRow], CsvDialect]:
    count = Utf8Count()
    rows = _counted(database, csv_rows.careful_rows(path, dialect, count), path, "csv")
    table, rejects = _copied(database, rows, len(dialect.positions))
    decided = dialect.decided(count)
    if decided.encoding == dialect.encoding:
        return table, rejects, decided
    table.release()
    rows = _counted(database, csv_rows.careful_rows(path, decided), path, "csv")
    return *_copied(database, rows, len(decided.positions)), decided


def _read_json(database: Database, path: Path, source: Source) -> tuple[EmbeddedTable, FileReport]:
    shape = json_layout.probe(path, source)
    layout = shape.layout
    rejects: Sequence[RejectedRow] = ()
    try:
        table = _plain_json(database, path, shape)
    except _NotPlain:
        rows = _counted(database, json_rows.careful_rows(path, shape), path, "json")
        table, rejects = _copied(database, rows, len(layout.paths))
    return table, FileReport(layout, shape.paths, rejects=rejects, members=shape.members, unread=shape.unread)


def _plain_csv(database: Database, path: Path, dialect: CsvDialect) -> EmbeddedTable:
    """Raises: _NotPlain for a ragged row, a stray quote, another encoding; UnreadableFile for a binary file."""
    if not dialect.is_plain:
        raise _NotPlain
    served = Served(path, 0, dialect.end, CsvBytes(dialect.encoding).feed)
    return _loaded(database, [served], lambda urls: _csv_query(urls, dialect)).numbered("row_number", 1)


def _plain_json(database: Database, path: Path, shape: JsonShape) -> EmbeddedTable:
    """Raises: _NotPlain for a document of another shape, for a malformed or lax one, and for odd elements."""
    layout = shape.layout
    window = json_window.array_window(path, layout.rows_at) if json_window.has_simple_paths(layout) else None
    if window is None:
        raise _NotPlain
    types = json_columns(layout, shape.paths)
    if types is not None:
        with suppress(_NotPlain):
            parts = json_window.parts_of_window(path, window, database.threads)
            return _plain_array(database, path, parts, lambda urls: json_query(urls, layout, types))
    return _plain_array(database, path, [window], lambda urls: _json_query(urls, layout))


def _plain_array(
    database: Database, path: Path, parts: Sequence[tuple[int, int]], query: Callable[[str], str]
) -> EmbeddedTable:
    """The customers in these parts of the document, which are read at the same time. Raises: _NotPlain."""
    served = [Served(path, *part, LaxJson().feed, before=b"[", after=b"]") for part in parts]
    table = _loaded(database, served, query)
    if database.run(f"select count(*) from {table.name} where is_odd")[0][0]:
        table.release()
        raise _NotPlain
    # Not derived: that would be a second copy of all rows, kept as long as the first.
    return table.numbered("row_number", 1, without="is_odd")


def _loaded(database: Database, served: Sequence[Served], query: Callable[[str], str]) -> EmbeddedTable:
    """The rows that DuckDB reads from ``served``, one after the other, if their checks have passed all of the bytes.

    Raises: _NotPlain, or what a check raised.
    """
    table = None
    try:
        with ExitStack() as open_urls:
            urls = [open_urls.enter_context(database.served(one)) for one in served]
            open_urls.enter_context(database.lending(_bytes_while_reading(database, served)))
            table = database.materialise(query(f"[{', '.join(map(sql_text, urls))}]"))
    except (duckdb.InvalidInputException, duckdb.ConversionException, OutOfMemory, MemoryError):
        pass  # malformed for DuckDB, or too large: our readers need less memory, and say what is odd about the file
    except TransientError:
        if all(one.fault is None for one in served):
            raise
    if table is not None and all(one.is_checked for one in served):
        return table
    if table is not None:
        table.release()
    fault = next((one.fault for one in served if one.fault is not None), None)
    if fault is None or isinstance(fault, NeedsStrictParser | MemoryError):
        raise _NotPlain
    raise fault


def _bytes_while_reading(database: Database, served: Sequence[Served]) -> int:
    """What Python and the reader have of a file at one moment: each thread a few copies of a buffer."""
    return min(4 * sum(one.size for one in served), database.threads * _READER_BYTES)


def _counted(
    database: Database, rows: Iterator[RawRow | RejectedRow], path: Path, file_format: Literal["csv", "json"]
) -> Iterator[RawRow | RejectedRow]:
    """The same rows; they move the meter."""
    return database.meter.counted(rows, row_estimate.estimated_rows(path, file_format))


def _copied(
    database: Database, rows: Iterator[RawRow | RejectedRow], width: int
) -> tuple[EmbeddedTable, Sequence[RejectedRow]]:
    """The rows of a careful reader as a table, and the rejects."""
    rejects = RejectFile(database.own_path("rejects"))
    with database.own_csv() as path:
        with (
            database.meter.part(_ROW_BY_ROW),
            rejects.writing() as add_reject,
            open(path, "w", encoding="utf-8", errors="surrogatepass", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
            for row in rows:
                if isinstance(row, RejectedRow):
                    add_reject(row)
                else:
                    writer.writerow((row[0], *row[1]))
        cells = (f"'{cell_name(index)}': 'VARCHAR'" for index in range(width))
        return database.read_own_csv(path, ["'row_number': 'BIGINT'", *cells]), rejects.rejects()


def _csv_query(urls: str, dialect: CsvDialect) -> str:
    """The query for a well-formed CSV file in UTF-8; it fails for any other."""
    # The size of the buffer is given: DuckDB would take sixteen lines of the longest, and if they are one row
    # without end, gigabytes for its cells, which no memory limit counts.
    columns = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(dialect.width))
    cells = ", ".join(
        f"{'null::varchar' if position is None else f'c{position}'} as {cell_name(index)}"
        for index, position in enumerate(dialect.positions)
    )
    whole = ", ".join(f"c{index}" for index in range(dialect.width))
    return f"""
        select {cells}
        from read_csv(
            {urls}, auto_detect=false, hive_partitioning=false, header=false, skip={dialect.header_lines},
            delim='{dialect.delimiter}', quote='"', escape='"', strict_mode=true,
            max_line_size={MAX_CELL_CHARACTERS}, buffer_size={MAX_ROW_CHARACTERS},
            columns={{{columns}}})
        -- a row that begins with a visible character is not blank; only others must be read whole
        where coalesce({whole}, '') between '!' and '~~' or not regexp_full_match(concat({whole}), '{BLANK}*')
    """


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
