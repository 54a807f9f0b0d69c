"""Full floor: read both exports, then write, hash and sync as many bytes, in files of the same names and kinds, as a
published set has, and its flat copies. It computes nothing: what a program takes beyond it is its work.

``python -m benchmarks.peers.full_floor CRM ECOM FOLDER PLAN``
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import duckdb
import msgspec

from benchmarks.peers.reading import both_exports

PARQUET = "format parquet, compression zstd, compression_level 1"
"""As the service writes it."""


class PlannedFile(msgspec.Struct, frozen=True):
    """A file to write: its name, its bytes, and how many rows of the exports have about as many."""

    name: str
    size: int
    rows: int


class Plan(msgspec.Struct, frozen=True):
    """A published set: its files, and the names of those that are copied beside it."""

    files: tuple[PlannedFile, ...]
    flat: tuple[str, ...]


def plan_of(outbox: Path, crm: Path, ecom: Path) -> Plan:
    """The plan of the one set in an outbox; the rows that fill a file are found by a trial, for each kind."""
    (published,) = (outbox / "batches").iterdir()
    sizes = {path.name: path.stat().st_size for path in sorted(published.iterdir())}
    with both_exports(crm, ecom) as (connection, rows), tempfile.TemporaryDirectory() as name:
        count = _keep(connection, rows)
        bytes_of_all = {}
        for kind, options in (("csv", "format csv"), ("parquet", PARQUET)):
            trial = Path(name, f"trial.{kind}")
            connection.execute(f"copy kept to '{trial}' ({options})")
            bytes_of_all[kind] = trial.stat().st_size
    files = (
        PlannedFile(name, size, _rows_for(name, size / bytes_of_all[_kind(name)] * count))
        for name, size in sizes.items()
    )
    flat = tuple(sorted(path.name for path in outbox.iterdir() if path.is_file() and path.name in sizes))
    return Plan(tuple(files), flat)


def _kind(name: str) -> str:
    return "parquet" if name.endswith(".parquet") else "csv"


def _rows_for(name: str, rows: float) -> int:
    """A few more for a text file: it is cut to its size."""
    return round(rows) if _kind(name) == "parquet" else round(1.02 * rows) + 10


def main(crm: Path, ecom: Path, folder: Path, plan: Plan) -> None:
    """Write the files of the plan into ``folder/set``, hash and sync them, and copy the flat ones into ``folder``."""
    published = folder / "set"
    published.mkdir()
    with both_exports(crm, ecom) as (connection, rows):
        count = _keep(connection, rows)
        for file in plan.files:
            _write(connection, file, count, published / file.name)
    hashes = {}
    for file in plan.files:
        with open(published / file.name, "rb+") as written:
            hashes[file.name] = hashlib.file_digest(written, "sha256").hexdigest()
            os.fsync(written.fileno())
    _sync_folder(published)
    for name in plan.flat:
        shutil.copyfile(published / name, folder / name)
        with open(folder / name, "rb+") as copied:
            os.fsync(copied.fileno())
    _sync_folder(folder)
    print(json.dumps(hashes))


def _keep(connection: duckdb.DuckDBPyConnection, rows: str) -> int:
    """Read the exports into the table ``kept``; returns the number of its rows."""
    connection.execute("set preserve_insertion_order = false")
    connection.execute(f"create temp table kept as {rows}")
    ((count,),) = connection.execute("select count(*) from kept").fetchall()
    return int(count)


def _write(connection: duckdb.DuckDBPyConnection, file: PlannedFile, count: int, path: Path) -> None:
    times, more = divmod(file.rows, max(count, 1))
    parts = ["from kept"] * times + [f"from kept limit {more}"]
    is_text = _kind(file.name) == "csv"
    options = "format csv, header false" if is_text else PARQUET
    connection.execute(f"copy ({' union all '.join(f'({part})' for part in parts)}) to '{path}' ({options})")
    if is_text:
        os.truncate(path, file.size)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    plan = msgspec.json.decode(Path(sys.argv[4]).read_bytes(), type=Plan)
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), plan)
