"""The analytics story: one API file and the master of that moment become ``sample_output.json``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from service.analytics_rules import AnalyticsRules
from service.engine.contract import Engine, Table
from service.jobs.reporting import report_extracted
from service.logs import Journal
from service.model import API, Batch, Summary
from service.outbox import Outbox, Staged, published_file
from service.pipeline import quality
from service.pipeline.analytics import export
from service.pipeline.analytics.enrich import enrich, without_repeated
from service.pipeline.analytics.master import MASTER, ORDERS, match, no_matches
from service.pipeline.analytics.records import API_FIELDS, iso_moment, read_records, register_functions
from service.pipeline.extract import Extracted, extract
from service.pipeline.rejects import write_rejects

STAGES = ("extract", "normalise", "match", "enrich", "export", "publish")


@dataclass(frozen=True)
class PreviousExport:
    """What was published before an export."""

    master: Path | None = None
    """The folder of the published integration set, if it is there."""
    former_rows: int = 0
    """How many rows the last published export was made of."""


def analyse(
    batch: Batch, rules: AnalyticsRules, engine: Engine, before: PreviousExport, outbox: Outbox, journal: Journal
) -> Summary:
    """Turn one claimed API file into one published set; the outbox does not change before the block ends well.

    Raises: InputError for a wrong file, TransientError for a fault of the world, Interrupted.
    Source: CONTRACT section 8
    """
    journal.line("INFO", "Pipeline started")
    journal.stage("extract")
    register_functions(engine)
    delivered = _with_doubts(extract(batch, rules.guards, engine, API_FIELDS))
    report_extracted(batch, delivered, journal)
    volumes = quality.volumes(delivered.source_rows, {API.name: before.former_rows})
    quality.refuse_suspicious(volumes, rules.guards, batch)
    fetched_at = _fetched_at(delivered)
    journal.stage("normalise")
    records = read_records(delivered.rows, rules)
    journal.stage("match")
    master = _with_customers(before.master)
    known = no_matches(records) if master is None else _known(records, master, rules, engine)
    journal.stage("enrich")
    moment = int(batch.claimed_at.timestamp()) if fetched_at is None else fetched_at
    enriched = enrich(records, known, rules, moment, engine)
    customers = without_repeated(enriched)
    summary = _summary(delivered, enriched, customers)
    counts = export.count(customers)
    report = export.report(
        counts,
        fetched_at=fetched_at,
        master=None if master is None else master.name,
        rejects=summary.rejects,
        repeated=summary.duplicates,
    )
    _tell_enriched(batch, delivered, summary, counts, master, journal)
    journal.stage("export")
    with outbox.stage(batch) as staged:
        export.write_export(customers, counts, batch.claimed_at, staged.folder)
        export.write_report(report, staged.folder)
        write_rejects(delivered.rejects, staged.folder)
        _end(summary, staged, journal)
        journal.stage("publish")
    return summary


def _fetched_at(delivered: Extracted) -> int | None:
    """When the customers were fetched, in seconds since 1970, if the file says so before it lists them."""
    written = (report.members.get("fetched_at") for report in delivered.reports.values())
    return next((iso_moment(text) for text in written if text is not None), None)


def _with_doubts(delivered: Extracted) -> Extracted:
    """The same, with a warning where the file says when it was fetched, but in no way that can be read."""
    doubts = {
        name: ("fetched_at is no ISO date or time: the time of the claim counts instead",)
        for name, report in delivered.reports.items()
        if (text := report.members.get("fetched_at")) is not None and iso_moment(text) is None
    }
    return replace(
        delivered, warnings={name: (*told, *doubts.get(name, ())) for name, told in delivered.warnings.items()}
    )


def _with_customers(master: Path | None) -> Path | None:
    """The published set, if there is one; its folder may be gone by the time."""
    return master if master is not None and published_file(master, MASTER) else None


def _known(records: Table, master: Path, rules: AnalyticsRules, engine: Engine) -> Table:
    """What the master knows of the records; a set of before has no file of orders."""
    customers, orders = (published_file(master, source) for source in (MASTER, ORDERS))
    return no_matches(records) if customers is None else match(records, customers, orders, rules, engine)


def _summary(delivered: Extracted, enriched: Table, customers: Table) -> Summary:
    records, kept = enriched.count(), customers.count()
    return Summary(
        records=records,
        rejects=sum(delivered.source_rejects.values()),
        duplicates=records - kept,
        customers=kept,
        source_rows=delivered.source_rows,
    )


def _tell_enriched(
    batch: Batch, delivered: Extracted, summary: Summary, counts: export.Counts, master: Path | None, journal: Journal
) -> None:
    for warning in (*batch.warnings, *(text for told in delivered.warnings.values() for text in told)):
        journal.line("WARNING", warning)
    if summary.rejects:
        journal.line("WARNING", f"records that could not enter, see rejects.csv: {summary.rejects}")
    if any(report.members.get("complete") == "false" for report in delivered.reports.values()):
        journal.line("WARNING", "the file says of itself that it is not complete")
    if master is None:
        journal.line("WARNING", "there is no customer master in the outbox: nothing is taken from one")
    else:
        matched = {by: number for by, number in counts.get("matched_by", {}).items() if by != "nothing"}
        journal.line("INFO", f"Customers found in the master of {master.name}: {sum(matched.values())}")
        journal.event("master.matched", **matched)
    journal.line("INFO", f"Repeated ids removed: {summary.duplicates}")
    journal.line("INFO", f"Final unique customers: {summary.customers}")
    journal.event("customers.enriched", **{column: dict(values) for column, values in counts.items()})


def _end(summary: Summary, staged: Staged, journal: Journal) -> None:
    journal.line("INFO", "Pipeline completed successfully")
    journal.write_text(staged.folder / "integration_log.txt")
    journal.write_events(staged.folder / "integration_log.jsonl")
    staged.summary = summary
