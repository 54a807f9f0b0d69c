"""The outbox: a set of files is published as a whole, or not at all.

A set is staged in a hidden folder, made durable, and appears under ``batches/`` by one rename: the commit. The flat
files, under the names that users know, are copies of the latest set of their job, the manifest last. A reader who
follows the manifest never sees a mixed set. ``service.publication`` defines the order of the steps.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service import documents
from service.documents import MalformedDocument, Manifest
from service.files import (
    fingerprint_of,
    fsync_path,
    is_own_folder,
    is_regular,
    make_folder,
    make_own_folder,
    make_read_only,
    move,
    remove_staged,
    remove_tree,
    replace_copies,
    require_folder,
    sha256_of,
)
from service.folders import MANIFEST, OutboxFolders
from service.model import InputFile, Source


@dataclass(frozen=True)
class FlatFiles:
    """The files of a job's latest set that are copied into the outbox itself, under the names that users know."""

    names: tuple[str, ...]
    manifest: str
    """The name of the manifest's copy."""


class Outbox:
    """The folder ``root`` that results are published in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders = OutboxFolders(root)

    def open(self) -> None:
        """Create missing folders and remove what a process that died had staged.

        Raises: OSError where a folder of ours is a link or a file.
        """
        make_folder(self.root)
        make_own_folder(self._folders.batches)
        if os.path.lexists(self._folders.staging):
            require_folder(self._folders.staging)
        remove_tree(self._folders.staging)
        remove_staged(self.root)

    # ------------------------------------------------------------------------------------------------- sets

    @contextmanager
    def stage(self, batch_id: str) -> Iterator[Path]:
        """A hidden folder for the files of a set; it is removed at the end of the block unless it was committed."""
        folder = self._folders.staging / batch_id
        make_own_folder(self._folders.staging)
        remove_tree(folder)
        make_own_folder(folder)
        try:
            yield folder
        finally:
            remove_tree(self._folders.staging)

    def commit(self, batch_id: str) -> None:
        """Publish the staged set: make its files read-only and durable, then rename its folder."""
        folder = self._folders.staging / batch_id
        make_read_only(sorted(folder.iterdir()))
        fsync_path(folder)
        make_own_folder(self._folders.batches)  # a user may have emptied the outbox while we worked
        move(folder, self._folders.set_of(batch_id))

    def is_committed(self, batch_id: str) -> bool:
        """Whether the set of this batch was published, and is still there."""
        return is_own_folder(self._folders.set_of(batch_id)) and is_regular(self._folders.manifest_of(batch_id))

    def set_of(self, batch_id: str) -> Path | None:
        """The folder of a published set; None where it is gone."""
        return self._folders.set_of(batch_id) if self.is_committed(batch_id) else None

    def set_ids(self) -> list[str]:
        """The names of everything in the folder of sets."""
        return sorted(path.name for path in self._folders.batches.iterdir())

    def remove(self, batch_ids: Iterable[str]) -> None:
        """Remove published sets; each disappears by one rename."""
        for batch_id in batch_ids:
            make_own_folder(self._folders.staging)
            move(self._folders.set_of(batch_id), self._folders.staging / batch_id)
            remove_tree(self._folders.staging)

    # ------------------------------------------------------------------------------------------- flat files

    def copy_flat(self, batch_id: str, flat_files: FlatFiles) -> None:
        """Replace the flat files of a job by those of the set ``batch_id``, the manifest last.

        Nothing is done if they are that set's already, or if the set is gone.
        """
        folder = self._folders.set_of(batch_id)
        if not is_own_folder(folder) or self._flat_batch(flat_files) == batch_id:
            return
        copies = {name: folder / name for name in flat_files.names}
        replace_copies(copies | {flat_files.manifest: folder / MANIFEST}, self.root)

    def flat_manifest_sha256(self, flat_files: FlatFiles) -> str | None:
        """The hash of the manifest among the flat files; None where there is no such regular file."""
        try:
            return sha256_of(self.root / flat_files.manifest)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.EINVAL):
                return None
            raise

    def _flat_batch(self, flat_files: FlatFiles) -> str | None:
        """The batch whose flat files these are; None where their manifest is missing or was altered."""
        try:
            return documents.read(self.root / flat_files.manifest, Manifest).batch_id
        except (OSError, MalformedDocument):
            return None

    # ------------------------------------------------------------------------------------------ failed runs

    def folder_for_failed_log(self, batch_id: str) -> Path:
        """The folder for the log of a failed run; a published set stays unchanged."""
        make_folder(self.root)
        if not os.path.lexists(self.root / MANIFEST):
            return self.root
        folder = self._folders.failed / batch_id
        make_own_folder(self._folders.failed)
        make_own_folder(folder)
        return folder


def published_file(folder: Path, source: Source) -> InputFile | None:
    """A file of a published set, to be read like an export; None where the set has no file of this name."""
    path = folder / source.file_name
    try:
        # The set's manifest has its hash; to compute it once more would add nothing.
        return InputFile(source, path, sha256="", fingerprint=fingerprint_of(path), settle_proof="published")
    except FileNotFoundError:
        return None
