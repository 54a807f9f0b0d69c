"""Ids are stable: the register compared with a model in plain Python, over many batches."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.model import PublishedMaster
from service.register import Identified, Register
from service.register.assignment import EXACT_UP_TO, assign
from tests.sizes import examples, seeds
from tests.small_batches import AnyEngine, table_of

Groups = list[list[str]]
"""The groups of a batch in order of first appearance, each a list of record keys."""
Change = tuple[str, str, str, str]
"""unified_id, change, from_ids, to_ids."""

IN_LAST = 1 << 32  # one record of the last set that had its customer outweighs all others


# ------------------------------------------------------------------------------------------------- the model


@dataclass
class Model:
    """The register as docs/specification.md section 6 defines it, in dictionaries."""

    state: dict[int, str] = field(default_factory=dict)
    customer_of: dict[str, tuple[int, bool]] = field(default_factory=dict)

    def overlaps(self, groups: Groups) -> list[tuple[int, int, int]]:
        weights: dict[tuple[int, int], int] = {}
        for group, keys in enumerate(groups):
            for key in set(keys) & self.customer_of.keys():
                customer, in_last = self.customer_of[key]
                if self.state[customer] != "merged":
                    weights[customer, group] = weights.get((customer, group), 0) + 1 + in_last * IN_LAST
        return [(customer, group, weight) for (customer, group), weight in weights.items()]

    def identify(self, groups: Groups) -> tuple[list[int], list[Change]]:
        """The number of each group, and the changes; the model advances to its next state."""
        chosen = best(self.overlaps(groups))
        free = iter(range(max(self.state, default=0) + 1, 10**6))
        numbers = [chosen[group] if group in chosen else next(free) for group in range(len(groups))]
        moves: dict[int, dict[int, int]] = {}
        for number, keys in zip(numbers, groups, strict=True):
            for key in set(keys) & self.customer_of.keys():
                was, in_last = self.customer_of[key]
                if in_last and self.state[was] != "merged":
                    moves.setdefault(was, {})[number] = moves.setdefault(was, {}).get(number, 0) + 1
        changes = self._changes(numbers, moves)
        self._advance(groups, numbers, moves)
        return numbers, changes

    def _changes(self, numbers: list[int], moves: dict[int, dict[int, int]]) -> list[Change]:
        arrived: dict[int, list[int]] = {}
        for was, targets in moves.items():
            for now in targets:
                arrived.setdefault(now, []).append(was)
        found: list[tuple[int, str, list[int], list[int]]]
        found = [(n, "created", [], [n]) for n in numbers if self.state and n not in self.state and n not in arrived]
        found += [(n, "merged", sorted(come), [n]) for n, come in arrived.items() if len(come) > 1]
        found += [(n, "split", [n], sorted(targets)) for n, targets in moves.items() if len(targets) > 1]
        for number, state in self.state.items():
            if state == "live" and number not in moves and number not in numbers:
                found.append((number, "retired", [number], []))
            if state == "retired" and number in numbers:
                found.append((number, "revived", [number], [number]))
        return [
            (f"CUST{number:03}", change, ",".join(f"CUST{n:03}" for n in was), ",".join(f"CUST{n:03}" for n in now))
            for number, change, was, now in sorted(found)
        ]

    def _advance(self, groups: Groups, numbers: list[int], moves: dict[int, dict[int, int]]) -> None:
        for number, state in self.state.items():
            if number not in numbers and state != "merged":
                self.state[number] = "merged" if number in moves else "retired"
        self.state |= dict.fromkeys(numbers, "live")
        present = {key: number for number, keys in zip(numbers, groups, strict=True) for key in keys}
        for key, (customer, in_last) in self.customer_of.items():
            self.customer_of[key] = customer, in_last and self.state[customer] == "retired"
        self.customer_of |= {key: (number, True) for key, number in present.items()}


def best(overlaps: Sequence[tuple[int, int, int]]) -> dict[int, int]:
    """The matching that keeps most records; ties: the lower numbers, then the earlier groups."""
    weight = {(customer, group): shared for customer, group, shared in overlaps}
    customers = sorted({customer for customer, _ in weight})

    def ways(left: list[int], taken: frozenset[int]) -> Iterator[dict[int, int]]:
        if not left:
            yield {}
            return
        for rest in ways(left[1:], taken):
            yield rest
        for group in sorted({g for c, g in weight if c == left[0]} - taken):
            for rest in ways(left[1:], taken | {group}):
                yield {group: left[0], **rest}

    def merit(way: dict[int, int]) -> tuple[int, list[bool], list[int]]:
        group_of = {customer: group for group, customer in way.items()}
        kept = [customer in group_of for customer in customers]
        return sum(weight[c, g] for g, c in way.items()), kept, [-group_of[c] for c in customers if c in group_of]

    return max(ways(customers, frozenset()), key=merit)


# -------------------------------------------------------------------------------------------- the register


class Batches:
    """A register in a temporary folder, and batches that are given to it one after another."""

    def __init__(self, engine: AnyEngine, state: Path) -> None:
        self.engine = engine
        self.register = Register(state)
        self.register.open()
        self.given = 0

    def identify(self, groups: Groups) -> Identified:
        keys = [(key, number) for number, group in enumerate(groups) for key in group]
        first = {number: ordinal for ordinal, (_, number) in reversed(list(enumerate(keys)))}
        columns: dict[str, list[Any]] = {
            "ordinal": list(range(len(keys))),
            "record_key": [key for key, _ in keys],
            "source": [key.partition(" ")[0] for key, _ in keys],
            "has_id": [" id:" in key for key, _ in keys],
        }
        records = table_of(self.engine, columns)
        members = {"ordinal": list(range(len(keys))), "group_id": [first[number] for _, number in keys]}
        groups_table = table_of(self.engine, members).derive(
            "select ordinal::bigint as ordinal, group_id::bigint as group_id from this"
        )
        return self.register.identify(records, records.codes({"id": "record_key"}), groups_table, self.engine)

    def publish(self, identified: Identified) -> None:
        self.given += 1
        self.register.stage(identified, PublishedMaster(f"batch{self.given}"))
        self.register.advance(f"batch{self.given}")

    def next(self, groups: Groups) -> tuple[list[int], list[Change]]:
        """Numbers of the groups, and the rows of id_changes.csv."""
        identified = self.identify(groups)
        self.publish(identified)
        changes = identified.changes.derive(
            "select unified_id, change, from_ids, to_ids from this order by number, change"
        )
        numbers = identified.customers.derive("select customer from this order by group_id").rows()
        return [row[0] for row in numbers], [(a, b, c or "", d or "") for a, b, c, d in changes.rows()]


@st.composite
def histories(draw: st.DrawFn) -> list[Groups]:
    """A few batches of a few records in random groups; a record may be in a batch twice."""
    history: list[Groups] = []
    for _ in range(draw(st.integers(2, 5))):
        labels = draw(st.lists(st.tuples(st.sampled_from("ABCDEFG"), st.integers(0, 3)), max_size=9))
        label_of = {key: label for key, label in labels}
        groups: dict[int, list[str]] = {}
        for key, _ in labels:
            groups.setdefault(label_of[key], []).append(key)
        history.append(list(groups.values()))
    return history


@given(history=histories())
@settings(max_examples=examples(25), deadline=None)
def test_the_register_agrees_with_the_model(
    engine: AnyEngine, tmp_path_factory: pytest.TempPathFactory, history: list[Groups]
) -> None:
    batches, model = Batches(engine, tmp_path_factory.mktemp("state")), Model()
    for groups in history:
        assert batches.next(groups) == model.identify(groups)


@pytest.mark.parametrize("seed", seeds(4))
def test_over_many_batches_no_id_is_reused_or_given_to_unrelated_records(
    engine: AnyEngine, tmp_path: Path, seed: int
) -> None:
    r = random.Random(seed)
    batches, model = Batches(engine, tmp_path), Model()
    ever: dict[int, set[str]] = {}
    for _ in range(10):
        keys = r.sample("ABCDEFGHIJKLMNOPQRST", r.randrange(21))
        groups: dict[int, list[str]] = {}
        for key in keys:
            groups.setdefault(r.randrange(8), []).append(key)
        former = {key: customer for key, (customer, _) in model.customer_of.items()}
        numbers, changes = batches.next(list(groups.values()))
        assert (numbers, changes) == model.identify(list(groups.values()))
        assert len(set(numbers)) == len(numbers)
        for number, members in zip(numbers, groups.values(), strict=True):
            if number in ever:
                assert number in {former.get(key) for key in members}, "an id went to unrelated records"
            else:
                assert number > max(ever, default=0), "an id was reused"
        for number, members in zip(numbers, groups.values(), strict=True):
            ever.setdefault(number, set()).update(members)
    assert len(ever) > 8


# ------------------------------------------------------------------------------------------------- examples

STORIES: dict[str, tuple[list[Groups], list[int], list[Change]]] = {
    "a growing customer keeps its id": ([[["A"]], [["A", "B"]]], [1], []),
    "a shrinking customer keeps its id": ([[["A", "B"]], [["B"]]], [1], []),
    "order does not matter": ([[["A"], ["B"], ["C"]], [["C"], ["A"], ["B"]]], [3, 1, 2], []),
    "a new customer counts up": ([[["A"]], [["B"], ["A"]]], [2, 1], [("CUST002", "created", "", "CUST002")]),
    "of a merge the largest part survives": (
        [[["A"], ["B", "C"]], [["A", "B", "C"]]],
        [2],
        [("CUST002", "merged", "CUST001,CUST002", "CUST002")],
    ),
    "of a merge of equals the lower id survives": (
        [[["A"], ["B"]], [["B", "A"]]],
        [1],
        [("CUST001", "merged", "CUST001,CUST002", "CUST001")],
    ),
    "of a split the largest part keeps the id": (
        [[["A", "B", "C"]], [["A"], ["B", "C"]]],
        [2, 1],
        [("CUST001", "split", "CUST001", "CUST001,CUST002")],
    ),
    "of a split of equals the first part keeps the id": (
        [[["A", "B"]], [["B"], ["A"]]],
        [1, 2],
        [("CUST001", "split", "CUST001", "CUST001,CUST002")],
    ),
    "a record that moves changes hands": (
        [[["A", "B"], ["C"]], [["A"], ["B", "C"]]],
        [1, 2],
        [("CUST001", "split", "CUST001", "CUST001,CUST002"), ("CUST002", "merged", "CUST001,CUST002", "CUST002")],
    ),
    "a customer without records is retired": ([[["A"], ["B"]], [["B"]]], [2], [("CUST001", "retired", "CUST001", "")]),
    "a retired id is not reused": (
        [[["A"], ["B"]], [["B"]], [["C"], ["B"]]],
        [3, 2],
        [("CUST003", "created", "", "CUST003")],
    ),
    "a retired customer comes back": (
        [[["A"], ["B"]], [["B"]], [["B"], ["A"]]],
        [2, 1],
        [("CUST001", "revived", "CUST001", "CUST001")],
    ),
    "an alias stays an alias": (
        [[["A"], ["B"]], [["A", "B"]], [["A"], ["B"]]],
        [1, 3],
        [("CUST001", "split", "CUST001", "CUST001,CUST003")],
    ),
    "an empty batch": ([[["A"]], []], [], [("CUST001", "retired", "CUST001", "")]),
    "a record that was away counts less than one that stayed": (
        [[["A", "B", "C"]], [["A"]], [["A"], ["B", "C"]]],
        [1, 2],
        [("CUST002", "created", "", "CUST002")],
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_an_id_follows_its_records(engine: AnyEngine, tmp_path: Path, story: str) -> None:
    history, numbers, changes = STORIES[story]
    batches = Batches(engine, tmp_path)
    for groups in history[:-1]:
        batches.next(groups)
    assert batches.next(history[-1]) == (numbers, changes)


def test_ids_have_three_digits_or_more(engine: AnyEngine, tmp_path: Path) -> None:
    identified = Batches(engine, tmp_path).identify([[f"R{i}"] for i in range(1001)])
    ids = [row[0] for row in identified.customers.derive("select unified_id from this order by customer").rows()]
    assert (ids[0], ids[998], ids[999], ids[1000]) == ("CUST001", "CUST999", "CUST1000", "CUST1001")


def test_a_generation_is_in_force_only_after_advance(engine: AnyEngine, tmp_path: Path) -> None:
    batches = Batches(engine, tmp_path)
    batches.next([["A"], ["B"]])
    batches.register.stage(batches.identify([["X"]]), PublishedMaster("unpublished"))
    assert batches.register.published() == PublishedMaster("batch1")
    # A crash before the commit: nothing has happened.
    again = Register(tmp_path)
    again.recover(lambda batch_id: False)
    assert [path.name for path in sorted((tmp_path / "register").iterdir())] == ["batch1", "current"]
    assert batches.next([["B"]])[0] == [2]
    # A crash after the commit: it rolls forward.
    batches.register.stage(batches.identify([["B"], ["C"]]), PublishedMaster("committed"))
    Register(tmp_path).recover(lambda batch_id: batch_id == "committed")
    published = Register(tmp_path).published()
    assert published is not None and published.batch_id == "committed"
    assert batches.next([["C"], ["B"]]) == ([3, 2], [])


def test_integrating_a_batch_again_keeps_the_generation_in_force(engine: AnyEngine, tmp_path: Path) -> None:
    batches = Batches(engine, tmp_path)
    batches.next([["A"], ["B"]])
    # Its set was removed, so it is integrated again under its own id; then the process dies before the commit.
    batches.register.stage(batches.identify([["A"], ["B"]]), PublishedMaster("batch1"))
    Register(tmp_path).recover(lambda batch_id: False)
    assert Register(tmp_path).published() == PublishedMaster("batch1")
    assert batches.next([["B"], ["A"], ["C"]])[0] == [2, 1, 3]


# ------------------------------------------------------------------------------------------------ assignment


@given(st.dictionaries(st.tuples(st.integers(1, 5), st.integers(10, 14)), st.integers(1, 4), max_size=12))
@settings(max_examples=examples(300), deadline=None)
def test_the_assignment_keeps_most_records_and_ties_go_to_the_lower_number(weights: dict[tuple[int, int], int]) -> None:
    overlaps = [(customer, group, shared) for (customer, group), shared in weights.items()]
    assert assign(overlaps) == dict(sorted(best(overlaps).items()))
    assert assign(overlaps[::-1]) == assign(overlaps)


def test_a_large_tangle_is_matched_validly_and_fast() -> None:
    r = random.Random(3)
    for size in (EXACT_UP_TO, 3000):
        overlaps = {(r.randrange(size), r.randrange(size)): r.randrange(1, 9) for _ in range(size * 4)}
        started = time.monotonic()
        found = assign([(customer, group, shared) for (customer, group), shared in overlaps.items()])
        assert time.monotonic() - started < 60
        assert len(set(found.values())) == len(found) > size // 2
        assert all((customer, group) in overlaps for group, customer in found.items())
