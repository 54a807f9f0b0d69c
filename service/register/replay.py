"""A generation of the register and the events of its batch, from the files of a published set."""

from __future__ import annotations

from dataclasses import dataclass

from service.engine.contract import Table
from service.register.events import events_of
from service.register.tables import RegisterTables

# Each customer is its own group.
_MEMBERS = "select record_key, customer, customer as group_id from this"
_IDENTIFIED = "select distinct customer as group_id, customer from this"
_MOVES = """
    select former.customer as was, this.customer as now, count(*) as records
    from this
    join former using (record_key)
    join customers on customers.customer = former.customer
    where former.in_last and customers.state <> 'merged'
    group by former.customer, this.customer
"""
_NEXT_RECORDS = """
    select record_key, customer, true as in_last from this
    union all
    select former.record_key, former.customer, former.in_last and next_customers.state = 'retired'
    from former
    left join next_customers on next_customers.customer = former.customer
    where former.record_key not in (select record_key from this)
"""


@dataclass(frozen=True)
class Replayed:
    """What a batch did: the next generation, and its events, see ``events_of``."""

    next: RegisterTables
    events: Table


def replay(former: RegisterTables, published: RegisterTables) -> Replayed:
    """What the batch of a published set made of the generation before it.

    In:   published    ``customers`` and ``aliases`` as the set has them; ``records``: record_key · customer of the set
    """
    members = published.records.derive(_MEMBERS)
    identified = members.derive(_IDENTIFIED)
    moves = members.derive(_MOVES, former=former.records, customers=former.customers)
    records = members.derive(_NEXT_RECORDS, former=former.records, next_customers=published.customers)
    following = RegisterTables(records, published.customers, published.aliases)
    events = events_of(members, identified, moves, former, following.customers)
    for table in (members, identified, moves):
        table.release()
    return Replayed(following, events)
