"""Analytics floors: the least that the stages of the analytics export must do, done by DuckDB with all cores.

extract      reads the file of the API into a table, as one stream: DuckDB reads that on one core
normalise    writes each text of that table once more, after one function of each
match        finds its addresses in the master
export       writes the published files again: Parquet by rows, the others by lines
publish      hashes them, syncs them, and copies the flat ones

The floors check nothing and derive no field, so there is none of the stage ``enrich``.

``python -m benchmarks.peers.analytics_floor API_FILE MASTER OUTBOX BATCH``  ->  JSON: stage -> [seconds, CPU seconds]
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import duckdb

from benchmarks.peers.full_floor import PARQUET
from benchmarks.peers.stage_floors import publish, timed
from service.readers.json_window import array_window
from service.readers.served_files import Served, ServedFiles

_MEMBERS = (
    *("id", "email", "first_name", "last_name", "avatar", "engagement_score", "last_active_at", "signup_source"),
    *("region", "country", "plan", "total_spent"),
)
_LINES = "format csv, header false, delimiter '\x01', quote '', escape ''"


def main(api_file: Path, master: Path, outbox: Path, batch_id: str) -> None:
    """Print what each stage takes at least; ``outbox`` has the published set of the export."""
    published = outbox / "batches" / batch_id
    with duckdb.connect() as connection, tempfile.TemporaryDirectory(dir=outbox) as name:
        folder = Path(name)
        floors = {
            "extract": timed(lambda: _read(connection, api_file)),
            "normalise": timed(lambda: _normalise(connection)),
            "match": timed(lambda: _match(connection, master)),
        }
        written = [_kept(connection, path) for path in sorted(published.iterdir())]
        flat = [path.name for path in outbox.iterdir() if path.is_file() and (published / path.name).is_file()]
        floors["export"] = timed(lambda: _export(connection, written, folder))
        floors["publish"] = timed(lambda: publish(folder, flat))
    print(json.dumps(floors))


def _kept(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, str, str]:
    """The table of a published file's rows or lines, its name, and how it is written."""
    table = f'"{path.name}"'
    if path.suffix == ".parquet":
        connection.execute(f"create table {table} as from read_parquet('{path}')")
        return table, path.name, PARQUET
    connection.execute(
        f"create table {table} as from read_csv('{path}', columns={{'line': 'varchar'}}, header=false, "
        "auto_detect=false, delim='\x01', quote='', escape='', parallel=false, max_line_size=16000000)"
    )
    return table, path.name, _LINES


def _read(connection: duckdb.DuckDBPyConnection, api_file: Path) -> None:
    window = array_window(api_file, "data")
    assert window is not None, "the generator writes the plain form"
    columns = ", ".join(f"{member}: 'varchar'" for member in _MEMBERS)
    files = ServedFiles()
    connection.register_filesystem(files)
    with files.at_url(Served(api_file, *window, lambda chunk: None, before=b"[", after=b"]")) as url:
        connection.execute(f"create table customers as from read_json('{url}', format='array', columns={{{columns}}})")


def _normalise(connection: duckdb.DuckDBPyConnection) -> None:
    terms = ", ".join(f"lower({member}) as {member}" for member in _MEMBERS)
    connection.execute(f"create table normalised as select {terms} from customers")


def _match(connection: duckdb.DuckDBPyConnection, master: Path) -> None:
    connection.execute(
        f"create table found as select normalised.id, master.unified_id from normalised "
        f"join read_parquet('{master}') as master using (email)"
    )


def _export(connection: duckdb.DuckDBPyConnection, written: list[tuple[str, str, str]], folder: Path) -> None:
    for table, file_name, options in written:
        connection.execute(f"copy {table} to '{folder / file_name}' ({options})")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
