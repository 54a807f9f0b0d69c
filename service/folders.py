"""The folders of inbox, outbox and state, and the names of the files that several rooms use.

Standard library only: the entry point of the image imports it while it is still root.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LOCK = ".lock"
"""In inbox, state and ``state/sync``: held by the process that works there; never unlinked."""
MANIFEST = "manifest.json"
"""In every published set, and in the outbox beside the flat files of the latest master."""
REASON = "reason.json"
"""In every quarantined batch."""
TEXT_LOG = "integration_log.txt"
"""In every published set and every quarantined batch."""
REVIEW_QUEUE_FILE = "review_queue.csv"
"""In every set that the matcher ``safe`` made, and in no other."""
EVENT_LOG = "integration_log.jsonl"
STANDBY_FILES = "health.standby-*.json"
"""Pattern: the health of instances that stand by, one file each."""


@dataclass(frozen=True)
class InboxFolders:
    """The inbox ``root``: exports wait in it, the service moves them into its three folders."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the instance that works on this inbox; contains the id of its state."""
        return self.root / LOCK

    @property
    def claimed(self) -> Path:
        """``<id>/`` holds the files of the batch in work, ``<id>.json`` its claim."""
        return self.root / ".claimed"

    @property
    def archive(self) -> Path:
        """``<id>/`` holds the inputs of a published batch."""
        return self.root / "archive"

    @property
    def quarantine(self) -> Path:
        """``<id>/`` holds the inputs, ``reason.json`` and log of a batch that could not be integrated."""
        return self.root / "quarantine"

    def claim_of(self, batch_id: str) -> Path:
        """The claim file of a batch."""
        return self.claimed / f"{batch_id}.json"

    def reason_of(self, batch_id: str) -> Path:
        """The reason of a quarantined batch."""
        return self.quarantine / batch_id / REASON


@dataclass(frozen=True)
class OutboxFolders:
    """The outbox ``root``: flat files of the latest sets, and every published set in ``batches/<id>/``."""

    root: Path

    @property
    def batches(self) -> Path:
        """Every published set, immutable."""
        return self.root / "batches"

    @property
    def staging(self) -> Path:
        """The set that is being written."""
        return self.root / ".staging"

    @property
    def failed(self) -> Path:
        """Logs of failed runs by hand, where the outbox holds a published set."""
        return self.root / "failed"

    def set_of(self, batch_id: str) -> Path:
        """The folder of a published set."""
        return self.batches / batch_id

    def manifest_of(self, batch_id: str) -> Path:
        """The manifest of a published set."""
        return self.set_of(batch_id) / MANIFEST


@dataclass(frozen=True)
class StateFolders:
    """The state ``root``: what must outlive the outbox."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the process that works with this state."""
        return self.root / LOCK

    @property
    def identity(self) -> Path:
        """Format and id of this state."""
        return self.root / "state.json"

    @property
    def health(self) -> Path:
        """Health of the watcher that works."""
        return self.root / "health.json"

    @property
    def heartbeat(self) -> Path:
        """When the loop of that watcher last moved."""
        return self.root / "heartbeat.json"

    @property
    def ledger(self) -> Path:
        """Outcomes of all batches, SQLite."""
        return self.root / "ledger.sqlite"

    @property
    def decisions(self) -> Path:
        """What people decided about pairs of records, SQLite."""
        return self.root / "decisions.sqlite"

    @property
    def register(self) -> Path:
        """Generations of the identity register, Parquet."""
        return self.root / "register"

    @property
    def register_events(self) -> Path:
        """What happened to each customer in each batch, Parquet."""
        return self.root / "register_events"

    @property
    def accepted(self) -> Path:
        """One mark per accepted input hash (``retry --accept``)."""
        return self.root / "accepted"

    @property
    def work(self) -> Path:
        """Scratch of the batch in work; removed at every start."""
        return self.root / "work"

    @property
    def token(self) -> Path:
        """The token for the dashboard, where no setting gives one; 0600."""
        return self.root / "token"

    @property
    def sample(self) -> Path:
        """Inbox, outbox and state of the sample that the dashboard shows below ``/demo``."""
        return self.root / "demo"

    @property
    def sync(self) -> Path:
        """Checkpoint of the sync, SQLite, its lock, and the report of its runs."""
        return self.root / "sync"

    @property
    def sync_runs(self) -> Path:
        """The last runs of the sync, a report."""
        return self.sync / "runs.json"

    @property
    def notified(self) -> Path:
        """Which causes users were notified of, and what is still to be sent."""
        return self.root / "notified.json"

    @property
    def notify_lock(self) -> Path:
        """Held by the process that sends notifications about this state."""
        return self.root / ".notify.lock"

    def standby_health(self, instance: str) -> Path:
        """Health of an instance that stands by."""
        return self.root / STANDBY_FILES.replace("*", instance)


@dataclass(frozen=True)
class Folders:
    """The folders of one service; ``inbox`` is None for an outbox that is filled by hand."""

    inbox: Path | None
    outbox: Path
    state: Path

    @property
    def needed(self) -> tuple[Path, ...]:
        """Every folder without which no batch can be published or quarantined, whether it exists or not."""
        outbox, state = OutboxFolders(self.outbox), StateFolders(self.state)
        below = (outbox.batches, outbox.staging, state.register, state.work)
        if self.inbox is None:
            return (self.outbox, self.state, *below)
        inbox = InboxFolders(self.inbox)
        return (self.inbox, self.outbox, self.state, inbox.claimed, inbox.quarantine, *below)

    @property
    def needed_later(self) -> tuple[Path, ...]:
        """The folders that the steps after the commit write."""
        archive = () if self.inbox is None else (InboxFolders(self.inbox).archive,)
        return (*archive, StateFolders(self.state).accepted, StateFolders(self.state).sync)
