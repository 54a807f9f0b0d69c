"""The files in the inbox, and which of them make a batch. Reads names and states only; changes nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.files import fingerprint
from service.fingerprint import Fingerprint
from service.folders import InboxFolders
from service.inbox.names import copied_export, is_conflict_copy, is_ignored, is_incomplete, read_name, shown_name
from service.job_name import JobName
from service.model import Source
from service.suffixes import sort_key


@dataclass(frozen=True)
class WaitingFile:
    """A regular file in the inbox under the name of an export."""

    path: Path
    source: Source
    suffix: str
    state: Fingerprint
    is_readable: bool = True


@dataclass(frozen=True)
class Candidate:
    """A batch that could be claimed: exports of one job with one suffix, in source order.

    It has one of every required source, and of the optional sources those that are there.
    """

    files: tuple[WaitingFile, ...]
    left_behind: tuple[str, ...] = ()
    """Names of optional exports with this suffix that are ambiguous, and so not part of it."""

    @property
    def job(self) -> JobName:
        """The job that processes it."""
        return self.files[0].source.job

    @property
    def suffix(self) -> str:
        """The suffix that its files share."""
        return self.files[0].suffix

    @property
    def arrived_ns(self) -> int:
        """Time of the last change of any of its files, ns since the epoch."""
        return max(file.state.ctime_ns for file in self.files)

    @property
    def gap_seconds(self) -> float:
        """Time between the arrival of its first and its last file."""
        return (self.arrived_ns - min(file.state.ctime_ns for file in self.files)) / 1e9


@dataclass(frozen=True)
class IgnoredFile:
    """An entry of the inbox that is not an export, and why it is not."""

    file_name: str
    why: str
    is_copy: bool = False
    """Whether its name is that of a copy of an export, which a user may have dropped to be integrated."""


@dataclass(frozen=True)
class Scan:
    """The result of one scan of the inbox."""

    candidates: tuple[Candidate, ...] = ()
    """Oldest first: by suffix where it is a date or a number, then by arrival."""
    unpaired: tuple[WaitingFile, ...] = ()
    """Exports whose required partners are not there."""
    ambiguous: tuple[WaitingFile, ...] = ()
    """Several files for one export: a person must decide which one counts."""
    ignored: tuple[IgnoredFile, ...] = ()
    """Entries that belong to no source, or are no regular files."""

    def files(self) -> list[WaitingFile]:
        """Every export, paired or not."""
        return [file for candidate in self.candidates for file in candidate.files] + [*self.unpaired, *self.ambiguous]


def scan(folders: InboxFolders, sources: Sequence[Source]) -> Scan:
    """List the inbox and pair its exports. Raises: OSError where the folder cannot be read."""
    waiting: dict[tuple[str, str], list[WaitingFile]] = {}
    ignored: list[IgnoredFile] = []
    with os.scandir(folders.root) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if is_ignored(entry.name) or entry.name in (folders.archive.name, folders.quarantine.name):
                continue
            with suppress(FileNotFoundError):  # it was removed after it was listed
                found = _waiting_file(entry, sources)
                if found is None:
                    ignored.append(_ignored_file(entry, sources))
                else:
                    waiting.setdefault((found.suffix, found.source.name), []).append(found)
    return _paired(waiting, ignored, sources)


def _waiting_file(entry: os.DirEntry[str], sources: Sequence[Source]) -> WaitingFile | None:
    name = read_name(entry.name, sources)
    status = entry.stat(follow_symlinks=False)
    if name is None or not stat.S_ISREG(status.st_mode):
        return None
    is_readable = os.access(entry.path, os.R_OK)
    return WaitingFile(Path(entry.path), name.source, name.suffix, fingerprint(status), is_readable)


def _ignored_file(entry: os.DirEntry[str], sources: Sequence[Source]) -> IgnoredFile:
    is_file = stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)
    is_copy = is_file and copied_export(entry.name, sources) is not None
    return IgnoredFile(entry.name, _why_ignored(entry, sources), is_copy)


def _why_ignored(entry: os.DirEntry[str], sources: Sequence[Source]) -> str:
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        return "a symbolic link, which is not followed: copy the file itself"
    if stat.S_ISDIR(mode):
        return "a folder: exports belong in the inbox itself"
    if not stat.S_ISREG(mode):
        return "a pipe, socket or device, not a regular file"
    if is_incomplete(entry.name):
        return "its name is that of an unfinished transfer: rename it when it is complete"
    if is_conflict_copy(entry.name):
        return "a sync program could not merge it with the export: keep one of the two under the name of the export"
    if original := copied_export(entry.name, sources):
        return f"its name is that of a copy: rename it to {shown_name(original, sources)}, or remove it"
    return "no source has exports of this name"


def _paired(
    waiting: dict[tuple[str, str], list[WaitingFile]], ignored: list[IgnoredFile], sources: Sequence[Source]
) -> Scan:
    """The scan of files that are grouped by suffix and source name."""
    candidates: list[Candidate] = []
    unpaired: list[WaitingFile] = []
    ambiguous = [file for files in waiting.values() if len(files) > 1 for file in files]
    for job, suffix in dict.fromkeys((versions[0].source.job, suffix) for (suffix, _), versions in waiting.items()):
        needed = [source for source in sources if source.job == job]
        files = [waiting[suffix, source.name] for source in needed if (suffix, source.name) in waiting]
        clear = [versions[0] for versions in files if len(versions) == 1]
        there = {file.source.name for file in clear}
        if all(source.name in there for source in needed if source.is_required):
            left_behind = tuple(file.path.name for versions in files if len(versions) > 1 for file in versions)
            candidates.append(Candidate(tuple(clear), left_behind))
        else:
            unpaired += clear
    candidates.sort(key=lambda candidate: (sort_key(candidate.suffix), candidate.arrived_ns))
    return Scan(tuple(candidates), tuple(unpaired), tuple(ambiguous), tuple(ignored))
