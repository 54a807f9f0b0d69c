"""A service whose matcher weighs evidence, and whose newest set asks questions: made by the real watcher."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.decisions import Decision, DecisionStore
from service.settings import Settings
from service.watch.watcher import RunResult
from tests.dashboard.house import DashboardHouse
from tests.small_batches import crm_text, ecom_text

_FIRST = ("John", "Mary", "James", "Linda", "Robert", "Susan", "Michael", "Karen", "David", "Nancy")
_BEGINNINGS = ("Bar", "Cor", "Dun", "Fen", "Gil", "Har", "Kel", "Lar", "Mor", "Nor", "Pen", "Ros")
_ENDINGS = ("bury", "dale", "ford", "ham", "lin", "mont", "ridge", "sten", "ton", "wick")
_LAST = [beginning + ending for beginning in _BEGINNINGS for ending in _ENDINGS]
_IN_A_FAMILY = 3
"""So many first names share a family name: fewer make two records of one name one customer, more leave it too weak."""


def doubtful_pair(people: int) -> tuple[str, str]:
    """Exports in which each person has a record in the CRM and one in the shop: the same name, but other addresses.

    Each is one question with the same evidence."""
    crm: list[tuple[str | None, ...]] = []
    ecom: list[tuple[str | None, ...]] = []
    for number in range(people):
        first, last = _FIRST[number % len(_FIRST)], _LAST[number // _IN_A_FAMILY]
        mail = f"{first}.{number}@mail.example".lower()
        other = f"{last}{number}@shop.example".lower()
        crm.append((f"C{number:04}", f"{first} {last}", mail, None, "2023-01-15", "active"))
        ecom.append((f"E{number:04}", first, last, other, f"+1-212-555-{1000 + number}", "2023-02-01T10:00:00Z"))
    return crm_text(crm), ecom_text(ecom)


@dataclass(frozen=True)
class DoubtfulHouse(DashboardHouse):
    """The service in the folder ``root``, with ``SERVICE_MATCHING=safe``."""

    def settings(self, **others: Any) -> Settings:
        """Those of the dashboard."""
        return super().settings(**({"matching": "safe"} | others))

    def publish(self, crm: str, ecom: str, suffix: str = "") -> str:
        """Let the watcher publish a pair; returns the id of the batch."""
        self.works.drop(suffix, crm=crm, ecom=ecom)
        result: RunResult = self.works.once(matching="safe")
        assert (result.published, result.quarantined) == (1, 0)
        return self.masters[-1]

    def copy(self, root: Path) -> DoubtfulHouse:
        """The same service in another folder, for a test that changes it."""
        return DoubtfulHouse(super().copy(root).root)

    def decisions(self) -> list[Decision]:
        """Those in force."""
        return DecisionStore(self.works.state).in_force()


def build_doubts(root: Path, people: int = 60) -> DoubtfulHouse:
    """Let the watcher make the service in the new folder ``root``."""
    house = DoubtfulHouse(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.inbox.settling.LEASE_STILL_SECONDS", 0.05)
        house.publish(*doubtful_pair(people))
    return house
