"""Ids over whole histories, from drops to published files: exports change, people decide and undo, batches are killed.

The grouping and the register are compared with their plain-Python references, the files with a second run of the same
history, and the customers with those of a service that sees its end alone.
"""

from __future__ import annotations

import os
import random
import signal
import string
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from service.decisions import DecisionStore
from tests import warm
from tests.sizes import ID_HISTORIES
from tests.small_batches import crm_text, ecom_text
from tests.test_decisions import Reference, key_of
from tests.test_laws import Person
from tests.test_register import Change, Groups, Model, check_ids
from tests.worlds import House

pytestmark = pytest.mark.large

BATCHES = 6
SETTINGS = {"settle_seconds": "0.2", "rescan_seconds": "0.1", "retry_seconds": "0.05", "threads": "1"}
MOST_SECONDS = 1.0
"""A batch is killed within this time, often before it is published and sometimes after."""
DETERMINED = (
    *("customer_master.csv", "duplicate_report.csv", "crosswalk.csv", "match_evidence.csv", "id_changes.csv"),
    *("register_customers.csv", "literal_cost.csv"),
)
"""Files of a set that hold no time."""
_VALUES = 9
_NAMES = [f"Kim {first}{second}" for first, second in product(string.ascii_uppercase, string.ascii_lowercase)]


class Past:
    """A history in a house. The seed alone decides what is dropped and decided, whatever is killed."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.people: list[Person] = []
        self._chance = random.Random(seed)
        self._names = iter(self._chance.sample(_NAMES, len(_NAMES)))
        self._add(8)

    def next(self, kills: random.Random | None) -> str:
        """Decide about the customers so far, change the exports, and publish them; returns the batch.

        ``kills``: when the batch is killed before it is done.
        """
        if self.house.batches():
            self._decide()
            for _ in range(self._chance.randint(1, 3)):
                self._change()
        before = set(self.house.batches())
        drop(self.house, self.people)
        if kills is None or not self._run_for(kills.uniform(0, MOST_SECONDS)):
            # What was published may still have its files to archive.
            ended = self.house.run("watch", "--once", **SETTINGS)
            assert ended.code == 0, ended.out
        (batch,) = set(self.house.batches()) - before
        return batch

    def groups(self) -> Groups:
        """The records of each customer, by the reference, in order of appearance."""
        labels = Reference(self.people, DecisionStore(self.house.state).in_force()).group
        found: dict[int, list[str]] = {}
        for ordinal, label in enumerate(labels):
            found.setdefault(label, []).append(key_of(self.people, ordinal))
        return list(found.values())

    def _value(self, kind: str) -> str | None:
        return None if self._chance.random() < 0.4 else f"{kind}{self._chance.randrange(_VALUES)}"

    def _add(self, count: int) -> None:
        for _ in range(count):
            name, source = next(self._names), self._chance.choice(("CRM", "ECOM"))
            id_ = f"{source[0]}{name[4:]}"
            self.people.append(Person(source, id_, name, self._value("e"), self._value("p")))
        self._chance.shuffle(self.people)
        self.people.sort(key=lambda person: person.source)

    def _change(self) -> None:
        at = self._chance.randrange(len(self.people))
        match self._chance.choice(("add", "remove", "email", "phone", "phone")):
            case "add":
                self._add(2)
            case "remove" if len(self.people) > 4:
                del self.people[at]
            case "email":
                self.people[at] = replace(self.people[at], email=self._value("e"))
            case _:
                self.people[at] = replace(self.people[at], phone=self._value("p"))

    def _decide(self) -> None:
        """Decide and undo, as a person does; what contradicts a decision in force is refused."""
        for _ in range(self._chance.randint(0, 2)):
            pair = self._chance.sample(self.people, 2)
            names = (f"{person.source}:{person.id}" for person in pair)
            self.house.run("decide", self._chance.choice(("same", "different")), *names, "--by", "Kim")
        in_force = [it.number for it in DecisionStore(self.house.state).in_force()]
        if in_force and self._chance.random() < 0.5:
            assert self.house.run("decisions", "undo", str(self._chance.choice(in_force))).code == 0

    def _run_for(self, seconds: float) -> bool:
        """Run the service for at most so many seconds, then kill it; returns whether it ended before."""
        output = self.house.root / "output"
        output.mkdir(exist_ok=True)
        setting = warm.Setting(self.house.root, output, self.house.environment(**SETTINGS))
        verb = warm.Verb(["watch", "--once"], setting)
        time.sleep(seconds)
        with suppress(ProcessLookupError):  # it may be done
            os.kill(verb.pid, signal.SIGKILL)
        ended = verb.wait()
        assert ended.code in (0, -signal.SIGKILL), ended.out
        return ended.code == 0


def drop(house: House, people: Sequence[Person]) -> None:
    """Drop the exports of these people into the inbox."""
    crm = [it for it in people if it.source == "CRM"]
    ecom = [it for it in people if it.source == "ECOM"]
    contacts = {it: (it.email and f"{it.email}@x.org", it.phone and f"+1212200000{it.phone[1:]}") for it in people}
    rows = [[it.id, it.name, *contacts[it], "2023-01-01", "active"] for it in crm]
    (house.inbox / "crm_customers.csv").write_text(crm_text(rows), encoding="utf-8")
    shop = [[it.id, *(it.name or "").split(), *contacts[it], "2023-01-01"] for it in ecom]
    (house.inbox / "ecommerce_customers.json").write_text(ecom_text(shop), encoding="utf-8")


def ids_of(house: House, batch: str) -> dict[str, str]:
    """Record key -> unified id."""
    return {row["record_key"]: row["unified_id"] for row in house.rows("crosswalk.csv", batch)}


def changes_of(house: House, batch: str) -> list[Change]:
    rows = house.rows("id_changes.csv", batch)
    return [(row["unified_id"], row["change"], row["from_ids"], row["to_ids"]) for row in rows]


def content_of(house: House, batch: str, name: str) -> bytes:
    return (house.outbox / "batches" / batch / name).read_bytes()


def partition_of(house: House, batch: str) -> set[frozenset[str]]:
    """The records of each customer."""
    groups: dict[str, set[str]] = {}
    for key, unified_id in ids_of(house, batch).items():
        groups.setdefault(unified_id, set()).add(key)
    return set(map(frozenset, groups.values()))


@pytest.fixture
def houses(tmp_path: Path) -> Iterator[Sequence[House]]:
    built = [House(tmp_path / name) for name in ("killed", "replayed", "fresh")]
    yield built
    for house in built:
        house.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(ID_HISTORIES))
def test_over_a_random_history_ids_follow_the_laws_whatever_is_killed(houses: Sequence[House], seed: int) -> None:
    killed, replayed, fresh = houses
    past, again = Past(killed, seed), Past(replayed, seed)
    model, kills = Model(), random.Random(seed)
    for _ in range(BATCHES):
        batch = past.next(kills)
        groups, before = past.groups(), deepcopy(model)
        numbers, changes = model.identify(groups)
        expected = {key: f"CUST{number:03}" for number, keys in zip(numbers, groups, strict=True) for key in keys}
        assert ids_of(killed, batch) == expected
        assert changes_of(killed, batch) == changes
        check_ids(before, groups, numbers)
        known = {int(row["number"]) for row in killed.rows("register_customers.csv", batch)}
        assert known == before.state.keys() | set(numbers), "an id was lost"
        parted = parted_customers(before, groups)
        assert parted <= {row[0] for row in changes if row[1] == "split"}
        same = again.next(None)
        for name in DETERMINED:
            assert content_of(killed, batch, name) == content_of(replayed, same, name), name
    assert killed.verified().findings == []
    decisions = killed.root / "decisions.csv"
    assert killed.run("decisions", "export", decisions).code == 0
    assert fresh.run("decisions", "import", decisions).code == 0
    drop(fresh, past.people)
    assert fresh.run("watch", "--once", **SETTINGS).code == 0
    assert partition_of(fresh, fresh.batches()[0]) == partition_of(killed, batch)


def parted_customers(before: Model, groups: Groups) -> set[str]:
    """The former customers whose records are of several customers now."""
    homes: dict[int, set[int]] = {}
    for number, keys in enumerate(groups):
        for key in keys:
            customer, in_last = before.customer_of.get(key, (0, False))
            if in_last and before.state[customer] == "live":
                homes.setdefault(customer, set()).add(number)
    return {f"CUST{customer:03}" for customer, found in homes.items() if len(found) > 1}
