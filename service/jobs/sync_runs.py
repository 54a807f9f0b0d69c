"""The runs of the sync: what each fetched, how long it waited, and how it ended; the last ones, in ``state/sync``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from service import documents, logs
from service.api.client import Figures
from service.api.clock import Clock
from service.api.completeness import Complete
from service.api.pacing import Gate
from service.documents import MalformedDocument, SyncEnd, SyncRun, SyncRuns
from service.errors import RateLimitedError, ServiceError, UpstreamRejectedError, safe_text
from service.folders import StateFolders

MOST_RUNS = 200
"""Earlier runs are forgotten."""


def read_runs(state: Path) -> tuple[SyncRun, ...]:
    """The last runs, the latest first; none where the file is missing or damaged: it is only a report."""
    try:
        return documents.read(StateFolders(state).sync_runs, SyncRuns).runs
    except (OSError, MalformedDocument):
        return ()


class RunRecorder:
    """Collects the figures of one run while it goes on."""

    def __init__(self, state: Path, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._began = clock.monotonic()
        self._started_at = clock.now()
        self._figures = Figures()
        self._gate: Gate | None = None
        self.is_resumed = False
        self._whole: Complete | None = None

    def follow(self, figures: Figures, gate: Gate) -> None:
        """Take the figures of the run from these, which change while it goes on."""
        self._figures = figures
        self._gate = gate

    def complete(self, whole: Complete) -> None:
        """The collection is complete."""
        self._whole = whole

    def end(self, how: SyncEnd, message: str = "") -> None:
        """Write the run down, best effort; call while the checkpoint is open, because one process writes at a time."""
        run = SyncRun(
            started_at=self._started_at.isoformat(timespec="seconds"),
            end=how,
            message=message,
            is_resumed=self.is_resumed,
            customers=self._whole.customers if self._whole else None,
            waited_seconds=round(self._gate.waited_seconds, 3) if self._gate else 0.0,
            seconds=round(self._clock.monotonic() - self._began, 3),
            **asdict(self._figures) | ({"pages": self._whole.pages} if self._whole else {}),
        )
        runs = SyncRuns(runs=(run, *read_runs(self._state))[:MOST_RUNS])
        try:
            documents.write(StateFolders(self._state).sync_runs, runs, durable=False)
        except OSError as error:
            logs.get().warning("sync.unrecorded", reason=safe_text(error))


@contextmanager
def recorded(recorder: RunRecorder) -> Iterator[None]:
    """Record how the run in the block ends."""
    try:
        yield
    except BaseException as error:
        with suppress(Exception):  # the error of the run is what counts
            recorder.end(*_end_of(error))
        raise
    recorder.end("completed")


def _end_of(error: BaseException) -> tuple[SyncEnd, str]:
    match error:
        case RateLimitedError():
            return "postponed", error.message
        case UpstreamRejectedError():
            return "rejected", error.message
        case ServiceError() | OSError():
            return "suspended", safe_text(error)
        case _:
            return "suspended", "it was stopped" if not isinstance(error, Exception) else type(error).__name__
