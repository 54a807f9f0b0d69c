"""Write the results of an analytics case into its ``expected/`` folder; review them as a diff.

python -m tests.regenerate_analytics CASE            the files that are there; for a new case the export
python -m tests.regenerate_analytics CASE FILE ...   these files as well, such as analytics_report.json
python -m tests.regenerate_analytics schema          docs/sample_output.schema.json
python -m tests.regenerate_analytics words           the table of words at the end of docs/analytics.md
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from service.jobs.analytics import rules_of
from service.model import API
from service.pipeline.analytics.export import EXPORT, schema
from service.settings import load
from service.vocabulary import CHANNELS, PLANS, REGIONS
from tests.small_batches import delivered_file, integrate_pair, published
from tests.small_exports import analysed_file
from tests.worlds import CRM, ROOT

CLAIMED_AT = datetime(2025, 9, 4, 18, 41, 19, tzinfo=UTC)
"""The time of the export that the requirement prints."""
CASES = Path(__file__).with_name("analytics_cases")


def case_names() -> list[str]:
    """The names of all cases."""
    return sorted(path.parent.name for path in CASES.glob("*/why.md"))


def outcome_of(case: Path, folder: Path) -> dict[str, str]:
    """File name -> text of every file that a case publishes. Exports for the master, if any, are integrated first."""
    settings, _ = load(case)
    master = None
    if (case / CRM).exists():
        integrate_pair(case, folder / "integration")
        master = published(folder / "integration")
        master = master.rename(master.with_name("the_master"))
    file = delivered_file(API, folder / API.file_name, (case / API.file_name).read_bytes())
    _, found = analysed_file(folder, file, master=master, rules=rules_of(settings), now=CLAIMED_AT)
    return {path.name: path.read_text(encoding="utf-8") for path in found.iterdir()}


def words_table() -> str:
    """The table of built-in words in docs/analytics.md."""
    rows = ["| table | meaning | words |\n|---|---|---|\n"]
    for table, words in (("channels", CHANNELS), ("plans", PLANS), ("regions", REGIONS)):
        for meaning in dict.fromkeys(words.values()):
            listed = ", ".join(word for word, its in words.items() if its == meaning)
            rows.append(f"| `{table}` | `{meaning}` | {listed} |\n")
    return "".join(rows)


def main(name: str, *files: str) -> None:
    """Write the expected files of one case, the schema or the words."""
    if name == "schema":
        (ROOT / "docs" / "sample_output.schema.json").write_text(schema(), encoding="utf-8")
        return
    if name == "words":
        page = ROOT / "docs" / "analytics.md"
        before, heading, _ = page.read_text(encoding="utf-8").partition("Built in:\n\n")
        page.write_text(before + heading + words_table(), encoding="utf-8")
        return
    expected = CASES / name / "expected"
    expected.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        found = outcome_of(CASES / name, Path(folder))
    there = {path.name for path in expected.iterdir()} or {EXPORT}
    for file_name in (*there, *files):
        (expected / file_name).write_text(found[file_name], encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
