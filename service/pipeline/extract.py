"""Extract: read every export of a batch to one table of fields; rows that cannot enter are rejects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from service.engine.contract import Engine, Table, sql_text
from service.errors import InputError, TooManyRejects, UnreadableFile
from service.model import FIELDS, Batch, FieldPath, Guards, InputFile, Layout, Source
from service.pipeline.fields.cell import part_of_name_sql, value_of_cell_sql
from service.pipeline.fields.missing import is_missing_name_sql
from service.pipeline.fields.source_id import LOST_DIGITS
from service.pipeline.rejects import rejects_table
from service.readers.rows import BOOLEAN_CELL, FileReport, RejectedRow, cell_name, rejects_of

REJECTS_THAT_COUNT = 100
"""Fewer rejects than this never fail a batch for their share; a source without any usable row always does."""

# Of several paths of a name, the first under which not all words are missing words counts.
_NAME = f"case when not {is_missing_name_sql('$text')} then $text end"
# In layouts with continued rows, a row without name and address continues the customer of the row above.
_IS_CONTINUATION = "full_name is null and email is null"

_SUSPICIOUS_ROWS = f"""
    select
        count(*) filter (coalesce(full_name, email, phone, signup_date, status) is null),
        count(*) filter (regexp_matches(source_id, '{LOST_DIGITS}$'))
    from this
"""


@dataclass(frozen=True)
class FieldSpec:
    """The fields that a job reads from its exports."""

    fields: tuple[str, ...]
    identity_fields: tuple[str, ...]
    """The fields that identify the customer of a row."""
    requires_identity: bool = False
    """True: a row without any identity field is a reject. False: one row of the export with one is enough."""
    parts: frozenset[str] = frozenset()
    """Fields that are a part of a name: only empty ones and mere signs are missing."""
    sql_of: Mapping[str, str] = field(default_factory=dict)
    """Field -> SQL that converts its text, ``$text``."""


INTEGRATION = FieldSpec(
    fields=FIELDS,
    identity_fields=("source_id", "full_name", "email", "phone"),
    sql_of={"orders_count": "try_cast($text as bigint)"},
)


@dataclass(frozen=True)
class Extracted:
    """The rows that entered, and reports of the files.

    rows            source · row_number · the fields of the FieldSpec, as written; null = missing
    rejects         REJECT
    reports         source -> report of its file
    source_rows     source -> number of rows that entered
    source_rejects  source -> number of rejects
    warnings        source -> sentences for the log
    """

    rows: Table
    rejects: Table
    reports: Mapping[str, FileReport]
    source_rows: Mapping[str, int]
    source_rejects: Mapping[str, int]
    warnings: Mapping[str, tuple[str, ...]]


def extract(batch: Batch, guards: Guards, engine: Engine, spec: FieldSpec = INTEGRATION) -> Extracted:
    """Read every export of the batch, in source order.

    Raises: InputError (its ``where`` names batch, file and line) for a wrong file, or if too many rows of a source
    are rejects.
    Source: docs/specification.md section 3
    """
    tables: dict[str, Table] = {}
    reports: dict[str, FileReport] = {}
    for file in batch.inputs:
        name = file.source.name
        try:
            tables[name], reports[name] = _entered(*engine.read(file), file.source, spec)
            _refuse_too_many_rejects(tables[name].count(), len(reports[name].rejects), guards.max_reject_percent)
        except InputError as error:
            raise _at(error, batch, file) from None
    counts = {name: table.count() for name, table in tables.items()}
    return Extracted(
        rows=_united(*tables.values()),
        rejects=rejects_table(reports, engine),
        reports=reports,
        source_rows=counts,
        source_rejects={name: len(report.rejects) for name, report in reports.items()},
        warnings={
            it.source.name: _warnings(reports[it.source.name], counts[it.source.name], it.source) for it in batch.inputs
        },
    )


def _united(rows: Table, *others: Table) -> Table:
    """The rows of all tables, which are released."""
    for more in others:
        both = rows.derive("from this union all from more", more=more)
        rows.release()
        more.release()
        rows = both
    return rows


def _entered(cells: Table, report: FileReport, source: Source, spec: FieldSpec) -> tuple[Table, FileReport]:
    """The rows of one file that are customers, as fields, and the report with rejects and warnings of this stage."""
    rows = cells.derive(
        f"select {sql_text(source.name)} as source, row_number, {fields_of(report.layout, spec)} from this"
    )
    cells.release()
    if report.layout.is_continued:
        rows, report = _without_continuations(rows, report)
    if spec.requires_identity:
        return _with_identity(rows, report, spec)
    _refuse_without_identity(rows, spec)
    return rows, replace(report, warnings=(*report.warnings, *_suspicious_rows(rows)))


def fields_of(layout: Layout, spec: FieldSpec) -> str:
    """SQL for the fields of ``spec``, on a table of cells (RAW) that was read in this layout."""
    return ", ".join(f"{_field(layout, name, spec)} as {name}" for name in spec.fields)


def _without_continuations(rows: Table, report: FileReport) -> tuple[Table, FileReport]:
    customers = rows.derive(f"from this where not ({_IS_CONTINUATION})")
    continuations = rows.count() - customers.count()
    if continuations and not customers.count():
        raise UnreadableFile("none of its rows has a name or an e-mail address", hint="check that the file is complete")
    text = f"rows that continue the customer above them are left out: {continuations}"
    return customers, replace(report, warnings=(*report.warnings, *((text,) if continuations else ())))


def _with_identity(rows: Table, report: FileReport, spec: FieldSpec) -> tuple[Table, FileReport]:
    """The rows that have an identity field; the others are rejects."""
    has_identity = f"coalesce({', '.join(f'{name}::varchar' for name in spec.identity_fields)}) is not null"
    others = rows.derive(f"select row_number from this where not ({has_identity})")
    if not others.count():
        return rows, report
    explanation = f"it has none of {', '.join(spec.identity_fields)}"
    (numbers,) = others.integers("row_number")

    def all_rejects() -> Iterator[RejectedRow]:
        return chain(report.rejects, (RejectedRow(int(number), "no_identity", explanation) for number in numbers))

    rejects = rejects_of(len(report.rejects) + len(numbers), all_rejects)
    return rows.derive(f"from this where {has_identity}"), replace(report, rejects=rejects)


def _field(layout: Layout, name: str, spec: FieldSpec) -> str:
    """SQL for a field: the first of its options that has a value."""
    options = [_value(layout, option, is_part=name in spec.parts) for option in layout.fields.get(name, ())]
    if name == "status":
        # A truth value is no status, but it was stated: no default takes its place.
        cells = [cell_name(layout.paths.index(path)) for path in layout.paths_of(name)]
        options += [f"if({cell} = {sql_text(BOOLEAN_CELL)}, {cell}, null)" for cell in cells]
    if name == "full_name":
        options = [_NAME.replace("$text", option) for option in options]
    text = f"coalesce({', '.join([*options, 'null::varchar'])})"
    return spec.sql_of.get(name, "$text").replace("$text", text)


def _value(layout: Layout, option: FieldPath, *, is_part: bool) -> str:
    cells = [cell_name(layout.paths.index(path)) for path in option]
    if len(cells) == 1:
        return part_of_name_sql(cells[0]) if is_part else value_of_cell_sql(cells[0])
    return f"nullif(concat_ws(' ', {', '.join(map(part_of_name_sql, cells))}), '')"


def _warnings(report: FileReport, rows: int, source: Source) -> tuple[str, ...]:
    # The exports of well-known systems are full of columns that we do not need.
    unknown = report.unknown_columns if report.layout is source.own else 0
    ignored = (f"{unknown} unknown columns are ignored",) if unknown else ()
    empty = ("the export has no rows",) if rows == 0 and not report.rejects else ()
    return (*report.warnings, *ignored, *empty)


def _refuse_too_many_rejects(rows: int, rejects: int, max_reject_percent: float) -> None:
    hint = "look at the first rejected rows with the system that wrote the file"
    if rejects and not rows:
        raise UnreadableFile(f"none of its {rejects} rows is usable", hint=hint)
    share = 100 * rejects / max(rows + rejects, 1)
    if rejects >= REJECTS_THAT_COUNT and share > max_reject_percent:
        raise TooManyRejects(
            f"{rejects} of {rows + rejects} rows cannot enter, more than {max_reject_percent:g} %",
            hint=f"{hint}; SERVICE_MAX_REJECT_PERCENT raises the limit",
        )


def _refuse_without_identity(rows: Table, spec: FieldSpec) -> None:
    """Raises: UnreadableFile if no row has an identity field; such a file must not replace the real customers."""
    has_identity = " or ".join(f"{name} is not null" for name in spec.identity_fields)
    if (count := rows.count()) and not rows.derive(f"select count(*) from this where {has_identity}").rows()[0][0]:
        raise UnreadableFile(
            f"none of its {count} rows has an id, a name, an e-mail address or a phone under a known column or path",
            hint="docs/sources.md lists the columns and paths of each field",
        )


def _suspicious_rows(rows: Table) -> tuple[str, ...]:
    """Warnings about rows such as the last line of a spreadsheet, and about ids that it has rounded."""
    empty, rounded = rows.derive(_SUSPICIOUS_ROWS).rows()[0]
    texts = (
        (empty, "rows hold no name, e-mail address, phone, date or status"),
        (rounded, "ids such as 1.23E+12 have lost digits in a spreadsheet and count as missing"),
    )
    return tuple(f"{count} {text}" for count, text in texts if count)


def _at(error: InputError, batch: Batch, file: InputFile) -> InputError:
    """The same error with the batch and the file in ``where``."""
    where = ", ".join(part for part in (batch.where(file), error.where) if part)
    message = f"{file.file_name}: {error.message}"
    return type(error)(message, hint=error.hint, where=where, found=error.found)
