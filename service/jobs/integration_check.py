"""``check`` for an export of the integration: how it is read, how its values are filled, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from service.engine.contract import Engine
from service.jobs.checked import Checked, describe_layout, describe_rejects
from service.model import FIELDS, Batch, InputFile, Rules, Source
from service.pipeline import quality
from service.pipeline.extract import Extracted, extract_records
from service.pipeline.lost_fields import listed
from service.pipeline.matching.literal import LiteralMatcher
from service.pipeline.normalise import Normalised, normalise
from service.pipeline.volume import volumes_of
from service.readers import csv_rows, gzip_file
from service.readers.rows import FileReport


def check_export(batch: Batch, rules: Rules, engine: Engine, work_folder: Path) -> Checked:
    """Read the one export of ``batch`` as the integration would, and report on it. Raises: InputError."""
    (file,) = batch.inputs
    extracted = extract_records(batch, rules, engine)
    normalised = normalise(extracted, rules, engine)
    name = file.source.name
    report = extracted.reports[name]
    volumes = volumes_of(extracted.source_rows, {})
    keys = LiteralMatcher().compare(normalised.records, engine).keys
    figures = quality.report(extracted, normalised, keys, volumes, quality.NO_RISK)["sources"][name]
    troubled = {row for rows in normalised.troubled_rows.values() for row in rows}
    return Checked(
        lines=(*describe_layout(report), *_describe_fields(figures)),
        notes=(*extracted.warnings[name], *_without_path(report, file.source), *_missing_parts(file, report)),
        findings=tuple(_findings(extracted, normalised, figures, _first_lines(file, troubled, work_folder))),
    )


def _describe_fields(figures: Mapping[str, Any]) -> Iterator[str]:
    """The number of rows, and of the values of each field."""
    yield f"  rows          {figures['rows']}, rejects {figures['rejects']}"
    yield f"  {'':<13} {'filled':>9} {'missing':>9} {'changed':>9} {'distinct':>9}"
    for name, field in figures["fields"].items():
        counts = (str(field.get(kind, "–")) for kind in ("filled", "missing", "changed", "distinct"))
        yield f"  {name:<13} {' '.join(f'{count:>9}' for count in counts)}"


def _without_path(report: FileReport, source: Source) -> Iterator[str]:
    """Fields that this layout reads from nowhere."""
    for name in FIELDS:
        if name not in {*report.layout.fields, *source.defaults, "orders_count"}:
            unread = f"; not read are {listed(report.unread)}" if report.unread else ""
            yield f"{name}: the layout {report.layout.name} has no place for it{unread}"


def _missing_parts(file: InputFile, report: FileReport) -> Iterator[str]:
    """Members of a composed value that no customer has, though another part of it is there: perhaps a typing error."""
    if file.file_format == "csv":
        return
    for name, values in report.layout.fields.items():
        for value in values:
            missing = [path for path in value if path not in report.paths]
            if 0 < len(missing) < len(value):
                yield f"{name}: none of the first customers has {', '.join(missing)}"


def _findings(
    extracted: Extracted, normalised: Normalised, figures: Mapping[str, Any], line_of: Mapping[int, int]
) -> Iterator[str]:
    (report,) = extracted.reports.values()
    if not figures["rows"]:
        yield "there are no rows: published, every customer of this source would be gone"
    for name in ("full_name", "email"):
        if figures["rows"] and not figures["fields"][name]["filled"]:
            yield f"{name} is empty in every row"
    yield from describe_rejects(report)
    for (source, field, reason), rows in normalised.troubled_rows.items():
        count = normalised.troubles[source, field, reason]
        named = ", ".join(f"{row} (line {line_of[row]})" if row in line_of else str(row) for row in rows)
        yield f"{count} unusable values of {field} ({reason}): row {named}{' …' if count > len(rows) else ''}"
    for (_, field, reason), count in normalised.doubtful.items():
        yield f"{count} doubtful values of {field} ({reason})"
    if normalised.ambiguous:
        yield "dates contradict each other about which part is the day"


def _first_lines(file: InputFile, rows: set[int], work_folder: Path) -> dict[int, int]:
    """Row number -> the line on which this row of a CSV file begins; empty for a JSON file."""
    if file.file_format == "json" or not rows:
        return {}
    with gzip_file.unpacked(file.path, work_folder) as path:
        return csv_rows.lines_of(path, file.source, rows)
