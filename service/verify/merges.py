"""The proof of every merge: each step of the evidence is true, the steps lead to the kept record, and none is missing.

The evidence is a certificate, so that nothing is grouped again: true steps that lead to one record show that a customer
is not too large, and no value that two customers share shows that it is not too small. Groups that decisions keep apart
are in ``replay``.

Source: docs/specification.md section 5
"""

from __future__ import annotations

import numpy as np

from service.engine.contract import AnyIntArray, Engine, GroupFunction, IntArray, Table
from service.pipeline.parquet import RECORDS_FILE
from service.verify.findings import Law, broken
from service.verify.stated import RULES, Stated

_FAR = 1_000_000_000_000
"""More than the number of records: a distance times this, plus an ordinal, is in the order of both."""

# ---------------------------------------------------------------------------------------------------------- the form

_FORM = (
    Law(
        RECORDS_FILE,
        "has a unified_id of another form",
        "select ordinal, null as unified_id, null as detail from this where customer is null",
    ),
    Law(
        RECORDS_FILE,
        "occurs more than once, or lies beyond the number of records",
        """
        select ordinal, null as unified_id, null as detail from this
        group by ordinal having count(*) > 1 or ordinal not between 0 and (select count(*) from this) - 1
        """,
    ),
    Law(
        RECORDS_FILE,
        "has not one kept record",
        """
        select null::bigint as ordinal, unified_id, null as detail from this
        group by unified_id having count(*) filter (is_kept) <> 1
        """,
    ),
    Law(
        RECORDS_FILE,
        "is kept and has a reason, or is removed and has none",
        """
        select ordinal, unified_id, null as detail from this
        where is_kept is null or is_kept <> (rules is null) or is_kept <> (via_id is null)
            or is_kept <> (via_source is null) or (is_kept and via is not null)
        """,
    ),
    Law(
        RECORDS_FILE,
        "has a phone_key that does not belong to its phone",
        """
        select ordinal, unified_id, null as detail from this
        where not case
            when phone is null then starts_with(phone_key, 'raw:')
            else starts_with(phone_key, '+') and right(phone_key, length(phone)) = phone
                and length(phone_key) - length(phone) between 1 and 4
        end
        """,
    ),
)

# --------------------------------------------------------------------------------------------------------- the steps

_EQUAL = "coalesce(one.{0}_value = other.{0}_value, false)"
# Of a set without ``phone_key``: two numbers may be printed alike, and digits that are no number are not printed.
_NOT_REFUTED = """
    (list_contains(string_split(one.rules, '+'), 'phone')
        and one.phone_value is not distinct from other.phone_value)
"""
_LISTED = {
    "name": "by_name and not (by_email and by_phone)",
    "weighed": "by_weighed and not (by_id or by_email or by_phone or by_name)",
}
_REASON = ", ".join(f"case when {_LISTED.get(rule, f'by_{rule}')} then '{rule}' end" for rule in RULES)
# Each removed record beside the record before it, with the rules by which the two agree.
_STEPS = f"""
    select *, concat_ws('+', {_REASON}) as found
    from (
        select
            one.ordinal, one.unified_id, one.rules, one.via, one.customer = other.customer as is_of_customer,
            one.via_source = other.source and one.via_id = other.source_id as is_named, other.is_kept as is_direct,
            one.weight, one.parts, {{agreement}}
        from this as one left join this as other on other.ordinal = one.via
        where not one.is_kept and {{is_known}}
    )
"""
_STEP = (
    Law(
        RECORDS_FILE,
        "has no other record of its customer before it: via_ordinal",
        """
        select ordinal, unified_id, null as detail from this
        where not coalesce(is_of_customer and via <> ordinal, false)
        """,
    ),
    Law(
        RECORDS_FILE,
        "names another record than via_ordinal: via_source, via_id",
        "select ordinal, unified_id, null as detail from this where is_of_customer and not is_named",
    ),
    Law(
        RECORDS_FILE,
        "does not agree with the record before it as its rules state; rules that hold:",
        """
        select ordinal, unified_id, if(found = '', 'none', found) as detail from this
        where is_of_customer and found is distinct from rules
        """,
    ),
)
# Where evidence was weighed.
_WEIGHED_FORM = (
    Law(
        RECORDS_FILE,
        "has a number weighed that is not the smallest ordinal with it",
        """
        select ordinal, unified_id, null as detail
        from (select *, min(ordinal) over (partition by weighed_value) as smallest from this)
        where weighed_value is distinct from smallest
        """,
    ),
    Law(
        RECORDS_FILE,
        "is kept and has a weight",
        """
        select ordinal, unified_id, null as detail from this
        where is_kept and (weight is not null or parts is not null)
        """,
    ),
)
_WEIGHED_STEP = Law(
    RECORDS_FILE,
    "has a weight, but another number weighed than the record before it; or has the same, but no weight",
    """
    select ordinal, unified_id, null as detail from this
    where (weight is not null) <> by_weighed or (parts is not null) <> by_weighed
    """,
)
_PASSES_KEPT = Law(
    RECORDS_FILE,
    "agrees with the kept record, but is stated to belong to its customer through another",
    f"""
    select one.ordinal, one.unified_id, null as detail
    from this join stated as one using (ordinal)
    join stated as other on other.customer = one.customer and other.is_kept
    where not is_direct and ({" or ".join(map(_EQUAL.format, RULES))})
    """,
)

# ------------------------------------------------------------------------------------------------- through others

# The records of customers of which one is reached through another than the kept record. Where a step is not known, the
# way ends.
_WALKED = """
    select stated.ordinal, coalesce(stated.via, -1)::bigint as via, stated.customer
    from stated where stated.customer in (
        select stated.customer from this join stated using (ordinal) where not is_direct
    )
"""
_DISTANCES_WITH_VALUES = f"""
    select this.ordinal, stated.unified_id, stated.customer, distance, stated.via,
        {", ".join(f"stated.{rule}_value" for rule in RULES)}
    from this join stated using (ordinal)
"""
_NEAREST_OF_RULE = f"""
    select customer, {{number}} as rule, {{rule}}_value::varchar as value, min(distance * {_FAR} + ordinal) as nearest
    from this where {{rule}}_value is not null group by customer, {{rule}}_value
"""
_NEAREST = " union all ".join(_NEAREST_OF_RULE.format(number=number, rule=rule) for number, rule in enumerate(RULES))
_VALUES = " union all ".join(
    f"select ordinal, customer, {number} as rule, {rule}_value::varchar as value from this "
    f"where {rule}_value is not null"
    for number, rule in enumerate(RULES)
)
_WALK = (
    Law(
        RECORDS_FILE,
        "is led to no kept record by the steps from it",
        "select ordinal, unified_id, null as detail from this where distance < 0",
    ),
    Law(
        RECORDS_FILE,
        "is not reached over the fewest records, of these the earliest",
        f"""
        with nearest as ({_NEAREST}),
        own as ({_VALUES}),
        best as (
            select own.ordinal, min(nearest) as nearest from own join nearest using (customer, rule, value)
            group by own.ordinal
        )
        select this.ordinal, unified_id, null as detail from this join best using (ordinal)
        where distance > 1 and nearest <> (distance - 1) * {_FAR} + via
        """,
    ),
)


_SHARES_WITH_ANOTHER = "agrees with a record of another customer, and no decision keeps them apart; rule"


def distances(groups: IntArray, ordinal: IntArray, via: IntArray) -> tuple[AnyIntArray, AnyIntArray]:
    """Each ordinal, ascending, with the number of its steps to a record with the step -1; -1 where none leads there.

    >>> [it.tolist() for it in distances(np.array([0]), np.array([3, 5, 6, 8, 9]), np.array([-1, 3, 5, 9, 8]))]
    [[3, 5, 6, 8, 9], [0, 1, 2, -1, -1]]
    """
    del groups  # the steps from a record do not leave its customer
    is_end = via < 0
    found = np.searchsorted(ordinal, via).clip(0, max(len(ordinal) - 1, 0))
    up = np.where(is_end, np.arange(len(ordinal)), found)
    steps = np.where(is_end, 0, 1)
    for _ in range(len(ordinal).bit_length()):  # each round doubles the steps that are taken at once
        steps = steps + steps[up]
        up = up[up]
    return ordinal, np.where(is_end[up], steps, -1)


_DISTANCES = GroupFunction(distances, "customer", ("ordinal", "via"), ("ordinal", "distance"), 40)

# --------------------------------------------------------------------------------------------------------- the values

# Values of one rule that several customers have, but for those every two of which a decision keeps apart.
_SHARED = """
    with shared as (
        select {rule}_value as value from this where {rule}_value is not null
        group by {rule}_value having min(customer) <> max(customer)
    ),
    spread as (
        select value, customer, min(ordinal) as ordinal, min(unified_id) as unified_id
        from shared join this on this.{rule}_value = value group by value, customer
    ),
    owners as (
        select value, count(*) as owners, max(ordinal) as ordinal, max_by(unified_id, ordinal) as unified_id
        from spread group by value
    ),
    kept_apart as (
        select one.value, count(*) as pairs
        from parted
        join spread as one on one.customer = parted.one
        join spread as other on other.customer = parted.other and other.value = one.value
        group by one.value
    )
    select ordinal, unified_id, '{rule}' as detail
    from owners left join kept_apart using (value)
    where coalesce(pairs, 0) < owners * (owners - 1) // 2
"""
_PARTED = """
    select distinct least(one.customer, other.customer) as one, greatest(one.customer, other.customer) as other
    from pairs
    join this as one on one.ordinal = pairs.one::bigint
    join this as other on other.ordinal = pairs.other::bigint
    where one.customer <> other.customer
"""


def merge_findings(stated: Stated, shown: str, engine: Engine) -> list[str]:
    """Findings about the merges of a set; where one law does not hold, those that rely on it are not tried."""
    form = (_FORM if not stated.lacks else _FORM[:-1]) + (_WEIGHED_FORM if stated.is_weighed else ())
    return (
        broken(form, shown, stated.records)
        or _step_findings(stated, shown, engine)
        or _shared_findings(stated, shown, engine)
    )


def unknown_steps(stated: Stated) -> int:
    """The number of removed records of which the set does not say clearly through which record they belong."""
    ((count,),) = stated.records.rows("select count(*) from this where not is_kept and via is null")
    return int(count)


def _step_findings(stated: Stated, shown: str, engine: Engine) -> list[str]:
    """Findings about the steps: those that are not true, and those that lead nowhere or astray."""
    equal = dict(zip(RULES, map(_EQUAL.format, RULES), strict=True))
    if stated.lacks:
        equal["phone"] = _NOT_REFUTED
    agreement = ", ".join(f"{sql} as by_{rule}" for rule, sql in equal.items())
    is_known = "one.via is not null" if stated.lacks else "true"
    steps = stated.records.derive(_STEPS.format(agreement=agreement, is_known=is_known))
    found = broken((*_STEP, _WEIGHED_STEP) if stated.is_weighed else _STEP, shown, steps)
    if not found and not stated.lacks:
        found = broken([_PASSES_KEPT], shown, steps, stated=stated.records)
    if not found and steps.rows("select 1 from this where not is_direct limit 1"):
        found = _walk_findings(stated, steps, shown, engine)
    steps.release()
    return found


def _walk_findings(stated: Stated, steps: Table, shown: str, engine: Engine) -> list[str]:
    walked = steps.derive(_WALKED, stated=stated.records)
    reached = engine.by_group(walked, _DISTANCES)
    distant = reached.derive(_DISTANCES_WITH_VALUES, stated=stated.records)
    found = broken(_WALK[:1] if stated.lacks else _WALK, shown, distant)
    for table in (walked, reached, distant):
        table.release()
    return found


def _shared_findings(stated: Stated, shown: str, engine: Engine) -> list[str]:
    """Findings about values that customers share whom no decision keeps apart."""
    pairs = engine.text_table(("one", "other"), [(str(one), str(other)) for one, other in stated.different])
    parted = stated.records.derive(_PARTED, pairs=pairs)
    rules = [rule for rule in stated.linking if rule != "phone" or not stated.lacks]
    laws = [Law(RECORDS_FILE, _SHARES_WITH_ANOTHER, _SHARED.format(rule=rule)) for rule in rules]
    return broken(laws, shown, stated.records, parted=parted)
