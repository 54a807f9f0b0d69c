"""Load an export into DuckDB: by DuckDB's own readers if the file is plain, else row by row through ours."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from service.engine.embedded_tables import Database, EmbeddedTable
from service.engine.plain_files import (
    FilePart,
    NotPlain,
    Query,
    csv_queries,
    csv_whole,
    first_that_reads,
    json_array,
    json_part,
    json_queries,
    loaded,
)
from service.model import InputFile, Source
from service.readers import csv_rows, csv_sniff, file_kind, gzip_file, json_layout, json_rows, json_window, row_estimate
from service.readers.csv_sniff import CsvDialect
from service.readers.json_layout import JsonShape
from service.readers.rows import FileReport, RawRow, RejectedRow, RejectFile, cell_name

_ROW_BY_ROW = 0.9
"""The share of the time that a careful reader takes; the rest is DuckDB's, which reads what it wrote."""


def read(database: Database, file: InputFile, work_folder: Path) -> tuple[EmbeddedTable, FileReport]:
    """See ``Engine.read``."""
    with content_file(file, work_folder) as path:
        return read_content(database, file, path)


@contextmanager
def content_file(file: InputFile, work_folder: Path) -> Iterator[Path]:
    """The content of an export, which exists as a file until the block ends. Raises: UnreadableFile."""
    with gzip_file.unpacked(file.path, work_folder) as path:
        file_kind.refuse_other_kinds(path, file.file_format, file.file_name)
        yield path


def read_content(database: Database, file: InputFile, path: Path) -> tuple[EmbeddedTable, FileReport]:
    """See ``Engine.read``; ``path`` is what ``content_file`` gave."""
    read_format = _read_csv if file.file_format == "csv" else _read_json
    return read_format(database, path, file.source)


def _read_csv(database: Database, path: Path, source: Source) -> tuple[EmbeddedTable, FileReport]:
    dialect = csv_sniff.sniff(path, source)
    try:
        return _plain_csv(database, path, dialect), dialect.report()
    except NotPlain:
        pass

    def copied(rows: Iterator[RawRow | RejectedRow]) -> _Copy:
        return _copied(database, _counted(database, rows, path, "csv"), len(dialect.positions))

    copy, dialect = csv_rows.stored_rows(path, dialect, copied)
    return copy.table, dialect.report(copy.rejects)


def _read_json(database: Database, path: Path, source: Source) -> tuple[EmbeddedTable, FileReport]:
    shape = json_layout.probe(path, source)
    try:
        return _plain_json(database, path, shape), shape.report()
    except NotPlain:
        pass
    rows = _counted(database, json_rows.careful_rows(path, shape), path, "json")
    copy = _copied(database, rows, len(shape.layout.paths))
    return copy.table, shape.report(copy.rejects)


def _plain_csv(database: Database, path: Path, dialect: CsvDialect) -> EmbeddedTable:
    """Raises: NotPlain for a ragged row, a stray quote, another encoding; UnreadableFile for a binary file."""
    return first_that_reads(csv_queries(dialect), lambda query: _numbered(database, [csv_whole(path, dialect)], query))


def _plain_json(database: Database, path: Path, shape: JsonShape) -> EmbeddedTable:
    """Raises: NotPlain for a document of another shape, for a malformed or lax one, and for odd elements."""
    window = json_array(path, shape.layout)
    queries = json_queries(shape)

    def load(query: Query) -> EmbeddedTable:
        # The last is for documents of any shape, in which a cut may be wrong.
        is_last = query is queries[-1]
        parts = [window] if is_last else json_window.parts_of_window(path, window, database.threads)
        return _plain_array(database, path, parts, query)

    return first_that_reads(queries, load)


def _plain_array(database: Database, path: Path, parts: Sequence[tuple[int, int]], query: Query) -> EmbeddedTable:
    """The customers in these parts of the document, which are read at the same time. Raises: NotPlain."""
    return _numbered(database, [json_part(path, part) for part in parts], query)


def _numbered(database: Database, parts: Sequence[FilePart], query: Query) -> EmbeddedTable:
    """The rows of these parts, see ``plain_files.loaded``, with their numbers."""
    table = loaded(database, parts, query, database.materialise)
    # Not derived: that would be a second copy of all rows, kept as long as the first.
    return table.numbered("row_number", 1, without=query.mark)


class _Copy(NamedTuple):
    """What a careful reader gave."""

    table: EmbeddedTable
    rejects: Sequence[RejectedRow]

    def release(self) -> None:
        """Free it."""
        self.table.release()


def _counted(
    database: Database, rows: Iterator[RawRow | RejectedRow], path: Path, file_format: Literal["csv", "json"]
) -> Iterator[RawRow | RejectedRow]:
    """The same rows; they move the meter."""
    return database.meter.counted(rows, row_estimate.estimated_rows(path, file_format))


def _copied(database: Database, rows: Iterator[RawRow | RejectedRow], width: int) -> _Copy:
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
        return _Copy(database.read_own_csv(path, ["'row_number': 'BIGINT'", *cells]), rejects.rejects())
