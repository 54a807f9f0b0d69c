"""The state folder as a whole: its format, its identity, and who works with it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from service.errors import SettingsError, UsageError
from service.files import Lock, create_text, is_locked, make_folder, remove_staged

FORMAT = 1


class State:
    """The state folder ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = Lock(root / ".lock")

    def open(self) -> str:
        """Create what is missing; returns the identity of this state, which inboxes remember.

        Raises: SettingsError where a program we do not know wrote the state.
        """
        make_folder(self.root)
        path = self.root / "state.json"
        if not path.exists():
            create_text(path, json.dumps({"format": FORMAT, "id": str(uuid.uuid4())}) + "\n")
        try:
            noted = json.loads(path.read_text(encoding="utf-8"))
            written_by, id_ = noted["format"], noted["id"]
        except (ValueError, KeyError, TypeError):
            raise SettingsError(
                "the state folder's own file is damaged",
                where=str(path),
                hint="restore it from a backup, or give SERVICE_STATE another folder",
            ) from None
        if written_by != FORMAT:
            raise SettingsError(
                f"the state folder has format {written_by}, this program knows {FORMAT}",
                where=str(path),
                hint="run the program that wrote it, or give SERVICE_STATE another folder",
            )
        return str(id_)

    def take(self) -> None:
        """Become the one process that works with this state, until ``release`` or death.

        Raises: UsageError where another works with it; SettingsError as ``open``.
        """
        self.open()
        if not self._lock.acquire():
            raise UsageError(
                f"another process works with the state folder {self.root}",
                hint="stop it, or give SERVICE_STATE another folder",
            )
        remove_staged(self.root)

    def is_taken(self) -> bool:
        """Whether a process works with this state; only looks."""
        return is_locked(self.root / ".lock")

    def release(self) -> None:
        """Let another process take it."""
        self._lock.release()
