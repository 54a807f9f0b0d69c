"""One customer explained: its records as a tree of links, what would split it, its golden record, its decisions."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Literal

from msgspec import Struct

from service.decisions import Decision
from service.explanation.cuts import Cut, Cuts, cuts_of
from service.explanation.evidence import WeighedEvidence, evidence_of
from service.explanation.golden import Alternate, GoldenCell, provenance
from service.explanation.group import Group, closed_group_of, group_of
from service.explanation.records import GroupRecord, RecordName
from service.explanation.ties import SharedElsewhere, Tie, shared_elsewhere, shown_value, ties_between
from service.explanation.touching import TouchingDecision, same_decisions
from service.explanation.walk import walk_from
from service.masters.customer_row import CustomerRow
from service.pipeline.matching.weighed import WEIGHED
from service.register import IdentityEvent

MOST_CAUSES = 100
"""The most causes that are listed."""
MOST_NAMED = 10
"""The most records that are named for a cause."""


class ExplainedRecord(Struct, frozen=True, kw_only=True):
    """A record, and the link that holds it."""

    ordinal: int
    """Order of appearance in the batch."""
    name: RecordName
    is_kept: bool
    values: dict[str, str | None]
    """Field -> value, as normalised."""
    via: RecordName | None
    """Its parent in the tree; null for the kept record."""
    via_ordinal: int | None
    rules: str
    """The reason, as published: ``email+phone``."""
    ties: tuple[Tie, ...]
    """What it shares with that record."""
    evidence: WeighedEvidence | None = None
    """What weighed evidence says of the two; null where it does not make them one customer, or the rule is literal."""
    shares_with_others: tuple[SharedElsewhere, ...] = ()
    """Where weighed evidence alone links the two: what the record shares with others of the customer."""


class SplitCause(Struct, frozen=True, kw_only=True):
    """A single value or a single record without which the records are no longer one customer."""

    rule: str
    """Of the value; empty for a record."""
    value: str
    """As the first record with it has it; of a decision its number; empty for a record."""
    record: RecordName | None
    sizes: tuple[int, ...]
    """The number of records in each part that would be left, the largest first."""
    apart: tuple[RecordName, ...]
    """The first records that would not be in the largest part."""


class WeighedCustomer(Struct, frozen=True, kw_only=True):
    """What holds a customer in a set of weighed evidence."""

    held_by: tuple[str, ...]
    """The kinds of its links, of ``weighed``, ``id`` and ``decision``."""
    not_said: tuple[str, ...]
    """What would split it and is not among the causes, with the reason."""


class Explained(Struct, frozen=True, kw_only=True):
    """What the records of a customer explain."""

    golden: tuple[GoldenCell, ...]
    alternates: tuple[Alternate, ...]
    """Values of records that the golden record does not have."""
    records: tuple[ExplainedRecord, ...]
    """The kept one first, each other one behind its parent."""
    split_causes: tuple[SplitCause, ...]
    """Those that would part the most records from the largest part come first; up to 100."""
    split_causes_in_all: int
    weighed: WeighedCustomer | None = None
    """Null in a set of the literal rule."""


class Explanation(Struct, frozen=True, kw_only=True):
    """A customer, explained by the set that published it."""

    batch_id: str
    published_at: str | None
    unified_id: str
    state: Literal["live", "retired"]
    asked_for: str
    """What was asked for, as a unified id or ``SOURCE:ID``."""
    is_alias: bool = False
    """Whether what was asked for is a former id, merged into this customer."""
    match_reason: str | None = None
    record_count: int = 0
    explained: Explained | None = None
    """Null for a retired customer, which has no records."""
    decisions: tuple[TouchingDecision, ...] = ()
    history: tuple[IdentityEvent, ...] = ()
    """What happened to the id, the oldest first, as far as the log of identities goes back."""


def explained(customer: CustomerRow, records: Sequence[GroupRecord], followed: Sequence[Decision]) -> Explained:
    """Explain a customer by all of its records, in order of appearance. Linear, but for sorting."""
    same = same_decisions(followed, keys_of(records))
    golden, alternates = provenance(customer, records)
    group = group_of(records, same)
    cuts = cuts_of(group)
    causes = sorted(cuts.found, key=lambda cut: -sum(cuts.sizes(cut)[1:]))
    return Explained(
        golden=golden,
        alternates=alternates,
        records=tree_of(closed_group_of(records, same)),
        split_causes=tuple(cause_of(cut, cuts, group) for cut in causes[:MOST_CAUSES]),
        split_causes_in_all=len(causes),
    )


def keys_of(records: Sequence[GroupRecord]) -> Set[str]:
    """By which decisions know the records."""
    return {record.key for record in records}


def tree_of(group: Group) -> tuple[ExplainedRecord, ...]:
    """The records of a group as the tree of their links: depth first from the kept one, in order of appearance.

    Links are those that were published. The record that a link leads to is known by its name alone; of several with
    that name it is the one that the evidence leads to. Records that no value leads to come last, without ties: then a
    program with other rules made the set.
    """
    return tree_along(group, walk_from(group, group.kept))


def tree_along(group: Group, via: Sequence[int | None]) -> tuple[ExplainedRecord, ...]:
    """The records depth first along a tree.

    ``via``: for each record its parent; None for the root and for records that are not connected.
    """
    below: list[list[int]] = [[] for _ in group.records]
    for at, parent in enumerate(via):
        if parent is not None:
            below[parent].append(at)
    ordered: list[ExplainedRecord] = []
    waiting = [group.kept]
    while waiting:
        at = waiting.pop()
        ordered.append(_record(group, at, via[at]))
        waiting += reversed(below[at])
    unreached = [at for at, parent in enumerate(via) if parent is None and at != group.kept]
    return (*ordered, *(_record(group, at, None) for at in unreached))


def _record(group: Group, at: int, parent: int | None) -> ExplainedRecord:
    record = group.records[at]
    stated = record.evidence
    is_by_weight = stated is not None and WEIGHED in record.rules
    return ExplainedRecord(
        ordinal=record.ordinal,
        name=record.name,
        is_kept=record.is_kept,
        values=dict(record.values),
        via=record.via,
        via_ordinal=None if parent is None else group.records[parent].ordinal,
        rules="+".join(record.rules),
        ties=() if parent is None else ties_between(group, at, parent, record.rules),
        evidence=None if parent is None or stated is None else evidence_of(stated.weight, stated.parts),
        shares_with_others=shared_elsewhere(group, at, parent) if is_by_weight and parent is not None else (),
    )


def cause_of(cut: Cut, cuts: Cuts, group: Group) -> SplitCause:
    """A cut as people read it."""
    names = [group.records[at].name for at in cuts.apart(cut, MOST_NAMED)]
    value = None if cut.value is None else group.values[cut.value]
    return SplitCause(
        rule=value.rule if value else "",
        value=shown_value(value, group.records[value.sharers[0]]) if value else "",
        record=None if cut.record is None else group.records[cut.record].name,
        sizes=tuple(cuts.sizes(cut)),
        apart=tuple(names),
    )
