"""Identity and state of a file, by which a change is seen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fingerprint:
    """Identity and state of a file: two equal fingerprints mean that no process wrote in between."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
