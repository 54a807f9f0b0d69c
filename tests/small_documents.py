"""Small manifests and reasons for tests, written where outbox and inbox have them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from service import documents
from service.documents import Counts, Manifest, ManifestInput, Reason
from service.folders import InboxFolders, OutboxFolders, StateFolders
from service.ledger import Entry, Ledger

COUNTS = Counts(records=8, rejects=1, duplicates=3, customers=5)
INPUT_SHA256 = "a" * 64


def batch(number: int) -> str:
    """The id of the batch with this number."""
    return f"20240115T12{number:02}00Z-{number:06x}"


def manifest(batch_id: str, former: str | None, **others: Any) -> Manifest:
    """A manifest with one input, which follows the document with the hash ``former``."""
    given = ManifestInput(
        source="CRM", file_name="crm_customers.csv", size_bytes=10, sha256=INPUT_SHA256, rows=5, settle_proof="lease"
    )
    members: dict[str, Any] = {
        "batch_id": batch_id,
        "program_version": "0.1.0",
        "former_manifest_sha256": None,
        "former_outcome_sha256": former,
        "inputs": (given,),
        "rows": COUNTS,
        "files": {},
    }
    return Manifest(**members | others)


def reason(batch_id: str, former: str | None, **others: Any) -> Reason:
    """A reason with one input, which follows the document with the hash ``former``."""
    members: dict[str, Any] = {
        "batch_id": batch_id,
        "quarantined_at": "2024-01-15T13:00:00+00:00",
        "error": "UnreadableFile",
        "message": "the file is empty",
        "where": "crm_customers.csv",
        "found": "",
        "hint": "export it again",
        "retry": f"python -m service retry {batch_id}",
        "inputs": {"crm_customers.csv": INPUT_SHA256},
        "inputs_sha256": "b" * 64,
        "former_outcome_sha256": former,
    }
    return Reason(**members | others)


class DocumentFolders:
    """Inbox, outbox and state under ``root`` with documents only, and the ledger of them."""

    def __init__(self, root: Path) -> None:
        self.inbox, self.outbox = InboxFolders(root / "inbox"), OutboxFolders(root / "outbox")
        self.state = StateFolders(root / "state")
        self.state.root.mkdir()
        self.ledger = Ledger(self.state.root, self.outbox.root, self.inbox.root)

    def publish(self, batch_id: str, former: str | None, **others: Any) -> str:
        """Write the manifest of a set; returns its hash."""
        return _write(self.outbox.manifest_of(batch_id), manifest(batch_id, former, **others))

    def quarantine(self, batch_id: str, former: str | None, **others: Any) -> str:
        """Write the reason of a quarantined batch; returns its hash."""
        return _write(self.inbox.reason_of(batch_id), reason(batch_id, former, **others))

    def entries(self) -> list[Entry]:
        """The lines of a ledger that is fine."""
        entries, trouble = self.ledger.entries()
        assert trouble is None
        return entries

    def summary(self) -> list[tuple[str, str, str | None]]:
        """Batch, outcome, and why its document is gone."""
        return [(entry.outcome.batch_id, entry.outcome.kind, entry.removed) for entry in self.entries()]


def _write(path: Path, document: Manifest | Reason) -> str:
    path.parent.mkdir(parents=True)
    documents.write(path, document, durable=False)
    return hashlib.sha256(path.read_bytes()).hexdigest()
