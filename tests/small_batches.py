"""Batches for tests: written to files or straight into tables of a real engine, and run through the real stages."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import duckdb
import numpy as np

from service import logs
from service.engine.contract import Engine, Table
from service.engine.embedded import EmbeddedEngine, open_embedded
from service.engine.memory import resident_mb
from service.files import fingerprint_of, sha256_of
from service.inbox.names import read_name
from service.jobs import by_hand
from service.model import CRM as CRM_SOURCE
from service.model import ECOM as ECOM_SOURCE
from service.model import SOURCES, InputFile, Layout, Source, Summary
from service.readers.rows import cell_name
from service.settings import Settings
from service.sources import sources_of
from tests.worlds import CRM, ECOM

HEADER = ("customer_id", "full_name", "email", "phone", "signup_date", "status")
NOON = datetime(2024, 1, 15, 12, 0, 0, tzinfo=UTC)

Cells = Sequence[str | None]


class AnyEngine(Engine, Protocol):
    """An engine of whichever kind, and what tests need of it besides the contract."""

    def table(self, columns: Mapping[str, Any]) -> Table:
        """A table of arrays."""


@contextmanager
def shared_engine(folder: Path) -> Iterator[EmbeddedEngine]:
    """A real engine for all tests of a module; see ``registered_once``."""
    with small_engine(folder) as engine, registered_once(engine):
        yield engine


@contextmanager
def registered_once(engine: AnyEngine) -> Iterator[None]:
    """The first function of a name is registered, later ones are ignored."""
    names: set[str] = set()
    register = engine.register

    def register_once(name: str, function: Callable[..., Any], result: str = "varchar") -> None:
        if name not in names:
            names.add(name)
            register(name, function, result)

    with mock.patch.object(engine, "register", register_once):
        yield


@contextmanager
def small_engine(folder: Path, threads: int = 2) -> Iterator[EmbeddedEngine]:
    """A real engine that works in ``folder``.

    The limit counts the whole process, in which earlier tests may have left much: the engine gets 1 GB besides.
    """
    folder.mkdir(parents=True, exist_ok=True)
    memory_limit_mb = resident_mb() + 1024
    with open_embedded(folder, (folder.parent,), memory_limit_mb=memory_limit_mb, threads=threads) as engine:
        yield engine


def delivered_file(source: Source, path: Path, content: bytes | str) -> InputFile:
    """The export ``content`` as a delivery at ``path``."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return InputFile(source, path, sha256_of(path), fingerprint_of(path), settle_proof="given")


def table_of(engine: AnyEngine, columns: Mapping[str, Sequence[Any]]) -> Table:
    """A table of any columns: integers, booleans, texts with None for null."""
    arrays: dict[str, Any] = {}
    for name, column in columns.items():
        is_text = all(value is None or isinstance(value, str) for value in column)
        arrays[name] = np.array(list(column), dtype=object if is_text else None)
    typed = ", ".join(f"{name}::varchar as {name}" if it.dtype == object else name for name, it in arrays.items())
    return engine.table(arrays).derive(f"select {typed} from this")


RAW_FIELDS = (
    *("source_id", "full_name", "first_name", "last_name", "email", "phone", "signup_date", "status", "orders_count"),
)
"""The cells of the two built-in layouts, under one name each."""
PLACES = {
    "crm": dict(zip(HEADER, ("source_id", *HEADER[1:]), strict=True)),
    "ecom": {
        "id": "source_id",
        "name": "full_name",
        "name.first": "first_name",
        "name.last": "last_name",
        "contact.email": "email",
        "contact.phone": "phone",
        "registered": "signup_date",
        "orders_count": "orders_count",
    },
}


def raw_rows(table: Table, layout: Layout) -> list[tuple[Any, ...]]:
    """What ``Engine.read`` gave, by row number: row number and the cells in the order of ``RAW_FIELDS``."""
    names = [PLACES[layout.name].get(path, path) for path in layout.paths]
    cells = [cell_name(names.index(name)) if name in names else "null" for name in RAW_FIELDS]
    return table.derive(f"select row_number, {', '.join(cells)} from this order by row_number").rows()


def raw_table(engine: AnyEngine, **fields: Sequence[str | None]) -> Table:
    """The named fields as given, the others null."""
    length = len(next(iter(fields.values())))
    columns: dict[str, Sequence[Any]] = {"row_number": list(range(1, length + 1))}
    columns |= {field: fields.get(field, [None] * length) for field in RAW_FIELDS}
    return table_of(engine, columns)


def cells_table(engine: AnyEngine, layout: Layout, **fields: Sequence[str | None]) -> Table:
    """What ``Engine.read`` gives for a built-in layout: the named fields as given, the others null."""
    places = PLACES[layout.name]
    named = enumerate(places.get(path, "null::varchar") for path in layout.paths)
    cells = (f"{cell} as {cell_name(index)}" for index, cell in named)
    return raw_table(engine, **fields).derive(f"select row_number, {', '.join(cells)} from this")


def crm_text(rows: Sequence[Cells], header: Sequence[str] = HEADER) -> str:
    """A CRM export; None is an empty cell."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue()


def ecom_text(rows: Sequence[Cells]) -> str:
    """A shop export of rows (id, first name, last name, e-mail, phone, registered); None is left out."""
    return json.dumps({"customers": [_customer(row) for row in rows]}, indent=1)


def _customer(row: Cells) -> dict[str, Any]:
    id_, first, last, email, phone, registered = row
    nested: dict[str, Any] = {
        "id": id_,
        "name": _given({"first": first, "last": last}),
        "contact": _given({"email": email, "phone": phone}),
        "registered": registered,
    }
    return _given(nested)


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def write_pair(folder: Path, crm: str | bytes, ecom: str | bytes) -> Path:
    """Both exports under their default names; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    delivered_file(CRM_SOURCE, folder / CRM, crm)
    delivered_file(ECOM_SOURCE, folder / ECOM, ecom)
    return folder


def integrate_pair(pair: Path, outbox: Path, now: datetime = NOON, **settings: Any) -> Summary:
    """The story by hand, in this process, with a clock that stands still."""
    return _integrate((pair / CRM, pair / ECOM), outbox, Settings(**settings), now)


def integrate_folder(folder: Path, outbox: Path, **settings: Any) -> Summary:
    """The same for the exports in a folder, whatever their kinds."""
    known = Settings(**settings)
    return _integrate(exports_in(folder, known), outbox, known, NOON)


def exports_in(folder: Path, settings: Settings) -> tuple[Path, ...]:
    """The files of a folder whose names belong to a source: those of the built-in ones first, as ``integrate`` asks."""
    sources = sources_of(settings.sources)
    named = [(read_name(path.name, sources), path) for path in folder.iterdir() if path.is_file()]
    found = {name.source.name: path for name, path in named if name}
    order = dict.fromkeys([*(source.name for source in SOURCES), *(source.name for source in sources)])
    return tuple(found[name] for name in order if name in found)


def _integrate(exports: Sequence[Path], outbox: Path, settings: Settings, now: datetime) -> Summary:
    logs.configure()
    outbox.mkdir(parents=True, exist_ok=True)
    return by_hand.integrate_files(exports, outbox, settings, lambda: now)


def published(outbox: Path) -> Path:
    """The folder of the set that the manifest names."""
    manifest = json.loads((outbox / "manifest.json").read_text(encoding="utf-8"))
    return outbox / "batches" / str(manifest["batch_id"])


def rows_of(path: Path) -> list[dict[str, str]]:
    """A published CSV file."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def parquet_of(path: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """A published Parquet file: column -> type, and the rows in order."""
    with duckdb.connect() as connection:
        found = connection.execute("select * from read_parquet(?)", [str(path)])
        columns = {name: str(kind) for name, kind, *_ in found.description or ()}
        return columns, [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
