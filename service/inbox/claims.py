"""The claim journal: which files a batch in work consists of, in which state, and how often it was tried.

``.claimed/<id>/`` holds the files, ``.claimed/<id>.json`` the claim. The claim is written before the files move, so
that every crash in between is repaired from it: the move is completed, or undone where a file was replaced meanwhile.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from msgspec import structs

from service import documents
from service.documents import Claim, ClaimedFile, MalformedDocument
from service.errors import InputError
from service.files import (
    fingerprint,
    fsync_path,
    is_own_folder,
    is_regular,
    make_own_subfolder,
    make_private,
    move,
    move_if_free,
    remove_staged,
    remove_tree,
    sha256_of,
    sha256_of_each,
)
from service.fingerprint import Fingerprint
from service.folders import REASON, TEXT_LOG, InboxFolders
from service.inbox.names import is_ignored
from service.inbox.quarantine import inputs_in, reason_for
from service.inbox.scan import WaitingFile
from service.inbox.settling import is_being_written
from service.model import Batch, InputFile, Source

_NOT_A_CLAIM = {errno.EINVAL, errno.ELOOP, errno.EFBIG, errno.EACCES}
"""What ``documents.read`` raises for a link, a special file, one that is too large, and one of another user."""


class SupersededFile(InputError):
    """An older version of a file, replaced by a newer one while it was being claimed."""


class ChangedFile(Exception):
    """A file is not as it was when it was scanned."""


@dataclass(frozen=True)
class Unfinished:
    """The claims that have no outcome yet."""

    batches: tuple[Batch, ...]
    """Of whole claims, oldest first."""
    put_back: tuple[str, ...]
    """Ids of claims that could not be completed; their files wait in the inbox again."""
    unreadable: tuple[str, ...] = ()
    """Names of files that are not claims; they are left unchanged."""


class Claims:
    """The claims of one inbox. ``sources``: those that a claim may name."""

    def __init__(self, folders: InboxFolders, sources: Sequence[Source]) -> None:
        self._inbox = folders
        self._sources = {source.name: source for source in sources}

    def take(self, claim: Claim, files: Sequence[WaitingFile]) -> Batch | None:
        """Write the claim and move its files; None, and everything put back, where a file changed meanwhile."""
        self._write(claim)
        folder = self._folder(claim.batch_id)
        make_own_subfolder(folder)
        with suppress(FileNotFoundError):  # a user removed it at the last moment: the claim is not whole
            for file in files:
                move(file.path, folder / file.path.name, durable=False)
            fsync_path(folder)
            fsync_path(self._inbox.root)
        if not all(_is_as_claimed(folder / file.path.name, file.state) for file in files):
            self._put_back(claim)  # a newer version appeared under the name during the move
            return None
        return self._batch(claim, is_just_hashed=True)

    def recover(self, except_for: Collection[str] = ()) -> Unfinished:
        """Complete every claim that has no outcome, or put its files back. Removes what a crash left half-written.

        The batches ``except_for`` are left alone.
        """
        remove_staged(self._inbox.claimed)
        batches: list[Batch] = []
        put_back: list[str] = []
        unreadable: list[str] = []
        for path in sorted(self._inbox.claimed.glob("*.json")):
            if path.stem in except_for:
                continue
            try:
                claim = self._read(path)
                self._refuse_planted(claim)
            except MalformedDocument:
                unreadable.append(path.name)
                continue
            if self._complete(claim):
                batches.append(self._batch(claim))
            else:
                self._put_back(claim)
                put_back.append(claim.batch_id)
        self._remove_empty_folders()
        return Unfinished(tuple(batches), tuple(put_back), tuple(unreadable))

    def begin(self, batch_id: str) -> Claim:
        """Count the start of an attempt; the count survives the death of the process."""
        claim = self._read(self._inbox.claim_of(batch_id))
        return self._write(structs.replace(claim, starts=claim.starts + 1))

    def count_fault(self, batch_id: str) -> int:
        """Count an attempt that ended in a fault; returns how many there were, 0 where the batch has its outcome."""
        try:
            claim = self._read(self._inbox.claim_of(batch_id))
        except FileNotFoundError:
            return 0
        # The process survived this attempt, so it is not counted as a death.
        return self._write(structs.replace(claim, faults=claim.faults + 1, starts=claim.starts - 1)).faults

    def release(self, batch_id: str) -> None:
        """Record that the attempt ended in order, without an outcome, so that it is not counted as a death."""
        claim = self._read(self._inbox.claim_of(batch_id))
        self._write(structs.replace(claim, starts=claim.starts - 1))

    def end(self, batch_id: str, target: Path) -> None:
        """Move the folder of a batch that has its outcome to ``target``, and remove the claim. May be repeated."""
        folder = self._folder(batch_id)
        if folder.exists():
            fsync_path(folder)
            move(folder, target)
        self._inbox.claim_of(batch_id).unlink(missing_ok=True)
        fsync_path(self._inbox.claimed)

    def _folder(self, batch_id: str) -> Path:
        return self._inbox.claimed / batch_id

    def _remove_empty_folders(self) -> None:
        """Remove the empty folders that have no claim; one that another user made may stay."""
        for folder in sorted(self._inbox.claimed.iterdir()):
            if is_own_folder(folder) and not os.path.lexists(self._inbox.claim_of(folder.name)):
                with suppress(OSError):
                    folder.rmdir()

    def _refuse_planted(self, claim: Claim) -> None:
        """Raises: MalformedDocument where the folder or a file of the claim is a link or a special file.

        The service never makes such a claim, and would follow its links.
        """
        folder = self._folder(claim.batch_id)
        if os.path.lexists(folder) and not (is_own_folder(folder) and os.access(folder, os.R_OK | os.W_OK | os.X_OK)):
            raise MalformedDocument(f"{claim.batch_id} is not a folder of ours")
        for name in claim.files:
            if os.path.lexists(folder / name) and not is_regular(folder / name):
                raise MalformedDocument(f"a file of {claim.batch_id} is not a regular file")

    def _complete(self, claim: Claim) -> bool:
        """Bring the files of a claim together; False where one is not as it was claimed."""
        folder = self._folder(claim.batch_id)
        make_own_subfolder(folder)
        remove_staged(folder)
        for name in (REASON, TEXT_LOG):  # of a move into quarantine that a crash ended
            (folder / name).unlink(missing_ok=True)
        for name, claimed in claim.files.items():
            if (folder / name).exists():
                continue
            with suppress(FileNotFoundError):
                if fingerprint((self._inbox.root / name).lstat()) == claimed.fingerprint:
                    move(self._inbox.root / name, folder / name)
            if not _is_as_claimed(folder / name, claimed.fingerprint):
                return False
        return True

    def _put_back(self, claim: Claim) -> None:
        """Undo a claim of which a file was replaced before it was complete: move the others back into the inbox."""
        folder = self._folder(claim.batch_id)
        superseded = [path for path in inputs_in(folder) if not move_if_free(path, self._inbox.root / path.name)]
        if superseded:
            self._set_aside(claim, superseded)
        remove_tree(folder)
        self._inbox.claim_of(claim.batch_id).unlink()

    def _set_aside(self, claim: Claim, superseded: list[Path]) -> None:
        """Move older versions, whose names newer files have taken, into quarantine: they were never accepted."""
        target = self._inbox.quarantine / claim.batch_id
        make_own_subfolder(target)
        names = ", ".join(path.name for path in superseded)
        error = SupersededFile(
            f"a newer version of {names} arrived while this one was claimed; the newer one is integrated",
            where=f"inbox/quarantine/{claim.batch_id}",
            hint="nothing needs to be done; remove the folder when the older version is not needed",
        )
        inputs = [self._input(path, claim.files[path.name]) for path in superseded]
        # No link of the chain of outcomes: what was never accepted has none.
        reason = reason_for(claim.batch_id, error, datetime.fromisoformat(claim.claimed_at), inputs)
        documents.write(target / REASON, reason)
        for path in superseded:
            move(path, target / path.name)

    def _read(self, path: Path) -> Claim:
        """The claim at ``path``. Raises: MalformedDocument where it is not a claim, OSError."""
        try:
            claim = documents.read(path, Claim)
            datetime.fromisoformat(claim.claimed_at)
        except OSError as error:
            if error.errno in _NOT_A_CLAIM:
                raise MalformedDocument(f"{path.name}: {error.strerror}") from None
            raise
        except MalformedDocument:
            raise
        except ValueError:
            raise MalformedDocument(f"{path.name}: claimed_at is no time") from None
        if claim.batch_id != path.stem or not claim.files or any(map(is_ignored, claim.files)):
            raise MalformedDocument(f"{path.name}: id or file names are not those of a claim")
        if not all(file.source in self._sources for file in claim.files.values()):
            raise MalformedDocument(f"{path.name}: it names a source that is not configured any more")
        return claim

    def _write(self, claim: Claim) -> Claim:
        documents.write(self._inbox.claim_of(claim.batch_id), claim)
        return claim

    def _batch(self, claim: Claim, *, is_just_hashed: bool = False) -> Batch:
        folder = self._folder(claim.batch_id)
        for name in claim.files:
            make_private(folder / name)
        inputs = tuple(
            self._input(folder / name, claimed, is_just_hashed=is_just_hashed) for name, claimed in claim.files.items()
        )
        claimed_at = datetime.fromisoformat(claim.claimed_at)
        return Batch(claim.batch_id, claimed_at, inputs, claim.suffix, claim.accepted, claim.warnings)

    def _input(self, path: Path, claimed: ClaimedFile, *, is_just_hashed: bool = False) -> InputFile:
        """A claimed file as it is now. Hashed again unless that happened just now: it may have been written to.

        A write between hash and move that restores size and mtime is found before the commit, which hashes again;
        the next attempt then starts from the file's true hash.
        """
        state = fingerprint(path.lstat())
        is_hash_current = is_just_hashed and _is_same_content(state, claimed.fingerprint)
        sha256 = claimed.sha256 if is_hash_current else sha256_of(path)
        return InputFile(self._sources[claimed.source], path, sha256, state, claimed.settle_proof)


def hashed_inputs(files: Sequence[WaitingFile], proofs: Mapping[Path, str]) -> tuple[InputFile, ...]:
    """Waiting files as inputs. Raises: ChangedFile where one is not as it was scanned, FileNotFoundError."""
    hashes = sha256_of_each([file.path for file in files])
    if any(fingerprint(file.path.lstat()) != file.state for file in files):
        raise ChangedFile
    return tuple(
        InputFile(file.source, file.path, sha256, file.state, proofs[file.path])
        for file, sha256 in zip(files, hashes, strict=True)
    )


def claimed_file(file: InputFile) -> ClaimedFile:
    """An input as it is written into a claim."""
    return ClaimedFile(
        source=file.source.name,
        sha256=file.sha256,
        fingerprint=file.fingerprint,
        settle_proof=file.settle_proof,
    )


def _is_as_claimed(path: Path, claimed: Fingerprint) -> bool:
    """Whether the file is as it was scanned and no process has it open to write.

    Call it when the file is in the claim's folder: no process opens it there, so the result stays true.
    """
    try:
        is_same = _is_same_content(fingerprint(path.lstat()), claimed)
    except FileNotFoundError:
        return False
    return is_same and not is_being_written(path, claimed.device)


def _is_same_content(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether both are of one file without a write in between; a rename alone changes the ctime."""
    return replace(one, ctime_ns=0) == replace(other, ctime_ns=0)
