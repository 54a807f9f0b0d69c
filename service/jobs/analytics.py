"""The analytics job: one file of the API and the latest customer master become ``sample_output.json``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from service.analytics_rules import AnalyticsRules, AnalyticsTables
from service.engine.contract import Engine, Table
from service.jobs.checked import Checked, describe_layout, describe_rejects
from service.jobs.job import Job
from service.jobs.reporting import (
    report_customers,
    report_extracted,
    report_started,
    report_warnings,
    write_logs,
)
from service.journal import Journal
from service.model import API, Batch, Summary
from service.outbox import FlatFiles, published_file
from service.pipeline import guards
from service.pipeline.analytics import export
from service.pipeline.analytics.enrich import enrich, without_repeated
from service.pipeline.analytics.master import MASTER, match, no_matches
from service.pipeline.analytics.records import API_FIELDS, iso_moment, read_records, register_functions
from service.pipeline.extract import Extracted, estimated_rows, extract
from service.pipeline.rejects import write_rejects
from service.pipeline.volume import volumes_of
from service.publication import Publication
from service.settings import Settings
from service.verify.contents import check_export_set

_WITHOUT_MASTER = "checked without the customer master, which may have what these records lack"


def rules_of(settings: Settings) -> AnalyticsRules:
    """The user's decisions about the analytics export."""
    return AnalyticsRules(
        default_region=settings.default_region,
        date_order=settings.date_order,
        guards=settings.guards(),
        active_days=settings.active_days,
        tables=settings.analytics or AnalyticsTables(),
    )


def analyse(batch: Batch, rules: AnalyticsRules, engine: Engine, publication: Publication, journal: Journal) -> Summary:
    """Turn one claimed file of the API into one committed set; if it raises, the outbox has not changed.

    Raises: InputError for a wrong file, TransientError for a fault of the environment, Interrupted.
    Source: docs/specification.md section 8
    """
    report_started(journal)
    journal.stage("extract", estimated_rows(batch))
    register_functions(engine)
    extracted = _with_date_warning(extract(batch, rules.guards, engine, API_FIELDS))
    report_extracted(batch, extracted, journal)
    former = publication.ledger.last_records("analytics")
    volumes = volumes_of(extracted.source_rows, {API.name: former})
    guards.refuse_held(guards.held_export(volumes, rules.guards), batch)
    fetched_at = _fetched_at(extracted)
    journal.stage("normalise", extracted.row_count)
    records = read_records(extracted.rows, rules)
    journal.stage("match", extracted.row_count)
    master = published_master(publication)
    matched = no_matches(records) if master is None else match(records, master, rules, engine)
    journal.stage("enrich", extracted.row_count)
    moment = int(batch.claimed_at.timestamp()) if fetched_at is None else fetched_at
    enriched = enrich(records, matched, rules, moment, engine)
    customers = without_repeated(enriched)
    summary = _summary(extracted, enriched, customers)
    counts = export.count(customers)
    report = export.report(
        counts,
        fetched_at=fetched_at,
        master=None if master is None else master.name,
        rejects=summary.rejects,
        repeated=summary.duplicates,
    )
    report_warnings(_problems(batch, extracted, summary), journal)
    _report_enriched(summary, counts, master, journal)
    journal.stage("export", extracted.row_count)
    with publication.stage(batch, summary) as folder:
        export.write_export(customers, counts, batch.claimed_at, folder)
        export.write_report(report, folder)
        write_rejects(extracted.rejects, folder)
        write_logs(folder, journal)
        journal.stage("publish", extracted.row_count)
    return summary


def check_export(batch: Batch, rules: AnalyticsRules, engine: Engine, work_folder: Path) -> Checked:
    """Read the one file of ``batch`` as ``analyse`` would, without a master, and report on it. Raises: InputError."""
    register_functions(engine)
    extracted = extract(batch, rules.guards, engine, API_FIELDS)
    (report,) = extracted.reports.values()
    records = read_records(extracted.rows, rules)
    enriched = enrich(records, no_matches(records), rules, int(batch.claimed_at.timestamp()), engine)
    customers = without_repeated(enriched)
    rows, distinct = enriched.count(), customers.count()
    lines = [
        *describe_layout(report),
        f"  rows          {rows}, rejects {len(report.rejects)}, repeated ids {rows - distinct}",
    ]
    for name, counts in export.count(customers).items():
        if name in export.VALUES:
            lines.append(f"  {name:<20} {', '.join(f'{value} {number}' for value, number in counts.items())}")
    (warnings,) = extracted.warnings.values()
    return Checked(tuple(lines), (*warnings, _WITHOUT_MASTER), tuple(describe_rejects(report)))


def _fetched_at(extracted: Extracted) -> int | None:
    """When the customers were fetched, in seconds since 1970; None unless the file states it before its customers."""
    stated = (report.members.get("fetched_at") for report in extracted.reports.values())
    return next((iso_moment(text) for text in stated if text is not None), None)


def _with_date_warning(extracted: Extracted) -> Extracted:
    """The same, with a warning where ``fetched_at`` is there but cannot be read."""
    added = {
        name: ("fetched_at is no ISO date or time: the time of the claim counts instead",)
        for name, report in extracted.reports.items()
        if (text := report.members.get("fetched_at")) is not None and iso_moment(text) is None
    }
    warnings = {name: (*there, *added.get(name, ())) for name, there in extracted.warnings.items()}
    return replace(extracted, warnings=warnings)


def published_master(publication: Publication) -> Path | None:
    """The folder of the published master; None before the first, or if it is gone."""
    published = publication.register.published()
    folder = None if published is None else publication.outbox.set_of(published.batch_id)
    return folder if folder is not None and published_file(folder, MASTER) else None


def _summary(extracted: Extracted, enriched: Table, customers: Table) -> Summary:
    records, distinct = enriched.count(), customers.count()
    return Summary(
        records=records,
        rejects=sum(extracted.source_rejects.values()),
        duplicates=records - distinct,
        customers=distinct,
        source_rows=extracted.source_rows,
    )


def _problems(batch: Batch, extracted: Extracted, summary: Summary) -> Iterator[str]:
    yield from batch.warnings
    for warnings in extracted.warnings.values():
        yield from warnings
    if summary.rejects:
        yield f"records that could not enter, see rejects.csv: {summary.rejects}"
    if any(report.members.get("complete") == "false" for report in extracted.reports.values()):
        yield "the file states that it is not complete"


def _report_enriched(summary: Summary, counts: export.Counts, master: Path | None, journal: Journal) -> None:
    if master is None:
        journal.line("WARNING", "there is no customer master in the outbox: no data is taken from one")
    else:
        matched = {by: number for by, number in counts.get("matched_by", {}).items() if by != "nothing"}
        journal.line("INFO", f"Customers found in the master of {master.name}: {sum(matched.values())}")
        journal.event("master.matched", **matched)
    journal.line("INFO", f"Repeated ids removed: {summary.duplicates}")
    report_customers(summary, journal)
    journal.event("customers.enriched", **{column: dict(values) for column, values in counts.items()})


JOB = Job(
    name="analytics",
    sources=lambda settings: (API,),
    rules=rules_of,
    stages={"extract": 0, "normalise": 4, "match": 6, "enrich": 7, "export": 3, "publish": 0},
    build=analyse,
    flat_files=FlatFiles(("sample_output.json",), "analytics_manifest.json"),
    check=check_export,
    check_set=check_export_set,
)
