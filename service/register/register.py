"""The identity register: for every record ever seen the customer it last belonged to.

One generation per published batch, in ``state/register/<batch_id>/``; the file ``current`` names the one in
force. The next generation is staged before the batch is published and advanced to after it, so that a crash
at any point either changes nothing or rolls forward. Ids are stable: CONTRACT section 6.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from service.engine.contract import Engine, IntArray, Table
from service.errors import TransientError
from service.files import fsync_path, make_folder, remove_tree, replace_copies, replace_text
from service.model import PublishedMaster
from service.register.assignment import assign

_NOW = """
    select this.record_key, any_value(groups.group_id) as group_id
    from this join groups using (ordinal)
    group by this.record_key
"""
# in_last: the record was there when its customer was last seen, so its moves are its customer's moves.
_OVERLAPS = """
    select former.customer, this.group_id,
        count(*) filter (former.in_last) * 4294967296 + count(*) as shared
    from this
    join former using (record_key)
    join customers on customers.customer = former.customer and customers.state <> 'merged'
    group by former.customer, this.group_id
"""
_MOVES = """
    select former.customer as was, identified.customer as now, count(*) as records
    from this
    join identified using (group_id)
    join former on former.record_key = this.record_key and former.in_last
    join customers on customers.customer = former.customer and customers.state <> 'merged'
    group by former.customer, identified.customer
"""
_UNIFIED_ID = "'CUST' || case when {0} < 1000 then lpad({0}::varchar, 3, '0') else {0}::varchar end"
_CHANGES = f"""
    with
    changes as (
        select customer as number, 'created' as change, [] as was, [customer] as now,
            'none of its records was with a customer last time' as reason
        from identified
        where customer not in (select customer from customers) and customer not in (select now from this)
        union all
        select now, 'merged', list(was order by was), [now], 'a rule links their records now'
        from this group by now having count(*) > 1
        union all
        select was, 'split', [was], list(now order by now), 'no rule links their records any more'
        from this group by was having count(*) > 1
        union all
        select customer, 'retired', [customer], [], 'none of its records is in the exports'
        from customers
        where state = 'live' and customer not in (select was from this)
            and customer not in (select customer from identified)
        union all
        select customer, 'revived', [customer], [customer], 'records of it are in the exports again'
        from customers where state = 'retired' and customer in (select customer from identified)
    )
    select number, change, {_UNIFIED_ID.format("number")} as unified_id,
        nullif(array_to_string(list_transform(was, lambda n: {_UNIFIED_ID.format("n")}), ','), '') as from_ids,
        nullif(array_to_string(list_transform(now, lambda n: {_UNIFIED_ID.format("n")}), ','), '') as to_ids,
        reason
    from changes
"""
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
    from this join identified using (group_id)
    union all
    select former.record_key, former.customer, former.in_last and customers.state = 'retired'
    from former
    left join next_customers as customers on customers.customer = former.customer
    where former.record_key not in (select record_key from this)
"""


@dataclass(frozen=True)
class Identified:
    """The groups with their customer numbers, and what is different from before.

    customers    group_id · customer · unified_id                        one row per group
    changes      number · change · unified_id · from_ids · to_ids · reason   the last five are those of id_changes.csv
    next_records, next_customers                                         the register's next generation
    """

    customers: Table
    changes: Table
    next_records: Table
    next_customers: Table


class Register:
    """The identity register in the state folder ``state``."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "register"

    def open(self) -> None:
        """Create what is missing."""
        make_folder(self._folder)

    def published(self) -> PublishedMaster | None:
        """The batch whose publication the generation in force belongs to; None before the first."""
        noted = self._noted()
        if noted is None:
            return None
        noted.pop("former", None)
        return PublishedMaster(**noted)

    def identify(self, records: Table, groups: Table, engine: Engine) -> Identified:
        """Give every group its customer: a former one where they share records, else a new one.

        In:     records    RECORD
                groups     ordinal · group_id
        Ties:   CONTRACT section 6; new numbers count up in order of first appearance
        """
        former, customers = self._generation(engine)
        now = records.derive(_NOW, groups=groups)
        overlaps = now.derive(_OVERLAPS, former=former, customers=customers)
        everyone = groups.derive("select distinct group_id from this").integers("group_id")[0]
        used = customers.derive("select coalesce(max(customer), 0) from this").rows()[0][0]
        numbers = _numbers(everyone, overlaps.integers("customer", "group_id", "shared"), first_new=used + 1)
        numbered = engine.table({"group_id": everyone, "customer": numbers})
        identified = numbered.derive(f"select *, {_UNIFIED_ID.format('customer')} as unified_id from this")
        moves = now.derive(_MOVES, identified=identified, former=former, customers=customers)
        next_customers = identified.derive(_NEXT_CUSTOMERS, customers=customers, moves=moves)
        return Identified(
            customers=identified,
            changes=moves.derive(_CHANGES, identified=identified, customers=customers),
            next_customers=next_customers,
            next_records=now.derive(_NEXT_RECORDS, identified=identified, former=former, next_customers=next_customers),
        )

    def stage(self, identified: Identified, published: PublishedMaster) -> None:
        """Write the next generation durably; it counts only after ``advance``."""
        folder = self._folder / published.batch_id
        if self._current() == published.batch_id:
            self._set_aside(folder)
        remove_tree(folder)
        make_folder(folder)
        identified.next_records.write_parquet(folder / "records.parquet", "record_key")
        identified.next_customers.write_parquet(folder / "customers.parquet", "customer")
        fsync_path(folder / "records.parquet")
        fsync_path(folder / "customers.parquet")
        noted = asdict(published) | {"former": self._current()}
        replace_text(folder / "published.json", json.dumps(noted) + "\n")

    def _set_aside(self, folder: Path) -> None:
        """The batch in force is done again, because its set was removed: its generation counts under another name."""
        aside = folder.with_name(f"{folder.name}.former")
        make_folder(aside)
        replace_copies({path.name: path for path in sorted(folder.iterdir())}, aside)
        replace_text(self._folder / "current", f"{aside.name}\n")

    def advance(self, batch_id: str) -> None:
        """Make the generation of the published batch the one in force, and drop the others.

        Raises: TransientError where it is gone: then the ids of that set are known nowhere.
        """
        if not (self._folder / batch_id).is_dir():
            raise TransientError(
                "the register has lost what belongs to a published set",
                where=f"batch {batch_id}",
                hint=f"restore the state folder; or remove outbox/batches/{batch_id}, and the batch is integrated anew",
            )
        if self._current() != batch_id:
            replace_text(self._folder / "current", f"{batch_id}\n")
        for folder in self._generations():
            if folder.name != batch_id:
                remove_tree(folder)

    def recover(self, is_committed: Callable[[str], bool]) -> None:
        """After a crash: advance to a generation whose batch was published, drop one whose batch was not."""
        current = self._current()
        # The former generation's batch was published, too: what is left of it was about to be dropped.
        former = (self._noted() or {}).get("former")
        for folder in self._generations():
            if folder.name not in (current, former) and is_committed(folder.name):
                self.advance(folder.name)
                return
        for folder in self._generations():
            if folder.name != current:
                remove_tree(folder)

    def _current(self) -> str | None:
        try:
            return (self._folder / "current").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    def _noted(self) -> dict[str, Any] | None:
        """What was noted beside the generation in force; None before the first."""
        current = self._current()
        if current is None:
            return None
        noted: dict[str, Any] = json.loads((self._folder / current / "published.json").read_text(encoding="utf-8"))
        return noted

    def _generations(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if path.is_dir())

    def _generation(self, engine: Engine) -> tuple[Table, Table]:
        current = self._current()
        if current is not None:
            folder = self._folder / current
            return engine.read_parquet(folder / "records.parquet"), engine.read_parquet(folder / "customers.parquet")
        nothing = engine.text_table(("nothing",), ())
        return (
            nothing.derive("select '' as record_key, 0::bigint as customer, true as in_last where false"),
            nothing.derive("select 0::bigint as customer, '' as state, 0::bigint as merged_into where false"),
        )


def _numbers(groups: IntArray, overlaps: tuple[IntArray, ...], *, first_new: int) -> IntArray:
    """The customer number of each group (sorted by first appearance)."""
    customer, group, shared = overlaps
    numbers = np.zeros(len(groups), dtype=np.int64)
    # Most customers go on as they are: one group, no rival. Only the others need a decision.
    is_plain = _occurs_once(customer) & _occurs_once(group)
    numbers[np.searchsorted(groups, group[is_plain])] = customer[is_plain]
    tangled = zip(customer[~is_plain].tolist(), group[~is_plain].tolist(), shared[~is_plain].tolist(), strict=True)
    for at, number in assign(list(tangled)).items():
        numbers[np.searchsorted(groups, at)] = number
    is_new = numbers == 0
    numbers[is_new] = np.arange(first_new, first_new + np.count_nonzero(is_new))
    return numbers


def _occurs_once(values: IntArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    once: np.ndarray[tuple[int], np.dtype[np.bool_]] = counts[inverse] == 1
    return once
