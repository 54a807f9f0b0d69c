"""Log lines and files that are the same for every job."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from service.folders import EVENT_LOG, TEXT_LOG
from service.journal import Journal
from service.model import Batch, Summary
from service.pipeline.extract import Extracted


def report_started(journal: Journal) -> None:
    """Log the first line of a batch."""
    journal.line("INFO", "Pipeline started")


def report_extracted(batch: Batch, extracted: Extracted, journal: Journal) -> None:
    """Log the rows, rejects and warnings of each export."""
    for file in batch.inputs:
        name = file.source.name
        rows, rejects = extracted.source_rows[name], extracted.source_rejects[name]
        journal.line("INFO", f"Loaded {rows} records from {file.file_name}")
        journal.event(
            "source.extracted", source=name, layout=extracted.reports[name].layout.name, rows=rows, rejects=rejects
        )
        for warning in extracted.warnings[name]:
            journal.warning("source.suspected", source=name, warning=warning)


def report_warnings(warnings: Iterable[str], journal: Journal) -> None:
    """Log each warning as a line of its own; without a problem there is none."""
    for warning in warnings:
        journal.line("WARNING", warning)


def report_customers(summary: Summary, journal: Journal) -> None:
    """Log the number of customers in the set."""
    journal.line("INFO", f"Final unique customers: {summary.customers}")


def write_logs(folder: Path, journal: Journal) -> None:
    """Write both logs of a batch that succeeded into its set."""
    journal.line("INFO", "Pipeline completed successfully")
    journal.write_text(folder / TEXT_LOG)
    journal.write_events(folder / EVENT_LOG)


def report_failure(message: str, journal: Journal) -> None:
    """Log the last lines of a batch that failed."""
    journal.line("ERROR", message)
    journal.line("ERROR", "Pipeline failed")
