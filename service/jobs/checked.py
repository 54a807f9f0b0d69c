"""The result of checking one export, and the lines that are the same for every job.

Lines hold column names, row numbers and counts; never a customer's value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.readers.rows import FileReport

MOST_REJECTS = 10
"""This many rejected rows are listed."""


@dataclass(frozen=True)
class Checked:
    """The report on one export, line by line."""

    lines: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """Information that needs no action."""
    findings: tuple[str, ...] = ()
    """Problems to look at before the file is dropped."""


def describe_layout(report: FileReport) -> Iterator[str]:
    """How the file is written, and which columns or members each field is read from."""
    yield f"  written as    {report.written}"
    yield f"  layout        {report.layout.name}"
    width = max(13, *map(len, report.layout.fields))
    for name in report.layout.fields:
        paths = [path for path in report.layout.paths_of(name) if path in report.paths]
        yield f"  {name:<{width}} {', '.join(paths) or '–'}"
    if report.unknown_columns:
        yield f"  not read      {report.unknown_columns} other columns"


def describe_rejects(report: FileReport) -> Iterator[str]:
    """The first rows that cannot enter, and why."""
    for reject in report.rejects[:MOST_REJECTS]:
        yield f"row {reject.row_number} cannot enter ({reject.code}): {reject.explanation}"
    if len(report.rejects) > MOST_REJECTS:
        yield f"and {len(report.rejects) - MOST_REJECTS} more rows cannot enter"
