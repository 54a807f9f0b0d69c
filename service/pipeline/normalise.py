"""Normalise: every value in its one written form, so that equal things look equal.

``values`` is the definition of each rule, in plain Python; the engine calls it for the values that need it.
For the common shapes the same rule stands here in SQL, which is some thirty times faster;
``tests/test_normalise.py`` holds the two equal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import phonenumbers

from service.engine.contract import Engine, Table
from service.model import Rules
from service.pipeline import values
from service.pipeline.extract import Extracted
from service.pipeline.ids import norm_id

# Regions where ten digits, with or without 1 before them, are a whole number and nothing is added to fewer.
PLAIN_NANP_REGIONS = frozenset({"US", "CA"})

_ADDRESS = r"[A-Za-z0-9À-ÖØ-öø-ÿ._%+''\-]+@[A-Za-z0-9À-ÖØ-öø-ÿ\-]+(?:\.[A-Za-z0-9À-ÖØ-öø-ÿ\-]+)+"
_LINK = "(?:(?i:mailto): *)?"
EMAIL = rf"""
    case
        when email is null then null
        when strlen(email) > 10000 then norm_email(email) -- of what is so long nothing is left
        when regexp_full_match(email, '{_ADDRESS}') then lower(email)
        -- behind the scheme of a link, between the angle brackets behind a name, between blanks
        when regexp_full_match(email, ' *{_LINK}{_ADDRESS} *|[ -;=?-~]*< *{_LINK}{_ADDRESS} *> *')
            then lower(regexp_extract(email, '({_ADDRESS})[ >]*$', 1))
        when regexp_full_match(email, '[ -?A-~]*@?') then null -- no "@", or nothing behind it
        else norm_email(email)
    end
"""
"""SQL: the normalised ``email``."""


def _to_format(sql: str, *placeholders: str) -> str:
    """SQL full of regular expressions as a text for ``format``, where ``$name`` is a placeholder."""
    sql = sql.replace("{", "{{").replace("}", "}}")
    return reduce(lambda it, name: it.replace(f"${name}", f"{{{name}}}"), placeholders, sql)


# Where NANP is plain: ten digits or seven, with an extension, a second number, a spreadsheet's ' or .0. Behind
# whatever dials abroad: possible numbers of which libphonenumber takes nothing away. In the definition's order.
_POSSIBLE, _WITH_TRUNK_PREFIX = values.international_shapes()
_DIGITS = "regexp_replace(phone, '[^0-9]', '', 'g')"
_DIGITS_ABROAD = "regexp_replace(phone, '^(?:011|00)|[^0-9]', '', 'g')"
_TEN_DIGITS = r"(?:\+?1[ .\-]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .\-]?)[2-9]\d\d[ .\-]?\d{4}"
_AND_MORE = rf" ?(?:(?:x|ext\.?) ?\d{{1,6}}|/ ?{_TEN_DIGITS})"
_SEVEN_DIGITS = r"(?:\+?1[ .\-]?)?[2-9]\d\d[ .\-]?\d{4}"
_GROUPS = r"[1-9]\d*(?:[ ()\-]{1,3}\d+|\.\d\d+)*"
_PHONE_KEY = _to_format(
    rf"""
    case
        when phone is null then null
        when $is_nanp and regexp_full_match(phone, '''?{_TEN_DIGITS}') then '+1' || right({_DIGITS}, 10)
        when not regexp_matches(phone, '[0-9]|[^ -~]') then null
        when $is_nanp and regexp_full_match(phone, '{_SEVEN_DIGITS}') then '+1' || right({_DIGITS}, 7)
        when $is_nanp
            and regexp_full_match(phone, '{_TEN_DIGITS}{_AND_MORE}|1?[2-9]\d\d[2-9]\d{{6}}\.0')
            then '+1' || right(regexp_replace(phone, '\.0$|[xe/].*|[^0-9]', '', 'g'), 10)
        when (
                regexp_full_match(phone, '''?\+{_GROUPS}')
                or ($is_nanp and regexp_full_match(phone, '(?:011|00)[ .\-]?{_GROUPS}|[2-9]\d{{10,14}}')
                    -- with 00 before them, fewer digits may be a number at home
                    and (not starts_with(phone, '00') or length({_DIGITS_ABROAD}) >= 9))
            )
            and regexp_full_match({_DIGITS_ABROAD}, '{_POSSIBLE}')
            and not regexp_matches({_DIGITS_ABROAD}, '^(?:{_WITH_TRUNK_PREFIX})')
            then '+' || {_DIGITS_ABROAD}
        else norm_phone(phone, $region)
    end
    """,
    "is_nanp",
    "region",
)


def _letters_in_two_cases() -> tuple[str, str]:
    """Capitals and small letters, as classes: one letter becomes one, there and back, whatever stands beside it."""
    pairs: dict[str, str] = {}
    for letter in map(chr, (*range(0x250), *range(0x370, 0x530), *range(0x1E00, 0x1F00))):  # Latin, Greek, Cyrillic
        capital = letter.title()
        composed = unicodedata.normalize("NFC", letter + " " + capital) == letter + " " + capital
        # A small sigma has a second form at the end of a word.
        if len(capital) == 1 and capital == letter.upper() != letter == capital.lower() != "σ" and composed:
            pairs[capital] = letter
    return "[" + "".join(pairs) + "]", "[" + "".join(pairs.values()) + "]"


# Words with blanks, hyphens, apostrophes and full stops between them: first those that stay as they are, CamelCase
# and particles among them; then those of which each is all capitals, all small letters, or capitalised; last the
# first again with needless blanks, or as "Last, First". Much larger regular expressions are slower than Python.
_UPPER, _LOWER = _letters_in_two_cases()
_PART = f"(?:(?:{_UPPER}{_LOWER}+)*{_UPPER}{_LOWER}{_LOWER}+|Mc{_UPPER}{_LOWER}+|{_UPPER}{_LOWER}*)"
_WORD = rf"(?:{_PART}(?:[''’\-]{_PART})*\.?|(?:{_UPPER}\.)+)"
_WORDS = f"{_WORD}(?: (?:{_WORD}|{'|'.join(sorted(values.PARTICLES))}))*"
_SMALL_AFTER_MC = rf"\bMc{_LOWER}"
_LOUD_OR_QUIET = rf"(?:{_UPPER}+|{_UPPER}?{_LOWER}+|Mc{_UPPER}{_LOWER}+)"
_LOUD_OR_QUIET_WORDS = rf"{_LOUD_OR_QUIET}(?:(?:\. |[ ''’.\-]){_LOUD_OR_QUIET})*\.?"
_SUFFIX = f", *(?i:{'|'.join(sorted(values.SUFFIXES))})(?:[^A-Za-z]|$)"
_AS_WRITTEN = f" (?:(?:{'|'.join(sorted(values.PARTICLES))})(?: |$)|(?:III?|IV)$)"
_TIDY = r"regexp_replace(trim(regexp_replace(full_name, ' +', ' ', 'g')), '^([^,]*), ?([^,]*)$', '\2 \1')"
_TITLE_CASE = rf"""array_to_string(list_transform(
                regexp_extract_all(lower(full_name), '{_LOWER}+[ ''’.\-]*'),
                lambda word: case when starts_with(word, 'mc') and regexp_matches(word, '^mc{_LOWER}')
                    then 'Mc' || upper(substr(word, 3, 1)) || substr(word, 4)
                    else upper(left(word, 1)) || substr(word, 2) end), '')"""
NAME = rf"""
    case
        when full_name is null then null
        when strlen(full_name) > 10000 then norm_name(full_name)
        when regexp_full_match(full_name, '{_WORDS}') and not regexp_matches(full_name, '{_SMALL_AFTER_MC}')
            then full_name
        when regexp_full_match(full_name, '{_LOUD_OR_QUIET_WORDS}')
            and (full_name in (lower(full_name), upper(full_name)) or not regexp_matches(full_name, '{_AS_WRITTEN}'))
            then {_TITLE_CASE}
        when regexp_matches(full_name, '^ |  |,| $')
            and not regexp_matches(replace(full_name, '.', ''), '{_SUFFIX}|{_SMALL_AFTER_MC}')
            and regexp_full_match({_TIDY}, '{_WORDS}')
            then {_TIDY}
        else norm_name(full_name)
    end
"""
"""SQL: the normalised ``full_name``."""
# strftime would print the year 987 with three digits: the text itself is kept, a cast only says whether it is real.
_HOUR_TO_SECOND = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?"
_ISO = rf"[1-9]\d{{3}}-\d\d-\d\d(?:[T ]{_HOUR_TO_SECOND}(?:Z|[+\-]\d\d:?\d\d)?)?"
_CLOCK = r"(?:0?\d|1\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?: ?[AaPp][Mm])?"
_YEAR_LAST = rf"\d\d?(?:/\d\d?/|\.\d\d?\.|-\d\d?-)(?:[1-9]\d{{3}}|\d\d)(?:,? {_CLOCK})?"
_MONTH = "(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_MONTHS = "janfebmaraprmayjunjulaugsepoctnovdec"
_DAY_MONTH_YEAR = rf"\d\d?[ \-]{_MONTH}[ \-][1-9]\d{{3}}|{_MONTH} \d\d?, [1-9]\d{{3}}"
_DATE = _to_format(
    rf"""
    case
        when signup_date is null then null
        when regexp_full_match(signup_date, '{_ISO}')
            then case when try_cast(left(signup_date, 10) as date) is not null then left(signup_date, 10) end
        when regexp_full_match(signup_date, '[1-9]\d{{7}}') and try_cast($from_compact as date) is not null
            then $from_compact
        when regexp_full_match(signup_date, '\d\d/\d\d/[1-9]\d{{3}}')
            and try_cast(right(signup_date, 4) || '-' || $day_first as date) is not null
            then right(signup_date, 4) || '-' || $day_first
        when regexp_full_match(signup_date, '{_YEAR_LAST}')
            -- a date that is none in the order of its column may yet be clear by itself
            then coalesce(
                list_transform([regexp_extract_all(signup_date, '\d+')], lambda part: try_cast(
                    case when length(part[3]) = 4 then '' when part[3] < '69' then '20' else '19' end || part[3] || '-'
                    || case $order when 'DMY' then part[2] || '-' || part[1] else part[1] || '-' || part[2] end
                    as date))[1]::varchar,
                norm_date(signup_date, $order))
        when regexp_full_match(signup_date, '{_DAY_MONTH_YEAR}')
            then try_cast(right(signup_date, 4)
                || '-' || (instr('{_MONTHS}', lower(regexp_extract(signup_date, '[A-Za-z]+'))) + 2) // 3
                || '-' || regexp_extract(signup_date, '\d+') as date)::varchar
        when regexp_full_match(signup_date, '[1-9]\d{{8,9}}')
            then (date '1970-01-01' + (signup_date::bigint // 86400)::integer)::varchar
        else norm_date(signup_date, $order)
    end
    """,
    "from_compact",
    "day_first",
    "order",
)

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
        full_name as written_name, email as written_email, phone as written_phone, signup_date as written_date,
        status as written_status
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

NAME_KEY = """
    case when full_name is null then null
         when regexp_full_match(full_name, '[ -~]*') then lower(full_name)
         else name_key(full_name) end
"""
"""SQL: what equality compares of a normalised ``full_name``."""

_RECORDS = """
    with
    shown as (
        select
            *,
            given_id is not null as has_id,
            coalesce(given_id, source || '-ROW' || row_number) as source_id,
            coalesce(stated_status, {default_status}) as status,
            {name_key} as name_key,
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
        row_number() over (order by {source_rank}, shown.row_number) - 1 as ordinal,
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
        -- only dates written a/b/yyyy or a/b/yy with a part above 12 can tell; digits and blanks may be full-width ones
        where regexp_matches(signup_date, '^\s*(1[3-9]|2\d|3\d)\s?[/.\-]\s?\d{1,2}\s?[/.\-]\s?\d\d')
            or regexp_matches(signup_date, '^\s*\d{1,2}\s?[/.\-]\s?(1[3-9]|2\d|3\d)\s?[/.\-]\s?\d\d')
            or regexp_matches(signup_date, '[^\x00-\x7F]')
    )
    group by source
"""

_TROUBLES = """
    select source, field, reason, count(*) as occurrences, min(row_number, {most_rows}) as first_rows
    from (
        select source, row_number, 'full_name' as field, trouble_name(written_name) as reason from this
            where full_name is null and written_name is not null
        union all
        select source, row_number, 'email', trouble_email(written_email) from this
            where email is null and written_email is not null
        union all
        select source, row_number, 'phone', trouble_phone(written_phone, {region}) from this
            where phone_key is null and written_phone is not null
        union all
        select source, row_number, 'signup_date', trouble_date(written_date, 'MDY') from this
            where signup_date is null and written_date is not null
    )
    group by source, field, reason
    order by source, field, reason
"""
MOST_ROWS_NAMED = 5

# A phone is compared as it is printed: its key without the default region's calling code, or without the "+".
_CHANGED = """
    select
        source,
        count(*) filter (full_name <> written_name) as full_name,
        count(*) filter (email <> written_email) as email,
        count(*) filter (phone_key <> case when starts_with(phone_key, '{own_code}') then '{own_code}' else '+' end
            || written_phone) as phone,
        count(*) filter (signup_date <> written_date) as signup_date,
        count(*) filter (stated_status <> written_status) as status
    from this
    group by source
"""


@dataclass(frozen=True)
class Normalised:
    """The records, and what normalising cost.

    records    RECORD, see ``model``
    troubles   (source, field, reason) -> how many values became missing for it
    troubled_rows    the same -> numbers of the first rows with such a value
    changed    (source, field) -> how many values came out different from what was written
    ambiguous  sources whose dates contradict one another about which part is the day
    """

    records: Table
    troubles: Mapping[tuple[str, str, str], int]
    troubled_rows: Mapping[tuple[str, str, str], tuple[int, ...]]
    changed: Mapping[tuple[str, str], int]
    ambiguous: tuple[str, ...]


def normalise(delivered: Extracted, rules: Rules, engine: Engine) -> Normalised:
    """Bring every value to its one written form; what is unusable becomes missing, and is counted.

    Source: CONTRACT section 4; record keys: section 3 (ids)
    """
    teach(engine)
    rows = delivered.rows
    orders, ambiguous = _date_orders(rows, rules)
    order = _of_source({name: _text(it) for name, it in orders.items()})
    region_of = {source.name: source.region or rules.default_region for source in rules.sources}
    regions = _of_source({name: _text(region) for name, region in region_of.items()})
    is_nanp = {name: str(region in PLAIN_NANP_REGIONS).lower() for name, region in region_of.items()}
    values_table = rows.derive(
        _NORMALISED.format(
            name=NAME,
            email=EMAIL,
            phone_key=_PHONE_KEY.format(is_nanp=_of_source(is_nanp), region=regions),
            date=_DATE.format(
                order=order,
                from_compact="left(signup_date, 4) || '-' || substr(signup_date, 5, 2) || '-' || right(signup_date, 2)",
                day_first=f"case {order} when 'DMY' then substr(signup_date, 4, 2) || '-' || left(signup_date, 2) "
                "else left(signup_date, 2) || '-' || substr(signup_date, 4, 2) end",
            ),
            source_id=_SOURCE_ID,
        )
    )
    troubles = values_table.derive(_TROUBLES.format(region=regions, most_rows=MOST_ROWS_NAMED)).rows()
    return Normalised(
        records=values_table.derive(_records_sql(rules)),
        troubles={(source, field, reason): count for source, field, reason, count, _ in troubles},
        troubled_rows={(source, field, reason): tuple(rows) for source, field, reason, _, rows in troubles},
        changed=_changed(values_table, rules),
        ambiguous=ambiguous,
    )


def teach(engine: Engine) -> None:
    """Make the rules callable from SQL."""
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
    for source in rules.sources:
        day_first, month_first = evidence.get(source.name, (False, False))
        decided = "DMY" if day_first and not month_first else "MDY" if month_first and not day_first else None
        orders[source.name] = decided or source.date_order or rules.date_order
    return orders, tuple(name for name, (day, month) in evidence.items() if day and month)


def _changed(values_table: Table, rules: Rules) -> dict[tuple[str, str], int]:
    counted = values_table.derive(_CHANGED.format(own_code=_own_code(rules))).rows()
    fields = ("full_name", "email", "phone", "signup_date", "status")
    return {(source, field): count for source, *counts in counted for field, count in zip(fields, counts, strict=True)}


def _own_code(rules: Rules) -> str:
    return f"+{phonenumbers.country_code_for_region(rules.default_region)}"


def _records_sql(rules: Rules) -> str:
    own_code = _own_code(rules)
    defaults = {source.name: _text(source.defaults.get("status")) for source in rules.sources}
    return _RECORDS.format(
        name_key=NAME_KEY,
        default_status=_of_source(defaults),
        source_rank=_of_source({source.name: str(rank) for rank, source in enumerate(rules.sources)}, "shown.source"),
        own_code=own_code,
        own_code_length=len(own_code),
    )


def phone_key(region: str) -> str:
    """SQL: what equality compares of a ``phone`` that is read in one region."""
    return _PHONE_KEY.format(is_nanp=str(region in PLAIN_NANP_REGIONS).lower(), region=_text(region))


def _of_source(terms: Mapping[str, str], column: str = "source") -> str:
    """SQL for what differs from source to source; one term for all where it does not, so that it costs nothing."""
    if len(set(terms.values())) == 1:
        return next(iter(terms.values()))
    return f"case {column} {' '.join(f'when {_text(name)} then {term}' for name, term in terms.items())} end"


def _text(text: str | None) -> str:
    return "null" if text is None else "'" + text.replace("'", "''") + "'"
