"""The JSON documents in inbox, outbox and state: typed, frozen, and read and written here only.

A document is read with care, because inbox and outbox are shared folders: regular files only, no links, no blocking
open, at most ``MOST_BYTES``, and every value of its declared type and form. Members that are not declared are
ignored, so that an older program reads the documents of a newer one. ``format`` is 1 for all that have it; a document
without it was written before 26 November 2026 and has the same members.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from service.files import read_regular, replace_text, replace_texts
from service.fingerprint import Fingerprint
from service.job_name import JobName

MOST_BYTES = 16 << 20
_BATCH_ID = r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}(-[1-9][0-9]*)?\Z"
_INVALID_VALUE = re.compile(r"Invalid enum value .* - at", re.DOTALL)

BatchId = Annotated[str, Meta(pattern=_BATCH_ID)]
"""``<UTC claim time>-<6 hex of the input hash>``, with ``-2``, ``-3``, … where that was taken."""
FileName = Annotated[str, Meta(pattern=r"^(?!\.{1,2}\Z)[^/\x00]+\Z", max_length=255)]
"""A plain name: no separator, neither ``.`` nor ``..``."""
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""A number of rows or bytes; the ledger stores 64 bits."""
Positive = Annotated[int, Meta(ge=1, le=1 << 53)]
"""A position or a customer's number; numbers that follow it have room."""


class MalformedDocument(ValueError):
    """The file is not a document of the expected form; the message names the member, never its value."""


class _Document(Struct, frozen=True, kw_only=True):
    format: Literal[1] = 1


class Counts(Struct, frozen=True, kw_only=True):
    """The figures of a published batch."""

    records: Count
    rejects: Count
    duplicates: Count
    customers: Count


class ManifestInput(Struct, frozen=True, kw_only=True):
    """One input file of a published batch."""

    source: str
    file_name: FileName
    size_bytes: int
    sha256: Sha256
    rows: int
    settle_proof: str
    """``lease``, ``close_event``, ``stillness``, or ``given`` (named on the command line, stays with its owner)."""


class ManifestFile(Struct, frozen=True, kw_only=True):
    """One file of a published set."""

    size_bytes: int
    sha256: Sha256


class Manifest(_Document, frozen=True, kw_only=True):
    """``manifest.json``: what a published set consists of, and what it was made from."""

    batch_id: BatchId
    job: JobName = "integration"
    """Absent where it was written before there were several jobs."""
    program_version: str
    former_manifest_sha256: Sha256 | None
    """Of the flat manifest of the job before this set."""
    former_outcome_sha256: Sha256 | UnsetType | None = UNSET
    """Of the manifest or reason of the batch before it: the link of the chain."""
    sequence: Positive | UnsetType = UNSET
    """Position among all outcomes, as in the ledger. Absent in sets of 0.1.0, as the next."""
    next_number: Positive | UnsetType = UNSET
    """The number that the next new customer gets; of a job with a register."""
    rules_sha256: Sha256 | UnsetType = UNSET
    """Of the program and the rules that made the set (``Rules.sha256``); of a job that merges records."""
    inputs: tuple[ManifestInput, ...]
    rows: Counts
    files: dict[FileName, ManifestFile]


class Reason(_Document, frozen=True, kw_only=True):
    """``reason.json``: why a batch was quarantined."""

    batch_id: BatchId
    job: JobName = "integration"
    quarantined_at: str
    error: str
    """Class of the error."""
    message: str
    where: str
    found: str
    hint: str
    retry: str
    """The command that moves the batch back."""
    inputs: dict[FileName, Sha256]
    inputs_sha256: Sha256
    log_sha256: Sha256 | UnsetType = UNSET
    former_outcome_sha256: Sha256 | UnsetType | None = UNSET
    """Absent where the files were set aside before they were accepted: such a reason is no link of the chain."""


class ClaimedFile(Struct, frozen=True, kw_only=True):
    """One file of a claim."""

    source: str
    sha256: Sha256
    fingerprint: Fingerprint
    settle_proof: str


class Claim(_Document, frozen=True, kw_only=True):
    """``.claimed/<id>.json``: a batch in work, and how often it was tried."""

    batch_id: BatchId
    claimed_at: str
    suffix: str
    files: dict[FileName, ClaimedFile]
    accepted: bool = False
    """True if the guards are skipped (``retry --accept``)."""
    warnings: tuple[str, ...] = ()
    starts: int = 0
    """Begun attempts that did not end in order."""
    faults: int = 0


class WaitingExport(Struct, frozen=True, kw_only=True):
    """An export that waits in the inbox."""

    file_name: str
    since: str
    waits_for: str


class IgnoredEntry(Struct, frozen=True, kw_only=True):
    """Something in the inbox that is no export."""

    file_name: str
    why: str


class StageProgress(Struct, frozen=True, kw_only=True):
    """How far the stage in work has come. Rows are those of the stage; while exports are read an estimate."""

    stage_number: int
    """From 1."""
    stage_count: int
    rows_done: int
    rows_in_all: int
    rows_per_second: int
    """On average since the stage began."""
    moved_at: str
    """When ``rows_done`` last rose."""


class HealthReport(_Document, frozen=True, kw_only=True):
    """``health.json``: the condition of the watcher. File names, ids and counts only."""

    state: Literal["ok", "degraded", "failing"] = "ok"
    reasons: tuple[str, ...] = ()
    """What is wrong, in words, the most important first."""
    codes: tuple[str, ...] = ()
    """The code of each reason, in the same order: ``health_reasons.ReasonCode``. Absent in earlier versions."""
    notes: tuple[str, ...] = ()
    """What is as it is and needs no action, such as a file system that cannot sync folders."""
    written_at: str = ""
    version: str = ""
    pid: int = 0
    waiting: tuple[WaitingExport, ...] = ()
    waiting_count: int = 0
    ignored: tuple[IgnoredEntry, ...] = ()
    quarantined: tuple[str, ...] = ()
    """``<batch id>: <error>`` of each batch quarantined since the last published one of its job."""
    busy_since: str | None = None
    stage: str | None = None
    stage_since: str | None = None
    progress: StageProgress | None = None
    batch_id: str | None = None
    last_batch: str | None = None
    """The batch published last, of any job."""
    last_scan: str | None = None
    found_without_event: int = 0
    """Exports found by a scan without a file event; more than a few: file events do not arrive."""
    has_heartbeat: bool = False
    """Whether this watcher writes ``heartbeat.json``, too; ``watch --once`` and earlier versions do not."""


class Heartbeat(_Document, frozen=True, kw_only=True):
    """``heartbeat.json``: the loop of the watcher moves. Written every two seconds, and not while the loop hangs."""

    alive_at: str
    """When the loop last moved; while a batch is in work, when this was written."""


SyncEnd = Literal["completed", "postponed", "rejected", "suspended"]
"""``postponed``: the API asked for a longer pause; ``rejected``: a setting must be corrected; ``suspended``: any other
end before the collection was complete."""


class SyncRun(Struct, frozen=True, kw_only=True):
    """One run of the sync; its figures are its own, not those of the run that it resumed."""

    started_at: str
    end: SyncEnd
    message: str
    """Why it ended, unless it was completed."""
    is_resumed: bool
    customers: int | None
    """None unless it was completed."""
    requests: Count
    retries: Count
    rate_limited: Count
    """Requests that the API refused because of its rate limit."""
    pages: Count
    """Of the collection where the run was completed, else those received."""
    unchanged_pages: Count
    """Pages that the API did not send again, because they had not changed."""
    bytes: Count
    waited_seconds: float
    seconds: float


class SyncRuns(_Document, frozen=True, kw_only=True):
    """``state/sync/runs.json``: the last runs of the sync, the latest first."""

    runs: tuple[SyncRun, ...] = ()


Moment = Annotated[datetime, Meta(tz=True)]


class NotifiedCause(Struct, frozen=True, kw_only=True):
    """A cause that users were notified of."""

    event: Literal["failed", "stuck"]
    text: str
    """One line, as it was sent."""
    notified_at: Moment
    """When the last message that it began was decided."""
    is_over: bool = False


class PendingMessage(Struct, frozen=True, kw_only=True):
    """A message that some recipients have not received yet."""

    event: Literal["failed", "stuck", "recovered"]
    text: str
    recipients: tuple[str, ...]
    """Of each one the beginning of the SHA-256 of its URL, which is a secret."""


class NotifiedCauses(_Document, frozen=True, kw_only=True):
    """``notified.json``: what users were notified of, so that each cause is sent once."""

    causes: dict[str, NotifiedCause] = {}
    pending: tuple[PendingMessage, ...] = ()
    """The oldest first."""


class AcceptedFiles(Struct, frozen=True, kw_only=True):
    """A mark of ``retry --accept``: the files that skip the guards, once."""

    batch_id: str = ""
    """The batch that they were quarantined with."""
    names: tuple[FileName, ...] = ()


class Generation(Struct, frozen=True, kw_only=True):
    """``published.json`` in a generation of the register: the set it belongs to.

    Without ``format``: the format of the state counts, and older programs refuse members that they do not know.
    """

    batch_id: FileName
    suffix: str = ""
    source_rows: dict[str, int] = {}
    former: FileName | None = None
    """The generation that was in force before."""


class RegisterFigures(Struct, frozen=True, kw_only=True):
    """``figures.json`` in a generation of the register; absent where it was written before 27 November 2026.

    A file of its own: a program that does not know it writes a generation without it, which is true.
    """

    key_rules: Count = 1
    """By which rules the keys of its records were made: ``register.KEY_RULES``."""
    filled: dict[str, dict[str, Count]] = {}
    """Source -> field -> number of rows with a usable value."""


Document = TypeVar("Document", bound=Struct)


def is_batch_id(text: str) -> bool:
    """Whether ``text`` has the form of a batch id."""
    return re.fullmatch(_BATCH_ID, text) is not None


def read(path: Path, kind: type[Document]) -> Document:
    """The document at ``path``.

    Raises: MalformedDocument for wrong contents; OSError where the file cannot be read, is too large or not regular.
    """
    return _document(path.name, read_regular(path, MOST_BYTES), kind)


def read_hashed(path: Path, kind: type[Document]) -> tuple[Document, str]:
    """The document at ``path`` and the SHA-256 of its bytes. Raises: as ``read``."""
    import hashlib  # the health check does without

    content = read_regular(path, MOST_BYTES)
    return _document(path.name, content, kind), hashlib.sha256(content).hexdigest()


def _document(name: str, content: bytes, kind: type[Document]) -> Document:
    """The document of these bytes; ``name`` is that of its file."""
    try:
        if kind is HealthReport:
            # Not msgspec's own decoder: it refuses the escapes of a file name that is not UTF-8.
            return msgspec.convert(json.loads(content.decode("utf-8")), type=kind)
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedDocument(f"{name}: {_without_value(error)}") from None


def _without_value(error: Exception) -> str:
    """The message of msgspec without a value, which it quotes only if a word is not in a list."""
    return _INVALID_VALUE.sub("invalid value - at", str(error))


def to_text(document: Struct) -> str:
    """The JSON text of a document, as it is written."""
    # A health report names what lies in the inbox; a name that is not UTF-8 can only be written as escapes.
    is_ascii = isinstance(document, HealthReport)
    return json.dumps(msgspec.to_builtins(document), indent=2, ensure_ascii=is_ascii) + "\n"


def write(path: Path, document: Struct, *, durable: bool = True) -> None:
    """Replace the document at ``path`` as a whole. Raises: OSError."""
    replace_text(path, to_text(document), durable=durable)


def write_all(documents: Mapping[str, Struct], folder: Path) -> None:
    """Replace documents in one folder, each as a whole, durably. Raises: OSError."""
    replace_texts({name: to_text(document) for name, document in documents.items()}, folder)
