"""What ties two records, as people read it: the rule, and the value as each of the two has it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from service.explanation.group import Group, TyingValue
from service.explanation.records import FIELD_OF_RULE, GroupRecord, RecordName
from service.pipeline.fields.phone import RAW
from service.pipeline.matching.decided import DECISION


class Tie(Struct, frozen=True, kw_only=True):
    """A value that two records share."""

    rule: str
    value: str
    """As the first record has it; of a phone that cannot be read its digits, of a decision its number."""
    other: str | None = None
    """As the other record has it, where it is written in another way."""
    compared: str | None = None
    """The text by which both are compared, where no record shows it."""
    is_listed: bool = True
    """False where it adds nothing to the reason: a name beside the same e-mail and phone."""


def ties_between(group: Group, one: int, other: int, rules: Iterable[str] | None = None) -> tuple[Tie, ...]:
    """What ties two records of a group, the strongest first. ``rules``: those of the reason; None: by its rules.

    Source: docs/specification.md section 5 (reason)
    """
    shared = group.shared(one, other)
    listed = reason_of(shared) if rules is None else set(rules)
    left, right = group.records[one], group.records[other]
    return tuple(_tie(value, left, right, is_listed=value.rule in listed) for value in shared)


class SharedElsewhere(Struct, frozen=True, kw_only=True):
    """A value that a record shares with another than the one it is linked through."""

    name: RecordName
    tie: Tie


def shared_elsewhere(group: Group, at: int, parent: int) -> tuple[SharedElsewhere, ...]:
    """The values that a record shares with others than its parent, each with the first of these."""
    found: list[SharedElsewhere] = []
    for value in (group.values[number] for number in group.values_of[at]):
        other = next((it for it in value.sharers if it not in (at, parent)), None)
        if other is not None and value.rule != DECISION:
            record = group.records[other]
            tie = _tie(value, group.records[at], record, is_listed=True)
            found.append(SharedElsewhere(name=record.name, tie=tie))
    return tuple(found)


def reason_of(shared: Iterable[TyingValue]) -> set[str]:
    """The rules that a reason lists, of all by which two records agree."""
    rules = {value.rule for value in shared}
    return rules - {"name"} if {"email", "phone"} <= rules else rules


def shown_value(value: TyingValue, record: GroupRecord) -> str:
    """The value as the record has it."""
    if value.rule == "id":
        return record.name.source_id
    return record.values.get(FIELD_OF_RULE.get(value.rule, "")) or value.compared.removeprefix(RAW)


def _tie(value: TyingValue, left: GroupRecord, right: GroupRecord, *, is_listed: bool) -> Tie:
    shown, other = shown_value(value, left), shown_value(value, right)
    is_unread = value.compared.startswith(RAW)
    return Tie(
        rule=value.rule,
        value=shown,
        other=other if other != shown else None,
        compared=value.compared if is_unread or other != shown else None,
        is_listed=is_listed,
    )
