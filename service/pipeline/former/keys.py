"""Both keys of every record, for the first batch after the rules for keys changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from service.engine.contract import Engine, Table, sql_text
from service.model import Rules
from service.pipeline.extract import Extracted
from service.pipeline.former.date import date_evidence, norm_date
from service.pipeline.former.email import norm_email
from service.pipeline.former.name import norm_name
from service.pipeline.former.phone import norm_phone
from service.pipeline.former.source_id import norm_id

_EVIDENCE = """
    select source,
        count(*) filter (evidence = 'DMY') > 0, count(*) filter (evidence = 'MDY') > 0
    from (
        select source, by_former_date_evidence(former_signup_date) as evidence from this
        where regexp_matches(former_signup_date, '[/.\\-]')
    )
    group by source
"""
# Only rows without an id are known by their values.
_KEYS = """
    with
    identified as (
        select source, row_number, former_full_name as full_name, former_email as email, former_phone as phone,
            former_signup_date as signup_date, former_status as status,
            case when regexp_full_match(former_source_id, '[A-Za-z0-9][A-Za-z0-9_.\\-]*')
                    then nullif(former_source_id, '0')
                when former_source_id is not null then by_former_id(former_source_id) end as given_id
        from this
    ),
    unnamed as (
        select source, row_number,
            content || '#' || row_number() over (partition by source, content order by row_number) as former_key
        from (
            select source, row_number,
                source || ' content:' || md5(concat_ws(chr(31),
                    coalesce(by_former_name(full_name), chr(30)), coalesce(by_former_email(email), chr(30)),
                    coalesce(by_former_phone(phone, {region}), chr(30)),
                    coalesce(by_former_date(signup_date, {order}), chr(30)),
                    coalesce(lower(trim(status)), {default_status}, chr(30)))) as content
            from identified where given_id is null
        )
    )
    select source, row_number, former_key from unnamed
    union all
    select source, row_number, source || ' id:' || given_id from identified where given_id is not null
"""
_PAIRS = """
    select distinct records.record_key, this.former_key
    from this join records on records.source = this.source and records.row_number = this.row_number
    where records.record_key <> this.former_key
"""


def former_keys(extracted: Extracted, records: Table, rules: Rules, engine: Engine) -> Table:
    """The two keys of each record that has two different ones.

    In:   extracted  with ``with_former``
          records    RECORD, made of its rows
    Out:  record_key · former_key
    """
    functions: dict[str, Callable[..., Any]] = {
        "by_former_id": norm_id,
        "by_former_name": norm_name,
        "by_former_email": norm_email,
        "by_former_phone": norm_phone,
        "by_former_date": norm_date,
        "by_former_date_evidence": date_evidence,
    }
    for name, function in functions.items():
        engine.register(name, function)
    keys = _KEYS.format(
        region=_of_source({it.name: sql_text(it.region or rules.default_region) for it in rules.sources}),
        order=_of_source(_orders(extracted.rows, rules)),
        default_status=_of_source({it.name: f"{sql_text(it.defaults.get('status'))}::varchar" for it in rules.sources}),
    )
    return extracted.rows.derive(keys).derive(_PAIRS, records=records)


def _orders(rows: Table, rules: Rules) -> dict[str, str]:
    evidence = {source: (day, month) for source, day, month in rows.rows(_EVIDENCE)}
    orders: dict[str, str] = {}
    for source in rules.sources:
        day_first, month_first = evidence.get(source.name, (False, False))
        decided = "DMY" if day_first and not month_first else "MDY" if month_first and not day_first else None
        orders[source.name] = sql_text(decided or source.date_order or rules.date_order)
    return orders


def _of_source(terms: Mapping[str, str]) -> str:
    return f"case source {' '.join(f'when {sql_text(name)} then {term}' for name, term in terms.items())} end"
