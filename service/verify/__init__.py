"""Verify: recompute every hash, follow every link of the chain, find every accepted input, and prove every merge.

It only reads, needs no lock, and may run beside the service: a finding counts if it is still there half a second and
a second later, because a batch may be in work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from service import documents
from service.documents import Manifest
from service.errors import UsageError
from service.folders import MANIFEST, Folders
from service.job_name import JobName
from service.phrases import counted
from service.verify.checks import (
    check_archive,
    check_chain,
    check_claim,
    check_flat_files,
    check_folder_names,
    check_ledger,
    check_placement,
    check_quarantine,
    check_set,
    note_emptied_outbox,
    note_emptied_quarantine,
    note_missing_ledger,
    note_rebuilt_ledger,
)
from service.verify.findings import Proof
from service.verify.snapshot import Snapshot, VerifiedJob

_SNAPSHOTS = 3
_PAUSE_SECONDS = 0.5
_SERVICE = ""
"""The subject of the checks that concern no single batch."""

BATCH_CHECKS = (check_placement, check_set, check_quarantine, check_claim, check_archive)
SERVICE_CHECKS = (check_ledger, check_folder_names, check_chain, check_flat_files)
Prove = Callable[[Path, str, Manifest, Path | None], Proof]
"""Proves the set in a folder, see ``proof.Prover.prove``."""
NOTES = (note_missing_ledger, note_emptied_outbox, note_rebuilt_ledger, note_emptied_quarantine)


@dataclass
class VerifyReport:
    """The result: sentences with ids and file names only, and the number of objects checked."""

    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Changes that users may make."""
    sets: int = 0
    inputs: int = 0
    """Files in the archive."""
    quarantined: int = 0
    proved: int | None = None
    """Sets whose merges were proved; None where no proof was asked for."""

    @property
    def sentence(self) -> str:
        """One line for a report without findings."""
        proved = "" if self.proved is None else f", {self.proved} proved"
        sets, inputs = counted(self.sets, "set"), counted(self.inputs, "input")
        return f"ok: {sets}{proved}, {inputs}, {self.quarantined} quarantined"


def verify(
    folders: Folders, jobs: Mapping[JobName, VerifiedJob], batch_id: str | None = None, prove: Prove | None = None
) -> VerifyReport:
    """Check everything, or only one batch. ``prove`` is given each set that merges records and has no other finding.

    Raises: UsageError where the batch is unknown or the folder does not exist.
    """
    needed = folders.outbox if folders.inbox is None else folders.inbox
    if not needed.is_dir():
        raise UsageError(
            "the folder is not there", where=str(needed), hint="is it mounted? See SERVICE_INBOX and SERVICE_OUTBOX"
        )
    snapshot = Snapshot(folders, jobs)
    batch_ids = snapshot.batch_ids()
    if batch_id is not None and batch_id not in batch_ids:
        raise UsageError(f"there is no batch {batch_id}", hint="its id is the name of its folder in outbox/batches")
    checked = batch_ids if batch_id is None else [batch_id]
    subjects = checked if batch_id else [*checked, _SERVICE]
    report = VerifyReport(
        notes=[] if batch_id else [note for notes in NOTES for note in notes(snapshot)],
        sets=len(snapshot.sets & set(checked)),
        inputs=sum(len(snapshot.archived_inputs(it)) for it in snapshot.archived & set(checked)),
        quarantined=len(snapshot.quarantined & set(checked)),
    )
    found = {subject: list(_findings(snapshot, subject)) for subject in subjects}
    report.findings = _confirmed(folders, jobs, found)
    if prove:
        report.proved = 0
        for it in checked:
            if it in snapshot.sets and not found[it]:
                _prove(snapshot, it, prove, report)
    return report


def _prove(snapshot: Snapshot, batch_id: str, prove: Prove, report: VerifyReport) -> None:
    """Add what the proof of a set finds; nothing where it merges no records, or retention removes it meanwhile."""
    folder = snapshot.outbox.set_of(batch_id)
    archive = None if snapshot.inbox is None else snapshot.inbox.archive / batch_id
    with suppress(FileNotFoundError):
        manifest = documents.read(folder / MANIFEST, Manifest)
        if not snapshot.jobs[manifest.job].has_register:
            return
        proof = prove(folder, f"outbox/batches/{batch_id}", manifest, archive)
        if (folder / MANIFEST).exists():
            report.proved = (report.proved or 0) + (not (proof.findings or proof.is_unproved))
            report.findings += proof.findings
            report.notes += proof.notes


def _findings(snapshot: Snapshot, subject: str) -> Iterator[str]:
    if subject == _SERVICE:
        for check in SERVICE_CHECKS:
            yield from check(snapshot)
    else:
        for check_batch in BATCH_CHECKS:
            yield from check_batch(snapshot, subject)


def _confirmed(folders: Folders, jobs: Mapping[JobName, VerifiedJob], found: Mapping[str, list[str]]) -> list[str]:
    """Those findings that later snapshots show as well."""
    for _ in range(_SNAPSHOTS - 1):
        if not any(found.values()):
            break
        time.sleep(_PAUSE_SECONDS)
        snapshot = Snapshot(folders, jobs)
        found = {subject: _still_found(snapshot, subject, before) for subject, before in found.items() if before}
    return [sentence for sentences in found.values() for sentence in sentences]


def _still_found(snapshot: Snapshot, subject: str, before: list[str]) -> list[str]:
    now = set(_findings(snapshot, subject))
    return [sentence for sentence in before if sentence in now]
