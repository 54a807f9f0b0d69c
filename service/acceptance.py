"""Marks that let given input files pass the guards once: ``retry --accept`` gives one, the next outcome ends it.

A mark is a file in ``state/accepted`` whose name is the hash of the inputs; it holds the names of the files and the
batch that they were quarantined with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from service import documents
from service.documents import AcceptedFiles, MalformedDocument
from service.files import give_to_owner_of, make_folder
from service.folders import StateFolders


class Acceptance:
    """The marks in the state folder ``state``, each known by the ``inputs_sha256`` of the files it is for."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._marks = StateFolders(state).accepted

    def is_given(self, inputs_sha256: str) -> bool:
        """Whether files with this hash skip the guards."""
        return (self._marks / inputs_sha256).exists()

    def give(self, inputs_sha256: str, files: AcceptedFiles) -> None:
        """Let files with this hash skip the guards, once. Raises: OSError."""
        make_folder(self._marks)
        documents.write(self._marks / inputs_sha256, files)
        give_to_owner_of(self._state, self._marks, self._marks / inputs_sha256)

    def end(self, inputs_sha256: str, file_names: Collection[str]) -> None:
        """A batch of these files has its outcome: delete its mark, and unused ones of files with these names.

        Raises: OSError.
        """
        for mark, files in self._given():
            if mark.name == inputs_sha256 or not set(file_names).isdisjoint(files.names):
                mark.unlink(missing_ok=True)

    def end_unused(self, waiting: Collection[str], is_quarantined: Callable[[str], bool]) -> None:
        """Delete the marks of files that neither wait under the names ``waiting`` nor are about to be moved back.

        Raises: OSError.
        """
        for mark, files in self._given():
            if set(waiting).isdisjoint(files.names) and not is_quarantined(files.batch_id):
                mark.unlink(missing_ok=True)

    def _given(self) -> list[tuple[Path, AcceptedFiles]]:
        """Each mark, and the files it is for; none are known of a mark of 0.1.0."""
        try:
            marks = sorted(path for path in self._marks.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return []
        return [(mark, _files_of(mark)) for mark in marks]


def _files_of(mark: Path) -> AcceptedFiles:
    try:
        return documents.read(mark, AcceptedFiles)
    except (OSError, MalformedDocument):
        return AcceptedFiles()
