"""The analytics story: one claimed file of the API becomes one published set.

The smallest thing that can be published: which customers there are, and nothing yet of what they are like.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from service.engine.contract import Engine, FileReport, Row, cell_name
from service.logs import Journal
from service.model import Batch, Summary
from service.outbox import Outbox

_IDS = "select {0} as customer_id, count(*) from this where {0} is not null group by customer_id order by customer_id"
_UNKNOWN = "select row_number from this where {0} is null order by row_number"


@dataclass(frozen=True)
class AnalyticsRules:
    """What a user can decide about the analytics export; handed into the story as a value."""


@dataclass(frozen=True)
class Master:
    """The customer master of this moment."""

    folder: Path | None
    """The published set it is of; None where nothing was published, or the outbox was emptied."""


def analyse(
    batch: Batch, rules: AnalyticsRules, engine: Engine, master: Master, outbox: Outbox, journal: Journal
) -> Summary:
    """Turn one claimed file of the API into one published set; the outbox does not change before the block ends well.

    Raises: DeliveryError for a wrong file, TransientError for a fault of the world, Interrupted.
    """
    journal.line("INFO", "Pipeline started")
    journal.stage("extract")
    (delivery,) = batch.deliveries
    table, report = engine.read(delivery)
    id_cell = cell_name(report.layout.places.index("id"))
    customers = table.derive(_IDS.format(id_cell)).rows()
    unknown = table.derive(_UNKNOWN.format(id_cell)).rows()
    rows = table.count()
    summary = Summary(
        records=rows - len(unknown),
        rejects=len(report.rejects) + len(unknown),
        duplicates=rows - len(unknown) - len(customers),
        customers=len(customers),
        source_rows={delivery.source.name: rows},
    )
    journal.stage("load")
    with outbox.stage(batch) as staged:
        _write_export(staged.folder / "sample_output.json", batch, customers)
        _write_rejects(staged.folder / "rejects.csv", delivery.source.name, report, unknown)
        text = json.dumps(summary.counts(), indent=2) + "\n"
        (staged.folder / "analytics_report.json").write_text(text, encoding="utf-8")
        journal.line("INFO", "Pipeline completed successfully")
        journal.write_text(staged.folder / "integration_log.txt")
        journal.write_events(staged.folder / "integration_log.jsonl")
        staged.summary = summary
        journal.stage("publish")
    return summary


def _write_export(path: Path, batch: Batch, customers: Sequence[Row]) -> None:
    exported_at = f"{batch.claimed_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    export = {
        "metadata": {"total_customers": len(customers), "export_timestamp": exported_at},
        "customers": [{"customer_id": customer_id} for customer_id, _ in customers],
    }
    path.write_text(json.dumps(export, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_rejects(path: Path, source: str, report: FileReport, unknown: Sequence[Row]) -> None:
    """Codes only: the engine's explanations may want quoting."""
    rejects = [(reject.row_number, reject.code) for reject in report.rejects]
    rejects += [(row_number, "no_id") for (row_number,) in unknown]
    lines = [f"{source},{row_number},{code}\n" for row_number, code in sorted(rejects)]
    path.write_text("".join(["source_system,row_number,code\n", *lines]), encoding="utf-8")
