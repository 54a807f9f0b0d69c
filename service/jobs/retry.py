"""``retry``: move a quarantined batch back into the inbox, where it is claimed again."""

from __future__ import annotations

from service import logs
from service.acceptance import Acceptance
from service.documents import AcceptedFiles
from service.folders import InboxFolders
from service.inbox import MovedBack, Quarantine
from service.ledger import Ledger
from service.settings import Settings


def retry(batch_id: str, settings: Settings, *, accept: bool = False) -> MovedBack:
    """Move the files of a quarantined batch back.

    ``accept`` lets these files, as they are now, skip the guards, once.

    Raises: UsageError if there is no such batch, its files are gone, or a file of the same name waits in the inbox;
    OSError if a file cannot be moved. A retry that was interrupted can be repeated.
    """
    quarantine = Quarantine(InboxFolders(settings.inbox))
    quarantine.refuse_retry(batch_id)
    if accept:
        # Before the files move: a daemon may claim them as soon as they lie in the inbox.
        files = AcceptedFiles(batch_id=batch_id, names=tuple(quarantine.reason_of(batch_id).inputs))
        Acceptance(settings.state).give(quarantine.accepted_sha256(batch_id), files)
    moved = quarantine.move_back(batch_id)
    logs.get().info("batch.retried", batch_id=batch_id, accepted=accept)
    _note(batch_id, settings)
    return moved


def _note(batch_id: str, settings: Settings) -> None:
    """Record the retry in the ledger, best effort: the next start of the daemon adds what is missing."""
    try:
        Ledger(settings.state, settings.outbox, settings.inbox).note_retried(batch_id)
    except OSError as error:
        logs.get().warning("ledger.unwritten", reason=error.strerror)
