"""Uploads: the name under which a file from a client lands in the inbox, and the file while it is received."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from service.errors import ServiceError, TransientError, UnreadableFile, UsageError
from service.files import give_to_owner_of, make_folder, move_if_free, remove_staged, staged_file
from service.inbox.names import is_incomplete, partner_name, read_name, shown_name
from service.model import CSV_KINDS, JSON_KINDS, Source
from service.readers.file_kind import refuse_other_kinds

_STAGED_AS = "upload"
"""The hidden name of a file that is received contains this word, and nothing that a client chose."""
_MOST_NAME_BYTES = 255
_KIND = re.compile(rf"\.(?:{'|'.join(CSV_KINDS + JSON_KINDS)})(?:\.gz)?$", re.IGNORECASE | re.ASCII)
_KINDS = ", ".join(f".{kind}" for kind in CSV_KINDS + JSON_KINDS)
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class WrongUpload(UsageError):
    """The file cannot be an export of this source, by its name or its first bytes."""


class UploadTooLarge(UsageError):
    """The file is larger than ``SERVICE_UPLOAD_LIMIT_MB``."""

    def __init__(self, limit_mb: int) -> None:
        super().__init__(
            f"the file is larger than {limit_mb} MB",
            hint="pack it with gzip, copy it into the inbox folder, or raise SERVICE_UPLOAD_LIMIT_MB",
        )


class NoSpaceForUpload(TransientError):
    """The disk of the inbox has no room for the file."""

    def __init__(self) -> None:
        super().__init__(
            "the disk of the inbox has no room for this file",
            hint="make room, or lower SERVICE_KEEP_BATCHES; nothing of the file was kept",
        )


def landing_name(given: str, source: Source, sources: Sequence[Source]) -> str:
    """The name under which a file that its sender calls ``given`` lands as an export of ``source``.

    A name of an export of this source stays. Any other name is replaced by that of the source, with the extension of
    ``given``; without a name the source's own extension counts.

    >>> from service.model import CRM, SOURCES
    >>> landing_name("CRM_customers_2024-01-15.csv", CRM, SOURCES), landing_name("Export (3).TSV.gz", CRM, SOURCES)
    ('CRM_customers_2024-01-15.csv', 'crm_customers.tsv.gz')

    Raises: WrongUpload for a path, a name that is too long, another kind, an unfinished transfer, and the name of an
    export of another source.
    """
    own = partner_name(source, "")
    if not given:
        return own
    if given in (".", "..") or not {"/", "\\", "\0"}.isdisjoint(given):
        raise WrongUpload("the name of the file is a path", hint="send the plain name, without a folder")
    if len(os.fsencode(given)) > _MOST_NAME_BYTES:
        raise WrongUpload(f"the name of the file has more than {_MOST_NAME_BYTES} bytes", hint="give it a shorter name")
    found = _KIND.search(given)
    if found is None:
        raise WrongUpload(
            "a file of this kind is not read",
            hint=f'export it as one of {_KINDS}, packed with gzip or not; a spreadsheet is saved as "CSV UTF-8"',
        )
    if is_incomplete(given):
        raise WrongUpload("the name is that of an unfinished transfer", hint="wait until it is complete")
    if read_name(given, (source,)) is not None:
        return given
    if other := read_name(given, sources):
        hint = f"upload it as {other.source.name}, or rename it if it is the export of {source.name}"
        raise WrongUpload(f"this is the name of an export of {other.source.name}", hint=hint)
    return f"{own.rpartition('.')[0]}{found[0].lower()}"


def refuse_second(inbox: Path, name: str, source: Source) -> None:
    """Raises: UsageError where an export of the source with the same suffix waits already; OSError.

    Nothing is ever replaced: the writer of the other file may count on it, and of two versions none is claimed.
    """
    wanted = read_name(name, (source,))
    try:
        waiting = [path.name for path in inbox.iterdir() if read_name(path.name, (source,)) == wanted]
    except FileNotFoundError:
        return
    if waiting:
        raise _waits_already(waiting[0], source)


def _waits_already(name: str, source: Source) -> UsageError:
    return UsageError(
        f"{shown_name(name, (source,))} waits in the inbox already",
        hint="let it be processed first, which needs the other exports of its batch, or remove it from the folder",
    )


def remove_partial_uploads(inbox: Path) -> None:
    """Remove what a process that died had received. Only while no other process receives files for this inbox."""
    with suppress(OSError):
        remove_staged(inbox, _STAGED_AS)


class StagedUpload:
    """A file that is being received, under a hidden name in the inbox; ``land`` or ``discard`` ends it.

    Also a stream that a form parser can write to.
    """

    def __init__(self, inbox: Path, limit_mb: int, beside_bytes: int = 0) -> None:
        """``beside_bytes``: what may come beside the file, such as the frame of a form. Raises: OSError."""
        make_folder(inbox)
        self._inbox = inbox
        self._limit_mb = limit_mb
        self._most_bytes = (limit_mb << 20) + beside_bytes
        self._open = ExitStack()
        self._file, self.path = self._open.enter_context(staged_file(inbox / _STAGED_AS))
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        """Append ``data``. Raises: UploadTooLarge, NoSpaceForUpload, OSError; then ``discard`` it."""
        self.size_bytes += len(data)
        if self.size_bytes > self._most_bytes:
            raise UploadTooLarge(self._limit_mb)
        try:
            return self._file.write(data)
        except OSError as error:
            raise _explained(error) from error

    def seek(self, position: int) -> None:
        """Complete what was written, as the end of a form's part. Raises: as ``write``."""
        try:
            self._file.flush()
        except OSError as error:
            raise _explained(error) from error

    def land(self, name: str, source: Source) -> None:
        """Let the file appear in the inbox under ``name``, durably; nothing is replaced.

        Raises: UsageError where the name is taken; WrongUpload where it is empty, or its first bytes are those of
        another kind; NoSpaceForUpload; OSError. Then it is still hidden.
        """
        if not self.size_bytes:
            raise WrongUpload("the file is empty", hint="export it again, and look at its size")
        self.seek(0)
        if not name.lower().endswith(".gz"):
            try:
                refuse_other_kinds(self.path, source.format_of(name), name)
            except UnreadableFile as error:
                raise WrongUpload(error.message, hint=error.hint) from None
        try:
            os.fsync(self._file.fileno())
            self._open.close()
        except OSError as error:
            raise _explained(error) from error
        refuse_second(self._inbox, name, source)
        give_to_owner_of(self._inbox, self.path)
        if not move_if_free(self.path, self._inbox / name):
            raise _waits_already(name, source)

    def discard(self) -> None:
        """Remove the file, unless it has landed; may be repeated."""
        with suppress(OSError):
            self._open.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> StagedUpload:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def _explained(error: OSError) -> ServiceError | OSError:
    return NoSpaceForUpload() if error.errno in _NO_SPACE else error
