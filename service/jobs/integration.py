"""The integration job: one claimed batch of exports becomes one published customer master."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from service.decisions import Decision
from service.engine.contract import Engine, Table
from service.errors import TooManyRecords
from service.folders import EVENT_LOG, MANIFEST, TEXT_LOG
from service.jobs.decisions_followed import report_decisions
from service.jobs.integration_check import check_export
from service.jobs.job import Job
from service.jobs.reporting import (
    report_customers,
    report_extracted,
    report_started,
    report_warnings,
    write_logs,
)
from service.journal import Journal
from service.model import Batch, PublishedMaster, Rules, Summary
from service.outbox import FlatFiles
from service.pipeline import guards, quality
from service.pipeline.difference import Difference, difference
from service.pipeline.evidence import explain
from service.pipeline.extract import Extracted, estimated_rows, extract_records
from service.pipeline.former.keys import former_keys
from service.pipeline.load import Results, load, write_merge_lines
from service.pipeline.matched import Matched
from service.pipeline.matching import Matcher, matcher_of
from service.pipeline.matching.grouping import Followed, Grouping, group
from service.pipeline.matching.link_weights import link_weights
from service.pipeline.normalise import Normalised, normalise
from service.pipeline.survivorship import survive
from service.pipeline.volume import Volume, shrunk_sources, volumes_of
from service.publication import Publication
from service.register import Identified
from service.settings import Settings
from service.sources import sources_of
from service.verify.contents import check_master_set

_SHARE_OF_COMPARISON = 0.95
"""Of the time of the stage, where matchers are compared."""
STEPS_OF_COMPARISON = 17
"""Statements of about equal weight, beside the matcher's own work; see ``Job.stages``."""
_WITH_DECISIONS = """
    select * replace (
        case when change = 'split' then 'no rule links their records any more, or a decision keeps them apart'
            when change = 'merged' then 'a rule or a decision links their records now'
            else reason end as reason
    )
    from this
"""


def rules_of(settings: Settings) -> Rules:
    """The user's decisions about the integration."""
    return Rules(
        sources=sources_of(settings.sources),
        default_region=settings.default_region,
        date_order=settings.date_order,
        matching=settings.matching,
        compare_matching=settings.compare_matching,
        survivorship=settings.survivorship,
        guards=settings.guards(),
        formula_escape=settings.csv_formula_escape,
        csv_bom=settings.csv_bom,
    )


def integrate(batch: Batch, rules: Rules, engine: Engine, publication: Publication, journal: Journal) -> Summary:
    """Turn one claimed batch into one committed set; if it raises, the outbox has not changed.

    Raises: InputError for wrong files, TransientError for a fault of the environment, Interrupted.
    """
    register = publication.register
    published = register.published()
    decisions = publication.past.decisions.in_force()
    report_started(journal)
    journal.stage("extract", estimated_rows(batch))
    has_former = register.has_former_keys()
    extracted = extract_records(batch, rules, engine, with_former=has_former)
    report_extracted(batch, extracted, journal)
    journal.line("INFO", f"Total raw records: {extracted.row_count}")
    volumes = volumes_of(extracted.source_rows, {} if published is None else published.source_rows)
    journal.stage("normalise", extracted.row_count)
    normalised = normalise(extracted, rules, engine)
    records = normalised.records
    former = former_keys(extracted, records, rules, engine) if has_former else None
    extracted.rows.release()
    journal.stage("deduplicate", extracted.row_count)
    grouping, compared = _grouped(records, _matchers(rules, extracted.evidence), decisions, engine, journal)
    journal.stage("survive", extracted.row_count)
    matched = _matched(records, grouping, rules, engine)
    grouping = replace(grouping, weigh=None)  # its arrays are as large as the records: free them before the load
    journal.stage("identify", extracted.row_count)
    identified = register.identify(records, grouping.keys, grouping.groups, engine, former)
    filled = guards.filled_values(records)
    now_and_then = guards.Comparison(published, volumes, extracted.reports, filled, identified.recurring_by_source)
    guards.refuse_held(guards.held(batch, now_and_then, rules.guards), batch, now_and_then.reports)
    summary = replace(
        _summary(extracted, records.count(), matched.survivors.count(), identified.next_number),
        rules_sha256=rules.sha256,
    )
    suspicious = quality.suspicious_values(matched)
    risk = quality.overmerge_risk(suspicious, matched)
    risks = risk.sentences() if rules.matching == "literal" else []
    _report_problems(batch, extracted, normalised, volumes, risks, journal)
    _report_difference(compared, journal)
    report_decisions(grouping.followed, journal)
    journal.stage("load", extracted.row_count)
    with publication.stage(batch, summary) as folder:
        results = replace(_results(matched, identified, grouping, extracted.rejects, suspicious), compared=compared)
        report = quality.report(extracted, normalised, grouping.values, volumes, risk, compared)
        removed = load(results, report, rules, folder)
        _report_loaded(summary, identified, removed, folder.parent / "merges.txt", journal)
        write_logs(folder, journal)
        journal.stage("publish", extracted.row_count)
        register.stage(identified, PublishedMaster(batch.id, batch.suffix, dict(summary.source_rows), filled))
    return summary


def _matchers(rules: Rules, evidence: Sequence[str]) -> tuple[Matcher, Matcher | None]:
    """The user's matcher, and the one that it is compared with, if the user compares."""
    if rules.compare_matching is None:
        return matcher_of(rules, evidence), None
    return matcher_of(rules, evidence), matcher_of(replace(rules, matching=rules.compare_matching), evidence)


def _grouped(
    records: Table,
    matchers: tuple[Matcher, Matcher | None],
    decisions: Sequence[Decision],
    engine: Engine,
    journal: Journal,
) -> tuple[Grouping, Difference | None]:
    """The records as customers, and what the second matcher would make otherwise; None if there is no room for it."""
    matcher, other = matchers
    if other is None:
        return group(records, matcher, decisions, engine), None
    with engine.meter.part(1 - _SHARE_OF_COMPARISON, steps=JOB.stages["deduplicate"]):
        grouping = group(records, matcher, decisions, engine)
    with engine.meter.part(_SHARE_OF_COMPARISON, steps=STEPS_OF_COMPARISON):
        try:
            safe = group(records, other, decisions, engine)
        except TooManyRecords as error:
            journal.line("WARNING", f"Matchers are not compared: {error.message}; {error.found}")
            return grouping, None
        for table in filter(None, (safe.values, safe.keys, safe.questions)):
            table.release()
        return grouping, difference(grouping.groups, safe.groups)


def _matched(records: Table, grouping: Grouping, rules: Rules, engine: Engine) -> Matched:
    matcher, keys, groups = grouping.matcher, grouping.keys, grouping.groups
    survivors = survive(records, groups, rules)
    evidence = explain(keys, groups, survivors, matcher, engine)
    weights = link_weights(evidence, grouping.values, grouping.weigh, engine) if grouping.weigh else None
    return Matched(matcher, records, keys, groups, survivors, evidence, weights)


def _results(
    matched: Matched, identified: Identified, grouping: Grouping, rejects: Table, suspicious: Table
) -> Results:
    return Results(
        matched=matched,
        customers=identified.customers,
        changes=_with_reasons(identified.changes, grouping.followed),
        register_customers=identified.next.customers,
        register_aliases=identified.next.aliases,
        rejects=rejects,
        suspicious=suspicious,
        followed=grouping.followed,
        questions=grouping.questions,
    )


def _with_reasons(changes: Table, followed: Followed) -> Table:
    """The changes of ids; where the batch followed decisions, these may be their cause."""
    return changes.derive(_WITH_DECISIONS) if followed.attached else changes


def _summary(extracted: Extracted, records: int, customers: int, next_number: int) -> Summary:
    return Summary(
        records=records,
        rejects=sum(extracted.source_rejects.values()),
        duplicates=records - customers,
        customers=customers,
        source_rows=extracted.source_rows,
        next_number=next_number,
    )


def _report_problems(
    batch: Batch,
    extracted: Extracted,
    normalised: Normalised,
    volumes: Mapping[str, Volume],
    risks: Iterable[str],
    journal: Journal,
) -> None:
    shrunk = shrunk_sources(volumes)
    report_warnings(batch.warnings, journal)
    report_warnings(_input_problems(extracted), journal)
    for name, sentence in shrunk.items():
        journal.line("WARNING", f"{name}: {sentence}")
        journal.warning("source.suspected", source=name, warning=sentence)
    report_warnings(_value_problems(normalised), journal)
    report_warnings(risks, journal)
    unusable = {f"{name} {field} {reason}": count for (name, field, reason), count in normalised.troubles.items()}
    journal.event("records.normalised", unusable=unusable)


def _input_problems(extracted: Extracted) -> Iterator[str]:
    for name, warnings in extracted.warnings.items():
        yield from (f"{name}: {warning}" for warning in warnings)
    for name, rejects in extracted.source_rejects.items():
        if rejects:
            yield f"{name}: rows that could not enter, see rejects.csv: {rejects}"


def _value_problems(normalised: Normalised) -> Iterator[str]:
    for (name, field, reason), count in normalised.troubles.items():
        yield f"{name}: unusable values of {field} ({reason}): {count}"
    for (name, field, reason), count in normalised.doubtful.items():
        yield f"{name}: doubtful values of {field} ({reason}): {count}"
    for name in normalised.ambiguous:
        yield f"{name}: dates contradict each other about which part is the day"


def _report_difference(compared: Difference | None, journal: Journal) -> None:
    if compared:
        for sentence in compared.counts.sentences():
            journal.line("INFO", sentence)
        journal.event("matchers.compared", **compared.counts.figures())


def _report_loaded(summary: Summary, identified: Identified, removed: Table, merges: Path, journal: Journal) -> None:
    """``merges``: a path for the lines about removed records, which may be many."""
    journal.line("INFO", f"Duplicates found: {summary.duplicates}")
    write_merge_lines(removed, journal.prefix("WARNING"), merges)
    journal.lines_of(merges)
    report_customers(summary, journal)
    journal.event("records.deduplicated", records=summary.records, duplicates=summary.duplicates)
    changes = identified.changes
    counts = "select change, count(*) from this group by change order by change"
    counted: dict[str, int] = dict(changes.rows(counts)) if changes.count() else {}
    journal.event("customers.identified", customers=summary.customers, **counted)


JOB = Job(
    name="integration",
    sources=lambda settings: sources_of(settings.sources),
    rules=rules_of,
    stages={
        "extract": 0,
        "normalise": 0,
        "deduplicate": 4,
        "survive": 8,
        "identify": 28,
        "load": 27,
        "publish": 6,  # as if hashing and syncing were two more
    },
    build=integrate,
    flat_files=FlatFiles(("customer_master.csv", "duplicate_report.csv", TEXT_LOG, EVENT_LOG), MANIFEST),
    check=check_export,
    check_set=check_master_set,
    has_register=True,
)
