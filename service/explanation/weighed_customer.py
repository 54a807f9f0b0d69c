"""A customer of weighed evidence explained: the published tree of its links, and what would split it for sure.

Weighed evidence joins groups by the mean weight of all pairs, and each weight depends on how frequent values are among
all records. So what would part such a group is not derived from its values. What ids and decisions add to it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from service.decisions import Decision
from service.engine.contract import PARQUET
from service.explanation.customer import (
    MOST_CAUSES,
    Explained,
    WeighedCustomer,
    cause_of,
    explained,
    keys_of,
    tree_along,
)
from service.explanation.cuts import Cut, Cuts, cuts_of
from service.explanation.golden import provenance
from service.explanation.group import Group, TyingValue, closed_group_of, group_along, group_of
from service.explanation.records import GroupRecord, is_weighed
from service.explanation.touching import same_decisions
from service.masters.customer_row import CustomerRow
from service.masters.customer_sets import CustomerSet, CustomerSets
from service.pipeline.matching.decided import DECISION
from service.pipeline.matching.weighed import WEIGHED

BY_THE_MEAN = (
    "not derived for what weighed evidence joins: the mean weight of all pairs of a group decides, and each weight"
    " depends on all records of the batch"
)
KEPT_APART = "not derived: decisions keep linked records apart, and then the result depends on the order of all links"
RECORDS_NOT_SAID = "records are not listed: to remove one changes the weights of the others"
_SURE = ("id", DECISION)
"""What these rules link is one customer whatever evidence weighs."""
_LINKED_OTHERS = f"""
    select count(*) from {PARQUET} where unified_id <> ? and (
        weighed in (select weighed from {PARQUET} where unified_id = ?)
        or record_key in (select record_key from {PARQUET} where unified_id = ?)
    )
"""


def explained_in(
    of: tuple[CustomerSets, CustomerSet],
    customer: CustomerRow,
    records: Sequence[GroupRecord],
    followed: Sequence[Decision],
) -> Explained:
    """Explain a customer of a set by all of its records, in order of appearance, however the set was matched."""
    _, newest = of
    if not is_weighed(newest):
        return explained(customer, records, followed)
    whole = is_whole(of, customer.unified_id, records, followed)
    return explained_by_weight(customer, records, followed, is_whole=whole)


def explained_by_weight(
    customer: CustomerRow, records: Sequence[GroupRecord], followed: Sequence[Decision], *, is_whole: bool
) -> Explained:
    """Explain a customer that weighed evidence made. ``is_whole``: the result of the function ``is_whole``."""
    golden, alternates = provenance(customer, records)
    links, cuts, found = sure_cuts(records, followed, is_whole=is_whole)
    causes = sorted(found, key=lambda cut: -sum(cuts.sizes(cut)[1:]))
    closed = closed_group_of(records, same_decisions(followed, keys_of(records)))
    return Explained(
        golden=golden,
        alternates=alternates,
        records=tree_along(closed, published_via(records)),
        split_causes=tuple(cause_of(cut, cuts, links) for cut in causes[:MOST_CAUSES]),
        split_causes_in_all=len(causes),
        weighed=WeighedCustomer(held_by=tuple(_held_by(links)), not_said=not_said(links, is_whole=is_whole)),
    )


def published_via(records: Sequence[GroupRecord]) -> list[int | None]:
    """For each record the position of its parent, as published."""
    at = {record.ordinal: position for position, record in enumerate(records)}
    return [
        None if it.evidence is None or it.evidence.via_ordinal is None else at.get(it.evidence.via_ordinal)
        for it in records
    ]


def sure_cuts(
    records: Sequence[GroupRecord], followed: Sequence[Decision], *, is_whole: bool
) -> tuple[Group, Cuts, list[Cut]]:
    """The links of a customer, and the ids and decisions without which they leave it in parts.

    What weighed evidence makes one customer stays so without them: it reads neither. Without a record or a value other
    groups may be made, so these are no cuts. Where the customer is not whole there is none.
    """
    literal = group_of(records, same_decisions(followed, keys_of(records)))
    links = group_along(records, [*_weighed_values(records), *(it for it in literal.values if it.rule in _SURE)])
    cuts = cuts_of(links)
    sure = [it for it in cuts.found if it.value is not None and links.values[it.value].rule in _SURE]
    return links, cuts, sure if is_whole else []


def not_said(links: Group, *, is_whole: bool) -> tuple[str, ...]:
    """What is not derived about the links of a customer, with the reason."""
    if not is_whole:
        return (KEPT_APART,)
    return (BY_THE_MEAN,) if WEIGHED in _held_by(links) else ()


def is_whole(
    of: tuple[CustomerSets, CustomerSet],
    unified_id: str,
    records: Sequence[GroupRecord],
    followed: Sequence[Decision],
) -> bool:
    """Whether every record that is linked with a record of the customer belongs to it.

    False where a decision ``different`` split the group.
    """
    if all(it.kind == "same" for it in followed):
        return True
    keys = keys_of(records)
    if any(it.kind == "same" and len(keys & set(it.keys)) == 1 for it in followed):
        return False
    sets, newest = of
    # The path and the id, for each of the three reads of the file.
    return not sets.rows(_LINKED_OTHERS, *(sets.records(newest), unified_id) * 3)[0][0]


def _weighed_values(records: Sequence[GroupRecord]) -> Iterator[TyingValue]:
    """What weighed evidence makes one customer of several records."""
    members: dict[int, list[int]] = defaultdict(list)
    for at, record in enumerate(records):
        if record.evidence is not None:
            members[record.evidence.weighed].append(at)
    for number, of_one in members.items():
        if len(of_one) > 1:
            yield TyingValue(WEIGHED, str(number), tuple(of_one))


def _held_by(links: Group) -> Iterator[str]:
    known = {value.rule for value in links.values}
    return (rule for rule in (WEIGHED, *_SURE) if rule in known)
