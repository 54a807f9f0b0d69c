"""The inputs of a batch while it is worked on: what was claimed, and what was published before."""

from __future__ import annotations

from pathlib import Path

from service.errors import TransientError
from service.files import fingerprint_of, sha256_of
from service.model import Batch, Delivery, Source


def refuse_changed_inputs(batch: Batch) -> None:
    """Let pass what is as it was when it was hashed. Raises: TransientError where somebody wrote to it since."""
    for delivery in batch.deliveries:
        # The hash too: a file that is written through a memory map may keep its times for a while.
        if fingerprint_of(delivery.path) != delivery.fingerprint or sha256_of(delivery.path) != delivery.sha256:
            raise TransientError(
                f"{delivery.file_name} was written to while it was read",
                where=f"batch {batch.id}",
                hint="nothing was published from it; it is read again when its writer is done",
            )


def published_file(folder: Path, source: Source) -> Delivery | None:
    """A file of a published set, to be read like an export; None where the set has none of this name."""
    path = folder / source.file_name
    try:
        # The set's manifest has its hash; to compute it once more would say nothing new.
        return Delivery(source, path, sha256="", fingerprint=fingerprint_of(path), settle_proof="published")
    except FileNotFoundError:
        return None
