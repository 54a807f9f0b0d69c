"""Write the results of a case into its ``expected/`` folder; review them as a diff.

python -m tests.regenerate CASE            the files that are there; for a new case the three that every case has
python -m tests.regenerate CASE FILE ...   these files as well, such as id_changes.csv
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from tests.case_runs import CaseRun, run_case
from tests.small_batches import published
from tests.worlds import CASES

FILES_OF_A_NEW_CASE = ("customer_master.csv", "duplicate_report.csv", "integration_log.txt")
STAMP = "2024-01-15 10:30:00"


def outcome_of(run: CaseRun) -> dict[str, str]:
    """File name -> text of what a case publishes, or ``error.txt`` and the log; one time stamp, one batch id.

    Without the Parquet files: ``tests/test_parquet.py`` compares these with the texts.
    """
    if run.code:
        [log] = [*run.outbox.glob("failed/*/integration_log.txt"), *run.outbox.glob("integration_log.txt")][:1]
        return {"error.txt": _without_batch_id(run.err), "integration_log.txt": stamped(_read(log))}
    texts = (path for path in published(run.outbox).iterdir() if path.suffix != ".parquet")
    return {path.name: stamped(_read(path)) for path in texts}


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def stamped(text: str) -> str:
    """The text with one time stamp for all of its log lines."""
    return re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?= - )", STAMP, text, flags=re.MULTILINE)


def _without_batch_id(text: str) -> str:
    return re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{6}(?:-\d+)?", "BATCH", text)


def main(name: str, *files: str) -> None:
    """Write the expected files of one case."""
    expected = CASES / name / "expected"
    expected.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        found = outcome_of(run_case(CASES / name, Path(folder)))
    there = {path.name for path in expected.iterdir()}
    wanted = ("error.txt", "integration_log.txt") if "error.txt" in found else (*(there or FILES_OF_A_NEW_CASE), *files)
    for file_name in wanted:
        (expected / file_name).write_bytes(found[file_name].encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
