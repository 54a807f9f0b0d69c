"""Records: the customers of an API file, with every value in one form or missing.

The functions are the definitions, in plain Python; common values are handled by the same rule in SQL.
``tests/test_analytics.py`` compares the two.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from service.analytics_rules import AnalyticsRules
from service.engine.contract import Engine, Table, sql_text
from service.model import API
from service.pipeline import normalise
from service.pipeline.analytics import geography
from service.pipeline.extract import FieldSpec
from service.pipeline.fields.date import HOUR_TO_SECOND, norm_date, unix_second
from service.pipeline.fields.email import EMAIL_KEY_SQL, EMAIL_SQL
from service.pipeline.fields.missing import is_missing_name_sql
from service.pipeline.fields.name import NAME_SQL
from service.pipeline.fields.phone import phone_key_in
from service.pipeline.fields.source_id import norm_id
from service.vocabulary import word_of

_NO_ID = re.compile(r"true|false|-[0-9]+|-?[0-9]+\.[0-9]+(?:[e][+-]?[0-9]+)?", re.IGNORECASE | re.ASCII)
# pandas writes the ids of a column with gaps like this. It has rounded the last digits of longer numbers.
_AS_A_FRACTION = re.compile(r"([1-9][0-9]{0,14})\.0+", re.ASCII)
_ID = r"""
    case
        when regexp_full_match($text, '[1-9][0-9]*') then $text
        else api_id($text)
    end
"""
API_FIELDS = FieldSpec(
    fields=tuple(API.own.fields),
    identity_fields=("id", "email", "first_name", "last_name"),
    optional=frozenset(API.own.fields) - {"id", "email", "first_name", "last_name", "avatar"},
    parts=frozenset({"first_name", "last_name"}),
    sql_of={"id": _ID},
)
"""The fields to extract from an API file. ``register_functions`` must run first."""

_ZONE = r"(?:[01]\d|2[0-3]):?[0-5]\d"
_ISO_MOMENT = rf"[1-9]\d{{3}}-\d\d-\d\d(?:[T ]{HOUR_TO_SECOND}(?:Z|[+\-]{_ZONE})?)?"
_ISO = re.compile(_ISO_MOMENT, re.ASCII)
_MOMENT = rf"""
    case
        when last_active_at is null then null
        when regexp_full_match(last_active_at, '{_ISO_MOMENT}')
            then epoch(try_cast(
                    left(last_active_at, 10) || case when length(last_active_at) = 10 then '' else
                        ' ' || substr(last_active_at, 12, 5) || case substr(last_active_at, 17, 1)
                            when ':' then substr(last_active_at, 17, 3) else ':00' end end as timestamp))::bigint
                - case when regexp_matches(last_active_at, ':\d\d.*[+\-]\d\d:?\d\d$')
                    then (regexp_extract(last_active_at, '([+\-]\d\d):?\d\d$', 1) || '00')::bigint * 36
                        + (regexp_extract(last_active_at, '([+\-])\d\d:?\d\d$', 1) || right(last_active_at, 2))::bigint
                            * 60
                    else 0 end
        when regexp_full_match(last_active_at, '1\d{{9}}') then last_active_at::bigint
        when regexp_full_match(last_active_at, '1\d{{12}}') then last_active_at::bigint // 1000
        else moment(last_active_at, '{{column}}')
    end
"""
_NUMBER = r" *[+\-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+\-]?[0-9]+)? *"
_NUMBER_SQL = f"""
    case when regexp_full_match($text, '{_NUMBER}') and isfinite(try_cast(trim($text) as double))
        then try_cast(trim($text) as double) end
"""
_WEB_ADDRESS = r"[hH][tT][tT][pP][sS]?://[^ \t\r\n/?#][^ \t\r\n]*"
_LETTER_OF_A_NAME = "A-Za-zÀ-ÖØ-öø-ž"


def is_name_sql(column: str) -> str:
    """SQL: whether the name in this column is one after normalisation, as ``norm_name`` says.

    A name of Latin letters is never empty then; any other text needs the definition.
    """
    return rf"""
        case when {column} is null then false
             when regexp_full_match({column}, '[{_LETTER_OF_A_NAME}][{_LETTER_OF_A_NAME}''. \-]*') then true
             else norm_name({column}) is not null end
    """


_RECORDS = f"""
    select
        row_number, id,
        full_name is not null and {is_name_sql("first_name")} as has_first_name,
        full_name is not null and {is_name_sql("last_name")} as has_last_name,
        {NAME_SQL} as full_name,
        {EMAIL_SQL} as email,
        {{phone_key}} as phone_key,
        coalesce(regexp_full_match(avatar, '{_WEB_ADDRESS}'), false) as has_avatar,
        {_NUMBER_SQL.replace("$text", "engagement_score")} as engagement_score,
        last_active_at is not null as has_last_active,
        {_MOMENT} as last_active,
        {_NUMBER_SQL.replace("$text", "total_spent")} as total_spent,
        signup_source, plan, region, country, state, timezone,
        engagement_level, activity_status, acquisition_channel, market_segment, customer_tier
    from (
        select *, case when not {is_missing_name_sql("written_name")} then written_name end as full_name
        from (select *, nullif(concat_ws(' ', first_name, last_name), '') as written_name from this)
    )
"""
_WITH_KEYS = f"select *, coalesce({EMAIL_KEY_SQL}, email) as email_key from ({_RECORDS})"


def api_id(text: str) -> str | None:
    """The id as text; None if it is missing (as in the integration job), negative, a fraction, true or false.

    >>> [api_id(text) for text in ("7", " 7 ", "7.0", "a-7", "0", "-7", "7.5", "true")]
    ['7', '7', '7', 'a-7', None, None, None, None]
    """
    bare = norm_id(text)
    if bare and (whole := _AS_A_FRACTION.fullmatch(bare)):
        return whole[1]
    return None if bare is None or _NO_ID.fullmatch(bare) else bare


def iso_moment(text: str) -> int | None:
    """Seconds since 1970 of an ISO date and time, or of the start of an ISO date, in UTC if without a zone; else None.

    >>> iso_moment("2026-11-25T07:00:00Z") == iso_moment("2026-11-25 08:00+01:00") == iso_moment("2026-11-25T07:00")
    True
    >>> iso_moment("2026-11-25"), iso_moment("2026-02-30"), iso_moment("soon")
    (1795564800, None, None)
    """
    if not _ISO.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).replace(microsecond=0).timestamp())


def moment(text: str, column: str) -> int | None:
    """Like ``iso_moment``, also for Unix times and for every date that the integration job reads (start of the day).

    `column`: see ``DateColumn.code``.

    >>> moment("1795564800", "MDY"), moment("1795564800000", "MDY"), moment("Nov 25, 2026", "MDY")
    (1795564800, 1795564800, 1795564800)
    """
    if (found := iso_moment(text.strip())) is not None:
        return found
    if (seconds := unix_second(text)) is not None:
        return seconds
    day = norm_date(text, column)
    return None if day is None else int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def register_functions(engine: Engine) -> None:
    """Make the definitions callable from SQL; once for each engine, before any other function of this package."""
    normalise.register_functions(engine)
    engine.register("api_id", api_id)
    engine.register("moment", moment, "bigint")
    engine.register("word_of", word_of)
    engine.register("cloud_region", geography.segment_of_cloud_region)


def read_records(rows: Table, rules: AnalyticsRules) -> Table:
    """Normalise the values of an API file; a value that cannot be read is missing.

    In:     rows       row_number · the fields of an API file, as written
    Out:    row_number · id · has_first_name · has_last_name · full_name · email · phone_key · has_avatar ·
            engagement_score, total_spent (any finite number) · has_last_active · last_active (seconds since 1970) ·
            signup_source · plan · region · country · state · timezone · engagement_level · activity_status ·
            acquisition_channel · market_segment · customer_tier (as written) · email_key
    Source: docs/specification.md section 8; names, addresses and phones: section 4
    """
    dates = rows.derive(f"select {sql_text(API.name)} as source, last_active_at as signup_date from this")
    ((column, _),) = normalise.date_columns(dates, {API.name: rules.date_order}).values()
    terms = {
        "column": column.code,
        "phone_key": phone_key_in(rules.default_region),
    }
    return rows.derive(_with(_WITH_KEYS, **terms))


def _with(sql: str, **terms: str) -> str:
    for name, term in terms.items():
        sql = sql.replace(f"{{{name}}}", term)
    return sql
