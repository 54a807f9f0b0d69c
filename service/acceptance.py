"""Marks that let given input files pass the guards once: ``retry --accept`` gives one, the publication uses it up.

A mark is an empty file in ``state/accepted`` whose name is the hash of the inputs.
"""

from __future__ import annotations

from pathlib import Path

from service.files import make_folder, replace_text
from service.folders import StateFolders


class Acceptance:
    """The marks in the state folder ``state``, each known by the ``inputs_sha256`` of the files it is for."""

    def __init__(self, state: Path) -> None:
        self._marks = StateFolders(state).accepted

    def is_given(self, inputs_sha256: str) -> bool:
        """Whether files with this hash skip the guards."""
        return (self._marks / inputs_sha256).exists()

    def give(self, inputs_sha256: str) -> None:
        """Let files with this hash skip the guards, once. Raises: OSError."""
        make_folder(self._marks)
        replace_text(self._marks / inputs_sha256, "")

    def use_up(self, inputs_sha256: str) -> None:
        """Delete the mark, if there is one. Raises: OSError."""
        (self._marks / inputs_sha256).unlink(missing_ok=True)
