"""Extract: read every export of a batch to one table of fields; rows that cannot enter are rejects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.engine.contract import Engine, Table, sql_text
from service.errors import InputError, TooManyRejects, UnreadableFile
from service.model import (
    EVIDENCE_FIELDS,
    FIELDS,
    IDENTIFIER,
    Batch,
    FieldPath,
    Guards,
    InputFile,
    Layout,
    Rules,
    Source,
)
from service.pipeline.fields import FEW_ROWS
from service.pipeline.fields.cell import BY_DEFINITION, IN_SQL, CellSql, register_cell
from service.pipeline.fields.source_id import LOST_DIGITS
from service.pipeline.former.cells import FIELDS as FORMER_FIELDS
from service.pipeline.former.cells import former_column, former_columns
from service.pipeline.lost_fields import elsewhere_warnings, lost_field_warnings, refuse_without_contacts
from service.pipeline.origins import FIRST_USABLE, Origins, columns_of, origins_of
from service.pipeline.rejects import rejects_table
from service.readers import row_estimate
from service.readers.rows import BOOLEAN_MARK, FileReport, RejectedRow, cell_name, rejects_of

REJECTS_THAT_COUNT = 100
"""Fewer rejects than this never fail a batch for their share; a source without any usable row always does."""

_SHARES = {"read": 0.75, "fields": 0.25, "unite": 0.01}
"""Of the time: the first two of that which each file takes, the last of the whole stage."""

_INVISIBLE = r"[\s\x{feff}\x{200b}-\x{200f}\x{2060}\x{a0}]*"
# In layouts with continued rows, a row without name and address continues the customer of the row above.
_IS_CONTINUATION = "{full_name} is null and {email} is null"

# Rows without identity are rejects, of which nothing else is counted.
_SUSPICIOUS_ROWS = f"""
    count(*) filter ($has_identity and coalesce($texts) is null),
    count(*) filter ($has_identity and regexp_matches(source_id, '{LOST_DIGITS}$'))
"""
_TEXTS_OF_ROW = ("full_name", "email", "phone", "signup_date", "status")


@dataclass(frozen=True)
class FieldSpec:
    """The fields that a job reads from its exports."""

    fields: tuple[str, ...]
    identity_fields: tuple[str, ...]
    """The fields that identify the customer of a row; a row without any of them is a reject."""
    contacts: tuple[str, ...] = ()
    """Fields of which an export must have one; empty: none is required."""
    optional: frozenset[str] = frozenset()
    """Fields that most exports do not have: their absence is reported only if something has a similar name."""
    parts: frozenset[str] = frozenset()
    """Fields that are a part of a name: only empty ones and mere signs are missing."""
    sql_of: Mapping[str, str] = field(default_factory=dict)
    """Field -> SQL that converts its text, ``$text``."""
    evidence: tuple[str, ...] = ()
    """Those of the fields that only the matcher ``safe`` reads."""
    cells: CellSql = IN_SQL
    """How the values of cells are read."""


INTEGRATION = FieldSpec(
    fields=FIELDS,
    identity_fields=("source_id", "full_name", "email", "phone"),
    contacts=("full_name", "email", "phone"),
    optional=frozenset({"orders_count"}),
    sql_of={"orders_count": "try_cast($text as bigint)"},
)


def with_evidence(sources: Iterable[Source]) -> FieldSpec:
    """``INTEGRATION`` with the fields that these sources map for the matcher ``safe``."""
    mapped = {name for source in sources for layout in source.layouts for name in layout.fields}
    identifiers = sorted(name for name in mapped if name.startswith(IDENTIFIER))
    names = (*(name for name in EVIDENCE_FIELDS if name in mapped), *identifiers)
    return replace(
        INTEGRATION,
        fields=(*INTEGRATION.fields, *names),
        optional=INTEGRATION.optional | set(names),
        parts=INTEGRATION.parts | {"first_name", "last_name"},
        evidence=names,
    )


@dataclass(frozen=True)
class Extracted:
    """The rows that entered, and reports of the files.

    rows            source · row_number · the fields of the FieldSpec, as written; null = missing
                    and for each field of ``path_counts`` its ``origins.columns_of``
    rejects         REJECT
    reports         source -> report of its file
    source_rows     source -> number of rows that entered
    source_rejects  source -> number of rejects
    warnings        source -> sentences for the log
    path_counts     field -> number of its paths, where a source has several: see ``first_usable``
    evidence        those of the fields that only the matcher ``safe`` reads
    """

    rows: Table
    rejects: Table
    reports: Mapping[str, FileReport]
    source_rows: Mapping[str, int]
    source_rejects: Mapping[str, int]
    warnings: Mapping[str, tuple[str, ...]]
    path_counts: Mapping[str, int] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()

    @property
    def row_count(self) -> int:
        """The number of rows that entered, of all sources."""
        return sum(self.source_rows.values())


def extract_records(batch: Batch, rules: Rules, engine: Engine, *, with_former: bool = False) -> Extracted:
    """``extract`` for the integration, with the fields that the matcher ``safe`` reads where ``rules`` ask for it."""
    if not rules.reads_evidence:
        return extract(batch, rules.guards, engine, with_former=with_former)
    inputs = tuple(replace(file, source=file.source.with_evidence()) for file in batch.inputs)
    spec = with_evidence(file.source for file in inputs)
    return extract(replace(batch, inputs=inputs), rules.guards, engine, spec, with_former=with_former)


def extract(
    batch: Batch, guards: Guards, engine: Engine, spec: FieldSpec = INTEGRATION, *, with_former: bool = False
) -> Extracted:
    """Read every export of the batch, in source order; the rows are in this order, those of a file in its own.

    ``with_former``: the rows have ``former.cells.former_columns``, too, from which their former keys are made.

    Raises: InputError (its ``where`` names batch, file and line) for a wrong file, or if too many rows of a source
    are rejects.
    Source: docs/specification.md section 3
    """
    register_cell(engine)
    entered: dict[str, _Entered] = {}
    counts: dict[str, int] = {}
    size_bytes = sum(file.size_bytes for file in batch.inputs)
    for file in batch.inputs:
        name = file.source.name
        try:
            with engine.meter.part((1 - _SHARES["unite"]) * file.size_bytes / max(size_bytes, 1)):
                entered[name] = found = _read(file, engine, spec, with_former=with_former)
            counts[name] = found.rows.count()
            _refuse_too_many_rejects(counts[name], len(found.report.rejects), guards.max_reject_percent)
        except InputError as error:
            raise _at(error, batch, file) from None
    reports = {name: it.report for name, it in entered.items()}
    path_counts = {name: max(it.path_counts.get(name, 1) for it in entered.values()) for name in FIRST_USABLE}
    path_counts = {name: count for name, count in path_counts.items() if count > 1}
    engine.meter.correct(sum(counts.values()) + sum(len(report.rejects) for report in reports.values()))
    with engine.meter.part(_SHARES["unite"], steps=len(entered)):
        first, *others = (_with_columns(it, path_counts, spec, with_former=with_former) for it in entered.values())
    return Extracted(
        rows=first.with_rows_of(*others),
        path_counts=path_counts,
        evidence=spec.evidence,
        rejects=rejects_table(reports, engine),
        reports=reports,
        source_rows=counts,
        source_rejects={name: len(report.rejects) for name, report in reports.items()},
        warnings={
            it.source.name: _warnings(reports[it.source.name], counts[it.source.name], it.source) for it in batch.inputs
        },
    )


@dataclass(frozen=True)
class _Entered:
    """The rows of one export that are customers."""

    rows: Table
    report: FileReport
    """With the rejects and warnings of this stage."""
    path_counts: Mapping[str, int]
    """Field -> number of its paths, where there are several."""


def _with_columns(entered: _Entered, path_counts: Mapping[str, int], spec: FieldSpec, *, with_former: bool) -> Table:
    """The rows, with the columns that the rows of other sources have."""
    has, missing = (
        [column for name, count in counts.items() for column in columns_of(name, count)[1:]]
        for counts in (entered.path_counts, path_counts)
    )
    added = [column for column in missing if column not in has]
    if not missing:
        return entered.rows
    with_nulls = ", ".join(["*", *(f"null::varchar as {column}" for column in added)])
    columns = ", ".join([*missing, *(map(former_column, FORMER_FIELDS) if with_former else ())])
    rows = entered.rows.derive(
        f"select source, row_number, {', '.join(spec.fields)}, {columns} from (select {with_nulls} from this)"
    )
    entered.rows.release()
    return rows


def estimated_rows(batch: Batch) -> int:
    """About how many rows ``extract`` will find, from the first bytes of each export."""
    return sum(row_estimate.estimated_rows(file.path, file.file_format) for file in batch.inputs)


def _read(file: InputFile, engine: Engine, spec: FieldSpec, *, with_former: bool) -> _Entered:
    """The rows of one file that are customers; see ``_entered``."""
    with engine.meter.part(_SHARES["read"]):
        cells, report = engine.read(file)
    with engine.meter.part(_SHARES["fields"]):
        return _entered(cells, report, file.source, spec, with_former=with_former)


def _entered(cells: Table, report: FileReport, source: Source, spec: FieldSpec, *, with_former: bool) -> _Entered:
    """The rows of one file that are customers, as fields.

    Raises: UnreadableFile if no row has a name, an address or a phone.
    """
    layout = report.layout
    cell_rows = cells.count()
    if cell_rows <= FEW_ROWS:
        spec = replace(spec, cells=BY_DEFINITION)
    origins = origins_of(cells, layout, spec.fields, lambda name, option: _value(layout, name, option, spec))
    path_counts = {name: len(origins.paths[name]) for name in FIRST_USABLE if name in spec.fields}
    path_counts = {name: count for name, count in path_counts.items() if count > 1 and name not in layout.one_origin}
    former = former_columns(report) if with_former else ()
    columns = ", ".join([*_columns(layout, spec, origins, path_counts), *former])
    rows = cells.derive(
        f"select {sql_text(source.name)} as source, row_number, {columns} from this {_unless_header(report)}"
    )
    repeated = cell_rows - rows.count()
    cells.release()
    headers = f"rows that repeat the header are left out: {repeated}"
    report = _with_warnings(report, (headers,) if repeated else ())
    if layout.is_continued:
        rows, report = _without_continuations(rows, report, path_counts)
    counts = _counts(rows, spec, path_counts)
    filled, count = counts.filled, rows.count()
    if spec.contacts:
        refuse_without_contacts(report, source, count, filled, spec.contacts)
    lost = [name for name in layout.fields if count and name in spec.fields and name not in filled]
    # A known system, or a user's mapping, calls the number of orders otherwise: there it is expected.
    optional = [name for name in spec.optional if name != "orders_count" or (name,) in layout.fields.get(name, ())]
    report = _with_warnings(report, lost_field_warnings(report, source, lost, optional))
    report = _with_warnings(report, elsewhere_warnings(origins.elsewhere, report, source))
    if counts.unknown:
        rows, report = _with_identity(rows, report, spec, path_counts)
    if spec.contacts:
        report = _with_warnings(report, counts.suspicious())
    return _Entered(rows, report, path_counts)


def _with_warnings(report: FileReport, warnings: Iterable[str]) -> FileReport:
    return replace(report, warnings=(*report.warnings, *warnings))


@dataclass(frozen=True)
class _Counts:
    """Counts of the rows of one file."""

    filled: set[str]
    """The fields of which any row has a value."""
    unknown: int
    """Rows without identity."""
    empty: int
    rounded: int

    def suspicious(self) -> tuple[str, ...]:
        """Warnings about rows such as the last line of a spreadsheet, and about ids that it has rounded."""
        texts = (
            (self.empty, "rows hold no name, e-mail address, phone, date or status"),
            (self.rounded, "ids such as 1.23E+12 have lost digits in a spreadsheet and count as missing"),
        )
        return tuple(f"{count} {text}" for count, text in texts if count)


def _counts(rows: Table, spec: FieldSpec, path_counts: Mapping[str, int]) -> _Counts:
    filled = ", ".join(f"count({_text_of(name, path_counts)})" for name in spec.fields)
    has_identity = _has_identity(spec, path_counts)
    suspicious = "0, 0"
    if spec.contacts:
        texts = ", ".join(_text_of(name, path_counts) for name in _TEXTS_OF_ROW)
        suspicious = _SUSPICIOUS_ROWS.replace("$has_identity", has_identity).replace("$texts", texts)
    found = rows.rows(f"select {filled}, count(*) filter (not {has_identity}), {suspicious} from this")
    *counts, unknown, empty, rounded = found[0]
    return _Counts({name for name, it in zip(spec.fields, counts, strict=True) if it}, unknown, empty, rounded)


def _has_identity(spec: FieldSpec, path_counts: Mapping[str, int]) -> str:
    """SQL: whether a row has an identity field."""
    texts = (f"{_text_of(name, path_counts)}::varchar" for name in spec.identity_fields)
    return f"(coalesce({', '.join(texts)}) is not null)"


def _unless_header(report: FileReport) -> str:
    """SQL: leaves out rows that repeat the header of a CSV file, as files have that were put together."""
    cells = {cell_name(report.layout.paths.index(path)): name for path, name in report.column_names.items()}
    if not cells:
        return ""
    # Of nearly all rows the first of these cells shows that they are none.
    first, name = next(iter(cells.items()))
    same = " and ".join(
        f"coalesce(regexp_full_match(lower({cell}), {sql_text(_INVISIBLE + re.escape(name) + _INVISIBLE)}), false)"
        for cell, name in cells.items()
    )
    return f"where not case when strpos(lower({first}), {sql_text(name)}) > 0 then {same} else false end"


def fields_of(layout: Layout, spec: FieldSpec) -> str:
    """SQL for the fields of ``spec``, on a table of cells (RAW) that was read in this layout; every row decides."""
    return ", ".join(f"{_field(layout, name, layout.fields.get(name, ()), spec)} as {name}" for name in spec.fields)


def _columns(layout: Layout, spec: FieldSpec, origins: Origins, path_counts: Mapping[str, int]) -> Iterator[str]:
    """SQL for the fields of ``spec``, on a table of cells (RAW) that was read in this layout."""
    for name in spec.fields:
        options = origins.paths[name]
        if name not in path_counts:
            yield f"{_field(layout, name, options, spec)} as {name}"
            continue
        for column, option in zip(columns_of(name, len(options)), options, strict=True):
            yield f"{_field(layout, name, (option,), spec)} as {column}"


def _without_continuations(rows: Table, report: FileReport, path_counts: Mapping[str, int]) -> tuple[Table, FileReport]:
    is_continuation = _IS_CONTINUATION.format(
        full_name=_text_of("full_name", path_counts), email=_text_of("email", path_counts)
    )
    customers = rows.derive(f"from this where not ({is_continuation})")
    continuations = rows.count() - customers.count()
    if continuations and not customers.count():
        raise UnreadableFile("none of its rows has a name or an e-mail address", hint="check that the file is complete")
    text = f"rows that continue the customer above them are left out: {continuations}"
    return customers, _with_warnings(report, (text,) if continuations else ())


def _with_identity(
    rows: Table, report: FileReport, spec: FieldSpec, path_counts: Mapping[str, int]
) -> tuple[Table, FileReport]:
    """The rows that have an identity field; the others are rejects."""
    has_identity = _has_identity(spec, path_counts)
    unknown = rows.derive(f"select row_number from this where not {has_identity}")
    explanation = f"it has none of {', '.join(spec.identity_fields)}"

    def all_rejects() -> Iterator[RejectedRow]:
        yield from report.rejects
        for (numbers,) in unknown.integer_chunks("row_number"):
            yield from (RejectedRow(number, "no_identity", explanation) for number in numbers.tolist())

    rejects = rejects_of(len(report.rejects) + unknown.count(), all_rejects)
    return rows.derive(f"from this where {has_identity}"), replace(report, rejects=rejects)


def _field(layout: Layout, name: str, paths: Sequence[FieldPath], spec: FieldSpec) -> str:
    """SQL for a field: the value under the first of these paths that has one."""
    options = [_value(layout, name, option, spec) for option in paths]
    if name == "status":
        # A truth value is no status, but it was stated: no default takes its place.
        cells = [cell_name(layout.paths.index(path)) for option in paths for path in option]
        options += [f"if(starts_with({cell}, {sql_text(BOOLEAN_MARK)}), {cell}, null)" for cell in cells]
    text = f"coalesce({', '.join([*options, 'null::varchar'])})"
    return spec.sql_of.get(name, "$text").replace("$text", text)


def _value(layout: Layout, name: str, option: FieldPath, spec: FieldSpec) -> str:
    """SQL for the value of a field under one path."""
    cells = [cell_name(layout.paths.index(path)) for path in option]
    if len(cells) > 1:
        text = f"nullif(concat_ws(' ', {', '.join(map(spec.cells.part_of_name, cells))}), '')"
    else:
        text = spec.cells.part_of_name(cells[0]) if name in spec.parts else spec.cells.value(cells[0])
    # Of several paths of a name, the first under which not all words are missing words counts.
    return f"case when not {spec.cells.is_missing_name(text)} then {text} end" if name == "full_name" else text


def _text_of(name: str, path_counts: Mapping[str, int]) -> str:
    """SQL for the first text that a row has for a field, of those under its paths."""
    columns = columns_of(name, path_counts.get(name, 1))
    return f"coalesce({', '.join(columns)})" if len(columns) > 1 else name


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


def _at(error: InputError, batch: Batch, file: InputFile) -> InputError:
    """The same error with the batch and the file in ``where``, and a hint for a file of this batch.

    A file that is dropped alone would wait for the others, which lie in quarantine with it.
    """
    where = ", ".join(part for part in (batch.where(file), error.where) if part)
    message = f"{file.file_name}: {error.message}"
    is_one_of_several = len(batch.inputs) > 1 and error.hint.endswith("drop it again")
    hint = f"{error.hint} with the other exports of its batch" if is_one_of_several else error.hint
    return type(error)(message, hint=hint, where=where, found=error.found)
