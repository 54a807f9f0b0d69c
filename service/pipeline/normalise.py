"""Normalise: every value in its one written form, so that equal things look equal.

``values`` is the definition of each rule, in plain Python; the engine calls it for the values that need it.
For the common shapes the same rule stands here in SQL, which is some thirty times faster;
``tests/test_normalise.py`` holds the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import phonenumbers

from service.engine.contract import Engine, Table
from service.model import SOURCES, Rules
from service.pipeline import values
from service.pipeline.extract import Delivered
from service.pipeline.ids import norm_id

# Regions where ten digits, with or without 1 before them, are a whole number and nothing is added to fewer.
PLAIN_NANP_REGIONS = frozenset({"US", "CA"})

_EMAIL = r"""
    case
        when email is null then null
        when strlen(email) <= 10000 -- of what is longer nothing is left, says the definition
            and regexp_full_match(email, '[A-Za-z0-9._%+\-]+@[A-Za-z0-9\-]+(\.[A-Za-z0-9\-]+)+') then lower(email)
        else norm_email(email)
    end
"""
_PHONE_KEY = r"""
    case
        when phone is null then null
        when {is_nanp}
            and regexp_full_match(phone, '(\+?1[ .\-]?)?(\([2-9]\d\d\) ?|[2-9]\d\d[ .\-]?)[2-9]\d\d[ .\-]?\d{{4}}')
            then '+1' || right(regexp_replace(phone, '[^0-9]', '', 'g'), 10)
        else norm_phone(phone, '{region}')
    end
"""
# Latin words with blanks, hyphens and apostrophes between them, either all capitalised or all of one case.
# Particles in mixed company, CamelCase, commas and other scripts are Python's. ß has no capital of one letter.
_CAPITALISED = "(?:[A-ZÀ-ÖØ-Þ][a-zà-öø-þ]+|Mc[A-ZÀ-ÖØ-Þ][a-zà-öø-þ]+)"
_UPPER, _LOWER = "[A-ZÀ-ÖØ-Þ]", "[a-zà-öø-þ]"
_NAME = rf"""
    case
        when full_name is null then null
        when strlen(full_name) > 10000 then norm_name(full_name)
        when regexp_full_match(full_name, '{_CAPITALISED}(?:[ ''\-]{_CAPITALISED})*')
            and not regexp_matches(full_name, '\bMc{_LOWER}')
            then full_name
        when regexp_full_match(full_name, '{_UPPER}+(?:[ ''\-]{_UPPER}+)*|{_LOWER}+(?:[ ''\-]{_LOWER}+)*')
            then array_to_string(list_transform(
                regexp_extract_all(lower(full_name), '{_LOWER}+[ ''\-]?'),
                lambda word: case when regexp_matches(word, '^mc{_LOWER}')
                    then 'Mc' || upper(word[3]) || word[4:] else upper(word[1]) || word[2:] end), '')
        else norm_name(full_name)
    end
"""
# strftime would print the year 987 with three digits: the text itself is kept, a cast only says whether it is real.
_DATE = r"""
    case
        when signup_date is null then null
        when regexp_full_match(signup_date, '[1-9]\d{{3}}-\d\d-\d\d') and try_cast(signup_date as date) is not null
            then signup_date
        when regexp_full_match(signup_date, '[1-9]\d{{3}}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ')
            and try_cast(left(signup_date, 10) as date) is not null
            then left(signup_date, 10)
        when regexp_full_match(signup_date, '[1-9]\d{{7}}') and try_cast({from_compact} as date) is not null
            then {from_compact}
        when regexp_full_match(signup_date, '\d\d/\d\d/[1-9]\d{{3}}')
            and try_cast(right(signup_date, 4) || '-' || {day_first} as date) is not null
            then right(signup_date, 4) || '-' || {day_first}
        else norm_date(signup_date, {order})
    end
"""

_NORMALISED = """
    select
        source, row_number, orders_count,
        {source_id} as given_id,
        {name} as full_name,
        {email} as email,
        {phone_key} as phone_key,
        {date} as signup_date,
        case when regexp_full_match(status, '[A-Za-z]+') then lower(status) else read_status(status) end
            as stated_status,
        full_name as written_name, email as written_email, phone as written_phone, signup_date as written_date
    from this
"""

# An id is text to us: a leading apostrophe, ="…" are a spreadsheet's; "", 0 and -1 are no id.
_SOURCE_ID = r"""
    case
        when source_id is null then null
        when regexp_full_match(source_id, '[A-Za-z0-9][A-Za-z0-9_.\-]*') then nullif(source_id, '0')
        else norm_id(source_id)
    end
"""

_RECORDS = """
    with
    shown as (
        select
            *,
            given_id is not null as has_id,
            coalesce(given_id, source || '-ROW' || row_number) as source_id,
            coalesce(stated_status, case source {default_status} end) as status,
            case when full_name is null then null
                 when regexp_full_match(full_name, '[ -~]*') then lower(full_name)
                 else name_key(full_name) end as name_key,
            case when starts_with(phone_key, '{own_code}') then substr(phone_key, {own_code_length} + 1)
                 else substr(phone_key, 2) end as phone
        from this
    ),
    unnamed as (
        -- a row without an id is known by what it says, and by its place among rows that say the same
        select source, row_number,
            content || '#' || row_number() over (partition by source, content order by row_number) as record_key
        from (
            select source, row_number,
                source || ' content:' || md5(concat_ws(chr(31), coalesce(full_name, chr(30)), coalesce(email, chr(30)),
                    coalesce(phone_key, chr(30)), coalesce(signup_date, chr(30)), coalesce(status, chr(30)))) as content
            from shown where not has_id
        )
    )
    select
        row_number() over (order by case shown.source {source_rank} end, shown.row_number) - 1 as ordinal,
        shown.source, shown.row_number, source_id, has_id,
        coalesce(unnamed.record_key, shown.source || ' id:' || given_id) as record_key,
        full_name, email, phone, signup_date, status,
        stated_status is not null as status_stated,
        name_key, phone_key, orders_count
    from shown left join unnamed on unnamed.source = shown.source and unnamed.row_number = shown.row_number
    order by ordinal
"""

_DATE_EVIDENCE = r"""
    select source,
        count(*) filter (evidence = 'DMY') > 0, count(*) filter (evidence = 'MDY') > 0
    from (
        select source, date_evidence(signup_date) as evidence
        from this
        -- only dates written a/b/yyyy with a part above 12 can tell; digits and blanks may be full-width ones
        where regexp_matches(signup_date, '^\s*(1[3-9]|2\d|3\d)\s?[/.\-]\s?\d{1,2}\s?[/.\-]\s?\d{4}')
            or regexp_matches(signup_date, '^\s*\d{1,2}\s?[/.\-]\s?(1[3-9]|2\d|3\d)\s?[/.\-]\s?\d{4}')
            or regexp_matches(signup_date, '[^\x00-\x7F]')
    )
    group by source
"""

_TROUBLES = """
    select source, field, reason, count(*) as occurrences
    from (
        select source, 'full_name' as field, trouble_name(written_name) as reason from this
            where full_name is null and written_name is not null
        union all
        select source, 'email', trouble_email(written_email) from this
            where email is null and written_email is not null
        union all
        select source, 'phone', trouble_phone(written_phone, '{region}') from this
            where phone_key is null and written_phone is not null
        union all
        select source, 'signup_date', trouble_date(written_date, 'MDY') from this
            where signup_date is null and written_date is not null
    )
    group by all
    order by all
"""


@dataclass(frozen=True)
class Normalised:
    """The records, and what normalising cost.

    records    RECORD, see ``model``
    troubles   (source, field, reason) -> how many values became missing for it
    ambiguous  sources whose dates contradict one another about which part is the day
    """

    records: Table
    troubles: Mapping[tuple[str, str, str], int]
    ambiguous: tuple[str, ...]


def normalise(delivered: Delivered, rules: Rules, engine: Engine) -> Normalised:
    """Bring every value to its one written form; what is unusable becomes missing, and is counted.

    Source: CONTRACT section 4; record keys: section 3 (ids)
    """
    _teach(engine)
    rows = delivered.rows
    orders, ambiguous = _date_orders(rows, rules)
    order = "case source " + " ".join(f"when '{name}' then '{order}'" for name, order in orders.items()) + " end"
    values_table = rows.derive(
        _NORMALISED.format(
            name=_NAME,
            email=_EMAIL,
            phone_key=_PHONE_KEY.format(
                is_nanp=str(rules.default_region in PLAIN_NANP_REGIONS).lower(), region=rules.default_region
            ),
            date=_DATE.format(
                order=order,
                from_compact="left(signup_date, 4) || '-' || substr(signup_date, 5, 2) || '-' || right(signup_date, 2)",
                day_first=f"case {order} when 'DMY' then substr(signup_date, 4, 2) || '-' || left(signup_date, 2) "
                "else left(signup_date, 2) || '-' || substr(signup_date, 4, 2) end",
            ),
            source_id=_SOURCE_ID,
        )
    )
    troubles = values_table.derive(_TROUBLES.format(region=rules.default_region)).rows()
    return Normalised(
        records=values_table.derive(_records_sql(rules)),
        troubles={(source, field, reason): count for source, field, reason, count in troubles},
        ambiguous=ambiguous,
    )


def _teach(engine: Engine) -> None:
    for function in (
        values.norm_email,
        values.norm_phone,
        values.norm_name,
        values.norm_date,
        values.read_status,
        norm_id,
        values.trouble_email,
        values.trouble_phone,
        values.trouble_name,
        values.trouble_date,
        values.date_evidence,
        values.name_key,
    ):
        engine.register(function.__name__, function)


def _date_orders(rows: Table, rules: Rules) -> tuple[dict[str, str], tuple[str, ...]]:
    """For every source which part of a/b/yyyy is the day, and the sources whose values contradict each other."""
    evidence = {source: (day, month) for source, day, month in rows.derive(_DATE_EVIDENCE).rows()}
    orders: dict[str, str] = {}
    for source in SOURCES:
        day_first, month_first = evidence.get(source.name, (False, False))
        decided = "DMY" if day_first and not month_first else "MDY" if month_first and not day_first else None
        orders[source.name] = decided or rules.date_order
    return orders, tuple(name for name, (day, month) in evidence.items() if day and month)


def _records_sql(rules: Rules) -> str:
    own_code = f"+{phonenumbers.country_code_for_region(rules.default_region)}"
    return _RECORDS.format(
        default_status=" ".join(f"when '{s.name}' then '{s.default_status}'" for s in SOURCES if s.default_status),
        source_rank=" ".join(f"when '{s.name}' then {rank}" for rank, s in enumerate(SOURCES)),
        own_code=own_code,
        own_code_length=len(own_code),
    )
