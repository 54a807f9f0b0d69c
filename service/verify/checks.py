"""The checks: each reads a snapshot and the files it points to, and yields one sentence per finding.

Sentences contain ids and file names only. A note describes a change that users may make.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from service import documents
from service.documents import Claim, Manifest, Reason
from service.files import sha256_of
from service.folders import MANIFEST, REASON, TEXT_LOG
from service.ledger import Entry
from service.outcomes import outcome_of
from service.verify.snapshot import Snapshot, VerifiedJob, names_in, sha256_or_empty

_LEDGER = "state/ledger.sqlite"
_INTENDED = "if that was intended, do nothing"

Document = TypeVar("Document", Manifest, Reason)


@dataclass(frozen=True)
class _ExpectedFile:
    """A file as a document describes it."""

    name: str
    sha256: str
    size_bytes: int | None = None


# -------------------------------------------------------------------------------------------- of one batch


def check_placement(snapshot: Snapshot, batch_id: str) -> Iterator[str]:
    """Check that the files of a batch are in exactly one of archive, quarantine and claimed."""
    if snapshot.inbox is None:
        return
    folders = (snapshot.inbox.archive, snapshot.inbox.quarantine, snapshot.inbox.claimed)
    found = [f"inbox/{folder.name}" for folder in folders if (folder / batch_id).exists()]
    if len(found) > 1:
        yield f"batch {batch_id} lies in {' and in '.join(found)}"
    is_published = batch_id in snapshot.sets or snapshot.is_published(batch_id)
    if batch_id in snapshot.archived and not is_published:
        yield f"inbox/archive/{batch_id} belongs to no published batch"


def check_set(snapshot: Snapshot, batch_id: str) -> Iterator[str]:
    """Check that a published set is there, its manifest as the ledger states, its files as the manifest states."""
    entry = snapshot.latest.get(batch_id)
    shown = f"outbox/batches/{batch_id}"
    if batch_id not in snapshot.sets:
        if entry and _is_set_gone(entry, snapshot) and not snapshot.is_outbox_emptied():
            yield f"{shown} is missing"
        return
    folder = snapshot.outbox.set_of(batch_id)
    manifest = yield from _check_document(folder / MANIFEST, shown, Manifest, entry)
    if manifest is None:
        return
    expected = [_ExpectedFile(name, file.sha256, file.size_bytes) for name, file in manifest.files.items()]
    wrong = list(_check_files(folder, shown, expected, others={MANIFEST}))
    yield from wrong
    if not wrong:
        try:
            yield from list(snapshot.jobs[manifest.job].check_set(folder, shown, manifest.rows))
        except OSError as error:  # retention may remove it at this moment; the next snapshot shows
            yield f"{shown} cannot be read ({error.strerror})"


def _is_set_gone(entry: Entry, snapshot: Snapshot) -> bool:
    """Whether the set of a published batch is not there, and the ledger does not say why."""
    outcome = entry.outcome
    return outcome.kind == "published" and not entry.removed and outcome.batch_id not in snapshot.sets


def check_quarantine(snapshot: Snapshot, batch_id: str) -> Iterator[str]:
    """Check that a reason is as the ledger states, and the files and the log as the reason states."""
    if snapshot.inbox is None or batch_id not in snapshot.quarantined:
        return
    folder, shown = snapshot.inbox.quarantine / batch_id, f"inbox/quarantine/{batch_id}"
    if not folder.is_dir():
        yield f"{shown} is not a batch folder"
        return
    # A published batch that is here as well is a finding of ``check_placement``.
    entry = None if snapshot.is_published(batch_id) else snapshot.latest.get(batch_id)
    reason = yield from _check_document(folder / REASON, shown, Reason, entry)
    if reason is None:
        return
    expected = []
    if snapshot.quarantined_inputs(batch_id):  # else a user removed or moved back all of them, which is a note
        inputs = [_ExpectedFile(name, sha256) for name, sha256 in reason.inputs.items()]
        expected = [file for file in inputs if not _was_moved_back(snapshot, batch_id, file)]
    if isinstance(reason.log_sha256, str):
        expected.append(_ExpectedFile(TEXT_LOG, reason.log_sha256))
    yield from _check_files(folder, shown, expected, others={REASON})


def check_claim(snapshot: Snapshot, batch_id: str) -> Iterator[str]:
    """Check that a claimed batch is in work, and its files are as its claim states."""
    if snapshot.inbox is None or batch_id not in snapshot.claimed:
        return
    folder, shown = snapshot.inbox.claimed / batch_id, f"inbox/.claimed/{batch_id}"
    if not snapshot.is_inbox_in_use():
        yield f"batch {batch_id} is claimed but no service works on it; start the service, it continues with the batch"
    try:
        claim = documents.read(snapshot.inbox.claim_of(batch_id), Claim)
    except FileNotFoundError:
        yield f"{shown} has no claim file"
    except (OSError, documents.MalformedDocument):
        yield f"{shown}.json cannot be read"
    else:
        # While a claim is being made or ended, its files are being moved.
        present = [name for name in claim.files if (folder / name).exists()]
        expected = [_ExpectedFile(name, claim.files[name].sha256) for name in present]
        yield from _check_files(folder, shown, expected, others={REASON, TEXT_LOG})


def check_archive(snapshot: Snapshot, batch_id: str) -> Iterator[str]:
    """Check that the inputs of a published batch are archived as accepted, until retention removes them."""
    entry = snapshot.latest.get(batch_id)
    if snapshot.inbox is None or entry is None or not snapshot.is_published(batch_id) or entry.removed == "retention":
        return
    moved = [_ExpectedFile(it.file_name, it.sha256) for it in entry.outcome.inputs if it.is_moved]
    is_being_archived = batch_id in snapshot.claimed and batch_id not in snapshot.archived
    if moved and not is_being_archived:
        yield from _check_files(snapshot.inbox.archive / batch_id, f"inbox/archive/{batch_id}", moved)


# ------------------------------------------------------------------------------------------- of the service


def check_ledger(snapshot: Snapshot) -> Iterator[str]:
    """Check that the ledger can be read. (A missing one is a note.)"""
    if snapshot.ledger_trouble == "damaged":
        yield f"{_LEDGER} is damaged; the service rebuilds it when it starts"
    elif snapshot.ledger_trouble == "out of reach":
        yield f"{_LEDGER} cannot be read"


def check_folder_names(snapshot: Snapshot) -> Iterator[str]:
    """Check that archive and outbox contain batch folders only."""
    listed = [("outbox/batches", snapshot.outbox.batches, snapshot.sets)]
    if snapshot.inbox is not None:
        listed.insert(0, ("inbox/archive", snapshot.inbox.archive, snapshot.archived))
    for shown, folder, names in listed:
        for name in sorted(names):
            if not (folder / name).is_dir():
                yield f"{shown}/{name} is not a batch folder"


def check_chain(snapshot: Snapshot) -> Iterator[str]:
    """Check that every outcome states the hash of the one before it."""
    former: Entry | None = None
    for entry in snapshot.entries:
        outcome = entry.outcome
        if outcome.kind != "unknown" and outcome.former_sha256 != (former and former.outcome.sha256):
            before = f"batch {former.outcome.batch_id}" if former else "nothing"
            yield f"batch {outcome.batch_id} does not follow {before}: a link of the chain is missing between them"
        former = entry


def check_flat_files(snapshot: Snapshot) -> Iterator[str]:
    """Check that the flat files of each job are those of its latest set."""
    for job in snapshot.jobs.values():
        yield from _check_flat_files_of(snapshot, job)


def _check_flat_files_of(snapshot: Snapshot, job: VerifiedJob) -> Iterator[str]:
    root = snapshot.outbox.root
    published = [
        entry.outcome
        for entry in snapshot.entries
        if entry.outcome.kind == "published" and entry.outcome.job == job.name
    ]
    flat = job.flat_files
    present = {name for name in (*flat.names, flat.manifest) if (root / name).exists()}
    if not published or not present | (snapshot.sets & {outcome.batch_id for outcome in published}):
        return  # nothing was published, or the outbox was emptied
    manifest = root / flat.manifest
    if flat.manifest not in present:
        yield f"outbox/{flat.manifest} is missing"
        return
    latest = published[-1]
    is_being_replaced = latest.batch_id in snapshot.claimed  # file by file, the manifest last
    if sha256_or_empty(manifest) != latest.sha256 and not is_being_replaced:
        yield f"outbox/{flat.manifest} is not that of batch {latest.batch_id}, the latest"
        return
    manifests = [manifest]
    if is_being_replaced:
        manifests.append(snapshot.outbox.manifest_of(latest.batch_id))
    allowed = [_files_in(path) for path in manifests]
    for name in flat.names:
        if name not in present:
            yield f"outbox/{name} is missing; the set of batch {latest.batch_id} has it"
        elif sha256_or_empty(root / name) not in {files.get(name, "-") for files in allowed}:
            yield f"outbox/{name} is not that of batch {latest.batch_id}, which outbox/{flat.manifest} names"


# --------------------------------------------------------------------------------------------------- notes


def note_missing_ledger(snapshot: Snapshot) -> Iterator[str]:
    """Note that the ledger was removed."""
    if snapshot.ledger_trouble == "missing" and snapshot.entries:
        yield f"{_LEDGER} is missing; the service rebuilds it when it starts"


def note_emptied_outbox(snapshot: Snapshot) -> Iterator[str]:
    """Note that all sets were removed."""
    is_emptied = snapshot.is_outbox_emptied()
    gone = [
        entry
        for entry in snapshot.entries
        if entry.removed == "emptied" or (is_emptied and _is_set_gone(entry, snapshot))
    ]
    if gone:
        root = snapshot.outbox.root
        what = "was emptied" if root.is_dir() else f"{root} is not there, is it mounted?"
        yield f"the outbox {what}: {len(gone)} sets are not there any more; {_INTENDED}"


def note_rebuilt_ledger(snapshot: Snapshot) -> Iterator[str]:
    """Note that the ledger was lost together with documents."""
    if bare := sum(entry.removed == "before" for entry in snapshot.entries):
        yield f"the ledger was rebuilt; of {bare} earlier outcomes only the hash is known"


def note_emptied_quarantine(snapshot: Snapshot) -> Iterator[str]:
    """Note that the files of a quarantined batch were removed or moved back by hand."""
    for entry in snapshot.entries:
        if entry.outcome.kind != "quarantined" or entry.removed:
            continue
        batch_id = entry.outcome.batch_id
        shown = f"inbox/quarantine/{batch_id}"
        if batch_id not in snapshot.quarantined:
            yield f"{shown} was removed or moved back by hand; {_INTENDED}"
        elif not snapshot.quarantined_inputs(batch_id):
            yield f"the files of {shown} were removed or moved back by hand; {_INTENDED}"


# ----------------------------------------------------------------------------------------- common to several


def _check_document(
    path: Path, shown: str, kind: type[Document], entry: Entry | None
) -> Generator[str, None, Document | None]:
    """Check a manifest or reason against the ledger. Returns: the document; None if it cannot be read."""
    shown = f"{shown}/{path.name}"
    try:
        document, sha256 = documents.read_hashed(path, kind)
        outcome = outcome_of(document, sha256)
    except FileNotFoundError:
        yield f"{shown} is missing"
        return None
    except (OSError, documents.MalformedDocument):
        yield f"{shown} is damaged and cannot be read"
        return None
    if document.batch_id != path.parent.name:
        yield f"{shown} belongs to another batch"
    elif entry is not None and (outcome is None or sha256 != entry.outcome.sha256):
        yield f"{shown} is not as it was written: the ledger has another hash of it"
    elif entry is not None and outcome and outcome != replace(entry.outcome, ended_at=outcome.ended_at):
        yield f"{_LEDGER} and {shown} disagree about batch {document.batch_id}"
    return document


def _check_files(folder: Path, shown: str, files: list[_ExpectedFile], others: Collection[str] = ()) -> Iterator[str]:
    """Check that ``folder`` contains these files as described, and nothing else but ``others``."""
    for file in files:
        path = folder / file.name
        try:
            size_bytes = path.lstat().st_size
            if file.size_bytes not in (None, size_bytes):
                yield f"{shown}/{file.name} has {size_bytes} bytes, not {file.size_bytes}"
            elif sha256_of(path) != file.sha256:
                yield f"{shown}/{file.name} has changed: its hash is not the one it was written with"
        except (FileNotFoundError, NotADirectoryError):
            yield f"{shown}/{file.name} is missing"
        except OSError as error:
            yield f"{shown}/{file.name} cannot be read ({error.strerror})"
    for name in sorted(names_in(folder) - {file.name for file in files} - set(others)):
        yield f"{shown}/{name} does not belong there"


def _was_moved_back(snapshot: Snapshot, batch_id: str, file: _ExpectedFile) -> bool:
    """Whether a user moved this file out of the quarantine: it waits again, or was accepted later."""
    if snapshot.inbox is None or (snapshot.inbox.quarantine / batch_id / file.name).exists():
        return False
    return (file.name, file.sha256) in snapshot.accepted_after(batch_id) | snapshot.waiting


def _files_in(manifest: Path) -> dict[str, str]:
    """Name and hash of the files that a manifest lists; none where it cannot be read."""
    try:
        files = documents.read(manifest, Manifest).files
    except (OSError, documents.MalformedDocument):
        return {}
    return {name: file.sha256 for name, file in files.items()}
