"""Stage floors: the least that each stage of a batch must do, done by DuckDB with all cores.

extract      reads both exports into a table, in their order; JSON as one stream, which DuckDB reads on one core
normalise    writes each text of that table once more, after one function of each
deduplicate  numbers the records that have the same value, for each of the four values
survive      one record of each customer, and how many there are
identify     joins the records with the customers
load         writes the published files again, from tables that have their rows in the order of the file
publish      hashes them, syncs them, and copies the flat ones

They parse no phone and no date, check nothing, and explain nothing: a stage cannot reach its floor, and what it takes
beyond it is its work.

``python -m benchmarks.peers.stage_floors CRM ECOM OUTBOX``  ->  one line of JSON: stage -> [seconds, CPU seconds]
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb

from benchmarks.peers.full_floor import PARQUET
from benchmarks.peers.reading import both_exports

_TEXTS = ("id", "full_name", "email", "phone", "signup_date", "status")
_VALUES = ("record_key", "full_name", "email", "phone")


def main(crm: Path, ecom: Path, outbox: Path) -> None:
    """Print what each stage takes at least; ``outbox`` has one published set of the two exports."""
    (published,) = (outbox / "batches").iterdir()
    with both_exports(crm, ecom) as (connection, rows), tempfile.TemporaryDirectory(dir=outbox) as name:
        folder = Path(name)
        floors = {"extract": timed(lambda: connection.execute(f"create table entered as {rows}"))}
        records = published / "records.parquet"
        connection.execute(f"create table records as from read_parquet('{records}') order by ordinal")
        floors["normalise"] = timed(lambda: _normalise(connection))
        floors["deduplicate"] = timed(lambda: _deduplicate(connection))
        floors["survive"] = timed(lambda: _survive(connection))
        floors["identify"] = timed(lambda: _identify(connection))
        written = list(_kept(connection, published))
        floors["load"] = timed(lambda: _load(connection, written, folder))
        flat = [path.name for path in outbox.iterdir() if path.is_file() and (folder / path.name).is_file()]
        floors["publish"] = timed(lambda: publish(folder, flat))
    print(json.dumps(floors))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds and CPU seconds of a call."""
    began, began_cpu = time.monotonic(), time.process_time()
    work()
    return round(time.monotonic() - began, 3), round(time.process_time() - began_cpu, 3)


def _normalise(connection: duckdb.DuckDBPyConnection) -> None:
    terms = ", ".join(f"lower({text}) as {text}" for text in _TEXTS)
    connection.execute(f"create table normalised as select {terms} from entered")


def _deduplicate(connection: duckdb.DuckDBPyConnection) -> None:
    for value in _VALUES:
        connection.execute(
            f"create table numbered_by_{value} as select ordinal, first from records "
            f"join (select {value}, min(ordinal) as first from records group by {value}) using ({value})"
        )


def _survive(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "create table survivors as select unified_id, min(ordinal) as ordinal, count(*) as records "
        "from records group by unified_id"
    )


def _identify(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "create table identified as select records.ordinal, survivors.ordinal as kept "
        "from records join survivors using (unified_id)"
    )


def _kept(connection: duckdb.DuckDBPyConnection, published: Path) -> Iterator[tuple[str, str]]:
    """Each published file that holds rows, and the table of them."""
    for number, path in enumerate(sorted(published.iterdir())):
        if path.suffix == ".parquet":
            source = f"read_parquet('{path}')"
        elif path.suffix == ".csv":
            source = f"read_csv('{path}', all_varchar=true, header=true, parallel=false)"
        else:
            continue
        connection.execute(f"create table file_{number} as from {source}")
        yield path.name, f"file_{number}"


def _load(connection: duckdb.DuckDBPyConnection, written: list[tuple[str, str]], folder: Path) -> None:
    for name, table in written:
        options = PARQUET if name.endswith(".parquet") else "format csv, header true"
        connection.execute(f"copy {table} to '{folder / name}' ({options})")


def publish(folder: Path, flat: list[str]) -> None:
    """Hash and sync every file of the folder, and copies of those with the names ``flat``."""
    for path in sorted(folder.iterdir()):
        _hash_and_sync(path)
    for name in flat:
        copied = folder / f"flat {name}"
        shutil.copyfile(folder / name, copied)
        _hash_and_sync(copied)


def _hash_and_sync(path: Path) -> None:
    with open(path, "rb+") as file:
        hashlib.file_digest(file, "sha256")
        os.fsync(file.fileno())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
