"""Recompute what the service promises to keep: every hash, every link of the chain, every input in one place.

Reads only, needs no lock, and may run beside the service: what is found is looked at again before it is told,
because a batch may have been in flight.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from service.errors import UsageError
from service.files import is_locked, sha256_of
from service.folders import REASON
from service.folders import TEXT_LOG as LOG
from service.ledger import Entry, Ledger
from service.model import JobName
from service.outbox import FLAT, MANIFEST
from service.outcomes import Outcome, read_outcome

FILE_NAME = "ledger.sqlite"

_LOOKS = 3
_BETWEEN_LOOKS_SECONDS = 0.5
_AS_A_WHOLE = ""
_MEANT = "if that was meant, nothing is to be done"
_PIECE_BYTES = 1 << 20
_CUSTOMER = re.compile(rb'"customer_id"\s*:')
_TOTAL = re.compile(rb'"total_customers"\s*:\s*(\d+)')
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Places:
    """The folders of one service; ``inbox`` is None for an outbox that is filled by hand."""

    inbox: Path | None
    outbox: Path
    state: Path


@dataclass
class VerifyReport:
    """What was found: sentences with ids and file names only."""

    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is as a person made it."""
    sets: int = 0
    inputs: int = 0
    quarantined: int = 0

    @property
    def sentence(self) -> str:
        """What is fine."""
        return f"ok: {self.sets} sets, {self.inputs} inputs, {self.quarantined} quarantined"


def verify(places: Places, batch_id: str | None = None) -> VerifyReport:
    """Check everything, or what there is of one batch.

    Raises: UsageError where there is no such batch, or nothing to check.
    """
    needed = places.outbox if places.inbox is None else places.inbox
    if not needed.is_dir():
        raise UsageError(
            "the folder is not there", where=str(needed), hint="is it mounted? See SERVICE_INBOX and SERVICE_OUTBOX"
        )
    look = _Look(places)
    subjects = look.subjects()
    if batch_id is not None and batch_id not in subjects:
        raise UsageError(f"there is no batch {batch_id}", hint="its id is the name of its folder in outbox/batches")
    verdict = VerifyReport(sets=len(look.sets), inputs=look.archived, quarantined=len(look.quarantined))
    if batch_id is not None:
        subjects = [batch_id]
        verdict.sets, verdict.quarantined = int(batch_id in look.sets), int(batch_id in look.quarantined)
        verdict.inputs = len(look.inputs_in_archive(batch_id))
    found = {subject: list(look.findings(subject)) for subject in subjects}
    verdict.notes = list(look.notes()) if batch_id is None else []
    for _ in range(_LOOKS - 1):
        if not any(found.values()):
            break
        time.sleep(_BETWEEN_LOOKS_SECONDS)
        look = _Look(places)
        found = {subject: _again(look, subject, before) for subject, before in found.items() if before}
    verdict.findings = [sentence for sentences in found.values() for sentence in sentences]
    return verdict


def _again(look: _Look, subject: str, before: list[str]) -> list[str]:
    now = set(look.findings(subject))
    return [sentence for sentence in before if sentence in now]


@dataclass(frozen=True)
class _File:
    """A file as a document tells it."""

    name: str
    sha256: str
    size_bytes: int | None = None


class _Look:
    """One look at all folders; each subject is a batch id, or the whole."""

    def __init__(self, places: Places) -> None:
        self._outbox = places.outbox
        self._inbox = places.inbox
        self._entries, self._ledger_trouble = Ledger(places.state, places.outbox, places.inbox).entries()
        self.sets = _names(self._outbox / "batches")
        self._archived = _names(self._inbox and self._inbox / "archive")
        self.quarantined = _names(self._inbox and self._inbox / "quarantine")
        claims = _names(self._inbox and self._inbox / ".claimed")
        self._claimed = {name.removesuffix(".json") for name in claims if not name.startswith(".")}
        self._latest = {entry.outcome.batch_id: entry for entry in self._entries}
        """The last entry of each batch."""

    @property
    def archived(self) -> int:
        """How many inputs lie in the archive."""
        return sum(len(self.inputs_in_archive(batch_id)) for batch_id in self._archived)

    def inputs_in_archive(self, batch_id: str) -> set[str]:
        """The names of the archived inputs of a batch."""
        return _names(self._inbox and self._inbox / "archive" / batch_id)

    def subjects(self) -> list[str]:
        """Every batch there is a trace of, and the whole."""
        known = set(self._latest) - {""} | self.sets | self._archived | self.quarantined | self._claimed
        return [*sorted(known), _AS_A_WHOLE]

    def findings(self, subject: str) -> Iterator[str]:
        """What is wrong with a batch, or with the whole."""
        if subject == _AS_A_WHOLE:
            yield from self._ledger()
            yield from self._chain()
            for job in FLAT:
                yield from self._flat_files(job)
            return
        entry = self._latest.get(subject)
        yield from self._place(subject, entry)
        if subject in self.sets:
            yield from self._set(subject, entry)
        elif entry and entry.outcome.kind == "published" and not entry.removed and self.sets:
            yield f"outbox/batches/{subject} is missing"
        if subject in self.quarantined:
            yield from self._quarantine(subject, entry)
        if subject in self._claimed:
            yield from self._claim(subject)
        if entry and entry.outcome.kind == "published" and entry.removed != "retention":
            yield from self._archive(subject, entry.outcome)

    def notes(self) -> Iterator[str]:
        """What is gone because a person, or the service on its behalf, removed it."""
        if self._ledger_trouble == "missing" and self._entries:
            yield f"state/{FILE_NAME} is missing; the service rebuilds it when it starts"
        gone = [entry for entry in self._entries if entry.removed == "emptied" or self._is_emptied_now(entry)]
        if gone:
            what = "was emptied" if self._outbox.is_dir() else f"{self._outbox} is not there, is it mounted?"
            yield f"the outbox {what}: {len(gone)} sets are not there any more; {_MEANT}"
        if bare := sum(entry.removed == "before" for entry in self._entries):
            yield f"the ledger was rebuilt; of {bare} outcomes before that only the hash is known"
        for entry in self._entries:
            batch_id = entry.outcome.batch_id
            if entry.outcome.kind == "quarantined" and not entry.removed:
                folder = f"inbox/quarantine/{batch_id}"
                if batch_id not in self.quarantined:
                    yield f"{folder} was removed or moved back by hand; {_MEANT}"
                elif not self._kept_inputs(batch_id):
                    yield f"the files of {folder} were removed or moved back by hand; {_MEANT}"

    # ---------------------------------------------------------------------------------------- where it lies

    def _place(self, batch_id: str, entry: Entry | None) -> Iterator[str]:
        """An accepted input is in exactly one of claimed, archive, quarantine."""
        if self._inbox is None:
            return
        places = ("archive", "quarantine", ".claimed")
        found = [f"inbox/{place}" for place in places if (self._inbox / place / batch_id).exists()]
        if len(found) > 1:
            yield f"batch {batch_id} lies in {' and in '.join(found)}"
        is_published = batch_id in self.sets or (entry is not None and entry.outcome.kind == "published")
        if batch_id in self._archived and not is_published:
            yield f"inbox/archive/{batch_id} belongs to no published batch"

    def _claim(self, batch_id: str) -> Iterator[str]:
        assert self._inbox is not None
        folder = self._inbox / ".claimed"
        if not is_locked(self._inbox / ".lock"):
            yield f"batch {batch_id} is claimed and no service works on it; start the service, it takes it up"
        try:
            claim = json.loads((folder / f"{batch_id}.json").read_text(encoding="utf-8"))
            files = [_File(name, remembered["sha256"]) for name, remembered in claim["files"].items()]
        except FileNotFoundError:
            yield f"inbox/.claimed/{batch_id} has no claim beside it"
        except (OSError, *_MALFORMED):
            yield f"inbox/.claimed/{batch_id}.json cannot be read"
        else:
            # While a claim is being made or ended, its files are on their way.
            present = [file for file in files if (folder / batch_id / file.name).exists()]
            yield from _files_unlike(folder / batch_id, f"inbox/.claimed/{batch_id}", present, beside={REASON, LOG})

    def _archive(self, batch_id: str, outcome: Outcome) -> Iterator[str]:
        moved = [_File(entry.file_name, entry.sha256) for entry in outcome.inputs if entry.is_moved]
        is_on_the_way = batch_id in self._claimed and batch_id not in self._archived
        if self._inbox is not None and moved and not is_on_the_way:
            yield from _files_unlike(self._inbox / "archive" / batch_id, f"inbox/archive/{batch_id}", moved)

    # ------------------------------------------------------------------------------------------- the sets

    def _set(self, batch_id: str, entry: Entry | None) -> Iterator[str]:
        folder, shown = self._outbox / "batches" / batch_id, f"outbox/batches/{batch_id}"
        yield from _document_unlike(folder / MANIFEST, f"{shown}/{MANIFEST}", entry)
        try:
            told = json.loads((folder / MANIFEST).read_bytes())
            files = [_File(name, entry["sha256"], entry["size_bytes"]) for name, entry in told["files"].items()]
            rows = {name: int(told["rows"][name]) for name in ("records", "rejects", "duplicates", "customers")}
            rows_unlike = _ROWS_UNLIKE[told.get("job", "integration")]
        except (OSError, *_MALFORMED):
            return  # told above
        wrong = list(_files_unlike(folder, shown, files, beside={MANIFEST}))
        yield from wrong
        if not wrong:
            try:
                yield from list(rows_unlike(folder, shown, rows))
            except OSError as error:  # retention may take it at this moment; the next look finds out
                yield f"{shown} cannot be read ({error.strerror})"

    def _flat_files(self, job: JobName) -> Iterator[str]:
        """The files under the names that users know are those of the latest set of their job."""
        names, manifest = FLAT[job].names, FLAT[job].manifest
        published = [e.outcome for e in self._entries if e.outcome.kind == "published" and e.outcome.job == job]
        flat = {name for name in (*names, manifest) if (self._outbox / name).exists()}
        if not published or not flat | (self.sets & {outcome.batch_id for outcome in published}):
            return  # nothing was published, or the outbox was emptied
        if manifest not in flat:
            yield f"outbox/{manifest} is missing"
            return
        latest = published[-1]
        is_on_the_way = latest.batch_id in self._claimed  # the files are being replaced, the manifest is the last
        digest = _sha256(self._outbox / manifest)
        if digest != latest.sha256 and not is_on_the_way:
            yield f"outbox/{manifest} is not that of batch {latest.batch_id}, the latest"
            return
        manifests = [self._outbox / manifest]
        if is_on_the_way:
            manifests.append(self._outbox / "batches" / latest.batch_id / MANIFEST)
        allowed = [_files_told(path) for path in manifests]
        for name in names:
            if name not in flat:
                yield f"outbox/{name} is missing; the set of batch {latest.batch_id} has it"
            elif _sha256(self._outbox / name) not in {files.get(name, "-") for files in allowed}:
                yield f"outbox/{name} is not that of batch {latest.batch_id}, which outbox/{manifest} names"

    def _is_emptied_now(self, entry: Entry) -> bool:
        return entry.outcome.kind == "published" and not entry.removed and not self.sets

    # -------------------------------------------------------------------------------------- the quarantine

    def _quarantine(self, batch_id: str, entry: Entry | None) -> Iterator[str]:
        assert self._inbox is not None
        folder, shown = self._inbox / "quarantine" / batch_id, f"inbox/quarantine/{batch_id}"
        if not folder.is_dir():
            yield f"{shown} is no folder of a batch"
            return
        if entry is not None and entry.outcome.kind != "quarantined":
            entry = None  # what a published batch has no business there is told by its place
        yield from _document_unlike(folder / REASON, f"{shown}/{REASON}", entry)
        try:
            told = json.loads((folder / REASON).read_bytes())
            inputs = [_File(name, digest) for name, digest in told["inputs"].items()]
            log = [_File(LOG, told["log_sha256"])] if "log_sha256" in told else []
        except (OSError, *_MALFORMED):
            return  # told above
        kept = [] if not self._kept_inputs(batch_id) else [file for file in inputs if not self._went_on(batch_id, file)]
        yield from _files_unlike(folder, shown, kept + log, beside={REASON})

    def _went_on(self, batch_id: str, file: _File) -> bool:
        """Whether a quarantined file was moved back by hand: it waits again, or was accepted later."""
        assert self._inbox is not None
        if (self._inbox / "quarantine" / batch_id / file.name).exists():
            return False
        return (file.name, file.sha256) in self._accepted_after(batch_id) | self._waiting

    def _kept_inputs(self, batch_id: str) -> set[str]:
        return _names(self._inbox and self._inbox / "quarantine" / batch_id) - {REASON, LOG}

    def _accepted_after(self, batch_id: str) -> set[tuple[str, str]]:
        seq = self._latest[batch_id].seq if batch_id in self._latest else 0
        later = [entry.outcome for entry in self._entries if entry.seq > seq]
        return {(entry.file_name, entry.sha256) for outcome in later for entry in outcome.inputs}

    @cached_property
    def _waiting(self) -> set[tuple[str, str]]:
        """Name and hash of what waits in the inbox or is worked on."""
        assert self._inbox is not None
        waiting = [path for path in self._inbox.iterdir() if path.is_file() and not path.name.startswith(".")]
        claimed = [path for path in (self._inbox / ".claimed").glob("*/*") if path.is_file()]
        return {(path.name, _sha256(path)) for path in (*waiting, *claimed)}

    # --------------------------------------------------------------------------------------------- the chain

    def _chain(self) -> Iterator[str]:
        former: Entry | None = None
        for entry in self._entries:
            outcome = entry.outcome
            if outcome.kind != "unknown" and outcome.former_sha256 != (former and former.outcome.sha256):
                before = f"batch {former.outcome.batch_id}" if former else "nothing"
                yield f"batch {outcome.batch_id} does not follow {before}: a link of the chain is missing between them"
            former = entry

    def _ledger(self) -> Iterator[str]:
        if self._ledger_trouble == "damaged":
            yield f"state/{FILE_NAME} is damaged; the service rebuilds it when it starts"
        elif self._ledger_trouble == "out of reach":
            yield f"state/{FILE_NAME} cannot be read"
        for name in sorted(self._names_in_the_way()):
            yield f"{name} is no folder of a batch"

    def _names_in_the_way(self) -> Iterator[str]:
        for place, names in (("archive", self._archived), ("batches", self.sets)):
            root, shown = (self._inbox, "inbox") if place == "archive" else (self._outbox, "outbox")
            yield from (f"{shown}/{place}/{name}" for name in names if root and not (root / place / name).is_dir())


def _document_unlike(path: Path, shown: str, entry: Entry | None) -> Iterator[str]:
    """A manifest or a reason is the one that was written, and the ledger tells the same."""
    try:
        outcome = read_outcome(path)
        told = json.loads(path.read_bytes())["batch_id"]
    except FileNotFoundError:
        yield f"{shown} is missing"
    except (OSError, *_MALFORMED):
        yield f"{shown} is damaged and cannot be read"
    else:
        if told != path.parent.name:
            yield f"{shown} is not of this batch"
        elif entry is not None and (outcome is None or outcome.sha256 != entry.outcome.sha256):
            yield f"{shown} is not as it was written: the ledger knows another hash of it"
        elif entry is not None and outcome and outcome != replace(entry.outcome, ended_at=outcome.ended_at):
            yield f"state/{FILE_NAME} tells batch {told} otherwise than {shown}"


def _files_unlike(folder: Path, shown: str, files: list[_File], beside: Collection[str] = ()) -> Iterator[str]:
    """What ``folder`` does not hold as told, or holds besides."""
    for file in files:
        path = folder / file.name
        try:
            size_bytes = path.lstat().st_size
            if file.size_bytes not in (None, size_bytes):
                yield f"{shown}/{file.name} has {size_bytes} bytes, not {file.size_bytes}"
            elif sha256_of(path) != file.sha256:
                yield f"{shown}/{file.name} has changed: another hash than it was written with"
        except (FileNotFoundError, NotADirectoryError):
            yield f"{shown}/{file.name} is missing"
        except OSError as error:
            yield f"{shown}/{file.name} cannot be read ({error.strerror})"
    for name in sorted(_names(folder) - {file.name for file in files} - set(beside)):
        yield f"{shown}/{name} does not belong there"


def _master_unlike(folder: Path, shown: str, rows: dict[str, int]) -> Iterator[str]:
    """Every record that entered stands in the crosswalk once, every customer in the master once."""
    numbers = {name: _numbers(folder / name) for name in ("crosswalk.csv", "customer_master.csv")}
    customers = np.unique(numbers["crosswalk.csv"])
    counted = {
        "crosswalk.csv": (len(numbers["crosswalk.csv"]), rows["records"], "records"),
        "customer_master.csv": (len(numbers["customer_master.csv"]), rows["customers"], "customers"),
        "match_evidence.csv": (sum(1 for _ in _first_cells(folder / "match_evidence.csv")), rows["duplicates"], "rows"),
        "rejects.csv": (sum(1 for _ in _first_cells(folder / "rejects.csv")), rows["rejects"], "rows"),
    }
    yield from _counts_unlike(shown, counted)
    if not np.array_equal(customers, np.unique(numbers["customer_master.csv"])):
        yield f"{shown}/crosswalk.csv and customer_master.csv do not name the same customers"


def _export_unlike(folder: Path, shown: str, rows: dict[str, int]) -> Iterator[str]:
    """Every customer stands in the analytics export once, and it says itself how many there are."""
    customers, total = _customers_in(folder / "sample_output.json")
    counted = {
        "sample_output.json": (customers, rows["customers"], "customers"),
        "rejects.csv": (sum(1 for _ in _first_cells(folder / "rejects.csv")), rows["rejects"], "rows"),
    }
    yield from _counts_unlike(shown, counted)
    if total != rows["customers"]:
        yield f"{shown}/sample_output.json tells of {total} customers, its manifest of {rows['customers']}"


_ROWS_UNLIKE: Mapping[JobName, Callable[[Path, str, dict[str, int]], Iterator[str]]] = {
    "integration": _master_unlike,
    "analytics": _export_unlike,
}


def _counts_unlike(shown: str, counted: Mapping[str, tuple[int, int, str]]) -> Iterator[str]:
    """File -> what was counted in it, what its manifest says, and of what."""
    for name, (found, told, what) in counted.items():
        if found != told:
            yield f"{shown}/{name} has {found} {what}, its manifest says {told}"


def _customers_in(path: Path) -> tuple[int, int | None]:
    """How many customers an analytics export holds, and how many it says it does.

    Counted by their key, without parsing: in a JSON text the bytes `"customer_id":` can only be a key, because a
    quote inside a value stands behind a backslash.
    """
    customers, total = 0, None
    for piece in _pieces(path):
        customers += len(_CUSTOMER.findall(piece))
        if found := _TOTAL.search(piece):
            total = int(found[1])
    return customers, total


def _pieces(path: Path) -> Iterator[bytes]:
    """A JSON text in pieces of about a megabyte that end behind a closing brace, so in no key."""
    rest = b""
    with open(path, "rb") as file:
        while chunk := file.read(_PIECE_BYTES):
            before, brace, rest_of_it = chunk.rpartition(b"}")
            if brace:
                yield rest + before + brace
                rest = rest_of_it
            else:
                rest += chunk
    yield rest


def _numbers(path: Path) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The numbers of the unified ids in the first column."""
    return np.fromiter((int(cell.removeprefix(b"CUST")) for cell in _first_cells(path)), dtype=np.int64)


def _first_cells(path: Path) -> Iterator[bytes]:
    """The first cell of every row but the header; quoted cells may hold line breaks."""
    is_inside = False
    with open(path, "rb") as lines:
        for number, line in enumerate(lines):
            if not is_inside and number:
                yield line.partition(b",")[0]
            is_inside ^= line.count(b'"') % 2 == 1


def _files_told(manifest: Path) -> dict[str, str]:
    try:
        return {name: told["sha256"] for name, told in json.loads(manifest.read_bytes())["files"].items()}
    except (OSError, *_MALFORMED):
        return {}


def _sha256(path: Path) -> str:
    """The hash of a file; empty where it cannot be read."""
    try:
        return sha256_of(path)
    except OSError:
        return ""


def _names(folder: Path | None) -> set[str]:
    """What lies in a folder; nothing where there is none."""
    try:
        return set() if folder is None else {path.name for path in folder.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
