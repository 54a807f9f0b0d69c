"""The tables of one generation of the register, and their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from service.engine.contract import Engine, Table
from service.files import sync_files

RECORDS_FILE, _CUSTOMERS, _ALIASES = "records.parquet", "customers.parquet", "aliases.parquet"
_FILES = (RECORDS_FILE, _CUSTOMERS, _ALIASES)
OPTIONAL_FILES = frozenset({_ALIASES})
"""The files that programs before 27 November 2026 did not write."""
_NO_RECORDS = "select '' as record_key, 0::bigint as customer, true as in_last where false"
_NO_CUSTOMERS = "select 0::bigint as customer, '' as state, 0::bigint as merged_into where false"
_NO_ALIASES = "select 0::bigint as alias, '' as record_key where false"


@dataclass(frozen=True)
class RegisterTables:
    """The tables of one generation of the register.

    records    record_key · customer · in_last    every record so far, with its last customer; in_last: whether the
               record was in the last batch that had this customer
    customers  customer · state · merged_into     every customer so far: ``live``, ``retired``, or ``merged``: an alias
    aliases    alias · record_key                 the records that each alias had when it was merged
    """

    records: Table
    customers: Table
    aliases: Table

    def write(self, folder: Path) -> None:
        """Write the files of this generation durably."""
        self.records.write_parquet(folder / RECORDS_FILE, "record_key")
        self.customers.write_parquet(folder / _CUSTOMERS, "customer")
        self.aliases.write_parquet(folder / _ALIASES, "alias, record_key")
        sync_files([folder / name for name in _FILES])

    def release(self) -> None:
        """Free the memory of the tables."""
        for table in (self.records, self.customers, self.aliases):
            table.release()


def read_tables(folder: Path, engine: Engine) -> RegisterTables:
    """The tables of a generation; without aliases where a former version wrote it."""
    aliases = folder / _ALIASES
    return RegisterTables(
        engine.read_parquet(folder / RECORDS_FILE),
        engine.read_parquet(folder / _CUSTOMERS),
        engine.read_parquet(aliases) if aliases.exists() else no_tables(engine).aliases,
    )


def no_tables(engine: Engine) -> RegisterTables:
    """The tables before the first generation."""
    nothing = engine.text_table(("nothing",), ())
    return RegisterTables(*(nothing.derive(sql) for sql in (_NO_RECORDS, _NO_CUSTOMERS, _NO_ALIASES)))


def missing_files(folder: Path) -> list[str]:
    """The names of the files that a generation of this version has, and this one has not."""
    return [name for name in _FILES if not (folder / name).exists()]


def size_of_tables(folder: Path) -> int:
    """The size of the files of a generation, in bytes."""
    return sum(path.stat().st_size for path in (folder / name for name in _FILES) if path.exists())
