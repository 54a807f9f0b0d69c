"""JSON files of published sets, and why a file cannot be read: inbox and outbox are shared folders.

A set is immutable, but retention removes it, and others can damage it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from service import documents
from service.documents import MOST_BYTES, MalformedDocument, Manifest
from service.files import read_regular
from service.folders import MANIFEST, OutboxFolders
from service.ledger import Entry
from service.printable import printable

S = TypeVar("S", bound=Struct)


def read_set_file(path: Path, kind: type[S]) -> S | None:
    """The JSON document at ``path``; None where it is missing, damaged, or not of this form: ``verify`` reports it."""
    try:
        return msgspec.json.decode(read_regular(path, MOST_BYTES), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def read_manifest(outbox: OutboxFolders, entry: Entry) -> Manifest:
    """The manifest of a published batch.

    Raises: OSError; MalformedDocument where it is damaged, or is not the one that the ledger knows.
    """
    path = outbox.manifest_of(entry.outcome.batch_id)
    manifest, sha256 = documents.read_hashed(path, Manifest)
    if sha256 != entry.outcome.sha256:
        raise MalformedDocument(f"{MANIFEST}: it is not the one that the ledger knows")
    return manifest


def why_unreadable(path: Path, error: OSError) -> str:
    """A sentence about a file that cannot be read, with its name."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return f"{printable(path.name)} is missing"
    return f"{printable(path.name)} cannot be read ({error.strerror})"
