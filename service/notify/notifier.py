"""The loop of ``notify``: look at the state every two seconds, keep what is decided, send it until it arrives."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from service import documents, logs
from service.documents import NotifiedCauses, PendingMessage
from service.errors import UsageError, safe_text
from service.folders import StateFolders
from service.locks import STATE_NEEDS_LOCKS, Lock
from service.notify.causes import Cause, Limits, Look, look_at
from service.notify.decisions import Message, decide
from service.notify.recipients import Recipient, recipients_of
from service.settings import Settings
from service.state import State

LOOK_SECONDS = 2.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 300.0
"""Between two tries to reach a recipient; doubles each time."""
MOST_PENDING = 100
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(settings: Settings, now: Callable[[], datetime]) -> None:
    """Send notifications until a signal stops the process. Raises: SettingsError, UsageError, OSError."""
    recipients = recipients_of(settings.notify_urls)
    State(settings.state).open()
    lock = Lock(StateFolders(settings.state).notify_lock, locks=f"the folder {settings.state}", hint=STATE_NEEDS_LOCKS)
    if not lock.acquire():
        raise UsageError("another process sends the notifications about this state", hint="stop it, or let it work")
    notifier = Notifier(settings, recipients, now)
    logs.get().info("notifier.started", recipients=len(recipients))
    stop = threading.Event()
    thread = threading.Thread(target=notifier.work, args=(stop,), name="notifier", daemon=True)
    # Blocked in every thread, so that none of them takes a signal from ``sigtimedwait``.
    stops = {it for it in _STOPS if it != signal.SIGHUP or signal.getsignal(it) != signal.SIG_IGN}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    thread.start()
    while signal.sigtimedwait(stops, 3600) is None:
        pass
    stop.set()
    thread.join(settings.stop_seconds)  # a message that is being sent then may be sent again at the next start


def send_test(settings: Settings) -> list[tuple[Recipient, bool]]:
    """Send one message to each recipient; whether it arrived. Raises: SettingsError."""
    message, title = Message("recovered", "Notifications arrive here."), "Customer integration: a test"
    return [(recipient, recipient.receives(message, title)) for recipient in recipients_of(settings.notify_urls)]


@dataclass
class _Pause:
    """The pause after tries that failed."""

    seconds: float
    until: float


class Notifier:
    """Looks at the state, and sends what there is to send; one turn after the other."""

    def __init__(
        self,
        settings: Settings,
        recipients: list[Recipient],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = settings.state
        self._limits = Limits(settings.stall_minutes, timedelta(minutes=settings.partner_warning_minutes))
        self._after_seconds = settings.notify_after_seconds
        self._repeat = timedelta(minutes=settings.notify_repeat_minutes)
        self._recipients = {recipient.id: recipient for recipient in recipients}
        self._now = now
        self._clock = clock
        self._first_seen: dict[str, float] = {}
        self._pauses: dict[str, _Pause] = {}
        self._notified = _read(settings.state)
        self._is_unwritten = False

    def work(self, stop: threading.Event) -> None:
        """Turn until ``stop`` is set; an unexpected error is logged, and the next turn follows."""
        while not stop.is_set():
            try:
                self.turn()
            except Exception as error:  # noqa: BLE001  # a bug: logged; the process that reports a dead watcher goes on
                logs.get().error("bug.found", error=error)
            stop.wait(LOOK_SECONDS)

    def turn(self) -> None:
        """Look once, and send what is due."""
        now = self._now()
        active = [key for key, cause in self._notified.causes.items() if not cause.is_over]
        look = self._lasting(look_at(self._state, active, self._limits, now), active)
        causes, messages = decide(self._notified.causes, look, now, self._repeat)
        pending = [*self._known_recipients_only(), *(self._pending(message) for message in messages)]
        while len(pending) > MOST_PENDING:
            logs.get().warning("notification.dropped", kind=pending.pop(0).event)
        self._keep(replace(self._notified, causes=causes, pending=tuple(pending)))
        for recipient in self._recipients.values():
            self._send_to(recipient)

    def _lasting(self, look: Look, active: list[str]) -> Look:
        """The look without causes that may be over in a moment, until they have lasted."""
        clock = self._clock()
        self._first_seen = {cause.key: self._first_seen.get(cause.key, clock) for cause in look.causes}

        def counts(cause: Cause) -> bool:
            has_lasted = clock - self._first_seen[cause.key] >= self._after_seconds
            return has_lasted or not cause.must_last or cause.key in active

        return Look(tuple(filter(counts, look.causes)), look.kept)

    def _pending(self, message: Message) -> PendingMessage:
        return PendingMessage(event=message.event, text=message.text, recipients=tuple(self._recipients))

    def _known_recipients_only(self) -> Iterator[PendingMessage]:
        """What is pending, without recipients that are no longer in the settings."""
        for message in self._notified.pending:
            left = tuple(it for it in message.recipients if it in self._recipients)
            if left:
                yield replace(message, recipients=left)

    def _send_to(self, recipient: Recipient) -> None:
        """Send what is pending for it, the oldest first, until a message does not arrive."""
        pause = self._pauses.get(recipient.id)
        if pause is not None and self._clock() < pause.until:
            return
        for message in self._notified.pending:
            if recipient.id not in message.recipients:
                continue
            if not recipient.receives(Message(message.event, message.text)):
                self._postpone(recipient)
                return
            self._pauses.pop(recipient.id, None)
            logs.get().info("notification.sent", recipient=recipient.number, kind=message.event)
            self._note_received(message, recipient)

    def _postpone(self, recipient: Recipient) -> None:
        former = self._pauses.get(recipient.id)
        seconds = FIRST_PAUSE_SECONDS if former is None else min(2 * former.seconds, LONGEST_PAUSE_SECONDS)
        self._pauses[recipient.id] = _Pause(seconds, self._clock() + seconds)
        logs.get().warning("notification.postponed", recipient=recipient.number, wait_seconds=seconds)

    def _note_received(self, received: PendingMessage, recipient: Recipient) -> None:
        left = replace(received, recipients=tuple(it for it in received.recipients if it != recipient.id))
        pending = (left if message is received else message for message in self._notified.pending)
        self._keep(replace(self._notified, pending=tuple(it for it in pending if it.recipients)))

    def _keep(self, notified: NotifiedCauses) -> None:
        """Write what changed. Where that fails memory counts: a disk that is full is a reason to send."""
        is_changed, self._notified = notified != self._notified or self._is_unwritten, notified
        if not is_changed:
            return
        try:
            documents.write(StateFolders(self._state).notified, notified)
            self._is_unwritten = False
        except OSError as error:
            if not self._is_unwritten:
                logs.get().warning("notification.unwritten", reason=safe_text(error))
            self._is_unwritten = True


def _read(state: Path) -> NotifiedCauses:
    """What was kept; nothing where there is no such file, or a damaged one: a repeated message does no harm."""
    try:
        return documents.read(StateFolders(state).notified, NotifiedCauses)
    except (OSError, ValueError):
        return NotifiedCauses()
