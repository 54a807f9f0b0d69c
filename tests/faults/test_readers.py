"""Readers that read all the time while sets are published: none ever sees a mixed or a partial set."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from service.files import fingerprint_of, sha256_of
from service.folders import MANIFEST, Folders
from service.jobs import JOBS
from service.model import CRM, Batch, InputFile, Summary
from service.publication import PastBatches, Publication
from tests.faults.conftest import Tally
from tests.sizes import READER_PUBLICATIONS as PUBLICATIONS
from tests.warm import SERVER

KEPT = 30
FLAT = JOBS["integration"].flat_files
FLAT_NAMES = FLAT.names
FILES = (*FLAT_NAMES, "crosswalk.csv", "rejects.csv")
LARGEST_BYTES = 300_000  # more than a page, so that a partial copy could be seen


@dataclass
class Seen:
    """The results of a reader."""

    sets: set[str] = field(default_factory=set)
    reads: int = 0
    faults: list[str] = field(default_factory=list)
    flat: set[str] = field(default_factory=set)
    """Hashes of the flat files."""


@pytest.mark.slow
def test_no_reader_ever_sees_a_mixed_set(tmp_path: Path, tally: Tally) -> None:
    publication = Publication(PastBatches(Folders(None, tmp_path / "outbox", tmp_path / "state")), JOBS)
    publication.recover()
    published = publish(publication, 0)
    (tmp_path / "go").touch()
    readers = [begin(follow_manifest, tmp_path), begin(read_flat_names, tmp_path)]
    for number in range(1, PUBLICATIONS + 1):
        published |= publish(publication, number)
    (tmp_path / "go").unlink()
    followed, flat = (answer.recv() for answer in readers)
    tally("sets read during publications", ["through the manifest"] * followed.reads + ["flat"] * flat.reads)
    assert followed.faults == flat.faults == []
    assert flat.flat <= published, "a flat file is always complete"
    assert len(followed.sets) > PUBLICATIONS / 20, "the reader kept pace"


def publish(publication: Publication, number: int) -> set[str]:
    """Publish a set whose files all contain its number. Returns the hashes of its flat files."""
    outbox = publication.outbox
    path = outbox.root.parent / "crm_customers.csv"
    path.write_text("customer_id\n", encoding="utf-8")
    id_ = f"20260115T000000Z-{number:06x}"
    file = InputFile(CRM, path, sha256_of(path), fingerprint_of(path), "lease")
    batch = Batch(id_, datetime(2026, 1, 15, tzinfo=UTC), (file,))
    content = f"{id_}\n" * random.Random(number).randrange(1, LARGEST_BYTES // 10)
    with publication.stage(batch, Summary(1, 0, 0, 1, {CRM.name: 1})) as folder:
        for name in FILES:
            (folder / name).write_text(f"{name} {content}", encoding="utf-8")
    outbox.copy_flat(id_, FLAT)
    outbox.remove(outbox.set_ids()[:-KEPT])
    return {sha256_of(outbox.root / "batches" / id_ / name) for name in (*FLAT_NAMES, MANIFEST)}


def begin(read: Callable[[Path, Connection], None], folder: Path) -> Connection:
    """Run a reader in a process of its own; it answers when all sets are published."""
    ours, theirs = SERVER.Pipe(duplex=False)
    SERVER.Process(target=read, args=(folder, theirs), daemon=True).start()
    return ours


def follow_manifest(folder: Path, answer: Connection) -> None:
    """Read the set that ``manifest.json`` names, and check all of it, again and again."""
    seen = Seen()
    while (folder / "go").exists():
        manifest = json.loads((folder / "outbox" / MANIFEST).read_bytes())
        named = folder / "outbox" / "batches" / manifest["batch_id"]
        try:
            seen.faults += faults_of(named, manifest)
        except FileNotFoundError as error:
            if named.exists():  # else retention removed it while the reader was not scheduled
                seen.faults.append(f"{named.name}: {error.filename} is missing")
        seen.sets.add(named.name)
        seen.reads += 1
    answer.send(seen)


def faults_of(named: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """The differences between a set and its manifest."""
    if (named / MANIFEST).read_bytes() != json.dumps(manifest, indent=2, ensure_ascii=False).encode() + b"\n":
        yield f"{named.name}: its manifest is another"
    for name, described in manifest["files"].items():
        content = (named / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != described["sha256"]:
            yield f"{named.name}: {name} does not match the manifest"
        if content.split(maxsplit=2)[:2] != [name.encode(), named.name.encode()]:
            yield f"{named.name}: {name} is of another set"


def read_flat_names(folder: Path, answer: Connection) -> None:
    """Read the flat files all the time."""
    seen = Seen()
    while (folder / "go").exists():
        for name in (*FLAT_NAMES, MANIFEST):
            seen.flat.add(sha256_of(folder / "outbox" / name))
        seen.reads += 1
    answer.send(seen)
