"""The quarantine: batches that could not be integrated, each in ``quarantine/<id>/`` with its reason and log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from service import documents
from service.commands import command
from service.documents import MalformedDocument, Reason
from service.errors import ServiceError, UsageError
from service.files import move_if_free, remove_tree
from service.folders import REASON, TEXT_LOG, InboxFolders
from service.model import InputFile, JobName, inputs_sha256


@dataclass(frozen=True)
class QuarantinedBatch:
    """A batch in quarantine, and why it is there."""

    batch_id: str
    job: JobName
    code: str
    """Class of the error."""

    def __str__(self) -> str:
        """As it is shown in the health report."""
        return f"{self.batch_id}: {self.code}"


class Quarantine:
    """The quarantine of one inbox."""

    def __init__(self, folders: InboxFolders) -> None:
        self._inbox = folders

    def has(self, batch_id: str) -> bool:
        """Whether a batch is still in quarantine: neither moved back nor removed."""
        return (self._inbox.quarantine / batch_id).is_dir()

    def after(self, last: Mapping[JobName, str]) -> list[QuarantinedBatch]:
        """Batches in quarantine that were claimed after the ``last`` one of their job, oldest first."""
        found: list[QuarantinedBatch] = []
        for folder in sorted(self._inbox.quarantine.iterdir()):
            if folder.is_dir() and inputs_in(folder):
                with suppress(OSError, MalformedDocument):
                    reason = documents.read(folder / REASON, Reason)
                    found.append(QuarantinedBatch(folder.name, reason.job, reason.error))
        return [it for it in found if it.batch_id > last.get(it.job, "")]

    def refuse_retry(self, batch_id: str) -> None:
        """Raises: UsageError where there is no such batch, its files are gone, or their names are taken."""
        folder = self._inbox.quarantine / batch_id
        if "/" in batch_id or not (folder / REASON).is_file():
            raise UsageError(f"there is no quarantined batch {batch_id}", where=str(folder), hint="check the name")
        files = inputs_in(folder)
        if not files:
            raise UsageError(
                f"the files of {batch_id} are gone from the quarantine",
                where=str(folder),
                hint="they were moved back by hand, or removed; the folder may be removed too",
            )
        for path in files:
            if (self._inbox.root / path.name).exists():
                raise _name_taken(self._inbox.root / path.name)

    def reason_of(self, batch_id: str) -> Reason:
        """Why a batch was quarantined. Raises: UsageError where its reason cannot be read."""
        path = self._inbox.reason_of(batch_id)
        try:
            return documents.read(path, Reason)
        except (OSError, MalformedDocument):
            raise UsageError(
                f"the reason of {batch_id} cannot be read",
                where=str(path),
                hint="move the files of the batch back into the inbox by hand",
            ) from None

    def move_back(self, batch_id: str) -> list[str]:
        """Move the files of a batch back into the inbox and remove its folder; returns their names.

        Raises: UsageError where a file of the same name waits there; what was moved before it stays in the inbox.
        """
        folder = self._inbox.quarantine / batch_id
        files = inputs_in(folder)
        for path in files:
            if not move_if_free(path, self._inbox.root / path.name):
                raise _name_taken(self._inbox.root / path.name)
        remove_tree(folder)
        return [path.name for path in files]


def reason_for(batch_id: str, error: ServiceError, now: datetime, inputs: Sequence[InputFile]) -> Reason:
    """The reason of a batch that ``error`` sent into quarantine; it is no link of the chain of outcomes yet."""
    return Reason(
        batch_id=batch_id,
        job=inputs[0].source.job,
        quarantined_at=now.isoformat(),
        error=error.code,
        message=error.message,
        where=error.where,
        found=error.found,
        hint=error.hint,
        retry=command("retry", batch_id),
        inputs={file.file_name: file.sha256 for file in inputs},
        inputs_sha256=inputs_sha256(tuple(inputs)),
    )


def inputs_in(folder: Path) -> list[Path]:
    """The input files in the folder of a batch, without the reason and the log that are written beside them."""
    return sorted(path for path in folder.iterdir() if path.name not in (REASON, TEXT_LOG))


def _name_taken(path: Path) -> UsageError:
    return UsageError(
        f"{path.name} waits in the inbox already",
        where=str(path),
        hint="let it be processed or move it away, then retry",
    )
