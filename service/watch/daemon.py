"""The daemon: built from the settings, run in a thread, and ended in order by a signal."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from service import logs
from service.acceptance import Acceptance
from service.folders import Folders
from service.inbox import Inbox
from service.jobs import JOBS, all_sources
from service.jobs.batch_runner import BatchRunner
from service.publication import PastBatches, Publication
from service.settings import Settings
from service.state import State
from service.watch.watcher import RunResult, Watcher, WatchOptions

if TYPE_CHECKING:
    from service.watch.sync_schedule import SyncSchedule

_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
INTERRUPTED = 130
"""Exit code of ``watch --once`` after a signal: files may still wait."""


def build(settings: Settings, now: Callable[[], datetime], clock: Callable[[], float] = time.monotonic) -> Watcher:
    """The watcher that these settings describe."""
    options = WatchOptions(
        rescan_seconds=settings.rescan_seconds,
        settle_seconds=settings.settle_seconds,
        partner_warning_seconds=60 * settings.partner_warning_minutes,
        max_partner_gap_seconds=3600 * settings.max_partner_gap_hours,
        stuck_pair_seconds=60 * settings.stuck_pair_minutes,
        retry_seconds=settings.retry_seconds,
        min_free_mb=settings.min_free_mb,
    )
    state, acceptance = State(settings.state), Acceptance(settings.state)
    past = PastBatches(Folders(settings.inbox, settings.outbox, settings.state))
    inbox = Inbox(settings.inbox, past.knows, acceptance.is_given, all_sources(settings))
    batch_runner = BatchRunner(settings, state, Publication(past, JOBS, inbox, acceptance))
    return Watcher(inbox, batch_runner, state, options, now, clock)


def run(settings: Settings, now: Callable[[], datetime], *, once: bool) -> int:
    """Run the daemon until a signal; with ``once`` until all that waits is processed. Returns the exit code.

    The loop has a thread of its own, because a main thread that runs inside the engine does not see a signal. After
    SIGTERM the loop may finish for half of ``stop_seconds``, then its batch is abandoned; the next start begins an
    abandoned batch again.
    """
    watcher = build(settings, now)
    wakeup = _Wakeup()
    results: list[RunResult | BaseException] = []

    def work() -> None:
        try:
            results.append(watcher.run(once=once))
        except BaseException as error:  # noqa: BLE001  # handed to the main thread, which raises it
            results.append(error)
        wakeup.send()

    received = _on_signal(wakeup)
    schedule = _scheduled_syncs(settings, watcher, now) if settings.sync_every_minutes and not once else None
    thread = threading.Thread(target=work, name="watcher", daemon=True)
    thread.start()
    while not (received or results):
        wakeup.wait()
    if received:
        watcher.stop()
        if schedule is not None:
            schedule.stop(settings.stop_seconds / 8)
        thread.join(settings.stop_seconds / 2)
        if thread.is_alive():
            watcher.abandon()
            thread.join(settings.stop_seconds / 3)
    # The interpreter restores the default actions while it ends: a second signal would then kill the process.
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)
    return _exit_code(results, received, once=once)


def _scheduled_syncs(settings: Settings, watcher: Watcher, now: Callable[[], datetime]) -> SyncSchedule:
    from service.watch.sync_schedule import SyncSchedule  # it loads an HTTP client, which most daemons do not need

    schedule = SyncSchedule(settings, now, lambda: watcher.is_working)
    watcher.status.other_problems = schedule.problems
    schedule.start()
    return schedule


class _Wakeup:
    """Wakes the main thread by a pipe: a signal handler that takes a lock could wait for itself without end."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def send(self) -> None:
        """Wake the main thread; from any thread."""
        with suppress(BlockingIOError):  # the pipe is full: it will wake
            os.write(self.writer, b"!")

    def wait(self) -> None:
        """Sleep until ``send`` or a signal."""
        select.select([self._reader], [], [])
        with suppress(BlockingIOError):
            os.read(self._reader, 512)


def _on_signal(wakeup: _Wakeup) -> list[int]:
    """Handle the signals that stop the daemon: each is appended to the returned list and wakes the main thread."""
    received: list[int] = []
    # The kernel may hand a signal to any thread (it does after SIGSTOP and SIGCONT), and that does not wake this one.
    signal.set_wakeup_fd(wakeup.writer, warn_on_full_buffer=False)
    for number in _STOPS:
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # nohup
        signal.signal(number, lambda number, frame: received.append(number))
    # The kernel sends SIGIO when a writer opens a file on which we hold a lease; unhandled it would end the process.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    return received


def _exit_code(results: list[RunResult | BaseException], received: list[int], *, once: bool) -> int:
    if not results:
        # The thread is inside a call that cannot be interrupted. A start can continue from every state on disk.
        with suppress(OSError):  # a pipe that is full and that no process reads must not delay the end
            os.set_blocking(sys.stdout.fileno(), False)
            logs.get().warning("service.stopped", why="abandoned")
            sys.stdout.flush()
        os._exit(INTERRUPTED if once else 0)
    result = results[0]
    if isinstance(result, BaseException):
        raise result
    why = signal.Signals(received[0]).name if received else "done"
    logs.get().info("service.stopped", why=why, published=result.published, quarantined=result.quarantined)
    if not once:
        return 0
    if received:
        return INTERRUPTED
    return 1 if result.quarantined else 3 if result.unfinished else 0
