"""Filled: how many records of each source have a value of each field, and how many different ones.

Where two values are equal if their numbers in KEYS are, numbers are counted, which is three times as fast as texts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from service.engine.contract import Table, sql_text

FIELDS = ("full_name", "email", "phone", "signup_date", "status")


class Filled(NamedTuple):
    """The counts of one field: records with a value, and different values."""

    given: int
    distinct: int


Counts = tuple[int, Mapping[str, Filled]]
"""The records of a source, and the counts of its fields."""
NO_RECORDS: Counts = (0, dict.fromkeys(("source_id", *FIELDS), Filled(0, 0)))

# A status has few values, so that counts by status are few rows.
_FILLED = """
    select
        source, sum(records)::bigint, min(first),
        sum(ids)::bigint, sum(names)::bigint, sum(emails)::bigint, sum(phones)::bigint, sum(dates)::bigint,
        coalesce(sum(records) filter (status is not null), 0)::bigint, count(status)
    from (
        select
            source, status, count(*) as records, min(ordinal) as first,
            count(*) filter (has_id) as ids, count(full_name) as names, count(email) as emails,
            count(phone) as phones, count(signup_date) as dates
        from this group by source, status
    )
    group by source
"""
_DATES = "select source, count(signup_date) from (select distinct source, signup_date from this) group by source"
# Records whose text is not the one that their number stands for. A phone that could not be read is compared, but has
# no text.
_OTHERS = """
    select 0 as rule, ordinal, source, source_id as text
    from this where has_id and record_key <> source || ' id:' || source_id
    union all
    select 3, this.ordinal, this.source, this.full_name
    from (select ordinal, name from keys where name <> ordinal) as keys
    join this using (ordinal) left join this as first on first.ordinal = keys.name
    where this.full_name is distinct from first.full_name and this.full_name is not null
    union all
    select 2, ordinal, source, null from this where phone is null and phone_key is not null
"""
_RULES = ("id", "email", "phone", "name")
# The numbers of the records of each source; -1 is none, nor are those of the records ``others``.
_NUMBERS = """
    select {rule} as rule, {source} as source, {name} as number from this
    where {name} >= 0 and ordinal not in (select ordinal from others where rule = {rule})
    group by {source}, {name}
"""
_DISTINCT = "select source, rule, count(*) from ({numbers}) group by source, rule"
# Not count(distinct): that does not spill.
_TEXTS = "select source, rule, count(text) from (select distinct source, rule, text from this) group by source, rule"


def filled_and_distinct(records: Table, keys: Table) -> dict[str, Counts]:
    """Source -> its records, and of its ids (``source_id``) and ``FIELDS`` those with a value, and different values.

    An id that the service made up does not count. E-mail addresses and phones are different if they are compared so,
    other values if their texts differ.
    """
    sources = records.rows(_FILLED)
    if not sources:
        return {}
    dates: dict[str, int] = dict(records.rows(_DATES))
    others = records.derive(_OTHERS, keys=keys)
    source_at = _source_at({source: first + count for source, count, first, *_ in sources})
    numbers = (_NUMBERS.format(rule=rule, name=name, source=source_at) for rule, name in enumerate(_RULES))
    distinct_numbers = keys.rows(_DISTINCT.format(numbers=" union all ".join(numbers)), others=others)
    different: dict[tuple[str, int], int] = defaultdict(int)
    for source, rule, count in (*distinct_numbers, *others.rows(_TEXTS)):
        different[source, rule] += count
    counts: dict[str, Counts] = {}
    for source, count, _, with_id, *filled, statuses in sources:
        ids, emails, phones, names = (different[source, rule] for rule in range(len(_RULES)))
        distinct = (names, emails, phones, dates[source], statuses)
        fields = {"source_id": Filled(with_id, ids)}
        fields |= {field: Filled(*pair) for field, *pair in zip(FIELDS, filled, distinct, strict=True)}
        counts[source] = count, fields
    return counts


def _source_at(ends: Mapping[str, int]) -> str:
    """SQL: the source of a record, by its ordinal; the records of each source follow each other.

    Without a join, which takes as long as the rest. ``ends``: source -> the ordinal behind its last record.
    """
    ordered = sorted(ends.items(), key=lambda it: it[1])
    return f"case {' '.join(f'when ordinal < {end} then {sql_text(source)}' for source, end in ordered)} end"
