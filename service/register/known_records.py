"""Which customer a record belongs to, found by its key: the register is in the order of keys, a set is not."""

from __future__ import annotations

from pathlib import Path

from service.engine.contract import PARQUET, Reader
from service.folders import StateFolders
from service.register.tables import RECORDS_FILE
from service.unified_ids import unified_id

_CUSTOMER_OF = f"select customer from {PARQUET} where record_key = ?"


def customer_of(record_key: str, batch_id: str, state: Path, reader: Reader) -> str | None:
    """The unified id of the customer that a record belongs to, or last belonged to, after a batch.

    None where the record was never there. ``reader``: one that may read ``StateFolders(state).register``.

    Raises: as ``Reader.rows``; only the generation of the last published batch is kept.
    """
    path = StateFolders(state).register / batch_id / RECORDS_FILE
    found = reader.rows(_CUSTOMER_OF, str(path), record_key)
    return unified_id(found[0][0]) if found else None
