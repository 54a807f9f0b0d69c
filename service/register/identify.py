"""Which customer each group is, given the customers that its records belonged to before.

Ids are stable: docs/specification.md section 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from service.engine.contract import Engine, GroupFunction, IntArray, Table
from service.register.assignment import assign

# Of records with the same key, one.
_NOW = """
    select ordinal, group_id from this join keys using (ordinal) where keys.id = ordinal or keys.id < 0
"""
# The former records that are there again: the only join by texts.
_FOUND = """
    select
        now.group_id, former.former_row, former.customer, former.in_last, customers.state,
        case when this.has_id then this.source end as source
    from this
    join now using (ordinal)
    join former using (record_key)
    join customers on customers.customer = former.customer
"""
# in_last: the record was there when its customer was last seen, so its moves are its customer's moves.
_OVERLAPS = """
    select customer, group_id, count(*) filter (in_last) * 4294967296 + count(*) as shared
    from this where state <> 'merged'
    group by customer, group_id
"""
# Most customers have one group, and the group no other customer. Only the rest needs a decision.
_TANGLED = """
    from this
    where customer in (select customer from this group by customer having count(*) > 1)
        or group_id in (select group_id from this group by group_id having count(*) > 1)
"""
# Customers and groups as the nodes of a graph, for its components.
_ENDS = """
    select distinct customer as id, true as is_customer from this
    union all
    select distinct group_id, false from this
"""
_LINKS = """
    select of_customer.node as one, of_group.node as other, this.customer, this.group_id, this.shared
    from this
    join nodes as of_customer on of_customer.is_customer and of_customer.id = this.customer
    join nodes as of_group on not of_group.is_customer and of_group.id = this.group_id
"""
_TANGLES = """
    select tangles.group_id as tangle, this.customer, this.group_id, this.shared
    from this join tangles on tangles.ordinal = this.one
"""
_CONTINUED = """
    select group_id, customer from this where customer not in (select customer from tangled)
    union all
    select group_id, customer from assigned
"""
_NEW = """
    select group_id from this
    where ordinal = group_id and group_id not in (select group_id from continued)
    order by group_id
"""
_MOVES = """
    select this.customer as was, identified.customer as now, count(*) as records
    from this join identified using (group_id)
    where this.in_last and this.state <> 'merged'
    group by this.customer, identified.customer
"""
# A record that is not in this batch keeps its former key, by the present rules where it holds an id.
_CARRIED_OVER = """
    select coalesce(keys.record_key, {by_id}) as record_key, customer, in_last
    from (
        select record_key as former_key, customer, in_last,
            regexp_extract(record_key, '^[A-Z][A-Z0-9_]* id:') as prefix
        from this
    ) left join keys using (former_key)
"""
_BARE_ID = "regexp_replace(substr(former_key, length(prefix) + 1), '^([0-9]{1,15})[.]0*$', '\\1')"
_BY_ID = f"""
    case when prefix = '' then former_key
        when regexp_full_match({_BARE_ID}, '[A-Za-z0-9]{{15}}[A-Z0-5]{{3}}') then prefix || id_key({_BARE_ID})
        else prefix || {_BARE_ID} end
"""
# Source -> its records with an id in the published set, and how many of them are there again.
_RECURRING = """
    select source, published.records, coalesce(again.records, 0)
    from (
        select regexp_extract(former.record_key, '^([A-Z][A-Z0-9_]*) id:', 1) as source, count(*) as records
        from former join customers on customers.customer = former.customer and customers.state = 'live'
        where former.in_last group by source
    ) as published
    left join (
        select source, count(*) as records from this where in_last and state = 'live' group by source
    ) as again using (source)
    where source <> ''
"""
_BYTES_OF_AN_OVERLAP = 400
"""Of a tangle, while its groups get their customers: objects of Python."""
_UNIFIED_ID = "'CUST' || case when {0} < 1000 then lpad({0}::varchar, 3, '0') else {0}::varchar end"
_IDENTIFIED = f"""
    select group_id, customer, {_UNIFIED_ID.format("customer")} as unified_id
    from (select group_id, customer from this union all select group_id, customer from continued)
"""
_CHANGES = f"""
    with
    changes as (
        select
            customer as number,
            case when state is null then 'created' when is_here then 'revived' else 'retired' end as change,
            if(state is null, [], [customer]) as was,
            if(is_here, [customer], []) as now,
            case when state is null then 'none of its records was with a customer last time'
                when is_here then 'records of it are in the exports again'
                else 'none of its records is in the exports' end as reason
        from (
            select customer, state, group_id is not null as is_here from identified full join customers using (customer)
            where state is distinct from 'live' or group_id is null
        )
        where case when state is null then customer not in (select now from this)
            when is_here then state = 'retired'
            else state = 'live' and customer not in (select was from this) end
        union all
        select now, 'merged', list(was order by was), [now], 'a rule links their records now'
        from this group by now having count(*) > 1
        union all
        select was, 'split', [was], list(now order by now), 'no rule links their records any more'
        from this group by was having count(*) > 1
    )
    select number, change, {_UNIFIED_ID.format("number")} as unified_id,
        nullif(array_to_string(list_transform(was, lambda n: {_UNIFIED_ID.format("n")}), ','), '') as from_ids,
        nullif(array_to_string(list_transform(now, lambda n: {_UNIFIED_ID.format("n")}), ','), '') as to_ids,
        reason
    from changes
"""
# In the first batch of a register everything is created, which needs no list.
_NO_CHANGES = "select * from ({}) where false"
_NEXT_CUSTOMERS = """
    with targets as (
        select was, arg_max(now, records * 4294967296 - now) as target from moves group by was
    )
    select customer, 'live' as state, null::bigint as merged_into from this
    union all
    select customers.customer,
        case when customers.state = 'merged' or targets.target is not null then 'merged' else 'retired' end,
        coalesce(customers.merged_into, targets.target)
    from customers left join targets on targets.was = customers.customer
    where customers.customer not in (select customer from this)
"""
_NEXT_RECORDS = """
    select this.record_key, identified.customer, true as in_last
    from this join now using (ordinal) join identified using (group_id)
    union all
    select former.record_key, former.customer, former.in_last and customers.state = 'retired'
    from former
    left join next_customers as customers on customers.customer = former.customer
    where former.former_row not in (select former_row from found)
"""


@dataclass(frozen=True)
class Identified:
    """The groups with their customer numbers, and the differences from the generation before.

    customers    group_id · customer · unified_id                        one row per group
    changes      number · change · unified_id · from_ids · to_ids · reason   the last five are those of id_changes.csv;
                 none in the first batch of a register
    next_records, next_customers                                         the next generation of the register
    next_number  the number that the next new customer gets
    recurring    source -> its records with an id in the generation before, and how many of them are there again
    """

    customers: Table
    changes: Table
    next_records: Table
    next_customers: Table
    next_number: int
    recurring: Mapping[str, tuple[int, int]]


def identify(records: Table, keys: Table, groups: Table, former: Table, customers: Table, engine: Engine) -> Identified:
    """Give every group its customer: a former one where they share records, else a new one.

    In:     records    RECORD
            keys       KEYS
            groups     ordinal · group_id
            former     record_key · customer · in_last    every record so far, with its last customer
            customers  customer · state · merged_into     every customer so far
    Ties:   docs/specification.md section 6; new numbers count up in order of first appearance
    """
    former = former.numbered("former_row")
    now = groups.derive(_NOW, keys=keys)
    known = records.derive(_FOUND, now=now, former=former, customers=customers)
    overlaps = known.derive(_OVERLAPS)
    last_number = customers.rows("select coalesce(max(customer), 0) from this")[0][0]
    continued = _continued(overlaps, engine)
    new = groups.derive(_NEW, continued=continued)
    identified = new.numbered("customer", last_number + 1).derive(_IDENTIFIED, continued=continued)
    for table in {overlaps, continued, new}:  # the first two may be one
        table.release()
    moves = known.derive(_MOVES, identified=identified)
    next_customers = identified.derive(_NEXT_CUSTOMERS, customers=customers, moves=moves)
    found = Identified(
        customers=identified,
        changes=moves.derive(
            _CHANGES if last_number else _NO_CHANGES.format(_CHANGES), identified=identified, customers=customers
        ),
        next_customers=next_customers,
        next_records=records.derive(
            _NEXT_RECORDS, now=now, identified=identified, former=former, next_customers=next_customers, found=known
        ),
        next_number=last_number + new.count() + 1,
        recurring=_recurring(known, former, customers),
    )
    for table in (now, known, moves):
        table.release()
    return found


def carried_over(former: Table, keys: Table) -> Table:
    """The records of a generation whose keys were made by former rules, by their present keys.

    In:   former  record_key · customer · in_last
          keys    record_key · former_key    of the records of this batch that have two different keys
    """
    return former.derive(_CARRIED_OVER.format(by_id=_BY_ID), keys=keys)


def _recurring(again: Table, former: Table, customers: Table) -> dict[str, tuple[int, int]]:
    found = again.rows(_RECURRING, former=former, customers=customers)
    return {source: (count, again) for source, count, again in found}


def _continued(overlaps: Table, engine: Engine) -> Table:
    """group_id · customer of the groups that continue a former customer; ``overlaps`` itself where no two compete."""
    tangled = overlaps.derive(_TANGLED)
    if not tangled.count():
        return overlaps
    nodes = tangled.derive(_ENDS).numbered("node")
    links = tangled.derive(_LINKS, nodes=nodes)
    components = engine.components(links, nodes.count())
    tangles = links.derive(_TANGLES, tangles=components)
    assigned = engine.by_group(tangles, _ASSIGNMENT)
    continued = overlaps.derive(_CONTINUED, tangled=tangled, assigned=assigned)
    for table in (tangled, nodes, links, components, tangles, assigned):
        table.release()
    return continued


def _assigned(_: IntArray, customer: IntArray, group_id: IntArray, shared: IntArray) -> tuple[IntArray, ...]:
    """The groups of whole tangles that continue a customer, and their customers."""
    chosen = assign(list(zip(customer.tolist(), group_id.tolist(), shared.tolist(), strict=True)))
    return np.array(list(chosen), dtype=np.int64), np.array(list(chosen.values()), dtype=np.int64)


_ASSIGNMENT = GroupFunction(
    _assigned, "tangle", ("customer", "group_id", "shared"), ("group_id", "customer"), _BYTES_OF_AN_OVERLAP
)
