"""What tasks of Spark do with an export: each reads a part of it with DuckDB, or one reads it whole, row by row.

A task writes its rows into a Parquet file. What is wrong with the export is a result of the task, not a failure: Spark
would try again, and report the text of an error of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from service.engine.contract import sql_text
from service.engine.embedded_tables import PARQUET_OPTIONS, Database
from service.engine.plain_files import FilePart, NotPlain, Query, loaded
from service.engine.spark_files import file_of_task
from service.engine.spark_terms import MEMORY_MB, connected
from service.errors import ServiceError, TransientError
from service.readers import csv_ranges, csv_rows, json_rows
from service.readers.csv_sniff import CsvDialect
from service.readers.json_layout import JsonShape
from service.readers.rows import RawRow, RejectedRow, RejectFile, cell_name

T = TypeVar("T")
Fault = NotPlain | ServiceError
"""Why a task has no rows."""

_ROWS_OF_A_ROW_GROUP = 20_000
_CHARACTERS_OF_A_ROW_GROUP = 16 << 20
"""Rows are kept in memory until they are so many, or so long: a row may have as many characters."""


class MarkCount(NamedTuple):
    """Counts quotes and line breaks in ranges of a file."""

    path: Path

    def within(self, found: csv_ranges.Range) -> csv_ranges.Marks | Fault:
        """The counts of one range."""
        return _outcome(lambda: csv_ranges.marks_in(self.path, found))


class StoredRows(NamedTuple):
    """Rows in a Parquet file: ``row_number``, from 1 in this file, and the cells."""

    path: Path
    rows: int

    @property
    def name(self) -> str:
        """See ``plain_files.Stored``."""
        return f"read_parquet({sql_text(str(self.path))}, hive_partitioning=false)"

    def release(self) -> None:
        """See ``plain_files.Stored``."""
        self.path.unlink()


class PlainReading(NamedTuple):
    """Reads parts of an export by a query into files in ``folder``."""

    folder: Path
    query: Query

    def read(self, part: FilePart) -> StoredRows | Fault:
        """The rows of one part."""
        return _outcome(lambda: self._read(part))

    def _read(self, part: FilePart) -> StoredRows:
        path = file_of_task(self.folder, "part")
        part.path.open("rb").close()  # DuckDB would hide why it cannot be opened
        with closing(connected()) as connection:
            database = Database(connection, self.folder)
            database.set_memory(MEMORY_MB)

            def store(select: str) -> StoredRows:
                numbered = f"select row_number() over () as row_number, * from ({select})"
                ((rows,),) = database.run(f"copy ({numbered}) to {sql_text(str(path))} ({PARQUET_OPTIONS})")
                return StoredRows(path, int(rows))

            return loaded(database, [part], self.query, store)


class CarefullyRead(NamedTuple):
    """What a careful reader gave.

    rows       rows with their numbers, and the cells
    is_dense   whether their numbers are 1, 2, …
    rejects    a file of ``rejected`` rejects
    dialect    of a CSV file: what all of its bytes decided
    """

    rows: StoredRows
    is_dense: bool
    rejects: Path
    rejected: int
    dialect: CsvDialect | None = None

    def release(self) -> None:
        """Remove it."""
        self.rows.release()
        self.rejects.unlink()


class CarefulReading(NamedTuple):
    """Reads a whole export row by row, in bounded memory, into files in ``folder``."""

    folder: Path
    structure: CsvDialect | JsonShape

    def read(self, path: Path) -> CarefullyRead | Fault:
        """The rows of the export at ``path``, and its rejects."""
        return _outcome(lambda: self._of_csv(path) if isinstance(self.structure, CsvDialect) else self._of_json(path))

    def _of_csv(self, path: Path) -> CarefullyRead:
        assert isinstance(self.structure, CsvDialect)
        width = len(self.structure.positions)
        found, dialect = csv_rows.stored_rows(path, self.structure, lambda rows: self._stored(rows, width))
        return found._replace(dialect=dialect)

    def _of_json(self, path: Path) -> CarefullyRead:
        assert isinstance(self.structure, JsonShape)
        return self._stored(json_rows.careful_rows(path, self.structure), len(self.structure.layout.paths))

    def _stored(self, rows: Iterator[RawRow | RejectedRow], width: int) -> CarefullyRead:
        path, rejects = file_of_task(self.folder, "rows"), file_of_task(self.folder, "rejects")
        schema = pa.schema([("row_number", pa.int64()), *((cell_name(index), pa.string()) for index in range(width))])
        reject_file, count, last = RejectFile(rejects), 0, 0
        with reject_file.writing() as add_reject, pq.ParquetWriter(path, schema, compression="zstd") as file:
            for group in _row_groups(rows, add_reject):
                count, last = count + len(group), group[-1][0]
                file.write_table(_table(group, schema))
        return CarefullyRead(StoredRows(path, count), last == count, rejects, reject_file.count)


def _row_groups(rows: Iterator[RawRow | RejectedRow], reject: Callable[[RejectedRow], None]) -> Iterator[list[RawRow]]:
    """The rows in lists of bounded size; ``reject`` gets the rejects."""
    group: list[RawRow] = []
    characters = 0
    for row in rows:
        if isinstance(row, RejectedRow):
            reject(row)
            continue
        group.append(row)
        characters += sum(len(cell) for cell in row[1] if cell)
        if len(group) == _ROWS_OF_A_ROW_GROUP or characters > _CHARACTERS_OF_A_ROW_GROUP:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _table(group: list[RawRow], schema: pa.Schema) -> pa.Table:
    """The rows of a group, in which an empty cell is null, as in the embedded engine."""
    columns = [[cells[index] or None for _, cells in group] for index in range(len(schema) - 1)]
    return pa.Table.from_arrays(
        [pa.array(it, kind.type) for it, kind in zip([[number for number, _ in group], *columns], schema, strict=True)],
        schema=schema,
    )


def _outcome(work: Callable[[], T]) -> T | Fault:
    """What ``work`` returns, or what is wrong with the export, or with the machine."""
    try:
        return work()
    except (NotPlain, ServiceError) as fault:
        return fault
    except OSError as error:
        return TransientError(
            f"an executor cannot read the export, or not write its rows: {error.strerror}",
            hint="driver and executors must share the file systems of SERVICE_INBOX and SERVICE_STATE",
        )
