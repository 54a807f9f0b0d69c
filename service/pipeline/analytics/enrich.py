"""Enrich: what the evidence of record and master says, in the words of the export, and how good the record is."""

from __future__ import annotations

from collections.abc import Iterator

from service.analytics_rules import AnalyticsRules
from service.engine.contract import Engine, Table
from service.pipeline.analytics import geography

_DAY_SECONDS = 86_400
_COLUMNS_OF_WORDS = {
    "channel": "signup_source",
    "plan": "plan",
    "region": "region",
    "country": "country",
    "state": "state",
    "timezone": "timezone",
}
"""Kind of word -> the column that holds it."""

# There are few ways to write a word, so each is looked up once.
_WRITTEN = " union all ".join(
    f"select distinct '{kind}' as kind, {column} as written from this where {column} is not null"
    for kind, column in _COLUMNS_OF_WORDS.items()
)
_MEANT = """
    select kind, written, vocabulary.meaning
    from (select kind, written, word_of(written) as word from this) join vocabulary using (kind, word)
"""
_WORD = "left join (from meant where kind = '{kind}') as {kind}_word on {kind}_word.written = this.{column}"
_WORDS = "\n".join(_WORD.format(kind=kind, column=column) for kind, column in _COLUMNS_OF_WORDS.items())

# A North American number tells its place only with an area code.
_DIALLED = """
    left join (from heads where kind = 'calling') as {0}_calling on {0}_calling.word = substr({0}.phone_key, 2, 3)
    left join (from heads where kind = 'area') as {0}_area
        on {0}_area.word = substr({0}.phone_key, 2, 4) and length({0}.phone_key) = 12
    left join (from heads where kind = 'area') as {0}_exchange
        on {0}_exchange.word = substr({0}.phone_key, 2, 7) and length({0}.phone_key) = 12
    left join (from heads where kind = 'domain') as {0}_domain
        on {0}_domain.word = regexp_extract({0}.email, '\\.([a-z][a-z])$', 1)
"""
_PHONE_SEGMENT = "nullif(coalesce({0}_calling.meaning, {0}_exchange.meaning, {0}_area.meaning), 'unknown')"

# A region or country that is the US leaves only its sides; a state counts where no other country is named.
_FIRST_TOLD = """
    case
        when region <> 'US' then [region, 'record']
        when country <> 'US' and region is null then [country, 'record']
        else list_filter(
            [[case when country_written is null or country = 'US' then state end, 'record'], [timezone, 'record'],
             [phone_segment, 'record'], [known_phone_segment, 'master'],
             [domain_segment, 'record'], [known_domain_segment, 'master'], ['unknown', 'none']],
            lambda told: told[1] is not null
                and (told[1] in ('US-West', 'US-East', 'unknown') or coalesce('US' not in (region, country), true))
        )[1]
    end
"""
_EVIDENCE = f"""
    select
        this.row_number, this.id, this.full_name, this.email,
        this.has_first_name, this.has_last_name, this.has_avatar,
        case when engagement_score between 0 and 100 then engagement_score end as engagement_score,
        case when total_spent >= 0 then total_spent end as total_spent,
        this.says_last_active, this.last_active,
        known.row_number is not null as is_known, known.matched_by, known.orders_count, known.is_of_shop,
        case when known.status in ('active', 'inactive') then known.status end as known_status,
        {", ".join(f"nullif({kind}_word.meaning, 'unknown') as {kind}" for kind in _COLUMNS_OF_WORDS)},
        this.country as country_written,
        {_PHONE_SEGMENT.format("this")} as phone_segment,
        {_PHONE_SEGMENT.format("known")} as known_phone_segment,
        this_domain.meaning as domain_segment,
        known_domain.meaning as known_domain_segment
    from this
    left join known using (row_number)
    {_WORDS}
    {_DIALLED.format("this")}
    {_DIALLED.format("known")}
"""
# Each answer with where it comes from: [value, record | master | none].
_ANSWERS = f"""
    select
        row_number, id, full_name, email, has_first_name, has_last_name, has_avatar, matched_by,
        case when engagement_score is not null
                 then [case when engagement_score >= {{engagement.high}} then 'high'
                            when engagement_score >= {{engagement.medium}} then 'medium' else 'low' end, 'record']
             when orders_count is not null
                 then [case when orders_count >= {{orders.high}} then 'high'
                            when orders_count >= {{orders.medium}} then 'medium' else 'low' end, 'master']
             else ['unknown', 'none'] end as engagement,
        case when last_active <= {{fetched_at}} + {_DAY_SECONDS}
                 then [case when last_active >= {{fetched_at}} - {{active_days}} * {_DAY_SECONDS}
                            then 'active' else 'inactive' end, 'record']
             when not says_last_active and known_status is not null then [known_status, 'master']
             else ['unknown', 'none'] end as activity,
        case when channel is not null then [channel, 'record']
             when is_of_shop then ['website', 'master']
             else ['unknown', 'none'] end as channel,
        {_FIRST_TOLD} as segment,
        case when plan is not null then [plan, 'record']
             when total_spent is not null
                 then [case when total_spent >= {{spent.enterprise}} then 'enterprise'
                            when total_spent >= {{spent.premium}} then 'premium' else 'basic' end, 'record']
             else ['unknown', 'none'] end as tier
    from this
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
    from this
"""
_KEPT = """
    with
    repeated as (select id from this where id is not null group by id having count(*) > 1),
    removed as (
        select row_number from (
            select row_number,
                row_number() over (partition by id order by data_quality_score desc, row_number desc) as place
            from this join repeated using (id)
        ) where place > 1
    )
    from this where row_number not in (from removed)
"""


def enrich(records: Table, known: Table, rules: AnalyticsRules, fetched_at: int, engine: Engine) -> Table:
    """What each record says in the words of the export; without evidence ``unknown``.

    In:     records    as ``read_records`` makes them
            known      as ``match`` makes them
            fetched_at seconds since 1970
    Out:    row_number · id · the fields of the export · x_from (record, master, none) for each that is enriched ·
            data_quality_score · matched_by
    Source: CONTRACT section 8
    """
    vocabulary = engine.text_table(("kind", "word", "meaning"), list(_vocabulary(rules)))
    heads = engine.text_table(("kind", "word", "meaning"), list(_heads()))
    meant = records.derive(_WRITTEN).derive(_MEANT, vocabulary=vocabulary)
    evidence = records.derive(_EVIDENCE, known=known, meant=meant, heads=heads)
    return evidence.derive(_answers(rules, fetched_at)).derive(_ENRICHED)


def without_repeated(enriched: Table) -> Table:
    """Of records with the same id the one with the highest score, of these the last; the others are removed."""
    return enriched.derive(_KEPT)


def _answers(rules: AnalyticsRules, fetched_at: int) -> str:
    return _ANSWERS.format(
        fetched_at=fetched_at,
        active_days=rules.active_days,
        engagement=rules.tables.engagement,
        orders=rules.tables.orders,
        spent=rules.tables.spent,
    )


def _vocabulary(rules: AnalyticsRules) -> Iterator[tuple[str, str, str]]:
    """Kind of word, word and meaning."""
    for kind, words in {
        "channel": rules.tables.channels,
        "plan": rules.tables.plans,
        "region": {**geography.regions(), **rules.tables.regions},
        "country": geography.countries(),
        "state": geography.states(),
        "timezone": geography.zones(),
    }.items():
        yield from ((kind, word, meaning) for word, meaning in words.items())


def _heads() -> Iterator[tuple[str, str, str]]:
    for kind, heads in (
        ("calling", geography.calling_codes()),
        ("area", geography.area_codes()),
        ("domain", geography.domains()),
    ):
        yield from ((kind, head, segment) for head, segment in heads.items())
