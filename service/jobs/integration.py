"""The main story: one claimed batch becomes one published set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from service.engine.contract import Engine
from service.errors import OutdatedBatch
from service.jobs.reporting import report_extracted
from service.logs import Journal
from service.model import Batch, Published, Rules, Summary
from service.outbox import Outbox, Staged
from service.pipeline import quality
from service.pipeline.evidence import explain
from service.pipeline.extract import Extracted, extract
from service.pipeline.load import Results, load, write_merge_lines
from service.pipeline.matching import MATCHERS
from service.pipeline.matching.cluster import cluster
from service.pipeline.normalise import Normalised, normalise
from service.pipeline.survivorship import survive
from service.register import Identified, Register
from service.suffixes import is_before

STAGES = ("extract", "normalise", "deduplicate", "survive", "identify", "load", "publish")


def integrate(
    batch: Batch, rules: Rules, engine: Engine, register: Register, outbox: Outbox, journal: Journal
) -> Summary:
    """Turn one claimed batch into one published set; the outbox does not change before the block ends well.

    Raises: InputError for wrong files, TransientError for a fault of the world, Interrupted.
    """
    journal.line("INFO", "Pipeline started")
    published = register.published()
    _refuse_outdated(batch, published)
    journal.stage("extract")
    delivered = extract(batch, rules.guards, engine)
    report_extracted(batch, delivered, journal)
    journal.line("INFO", f"Total raw records: {sum(delivered.source_rows.values())}")
    volumes = quality.volumes(delivered.source_rows, {} if published is None else published.source_rows)
    quality.refuse_suspicious(volumes, rules.guards, batch)
    journal.stage("normalise")
    normalised = normalise(delivered, rules, engine)
    records = normalised.records
    journal.stage("deduplicate")
    matcher = MATCHERS[rules.matching]
    groups = cluster(matcher.links(records, engine), records.count(), engine)
    journal.stage("survive")
    survivors = survive(records, groups, rules)
    evidence = explain(records, groups, survivors, matcher, engine)
    journal.stage("identify")
    identified = register.identify(records, groups, engine)
    customers = survivors.count()
    summary = Summary(
        records=records.count(),
        rejects=sum(delivered.source_rejects.values()),
        duplicates=records.count() - customers,
        customers=customers,
        source_rows=delivered.source_rows,
    )
    risk = quality.overmerge_risk(records, groups, evidence)
    _tell_amiss(batch, delivered, normalised, volumes, risk, journal)
    journal.stage("load")
    with outbox.stage(batch) as staged:
        results = Results(
            records, groups, survivors, evidence, identified.customers, identified.changes, delivered.rejects
        )
        removed = load(results, quality.report(delivered, normalised, volumes, risk), rules, staged.folder)
        merges = staged.folder.parent / "merges.txt"
        write_merge_lines(removed, journal.prefix("WARNING"), merges)
        _tell_loaded(summary, identified, merges, journal)
        _end(batch, summary, staged, journal)
        journal.stage("publish")
        register.stage(identified, Published(batch.id, batch.suffix, dict(summary.source_rows)))
    return summary


def _refuse_outdated(batch: Batch, published: Published | None) -> None:
    """Raises: OutdatedBatch if the suffix of the published set is later and no user accepted the batch."""
    if published is not None and not batch.accepted and is_before(batch.suffix, published.suffix):
        raise OutdatedBatch(
            f"the pair {batch.suffix} is older than the published set {published.suffix}",
            where=f"batch {batch.id}",
            hint=f"if it shall turn the master back: python -m service retry --accept {batch.id}",
        )


def _tell_amiss(
    batch: Batch,
    delivered: Extracted,
    normalised: Normalised,
    volumes: Mapping[str, quality.Volume],
    risk: quality.OvermergeRisk,
    journal: Journal,
) -> None:
    """Lines that stand in the log only where something is amiss."""
    for warning in batch.warnings:
        journal.line("WARNING", warning)
    for name, warnings in delivered.warnings.items():
        for warning in warnings:
            journal.line("WARNING", f"{name}: {warning}")
    for name, rejects in delivered.source_rejects.items():
        if rejects:
            journal.line("WARNING", f"{name}: rows that could not enter, see rejects.csv: {rejects}")
    for name, sentence in quality.shrunk(volumes).items():
        journal.line("WARNING", f"{name}: {sentence}")
        journal.warning("source.suspected", source=name, warning=sentence)
    for (name, field, reason), count in normalised.troubles.items():
        journal.line("WARNING", f"{name}: unusable values of {field} ({reason}): {count}")
    for name in normalised.ambiguous:
        journal.line("WARNING", f"{name}: dates contradict each other about which part is the day")
    for sentence in risk.sentences():
        journal.line("WARNING", sentence)
    unusable = {f"{name} {field} {reason}": count for (name, field, reason), count in normalised.troubles.items()}
    journal.event("records.normalised", unusable=unusable)


def _tell_loaded(summary: Summary, identified: Identified, merges: Path, journal: Journal) -> None:
    journal.line("INFO", f"Duplicates found: {summary.duplicates}")
    journal.lines_of(merges)
    journal.line("INFO", f"Final unique customers: {summary.customers}")
    journal.event("records.deduplicated", records=summary.records, duplicates=summary.duplicates)
    changes = identified.changes.derive("select change, count(*) from this group by change order by change").rows()
    journal.event("customers.identified", customers=summary.customers, **dict(changes))


def _end(batch: Batch, summary: Summary, staged: Staged, journal: Journal) -> None:
    journal.line("INFO", "Pipeline completed successfully")
    journal.write_text(staged.folder / "integration_log.txt")
    journal.write_events(staged.folder / "integration_log.jsonl")
    staged.summary = summary
