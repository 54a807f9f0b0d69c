"""The state folder as a whole: its format, its identity, and the lock of the process that works with it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from service.errors import SettingsError, UsageError
from service.files import (
    close_to_others,
    create_text,
    make_folder,
    read_regular,
    remove_staged,
)
from service.folders import StateFolders
from service.locks import STATE_NEEDS_LOCKS, Lock, is_locked

FORMAT = 1
_MOST_BYTES = 4096
"""The identity file is far smaller."""


class State:
    """The state folder ``root``; one process at a time works with it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders = StateFolders(root)
        self._lock = Lock(self._folders.lock, locks=f"the state folder {root}", hint=STATE_NEEDS_LOCKS)

    def open(self) -> str:
        """Create what is missing, close the folder to other users; returns the id of this state: its inbox stores it.

        Raises: SettingsError if the file with the id is damaged, or another version of the program wrote it.
        """
        make_folder(self.root)
        close_to_others(self.root)
        if not self._folders.identity.exists():
            create_text(self._folders.identity, json.dumps({"format": FORMAT, "id": str(uuid.uuid4())}) + "\n")
        return self.known_id()

    def known_id(self) -> str:
        """The id of this state; changes nothing.

        Raises: SettingsError as ``open``; FileNotFoundError where no service has worked with it; OSError.
        """
        path = self._folders.identity
        try:
            identity = json.loads(read_regular(path, _MOST_BYTES))
            written_format, id_ = identity["format"], identity["id"]
        except (ValueError, KeyError, TypeError):
            raise SettingsError(
                "the state folder's own file is damaged",
                where=str(path),
                hint="restore it from a backup, or give SERVICE_STATE another folder",
            ) from None
        if written_format != FORMAT:
            raise SettingsError(
                f"the state folder has format {written_format}, this program knows {FORMAT}",
                where=str(path),
                hint="run the program that wrote it, or give SERVICE_STATE another folder",
            )
        return str(id_)

    def take(self) -> None:
        """Lock this state until ``release``, or until the process ends.

        Raises: UsageError if another process holds it; SettingsError as ``open``, whose checks are made again, because
        an instance that stood by may find the state of a newer program, and for a file system without locks; OSError.
        """
        self.open()
        if not self._lock.acquire():
            raise UsageError(
                f"another process works with the state folder {self.root}",
                hint="stop it, or give SERVICE_STATE another folder",
            )
        for folder in (self.root, self._folders.register, self._folders.accepted):
            remove_staged(folder)

    def is_taken(self) -> bool:
        """Whether a process holds this state; does not take it."""
        return is_locked(self._folders.lock)

    def release(self) -> None:
        """Release the lock, so that another process can take this state."""
        self._lock.release()
