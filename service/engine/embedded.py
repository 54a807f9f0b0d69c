"""The embedded engine: DuckDB in this process, within a memory limit, spilling into a folder of ours.

Nothing is fetched from the network: extensions are neither installed nor loaded by themselves.
"""

from __future__ import annotations

import csv
import errno
import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from duckdb.func import FunctionNullHandling, PythonUDFType

from service.engine.contract import BLANK, Engine, IntArray, Row, Table, sql_text
from service.errors import Interrupted, TransientError
from service.model import InputFile, Layout, Source
from service.readers import csv_file, file_kind, gzip_file, json_file
from service.readers.csv_file import CsvDialect
from service.readers.json_window import WindowFiles
from service.readers.rows import FileReport, RawRow, RejectedRow, cell_name


@contextmanager
def open_engine(work_folder: Path, *, memory_limit_mb: int, threads: int = 0) -> Iterator[EmbeddedEngine]:
    """An engine whose tables live until the block ends; ``work_folder`` must exist and is its only disk."""
    config: dict[str, Any] = {
        "memory_limit": f"{memory_limit_mb}MB",
        "threads": threads or len(os.sched_getaffinity(0)),
        # Else eight more, which wait for object stores and take 72 MB of address space each: stack and malloc's arena.
        "async_threads": 0,
        "temp_directory": str(work_folder),
        "home_directory": str(work_folder),
        "extension_directory": str(work_folder),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": True,
    }
    connection = duckdb.connect(":memory:", config=config)
    try:
        yield EmbeddedEngine(connection, work_folder)
    finally:
        connection.close()


class EmbeddedTable:
    """A table of the connection; ``derive`` makes further ones and leaves this as it is."""

    def __init__(self, engine: EmbeddedEngine, name: str) -> None:
        self._engine = engine
        self.name = name

    def derive(self, sql: str, **others: Table) -> EmbeddedTable:
        """See ``Table.derive``. The result is materialised at once."""
        for alias, table in {"this": self, **others}.items():
            assert isinstance(table, EmbeddedTable), "tables of two engines do not mix"
            self._engine.run(f'create or replace temp view "{alias}" as select * from {table.name}')
        return self._engine.materialise(sql)

    def rows(self) -> list[Row]:
        """All rows."""
        return self._engine.run(f"select * from {self.name}")

    def count(self) -> int:
        """How many rows."""
        return int(self._engine.run(f"select count(*) from {self.name}")[0][0])

    def integers(self, *columns: str) -> tuple[IntArray, ...]:
        """See ``Table.integers``; rows come in the order of the first column, then the second, …"""
        listed = ", ".join(columns)
        arrays = self._engine.arrays(f"select {listed} from {self.name} order by {listed}")
        return tuple(np.asarray(arrays[column], dtype=np.int64) for column in columns)

    def write_csv(self, path: Path, columns: Sequence[str], order_by: str, *, bom: bool = False) -> None:
        """See ``Table.write_csv``."""
        # The mark goes before the first name of the header: a second pass over a large file is saved.
        mark = "\ufeff" if bom else ""
        listed = ", ".join([f'{columns[0]} as "{mark}{columns[0]}"', *columns[1:]])
        # An empty comment character: DuckDB would else put quotes round every cell with a "#".
        self._copy(
            f"select {listed} from {self.name} order by {order_by}",
            path,
            "format csv, header true, delimiter ',', quote '\"', escape '\"', nullstr '', comment ''",
        )

    def write_lines(self, path: Path, column: str, order_by: str) -> None:
        """See ``Table.write_lines``; a text with line breaks is several lines."""
        self._copy(
            f"select {column} from {self.name} order by {order_by}",
            path,
            "format csv, header false, delimiter '\x01', quote '', escape '', nullstr '', comment ''",
        )

    def write_parquet(self, path: Path, order_by: str) -> None:
        """See ``Table.write_parquet``."""
        self._copy(f"select * from {self.name} order by {order_by}", path, "format parquet")

    def _copy(self, select: str, path: Path, options: str) -> None:
        self._engine.run(f"copy ({select}) to {sql_text(str(path))} ({options})")


class EmbeddedEngine:
    """See ``Engine``."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, work_folder: Path) -> None:
        self._connection = connection
        self._work_folder = work_folder
        self._tables = 0
        self._windows = WindowFiles()
        connection.register_filesystem(self._windows)

    def read(self, delivery: InputFile) -> tuple[EmbeddedTable, FileReport]:
        """See ``Engine.read``."""
        read = self._read_csv if delivery.file_format == "csv" else self._read_json
        with gzip_file.unpacked(delivery.path, self._work_folder) as path:
            file_kind.refuse_other_kinds(path, delivery.file_format, delivery.file_name)
            return read(path, delivery.source)

    def read_parquet(self, path: Path) -> EmbeddedTable:
        """See ``Engine.read_parquet``."""
        return self.materialise(f"select * from read_parquet({sql_text(str(path))})")

    def table(self, columns: Mapping[str, IntArray]) -> EmbeddedTable:
        """See ``Engine.table``."""
        self._connection.register("columns_of_numpy", dict(columns))
        try:
            return self.materialise("select * from columns_of_numpy")
        finally:
            self._connection.unregister("columns_of_numpy")

    def text_table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> EmbeddedTable:
        """See ``Engine.text_table``."""
        if not rows:
            empty = ", ".join(f"null::varchar as {column}" for column in columns)
            return self.materialise(f"select {empty} where false")
        # By way of a file: inserting row by row costs milliseconds each.
        path = self._work_folder / f"{self._new_name()}.csv"
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        table = self._read_own_csv(path, [f"'{column.strip(chr(34))}': 'VARCHAR'" for column in columns])
        path.unlink()
        return table

    def register(self, name: str, function: Callable[..., Any], result: str = "varchar") -> None:
        """See ``Engine.register``."""

        # DuckDB counts the parameters of what it is given, so there is one wrapper for each number.
        wrappers: dict[int, Callable[..., Any]] = {
            1: lambda value: None if value is None else function(value),
            2: lambda value, rule: None if value is None else function(value, rule),
        }
        parameters = len(inspect.signature(function).parameters)
        self._connection.create_function(
            name,
            wrappers[parameters],
            ["varchar"] * parameters,
            result,
            type=PythonUDFType.NATIVE,
            # "special": else DuckDB takes a null result for an error.
            null_handling=FunctionNullHandling.SPECIAL,
        )

    def interrupt(self) -> None:
        """See ``Engine.interrupt``."""
        with suppress(duckdb.ConnectionException):  # it was closed at this moment: there is nothing to interrupt
            self._connection.interrupt()

    def materialise(self, select: str) -> EmbeddedTable:
        """Run a query into a new table."""
        name = self._new_name()
        self.run(f"create temp table {name} as {select}")
        return EmbeddedTable(self, name)

    def run(self, sql: str) -> list[Row]:
        """Run a statement; foreign errors come out as ours."""
        with _faults_of_the_world():
            return list(self._connection.execute(sql).fetchall())

    def arrays(self, sql: str) -> dict[str, Any]:
        """Run a query into numpy columns."""
        with _faults_of_the_world():
            return dict(self._connection.execute(sql).fetchnumpy())

    def _new_name(self) -> str:
        self._tables += 1
        return f"table_{self._tables}"

    def _read_csv(self, path: Path, source: Source) -> tuple[EmbeddedTable, FileReport]:
        layout = csv_file.inspect(path, source)
        report = FileReport(
            layout.layout,
            layout.paths,
            warnings=layout.warnings,
            unknown_columns=layout.unknown_columns,
            written=_written(layout),
        )
        if layout.is_plain:
            try:
                return self.materialise(_plain_csv(path, layout)), report
            except (duckdb.InvalidInputException, duckdb.ConversionException, _OutOfMemory):
                pass  # a ragged row, a stray quote, another encoding, an endless row: read it with care instead
        warnings = list(layout.warnings)
        table, rejects = self._rewritten(csv_file.careful_rows(path, layout, warnings), len(layout.positions))
        is_western = len(warnings) > len(layout.warnings)
        written = report.written.replace("UTF-8", "Windows-1252") if is_western else report.written
        return table, replace(report, rejects=rejects, warnings=tuple(warnings), written=written)

    def _read_json(self, path: Path, source: Source) -> tuple[EmbeddedTable, FileReport]:
        layout, places = json_file.layout_of(path, source)
        report = FileReport(layout, places, members=json_file.members_before(path, layout.rows_at))
        window = json_file.array_window(path, layout.rows_at) if json_file.has_simple_places(layout) else None
        if window is not None and not json_file.may_be_lax(path, window):
            try:
                return self._plain_json(path, layout, window), report
            except (duckdb.InvalidInputException, duckdb.ConversionException, _OutOfMemory, MemoryError, _NotPlain):
                pass  # another shape, or malformed: the careful reader takes it or says where it goes wrong
        table, rejects = self._rewritten(json_file.careful_rows(path, layout), len(layout.paths))
        return table, replace(report, rejects=rejects)

    def _plain_json(self, path: Path, layout: Layout, window: tuple[int, int]) -> EmbeddedTable:
        with self._windows.onto(path, window) as url:
            table = self.materialise(_plain_json(url, layout))
        if self.run(f"select count(*) from {table.name} where is_odd")[0][0]:
            raise _NotPlain
        # Not derived: that would be a second copy of all rows, which stays for as long as the first.
        self.run(f"alter table {table.name} drop column is_odd")
        return table

    def _rewritten(
        self, rows: Iterator[RawRow | RejectedRow], width: int
    ) -> tuple[EmbeddedTable, tuple[RejectedRow, ...]]:
        """Rows the careful readers give, as a table: by way of a file that any engine reads."""
        rejects: list[RejectedRow] = []
        path = self._work_folder / f"rewritten_{self._new_name()}.csv"
        with open(path, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
            writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
            for row in rows:
                if isinstance(row, RejectedRow):
                    rejects.append(row)
                else:
                    writer.writerow((row[0], *row[1]))
        cells = (f"'{cell_name(index)}': 'VARCHAR'" for index in range(width))
        table = self._read_own_csv(path, ["'row_number': 'BIGINT'", *cells])
        path.unlink()
        return table, tuple(rejects)

    def _read_own_csv(self, path: Path, columns: Sequence[str]) -> EmbeddedTable:
        """A file that we wrote ourselves, without a header."""
        # The line break is given: else DuckDB guesses it, and stumbles over "\r\n" inside a cell.
        return self.materialise(
            f"select * from read_csv({sql_text(str(path))}, auto_detect=false, header=false, delim=',', quote='\"', "
            f"escape='\"', new_line='\\n', parallel=false, max_line_size={4 * csv_file.MAX_CELL_CHARACTERS}, "
            f"columns={{{', '.join(columns)}}})"
        )


class _OutOfMemory(TransientError):
    """The engine met its memory limit. The careful readers need less, and say what is odd about the file."""


class _NotPlain(Exception):
    """The file holds something that only the careful reader understands."""


def _written(layout: CsvDialect) -> str:
    names = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8 with byte order mark", "utf-16": "UTF-16"}
    delimiter = {"\t": "tab"}.get(layout.delimiter, layout.delimiter)
    return f"{names[layout.encoding]}, cells parted by {delimiter}"


def _plain_csv(path: Path, layout: CsvDialect) -> str:
    """The query for a well-formed CSV file in UTF-8; it fails for any other."""
    # The size of the buffer is given: DuckDB would take sixteen lines of the longest, and where they are one row
    # without end the gigabytes for its cells, which no memory limit counts.
    columns = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(layout.width))
    cells = ", ".join(
        f"{'null::varchar' if position is None else f'c{position}'} as {cell_name(index)}"
        for index, position in enumerate(layout.positions)
    )
    whole = ", ".join(f"c{index}" for index in range(layout.width))
    return f"""
        select row_number() over () as row_number, {cells}
        from read_csv(
            {sql_text(str(path))}, auto_detect=false, header=false, skip={layout.header_lines},
            delim='{layout.delimiter}', quote='"', escape='"', strict_mode=true,
            max_line_size={csv_file.MAX_CELL_CHARACTERS}, buffer_size={csv_file.MAX_ROW_CHARACTERS},
            columns={{{columns}}})
        -- a row that begins with a visible character is not blank; only others need to be looked at whole
        where coalesce({whole}, '') between '!' and '~~' or not regexp_full_match(concat({whole}), '{BLANK}*')
    """


def _plain_json(url: str, layout: Layout) -> str:
    """The query for an array of customers; rows it should not be trusted with are marked ``is_odd``."""
    steps = [json_file.steps_to(place) for place in layout.paths]
    paths = ", ".join(f"'{_json_path(way)}'" for way in steps)
    # What has further places inside is no text by itself: a name that is an object is not a name, its parts are.
    outer = {index for index, way in enumerate(steps) if any(other[: len(way)] == way != other for other in steps)}
    is_nested = "(starts_with(cells[{0}], '{{') or starts_with(cells[{0}], '['))"
    cells = ", ".join(
        f"case when not {is_nested.format(index + 1)} then cells[{index + 1}] end as {cell_name(index)}"
        for index in range(len(steps))
    )
    nested = " or ".join(
        f"coalesce({is_nested.format(index + 1)}, false)" for index in range(len(steps)) if index not in outer
    )
    numbers = {place for name in layout.numbers for place in layout.paths_of(name)}
    members = "|".join(
        sorted(
            {re.escape(str(way[-1])) for place, way in zip(layout.paths, steps, strict=True) if place not in numbers}
        )
    )
    # DuckDB's JSON is laxer than the standard and takes NaN; it turns 5.55E+06 into 5550000.0; and a name that
    # begins with a bracket looks like its parts. All this may be harmless text, the careful reader knows.
    odd = (
        r"(?i)[:\[,]-?(?:nan|inf(?:inity)?)[,\]}]"
        rf'|"(?:{members})":(?:-?[0-9]+[.e]|-0|"[\[{{])'
    )
    # Only the careful reader counts levels; there cannot be more of them than opening brackets.
    deep = (
        f"length(text) > {2 * json_file.MAX_DEPTH} "
        rf"and length(regexp_replace(text, '[^\[{{]+', '', 'g')) > {json_file.MAX_DEPTH}"
    )
    return f"""
        select
            row_number, {cells},
            kind is distinct from 'OBJECT' or {nested} or regexp_matches(text, {sql_text(odd)}) or ({deep}) as is_odd
        from (
            select
                row_number() over () as row_number,
                json_type(json) as kind,
                json::varchar as text,
                json_extract_string(json, [{paths}]) as cells
            from read_json({sql_text(url)}, format='array', records=false, columns={{json: 'JSON'}})
        )
    """


def _json_path(steps: tuple[str | int, ...]) -> str:
    """The way in DuckDB's notation, for a text in quotes."""
    ways = (f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in steps)
    return "$" + "".join(ways).replace("'", "''")


def _reason(error: duckdb.Error) -> str:
    """The system's own words, where the engine repeats them; the rest of its text is not for logs."""
    reasons = (os.strerror(number) for number in errno.errorcode)
    return next((reason for reason in reasons if f": {reason}" in str(error)), type(error).__name__)


@contextmanager
def _faults_of_the_world() -> Iterator[None]:
    try:
        yield
    except duckdb.InterruptException:
        raise Interrupted("the work was interrupted", hint="it is taken up again at the next start") from None
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        kind = _OutOfMemory if isinstance(error, duckdb.OutOfMemoryException) else TransientError
        raise kind(
            f"the engine met a fault of the world: {_reason(error)}",
            hint="see that disk and memory suffice; SERVICE_MEMORY_LIMIT_MB bounds the engine",
        ) from None


_is_engine: type[Engine] = EmbeddedEngine
