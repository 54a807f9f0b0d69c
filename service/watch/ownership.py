"""Which instance works on the inbox: the locks of inbox and state, and the check that the folder is still the same."""

from __future__ import annotations

import threading

from service.errors import StateBehindOutbox, TransientError, UsageError
from service.health_reasons import HealthReason
from service.inbox import Inbox, QuarantinedBatch
from service.job_name import JobName
from service.jobs.batch_runner import BatchRunner
from service.state import State

RETRY_SECONDS = 0.2
_TAKE_STATE_TRIES = 10


class Ownership:
    """The locks of one inbox and one state: one instance holds both, all others stand by."""

    def __init__(self, inbox: Inbox, batch_runner: BatchRunner, state: State, stop: threading.Event) -> None:
        self._inbox = inbox
        self._batch_runner = batch_runner
        self._state = state
        self._stop = stop
        self._state_id = ""
        self._known_inode = 0
        self.was_replaced = False
        """Whether the inbox is another folder than the one that was used before; until a batch is claimed in it."""
        self.is_working = False
        """Whether this instance is the one that works on the inbox, at this moment."""

    def open(self) -> None:
        """Create the folders that are missing. Raises: SettingsError for a state of an unknown format; OSError."""
        self._state_id = self._state.open()
        self._inbox.open()

    def take(self, *, has_stood_by: bool) -> bool:
        """Lock the inbox and the state, or neither; False while another instance holds them.

        Raises: UsageError if another process holds the state but not the inbox. An instance that has stood by gets
        no error: an inbox that was replaced is free until the owner of the state has locked it again.
        """
        try:
            if not self._inbox.try_lock(self._state_id):
                return False
        except OSError:
            if has_stood_by:
                return False  # the inbox cannot be reached at the moment
            raise
        for tries_left in reversed(range(_TAKE_STATE_TRIES)):
            try:
                self._batch_runner.open()
                return True
            except StateBehindOutbox:
                self._inbox.disown()
                raise
            except UsageError:
                if has_stood_by:
                    break
                # The kernel frees the locks of a dead process one after the other: the state's may be the later.
                if not tries_left or self._stop.wait(RETRY_SECONDS):
                    raise
        self._inbox.unlock()
        return False

    def obstacle(self) -> HealthReason:
        """Why this instance stands by.

        Another user may read the lock file, and so can lock it. An instance holds the lock of its state, too.
        """
        if self._state.is_taken():
            return HealthReason("stands_by", "another instance works on this inbox")
        holders = self._inbox.lock_holders() or "a process"
        text = f"the lock of the inbox is held by {holders} that is no instance of this service: end it"
        return HealthReason("lock_held", text)

    def begin(self) -> dict[JobName, str]:
        """Begin to work in the folder that is there now; returns the last published batch of each job, latest last."""
        published = self._batch_runner.last_published()
        self._known_inode = self.inode()
        self.is_working = True
        return published

    def unresolved(self) -> list[QuarantinedBatch]:
        """Batches in quarantine since the last published one of their job, oldest first."""
        found = self._inbox.quarantined()
        return [it for it in found if not self._batch_runner.is_overtaken(it.batch_id, it.job)]

    def release(self) -> None:
        """Release both locks, so that another instance can take over."""
        self.is_working = False
        self._batch_runner.close()
        self._inbox.unlock()

    def relock_if_replaced(self) -> bool:
        """Lock the inbox again if it was replaced or mounted again; returns whether it was.

        Raises: OSError if the folder cannot be reached; ServiceError if another instance or another state holds it.
        """
        self._inbox.complete()
        if self._inbox.is_locked():
            return False
        self._inbox.unlock()
        # By the inode alone: a share that was mounted again is the same folder on another device.
        is_known = self.inode() == self._known_inode
        if not self._inbox.try_lock(self._state_id):
            raise TransientError("another instance works on this inbox", hint="stop one of the two")
        self.was_replaced = self._inbox.is_new or not is_known
        return True

    def inode(self) -> int:
        """The inode of the inbox that is there now. Raises: OSError."""
        return self._inbox.root.stat().st_ino

    def confirm(self, inode: int) -> None:
        """Record that a batch was claimed in the folder with this inode: users fill it, so it is no wrong folder."""
        self.was_replaced, self._known_inode = False, inode
