"""The events of one batch: what happened to each customer, with its number of records before and after."""

from __future__ import annotations

from service.engine.contract import Table
from service.register.tables import RegisterTables

_RECORDS_OF_GROUPS = """
    select group_id, count(*) as records from this group by group_id
"""
_AFTER = """
    select identified.customer, this.records from this join identified using (group_id)
"""
_BEFORE = """
    select customer, count(*) as records from this
    where in_last and customer not in (select customer from customers where state = 'retired')
    group by customer
"""
_SIZES = """
    select customer, coalesce(this.records, 0) as before, coalesce(now.records, 0) as after
    from this full join now using (customer)
"""
# First what became of the customer itself, then where its records went.
_EVENTS = """
    select this.customer,
        case when former.state is null then 'created'
            when former.state <> 'live' then 'revived'
            when this.after = 0 then 'retired'
            when this.after > this.before then 'grew'
            else 'shrank' end as event,
        null::bigint as other, null::bigint as moved, this.before, this.after
    from this left join customers as former on former.customer = this.customer
    where this.before <> this.after
        and (this.after > 0 or this.customer not in (select customer from next_customers where state = 'merged'))
    union all
    select moves.was,
        case when became.state = 'merged' and became.merged_into = moves.now then 'merged'
            when target.state = 'live' then 'moved'
            else 'split' end,
        moves.now, moves.records, coalesce(this.before, 0), coalesce(this.after, 0)
    from moves
    join next_customers as became on became.customer = moves.was
    left join customers as target on target.customer = moves.now
    left join this on this.customer = moves.was
    where moves.was <> moves.now
"""
_KNOWN = """
    with sizes as (select customer, count(*) as records from former where in_last group by customer)
    select this.customer, 'known' as event, this.merged_into as other, null::bigint as moved,
        case when this.state = 'live' then coalesce(sizes.records, 0) else 0 end as before,
        case when this.state = 'live' then coalesce(sizes.records, 0) else 0 end as after
    from this left join sizes on sizes.customer = this.customer
"""


def events_of(members: Table, identified: Table, moves: Table, former: RegisterTables, next_customers: Table) -> Table:
    """What happened to each customer in a batch: customer · event · other · moved · before · after.

    ``created``, ``revived``, ``retired``, ``grew``, ``shrank``: what became of the customer; at most one of them.
    Where its records went:

    merged  the id became an alias of ``other``
    split   a part of its records went to ``other``, which was not live before the batch
    moved   a part of its records went to ``other``, which was live before the batch

    Column ``moved``: how many records went to ``other``.

    In:   members  ordinal · group_id      identified  group_id · customer        moves  was · now · records
    """
    sizes = _sizes(members, identified, former)
    events = sizes.derive(_EVENTS, customers=former.customers, next_customers=next_customers, moves=moves)
    sizes.release()
    return events


def _sizes(members: Table, identified: Table, former: RegisterTables) -> Table:
    """The records of each customer before and after the batch: customer · before · after."""
    # A statement for each hash table: together they take more memory than a small limit has.
    groups = members.derive(_RECORDS_OF_GROUPS)
    after = groups.derive(_AFTER, identified=identified)
    before = former.records.derive(_BEFORE, customers=former.customers)
    sizes = before.derive(_SIZES, now=after)
    for table in (groups, after, before):
        table.release()
    return sizes


def known_events(tables: RegisterTables) -> Table:
    """An event ``known`` for each customer of a generation, see ``events_of``: the log begins with them.

    An alias has ``other``, the customer that it was merged into. A retired customer has no records.
    """
    return tables.customers.derive(_KNOWN, former=tables.records)
