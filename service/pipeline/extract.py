"""Extract: what the exports say, cell by cell, with what could not enter set apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

from service.engine.contract import Engine, Table, sql_text
from service.errors import InputError, TooManyRejects, UnreadableFile
from service.model import FIELDS, Batch, FieldPath, Guards, InputFile, Layout, Source
from service.pipeline.fields.missing import MISSING_CELL, MISSING_PART
from service.pipeline.fields.source_id import LOST_DIGITS
from service.pipeline.formulas import FORMULA
from service.readers.rows import FileReport, RejectedRow, cell_name

REJECTS_THAT_COUNT = 100
"""Fewer rejects than this never fail a batch for their share; nothing usable left always does."""


_CELL = f"""
    case
        -- the quote that our own writer puts before a formula is removed; "-" behind it is missing, as without it
        when starts_with($cell, '''') and regexp_matches($cell, {sql_text(rf"^'+{FORMULA}")})
            then case when not regexp_full_match($cell, '(?i)''{MISSING_CELL}') then substr($cell, 2) end
        when regexp_full_match($cell, '(?i){MISSING_CELL}') then null
        else $cell
    end
"""

# A part of a composed value may be "Na": only empty parts and mere signs are missing.
_PART = f"case when not regexp_full_match($cell, '(?i){MISSING_PART}') then $cell end"
# A row without name and address goes on with the customer above it, where a system writes such rows.
_GOES_ON = "full_name is null and email is null"

_HARDLY_MEANT = f"""
    select
        count(*) filter (coalesce(full_name, email, phone, signup_date, status) is null),
        count(*) filter (regexp_matches(source_id, '{LOST_DIGITS}$'))
    from this
"""

_REJECT_COLUMNS = ("source_system", "row_number", "code", '"column"', "explanation")


@dataclass(frozen=True)
class FieldSpec:
    """What a job asks of the rows of its exports."""

    fields: tuple[str, ...]
    identity_fields: tuple[str, ...]
    """The fields that say who a row is about."""
    requires_identity: bool = False
    """Whether every row must have one of these, else it is a reject; or else some row of the export."""
    parts: frozenset[str] = frozenset()
    """Fields that are a part of a name: of these only what is empty and mere signs are missing."""
    sql_of: Mapping[str, str] = field(default_factory=dict)
    """Field -> SQL of what is made of its text, ``$text``."""


INTEGRATION = FieldSpec(
    fields=FIELDS,
    identity_fields=("source_id", "full_name", "email", "phone"),
    sql_of={"orders_count": "try_cast($text as bigint)"},
)


@dataclass(frozen=True)
class Extracted:
    """The rows that entered, and what was found besides.

    rows      source · row_number · the fields that were asked for, as written, null = missing
    rejects   source_system · row_number · code · column · explanation
    reports   source -> what reading its export showed
    """

    rows: Table
    rejects: Table
    reports: Mapping[str, FileReport]
    source_rows: Mapping[str, int]
    source_rejects: Mapping[str, int]
    warnings: Mapping[str, tuple[str, ...]]


def extract(batch: Batch, guards: Guards, engine: Engine, asked: FieldSpec = INTEGRATION) -> Extracted:
    """Read every export of the batch, in source order.

    Raises: InputError (its ``where`` names batch, file and line) for a wrong file, or where too many rows
    of a source cannot enter.
    Source: CONTRACT section 3
    """
    tables: dict[str, Table] = {}
    reports: dict[str, FileReport] = {}
    for delivery in batch.inputs:
        name = delivery.source.name
        try:
            tables[name], reports[name] = _entered(*engine.read(delivery), delivery.source, asked)
            _refuse_too_many_rejects(tables[name].count(), len(reports[name].rejects), guards.max_reject_percent)
        except InputError as error:
            raise _at(error, batch, delivery) from None
    counts = {name: table.count() for name, table in tables.items()}
    everything = reduce(lambda one, two: one.derive("from this union all from more", more=two), tables.values())
    return Extracted(
        rows=everything,
        rejects=engine.text_table(_REJECT_COLUMNS, _reject_rows(reports)),
        reports=reports,
        source_rows=counts,
        source_rejects={name: len(report.rejects) for name, report in reports.items()},
        warnings={
            it.source.name: _warnings(reports[it.source.name], counts[it.source.name], it.source) for it in batch.inputs
        },
    )


def _entered(table: Table, report: FileReport, source: Source, asked: FieldSpec) -> tuple[Table, FileReport]:
    """Those rows that are customers, as the fields asked for."""
    named = table.derive(
        f"select {sql_text(source.name)} as source, row_number, {fields_of(report.layout, asked)} from this"
    )
    if report.layout.is_continued:
        named, report = _without_further_rows(named, report)
    if asked.requires_identity:
        return _without_strangers(named, report, asked)
    _refuse_strangers(named, asked)
    return named, replace(report, warnings=(*report.warnings, *_hardly_meant(named)))


def fields_of(layout: Layout, asked: FieldSpec) -> str:
    """SQL for the fields asked for, in a table of cells that was read in this layout."""
    return ", ".join(f"{_field(layout, name, asked)} as {name}" for name in asked.fields)


def _without_further_rows(named: Table, report: FileReport) -> tuple[Table, FileReport]:
    whole = named.derive(f"from this where not ({_GOES_ON})")
    rows, further = whole.count(), named.count() - whole.count()
    if further and not rows:
        raise UnreadableFile("none of its rows has a name or an e-mail address", hint="see that the file is whole")
    told = (f"rows that go on with the customer above them and are left out: {further}",) if further else ()
    return whole, replace(report, warnings=(*report.warnings, *told))


def _without_strangers(named: Table, report: FileReport, asked: FieldSpec) -> tuple[Table, FileReport]:
    """The rows that say who they are about; the others are rejects."""
    identity_fields = f"coalesce({', '.join(f'{name}::varchar' for name in asked.identity_fields)}) is not null"
    strangers = named.derive(f"select row_number from this where not ({identity_fields})")
    if not strangers.count():
        return named, report
    explanation = f"it has none of {', '.join(asked.identity_fields)}"
    (numbers,) = strangers.integers("row_number")
    rejects = (*report.rejects, *(RejectedRow(number, "says_nobody", explanation) for number in numbers.tolist()))
    return named.derive(f"from this where {identity_fields}"), replace(report, rejects=rejects)


def _field(layout: Layout, name: str, asked: FieldSpec) -> str:
    """SQL for a field: the first of its values that says something."""
    options = [_value(layout, value, is_part=name in asked.parts) for value in layout.fields.get(name, ())]
    text = f"coalesce({', '.join([*options, 'null::varchar'])})"
    return asked.sql_of.get(name, "$text").replace("$text", text)


def _value(layout: Layout, value: FieldPath, *, is_part: bool) -> str:
    cells = [cell_name(layout.paths.index(place)) for place in value]
    if len(cells) == 1:
        return (_PART if is_part else _CELL).replace("$cell", cells[0])
    return f"nullif(concat_ws(' ', {', '.join(_PART.replace('$cell', cell) for cell in cells)}), '')"


def _reject_rows(reports: Mapping[str, FileReport]) -> list[tuple[str, int, str, str | None, str]]:
    return [
        (name, reject.row_number, reject.code, reject.column or None, reject.explanation)
        for name, report in reports.items()
        for reject in report.rejects
    ]


def _warnings(report: FileReport, rows: int, source: Source) -> tuple[str, ...]:
    # The exports of a system we know are full of columns that we do not need.
    unknown = report.unknown_columns if report.layout is source.own else 0
    ignored = (f"{unknown} unknown columns are ignored",) if unknown else ()
    empty = ("an export of nobody: there are no rows",) if rows == 0 and not report.rejects else ()
    return (*report.warnings, *ignored, *empty)


def _refuse_too_many_rejects(rows: int, rejects: int, max_reject_percent: float) -> None:
    hint = "look at the first rejected rows with the system that wrote the file"
    if rejects and not rows:
        raise UnreadableFile(f"none of its {rejects} rows is usable", hint=hint)
    share = 100 * rejects / max(rows + rejects, 1)
    if rejects >= REJECTS_THAT_COUNT and share > max_reject_percent:
        raise TooManyRejects(
            f"{rejects} of {rows + rejects} rows cannot enter, more than {max_reject_percent:g} %",
            hint=f"{hint}; SERVICE_MAX_REJECT_PERCENT raises the bound",
        )


def _refuse_strangers(table: Table, asked: FieldSpec) -> None:
    """Rows of which none says who it is about are no customers: such a file must not replace the real ones."""
    identity_fields = " or ".join(f"{name} is not null" for name in asked.identity_fields)
    if (rows := table.count()) and not table.derive(f"select count(*) from this where {identity_fields}").rows()[0][0]:
        raise UnreadableFile(
            f"none of its {rows} rows has an id, a name, an e-mail address or a phone in a known place",
            hint="see in README.md where the fields must stand",
        )


def _hardly_meant(table: Table) -> tuple[str, ...]:
    """Of rows such as the last line of a spreadsheet, and of ids that it has rounded."""
    silent, rounded = table.derive(_HARDLY_MEANT).rows()[0]
    told = (
        (silent, "rows hold no name, e-mail address, phone, date or status"),
        (rounded, "ids such as 1.23E+12 have lost digits in a spreadsheet and count as none"),
    )
    return tuple(f"{count} {what}" for count, what in told if count)


def _at(error: InputError, batch: Batch, delivery: InputFile) -> InputError:
    """The same error, saying which file of which batch it is about."""
    where = ", ".join(part for part in (batch.where(delivery), error.where) if part)
    message = f"{delivery.file_name}: {error.message}"
    return type(error)(message, hint=error.hint, where=where, found=error.found)
