"""The inbox folder: its lock, and the moves of its files, each by rename.

``scan`` lists the files that wait, ``claims`` records the batch in work, ``quarantine`` holds the failed batches.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import structs

from service import documents
from service.commands import command
from service.container import where_state_is
from service.documents import Claim
from service.errors import ServiceError, UsageError
from service.files import (
    make_folder,
    make_own_subfolder,
    remove_tree,
    replace_text,
    sha256_of,
)
from service.folders import REASON, TEXT_LOG, InboxFolders
from service.inbox.claims import ChangedFile, Claims, Unfinished, claimed_file, hashed_inputs
from service.inbox.quarantine import Quarantine, QuarantinedBatch, reason_for
from service.inbox.scan import Candidate, Scan, scan
from service.locks import Lock, lock_holders
from service.model import API, SOURCES, Batch, Source, batch_id, inputs_sha256


class Inbox:
    """The folder ``root``; its lock lets one process at a time work in it.

    ``is_known`` says whether a batch id was used before: no new batch gets one of them. ``is_accepted`` says whether
    files with this ``inputs_sha256`` skip the guards: a claim records it.
    """

    def __init__(
        self,
        root: Path,
        is_known: Callable[[str], bool] = lambda batch_id: False,
        is_accepted: Callable[[str], bool] = lambda inputs_sha256: False,
        sources: Sequence[Source] = (*SOURCES, API),
    ) -> None:
        self._is_known = is_known
        self._is_accepted = is_accepted
        self.sources = tuple(sources)
        self.root = root
        self._folders = InboxFolders(root)
        self._claims = Claims(self._folders, self.sources)
        self._quarantine = Quarantine(self._folders)
        self._lock = Lock(
            self._folders.lock,
            locks=f"the inbox {root}",
            hint="mount it with locks, or give SERVICE_INBOX a folder on another file system",
        )
        self.is_new = False
        """Whether no service had worked in this folder before it was locked."""

    # --------------------------------------------------------------------------------------- folder and lock

    def open(self) -> None:
        """Create the folders that are missing. Raises: OSError where one of ours is a link or a file."""
        make_folder(self.root)
        self.complete()

    def complete(self) -> None:
        """Create those of our folders that are missing. Raises: OSError as ``open``, and where the inbox is gone."""
        for folder in (self._folders.claimed, self._folders.archive, self._folders.quarantine):
            make_own_subfolder(folder)

    def try_lock(self, state_id: str) -> bool:
        """Lock the inbox for the state ``state_id``; False while another process holds it.

        The lock ends with the process. Raises: UsageError where the inbox belongs to another state folder;
        SettingsError where its file system has no locks.
        """
        is_ours = self._lock.acquire()
        owner = self._lock.note()
        if owner and owner != state_id:
            self._lock.release()
            raise UsageError(
                f"the inbox {self.root} belongs to another state folder",
                where=str(self._folders.lock),
                hint="use the SERVICE_STATE it was first used with, or another inbox; if that state is lost for good,"
                f" run: {command('adopt')}; if it is lost and the outbox is empty, empty the lock file"
                + where_state_is(),
            )
        if is_ours and not owner:
            self._lock.write_note(state_id)
        self.is_new = is_ours and not owner
        return is_ours

    def disown(self) -> None:
        """If the inbox was given to a state just now, it belongs to none again. Only while it is locked."""
        if self.is_new:
            self._lock.write_note("")

    def adopt(self, state_id: str) -> None:
        """Give the inbox to the state ``state_id``, whichever state it belonged to. Only while no process holds it.

        Raises: UsageError where a process holds it; SettingsError where its file system has no locks; OSError.
        """
        if not self._lock.acquire():
            raise UsageError(f"a service works on the inbox {self.root}", hint=f"stop it, then: {command('adopt')}")
        self._lock.write_note(state_id)
        self._lock.release()

    def is_locked(self) -> bool:
        """Whether we hold the lock of the folder that is there now; False after it was replaced or unmounted."""
        return self._lock.is_held()

    def lock_holders(self) -> str:
        """The processes that hold the lock, as text; empty where the kernel names none."""
        return ", ".join(lock_holders(self._folders.lock))

    def unlock(self) -> None:
        """Release the lock, so that another instance can take over."""
        self._lock.release()

    # ------------------------------------------------------------------------------------- waiting and claimed

    def scan(self) -> Scan:
        """List what waits in the inbox. Raises: OSError where the folder cannot be read."""
        return scan(self._folders, self.sources)

    def claim(
        self, candidate: Candidate, proofs: Mapping[Path, str], now: datetime, warnings: Sequence[str] = ()
    ) -> Batch | None:
        """Claim a candidate whose files have settled; None if one changed since the scan (the next scan decides).

        ``proofs``: the settle proof of each file. ``warnings``: lines for the log of the batch.
        """
        try:
            inputs = hashed_inputs(candidate.files, proofs)
        except (FileNotFoundError, ChangedFile):
            return None
        claim = Claim(
            batch_id=batch_id(now, inputs, self._is_taken),
            claimed_at=now.isoformat(),
            suffix=candidate.suffix,
            files={file.file_name: claimed_file(file) for file in inputs},
            accepted=self._is_accepted(inputs_sha256(inputs)),
            warnings=tuple(warnings),
        )
        return self._claims.take(claim, candidate.files)

    def _is_taken(self, id_: str) -> bool:
        folders = (self._folders.claimed, self._folders.archive, self._folders.quarantine)
        paths = (*(folder / id_ for folder in folders), self._folders.claim_of(id_))
        return any(map(os.path.lexists, paths)) or self._is_known(id_)

    def unfinished(self, except_for: Collection[str] = ()) -> Unfinished:
        """The claims without an outcome; those that a crash left incomplete are completed or put back.

        The batches ``except_for`` are left alone.
        """
        return self._claims.recover(except_for)

    def has_claims(self) -> bool:
        """Whether a batch is claimed. Raises: OSError."""
        return any(self._folders.claimed.glob("*.json"))

    def begin(self, batch: Batch) -> Claim:
        """Count the start of an attempt; the count survives the death of the process."""
        return self._claims.begin(batch.id)

    def count_fault(self, batch: Batch) -> int:
        """Count an attempt that ended in a fault; returns how many there were, 0 where the batch has its outcome."""
        return self._claims.count_fault(batch.id)

    def release(self, batch: Batch) -> None:
        """Record that the attempt ended in order, without an outcome."""
        self._claims.release(batch.id)

    # ------------------------------------------------------------------------------------------------ outcomes

    def archive(self, batch: Batch) -> None:
        """Move the inputs of a published batch into the archive. May be repeated."""
        self._claims.end(batch.id, self._folders.archive / batch.id)

    def quarantine(self, batch: Batch, error: ServiceError, now: datetime, log_text: str) -> Path:
        """Move the inputs of a failed batch into quarantine, with reason and log; returns the folder."""
        folder = self._folders.claimed / batch.id
        make_own_subfolder(folder)
        replace_text(folder / TEXT_LOG, log_text)
        reason = structs.replace(
            reason_for(batch.id, error, now, batch.inputs),
            log_sha256=sha256_of(folder / TEXT_LOG),
            former_outcome_sha256=batch.former_outcome_sha256,
        )
        documents.write(folder / REASON, reason)
        self._claims.end(batch.id, self._folders.quarantine / batch.id)
        return self._folders.quarantine / batch.id

    def is_quarantined(self, batch_id: str) -> bool:
        """Whether a batch is still in quarantine: neither moved back nor removed. True while that cannot be seen."""
        return self._quarantine.has(batch_id)

    def quarantined(self) -> list[QuarantinedBatch]:
        """The batches in quarantine, oldest first."""
        return self._quarantine.listed()

    def prune(self, batch_ids: list[str]) -> None:
        """Remove the archived inputs of batches whose published sets were removed."""
        for id_ in batch_ids:
            remove_tree(self._folders.archive / id_)
