"""Extract: what the exports say, cell by cell, with what could not enter set apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

from service.engine.contract import BLANK, Engine, FileReport, Table
from service.errors import DeliveryError, TooManyRejects, UnreadableFile
from service.model import Batch, Delivery, Rules
from service.pipeline.values import MISSING_WORDS

REJECTS_THAT_COUNT = 100
"""Fewer rejects than this never fail a batch for their share; nothing usable left always does."""


def _sql_text(text: str) -> str:
    return text.replace("'", "''")


# What a spreadsheet would run as a formula, behind the quotes that our own writer put before it.
FORMULA = r"^'+\s*[=+\-@\t\r＝＋－＠]"
# Case-folding takes the ligature "fi" apart, a regular expression does not.
_MISSING = "|".join(re.escape(word).replace("fi", "(?:fi|\ufb01)") for word in sorted(MISSING_WORDS))

_SIGNS = "|".join(re.escape(word) for word in sorted(MISSING_WORDS) if not word.isalpha())
_NO_PART = f"(?i){BLANK}*(?:{_SIGNS})?{BLANK}*"

_CELL = f"""
    case
        -- our own writer's quote before a formula is taken off again
        when starts_with($cell, '''') and regexp_matches($cell, '{_sql_text(FORMULA)}') then substr($cell, 2)
        when regexp_full_match($cell, '(?i){BLANK}*(?:{_MISSING})?{BLANK}*') then null
        else $cell
    end
"""

_DELIVERED = f"""
    select
        $source as source,
        row_number,
        {_CELL.replace("$cell", "source_id")} as source_id,
        -- a part of a composed name may be "Na": only an empty one and mere signs are missing
        coalesce(
            {_CELL.replace("$cell", "full_name")},
            nullif(concat_ws(' ',
                case when not regexp_full_match(first_name, '{_NO_PART}') then first_name end,
                case when not regexp_full_match(last_name, '{_NO_PART}') then last_name end), '')
        ) as full_name,
        {_CELL.replace("$cell", "email")} as email,
        {_CELL.replace("$cell", "phone")} as phone,
        {_CELL.replace("$cell", "signup_date")} as signup_date,
        {_CELL.replace("$cell", "status")} as status,
        try_cast(orders_count as bigint) as orders_count
    from this
"""

_SAYS_WHO = """
    select count(*) from this
    where source_id is not null or full_name is not null or email is not null or phone is not null
"""

_REJECT_COLUMNS = ("source_system", "row_number", "code", '"column"', "explanation")


@dataclass(frozen=True)
class Delivered:
    """The rows that entered, and what was found besides.

    rows      source · row_number · source_id · full_name · email · phone · signup_date · status · orders_count
              as written, null = missing
    rejects   source_system · row_number · code · column · explanation
    """

    rows: Table
    rejects: Table
    source_rows: Mapping[str, int]
    source_rejects: Mapping[str, int]
    warnings: Mapping[str, tuple[str, ...]]


def extract(batch: Batch, rules: Rules, engine: Engine) -> Delivered:
    """Read every export of the batch, in source order.

    Raises: DeliveryError (its ``where`` names batch, file and line) for a wrong file, or where too many rows
    of a source cannot enter.
    Source: CONTRACT section 3
    """
    tables: dict[str, Table] = {}
    reports: dict[str, FileReport] = {}
    counts: dict[str, int] = {}
    for delivery in batch.deliveries:
        name = delivery.source.name
        try:
            table, reports[name] = engine.read(delivery)
            tables[name] = table.derive(_DELIVERED.replace("$source", f"'{name}'"))
            counts[name] = table.count()
            _refuse_too_many_rejects(counts[name], len(reports[name].rejects), rules)
            _refuse_strangers(tables[name], counts[name])
        except DeliveryError as error:
            raise _at(error, batch, delivery) from None
    everything = reduce(lambda one, two: one.derive("from this union all from more", more=two), tables.values())
    return Delivered(
        rows=everything,
        rejects=engine.text_table(_REJECT_COLUMNS, _reject_rows(reports)),
        source_rows=counts,
        source_rejects={name: len(report.rejects) for name, report in reports.items()},
        warnings={name: _warnings(report, counts[name]) for name, report in reports.items()},
    )


def _reject_rows(reports: Mapping[str, FileReport]) -> list[tuple[str, int, str, str | None, str]]:
    return [
        (name, reject.row_number, reject.code, reject.column or None, reject.explanation)
        for name, report in reports.items()
        for reject in report.rejects
    ]


def _warnings(report: FileReport, rows: int) -> tuple[str, ...]:
    empty = ("an export of nobody: there are no rows",) if rows == 0 and not report.rejects else ()
    return (*report.warnings, *empty)


def _refuse_too_many_rejects(rows: int, rejects: int, rules: Rules) -> None:
    hint = "look at the first rejected rows with the system that wrote the file"
    if rejects and not rows:
        raise UnreadableFile(f"none of its {rejects} rows is usable", hint=hint)
    share = 100 * rejects / max(rows + rejects, 1)
    if rejects >= REJECTS_THAT_COUNT and share > rules.max_reject_percent:
        raise TooManyRejects(
            f"{rejects} of {rows + rejects} rows cannot enter, more than {rules.max_reject_percent:g} %",
            hint=f"{hint}; SERVICE_MAX_REJECT_PERCENT raises the bound",
        )


def _refuse_strangers(table: Table, rows: int) -> None:
    """Rows of which none says who it is about are no customers: such a file must not replace the real ones."""
    if rows and not table.derive(_SAYS_WHO).rows()[0][0]:
        raise UnreadableFile(
            f"none of its {rows} rows has an id, a name, an e-mail address or a phone in a known place",
            hint="see in README.md where the fields must stand",
        )


def _at(error: DeliveryError, batch: Batch, delivery: Delivery) -> DeliveryError:
    """The same error, saying which file of which batch it is about."""
    where = ", ".join(part for part in (batch.where(delivery), error.where) if part)
    message = f"{delivery.file_name}: {error.message}"
    return type(error)(message, hint=error.hint, where=where, found=error.found)
