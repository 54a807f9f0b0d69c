"""``python -m tests.faults.one_read FILE``: read one shop export, and print time and memory."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from service.files import fingerprint_of
from service.model import ECOM, InputFile
from service.readers import json_rows
from tests.small_batches import small_engine


def main(path: Path) -> dict[str, Any]:
    """The number of rows, the reader, the time in seconds and the peak memory of this process in bytes."""
    readers = ["engine"]
    careful = json_rows.careful_rows

    def recorded(*arguments: Any) -> Any:
        readers.append("with care")
        return careful(*arguments)

    began = time.monotonic()
    with (
        pytest.MonkeyPatch.context() as patched,
        tempfile.TemporaryDirectory(dir=path.parent) as work,
        small_engine(Path(work)) as engine,
    ):
        patched.setattr(json_rows, "careful_rows", recorded)
        table, report = engine.read(InputFile(ECOM, path, "", fingerprint_of(path), settle_proof="given"))
        rows = table.derive("select count(*), max(row_number), count(distinct cell_0) from this").rows()[0]
    return {
        "rows": rows[0],
        "last": rows[1],
        "ids": rows[2],
        "rejects": len(report.rejects),
        "reader": readers[-1],
        "seconds": round(time.monotonic() - began, 1),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
