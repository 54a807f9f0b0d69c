"""Files that Spark writes: each task a part, in DuckDB's own format; the driver puts the parts together, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyspark import TaskContext

from service.engine.contract import sql_text
from service.engine.embedded_tables import CSV_OPTIONS, LINES_OPTIONS, PARQUET_OPTIONS
from service.engine.spark_schema import ParquetQuery, TableStatistics, as_declared, declared
from service.engine.spark_session import Session, parquet_files
from service.engine.spark_terms import worker_connection
from service.files import remove_tree

_PART = "number bigint, name string"
_COPIED_BYTES = 1 << 20


class TaskFile(NamedTuple):
    """Writes the rows of a task to a file in ``folder``; ``options`` are those of DuckDB's ``copy``."""

    folder: str
    options: str

    def write(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Write the rows. Returns one row: the number of the partition, and the name of the file.

        No row where there is nothing to write.
        """
        first = next(batches, None)
        if first is None:
            return
        path = file_of_task(Path(self.folder), "part")
        connection = worker_connection()
        connection.register("part_rows", pa.RecordBatchReader.from_batches(first.schema, chain([first], batches)))
        try:
            connection.execute(f"copy (select * from part_rows) to {sql_text(str(path))} ({self.options})")
        finally:
            connection.unregister("part_rows")
        yield pa.RecordBatch.from_pydict({"number": [running_task().partitionId()], "name": [path.name]})


def running_task() -> TaskContext:
    """The task in which this is called."""
    task = TaskContext.get()
    assert task is not None, "only in a task"
    return task


def file_of_task(folder: Path, kind: str) -> Path:
    """A path for a file of this task: one that is tried again, or twice at the same time, writes another."""
    task = running_task()
    return folder / f"{kind}_{task.partitionId()}_{task.taskAttemptId()}"


def write_csv(session: Session, query: str, path: Path, columns: Sequence[str], *, bom: bool) -> None:
    """Write the rows of an ordered query with a header; see ``Table.write_csv``."""
    nothing = session.local.text_table(columns, ())
    nothing.write_csv(path, columns, columns[0], bom=bom)
    nothing.release()
    _append_task_files(session, query, path, f"{CSV_OPTIONS}, header false")


def write_lines(session: Session, query: str, path: Path) -> None:
    """Write the rows of an ordered query of one column as lines; see ``Table.write_lines``."""
    path.write_bytes(b"")
    _append_task_files(session, query, path, LINES_OPTIONS)


def write_parquet(
    session: Session, query: str, path: Path, request: ParquetQuery, statistics: Mapping[str, TableStatistics]
) -> None:
    """Write the rows of an ordered query, which ``request`` states on tables of these statistics."""
    folder = session.new_folder("task_files")
    session.write(query, folder)
    fields = declared(session.local, request, statistics, session.new_folder("declared"))
    names = ", ".join(sql_text(str(it)) for it in parquet_files(folder))
    # Of several files DuckDB does not know which columns have no nulls; of a table it does.
    rows = session.local.materialise(f"from read_parquet([{names}], hive_partitioning=false)")
    listed = ", ".join(map(as_declared, fields))
    session.local.run(f"copy (select {listed} from {rows.name}) to ? ({PARQUET_OPTIONS})", str(path))
    rows.release()
    remove_tree(folder)


def _append_task_files(session: Session, query: str, path: Path, options: str) -> None:
    folder = session.new_folder("task_files")
    folder.mkdir()
    # Tasks run in a folder of their own, and SERVICE_STATE may be relative.
    part = TaskFile(str(folder.absolute()), options)
    with session.one_statement():
        # A function, because Spark takes no bound method of a tuple.
        parts = session.data(query).mapInArrow(lambda batches: part.write(batches), _PART).collect()
    with open(path, "ab") as file:
        for _, name in sorted(parts):
            with open(folder / name, "rb") as rows:
                while block := rows.read(_COPIED_BYTES):
                    file.write(block)
    remove_tree(folder)
