"""The laws of decisions: what people decided holds in every batch, against a plain-Python reference over all pairs."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.decisions import DecidedRecord, Decision, DecisionKind, DecisionStore, Proposal
from service.decisions import store as store_module
from service.decisions.contradictions import Consistent
from service.decisions.partition import Partition
from service.decisions.store import RefusedDecision
from service.model import Rules
from service.pipeline.evidence import explain, rules_text
from service.pipeline.literal_cost import literal_cost
from service.pipeline.matched import Matched
from service.pipeline.matching.apart import groups_kept_apart
from service.pipeline.matching.grouping import Grouping, group
from service.pipeline.matching.literal import LiteralMatcher
from service.pipeline.quality import overmerge_risk, suspicious_values
from service.pipeline.survivorship import survive
from tests.sizes import examples, seeds
from tests.small_batches import AnyEngine
from tests.test_laws import Person, batches, random_batch, records_of

ORDER = ("decision", "id", "email", "phone", "name")
"""In which links are added."""
LITERAL = LiteralMatcher()


def key_of(people: Sequence[Person], ordinal: int) -> str:
    person = people[ordinal]
    return f"{person.source} id:{person.id}" if person.id else f"{person.source} content:{ordinal}"


def decision(number: int, kind: DecisionKind, one: str, other: str) -> Decision:
    records = DecidedRecord(one, "CRM", one), DecidedRecord(other, "CRM", other)
    return Proposal(kind, records, "Kim", "2024-01-15T12:00:00Z").numbered(number)


def consistent_decisions(r: random.Random, people: Sequence[Person], count: int) -> list[Decision]:
    """Random decisions about these records, without those that contradict one before them; a few lack a record."""
    keys = sorted({key_of(people, ordinal) for ordinal in range(len(people))})
    known, made = Consistent(), list[Decision]()
    for _ in range(count):
        one, other = r.choice(keys), r.choice([*keys, "CRM id:gone"])
        kind: DecisionKind = r.choice(("same", "different"))
        if one == other or known.known(kind, (min(one, other), max(one, other))):
            continue
        proposed = decision(len(made) + 1, kind, one, other)
        if known.against(kind, proposed.keys) is None:
            known.add(proposed)
            made.append(proposed)
    return made


# ------------------------------------------------------------------------------------------------ the reference


@dataclass
class Reference:
    """docs/specification.md section 5: every link of every pair, one after the other."""

    people: Sequence[Person]
    decisions: Sequence[Decision]

    def __post_init__(self) -> None:
        keys = [key_of(self.people, ordinal) for ordinal in range(len(self.people))]
        self.first = {key: ordinal for ordinal, key in reversed(list(enumerate(keys)))}
        self.attached = [it for it in self.decisions if set(it.keys) <= self.first.keys()]
        self.group = list(range(len(self.people)))
        for one, other in self.links():
            self.join(one, other)

    def pairs(self, kind: DecisionKind) -> list[tuple[int, int]]:
        of_kind = (it for it in self.attached if it.kind == kind)
        return [(self.first[it.left.key], self.first[it.right.key]) for it in of_kind]

    def links(self) -> Iterator[tuple[int, int]]:
        closure = closed(self.pairs("same"))
        for rule in ORDER:
            for one, other in combinations(range(len(self.people)), 2):
                if rule == "decision":
                    if closure.get(one, one) == closure.get(other, other):
                        yield one, other
                elif self.shares(rule, one, other):
                    yield one, other

    def shares(self, rule: str, one: int, other: int) -> bool:
        a, b = self.people[one], self.people[other]
        value = getattr(a, rule)
        return value is not None and value == getattr(b, rule) and (rule != "id" or a.source == b.source)

    def join(self, one: int, other: int) -> None:
        joined = {self.group[one], self.group[other]}
        for left, right in self.pairs("different"):
            if {self.group[left], self.group[right]} == joined and len(joined) == 2:
                return
        self.group = [min(joined) if label in joined else label for label in self.group]


def closed(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    label: dict[int, int] = {}
    pairs = list(pairs)
    for _ in pairs:
        for one, other in pairs:
            least = min(label.get(one, one), label.get(other, other))
            label[one] = label[other] = least
    return label


def grouped(engine: AnyEngine, people: Sequence[Person], decisions: Sequence[Decision]) -> Grouping:
    return group(records_of(engine, people), LITERAL, decisions, engine)


def labels_of(grouping: Grouping) -> list[int]:
    return [row[0] for row in grouping.groups.derive("select group_id from this order by ordinal").rows()]


# ----------------------------------------------------------------------------------------------- inside a batch


@pytest.mark.large
@given(people=batches(), seed=st.integers(0, 2**20), count=st.integers(1, 12))
@settings(max_examples=examples(100))
def test_the_groups_are_those_of_all_links_one_after_the_other(
    engine: AnyEngine, people: list[Person], seed: int, count: int
) -> None:
    decisions = consistent_decisions(random.Random(seed), people, count)
    reference = Reference(people, decisions)
    assert labels_of(grouped(engine, people, decisions)) == reference.group


@pytest.mark.parametrize("seed", seeds(12))
def test_of_larger_batches_they_are_too_and_decisions_hold(engine: AnyEngine, seed: int) -> None:
    r = random.Random(seed)
    people = random_batch(r, 60, r.choice((8, 25, 60)))
    decisions = consistent_decisions(r, people, r.choice((3, 20, 60)))
    found = grouped(engine, people, decisions)
    group_of = labels_of(found)
    assert group_of == Reference(people, decisions).group
    for attached in found.followed.attached:
        is_one = group_of[attached.left] == group_of[attached.right]
        assert is_one == (attached.decision.kind == "same"), attached
    members = {
        it.keys: [{group_of[o] for o in range(60) if key_of(people, o) == key} for key in it.keys] for it in decisions
    }
    for it in decisions:
        if it.kind == "different":
            assert not set.intersection(*members[it.keys]), "not even by another row with the same id"


@pytest.mark.parametrize("seed", seeds(6))
def test_the_order_in_which_decisions_were_made_does_not_count(engine: AnyEngine, seed: int) -> None:
    r = random.Random(seed)
    people = random_batch(r, 40, 12)
    decisions = consistent_decisions(r, people, 20)
    shuffled = r.sample(decisions, len(decisions))
    again = [replace(it, number=number) for number, it in enumerate(shuffled, 1)]
    assert labels_of(grouped(engine, people, decisions)) == labels_of(grouped(engine, people, again))


@pytest.mark.parametrize("seed", seeds(8))
def test_every_removed_record_has_a_reason_within_its_group(engine: AnyEngine, seed: int) -> None:
    r = random.Random(seed)
    people = random_batch(r, 60, 20)
    decisions = consistent_decisions(r, people, 30)
    reference = Reference(people, decisions)
    found = grouped(engine, people, decisions)
    group_of = labels_of(found)
    survivors = survive(records_of(engine, people), found.groups, Rules())
    evidence = explain(found.keys, found.groups, survivors, found.matcher, engine)
    rows = evidence.derive(f"select ordinal, via, {rules_text(found.matcher)} from this").rows()
    kept: dict[int, int] = dict(survivors.derive("select group_id, kept from this").rows())
    assert {row[0] for row in rows} == {o for o in range(60) if kept[group_of[o]] != o}
    closure = closed(reference.pairs("same"))
    via_of = {ordinal: via for ordinal, via, _ in rows}
    for ordinal, via, rules in rows:
        assert group_of[ordinal] == group_of[via]
        shared = {rule for rule in ORDER[1:] if reference.shares(rule, ordinal, via)}
        shared -= {"name"} if {"email", "phone"} <= shared else set()
        shared |= {"decision"} if closure.get(ordinal, ordinal) == closure.get(via, via) else set()
        assert set(rules.split("+")) == shared
        steps = 0
        while ordinal in via_of:
            ordinal, steps = via_of[ordinal], steps + 1
            assert steps <= 60, "the way to the kept record ends"


@pytest.mark.parametrize("seed", seeds(4))
def test_what_was_kept_apart_is_no_risk_any_more(engine: AnyEngine, seed: int) -> None:
    """Every claim of ``literal_cost.csv`` is about the records of one customer."""
    r = random.Random(seed)
    people = [replace(person, phone="one" if r.random() < 0.5 else person.phone) for person in random_batch(r, 60, 20)]
    decisions = [it for it in consistent_decisions(r, people, 60) if it.kind == "different"]
    records, found = records_of(engine, people), grouped(engine, people, decisions)
    assert found.followed.kept_apart
    survivors = survive(records, found.groups, Rules())
    evidence = explain(found.keys, found.groups, survivors, found.matcher, engine)
    matched = Matched(found.matcher, records, found.keys, found.groups, survivors, evidence)
    suspicious = suspicious_values(matched)
    placed = found.groups.derive("select ordinal, group_id as customer, group_id::varchar as unified_id from this")
    group_of = labels_of(found)
    listed = literal_cost(suspicious, matched, placed, None)
    shared = [row for row in listed.rows("select value, records, unified_ids from this where kind = 'phone'")]
    for value, records_with, unified_ids in shared:
        members = [o for o in range(60) if people[o].phone == value and group_of[o] == int(unified_ids)]
        assert len(members) == records_with
    many = {
        (person.phone, group_of[o])
        for o, person in enumerate(people)
        if person.phone is not None
        and len(
            {p.name for q, p in enumerate(people) if p.phone == person.phone and group_of[q] == group_of[o]} - {None}
        )
        > 3
    }
    assert {(value, int(ids)) for value, _, ids in shared} == many
    assert overmerge_risk(suspicious, matched).values_shared_by_many_names >= len(many)


def test_without_decisions_about_them_nothing_is_derived_from_the_keys(engine: AnyEngine) -> None:
    people = random_batch(random.Random(1), 30, 8)
    gone = decision(1, "same", "CRM id:gone", "CRM id:away")
    found = grouped(engine, people, [gone])
    assert found.matcher is LITERAL
    assert found.keys is found.values
    assert dict(found.followed.outcomes) == {1: "unattached"}


class CountingPartition(Partition):
    """Counts what it is asked to do."""

    joins = 0

    def join(self, one: int, other: int) -> int | None:
        CountingPartition.joins += 1
        return super().join(one, other)


@pytest.mark.large
def test_a_value_that_very_many_share_is_worked_on_once_for_each_group(monkeypatch: pytest.MonkeyPatch) -> None:
    size, apart = 100_000, 4
    monkeypatch.setattr("service.pipeline.matching.apart.Partition", CountingPartition)
    CountingPartition.joins = 0
    different = [(o, n) for n, pair in enumerate(combinations(range(apart), 2)) for o in pair]
    rows = sorted([(-1, ordinal, number) for ordinal, number in different] + [(2, o, 0) for o in range(size)])
    rank, ordinal, value = (np.array(column) for column in zip(*rows, strict=True))
    records, groups = groups_kept_apart(np.array([0]), rank, ordinal, value)
    assert len(records) == size
    assert sorted(set(groups.tolist())) == [0, 1, 2, 3]
    assert (groups[apart:] == 0).all()
    assert CountingPartition.joins <= apart * size


# ---------------------------------------------------------------------------------------------------- the store


def proposal(kind: DecisionKind, one: str, other: str) -> Proposal:
    return Proposal(kind, (DecidedRecord(one, "CRM", one), DecidedRecord(other, "CRM", other)), "Kim", "2024-01-15")


@pytest.mark.parametrize("seed", range(30))
def test_a_contradiction_is_refused_when_it_is_made_and_its_advice_works(tmp_path: Path, seed: int) -> None:
    r = random.Random(seed)
    store = DecisionStore(tmp_path)
    refusals = 0
    for _ in range(40):
        one, other = r.sample("ABCDEFGH", 2)
        wanted = proposal(r.choice(("same", "different")), one, other)
        before = store.all()
        in_force = {it.number: it for it in before if it.undone_at is None}
        expected = contradicts(wanted, list(in_force.values()))
        try:
            (made,) = store.add([wanted])
        except RefusedDecision as refused:
            refusals += 1
            assert expected
            assert store.all() == before
            because = [in_force[number] for number in refused.contradiction.because]
            assert contradicts(wanted, because), "these alone contradict it"
            store.undo(refused.contradiction.to_undo, "Kim", "2024-01-16")
            (made,) = store.add([wanted])
        else:
            assert not expected
        assert (made.kind, {made.left.key, made.right.key}) == (wanted.kind, {one, other})
    assert refusals > 3


def contradicts(wanted: Proposal, decisions: Sequence[Decision]) -> bool:
    """By closure over all of them, whatever the order."""
    names = {letter: position for position, letter in enumerate("ABCDEFGH")}
    pairs = [(names[it.left.key], names[it.right.key]) for it in decisions if it.kind == "same"]
    one, other = (names[it.key] for it in wanted.records)
    closure = closed([*pairs, (one, other)] if wanted.kind == "same" else pairs)
    apart = [(names[it.left.key], names[it.right.key]) for it in decisions if it.kind == "different"]
    apart += [(one, other)] if wanted.kind == "different" else []
    return any(closure.get(left, left) == closure.get(right, right) for left, right in apart)


@pytest.mark.parametrize("seed", range(10))
def test_what_decisions_say_about_two_records_is_the_answer_whose_contrary_contradicts_them(seed: int) -> None:
    r = random.Random(seed)
    people = [Person("CRM", letter, None, None, None) for letter in "ABCDEFGH"]
    decisions = [it for it in consistent_decisions(r, people, 12) if "CRM id:gone" not in it.keys]
    lettered = [decision(it.number, it.kind, *(key.removeprefix("CRM id:") for key in it.keys)) for it in decisions]
    consistent = Consistent(decisions)
    for one, other in combinations("ABCDEFGH", 2):
        contraries: list[DecisionKind] = [
            kind for kind in ("same", "different") if contradicts(proposal(kind, one, other), lettered)
        ]
        said = consistent.said((f"CRM id:{one}", f"CRM id:{other}"))
        assert contraries == ([] if said is None else ["different" if said == "same" else "same"])


def test_a_decision_that_is_in_force_is_not_made_twice(tmp_path: Path) -> None:
    store = DecisionStore(tmp_path)
    first = store.add([proposal("same", "B", "A")])
    assert store.add([proposal("same", "A", "B")]) == first
    assert [it.number for it in store.all()] == [1]


def test_several_decisions_are_made_all_or_none(tmp_path: Path) -> None:
    store = DecisionStore(tmp_path)
    with pytest.raises(RefusedDecision) as refused:
        store.add([proposal("same", "A", "B"), proposal("same", "B", "C"), proposal("different", "A", "C")])
    assert (refused.value.index, refused.value.new) == (2, {1: 0, 2: 1})
    assert store.all() == []


def test_nothing_is_ever_deleted_and_no_number_is_given_again(tmp_path: Path) -> None:
    store = DecisionStore(tmp_path)
    store.add([proposal("same", "A", "B"), proposal("same", "C", "D")])
    store.undo([2], "Lee", "2024-01-16")
    (third,) = store.add([proposal("different", "C", "D")])
    assert third.number == 3
    assert [(it.number, it.undone_by, it.undone_at) for it in store.all()] == [
        (1, None, None),
        (2, "Lee", "2024-01-16"),
        (3, None, None),
    ]
    assert [it.number for it in store.in_force()] == [1, 3]


def test_a_store_that_another_process_creates_at_the_same_moment_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last_look(db: sqlite3.Connection) -> int:
        monkeypatch.undo()  # the other process creates it right after this one saw that there is none
        DecisionStore(tmp_path).add([proposal("same", "A", "B")])
        return 0

    monkeypatch.setattr(store_module, "_format_of", last_look)
    (second,) = DecisionStore(tmp_path).add([proposal("same", "C", "D")])
    assert second.number == 2
    assert [it.number for it in DecisionStore(tmp_path).all()] == [1, 2]
