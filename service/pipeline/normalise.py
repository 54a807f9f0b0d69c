"""Normalise: every value in its one normalised form, so that equal values have equal texts.

The rules of each field are in ``service.pipeline.fields``: the definition in Python and the same rule in SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from service.engine.contract import Callables, Engine, Table, sql_text
from service.model import Rules
from service.pipeline.extract import Extracted
from service.pipeline.fields import FEW_ROWS
from service.pipeline.fields.date import (
    DATE_EVIDENCE_SQL,
    IS_DOUBTFUL_SQL,
    DateColumn,
    column_of,
    date_evidence,
    date_sql,
    norm_date,
    trouble_date,
)
from service.pipeline.fields.email import EMAIL_KEY_SQL, EMAIL_SQL, email_key, norm_email, trouble_email
from service.pipeline.fields.name import NAME_KEY_SQL, NAME_SQL, name_key, norm_name, trouble_name
from service.pipeline.fields.phone import (
    IS_RAW_SQL,
    compared_phone,
    is_plain_nanp,
    phone_as_printed_sql,
    phone_is_changed_sql,
    phone_key_sql,
    reason_of_unusable_phone,
)
from service.pipeline.fields.source_id import ID_KEY_SQL, SOURCE_ID_SQL, id_key, norm_id
from service.pipeline.fields.status import STATUS_SQL, read_status
from service.pipeline.first_usable import first_usable
from service.pipeline.grouped_ids import ungrouped
from service.pipeline.origins import columns_of
from service.pipeline.read_ahead import read_ahead

_NORMALISED = """
    select
        source, row_number, orders_count,
        {source_id} as given_id,
        {name} as full_name,
        {email} as email,
        {phone_key} as phone_key,
        {date} as signup_date,
        {status} as stated_status,
        full_name as written_name, email as written_email, phone as written_phone, signup_date as written_date,
        status as written_status{evidence}
    from this
"""

# A row without an id is identified by its content, and by its number among rows with the same content.
_UNNAMED = """
    select source, row_number,
        content || '#' || row_number() over (partition by source, content order by row_number) as record_key
    from (
        select source, row_number,
            source || ' content:' || md5(concat_ws(chr(31), coalesce(full_name, chr(30)), coalesce(email, chr(30)),
                coalesce(if({phone} is null, null, phone_key), chr(30)), coalesce(signup_date, chr(30)),
                coalesce({status}, chr(30)))) as content
        from this where given_id is null
    )
"""

_RECORDS = """
    with
    shown as (
        select
            *,
            given_id is not null as has_id,
            coalesce(given_id, source || '-ROW' || row_number) as source_id,
            {status} as status,
            {name_key} as name_key,
            nullif({email_key}, email) as email_key,
            {phone} as phone
        from this
    )
    select
        ordinal, source, row_number, source_id, has_id, {record_key} as record_key,
        full_name, email, phone, signup_date, status,
        stated_status is not null as status_stated,
        name_key, phone_key, email_key, orders_count{evidence}
    from shown
"""
_KEY_BY_ID = f"source || ' id:' || {ID_KEY_SQL.format('given_id')}"
# A join does not keep the order of the rows.
_WITH_UNNAMED = " left join unnamed using (source, row_number) order by ordinal"

_FILLED_DATES = "select source, count(signup_date) from this group by source"

_TROUBLES = """
    select source, field, reason, count(*) as occurrences, min(row_number, {most_rows}) as first_rows
    from (
        select source, row_number, 'full_name' as field, trouble_name(written_name) as reason from this
            where full_name is null and written_name is not null
        union all
        select source, row_number, 'email', trouble_email(written_email) from this
            where email is null and written_email is not null
        union all
        select source, row_number, 'phone', reason_of_unusable_phone(written_phone, {region}) from this
            where (phone_key is null or {is_raw}) and written_phone is not null
        union all
        select source, row_number, 'signup_date', trouble_date(written_date, {date_column}) from this
            where signup_date is null and written_date is not null
        union all
        select source, row_number, 'status', 'boolean_status' from this
            where stated_status is null and written_status is not null
    )
    group by source, field, reason
    order by source, field, reason
"""
MOST_ROWS_NAMED = 5
"""So many rows with an unusable value are named, of each kind."""

# The text as written differs from the value; kept, but hardly true; without an id.
_COUNTS = """
    select
        source,
        count(*) filter (full_name <> written_name) as full_name,
        count(*) filter (email <> written_email) as email,
        count(*) filter ({phone_is_changed}) as phone,
        count(*) filter (signup_date <> written_date) as signup_date,
        count(*) filter (stated_status <> written_status) as status,
        count(*) filter ({is_doubtful}) as doubtful,
        count(*) filter (given_id is null) as unnamed
    from this
    group by source
    order by source
"""


_CHANGED_FIELDS = ("full_name", "email", "phone", "signup_date", "status")
_NAME_AND_EMAIL = {"full_name": NAME_SQL, "email": EMAIL_SQL}
_SHARES = {"dates": 0.03, "values": 0.58, "troubles": 0.04, "records": 0.35}
"""Of the time that the stage takes."""


@dataclass(frozen=True)
class Normalised:
    """The records, and counts of the values that changed or became missing.

    records        RECORD, see ``model``
    troubles       (source, field, reason) -> number of values that became missing for this reason
    troubled_rows  (source, field, reason) -> row numbers of the first such values
    changed        (source, field) -> number of values that differ from the text as written
    doubtful       (source, field, reason) -> number of values that are kept, but hardly true
    ambiguous      sources whose dates contradict each other about which part is the day
    """

    records: Table
    troubles: Mapping[tuple[str, str, str], int]
    troubled_rows: Mapping[tuple[str, str, str], tuple[int, ...]]
    changed: Mapping[tuple[str, str], int]
    doubtful: Mapping[tuple[str, str, str], int]
    ambiguous: tuple[str, ...]


def normalise(extracted: Extracted, rules: Rules, engine: Engine) -> Normalised:
    """Bring every value to its normalised form; an unusable value becomes missing and is counted.

    Source: docs/specification.md section 4; record keys: section 3 (ids)
    """
    register_functions(engine)
    with engine.calling():
        return _normalised(extracted, rules, engine)


def _normalised(extracted: Extracted, rules: Rules, engine: Engine) -> Normalised:
    rows = extracted.rows
    with engine.meter.part(_SHARES["dates"], steps=2):
        columns, ambiguous = _date_columns(_dates(extracted), rules)

    def of_column(term: Callable[[DateColumn], str]) -> str:
        return _of_source({name: sql_text(term(column)) for name, column in columns.items()})

    region_of = {source.name: source.region or rules.default_region for source in rules.sources}
    region = _of_source({name: sql_text(it) for name, it in region_of.items()})
    is_nanp = _of_source({name: is_plain_nanp(it) for name, it in region_of.items()})
    date_column = of_column(attrgetter("code"))
    in_sql = {"phone": phone_key_sql(region, is_nanp), "signup_date": date_sql(of_column)}
    is_small = extracted.row_count <= FEW_ROWS
    normalised = _by_definition(region, date_column) if is_small else {**_NAME_AND_EMAIL, **in_sql}
    rows = first_usable(ungrouped(rows), extracted.path_counts, normalised)
    with engine.meter.part(_SHARES["values"]):
        values = _values(rows, normalised, extracted.evidence, engine)
    found = _TROUBLES.format(region=region, is_raw=IS_RAW_SQL, date_column=date_column, most_rows=MOST_ROWS_NAMED)
    with engine.meter.part(_SHARES["troubles"], steps=3):
        troubles = values.rows(found)
        counts = _counts(values, rules)
        unnamed = _unnamed(values, rules) if any(it["unnamed"] for it in counts.values()) else None
    with engine.meter.part(_SHARES["records"]):
        records = _records(values, unnamed, rules, _evidence_columns(extracted, rules), engine)
    result = Normalised(
        records=records,
        troubles={(source, field, reason): count for source, field, reason, count, _ in troubles},
        troubled_rows={(source, field, reason): tuple(rows) for source, field, reason, _, rows in troubles},
        changed={(source, field): it[field] for source, it in counts.items() for field in _CHANGED_FIELDS},
        doubtful={
            (source, "signup_date", "doubtful_date"): it["doubtful"] for source, it in counts.items() if it["doubtful"]
        },
        ambiguous=ambiguous,
    )
    for table in filter(None, (values, unnamed)):
        table.release()
    return result


def _by_definition(region: str, date_column: str) -> dict[str, str]:
    """Field -> SQL that normalises it by its definition alone; the arguments are SQL terms."""
    return {
        "full_name": "norm_name(full_name)",
        "email": "norm_email(email)",
        "phone": f"compared_phone(phone, {region})",
        "signup_date": f"norm_date(signup_date, {date_column})",
    }


def _values(rows: Table, normalised: Mapping[str, str], evidence: Sequence[str], engine: Engine) -> Table:
    """Every value in its normalised form, and as written."""
    with read_ahead(rows, normalised, engine) as (read, sql_of):
        return read.derive(
            _NORMALISED.format(
                name=sql_of["full_name"],
                email=sql_of["email"],
                phone_key=sql_of["phone"],
                date=sql_of["signup_date"],
                status=STATUS_SQL,
                source_id=SOURCE_ID_SQL,
                evidence="".join(f", {name}" for name in evidence),
            )
        )


def register_functions(engine: Callables) -> None:
    """Make the definitions of all fields callable from SQL."""
    for function in (
        norm_email,
        compared_phone,
        norm_name,
        norm_date,
        read_status,
        norm_id,
        id_key,
        trouble_email,
        reason_of_unusable_phone,
        trouble_name,
        trouble_date,
        date_evidence,
        name_key,
        email_key,
    ):
        engine.register(function.__name__, function)


def _dates(extracted: Extracted) -> Table:
    """source · signup_date of every row: the first that it has, of several paths."""
    columns = columns_of("signup_date", extracted.path_counts.get("signup_date", 1))
    if len(columns) == 1:
        return extracted.rows
    return extracted.rows.derive(f"select source, coalesce({', '.join(columns)}) as signup_date from this")


def _date_columns(rows: Table, rules: Rules) -> tuple[dict[str, DateColumn], tuple[str, ...]]:
    """How the dates of each source are read, and the sources whose values contradict each other."""
    orders = {source.name: source.date_order or rules.date_order for source in rules.sources}
    found = date_columns(rows, orders)
    columns = {name: column for name, (column, _) in found.items()}
    return columns, tuple(name for name, (_, is_contradicting) in found.items() if is_contradicting)


def date_columns(rows: Table, orders: Mapping[str, str]) -> dict[str, tuple[DateColumn, bool]]:
    """``column_of`` of the dates of each source.

    In:     rows       source · signup_date, as written
            orders     source -> the order of day and month where its values do not show it
    """
    evidence: dict[str, dict[str, int]] = {source: {} for source in orders}
    for source, shown, times in rows.rows(DATE_EVIDENCE_SQL):
        evidence[source][shown] = times
    filled: dict[str, int] = dict(rows.rows(_FILLED_DATES))
    return {source: column_of(evidence[source], filled.get(source, 0), order) for source, order in orders.items()}


def _counts(values: Table, rules: Rules) -> dict[str, dict[str, int]]:
    """Source -> field -> number of its values that differ from the text as written; ``doubtful``; ``unnamed``."""
    phone_is_changed = phone_is_changed_sql(rules.default_region)
    counted = values.rows(_COUNTS.format(phone_is_changed=phone_is_changed, is_doubtful=IS_DOUBTFUL_SQL))
    names = (*_CHANGED_FIELDS, "doubtful", "unnamed")
    return {source: dict(zip(names, counts, strict=True)) for source, *counts in counted}


def _unnamed(values: Table, rules: Rules) -> Table:
    """source · row_number · record_key of the rows without an id.

    A statement of its own: of one with ``_RECORDS`` DuckDB would not know how far it is.
    """
    return values.derive(_UNNAMED.format(status=_status_sql(rules), phone=phone_as_printed_sql(rules.default_region)))


def _evidence_columns(extracted: Extracted, rules: Rules) -> str:
    """SQL: what only the matcher ``safe`` reads, as written."""
    return "".join(f", {name}" for name in (*extracted.evidence, "written_phone")) if rules.reads_evidence else ""


def _records(values: Table, unnamed: Table | None, rules: Rules, evidence: str, engine: Engine) -> Table:
    """RECORD: the values with their keys, numbered in order of appearance, which is that of the rows."""
    with read_ahead(values, {"name_key": NAME_KEY_SQL, "email_key": EMAIL_KEY_SQL}, engine) as (read, keyed):
        sql = _RECORDS.format(
            record_key=f"coalesce(unnamed.record_key, {_KEY_BY_ID})" if unnamed else _KEY_BY_ID,
            **keyed,
            status=_status_sql(rules),
            phone=phone_as_printed_sql(rules.default_region),
            evidence=evidence,
        )
        numbered = read.numbered("ordinal")
        return numbered.derive(sql + _WITH_UNNAMED, unnamed=unnamed) if unnamed else numbered.derive(sql)


def _status_sql(rules: Rules) -> str:
    """SQL for the stated status, or the default of the source where nothing was written."""
    defaults = _of_source({source.name: sql_text(source.defaults.get("status")) for source in rules.sources})
    return f"coalesce(stated_status, if(written_status is null, {defaults}, null))"


def _of_source(terms: Mapping[str, str], column: str = "source") -> str:
    """SQL for a term that may differ between sources; the term alone if it does not, so that it costs nothing."""
    if len(set(terms.values())) == 1:
        return next(iter(terms.values()))
    return f"case {column} {' '.join(f'when {sql_text(name)} then {term}' for name, term in terms.items())} end"
