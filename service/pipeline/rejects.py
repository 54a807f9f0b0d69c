"""Rejects: the table of the rows that cannot enter a batch, and its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from service.engine.contract import Engine, Table
from service.readers.rows import FileReport

REJECTS = ("source_system", "row_number", "code", '"column"', "explanation")
"""The columns of REJECT, as SQL names."""


def rejects_table(reports: Mapping[str, FileReport], engine: Engine) -> Table:
    """REJECT: the rejected rows of all reports (source -> report); every column is text."""
    rows = (
        (name, reject.row_number, reject.code, reject.column or None, reject.explanation)
        for name, report in reports.items()
        for reject in report.rejects
    )
    return engine.text_table(REJECTS, rows)


def write_rejects(rejects: Table, folder: Path) -> None:
    """Write ``rejects.csv``, ordered by source and row."""
    rejects.write_csv(folder / "rejects.csv", REJECTS, "source_system, row_number::bigint")
