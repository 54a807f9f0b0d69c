"""The quarantine: batches that could not be integrated, each in ``quarantine/<id>/`` with its reason and log."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from service import documents
from service.commands import command
from service.documents import MalformedDocument, Reason, is_batch_id
from service.errors import ServiceError, UsageError
from service.files import is_own_folder, is_regular, move_if_free, remove_tree, sha256_of
from service.folders import REASON, TEXT_LOG, InboxFolders
from service.inbox.names import is_housekeeping
from service.job_name import JobName
from service.model import InputFile, inputs_sha256, sha256_of_all
from service.printable import printable


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


@dataclass(frozen=True)
class MovedBack:
    """The result of moving a batch back into the inbox."""

    names: tuple[str, ...]
    left: tuple[str, ...]
    """Names of other files in its folder; they stay there."""


class Quarantine:
    """The quarantine of one inbox."""

    def __init__(self, folders: InboxFolders) -> None:
        self._inbox = folders

    def has(self, batch_id: str) -> bool:
        """Whether a batch is still in quarantine: neither moved back nor removed. True while that cannot be seen."""
        try:
            return is_own_folder(self._inbox.quarantine / batch_id) and is_regular(self._inbox.reason_of(batch_id))
        except OSError:
            return True

    def listed(self) -> list[QuarantinedBatch]:
        """The batches in quarantine whose reason can be read and whose files are there, oldest first."""
        found: list[QuarantinedBatch] = []
        for folder in sorted(self._inbox.quarantine.iterdir()):
            with suppress(OSError, MalformedDocument):  # another user may have made it, or closed it
                if is_own_folder(folder) and inputs_in(folder):
                    reason = documents.read(folder / REASON, Reason)
                    found.append(QuarantinedBatch(folder.name, reason.job, reason.error))
        return found

    def refuse_retry(self, batch_id: str) -> None:
        """Raises: UsageError where there is no such batch, its files are gone, or their names are taken."""
        folder = self._inbox.quarantine / batch_id
        if not is_batch_id(batch_id) or not is_own_folder(folder) or not is_regular(folder / REASON):
            raise UsageError(f"there is no quarantined batch {batch_id}", where=str(folder), hint="check the name")
        files = self._files_of(batch_id)
        if not files:
            raise UsageError(
                f"the files of {batch_id} are gone from the quarantine",
                where=str(folder),
                hint="they were moved back by hand, or removed; the folder may be removed too",
            )
        for path in files:
            if (self._inbox.root / path.name).exists():
                raise _name_taken(self._inbox.root / path.name, batch_id)

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

    def accepted_sha256(self, batch_id: str) -> str:
        """The hash of the batch's files as they are now, in quarantine or, after an interrupted retry, in the inbox.

        Raises: UsageError where the reason cannot be read, OSError.
        """
        folder = self._inbox.quarantine / batch_id
        found: list[str] = []
        for name, sha256 in self.reason_of(batch_id).inputs.items():
            paths = [path for path in (folder / name, self._inbox.root / name) if path.exists()]
            found.append(sha256_of(paths[0]) if paths else sha256)
        return sha256_of_all(found)

    def move_back(self, batch_id: str) -> MovedBack:
        """Move the files that the batch had back into the inbox, and remove its folder unless it holds others.

        Raises: UsageError where a file of the same name waits there; what was moved before it stays in the inbox.
        """
        folder = self._inbox.quarantine / batch_id
        files = self._files_of(batch_id)
        for path in files:
            if not move_if_free(path, self._inbox.root / path.name):
                raise _name_taken(self._inbox.root / path.name, batch_id)
        left = [path.name for path in inputs_in(folder)]
        for name in (TEXT_LOG, REASON) if left else ():
            (folder / name).unlink(missing_ok=True)
        if not left:
            remove_tree(folder)
        return MovedBack(tuple(path.name for path in files), tuple(left))

    def _files_of(self, batch_id: str) -> list[Path]:
        """Those files of the batch that lie in its folder; all that do where its reason cannot be read."""
        folder = self._inbox.quarantine / batch_id
        with suppress(UsageError):
            return [folder / name for name in sorted(self.reason_of(batch_id).inputs) if (folder / name).exists()]
        return inputs_in(folder)


def reason_for(batch_id: str, error: ServiceError, now: datetime, inputs: Sequence[InputFile]) -> Reason:
    """The reason of a batch that ``error`` sent into quarantine; it is no link of the chain of outcomes yet."""
    return Reason(
        batch_id=batch_id,
        job=inputs[0].source.job,
        quarantined_at=now.isoformat(),
        error=error.code,
        message=printable(error.message),
        where=printable(error.where),
        found=printable(error.found),
        hint=printable(error.hint),
        retry=command("retry", batch_id),
        inputs={file.file_name: file.sha256 for file in inputs},
        inputs_sha256=inputs_sha256(tuple(inputs)),
    )


def inputs_in(folder: Path) -> list[Path]:
    """The files in the folder of a batch, without the reason, the log, and what file managers write beside them."""
    names = (REASON, TEXT_LOG)
    return sorted(path for path in folder.iterdir() if path.name not in names and not is_housekeeping(path.name))


def _name_taken(path: Path, batch_id: str) -> UsageError:
    return UsageError(
        f"{path.name} waits in the inbox already",
        where=str(path),
        hint=(
            f"remove it there, then: {command('retry', batch_id)}; or drop the other exports of its batch as well, "
            "and let them be processed instead"
        ),
    )
