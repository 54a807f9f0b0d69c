"""The promises that every fault test checks: at any moment, and after the next undisturbed run."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from service.jobs import JOBS
from tests.worlds import API, CRM, ECOM, House

# How a file was found to be settled depends on the moment, and so does the hash of a manifest that says it.
_OF_THE_MOMENT = re.compile(rb'"(settle_proof|former_\w+_sha256)": "\w+"')
# The id of a state is random, health depends on the moment, output is not kept, the work folder may be empty.
_NOT_COMPARED = re.compile(r"out|err|state/((state|health|heartbeat)\.json|ledger\.sqlite|\.lock|work)|inbox/\.lock")

_OUTCOMES = """
    select seq, batch_id, outcome, code, records, rejects, duplicates, customers, removed from outcomes order by seq
"""


def broken_promises(house: House, inputs: int | None) -> Iterator[str]:
    """The problems that a reader could see at this moment, after a kill or while calls fail.

    ``inputs`` is how many versions of exports were ever dropped; None where old ones are removed after a while.
    """
    published: set[str] = set()
    for folder in sorted((house.outbox / "batches").glob("*")):
        yield from _faults_of_set(folder)
        published.update(_sha256(path) for path in folder.iterdir())
    for flat in (job.flat_files for job in JOBS.values()):
        manifest = house.manifest(flat.manifest)
        if manifest and not (house.outbox / "batches" / manifest["batch_id"] / "manifest.json").is_file():
            yield f"{flat.manifest} names a set that does not exist"
        for name in (*flat.names, flat.manifest):
            path = house.outbox / name
            if path.exists() and _sha256(path) not in published:
                yield f"{name} is a file of no published set"
    yield from _faults_of_register(house)
    yield from _faults_of_inputs(house, inputs)


def tree(house: House) -> dict[str, str]:
    """Every file and folder of inbox, outbox and state, with mode and hash, except random ones."""
    found = {"the ledger": _ledger(house)}
    for path in sorted(house.root.rglob("*")):
        name = str(path.relative_to(house.root))
        if not _NOT_COMPARED.fullmatch(name):
            content = _OF_THE_MOMENT.sub(rb'"\1": ""', path.read_bytes()) if path.is_file() else b""
            found[name] = f"{path.stat().st_mode:o} {hashlib.sha256(content).hexdigest()[:16]}"
    return found


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """The names that are unexpected, missing or different."""
    both = sorted(found.keys() | expected.keys())
    return [
        f"{name}: {found.get(name, 'missing')}, expected {expected.get(name, 'nothing')}"
        for name in both
        if found.get(name) != expected.get(name)
    ]


def litter(house: House) -> list[str]:
    """Temporary files that were left behind."""
    hidden = [*house.root.rglob(".*.new")]
    for folder in (house.outbox / ".staging", house.state / "work"):
        hidden += [path for path in folder.rglob("*") if path.is_file()]
    return sorted({str(path.relative_to(house.root)) for path in hidden})


def _ledger(house: House) -> str:
    """Its outcomes, without times and hashes, which depend on the moment."""
    path = house.state / "ledger.sqlite"
    if not path.exists():
        return "missing"
    with closing(sqlite3.connect(path)) as db:
        return str(db.execute(_OUTCOMES).fetchall())


def _faults_of_set(folder: Path) -> Iterator[str]:
    try:
        described = json.loads((folder / "manifest.json").read_bytes())["files"]
    except FileNotFoundError:
        yield f"{folder.name} was published without a manifest"
        return
    there = {path.name: _sha256(path) for path in folder.iterdir() if path.name != "manifest.json"}
    if there != {name: file["sha256"] for name, file in described.items()}:
        yield f"{folder.name} does not match its manifest"


def _faults_of_register(house: House) -> Iterator[str]:
    register = house.state / "register"
    if (register / "current").exists():
        current = register / (register / "current").read_text(encoding="utf-8").strip()
        for name in ("published.json", "figures.json", "records.parquet", "customers.parquet"):
            if not (current / name).is_file():
                yield f"the register in force has no {name}"


def _faults_of_inputs(house: House, inputs: int | None) -> Iterator[str]:
    folders: dict[str, set[Path]] = {}
    for path in house.inbox.rglob("*"):
        if path.name in (CRM, ECOM, API):
            folders.setdefault(_sha256(path), set()).add(path.parent.relative_to(house.inbox))
    if inputs is not None and len(folders) != inputs:
        yield f"{len(folders)} versions of inputs exist, {inputs} were dropped"
    for digest, found in folders.items():
        if len(found) != 1:
            yield f"input {digest[:8]} is in {sorted(map(str, found))}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
