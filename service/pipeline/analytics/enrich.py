"""Enrich: the fields of the export, each decided by the evidence of record and master, and the quality score."""

from __future__ import annotations

import re
from collections.abc import Iterator

from service.analytics_rules import AnalyticsRules
from service.engine.contract import Engine, Table
from service.pipeline.analytics import geography
from service.vocabulary import STATED, word_of

_DAY_SECONDS = 86_400
_COLUMN_OF = {
    "channel": "signup_source",
    "plan": "plan",
    "region": "region",
    "country": "country",
    "state": "state",
    "timezone": "timezone",
    **{field: field for field in STATED},
}
"""Kind of word -> the column of the record that holds it."""

# Few distinct texts occur in these columns, so each is looked up once.
_DISTINCT_TEXTS = " union all ".join(
    f"select distinct '{kind}' as kind, {column} as written from this where {column} is not null"
    for kind, column in _COLUMN_OF.items()
)
_MEANINGS = """
    select kind, written, coalesce(words.meaning, case when kind = 'region' then cloud_region(written) end) as meaning
    from (select kind, written, word_of(written) as word from this) left join words using (kind, word)
"""
_WORD = "left join (from meanings where kind = '{kind}') as {kind}_word on {kind}_word.written = this.{column}"
_JOIN_WORDS = "\n".join(_WORD.format(kind=kind, column=column) for kind, column in _COLUMN_OF.items())

# A North American number is evidence only with an area code.
_JOIN_PREFIXES = """
    left join (from prefixes where kind = 'calling') as {0}_calling on {0}_calling.word = substr({0}.phone_key, 2, 3)
    left join (from prefixes where kind = 'area') as {0}_area
        on {0}_area.word = case when length({0}.phone_key) = 12 then substr({0}.phone_key, 2, 4) end
    left join (from prefixes where kind = 'area') as {0}_exchange
        on {0}_exchange.word = case when length({0}.phone_key) = 12 then substr({0}.phone_key, 2, 7) end
    left join (from prefixes where kind = 'domain') as {0}_domain on {0}_domain.word = {1}
"""
_WORLDWIDE = "|".join(re.escape(host) for host in sorted(geography.worldwide_hosts()))
# Most addresses end in more than two letters: of these nothing else is looked at.
_COUNTRY_DOMAIN = f"""
    case when regexp_full_match(right({{0}}.email, 3), '\\.[a-z][a-z]')
            and not regexp_matches({{0}}.email, '@(.*\\.)?({_WORLDWIDE})$')
        then right({{0}}.email, 2) end
"""
_PHONE_SEGMENT = "nullif(coalesce({0}_calling.meaning, {0}_exchange.meaning, {0}_area.meaning), 'unknown')"


def _prefixes_of(table: str) -> str:
    """SQL: joins the segments that phone and address of this table show."""
    return _JOIN_PREFIXES.format(table, _COUNTRY_DOMAIN.format(table))


_EVIDENCE = f"""
    select
        this.row_number, this.id, this.full_name, this.email,
        this.has_first_name, this.has_last_name, this.has_avatar,
        case when engagement_score between 0 and 100 then engagement_score end as engagement_score,
        case when total_spent >= 0 then total_spent end as total_spent,
        this.has_last_active, this.last_active,
        matches.matched_by, matches.orders_count, matches.is_of_shop,
        case when matches.status in ('active', 'inactive') then matches.status end as customer_status,
        {", ".join(f"nullif({kind}_word.meaning, 'unknown') as {kind}" for kind in _COLUMN_OF)},
        this.country as country_written,
        {_PHONE_SEGMENT.format("this")} as phone_segment,
        {_PHONE_SEGMENT.format("matches")} as customer_phone_segment,
        this_domain.meaning as domain_segment,
        matches_domain.meaning as customer_domain_segment
    from this
    left join matches using (row_number)
    {_JOIN_WORDS}
    {_prefixes_of("this")}
    {_prefixes_of("matches")}
"""
_LEVEL = (
    "case when {0} >= {1.high} then 'high' when {0} >= {1.medium} then 'medium' when {0} is not null then 'low' end"
)
# A segment by weaker evidence; null if the record names the US and the segment is not one of its two.
_IF_POSSIBLE = "case when not is_in_us or {0} in ('US-West', 'US-East') then {0} end"
# What the record shows of each field, and what the master does; a state counts unless another country is named.
_SHOWN = f"""
    select
        row_number, id, full_name, email, has_first_name, has_last_name, has_avatar, matched_by,
        coalesce(engagement_level, {{level_of_score}}) as record_engagement,
        {{level_of_orders}} as master_engagement,
        coalesce(
            activity_status,
            case when last_active <= {{fetched_at}} + {_DAY_SECONDS}
                then case when last_active >= {{fetched_at}} - {{active_days}} * {_DAY_SECONDS}
                    then 'active' else 'inactive' end end
        ) as record_activity,
        case when not has_last_active then customer_status end as master_activity,
        coalesce(acquisition_channel, channel) as record_channel,
        case when is_of_shop then 'website' end as master_channel,
        coalesce(
            market_segment,
            case when region <> 'US' then region when country <> 'US' and region is null then country end,
            {_IF_POSSIBLE.format("case when country_written is null or country = 'US' then state end")},
            {_IF_POSSIBLE.format("timezone")},
            {_IF_POSSIBLE.format("phone_segment")}
        ) as record_segment,
        {_IF_POSSIBLE.format("customer_phone_segment")} as master_segment,
        {_IF_POSSIBLE.format("domain_segment")} as record_domain,
        {_IF_POSSIBLE.format("customer_domain_segment")} as master_domain,
        coalesce(
            customer_tier, plan,
            case when total_spent >= {{spent.enterprise}} then 'enterprise'
                when total_spent >= {{spent.premium}} then 'premium'
                when total_spent is not null then 'basic' end
        ) as record_tier
    from (select *, coalesce(region = 'US', false) or coalesce(country = 'US', false) as is_in_us from evidence)
"""
_ORIGIN = "case when record_{0} is not null then 'record' when master_{0} is not null then 'master' else 'none' end"
_VALUE = "coalesce(record_{0}, master_{0}, 'unknown')"
_DECIDED = f"""
    select
        row_number, id, full_name, email, has_first_name, has_last_name, has_avatar, matched_by,
        {_VALUE.format("engagement")} as engagement_level, {_ORIGIN.format("engagement")} as engagement_from,
        {_VALUE.format("activity")} as activity_status, {_ORIGIN.format("activity")} as activity_from,
        {_VALUE.format("channel")} as acquisition_channel, {_ORIGIN.format("channel")} as channel_from,
        coalesce(record_segment, master_segment, record_domain, master_domain, 'unknown') as market_segment,
        case when record_segment is not null then 'record' when master_segment is not null then 'master'
            when record_domain is not null then 'record' when master_domain is not null then 'master'
            else 'none' end as segment_from,
        coalesce(record_tier, 'unknown') as customer_tier,
        case when record_tier is not null then 'record' else 'none' end as tier_from
    from shown
"""
_ENRICHED = """
    select
        row_number, id,
        coalesce(full_name, 'unknown') as full_name,
        coalesce(split_part(email, '@', 2), 'unknown') as email_domain,
        engagement_level, engagement_from, activity_status, activity_from, acquisition_channel, channel_from,
        market_segment, segment_from, customer_tier, tier_from,
        10 * (
            (id is not null)::integer + has_first_name::integer + has_last_name::integer
            + (email is not null)::integer + has_avatar::integer
            + (engagement_level <> 'unknown')::integer + (activity_status <> 'unknown')::integer
            + (acquisition_channel <> 'unknown')::integer + (market_segment <> 'unknown')::integer
            + (customer_tier <> 'unknown')::integer
        ) as data_quality_score,
        matched_by
    from decided
"""
_REMOVED = """
    with
    repeated as (select id from this where id is not null group by id having count(*) > 1)
    select row_number from (
        select row_number,
            row_number() over (partition by id order by data_quality_score desc, row_number desc) as position
        from this join repeated using (id)
    ) where position > 1
"""
_KEPT = "from this where row_number not in (from removed)"


def enrich(records: Table, matches: Table, rules: AnalyticsRules, fetched_at: int, engine: Engine) -> Table:
    """Decide the fields of the export for each record; a field without evidence is ``unknown``.

    In:     records    as ``read_records`` returns them
            matches    as ``match`` returns them
            fetched_at seconds since 1970
    Out:    row_number · id · the fields of the export · x_from (record, master, none) for each enriched field ·
            data_quality_score · matched_by
    Source: docs/specification.md section 8
    """
    words = engine.text_table(("kind", "word", "meaning"), list(_words(rules)))
    prefixes = engine.text_table(("kind", "word", "meaning"), list(_prefixes()))
    meanings = records.derive(_DISTINCT_TEXTS).derive(_MEANINGS, words=words)
    # One statement: the columns between are wide, and each is read once.
    shown = _shown(rules, fetched_at)
    enriched = f"with evidence as ({_EVIDENCE}), shown as ({shown}), decided as ({_DECIDED}) {_ENRICHED}"
    return records.derive(enriched, matches=matches, meanings=meanings, prefixes=prefixes)


def without_repeated(enriched: Table) -> Table:
    """Remove repeated ids: of each id the record with the highest score stays; of equal scores the last."""
    removed = enriched.derive(_REMOVED)
    return enriched.derive(_KEPT, removed=removed) if removed.count() else enriched


def _shown(rules: AnalyticsRules, fetched_at: int) -> str:
    return _SHOWN.format(
        level_of_score=_LEVEL.format("engagement_score", rules.tables.engagement),
        level_of_orders=_LEVEL.format("orders_count", rules.tables.orders),
        fetched_at=fetched_at,
        active_days=rules.active_days,
        spent=rules.tables.spent,
    )


def _words(rules: AnalyticsRules) -> Iterator[tuple[str, str, str]]:
    """Kind of word, word and meaning."""
    for kind, meaning_of in {
        "channel": rules.tables.channels,
        "plan": rules.tables.plans,
        "region": {**geography.regions(), **rules.tables.regions},
        "country": geography.countries(),
        "state": geography.states(),
        "timezone": geography.zones(),
        # A value that a record states itself is one of ours, however it is spelt; unknown is no statement.
        **{field: {word_of(value): value for value in values} for field, values in STATED.items()},
    }.items():
        yield from ((kind, word, meaning) for word, meaning in meaning_of.items())


def _prefixes() -> Iterator[tuple[str, str, str]]:
    """Kind of prefix (``domain``: ending), prefix and segment."""
    for kind, segment_of in (
        ("calling", geography.calling_codes()),
        ("area", geography.area_codes()),
        ("domain", geography.domains()),
    ):
        yield from ((kind, prefix, segment) for prefix, segment in segment_of.items())
