"""What every story tells of its files, in the same words."""

from __future__ import annotations

from service.logs import Journal
from service.model import Batch
from service.pipeline.extract import Extracted


def report_extracted(batch: Batch, delivered: Extracted, journal: Journal) -> None:
    """Rows, rejects and warnings of each export."""
    for delivery in batch.inputs:
        name = delivery.source.name
        rows, rejects = delivered.source_rows[name], delivered.source_rejects[name]
        journal.line("INFO", f"Loaded {rows} records from {delivery.file_name}")
        journal.event(
            "source.extracted", source=name, layout=delivered.reports[name].layout.name, rows=rows, rejects=rejects
        )
        for warning in delivered.warnings[name]:
            journal.warning("source.suspected", source=name, warning=warning)
