"""Look before you drop: what a file is, how it is read and what is wrong with it, without publishing anything.

The very same reading as in a batch: engine, extract and normalise. What is told are places, numbers of rows and
counts; never a customer's value.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from service.analytics_rules import AnalyticsRules
from service.engine import open_engine
from service.engine.contract import Engine
from service.errors import InputError
from service.inbox.names import partner_name, read_name
from service.jobs.by_hand import delivery_of
from service.model import API, Batch, InputFile, Rules, Source
from service.pipeline import quality
from service.pipeline.analytics.enrich import enrich, without_repeated
from service.pipeline.analytics.export import VALUES, count
from service.pipeline.analytics.master import no_matches
from service.pipeline.analytics.records import API_FIELDS, read_records, register_functions
from service.pipeline.extract import Extracted, extract
from service.pipeline.normalise import Normalised, normalise
from service.readers import csv_rows, gzip_file
from service.readers.rows import FileReport
from service.settings import Settings

MOST_REJECTS = 10
"""So many rows that cannot enter are named."""
_BY_ITSELF = "told without the customer master, which may know what these records do not say"


@dataclass(frozen=True)
class Checked:
    """What is told of one file, line by line.

    Notes are good to know; findings are what someone should look at before the file is dropped.
    """

    lines: tuple[str, ...]
    notes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


def check_file(path: Path, settings: Settings, now: datetime) -> Checked:
    """Read a file as the service would and tell of it.

    A file whose name belongs to no source is read as one of the first source that usually writes such files.
    Raises: UsageError where there is no such file.
    """
    sources = (*settings.rules().sources, API)
    named = read_name(path.name, sources)
    source = named.source if named else _likely_source(path, sources)
    expected = ", ".join(f"{it.name} {partner_name(it, '')}" for it in sources)
    strange_name = () if named else (f"a file of this name would be left lying in the inbox; expected are {expected}",)
    found = delivery_of(source, path)
    head = f"{path.name}: {'an export of' if named else 'read as an export of'} {source.name}"
    with tempfile.TemporaryDirectory(dir=_roomy(settings)) as folder:
        try:
            with open_engine(
                Path(folder), memory_limit_mb=settings.memory_limit_mb, threads=settings.threads
            ) as engine:
                batch = Batch("check", now, (found,))
                if batch.job == "analytics":
                    checked = _read_of_api(batch, settings.analytics_rules(), engine)
                else:
                    checked = _read(batch, settings.rules(), engine, Path(folder))
        except InputError as error:
            checked = Checked((), findings=(error.explained().replace("batch check, ", ""),))
    return Checked((head, *checked.lines), (*strange_name, *checked.notes), checked.findings)


def _likely_source(path: Path, sources: Sequence[Source]) -> Source:
    """The first that usually writes such files."""
    kind = sources[0].format_of(path.name)
    return next((it for it in sources if it.format_of(it.file_name) == kind), sources[0])


def _roomy(settings: Settings) -> Path | None:
    """Where there is room for an unpacked export: in a container a folder for temporary files is small."""
    return settings.state if os.access(settings.state, os.W_OK) else None


def _read_of_api(batch: Batch, rules: AnalyticsRules, engine: Engine) -> Checked:
    register_functions(engine)
    delivered = extract(batch, rules.guards, engine, API_FIELDS)
    (report,) = delivered.reports.values()
    records = read_records(delivered.rows, rules)
    enriched = enrich(records, no_matches(records), rules, int(batch.claimed_at.timestamp()), engine)
    customers = without_repeated(enriched)
    rows, kept = enriched.count(), customers.count()
    lines = [*_how(report), f"  rows          {rows}, rejects {len(report.rejects)}, repeated ids {rows - kept}"]
    for name, counts in count(customers).items():
        if name in VALUES:
            lines.append(f"  {name:<20} {', '.join(f'{value} {number}' for value, number in counts.items())}")
    (warnings,) = delivered.warnings.values()
    return Checked(tuple(lines), (*warnings, _BY_ITSELF), tuple(_rejected(report)))


def _read(batch: Batch, rules: Rules, engine: Engine, work_folder: Path) -> Checked:
    (delivery,) = batch.inputs
    delivered = extract(batch, rules.guards, engine)
    normalised = normalise(delivered, rules, engine)
    name = delivery.source.name
    figures = quality.report(delivered, normalised, quality.volumes(delivered.source_rows, {}), quality.NO_RISK)
    lines = (*_how(delivered.reports[name]), *_digest(figures["sources"][name]))
    notes = (*delivered.warnings[name], *_unseen(delivery, delivered.reports[name]))
    line_of = _lines_of(delivery, {row for rows in normalised.troubled_rows.values() for row in rows}, work_folder)
    return Checked(lines, notes, tuple(_findings(delivered, normalised, figures["sources"][name], line_of)))


def _unseen(delivery: InputFile, report: FileReport) -> Iterator[str]:
    """Places of a composed value that are nowhere, though another part of it is: a slip of the pen, perhaps."""
    if delivery.file_format == "csv":
        return
    for name, values in report.layout.fields.items():
        for value in values:
            missing = [place for place in value if place not in report.paths]
            if 0 < len(missing) < len(value):
                yield f"{name}: none of the first customers has {', '.join(missing)}"


def _how(report: FileReport) -> Iterator[str]:
    """How the file is written, and where its fields stand."""
    yield f"  written as    {report.written}"
    yield f"  layout        {report.layout.name}"
    width = max(13, *map(len, report.layout.fields))
    for name in report.layout.fields:
        places = [place for place in report.layout.paths_of(name) if place in report.paths]
        yield f"  {name:<{width}} {', '.join(places) or '–'}"
    if report.unknown_columns:
        yield f"  not read      {report.unknown_columns} other columns"


def _digest(figures: Mapping[str, Any]) -> Iterator[str]:
    """How many values there are of each field."""
    yield f"  rows          {figures['rows']}, rejects {figures['rejects']}"
    yield f"  {'':<13} {'filled':>9} {'missing':>9} {'changed':>9} {'distinct':>9}"
    for name, field in figures["fields"].items():
        counts = (str(field.get(kind, "–")) for kind in ("filled", "missing", "changed", "distinct"))
        yield f"  {name:<13} {' '.join(f'{count:>9}' for count in counts)}"


def _findings(
    delivered: Extracted, normalised: Normalised, figures: Mapping[str, Any], line_of: Mapping[int, int]
) -> Iterator[str]:
    (report,) = delivered.reports.values()
    if not figures["rows"]:
        yield "there are no rows: published, every customer of this source would be gone"
    for name in ("full_name", "email"):
        if figures["rows"] and not figures["fields"][name]["filled"]:
            yield f"{name} is empty in every row"
    yield from _rejected(report)
    for (source, field, reason), rows in normalised.troubled_rows.items():
        count = normalised.troubles[source, field, reason]
        named = ", ".join(f"{row} (line {line_of[row]})" if row in line_of else str(row) for row in rows)
        yield f"{count} unusable values of {field} ({reason}): row {named}{' …' if count > len(rows) else ''}"
    if normalised.ambiguous:
        yield "dates contradict each other about which part is the day"


def _rejected(report: FileReport) -> Iterator[str]:
    for reject in report.rejects[:MOST_REJECTS]:
        yield f"row {reject.row_number} cannot enter ({reject.code}): {reject.explanation}"
    if len(report.rejects) > MOST_REJECTS:
        yield f"and {len(report.rejects) - MOST_REJECTS} more rows cannot enter"


def _lines_of(delivery: InputFile, rows: set[int], work_folder: Path) -> dict[int, int]:
    """The lines on which these rows of a CSV file begin; a JSON document has no lines worth telling."""
    if delivery.file_format == "json" or not rows:
        return {}
    with gzip_file.unpacked(delivery.path, work_folder) as path:
        return csv_rows.lines_of(path, delivery.source, rows)
