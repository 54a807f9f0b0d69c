"""Read published Parquet files with DuckDB, in a process that lives long and must stay small.

A statement can read files below the given folders, and nothing else: no other file, no network, no setting. The text
of a statement is ours; values from outside reach it as parameters.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

import duckdb

from service.commands import command
from service.engine.contract import Reader, Row, StatementTooSlow, sql_text
from service.engine.embedded_tables import OutOfMemory
from service.errors import TransientError

_NOT_FOUND = ("No files found that match", os.strerror(errno.ENOENT))
"""The second: it was removed between the two looks that the engine takes at a file."""
_AT_ONCE = 2
"""Statements that run at the same time, so that all together fit into the memory limit; others wait."""
_BETWEEN_INTERRUPTS = 0.1
"""Seconds: an interrupt before a statement begins has no effect."""


@contextmanager
def open_embedded_reader(
    folders: Sequence[Path], *, memory_limit_mb: int, limit_seconds: float
) -> Iterator[EmbeddedReader]:
    """See ``service.engine.open_reader``."""
    reader = EmbeddedReader(folders, memory_limit_mb, limit_seconds)
    try:
        yield reader
    finally:
        reader.close()


class EmbeddedReader:
    """See ``Reader``. A few threads run the statements, first come, first served; each has a cursor of its own."""

    def __init__(self, folders: Sequence[Path], memory_limit_mb: int, limit_seconds: float) -> None:
        self._folders = folders
        self._memory_limit_mb = memory_limit_mb
        self._limit_seconds = limit_seconds
        self._opening = Lock()
        self._opened_at: list[Path] = []
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._workers = ThreadPoolExecutor(_AT_ONCE, "reader")

    def rows(self, sql: str, *parameters: Any) -> list[Row]:
        """See ``Reader.rows``."""
        cursors: list[duckdb.DuckDBPyConnection] = []
        result = self._workers.submit(self._run, sql, parameters, cursors)
        try:
            return result.result(self._limit_seconds)
        except TimeoutError:
            while not result.cancel() and not result.done():
                for cursor in cursors:
                    with suppress(duckdb.ConnectionException):  # it was closed at this moment
                        cursor.interrupt()
                wait([result], _BETWEEN_INTERRUPTS)
        raise StatementTooSlow(
            f"the statement took longer than {self._limit_seconds:g} seconds",
            hint="ask for less, or again when the machine is less busy",
        )

    def close(self) -> None:
        """Free the memory; a statement that runs is ended by its time."""
        self._workers.shutdown(cancel_futures=True)
        if self._connection is not None:
            self._connection.close()

    def _run(self, sql: str, parameters: Sequence[Any], cursors: list[duckdb.DuckDBPyConnection]) -> list[Row]:
        """The rows of a statement, in a thread of ours. Its cursor is added to ``cursors``, for an interrupt."""
        connection = self._open_connection()
        with connection.cursor() as cursor:
            cursors.append(cursor)
            statement = _select(cursor, sql)
            with _errors_translated():
                try:
                    return list(cursor.execute(statement, parameters).fetchall())
                except (duckdb.FatalException, duckdb.InternalException):
                    self._leave(connection)
                    raise

    def _open_connection(self) -> duckdb.DuckDBPyConnection:
        """The database; it is opened again where a link on the way to a folder was changed."""
        with self._opening:
            folders = [folder.resolve() for folder in self._folders]
            if self._connection is None or folders != self._opened_at:
                self._connection, self._opened_at = self._connected(folders), folders
            return self._connection

    def _leave(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let the next statement open the database again: after an error that a damaged file caused it refuses all."""
        with self._opening:
            if self._connection is connection:
                self._connection = None

    def _connected(self, folders: Sequence[Path]) -> duckdb.DuckDBPyConnection:
        config: dict[str, Any] = {
            "memory_limit": f"{self._memory_limit_mb}MB",
            "threads": 1,
            "async_threads": 0,  # see ``embedded``
            "temp_directory": "",  # nothing is written: a statement that does not fit into the memory fails
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        connection = duckdb.connect(":memory:", config=config)
        connection.execute("set parquet_metadata_cache = true")  # to parse a footer costs more than to find a row
        # DuckDB compares resolved paths: a link in one of the folders does not lead out of it.
        allowed = ", ".join(sql_text(str(folder)) for folder in folders)
        connection.execute(f"set allowed_directories = [{allowed}]")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        return connection


def _select(cursor: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """The one query in ``sql``: nothing else can write into the folders. Raises: ValueError."""
    statements = cursor.extract_statements(sql)
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        raise ValueError("a reader runs one select at a time")
    return statements[0]


@contextmanager
def _errors_translated() -> Iterator[None]:
    """Errors of files and memory as ours. The engine's text may hold a customer's value, and is not passed on."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise OutOfMemory("the statement needs more memory than a reader has", hint="ask for less") from None
    except (duckdb.Error, UnicodeDecodeError) as error:  # a message of DuckDB may be no text
        if isinstance(error, duckdb.ParserException | duckdb.CatalogException):
            raise  # the statement is wrong, whatever the file and the parameters are
        if isinstance(error, duckdb.IOException) and any(text in str(error) for text in _NOT_FOUND):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
        raise TransientError(
            f"the query failed: {_reason(error)}", hint=f"`{command('verify')}` says whether a file was changed"
        ) from None


def _reason(error: Exception) -> str:
    """Which column is missing, else the class of the error alone."""
    return str(error).splitlines()[0] if isinstance(error, duckdb.BinderException) else type(error).__name__


_is_reader: type[Reader] = EmbeddedReader
