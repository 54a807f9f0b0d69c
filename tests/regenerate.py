"""Write what a case comes out as into its ``expected/`` folder, to be reviewed as a diff.

python -m tests.regenerate CASE            the files that lie there already; a first time the three asked for
python -m tests.regenerate CASE FILE ...   these files as well, such as id_changes.csv
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from service.errors import ServiceError
from tests.small_batches import integrate_folder, published
from tests.worlds import CASES

ASKED_FOR = ("customer_master.csv", "duplicate_report.csv", "integration_log.txt")
STAMP = "2024-01-15 10:30:00"


def case_names() -> list[str]:
    """The cases there are."""
    return sorted(path.parent.name for path in CASES.glob("*/why.md"))


def settings_of(case: Path) -> dict[str, Any]:
    """What is set in the case."""
    given = case / "settings.json"
    return json.loads(given.read_text(encoding="utf-8")) if given.exists() else {}


def outcome_of(case: Path, folder: Path) -> dict[str, str]:
    """Everything a case publishes, or ``error.txt`` and the log of the failure; time stamps and ids made equal."""
    settings = settings_of(case)
    outbox = folder / "outbox"
    if (case / "before").is_dir():
        integrate_folder(case / "before", outbox, **settings)
    try:
        integrate_folder(case, outbox, **settings)
    except ServiceError as error:
        [log] = [*outbox.glob("failed/*/integration_log.txt"), *outbox.glob("integration_log.txt")][:1]
        return {"error.txt": _without_batch_id(error.explained()) + "\n", "integration_log.txt": stamped(_read(log))}
    return {path.name: stamped(_read(path)) for path in published(outbox).iterdir()}


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
        found = outcome_of(CASES / name, Path(folder))
    there = {path.name for path in expected.iterdir()}
    wanted = ("error.txt", "integration_log.txt") if "error.txt" in found else (*(there or ASKED_FOR), *files)
    for file_name in wanted:
        (expected / file_name).write_bytes(found[file_name].encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
