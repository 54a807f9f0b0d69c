"""The inbox folder: what waits, what candidates, and where files go. The only place that moves users' files.

``.claimed/<id>/`` holds the batch being worked on, ``.claimed/<id>.json`` beside it the claim: which files,
in which state, how often it was tried. Everything moves by rename on one file system.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from service import documents
from service.documents import Reason
from service.errors import InputError, ServiceError, UsageError
from service.files import (
    Lock,
    fingerprint,
    fsync_path,
    make_folder,
    make_private,
    move,
    move_if_free,
    remove_staged,
    remove_tree,
    replace_text,
    sha256_of,
)
from service.inbox.names import is_ignored, read_name
from service.inbox.settling import is_being_written
from service.model import API, SOURCES, Batch, Fingerprint, InputFile, JobName, Source, batch_id, inputs_sha256
from service.suffixes import sort_key

REASON = "reason.json"
LOG = "integration_log.txt"
_MOVED = "they were moved back by hand, or removed; the folder may be removed too"


class SupersededFile(InputError):
    """An older version of a file, replaced by a newer one while it was being claimed."""


class _Changed(Exception):
    """A file is not as it was when it was looked at."""


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
    """Exports for one job that belong together, in source order: of every required source, and optional ones there."""

    files: tuple[WaitingFile, ...]
    left_behind: tuple[str, ...] = ()
    """Names of optional exports that belong to them, but cannot be taken."""

    @property
    def job(self) -> JobName:
        """What is made of them."""
        return self.files[0].source.job

    @property
    def suffix(self) -> str:
        """What stands behind both names."""
        return self.files[0].suffix

    @property
    def arrived_ns(self) -> int:
        """When the later file was last changed."""
        return max(file.state.ctime_ns for file in self.files)

    @property
    def gap_seconds(self) -> float:
        """How far apart the files arrived."""
        return (self.arrived_ns - min(file.state.ctime_ns for file in self.files)) / 1e9


@dataclass(frozen=True)
class IgnoredFile:
    """Something in the inbox that is no export, and why it is none."""

    file_name: str
    why: str


@dataclass(frozen=True)
class Scan:
    """What a look into the inbox found."""

    candidates: tuple[Candidate, ...] = ()
    """Oldest first: by suffix where it is a date or a number, then by arrival."""
    unpaired: tuple[WaitingFile, ...] = ()
    ambiguous: tuple[WaitingFile, ...] = ()
    """Several files for one and the same export: which one counts only a person knows."""
    ignored: tuple[IgnoredFile, ...] = ()
    """What belongs to no source, or is no regular file."""

    def files(self) -> list[WaitingFile]:
        """Every export, paired or not."""
        return [file for candidate in self.candidates for file in candidate.files] + [*self.unpaired, *self.ambiguous]


@dataclass
class Claim:
    """A batch being worked on, as remembered beside its folder."""

    batch_id: str
    claimed_at: str
    suffix: str
    files: dict[str, dict[str, Any]]
    """File name -> source, sha256, fingerprint, settle_proof."""
    accepted: bool = False
    warnings: list[str] = field(default_factory=list)
    starts: int = 0
    faults: int = 0


@dataclass(frozen=True)
class Quarantined:
    """A batch in quarantine, and why it is there."""

    batch_id: str
    job: JobName
    code: str

    def __str__(self) -> str:
        """As it is told in health."""
        return f"{self.batch_id}: {self.code}"


@dataclass(frozen=True)
class Unfinished:
    """What was found claimed."""

    batches: tuple[Batch, ...]
    """Whole claims, oldest first."""
    put_back: tuple[str, ...]
    """Ids of claims that were not whole any more; their files wait in the inbox again."""
    unreadable: tuple[str, ...] = ()
    """Names of claims that are not as we write them; they are left alone."""


class Inbox:
    """The folder ``root``; one process at a time works in it, which its lock sees to.

    ``is_known`` says whether a batch id was used before: no new batch gets one of them. ``is_accepted`` says whether
    files with this ``inputs_sha256`` skip the guards: a claim remembers it.
    """

    def __init__(
        self,
        root: Path,
        is_known: Callable[[str], bool] = lambda batch_id: False,
        is_accepted: Callable[[str], bool] = lambda inputs_sha256: False,
        sources: Sequence[Source] = (*SOURCES, API),
    ) -> None:
        self._is_known = is_known
        self._is_accepted = is_accepted
        self.sources = tuple(sources)
        self.root = root
        self._claimed = root / ".claimed"
        self._archive = root / "archive"
        self._quarantine = root / "quarantine"
        self._lock = Lock(root / ".lock")
        self.is_new = False
        """Whether nobody had worked in this folder before it was locked."""

    def open(self) -> None:
        """Create what is missing."""
        for folder in (self.root, self._claimed, self._archive, self._quarantine):
            make_folder(folder)

    def try_lock(self, state_id: str) -> bool:
        """Become the one that works here; False while another does. Frees itself when the process dies.

        Raises: UsageError where the inbox belongs to another state folder.
        """
        is_ours = self._lock.acquire()
        owner = self._lock.note()
        if owner and owner != state_id:
            self._lock.release()
            raise UsageError(
                f"the inbox {self.root} belongs to another state folder",
                where=str(self.root / ".lock"),
                hint="use the SERVICE_STATE it was first used with, or another inbox; if that state is lost for"
                " good, empty the lock file",
            )
        if is_ours and not owner:
            self._lock.write_note(state_id)
        self.is_new = is_ours and not owner
        return is_ours

    def is_locked(self) -> bool:
        """Whether we still hold the folder that is there now; not so when it was replaced or unmounted."""
        return self._lock.is_held()

    def unlock(self) -> None:
        """Let another instance take over."""
        self._lock.release()

    def scan(self) -> Scan:
        """What lies in the inbox. Raises: OSError where the folder cannot be read."""
        waiting: dict[tuple[str, str], list[WaitingFile]] = {}
        ignored: list[IgnoredFile] = []
        with os.scandir(self.root) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if is_ignored(entry.name) or entry.name in (self._archive.name, self._quarantine.name):
                    continue
                with suppress(FileNotFoundError):  # it went between the listing and the look
                    found = _waiting(entry, self.sources)
                    if found is None:
                        ignored.append(IgnoredFile(entry.name, _why_ignored(entry)))
                    else:
                        waiting.setdefault((found.suffix, found.source.name), []).append(found)
        return _paired(waiting, ignored, self.sources)

    def claim(
        self, candidate: Candidate, proofs: Mapping[Path, str], now: datetime, warnings: Sequence[str] = ()
    ) -> Batch | None:
        """Take a settled candidate into work; None if a file changed or went meanwhile (it is looked at again).

        The intent is written before the files move, so that ``unfinished`` can complete it after a crash between them.
        """
        try:
            inputs = tuple(_settled_delivery(file, proofs[file.path]) for file in candidate.files)
        except (FileNotFoundError, _Changed):
            return None
        claim = Claim(
            batch_id=batch_id(now, inputs, self._is_taken),
            claimed_at=now.isoformat(),
            suffix=candidate.suffix,
            files={delivery.file_name: _remembered(delivery) for delivery in inputs},
            accepted=self._is_accepted(inputs_sha256(inputs)),
            warnings=list(warnings),
        )
        self._write(claim)
        folder = self._claimed / claim.batch_id
        make_folder(folder)
        with suppress(FileNotFoundError):  # a user took it away at the last moment: the claim is not whole
            for file in candidate.files:
                move(file.path, folder / file.path.name)
        if not all(_is_as_claimed(folder / file.path.name, file.state) for file in candidate.files):
            self._put_back(claim)  # a newer version slipped in under the name while we moved it
            return None
        return self._batch(claim)

    def unfinished(self) -> Unfinished:
        """What is claimed and has no outcome yet; file-made claims are made whole or put back."""
        remove_staged(self._claimed)
        batches: list[Batch] = []
        put_back: list[str] = []
        unreadable: list[str] = []
        for path in sorted(self._claimed.glob("*.json")):
            try:
                claim = self._read(path)
            except (ValueError, TypeError):  # not as we write them: somebody else did
                unreadable.append(path.name)
                continue
            if self._complete(claim):
                batches.append(self._batch(claim))
            else:
                self._put_back(claim)
                put_back.append(claim.batch_id)
        for folder in sorted(self._claimed.iterdir()):
            if folder.is_dir() and not self._claim_path(folder.name).exists() and not any(folder.iterdir()):
                folder.rmdir()
        return Unfinished(tuple(batches), tuple(put_back), tuple(unreadable))

    def begin(self, batch: Batch) -> Claim:
        """Count a start of work on this batch; the count outlives a death of the process."""
        claim = self._read(self._claim_path(batch.id))
        claim.starts += 1
        self._write(claim)
        return claim

    def count_fault(self, batch: Batch) -> int:
        """Count a fault of the world; returns how many there were, 0 where the claim has its outcome already."""
        try:
            claim = self._read(self._claim_path(batch.id))
        except FileNotFoundError:
            return 0
        claim.faults += 1
        # A start that ended in a fault was no death.
        claim.starts -= 1
        self._write(claim)
        return claim.faults

    def release(self, batch: Batch) -> None:
        """The start that was counted ended in order, without an outcome: it was no death."""
        claim = self._read(self._claim_path(batch.id))
        claim.starts -= 1
        self._write(claim)

    def archive(self, batch: Batch) -> None:
        """Move the inputs of a published batch into the archive."""
        self._settle(batch.id, self._archive / batch.id)

    def quarantine(self, batch: Batch, error: ServiceError, now: datetime, log_text: str) -> Path:
        """The batch cannot be integrated: its inputs go into quarantine, with the reason and the log."""
        folder = self._claimed / batch.id
        make_folder(folder)
        replace_text(folder / LOG, log_text)
        link = {"log_sha256": sha256_of(folder / LOG), "former_outcome_sha256": batch.former_outcome_sha256}
        _write_reason(folder, batch.id, error, now, batch.inputs, link)
        self._settle(batch.id, self._quarantine / batch.id)
        return self._quarantine / batch.id

    def refuse_retry(self, batch_id: str) -> None:
        """Raises: UsageError where there is no such batch in quarantine, its files are gone, or a name is taken."""
        folder = self._quarantine / batch_id
        if "/" in batch_id or not (folder / REASON).is_file():
            raise UsageError(f"there is no quarantined batch {batch_id}", where=str(folder), hint="check the name")
        files = _inputs_in(folder)
        if not files:
            raise UsageError(f"the files of {batch_id} are gone from the quarantine", where=str(folder), hint=_MOVED)
        for path in files:
            if (self.root / path.name).exists():
                raise _name_taken(self.root / path.name)

    def reason_of(self, batch_id: str) -> Reason:
        """Why a batch was quarantined. Raises: UsageError where its reason cannot be read."""
        path = self._quarantine / batch_id / REASON
        try:
            return documents.read(path, Reason)
        except (OSError, documents.MalformedDocument) as error:
            raise UsageError(
                f"the reason of {batch_id} cannot be read: {error}",
                where=str(path),
                hint="move its files back into the inbox by hand",
            ) from None

    def move_back(self, batch_id: str) -> list[str]:
        """Move the files of a quarantined batch back into the inbox; returns their names.

        Raises: UsageError where a file of the same name waits there; the files before it are moved.
        """
        folder = self._quarantine / batch_id
        files = _inputs_in(folder)
        for path in files:
            if not move_if_free(path, self.root / path.name):
                raise _name_taken(self.root / path.name)
        remove_tree(folder)
        return [path.name for path in files]

    def is_quarantined(self, batch_id: str) -> bool:
        """Whether a batch is there still: not moved back, not removed."""
        return (self._quarantine / batch_id).is_dir()

    def quarantined_after(self, last: Mapping[JobName, str]) -> list[Quarantined]:
        """Batches that were quarantined after the ``last`` one of their job was claimed, and still are."""
        found: list[Quarantined] = []
        for folder in sorted(self._quarantine.iterdir()):
            if folder.is_dir() and _inputs_in(folder):
                with suppress(OSError, ValueError, KeyError):
                    reason = json.loads((folder / REASON).read_text(encoding="utf-8"))
                    # A reason of before there were several jobs tells none.
                    found.append(Quarantined(folder.name, reason.get("job", "integration"), reason["error"]))
        return [it for it in found if it.batch_id > last.get(it.job, "")]

    def prune(self, batch_ids: list[str]) -> None:
        """Remove the archived inputs of batches whose published sets were removed."""
        for id_ in batch_ids:
            remove_tree(self._archive / id_)

    def _is_taken(self, id_: str) -> bool:
        folders = (self._claimed, self._archive, self._quarantine)
        is_here = any((folder / id_).exists() for folder in folders) or self._claim_path(id_).exists()
        return is_here or self._is_known(id_)

    def _settle(self, id_: str, target: Path) -> None:
        folder = self._claimed / id_
        if folder.exists():
            fsync_path(folder)
            move(folder, target)
        self._claim_path(id_).unlink(missing_ok=True)
        fsync_path(self._claimed)

    def _complete(self, claim: Claim) -> bool:
        """Bring the files of a claim together, as far as they are still the ones that were claimed."""
        folder = self._claimed / claim.batch_id
        make_folder(folder)
        remove_staged(folder)
        for name in (REASON, LOG):  # of a quarantine that was not ended
            (folder / name).unlink(missing_ok=True)
        for name, remembered in claim.files.items():
            if (folder / name).exists():
                continue
            claimed = Fingerprint(**remembered["fingerprint"])
            with suppress(FileNotFoundError):
                if fingerprint((self.root / name).lstat()) == claimed:
                    move(self.root / name, folder / name)
            if not _is_as_claimed(folder / name, claimed):
                return False
        return True

    def _put_back(self, claim: Claim) -> None:
        """A file was replaced before the claim was whole: the other waits in the inbox again."""
        folder = self._claimed / claim.batch_id
        superseded = [path for path in _inputs_in(folder) if not move_if_free(path, self.root / path.name)]
        if superseded:
            self._set_aside(claim, superseded)
        folder.rmdir()
        self._claim_path(claim.batch_id).unlink()

    def _set_aside(self, claim: Claim, superseded: list[Path]) -> None:
        """A newer version waits under the same name. The older was never accepted, but nothing is thrown away."""
        target = self._quarantine / claim.batch_id
        make_folder(target)
        names = ", ".join(path.name for path in superseded)
        error = SupersededFile(
            f"a newer version of {names} arrived while this one was claimed; the newer one is integrated",
            where=f"inbox/quarantine/{claim.batch_id}",
            hint="nothing is to be done; remove the folder when the older version is not needed",
        )
        inputs = [
            _delivery(self._source(claim.files[path.name]["source"]), path, claim.files[path.name])
            for path in superseded
        ]
        # No link of the chain of outcomes: what was never accepted has none.
        _write_reason(target, claim.batch_id, error, datetime.fromisoformat(claim.claimed_at), inputs, {})
        for path in superseded:
            move(path, target / path.name)

    def _claim_path(self, id_: str) -> Path:
        return self._claimed / f"{id_}.json"

    def _read(self, path: Path) -> Claim:
        claim = Claim(**json.loads(path.read_text(encoding="utf-8")))
        if not {it["source"] for it in claim.files.values()} <= {source.name for source in self.sources}:
            raise ValueError("a source that is configured no more")
        return claim

    def _write(self, claim: Claim) -> None:
        replace_text(self._claim_path(claim.batch_id), json.dumps(asdict(claim), indent=2) + "\n")

    def _batch(self, claim: Claim) -> Batch:
        folder = self._claimed / claim.batch_id
        for name in claim.files:
            make_private(folder / name)
        inputs = tuple(
            _delivery(self._source(remembered["source"]), folder / name, remembered)
            for name, remembered in claim.files.items()
        )
        claimed_at = datetime.fromisoformat(claim.claimed_at)
        return Batch(claim.batch_id, claimed_at, inputs, claim.suffix, claim.accepted, tuple(claim.warnings))

    def _source(self, name: str) -> Source:
        return next(source for source in self.sources if source.name == name)


def _waiting(entry: os.DirEntry[str], sources: Sequence[Source]) -> WaitingFile | None:
    name = read_name(entry.name, sources)
    status = entry.stat(follow_symlinks=False)
    if name is None or not stat.S_ISREG(status.st_mode):
        return None
    is_readable = os.access(entry.path, os.R_OK)
    return WaitingFile(Path(entry.path), name.source, name.suffix, fingerprint(status), is_readable)


def _why_ignored(entry: os.DirEntry[str]) -> str:
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        return "a symbolic link, which is not followed: copy the file itself"
    if stat.S_ISDIR(mode):
        return "a folder: exports lie in the inbox itself"
    if not stat.S_ISREG(mode):
        return "no regular file but a pipe, socket or device"
    return "no source has exports of this name"


def _paired(
    waiting: dict[tuple[str, str], list[WaitingFile]], ignored: list[IgnoredFile], sources: Sequence[Source]
) -> Scan:
    candidates: list[Candidate] = []
    unpaired: list[WaitingFile] = []
    ambiguous = [file for files in waiting.values() if len(files) > 1 for file in files]
    for job, suffix in dict.fromkeys((versions[0].source.job, suffix) for (suffix, _), versions in waiting.items()):
        needed = [source for source in sources if source.job == job]
        files = [waiting[suffix, source.name] for source in needed if (suffix, source.name) in waiting]
        clear = [versions[0] for versions in files if len(versions) == 1]
        there = {file.source.name for file in clear}
        if all(source.name in there for source in needed if source.is_required):
            contested = tuple(file.path.name for versions in files if len(versions) > 1 for file in versions)
            candidates.append(Candidate(tuple(clear), contested))
        else:
            unpaired += clear
    candidates.sort(key=lambda candidate: (sort_key(candidate.suffix), candidate.arrived_ns))
    return Scan(tuple(candidates), tuple(unpaired), tuple(ambiguous), tuple(ignored))


def _delivery(source: Source, path: Path, remembered: dict[str, Any]) -> InputFile:
    """A claimed file as it is now: what was hashed when it was claimed may have been written to since."""
    state = fingerprint(path.lstat())
    return InputFile(source, path, sha256_of(path), state, remembered["settle_proof"])


def _settled_delivery(file: WaitingFile, proof: str) -> InputFile:
    """A waiting file as a delivery. Raises: _Changed where it is not as it was when it was looked at."""
    digest = sha256_of(file.path)
    if fingerprint(file.path.lstat()) != file.state:
        raise _Changed
    return InputFile(file.source, file.path, digest, file.state, proof)


def _remembered(delivery: InputFile) -> dict[str, Any]:
    return {
        "source": delivery.source.name,
        "sha256": delivery.sha256,
        "fingerprint": asdict(delivery.fingerprint),
        "settle_proof": delivery.settle_proof,
    }


def _is_as_claimed(path: Path, claimed: Fingerprint) -> bool:
    """Whether nobody wrote since it was looked at, nor holds it open to write.

    To be asked once it lies in the claim: there nobody opens it any more, so the answer stays true.
    """
    try:
        is_same = _is_same_content(fingerprint(path.lstat()), claimed)
    except FileNotFoundError:
        return False
    return is_same and not is_being_written(path, claimed.device)


def _write_reason(
    folder: Path,
    batch_id: str,
    error: ServiceError,
    now: datetime,
    inputs: Sequence[InputFile],
    link: Mapping[str, str | None],
) -> None:
    reason = {
        "batch_id": batch_id,
        "job": inputs[0].source.job,
        "quarantined_at": now.isoformat(),
        "error": error.code,
        "message": error.message,
        "where": error.where,
        "found": error.found,
        "hint": error.hint,
        "retry": f"python -m service retry {batch_id}",
        "inputs": {delivery.file_name: delivery.sha256 for delivery in inputs},
        "inputs_sha256": inputs_sha256(tuple(inputs)),
        **link,
    }
    replace_text(folder / REASON, json.dumps(reason, indent=2, ensure_ascii=False) + "\n")


def _inputs_in(folder: Path) -> list[Path]:
    """The quarantined files, without what was written beside them."""
    return sorted(path for path in folder.iterdir() if path.name not in (REASON, LOG))


def _name_taken(path: Path) -> UsageError:
    return UsageError(
        f"{path.name} waits in the inbox already",
        where=str(path),
        hint="let it be processed or move it away, then retry",
    )


def _is_same_content(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether nobody wrote in between; a rename alone changes the ctime."""
    return replace(one, ctime_ns=0) == replace(other, ctime_ns=0)
