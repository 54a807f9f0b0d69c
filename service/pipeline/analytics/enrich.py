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
        on {0}_area.word = substr({0}.phone_key, 2, 4) and length({0}.phone_key) = 12
    left join (from prefixes where kind = 'area') as {0}_exchange
        on {0}_exchange.word = substr({0}.phone_key, 2, 7) and length({0}.phone_key) = 12
    left join (from prefixes where kind = 'domain') as {0}_domain
        on {0}_domain.word = regexp_extract({0}.email, '\\.([a-z][a-z])$', 1)
        and not regexp_matches({0}.email, '@(.*\\.)?({1})$')
"""
_WORLDWIDE = "|".join(re.escape(host) for host in sorted(geography.worldwide_hosts()))
_PHONE_SEGMENT = "nullif(coalesce({0}_calling.meaning, {0}_exchange.meaning, {0}_area.meaning), 'unknown')"

# If region or country is the US, only its sides remain possible. A state counts unless another country is named.
_SEGMENT = """
    case
        when market_segment is not null then [market_segment, 'record']
        when region <> 'US' then [region, 'record']
        when country <> 'US' and region is null then [country, 'record']
        else list_filter(
            [[case when country_written is null or country = 'US' then state end, 'record'], [timezone, 'record'],
             [phone_segment, 'record'], [customer_phone_segment, 'master'],
             [domain_segment, 'record'], [customer_domain_segment, 'master'], ['unknown', 'none']],
            lambda option: option[1] is not null
                and (option[1] in ('US-West', 'US-East', 'unknown') or coalesce('US' not in (region, country), true))
        )[1]
    end
"""
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
    {_JOIN_PREFIXES.format("this", _WORLDWIDE)}
    {_JOIN_PREFIXES.format("matches", _WORLDWIDE)}
"""
# Each field as a pair of its value and the origin of the evidence: record, master or none.
_DECISIONS = f"""
    select
        row_number, id, full_name, email, has_first_name, has_last_name, has_avatar, matched_by,
        case when engagement_level is not null then [engagement_level, 'record']
             when engagement_score is not null
                 then [case when engagement_score >= {{engagement.high}} then 'high'
                            when engagement_score >= {{engagement.medium}} then 'medium' else 'low' end, 'record']
             when orders_count is not null
                 then [case when orders_count >= {{orders.high}} then 'high'
                            when orders_count >= {{orders.medium}} then 'medium' else 'low' end, 'master']
             else ['unknown', 'none'] end as engagement,
        case when activity_status is not null then [activity_status, 'record']
             when last_active <= {{fetched_at}} + {_DAY_SECONDS}
                 then [case when last_active >= {{fetched_at}} - {{active_days}} * {_DAY_SECONDS}
                            then 'active' else 'inactive' end, 'record']
             when not has_last_active and customer_status is not null then [customer_status, 'master']
             else ['unknown', 'none'] end as activity,
        case when acquisition_channel is not null then [acquisition_channel, 'record']
             when channel is not null then [channel, 'record']
             when is_of_shop then ['website', 'master']
             else ['unknown', 'none'] end as channel,
        {_SEGMENT} as segment,
        case when customer_tier is not null then [customer_tier, 'record']
             when plan is not null then [plan, 'record']
             when total_spent is not null
                 then [case when total_spent >= {{spent.enterprise}} then 'enterprise'
                            when total_spent >= {{spent.premium}} then 'premium' else 'basic' end, 'record']
             else ['unknown', 'none'] end as tier
    from evidence
"""
_ENRICHED = """
    select
        row_number, id,
        coalesce(full_name, 'unknown') as full_name,
        coalesce(split_part(email, '@', 2), 'unknown') as email_domain,
        engagement[1] as engagement_level, engagement[2] as engagement_from,
        activity[1] as activity_status, activity[2] as activity_from,
        channel[1] as acquisition_channel, channel[2] as channel_from,
        segment[1] as market_segment, segment[2] as segment_from,
        tier[1] as customer_tier, tier[2] as tier_from,
        10 * (
            (id is not null)::integer + has_first_name::integer + has_last_name::integer
            + (email is not null)::integer + has_avatar::integer
            + (engagement[1] <> 'unknown')::integer + (activity[1] <> 'unknown')::integer
            + (channel[1] <> 'unknown')::integer + (segment[1] <> 'unknown')::integer
            + (tier[1] <> 'unknown')::integer
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
    enriched = f"with evidence as ({_EVIDENCE}), decided as ({_decisions(rules, fetched_at)}) {_ENRICHED}"
    return records.derive(enriched, matches=matches, meanings=meanings, prefixes=prefixes)


def without_repeated(enriched: Table) -> Table:
    """Remove repeated ids: of each id the record with the highest score stays; of equal scores the last."""
    removed = enriched.derive(_REMOVED)
    return enriched.derive(_KEPT, removed=removed) if removed.count() else enriched


def _decisions(rules: AnalyticsRules, fetched_at: int) -> str:
    return _DECISIONS.format(
        fetched_at=fetched_at,
        active_days=rules.active_days,
        engagement=rules.tables.engagement,
        orders=rules.tables.orders,
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
