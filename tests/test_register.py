"""Ids are stable: the register compared with a model in plain Python, over many batches."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.contract import Table
from service.model import PublishedMaster
from service.pipeline.fields.source_id import id_key
from service.register import Identified, Register
from service.register.assignment import EXACT_UP_TO, assign
from tests.sizes import REGISTER_HISTORIES, examples, seeds
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
    had: dict[int, set[str]] = field(default_factory=dict)
    """Alias -> the records that it had when it was merged."""

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
        claims = self.claims(groups)
        chosen = {group: alias for group, (alias, _) in claims.items()}
        chosen |= best(self.overlaps(groups), {group: records for group, (_, records) in claims.items()})
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

    def claims(self, groups: Groups) -> dict[int, tuple[int, int]]:
        """Group -> the alias that it may take back, because it has more than half of its records, and how many."""
        found: dict[int, tuple[int, int]] = {}
        for group, keys in enumerate(groups):
            held = {
                alias: len(had & set(keys)) for alias, had in self.had.items() if 2 * len(had & set(keys)) > len(had)
            }
            if held:
                alias = min(held, key=lambda alias: (-held[alias], alias))
                found[group] = alias, held[alias]
        return found

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
            if state != "live" and number in numbers:
                found.append((number, "revived", [number], [number]))
        return [
            (f"CUST{number:03}", change, ",".join(f"CUST{n:03}" for n in was), ",".join(f"CUST{n:03}" for n in now))
            for number, change, was, now in sorted(found)
        ]

    def _advance(self, groups: Groups, numbers: list[int], moves: dict[int, dict[int, int]]) -> None:
        for number, state in self.state.items():
            if number in numbers:
                self.had.pop(number, None)
            elif state != "merged":
                self.state[number] = "merged" if number in moves else "retired"
                if number in moves:
                    self.had[number] = {key for key, last in self.customer_of.items() if last == (number, True)}
        self.state |= dict.fromkeys(numbers, "live")
        present = {key: number for number, keys in zip(numbers, groups, strict=True) for key in keys}
        for key, (customer, in_last) in self.customer_of.items():
            self.customer_of[key] = customer, in_last and self.state[customer] == "retired"
        self.customer_of |= {key: (number, True) for key, number in present.items()}


def best(overlaps: Sequence[tuple[int, int, int]], claimed: Mapping[int, int] | None = None) -> dict[int, int]:
    """The matching that keeps most records; ties: most groups, the least ``claimed``, the lower numbers, early groups.

    ``claimed``: group -> the records that it has of an alias.
    """
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

    def merit(way: dict[int, int]) -> tuple[int, int, int, list[bool], list[int]]:
        group_of = {customer: group for group, customer in way.items()}
        kept = [customer in group_of for customer in customers]
        kept_records = sum(weight[customer, group] for group, customer in way.items())
        left = sum((claimed or {}).get(group, 0) for group in way)
        return kept_records, len(way), -left, kept, [-group_of[c] for c in customers if c in group_of]

    return max(ways(customers, frozenset()), key=merit)


# -------------------------------------------------------------------------------------------- the register


class Batches:
    """A register in a temporary folder, and batches that are given to it one after another."""

    def __init__(self, engine: AnyEngine, state: Path) -> None:
        self.engine = engine
        self.register = Register(state)
        self.register.open()
        self.given = 0

    def identify(self, groups: Groups, former_keys: Table | None = None) -> Identified:
        keys = [(key, number) for number, group in enumerate(groups) for key in group]
        first = {number: ordinal for ordinal, (_, number) in reversed(list(enumerate(keys)))}
        columns: dict[str, list[Any]] = {
            "ordinal": list(range(len(keys))),
            "record_key": [key for key, _ in keys],
            "source": [key.partition(" ")[0] for key, _ in keys],
            "has_id": [" id:" in key for key, _ in keys],
        }
        # The columns of an empty list have no types of their own.
        records = table_of(self.engine, columns).derive(
            "select ordinal::bigint as ordinal, record_key::varchar as record_key, source::varchar as source, "
            "has_id::boolean as has_id from this"
        )
        members = {"ordinal": list(range(len(keys))), "group_id": [first[number] for _, number in keys]}
        groups_table = table_of(self.engine, members).derive(
            "select ordinal::bigint as ordinal, group_id::bigint as group_id from this"
        )
        keys_table = records.codes({"id": "record_key"})
        return self.register.identify(records, keys_table, groups_table, self.engine, former_keys)

    def publish(self, identified: Identified) -> None:
        self.given += 1
        self.register.stage(identified, PublishedMaster(f"batch{self.given}"))
        self.register.advance(f"batch{self.given}")

    def customers(self) -> dict[int, tuple[str, int | None]]:
        """State and, of an alias, the customer that it was merged into."""
        rows = self.register.tables(self.engine).customers.rows("select customer, state, merged_into from this")
        return {customer: (state, merged_into) for customer, state, merged_into in rows}

    def next(self, groups: Groups, former_keys: Table | None = None) -> tuple[list[int], list[Change]]:
        """Numbers of the groups, and the rows of id_changes.csv."""
        identified = self.identify(groups, former_keys)
        self.publish(identified)
        changes = identified.changes.sorted("number, change")
        rows = changes.rows("select unified_id, change, from_ids, to_ids from this")
        numbers = identified.customers.derive("select customer from this order by group_id").rows()
        return [row[0] for row in numbers], [(a, b, c or "", d or "") for a, b, c, d in rows]


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


@pytest.mark.large
@given(history=histories())
@settings(max_examples=examples(25))
def test_the_register_agrees_with_the_model(
    engine: AnyEngine, tmp_path_factory: pytest.TempPathFactory, history: list[Groups]
) -> None:
    batches, model = Batches(engine, tmp_path_factory.mktemp("state")), Model()
    for groups in history:
        assert batches.next(groups) == model.identify(groups)


def walk(seed: int, steps: int) -> list[Groups]:
    """A history in which groups merge, part, exchange records, come and go, and in which former groupings return."""
    r, groups, history = random.Random(seed), [[key] for key in "ABCDEFGH"], list[Groups]()
    for _ in range(steps):
        for _ in range(r.randint(1, 2)):
            groups = _stepped(r, groups, history)
        r.shuffle(groups)
        history.append([list(group) for group in groups])
    return history


def _stepped(r: random.Random, groups: Groups, history: list[Groups]) -> Groups:
    groups = [list(group) for group in groups]
    match r.choice(("merge", "merge", "part", "move", "leave", "arrive", "return", "return")):
        case "merge" if len(groups) > 1:
            one, other = r.sample(groups, 2)
            one += other
            groups.remove(other)
        case "part" if groups:
            one = r.choice(groups)
            groups.append([one.pop() for _ in range(len(one) // 2)])
        case "move" if groups:
            key = r.choice(groups).pop()
            r.choice(groups).append(key)
        case "leave" if groups:
            r.choice(groups).pop()
        case "arrive":
            absent = set("ABCDEFGHIJKLMNOP").difference(*groups)
            groups.append(r.sample(sorted(absent), min(len(absent), 2)))
        case "return" if history:
            groups = [list(group) for group in r.choice(history[-4:])]
    return [group for group in groups if group]


SEEDS = seeds(REGISTER_HISTORIES)


@pytest.mark.parametrize("seed", SEEDS)
def test_over_a_random_history_the_laws_of_ids_hold(fresh_engine: AnyEngine, tmp_path: Path, seed: int) -> None:
    batches, model = Batches(fresh_engine, tmp_path), Model()
    for groups in walk(seed, 12):
        before = deepcopy(model)
        numbers, changes = batches.next(groups)
        assert (numbers, changes) == model.identify(groups)
        check_ids(before, groups, numbers)
        assert batches.customers().keys() == before.state.keys() | set(numbers), "an id was lost"
        assert all(resolved(batches.customers(), number) in {*numbers, None} for number in batches.customers())


def check_ids(before: Model, groups: Groups, numbers: list[int]) -> None:
    """The laws of ids: none is reused or goes to unrelated records, and as many records as can be keep theirs."""
    assert len(set(numbers)) == len(numbers)
    for number, members in zip(numbers, groups, strict=True):
        if number not in before.state:
            assert number > max(before.state, default=0), "an id was reused"
        elif before.state[number] == "merged":
            had = before.had[number]
            assert 2 * len(had & set(members)) > len(had), "an alias went to unrelated records"
        else:
            former = {before.customer_of[key][0] for key in members if key in before.customer_of}
            assert number in former, "an id went to unrelated records"
    assert kept_records(before.customer_of, numbers, groups) == most_kept_records(before.customer_of, groups)


def kept_records(former: dict[str, tuple[int, bool]], numbers: list[int], groups: Groups) -> int:
    """How many records of customers as they last were keep their id."""
    return sum(former.get(key) == (number, True) for number, keys in zip(numbers, groups, strict=True) for key in keys)


def most_kept_records(former: dict[str, tuple[int, bool]], groups: Groups) -> int:
    """How many could keep their id, over all ways to give the former ids to groups."""
    held = [Counter(former[key][0] for key in keys if key in former and former[key][1]) for keys in groups]
    most = {frozenset[int](): 0}
    for counts in held:
        for taken_before, kept in list(most.items()):
            for number in counts.keys() - taken_before:
                taken = taken_before | {number}
                most[taken] = max(most.get(taken, 0), kept + counts[number])
    return max(most.values())


def resolved(customers: dict[int, tuple[str, int | None]], number: int) -> int | None:
    """The live customer that a number stands for; None for a retired one."""
    seen: set[int] = set()
    while customers[number][0] == "merged":
        assert number not in seen, "aliases run in a circle"
        seen.add(number)
        number = customers[number][1] or 0
    return number if customers[number][0] == "live" else None


def test_random_histories_bring_aliases_back() -> None:
    """Else the laws above say nothing about them."""
    revived = 0
    for seed in range(20):
        model = Model()
        for groups in walk(seed, 12):
            merged = {number for number, state in model.state.items() if state == "merged"}
            revived += len(merged.intersection(model.identify(groups)[0]))
    assert revived > 20


@pytest.mark.large
@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_merged_and_is_parted_as_before_has_its_former_ids(
    fresh_engine: AnyEngine, tmp_path: Path, seed: int
) -> None:
    """Groups merge step by step into one. Undone one by one, the last one first, each grouping has its former ids."""
    r = random.Random(seed)
    batches, ids_of = Batches(fresh_engine, tmp_path), dict[frozenset[frozenset[str]], dict[frozenset[str], int]]()
    keys, parts = r.sample("ABCDEFGHIJKL", 12), list[list[str]]()
    while keys:
        size = r.randint(1, 4)
        parts.append(keys[:size])
        keys = keys[size:]
    history = [parts]
    while len(history[-1]) > 1:
        one, other, *others = r.sample(history[-1], len(history[-1]))
        history.append([one + other, *others])
    for groups in history + history[-2::-1]:
        groups = r.sample(groups, len(groups))
        ids = {frozenset(keys): number for keys, number in zip(groups, batches.next(groups)[0], strict=True)}
        assert ids_of.setdefault(frozenset(ids), ids) == ids


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
    "an alias comes back": (
        [[["A"], ["B"]], [["A", "B"]], [["A"], ["B"]]],
        [1, 2],
        [("CUST001", "split", "CUST001", "CUST001,CUST002"), ("CUST002", "revived", "CUST002", "CUST002")],
    ),
    "an alias comes back in any order of the rows": (
        [[["A"], ["B"]], [["B", "A"]], [["B"], ["A"]]],
        [2, 1],
        [("CUST001", "split", "CUST001", "CUST001,CUST002"), ("CUST002", "revived", "CUST002", "CUST002")],
    ),
    "an alias comes back with most of its records, and with others": (
        [
            [["A", "B", "C", "D"], ["E", "F", "G"]],
            [["A", "B", "C", "D", "E", "F", "G"]],
            [["E", "F", "X"], list("ABCDG")],
        ],
        [2, 1],
        [("CUST001", "split", "CUST001", "CUST001,CUST002"), ("CUST002", "revived", "CUST002", "CUST002")],
    ),
    "an alias does not come back with half of its records": (
        [[["A", "B"], ["C", "D"]], [["A", "B", "C", "D"]], [["A", "B", "C"], ["D"]]],
        [1, 3],
        [("CUST001", "split", "CUST001", "CUST001,CUST003")],
    ),
    "an alias comes back with records that were away": (
        [[["A", "B"], ["C"]], [["A", "B", "C"]], [["A", "B"]], [["A", "B"], ["C"]]],
        [1, 2],
        [("CUST002", "revived", "CUST002", "CUST002")],
    ),
    "a record that left before the merge is none of the alias's": (
        [[["A", "B"], ["C", "D"]], [["A", "B"], ["C"]], [["A", "B", "C"]], [["A", "B", "C"], ["D"]]],
        [1, 3],
        [("CUST003", "created", "", "CUST003")],
    ),
    "of two aliases the one with more records comes back": (
        [[list("ABCD"), ["E"], ["F", "G"]], [list("ABCDEFG")], [list("ABCD"), ["E", "F", "G"]]],
        [1, 3],
        [("CUST001", "split", "CUST001", "CUST001,CUST003"), ("CUST003", "revived", "CUST003", "CUST003")],
    ),
    "of two aliases with as many records the lower comes back": (
        [[list("ABCD"), ["E"], ["F"]], [list("ABCDEF")], [list("ABCD"), ["F", "E"]]],
        [1, 2],
        [("CUST001", "split", "CUST001", "CUST001,CUST002"), ("CUST002", "revived", "CUST002", "CUST002")],
    ),
    "of a split the largest part keeps the id, whatever aliases it has": (
        [[["A"], ["B"]], [["A", "B", "C"]], [["A"], ["B", "C"]]],
        [3, 1],
        [("CUST001", "split", "CUST001", "CUST001,CUST003")],
    ),
    "an alias that was merged twice comes back first": (
        [[["A"], list("BC"), list("DEFG")], [list("ABC"), list("DEFG")], [list("ABCDEFG")], [["A"], list("BCDEFG")]],
        [1, 3],
        [("CUST001", "revived", "CUST001", "CUST001"), ("CUST003", "split", "CUST003", "CUST001,CUST003")],
    ),
    "an alias that was merged twice comes back last": (
        [
            *[[["A"], list("BC"), list("DEFG")], [list("ABC"), list("DEFG")], [list("ABCDEFG")]],
            *[[list("ABC"), list("DEFG")], [["A"], list("BC"), list("DEFG")]],
        ],
        [1, 2, 3],
        [("CUST001", "revived", "CUST001", "CUST001"), ("CUST002", "split", "CUST002", "CUST001,CUST002")],
    ),
    "an alias is merged again, with the records that it has then": (
        [
            *[[["A", "B"], ["C"]], [["A", "B", "C"]], [["A", "B"], ["C", "D", "E"]]],
            *[[["A", "B", "F", "G", "H", "C", "D", "E"]], [["A", "B", "F", "G", "H", "D", "E"], ["C"]]],
        ],
        [2, 3],
        [("CUST002", "split", "CUST002", "CUST002,CUST003")],
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


def test_the_records_of_an_alias_follow_the_rules_for_keys(engine: AnyEngine, tmp_path: Path) -> None:
    engine.register("id_key", id_key)
    batches = Batches(engine, tmp_path)
    batches.next([["CRM 1"], ["CRM 2"]])
    batches.next([["CRM 1", "CRM 2"]])
    keys = table_of(engine, {"record_key": ["CRM I", "CRM II"], "former_key": ["CRM 1", "CRM 2"]})
    assert batches.next([["CRM II"], ["CRM I"]], keys)[0] == [2, 1]


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
@settings(max_examples=examples(300))
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
