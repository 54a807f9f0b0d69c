"""The two questions: why is this one customer, and why are these two one customer, or not?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from service.decisions import Decision
from service.errors import UsageError
from service.explanation.asked import Asked, Newest, find, newest
from service.explanation.customer import Explanation, keys_of
from service.explanation.pair import PairExplanation, PairPath, contrasts, nearest, path_of
from service.explanation.records import GroupRecord, is_weighed
from service.explanation.touching import TouchingDecision, decisions_of, same_decisions, touching
from service.explanation.weighed_customer import explained_in, is_whole
from service.explanation.weighed_pair import WeighedPairExplanation, between_customers, weighed_path
from service.folders import Folders
from service.masters.customer_row import customer_row
from service.masters.customer_sets import CustomerSets
from service.register import IdentityEvent, history_of


def explain_one(given: str, folders: Folders, sets: CustomerSets | None = None) -> Explanation:
    """Explain the customer that is named, or that the named record belongs to; ``sets``: kept between calls.

    Raises: UsageError, ChangedSet, OSError.
    """
    within = newest(folders, sets)
    asked = find("A", given, within)
    found = Explanation(
        batch_id=within.of.batch_id,
        published_at=within.of.shown.published_at,
        unified_id=asked.unified_id,
        state="retired",
        asked_for=asked.shown,
        is_alias=asked.is_alias,
        history=_history(asked, within),
    )
    customer = customer_row(within.sets, within.of, asked.unified_id) if asked.records else None
    if customer is None:
        return found
    followed = decisions_of(within.sets, within.of)
    return structs.replace(
        found,
        state="live",
        match_reason=customer.match_reason,
        record_count=customer.records,
        explained=explained_in((within.sets, within.of), customer, asked.records, followed),
        decisions=decisions_about(asked.records, followed, within.state),
    )


def explain_two(given: tuple[str, str], folders: Folders, sets: CustomerSets | None = None) -> PairExplanation:
    """Explain why two records are one customer, or why not; a unified id stands for its kept record.

    Raises: UsageError, ChangedSet, OSError.
    """
    within = newest(folders, sets)
    asked = tuple(find(label, name, within) for label, name in zip("AB", given, strict=True))
    for label, it in zip("AB", asked, strict=True):
        if not it.records:
            raise UsageError(
                f"{label}: customer {it.unified_id} is retired: batch {within.of.batch_id} has no record of it",
                hint="ask again when its records are in the exports again",
            )
    (one, of_one), (other, of_other) = ((it.record, it.records) for it in asked)
    if one.ordinal == other.ordinal:
        raise UsageError(
            f"both are the same record, of customer {asked[0].unified_id}",
            hint="name two different records as SOURCE:ID; a unified id, or an alias of it, stands for the kept record",
        )
    followed = decisions_of(within.sets, within.of)
    is_one = asked[0].unified_id == asked[1].unified_id
    found = PairExplanation(
        batch_id=within.of.batch_id,
        published_at=within.of.shown.published_at,
        one=one.name,
        one_of=asked[0].unified_id,
        other=other.name,
        other_of=asked[1].unified_id,
        is_one=is_one,
        near=() if is_one else nearest(one, of_one, other, of_other),
        against=contrasts(one, other),
        decisions=_between(followed, within.state, (one, other), (of_one, of_other)),
    )
    if is_weighed(within.of):
        return _by_weight(found, (one, other), (of_one, of_other), followed, within)
    if not is_one:
        return found
    path = path_of(of_one, same_decisions(followed, keys_of(of_one)), one.ordinal, other.ordinal)
    return structs.replace(found, steps=path.steps, parted_by=path.parted_by)


def _by_weight(
    found: PairExplanation,
    pair: tuple[GroupRecord, GroupRecord],
    groups: tuple[Sequence[GroupRecord], Sequence[GroupRecord]],
    followed: Sequence[Decision],
    within: Newest,
) -> WeighedPairExplanation:
    """The explanation with what a set of weighed evidence says."""
    path = PairPath(steps=(), parted_by=())
    if found.is_one:
        whole = is_whole((within.sets, within.of), found.one_of, groups[0], followed)
        path, weighed = weighed_path(groups[0], followed, pair[0].ordinal, pair[1].ordinal, is_whole=whole)
    else:
        weighed = between_customers(*groups, followed, within.sets.review_queue(within.of))
    return WeighedPairExplanation(
        **structs.asdict(structs.replace(found, steps=path.steps, parted_by=path.parted_by)), weighed=weighed
    )


def decisions_about(
    records: Sequence[GroupRecord], followed: Sequence[Decision], state: Path
) -> tuple[TouchingDecision, ...]:
    """The decisions about one of the records. Raises: OSError."""
    known = keys_of(records)
    return touching(followed, state, lambda keys: not known.isdisjoint(keys))


def _history(asked: Asked, within: Newest) -> tuple[IdentityEvent, ...]:
    """What happened to the customer until the set; nothing where the log begins later, as after an upgrade."""
    try:
        return history_of(asked.unified_id, within.state, within.of.batch_id, within.sets).events
    except UsageError:
        return ()


def _between(
    followed: Sequence[Decision],
    state: Path,
    pair: tuple[GroupRecord, GroupRecord],
    groups: tuple[Sequence[GroupRecord], Sequence[GroupRecord]],
) -> tuple[TouchingDecision, ...]:
    """The decisions between records of the two customers, and those about one of the two records."""
    keys_of_one, keys_of_other = map(keys_of, groups)
    touched = keys_of(pair)
    return touching(
        followed,
        state,
        lambda keys: (
            not touched.isdisjoint(keys) or not (keys_of_one.isdisjoint(keys) or keys_of_other.isdisjoint(keys))
        ),
    )
