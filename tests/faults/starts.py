"""The folders that faults are tried on, each with the result of an undisturbed run."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.faults.injection import Point, Run
from tests.faults.promises import broken_promises, differences, tree
from tests.worlds import CRM, ECOM, House

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
LATER = timedelta(minutes=10)


@dataclass(frozen=True)
class Start:
    """Folders with a pair in the inbox, and the only correct result."""

    house: House
    settings: dict[str, str]
    inputs: int | None
    """The number of versions of exports that were dropped; None if retention removes old ones."""
    code: int
    points: tuple[Point, ...]
    expected: dict[str, str] = field(repr=False)
    """``tree`` after the pair was published; superseded sets may also be removed after the next pair."""
    expected_next: dict[str, str] = field(repr=False)
    """``tree`` after one more pair, whose new customers show whether a number was skipped."""

    def copied_to(self, root: Path) -> House:
        """A copy of these folders."""
        return copy_house(self.house, root)

    def run(self, house: House) -> Run:
        """The run that publishes the pair."""
        return Run(house, NOON + LATER, self.settings)

    def run_next(self, house: House) -> Run:
        """The run that publishes one more pair."""
        drop_next(house)
        return Run(house, NOON + 2 * LATER, self.settings)


def empty_outbox(house: House) -> int:
    """The first pair. Returns the number of inputs dropped."""
    house.drop()
    return 2


def over_an_earlier_set(house: House) -> int:
    """A pair with changes, over a published set."""
    house.drop()
    assert Run(house, NOON, {}).undisturbed().code == 0
    drop_changed(house)
    return 4


def wrong_pair(house: House) -> int:
    """A pair that cannot be integrated, over a published set."""
    inputs = over_an_earlier_set(house)
    crm = house.inbox / CRM
    crm.write_text(crm.read_text(encoding="utf-8").replace("customer_id", "klantnummer"), encoding="utf-8")
    return inputs


def export_of_the_api(house: House) -> int:
    """The analytics export, over a published master."""
    house.drop()
    assert Run(house, NOON, {}).undisturbed().code == 0
    house.drop_api()
    return 3


STARTS: dict[str, tuple[Callable[[House], int], int, dict[str, str]]] = {
    "empty outbox": (empty_outbox, 0, {}),
    "over an earlier set": (over_an_earlier_set, 0, {}),
    "in place of an earlier set": (over_an_earlier_set, 0, {"keep_batches": "1"}),
    "wrong pair": (wrong_pair, 1, {}),
    "export of the API": (export_of_the_api, 0, {}),
}


def build(name: str, root: Path) -> Start:
    """The start of that name, with the points of its run and its expected result."""
    prepare, code, settings = STARTS[name]
    house = House(root / "start")
    inputs = prepare(house)
    undisturbed = copy_house(house, root / "undisturbed")
    ended, points = Run(undisturbed, NOON + LATER, settings).traced()
    assert ended.code == code, ended.err + ended.out
    expected = tree(undisturbed)
    drop_next(undisturbed)
    assert Run(undisturbed, NOON + 2 * LATER, settings).undisturbed().code == 0
    numbers = re.findall(r"^CUST(\d+),", undisturbed.read("customer_master.csv"), re.MULTILINE)
    assert sorted(map(int, numbers)) == list(range(1, 9)), "five customers of the sample, two new ones, one more"
    return Start(
        house, settings, None if settings else inputs, code, tuple(points), expected, expected_next=tree(undisturbed)
    )


def killed(start: Start, house: House, point: Point, *, is_of_the_moment: bool = False) -> list[str]:
    """Kill the run at that point; returns the problems.

    ``is_of_the_moment``: the house itself is one that not every run leaves, so that its run need not have the point.
    """
    ended = start.run(house).killed_at(point)
    may_end = is_of_the_moment or point.is_of_the_moment
    is_expected = ended.code == -signal.SIGKILL or (may_end and ended.code in (0, start.code))
    missed = [] if is_expected else [f"it was not killed, but ended with {ended.code}"]
    return [*missed, *broken_promises(house, start.inputs)]


def ended_well(start: Start, house: House, *, is_next_tried: bool) -> list[str]:
    """Start it again, then publish one more pair; returns the differences from an undisturbed run."""
    again = start.run(house).undisturbed()
    faults = [] if again.code in (0, start.code) else [f"the restart ended with {again.code}: {again.err}"]
    faults += broken_promises(house, start.inputs)
    if not start.settings:
        faults += differences(tree(house), start.expected)
    if is_next_tried or start.settings:
        code = start.run_next(house).undisturbed().code
        faults += [] if code == 0 else [f"the next pair ended with {code}"]
        faults += differences(tree(house), start.expected_next)
    return [f"after the restart: {fault}" for fault in faults]


def drop_changed(house: House) -> None:
    """The sample with a changed phone and two new customers, so that a number could be skipped."""
    house.drop()
    crm, ecom = house.inbox / CRM, house.inbox / ECOM
    changed = crm.read_text(encoding="utf-8").replace("+1-555-0103", "+1-555-0199")
    crm.write_text(changed + "CRM006,Zed Young,zed@email.com,555-0177,2024-01-01,active\n", encoding="utf-8")
    shop = json.loads(ecom.read_text(encoding="utf-8"))
    shop["customers"].append({"id": "EC1004", "name": "Ann Lee", "contact": {"email": "ann@lee.org"}})
    ecom.write_text(json.dumps(shop), encoding="utf-8")


def drop_next(house: House) -> None:
    """As ``drop_changed``, and one more new customer."""
    drop_changed(house)
    with (house.inbox / CRM).open("a", encoding="utf-8") as crm:
        crm.write("CRM007,Kim Stone,kim@stone.org,555-0133,2024-02-02,active\n")


def copy_house(house: House, root: Path) -> House:
    """A copy of the folders as they are now."""
    subprocess.run(["cp", "-a", str(house.root), str(root)], check=True)
    copied = House.__new__(House)
    copied.root, copied.inbox, copied.outbox, copied.state = root, root / "inbox", root / "outbox", root / "state"
    return copied
