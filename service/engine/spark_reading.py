"""Read a large export by tasks of Spark: in parts if it is plain, else row by row in one task.

The rows, rejects, warnings and errors are those of the embedded engine. Driver and executors share the file systems on
which the export and the work folder lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from service.engine.plain_files import (
    FilePart,
    Marked,
    NotPlain,
    Query,
    csv_queries,
    csv_whole,
    first_that_reads,
    json_array,
    json_part,
    json_queries,
)
from service.engine.spark_exports import CarefullyRead, CarefulReading, Fault, MarkCount, PlainReading, StoredRows
from service.engine.spark_session import Session
from service.engine.spark_tables import Rows, SparkTable, rows_of_numbered_files
from service.errors import InputError, ServiceError
from service.files import move, remove_tree
from service.model import InputFile, Source
from service.readers import csv_ranges, csv_sniff, json_layout, json_window
from service.readers.csv_sniff import CsvDialect
from service.readers.json_layout import JsonShape
from service.readers.rows import FileReport, RejectedRow, RejectFile, cell_name

T = TypeVar("T")

PART_BYTES = 64 << 20
"""A task reads about so much of a plain export, in seconds. Smaller files are read by the driver."""


def is_large(path: Path) -> bool:
    """Whether an export is worth several tasks."""
    return path.stat().st_size > PART_BYTES


def read(session: Session, file: InputFile, path: Path) -> tuple[SparkTable, FileReport]:
    """See ``Engine.read``; ``path`` is what ``embedded_files.content_file`` gave."""
    read_format = _read_csv if file.file_format == "csv" else _read_json
    rows, report = read_format(session, path.absolute(), file.source)
    return SparkTable(session, rows), report


def _read_csv(session: Session, path: Path, source: Source) -> tuple[Rows, FileReport]:
    dialect = csv_sniff.sniff(path, source)
    try:
        return _plain_csv(session, path, dialect), dialect.report()
    except (NotPlain, InputError):
        pass
    rows, found = _careful(session, path, dialect, len(dialect.positions))
    return rows, (found.dialect or dialect).report(_rejects(found))


def _read_json(session: Session, path: Path, source: Source) -> tuple[Rows, FileReport]:
    shape = json_layout.probe(path, source)
    try:
        return _plain_json(session, path, shape), shape.report()
    except NotPlain:
        pass
    rows, found = _careful(session, path, shape, len(shape.layout.paths))
    return rows, shape.report(_rejects(found))


# --------------------------------------------------------------------------------------------------- plain files


def _plain_csv(session: Session, path: Path, dialect: CsvDialect) -> Rows:
    """Raises: NotPlain; InputError, of which the careful reader knows the line; TransientError."""
    queries = csv_queries(dialect)
    header = csv_ranges.first_line(path)[: dialect.end]
    steps = csv_ranges.of_size(len(header), dialect.end, PART_BYTES)
    marks = _results_or_raise(session.each(steps, MarkCount(path).within))
    can_be_cut = csv_ranges.have_one_line_break(header, marks)
    ranges = csv_ranges.ending_with_rows(path, steps, marks) if can_be_cut else [(len(header), dialect.end)]
    # Each with the header: DuckDB takes the line break of the first line for that of all.
    parts = [FilePart(path, *within, before=header, encoding=dialect.encoding) for within in ranges]
    load = _Load(session, parts, csv_whole(path, dialect), len(dialect.positions))
    return first_that_reads(queries, load.in_parts_or_whole)


def _plain_json(session: Session, path: Path, shape: JsonShape) -> Rows:
    """Raises: NotPlain, TransientError."""
    window = json_array(path, shape.layout)
    queries = json_queries(shape)
    count = -(-(window[1] - window[0]) // PART_BYTES)
    parts = [json_part(path, part) for part in json_window.parts_of_window(path, window, count)]
    load = _Load(session, parts, json_part(path, window), len(shape.layout.paths))
    # The last is for documents of any shape, in which a cut may be wrong.
    return first_that_reads(
        queries, lambda query: load.in_parts_or_whole(query) if query is queries[-1] else load.in_parts(query)
    )


class _Load(NamedTuple):
    """Loads a plain export by a query."""

    session: Session
    parts: Sequence[FilePart]
    whole: FilePart
    width: int

    def in_parts_or_whole(self, query: Query) -> Rows:
        """The rows of the parts; where DuckDB refuses one, a cut may be wrong: those of the whole, read by one task."""
        if len(self.parts) == 1:
            return self._loaded([self.whole], query)
        try:
            return self._loaded(self.parts, query)
        except Marked:
            raise
        except NotPlain:
            return self._loaded([self.whole], query)

    def in_parts(self, query: Query) -> Rows:
        """The rows of the parts, each read by a task."""
        return self._loaded(self.parts, query)

    def _loaded(self, parts: Sequence[FilePart], query: Query) -> Rows:
        """Raises: NotPlain, InputError, TransientError."""
        folder = self.session.new_folder("parts").absolute()
        folder.mkdir()
        try:
            found = _results_or_raise(self.session.each(parts, PlainReading(folder, query).read))
            return _rows(self.session, found, self.width)
        finally:
            remove_tree(folder)


def _results_or_raise(found: Sequence[T | Fault]) -> list[T]:
    """What tasks found. Raises the fault with the lowest rank, if there is one."""
    faults = [it for it in found if isinstance(it, NotPlain | ServiceError)]
    if faults:
        raise min(faults, key=_rank)
    return [it for it in found if not isinstance(it, NotPlain | ServiceError)]


# A subclass stands before its base: InputError is a ServiceError, Marked is NotPlain. The fault with the lowest rank is
# raised.
_RANKS = ((InputError, 0), (Marked, 3), (NotPlain, 1), (ServiceError, 2))


def _rank(fault: Fault) -> int:
    """The least of several faults is the one that the embedded engine would find."""
    return next(rank for kind, rank in _RANKS if isinstance(fault, kind))


def _rows(session: Session, parts: Sequence[StoredRows], width: int) -> Rows:
    """The rows of files that tasks wrote, one after the other."""
    folder = session.new_folder("table").absolute()
    folder.mkdir()
    counts = {f"part_{number:06}.parquet": part.rows for number, part in enumerate(parts)}
    # Their folder may get more: a task that Spark gave up may still write.
    for name, part in zip(counts, parts, strict=True):
        move(part.path, folder / name, durable=False)
    return rows_of_numbered_files(session, folder, counts, [cell_name(index) for index in range(width)])


# --------------------------------------------------------------------------------------------------- other files


def _careful(session: Session, path: Path, structure: CsvDialect | JsonShape, width: int) -> tuple[Rows, CarefullyRead]:
    """The rows of a file that is read row by row, by one task. Raises: InputError, TransientError."""
    folder = session.new_folder("careful").absolute()
    folder.mkdir()
    (found,) = _results_or_raise(session.each([path], CarefulReading(folder, structure).read))
    return _rows(session, [found.rows], width)._replace(is_dense=found.is_dense), found


def _rejects(found: CarefullyRead) -> Sequence[RejectedRow]:
    """The rejects of a careful reader, whose file is kept as long as they may be read."""
    return RejectFile(found.rejects, found.rejected).rejects()
