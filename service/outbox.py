"""The outbox: a set of files is published as one, or not at all.

A set is staged in a hidden folder, made durable, and appears under ``batches/`` by one rename: the commit
point. Everything after it only rolls forward, over any crash: flat copies under the names users know, and
the manifest last. A reader who follows the manifest never sees a mixed set. Each job has its own flat files and its
own sequence of sets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service import __version__
from service.errors import TransientError
from service.files import (
    fingerprint_of,
    fsync_path,
    make_folder,
    move,
    remove_staged,
    remove_tree,
    replace_copies,
    sha256_of,
)
from service.model import Batch, InputFile, JobName, Source, Summary

MANIFEST = "manifest.json"
"""In every set."""


@dataclass(frozen=True)
class Flat:
    """Which files of a job's latest set lie in the outbox itself, under the names that users know."""

    names: tuple[str, ...]
    manifest: str
    """What the manifest of the set is called there."""


FLAT: Mapping[JobName, Flat] = {
    "integration": Flat(
        ("customer_master.csv", "duplicate_report.csv", "integration_log.txt", "integration_log.jsonl"), MANIFEST
    ),
    "analytics": Flat(("sample_output.json",), "analytics_manifest.json"),
}


@dataclass
class Staged:
    """A set that is being written: files go into ``folder``, its figures into ``summary``."""

    folder: Path
    summary: Summary | None = field(default=None)


class Outbox:
    """The folder ``root`` that results are published in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._batches = root / "batches"
        self._staging = root / ".staging"

    def open(self) -> None:
        """Create what is missing and throw away what was staged by a run that died."""
        make_folder(self._batches)
        remove_tree(self._staging)
        remove_staged(self.root)

    @contextmanager
    def stage(self, batch: Batch) -> Iterator[Staged]:
        """A folder for the files of ``batch``; the set is committed when the block ends well.

        If the block raises, nothing has happened to the outbox.
        Raises: TransientError where an input is not as it was when it was claimed.
        """
        folder = self._staging / batch.id
        remove_tree(folder)
        make_folder(folder)
        try:
            staged = Staged(folder)
            yield staged
            self._commit(batch, staged)
        finally:
            remove_tree(self._staging)

    def is_committed(self, batch_id: str) -> bool:
        """Whether the set of this batch was published (and is still kept)."""
        return (self._batches / batch_id / MANIFEST).exists()

    def set_of(self, batch_id: str) -> Path | None:
        """The folder of a published set; None where it is not there any more."""
        return self._batches / batch_id if self.is_committed(batch_id) else None

    def copy_flat(self, batch_id: str, job: JobName) -> None:
        """Bring the flat files of a job to its published set ``batch_id``; the manifest last."""
        folder, flat = self._batches / batch_id, FLAT[job]
        if not folder.is_dir() or self._flat_is(batch_id, job):
            return
        copied = {name: folder / name for name in flat.names}
        replace_copies(copied | {flat.manifest: folder / MANIFEST}, self.root)

    def superseded(self, keep: int, current: str, job: JobName) -> list[str]:
        """The ids of all but the ``keep`` newest sets of a job (0 = keep all); never the current one."""
        if not keep:
            return []
        ids = [path.name for path in sorted(self._batches.iterdir(), key=_age) if _job_of(path) == job]
        return [batch_id for batch_id in ids[:-keep] if batch_id != current]

    def remove(self, batch_ids: Iterable[str]) -> None:
        """Remove published sets; each disappears by one rename."""
        for batch_id in batch_ids:
            make_folder(self._staging)
            move(self._batches / batch_id, self._staging / batch_id)
            remove_tree(self._staging)

    def holds_a_set(self) -> bool:
        """Whether flat files of a published master lie here."""
        return (self.root / FLAT["integration"].manifest).exists()

    def folder_for_failed_log(self, batch_id: str) -> Path:
        """Where the log of a failed run may lie without touching a published set."""
        folder = self.root / "failed" / batch_id if self.holds_a_set() else self.root
        make_folder(folder)
        return folder

    def _flat_is(self, batch_id: str, job: JobName) -> bool:
        manifest = self._flat_manifest(job)
        try:
            return manifest is not None and json.loads(manifest)["batch_id"] == batch_id
        except (ValueError, KeyError, TypeError):
            return False  # not ours any more: a set is copied over it

    def _flat_manifest(self, job: JobName) -> bytes | None:
        try:
            return (self.root / FLAT[job].manifest).read_bytes()
        except FileNotFoundError:
            return None

    def _commit(self, batch: Batch, staged: Staged) -> None:
        _refuse_changed_inputs(batch)
        manifest = self._describe(batch, staged)
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        (staged.folder / MANIFEST).write_text(text, encoding="utf-8")
        for path in sorted(staged.folder.iterdir()):
            path.chmod(0o444)
            fsync_path(path)
        fsync_path(staged.folder)
        make_folder(self._batches)  # a user may have emptied the outbox while we worked
        move(staged.folder, self._batches / batch.id)

    def _describe(self, batch: Batch, staged: Staged) -> dict[str, Any]:
        """The manifest: what is in the set, what it was made from, and which set came before."""
        assert staged.summary is not None, "a set is published with its figures"
        former = self._flat_manifest(batch.job)
        return {
            "batch_id": batch.id,
            "job": batch.job,
            "program_version": __version__,
            "former_manifest_sha256": None if former is None else hashlib.sha256(former).hexdigest(),
            "former_outcome_sha256": batch.former_outcome_sha256,
            "inputs": [
                {
                    "source": delivery.source.name,
                    "file_name": delivery.file_name,
                    "size_bytes": delivery.size_bytes,
                    "sha256": delivery.sha256,
                    "rows": staged.summary.source_rows[delivery.source.name],
                    "settle_proof": delivery.settle_proof,
                }
                for delivery in batch.inputs
            ],
            "rows": staged.summary.counts(),
            "files": {
                path.name: {"size_bytes": path.stat().st_size, "sha256": sha256_of(path)}
                for path in sorted(staged.folder.iterdir())
            },
        }


def published_file(folder: Path, source: Source) -> InputFile | None:
    """A file of a published set, to be read like an export; None where the set has none of this name."""
    path = folder / source.file_name
    try:
        # The set's manifest has its hash; to compute it once more would say nothing new.
        return InputFile(source, path, sha256="", fingerprint=fingerprint_of(path), settle_proof="published")
    except FileNotFoundError:
        return None


def _refuse_changed_inputs(batch: Batch) -> None:
    for delivery in batch.inputs:
        # The hash too: a file that is written through a memory map may keep its times for a while.
        if fingerprint_of(delivery.path) != delivery.fingerprint or sha256_of(delivery.path) != delivery.sha256:
            raise TransientError(
                f"{delivery.file_name} was written to while it was read",
                where=f"batch {batch.id}",
                hint="nothing was published from it; it is read again when its writer is done",
            )


def _job_of(folder: Path) -> JobName:
    """The job of a set, as its manifest says; sets of before there were several, and damaged ones, count as masters."""
    try:
        told = json.loads((folder / MANIFEST).read_bytes())["job"]
    except (OSError, ValueError, KeyError, TypeError):
        return "integration"
    return next((job for job in FLAT if job == told), "integration")


def _age(folder: Path) -> tuple[str, int, str]:
    """Order of sets: by the second of the claim, which begins the id, then by when the set was written."""
    return folder.name.partition("-")[0], folder.stat().st_mtime_ns, folder.name
