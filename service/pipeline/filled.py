"""Filled: how many records of each source have a value of each field, and how many different ones.

Where two values are equal if their numbers in KEYS are, numbers are counted, which is three times as fast as texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from service.engine.contract import IntArray, Table

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
# Not count(distinct): that does not spill.
_TEXTS = "select source, rule, count(text) from (select distinct source, rule, text from this) group by source, rule"


def filled_and_distinct(records: Table, keys: Table) -> dict[str, Counts]:
    """Source -> its records, and of its ids (``source_id``) and ``FIELDS`` those with a value, and different values.

    An id that the service made up does not count. E-mail addresses and phones are different if they are compared so,
    other values if their texts differ.
    """
    sources = records.rows(_FILLED)
    dates: dict[str, int] = dict(records.rows(_DATES))
    others = records.derive(_OTHERS, keys=keys)
    rules, ordinals = others.integers("rule", "ordinal", sort=False)
    spans = {source: slice(first, first + count) for source, count, first, *_ in sources}
    distinct_codes = [
        _distinct(keys.integer_parts(name), ordinals[rules == rule], spans) for rule, name in enumerate(_RULES)
    ]
    texts = {(source, rule): count for source, rule, count in others.rows(_TEXTS)}
    counts: dict[str, Counts] = {}
    for source, count, _, with_id, *filled, statuses in sources:
        ids, emails, phones, names = (
            of_rule[source] + texts.get((source, rule), 0) for rule, of_rule in enumerate(distinct_codes)
        )
        distinct = (names, emails, phones, dates[source], statuses)
        fields = {"source_id": Filled(with_id, ids)}
        fields |= {field: Filled(*pair) for field, *pair in zip(FIELDS, filled, distinct, strict=True)}
        counts[source] = count, fields
    return counts


def _distinct(codes: Iterable[tuple[IntArray, ...]], others: IntArray, spans: Mapping[str, slice]) -> dict[str, int]:
    """Source -> how many numbers its records have; -1 is none, nor are those of the records ``others``.

    ``spans``: where the records of each source are, which follow each other. Memory: a byte for each source and record.
    """
    count = max((span.stop for span in spans.values()), default=0)
    is_other = np.zeros(count, dtype=np.bool_)
    is_other[others] = True
    is_there = {source: np.zeros(count + 1, dtype=np.bool_) for source in spans}
    start = 0
    for (part,) in codes:
        part[is_other[start : start + len(part)]] = -1
        for source, span in spans.items():
            is_there[source][part[max(span.start - start, 0) : max(span.stop - start, 0)]] = True
        start += len(part)
    return {source: int(np.count_nonzero(found[:-1])) for source, found in is_there.items()}
