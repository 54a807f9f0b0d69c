"""The causes to notify of, read from the state folder: health, the lock of the watcher, and how long exports wait."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from service import documents, health
from service.commands import command
from service.documents import HealthReport, WaitingExport
from service.folders import StateFolders
from service.health_reasons import ReasonCode
from service.locks import is_locked
from service.printable import printable

SILENT, FAILING = "silent", "failing"
_QUARANTINED, _WAITING = "quarantined:", "waiting:"


@dataclass(frozen=True)
class Cause:
    """Something that a person should know of, and that ends by itself or is mended."""

    key: str
    """The same for the same cause, whenever it is seen."""
    event: Literal["failed", "stuck"]
    text: str
    """One line: what is wrong, and what to do."""
    must_last: bool = False
    """Whether it may be over in a moment, as at a restart or a retry."""


@dataclass(frozen=True)
class Look:
    """What one look at the state shows."""

    causes: tuple[Cause, ...] = ()
    kept: frozenset[str] = field(default_factory=frozenset)
    """Keys of causes that go on, or of which nothing is known at the moment."""


@dataclass(frozen=True)
class Limits:
    """From when on a condition is a cause."""

    stall_minutes: float
    partner_warning: timedelta


def look_at(state: Path, active: Collection[str], limits: Limits, now: datetime) -> Look:
    """The causes at this moment; ``active`` are the keys of those that users were notified of and that are not over.

    What a silent watcher wrote last says nothing about now, so the other causes stay as they are.
    """
    silence = _silence(state, now, limits.stall_minutes)
    if silence is None:
        try:
            report = documents.read(StateFolders(state).health, HealthReport)
            return Look(tuple(_causes_of(report, limits, now)), frozenset(_waits_that_go_on(report, active)))
        except (OSError, ValueError) as error:
            silence = f"its health cannot be read ({type(error).__name__})"
    text = f"the service is silent: {printable(silence)}; start it again, then run: {command('healthcheck')}"
    return Look((Cause(SILENT, "stuck", text, must_last=True),), frozenset(active) - {SILENT})


def _silence(state: Path, now: datetime, stall_minutes: float) -> str | None:
    """Why nothing is known of the watcher; None if it works and its loop moves."""
    try:
        if not is_locked(StateFolders(state).lock):
            return "no watcher works with the state"
        report = documents.read(StateFolders(state).health, HealthReport)
    except (OSError, ValueError) as error:
        return f"the state cannot be read ({type(error).__name__})"
    judged = health.judge(state, now, stall_minutes=stall_minutes)
    return None if judged.is_healthy or report.state == "failing" else judged.sentence


def _causes_of(report: HealthReport, limits: Limits, now: datetime) -> Iterator[Cause]:
    """Raises: ValueError where a time in the report is none."""
    if report.state == "failing":
        codes = ", ".join(code for code in dict.fromkeys(report.codes) if code in get_args(ReasonCode)) or "no code"
        text = f"the service fails: {codes}; to see what is wrong, run: {command('healthcheck')}"
        yield Cause(FAILING, "failed", text, must_last=True)
    for entry in report.quarantined:
        batch_id, _, code = map(printable, entry.partition(": "))
        text = f"batch {batch_id} is in quarantine: {code}; correct its files, then run: {command('retry', batch_id)}"
        yield Cause(_QUARANTINED + batch_id, "failed", text)
    for export in report.waiting:
        since = datetime.fromisoformat(export.since)
        if now - since >= limits.partner_warning:
            text = f"{export.file_name} waits since {since:%Y-%m-%d %H:%M %Z} for {export.waits_for}"
            yield Cause(_key_of(export), "stuck", printable(text))


def _key_of(export: WaitingExport) -> str:
    return printable(f"{_WAITING}{export.file_name}")


def _waits_that_go_on(report: HealthReport, active: Collection[str]) -> Iterator[str]:
    """Of the active causes those whose export still waits: a restart of the watcher lets its wait begin again."""
    listed = {_key_of(export) for export in report.waiting}
    is_whole_list = report.last_scan is not None and report.waiting_count <= len(report.waiting)
    return (key for key in active if key.startswith(_WAITING) and (key in listed or not is_whole_list))
