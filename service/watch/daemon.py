"""The front door of the daemon: builds it from the settings, and turns signals into an orderly end."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from service import logs
from service.acceptance import Acceptance
from service.folders import Folders
from service.inbox import Inbox
from service.jobs.batch_runner import BatchRunner
from service.model import API
from service.publication import PastBatches, Publication
from service.settings import Settings
from service.state import State
from service.watch.watcher import Pace, RunResult, Watcher

if TYPE_CHECKING:
    from service.watch.sync_schedule import SyncSchedule

_STOPS = (signal.SIGTERM, signal.SIGINT)
INTERRUPTED = 130
"""Exit code of ``watch --once`` that was asked to stop: something may still wait."""


def build(settings: Settings, now: Callable[[], datetime]) -> Watcher:
    """The watcher these settings describe."""
    pace = Pace(
        rescan_seconds=settings.rescan_seconds,
        settle_seconds=settings.settle_seconds,
        partner_warning_seconds=60 * settings.partner_warning_minutes,
        max_partner_gap_seconds=3600 * settings.max_partner_gap_hours,
        retry_seconds=settings.retry_seconds,
        min_free_mb=settings.min_free_mb,
    )
    state = State(settings.state)
    past = PastBatches(Folders(settings.inbox, settings.outbox, settings.state))
    acceptance = Acceptance(settings.state)
    inbox = Inbox(settings.inbox, past.knows, acceptance.is_given, (*settings.rules().sources, API))
    batch_runner = BatchRunner(settings, state, Publication(past, inbox, acceptance))
    return Watcher(inbox, batch_runner, state, pace, now)


def run(settings: Settings, now: Callable[[], datetime], *, once: bool) -> int:
    """Run the daemon until a signal; with ``once`` until all that waits is processed. Returns the exit code.

    The loop has a thread of its own, because a signal is only seen by a main thread that is not deep in the
    engine. After SIGTERM it may finish for half of ``stop_seconds``, then its batch is abandoned; what is
    abandoned is taken up at the next start.
    """
    watcher = build(settings, now)
    bell = _Bell()
    results: list[RunResult | BaseException] = []

    def work() -> None:
        try:
            results.append(watcher.run(once=once))
        except BaseException as error:  # noqa: BLE001  # handed to the main thread, which raises it
            results.append(error)
        bell.ring()

    asked = _on_signal(bell)
    schedule = _scheduled_syncs(settings, watcher, now) if settings.sync_every_minutes and not once else None
    thread = threading.Thread(target=work, name="watcher", daemon=True)
    thread.start()
    while not (asked or results):
        bell.wait()
    if asked:
        watcher.stop()
        if schedule is not None:
            schedule.stop(settings.stop_seconds / 8)
        thread.join(settings.stop_seconds / 2)
        if thread.is_alive():
            watcher.abandon()
            thread.join(settings.stop_seconds / 3)
    # The interpreter gives signals their deadly default back while it ends: an impatient second one would be our death.
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)
    return _exit_code(results, asked, once=once)


def _scheduled_syncs(settings: Settings, watcher: Watcher, now: Callable[[], datetime]) -> SyncSchedule:
    from service.watch.sync_schedule import SyncSchedule  # it loads an HTTP client, which most daemons do not need

    schedule = SyncSchedule(settings, now, lambda: watcher.is_working)
    watcher.complaints_beside = schedule.complaints
    schedule.start()
    return schedule


class _Bell:
    """Wakes the main thread: a pipe, for a handler that takes a lock can wait for itself for ever."""

    def __init__(self) -> None:
        self._heard_by, self.rung_by = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def ring(self) -> None:
        """From any thread."""
        with suppress(BlockingIOError):  # it rings already
            os.write(self.rung_by, b"!")

    def wait(self) -> None:
        """Until it rings."""
        select.select([self._heard_by], [], [])
        with suppress(BlockingIOError):
            os.read(self._heard_by, 512)


def _on_signal(bell: _Bell) -> list[int]:
    """From now on the signals that ask for an end are listed here, and ring the bell."""
    asked: list[int] = []
    # The kernel may hand a signal to any thread (it does after SIGSTOP and SIGCONT), and that does not wake this one.
    signal.set_wakeup_fd(bell.rung_by, warn_on_full_buffer=False)
    for number in _STOPS:
        signal.signal(number, lambda number, frame: asked.append(number))
    # The kernel sends it where a writer opens a file on which we just ask for a lease; unhandled it is our death.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    return asked


def _exit_code(results: list[RunResult | BaseException], asked: list[int], *, once: bool) -> int:
    if not results:
        # Deep in something that cannot be interrupted. Every state on disk is one that a start mends.
        with suppress(OSError):  # nobody may be reading: a full pipe must not hold up the end
            os.set_blocking(sys.stdout.fileno(), False)
            logs.get().warning("service.stopped", why="abandoned")
            sys.stdout.flush()
        os._exit(INTERRUPTED if once else 0)
    outcome = results[0]
    if isinstance(outcome, BaseException):
        raise outcome
    why = signal.Signals(asked[0]).name if asked else "done"
    logs.get().info("service.stopped", why=why, published=outcome.published, quarantined=outcome.quarantined)
    if not once:
        return 0
    if asked:
        return INTERRUPTED
    return 1 if outcome.quarantined else 3 if outcome.unfinished else 0
