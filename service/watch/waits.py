"""What waits in the inbox, for what, and since when."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from service.documents import WaitingExport
from service.health import MOST_LISTED
from service.health_reasons import HealthReason, ReasonCode
from service.inbox import Scan, WaitingFile, partner_name, shown_name
from service.model import Source

WRITER, TURN = "its writer", "its turn"
OTHER_VERSIONS, PERMISSION = "the other versions of it to be removed", "permission to be read"
_CODES: Mapping[str, ReasonCode] = {
    WRITER: "export_unfinished",
    TURN: "turn_overdue",
    OTHER_VERSIONS: "export_contested",
    PERMISSION: "export_unreadable",
}
"""All other causes are names of exports that are missing."""


@dataclass
class _Wait:
    waits_for: str
    since: str
    first_seen: float


class Waits:
    """The files that wait, from scan to scan; the monotonic clock is passed in."""

    def __init__(self, shown: Callable[[str], str]) -> None:
        """``shown``: how health shows a file name."""
        self._shown = shown
        self._waits: dict[str, _Wait] = {}

    def note(self, waits_for: Mapping[str, str], now: datetime, clock: float) -> None:
        """Record that exactly these files wait at this moment; ``waits_for`` maps each name to what it waits for."""
        former = self._waits
        self._waits = {
            name: former[name]
            if name in former and former[name].waits_for == cause
            else _Wait(cause, now.isoformat(timespec="seconds"), clock)
            for name, cause in sorted(waits_for.items())
        }

    def __len__(self) -> int:
        return len(self._waits)

    def listed(self) -> tuple[WaitingExport, ...]:
        """The first ``MOST_LISTED`` as in the health file, which is written often."""
        return tuple(
            WaitingExport(file_name=self._shown(name), since=wait.since, waits_for=wait.waits_for)
            for name, wait in islice(self._waits.items(), MOST_LISTED)
        )

    def longer_than(self, seconds: float, clock: float) -> list[tuple[str, str]]:
        """Name and cause of the files that have waited for at least so long."""
        return [(name, wait.waits_for) for name, wait in self._waits.items() if clock - wait.first_seen >= seconds]

    def reasons(self, overdue_seconds: float, clock: float) -> list[HealthReason]:
        """One for each file that waits for a person, or has waited for at least so long."""
        found = dict.fromkeys(self._blocked() + self.longer_than(overdue_seconds, clock))
        return [
            HealthReason(_CODES.get(cause, "partner_missing"), f"{self._shown(name)} waits for {cause}")
            for name, cause in found
        ]

    def _blocked(self) -> list[tuple[str, str]]:
        """Name and cause of the files that wait for a person; reported without delay."""
        return [
            (name, wait.waits_for)
            for name, wait in self._waits.items()
            if wait.waits_for in (OTHER_VERSIONS, PERMISSION)
        ]


def causes_of(scan: Scan, unsettled: Collection[str], sources: Sequence[Source]) -> dict[str, str]:
    """Name of every export in the inbox -> what it waits for; ``unsettled``: names of files with an active writer."""
    causes = {file.path.name: _missing_partners(file, scan.unpaired, sources) for file in scan.unpaired}
    for candidate in scan.candidates:
        for file in candidate.files:
            causes[file.path.name] = WRITER if file.path.name in unsettled else TURN
    causes |= {file.path.name: OTHER_VERSIONS for file in scan.ambiguous}
    return causes | {file.path.name: PERMISSION for file in scan.files() if not file.is_readable}


def _missing_partners(file: WaitingFile, unpaired: Iterable[WaitingFile], sources: Sequence[Source]) -> str:
    """The names under which the missing exports of the batch of ``file`` are expected."""
    there = {other.source.name for other in unpaired if other.suffix == file.suffix}
    needed = (source for source in sources if source.is_required and source.job == file.source.job)
    missing = (partner_name(source, file.suffix) for source in needed if source.name not in there)
    return ", ".join(shown_name(name, sources) for name in missing)
