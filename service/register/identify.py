"""Which customer each group is, given the customers that its records belonged to before.

Ids are stable: docs/specification.md section 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from service.engine.contract import Engine, GroupFunction, IntArray, Table
from service.register.assignment import assign
from service.register.events import events_of
from service.register.tables import RegisterTables
from service.unified_ids import UNIFIED_ID_SQL

_FIRST = 1 << 32
"""A first term times this, plus or minus a smaller second term, orders by the first, then by the second."""
# Of records with the same key, one.
_MEMBERS = """
    select ordinal, group_id from this join keys using (ordinal) where keys.id = ordinal or keys.id < 0
"""
# The former records that are there again: the only join by texts.
_RECURRING = """
    select
        members.group_id, former.former_row, former.customer, former.in_last, customers.state,
        case when this.has_id then this.source end as source
    from this
    join members using (ordinal)
    join former using (record_key)
    join customers on customers.customer = former.customer
"""
# in_last: the record was there when its customer was last seen, so its moves are its customer's moves.
_OVERLAPS = f"""
    select customer, group_id, count(*) filter (in_last) * {_FIRST} + count(*) as shared
    from this where state <> 'merged'
    group by customer, group_id
"""
# Most customers have one group, and the group no other customer. Only the rest needs a decision.
_TANGLED = """
    from this
    where customer in (select customer from this group by customer having count(*) > 1)
        or group_id in (select group_id from this group by group_id having count(*) > 1)
"""
# The group that has most of the records of an alias; of several aliases the one of which it has most records.
_CLAIMS = f"""
    with
    sizes as (select alias, count(*) as records from this group by alias),
    held as (
        select this.alias, members.group_id, count(*) as records
        from this join records using (record_key) join members using (ordinal)
        group by this.alias, members.group_id
    )
    select held.group_id,
        arg_max(held.alias, held.records * {_FIRST} - held.alias) as customer, max(held.records) as records
    from held join sizes using (alias)
    where held.records * 2 > sizes.records
    group by held.group_id
"""
# A join: "not in" would build a hash table of all groups.
_REVIVED = """
    select this.group_id, this.customer
    from this left join continued on continued.group_id = this.group_id
    where continued.customer is null
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
    select tangles.group_id as tangle, this.customer, this.group_id, this.shared, coalesce(claims.records, 0) as claimed
    from this
    join tangles on tangles.ordinal = this.one
    left join claims on claims.group_id = this.group_id
"""
_CONTINUED = """
    select group_id, customer from this where customer not in (select customer from tangled)
    union all
    select group_id, customer from assigned
"""
_NEW = """
    select group_id from this
    where ordinal = group_id
        and group_id not in (select group_id from continued) and group_id not in (select group_id from revived)
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
    select coalesce(keys.record_key, {by_id}) as record_key, {others}
    from (
        select record_key as former_key, {others}, regexp_extract(record_key, '^[A-Z][A-Z0-9_]* id:') as prefix
        from this
    ) left join keys using (former_key)
"""
_BARE_ID = "regexp_replace(substr(former_key, length(prefix) + 1), '^([0-9]{1,15})[.]0*$', '\\1')"
_BY_ID = f"""
    case when prefix = '' then former_key
        when regexp_full_match({_BARE_ID}, '[A-Za-z0-9]{{15}}[A-Z0-5]{{3}}') then prefix || id_key({_BARE_ID})
        else prefix || {_BARE_ID} end
"""
# Source -> its records with an id in the published set, and how many of them are there again. Keys without an id are
# left out first: each would be a group of its own.
_RECURRING_BY_SOURCE = """
    select source, published.records, coalesce(recurring.records, 0)
    from (
        select split_part(former.record_key, ' id:', 1) as source, count(*) as records
        from former join customers on customers.customer = former.customer and customers.state = 'live'
        where former.in_last and contains(former.record_key, ' id:') group by source
    ) as published
    left join (
        select source, count(*) as records from this where in_last and state = 'live' group by source
    ) as recurring using (source)
    where regexp_full_match(source, '[A-Z][A-Z0-9_]*')
"""
_BYTES_OF_AN_OVERLAP = 400
"""Of a tangle, while its groups get their customers: objects of Python."""
_IDENTIFIED = f"""
    select group_id, customer, {UNIFIED_ID_SQL.format("customer")} as unified_id
    from (
        select group_id, customer from this
        union all select group_id, customer from continued
        union all select group_id, customer from revived
    )
"""
# Most customers neither merge nor split: lists are made for the others only.
_CHANGES = f"""
    with
    changes as (
        select
            customer as number,
            case when state is null then 'created' when is_here then 'revived' else 'retired' end as change,
            if(state is null, [], [customer]) as was,
            if(is_here, [customer], []) as now,
            case when state is null then 'none of its records was with a customer last time'
                when is_here and state = 'merged' then 'it has most of the records that it had when it was merged'
                when is_here then 'records of it are in the exports again'
                else 'none of its records is in the exports' end as reason
        from (
            select customer, state, group_id is not null as is_here from identified full join customers using (customer)
            where state is distinct from 'live' or group_id is null
        )
        where case when state is null then customer not in (select now from this)
            when is_here then true
            else state = 'live' and customer not in (select was from this) end
        union all
        select now, 'merged', list(was order by was), [now], 'a rule links their records now'
        from this where now in (select now from this group by now having count(*) > 1) group by now
        union all
        select was, 'split', [was], list(now order by now), 'no rule links their records any more'
        from this where was in (select was from this group by was having count(*) > 1) group by was
    )
    select number, change, {UNIFIED_ID_SQL.format("number")} as unified_id,
        nullif(array_to_string(list_transform(was, lambda n: {UNIFIED_ID_SQL.format("n")}), ','), '') as from_ids,
        nullif(array_to_string(list_transform(now, lambda n: {UNIFIED_ID_SQL.format("n")}), ','), '') as to_ids,
        reason
    from changes
"""
# In the first batch of a register everything is created, which needs no list.
_NO_CHANGES = "select * from ({}) where false"
# Only a customer that is gone needs a target.
_NEXT_CUSTOMERS = f"""
    with targets as (
        select was, arg_max(now, records * {_FIRST} - now) as target
        from moves where was not in (select customer from this) group by was
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
    from this join members using (ordinal) join identified using (group_id)
    union all
    select former.record_key, former.customer, former.in_last and customers.state = 'retired'
    from former
    left join next_customers as customers on customers.customer = former.customer
    where former.former_row not in (select former_row from recurring)
"""
# Of a customer that is merged now, the records that it had when it was last there.
_NEXT_ALIASES = """
    select this.alias, this.record_key from this
    where this.alias in (select customer from next_customers where state = 'merged')
    union all
    select former.customer, former.record_key from former
    where former.in_last
        and former.customer in (select customer from next_customers where state = 'merged')
        and former.customer not in (select customer from customers where state = 'merged')
"""


@dataclass(frozen=True)
class _Present:
    """What the next generation is made of, besides the former one: see ``identify``.

    members    ordinal · group_id, of records with the same key one
    recurring  the former records that are there again
    moves      was · now · records
    """

    records: Table
    members: Table
    identified: Table
    recurring: Table
    moves: Table


@dataclass(frozen=True)
class Identified:
    """The groups with their customer numbers, and the differences from the generation before.

    customers            group_id · customer · unified_id; one row per group
    changes              number · change · unified_id · from_ids · to_ids · reason; the last five are those of
                         id_changes.csv; none in the first batch of a register
    next                 the next generation of the register
    events               what happened to each customer, see ``events_of``
    next_number          the number that the next new customer gets
    recurring_by_source  source -> its records with an id in the generation before, and how many of them are there again
    """

    customers: Table
    changes: Table
    next: RegisterTables
    events: Table
    next_number: int
    recurring_by_source: Mapping[str, tuple[int, int]]


def identify(records: Table, keys: Table, groups: Table, former: RegisterTables, engine: Engine) -> Identified:
    """Give every group its customer: a former one where they share records, else a new one.

    In:     records    RECORD
            keys       KEYS
            groups     ordinal · group_id
    Ties:   docs/specification.md section 6; new numbers count up in order of first appearance
    """
    former = replace(former, records=former.records.numbered("former_row"))
    members = groups.derive(_MEMBERS, keys=keys)
    recurring = records.derive(_RECURRING, members=members, former=former.records, customers=former.customers)
    last_number = former.customers.rows("select coalesce(max(customer), 0) from this")[0][0]
    overlaps = recurring.derive(_OVERLAPS)
    claims = former.aliases.derive(_CLAIMS, records=records, members=members)
    continued = _continued(overlaps, claims, engine)
    revived = claims.derive(_REVIVED, continued=continued)
    new = groups.derive(_NEW, continued=continued, revived=revived)
    identified = new.numbered("customer", last_number + 1).derive(_IDENTIFIED, continued=continued, revived=revived)
    for table in {overlaps, claims, continued, revived, new}:  # overlaps and continued may be one
        table.release()
    moves = recurring.derive(_MOVES, identified=identified)
    following = _next(_Present(records, members, identified, recurring, moves), former)
    changes = _CHANGES if last_number else _NO_CHANGES.format(_CHANGES)
    found = Identified(
        customers=identified,
        changes=moves.derive(changes, identified=identified, customers=former.customers),
        next=following,
        events=events_of(members, identified, moves, former, following.customers),
        next_number=last_number + new.count() + 1,
        recurring_by_source=_recurring_by_source(recurring, former),
    )
    for table in (members, recurring, moves):
        table.release()
    return found


def carried_over(former: RegisterTables, keys: Table) -> RegisterTables:
    """A generation whose keys were made by former rules, with the present keys.

    In:   keys    record_key · former_key    of the records of this batch that have two different keys
    """
    return replace(
        former,
        records=former.records.derive(_CARRIED_OVER.format(by_id=_BY_ID, others="customer, in_last"), keys=keys),
        aliases=former.aliases.derive(_CARRIED_OVER.format(by_id=_BY_ID, others="alias"), keys=keys),
    )


def _next(present: _Present, former: RegisterTables) -> RegisterTables:
    """The next generation of the register."""
    customers = present.identified.derive(_NEXT_CUSTOMERS, customers=former.customers, moves=present.moves)
    return RegisterTables(
        customers=customers,
        records=present.records.derive(
            _NEXT_RECORDS,
            members=present.members,
            identified=present.identified,
            former=former.records,
            next_customers=customers,
            recurring=present.recurring,
        ),
        aliases=former.aliases.derive(
            _NEXT_ALIASES, former=former.records, customers=former.customers, next_customers=customers
        ),
    )


def _recurring_by_source(recurring: Table, former: RegisterTables) -> dict[str, tuple[int, int]]:
    found = recurring.rows(_RECURRING_BY_SOURCE, former=former.records, customers=former.customers)
    return {source: (count, again) for source, count, again in found}


def _continued(overlaps: Table, claims: Table, engine: Engine) -> Table:
    """group_id · customer of the groups that continue a former customer; ``overlaps`` itself where no two compete.

    In:   claims    group_id · customer · records    groups that may take back an alias, and its records that they have
    """
    tangled = overlaps.derive(_TANGLED)
    if not tangled.count():
        return overlaps
    nodes = tangled.derive(_ENDS).numbered("node")
    links = tangled.derive(_LINKS, nodes=nodes)
    components = engine.components(links, nodes.count())
    tangles = links.derive(_TANGLES, tangles=components, claims=claims)
    assigned = engine.by_group(tangles, _ASSIGNMENT)
    continued = overlaps.derive(_CONTINUED, tangled=tangled, assigned=assigned)
    for table in (tangled, nodes, links, components, tangles, assigned):
        table.release()
    return continued


def _assigned(
    _: IntArray, customer: IntArray, group_id: IntArray, shared: IntArray, claimed: IntArray
) -> tuple[IntArray, ...]:
    """The groups of whole tangles that continue a customer, and their customers.

    Of parts that share as much, those with the least of an alias keep the id: the others can take the alias back.
    """
    # Far below what is shared, so that a sum over many groups does not reach it.
    merits = [(it << 96) + (1 << 48) - less for it, less in zip(shared.tolist(), claimed.tolist(), strict=True)]
    chosen = assign(list(zip(customer.tolist(), group_id.tolist(), merits, strict=True)))
    return np.array(list(chosen), dtype=np.int64), np.array(list(chosen.values()), dtype=np.int64)


_ASSIGNMENT = GroupFunction(
    _assigned, "tangle", ("customer", "group_id", "shared", "claimed"), ("group_id", "customer"), _BYTES_OF_AN_OVERLAP
)
