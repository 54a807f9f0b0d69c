"""Run the service under strace, which kills it or fails a system call at a chosen point."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import CRM, ECOM, House

# Everything by which the service changes a disk; the *at forms are what some C libraries call instead.
MUTATIONS: dict[str, str] = {
    "mkdir": "mkdir,mkdirat",
    "rename": "rename,renameat,renameat2",
    "unlink": "unlink,unlinkat,rmdir",
    "fsync": "fsync,fdatasync",
    "write": "write,pwrite64,writev",
    "chmod": "chmod,fchmod,fchmodat",
    "truncate": "ftruncate",
}
MOST_POINTS = 400

# Outputs whose bytes are a function of inputs and state; logs and manifests carry times.
DETERMINED = (
    "customer_master.csv",
    "duplicate_report.csv",
    "crosswalk.csv",
    "match_evidence.csv",
    "rejects.csv",
    "id_changes.csv",
    "quality_report.json",
)


@dataclass(frozen=True)
class Injected:
    """One run under injection."""

    is_hit: bool
    """Whether the run reached the point, and died of it."""
    code: int


def killed_at(house: House, syscalls: str, point: int) -> Injected:
    """``watch --once``, killed when a thread enters its ``point``-th call of ``syscalls``."""
    return _run(house, f"inject={syscalls}:signal=SIGKILL:when={point}", syscalls)


def failing_at(house: House, syscalls: str, point: int, error: str) -> Injected:
    """``watch --once`` in which the ``point``-th call of ``syscalls`` fails with ``error``, such as ENOSPC."""
    return _run(house, f"inject={syscalls}:error={error}:when={point}", syscalls)


def _run(house: House, injection: str, syscalls: str) -> Injected:
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={syscalls}", "-e", injection]
    done = subprocess.run(
        [*strace, sys.executable, "-B", "-m", "service", "watch", "--once"],
        cwd=house.root,
        env=house.environment(settle_seconds="0.2", retry_seconds="0.1"),
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Injected(is_hit=done.returncode == -9 or done.returncode == 137, code=done.returncode)


def settled_inputs(house: House) -> dict[str, list[str]]:
    """For the hash of every input version: the places it is in, of inbox, .claimed, archive and quarantine."""
    places: dict[str, list[str]] = {}
    for path in sorted(house.inbox.rglob("*")):
        if path.is_file() and path.suffix in (".csv", ".json") and path.name not in ("reason.json",):
            at = path.relative_to(house.inbox).parts
            if path.name.startswith(".") or (at[0] == ".claimed" and len(at) == 2):
                continue
            place = at[0] if len(at) > 1 else "inbox"
            places.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), []).append(place)
    return places


def broken_promises(house: House, inputs: int) -> Iterator[str]:
    """What a reader could find wrong at this moment, whatever happened before."""
    manifest = house.manifest()
    if manifest:
        folder = house.outbox / "batches" / manifest["batch_id"]
        for name, described in manifest["files"].items():
            path = folder / name
            if not path.is_file():
                yield f"{name} of the published set is missing"
            elif hashlib.sha256(path.read_bytes()).hexdigest() != described["sha256"]:
                yield f"{name} of the published set is not what the manifest says"
    for folder in (house.outbox / "batches").glob("*"):
        if not (folder / "manifest.json").is_file():
            yield f"{folder.name} was published without a manifest"
    places = settled_inputs(house)
    if len(places) != inputs:
        yield f"{len(places)} versions of inputs exist, {inputs} were dropped"
    for digest, found in places.items():
        if len(found) != 1:
            yield f"input {digest[:8]} is in {found}"


def leftovers(house: House) -> Iterator[str]:
    """What a run that ended in order must not leave behind."""
    for folder in (house.inbox / ".claimed", house.outbox / ".staging", house.state / "work"):
        if folder.is_dir():
            yield from (str(path.relative_to(house.root)) for path in folder.rglob("*"))
    for path in (*house.inbox.rglob(".*.new"), *house.outbox.rglob(".*.new")):
        yield str(path.relative_to(house.root))


def determined_bytes(house: House) -> list[dict[str, str]]:
    """Hashes of the determined files of every published set, oldest first."""
    return [
        {
            name: hashlib.sha256((house.outbox / "batches" / batch / name).read_bytes()).hexdigest()
            for name in DETERMINED
        }
        for batch in house.batches()
    ]


def drop_second(house: House) -> None:
    """The sample with a changed phone and a new customer, so that ids could be burnt."""
    house.drop()
    crm, ecom = house.inbox / CRM, house.inbox / ECOM
    changed = crm.read_text(encoding="utf-8").replace("+1-555-0103", "+1-555-0199")
    crm.write_text(changed + "CRM006,Zed Young,zed@email.com,555-0177,2024-01-01,active\n", encoding="utf-8")
    shop = json.loads(ecom.read_text(encoding="utf-8"))
    shop["customers"].append({"id": "EC1004", "name": "Ann Lee", "contact": {"email": "ann@lee.org"}})
    ecom.write_text(json.dumps(shop), encoding="utf-8")


def copy_house(house: House, root: Path) -> House:
    """The same house elsewhere, as it is now."""
    subprocess.run(["cp", "-a", str(house.root), str(root)], check=True)
    copied = House.__new__(House)
    copied.root, copied.inbox, copied.outbox, copied.state = root, root / "inbox", root / "outbox", root / "state"
    return copied
