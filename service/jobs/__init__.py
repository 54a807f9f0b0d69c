"""What the service can be asked to do: both jobs, sync, and the verbs on single files and batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.model import JobName
from service.outbox import FLAT
from service.verify.contents import check_export_set, check_master_set
from service.verify.snapshot import CheckSet


@dataclass(frozen=True)
class Job:
    """What can be made of a batch."""

    name: JobName
    flat_files: tuple[str, ...]
    """The files of its latest set that lie in the outbox itself, under the names that users know."""
    manifest_name: str
    """The name of the manifest of its latest set there."""
    check_set: CheckSet
    """Compares the contents of a set with the counts in its manifest."""


JOBS: Mapping[JobName, Job] = {
    "integration": Job("integration", FLAT["integration"].names, FLAT["integration"].manifest, check_master_set),
    "analytics": Job("analytics", FLAT["analytics"].names, FLAT["analytics"].manifest, check_export_set),
}
