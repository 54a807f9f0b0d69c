"""Difference: which customers of a batch the matcher ``safe`` would part, and which it would join."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from service.engine.contract import Table

PARTED = "parted_by_safe"
JOINED = "joined_by_safe"
_BOTH = "select this.ordinal, this.group_id, safe.group_id as safe_id from this join safe using (ordinal)"
# Two different numbers are a smallest and a largest: no set of numbers is kept for each group.
_DIFFERING = f"""
    select '{PARTED}' as kind, group_id as key from this group by group_id having min(safe_id) < max(safe_id)
    union all
    select '{JOINED}', safe_id from this group by safe_id having min(group_id) < max(group_id)
"""
_JOINED_CUSTOMERS = f"""
    select count(distinct group_id) from this where safe_id in (select key from differing where kind = '{JOINED}')
"""


@dataclass(frozen=True)
class DifferenceCounts:
    """How many customers the matcher ``safe`` would make, part and join."""

    customers: int
    parted_customers: int
    joined_customers: int
    """Customers of which it would put at least one record together with a record of another customer."""
    groups_of_joined_customers: int

    def sentences(self) -> Iterator[str]:
        """One sentence for each figure, also where it is zero."""
        yield f"Safe matching would make customers: {self.customers}"
        yield f"Safe matching would part customers: {self.parted_customers}"
        groups = f" (in groups: {self.groups_of_joined_customers})" if self.joined_customers else ""
        yield f"Safe matching would join customers: {self.joined_customers}{groups}"

    def figures(self) -> dict[str, int]:
        """The figures by their names, for ``quality_report.json`` and the structured log."""
        return asdict(self)


@dataclass(frozen=True)
class Difference:
    """The records as both matchers group them.

    groups     ordinal · group_id · safe_id: the smallest ordinals of its group, and of that of ``safe``
    differing  kind · key: ``PARTED`` with a group_id, or ``JOINED`` with a safe_id
    """

    groups: Table
    differing: Table
    counts: DifferenceCounts


def difference(groups: Table, safe: Table) -> Difference:
    """The groups of the same records by two matchers, compared.

    In:     groups  ordinal · group_id, as published
            safe    the same, as ``safe`` groups the records; released
    Source: docs/specification.md section 5 (comparison)
    """
    both = groups.derive(_BOTH, safe=safe)
    safe.release()
    differing = both.derive(_DIFFERING)
    return Difference(both, differing, _counts(both, differing))


def _counts(both: Table, differing: Table) -> DifferenceCounts:
    [(customers,)] = both.rows("select count(distinct safe_id) from this")
    of_kind: dict[str, int] = dict(differing.rows("select kind, count(*) from this group by kind"))
    [(joined,)] = both.rows(_JOINED_CUSTOMERS, differing=differing)
    return DifferenceCounts(customers, of_kind.get(PARTED, 0), joined, of_kind.get(JOINED, 0))
