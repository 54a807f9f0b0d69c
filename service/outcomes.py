"""Outcomes: what became of each batch, read from the document that records it.

The outcome of a batch is one document: the manifest of its published set, or the reason of its quarantine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from msgspec import UnsetType

from service import documents
from service.documents import Counts, Manifest, Reason
from service.folders import MANIFEST, REASON, InboxFolders, OutboxFolders
from service.job_name import JobName

Kind = Literal["published", "quarantined", "unknown"]


@dataclass(frozen=True)
class Input:
    """An export that went into a batch."""

    file_name: str
    sha256: str
    is_moved: bool = True
    """False where it was named on the command line and stays with its owner."""


@dataclass(frozen=True)
class Outcome:
    """What became of a batch. ``unknown``: its document is lost, and only the hash is known, from the next document."""

    batch_id: str
    kind: Kind
    job: JobName
    code: str | None
    """Of a quarantined batch: the class of the error."""
    claimed_at: str | None
    ended_at: str | None
    counts: Counts | None
    """Of a published batch."""
    sha256: str
    """Of the document."""
    former_sha256: str | None
    """Of the document before it in the chain, as this document states."""
    inputs: tuple[Input, ...]
    sequence: int | None = field(default=None, compare=False)
    """Its position among all outcomes, where its document states it."""


def read_outcome(path: Path) -> Outcome | None:
    """The outcome that a ``manifest.json`` or ``reason.json`` records; None where it is not a link of the chain.

    A published batch ended when its manifest was written. Raises: MalformedDocument; OSError where it cannot be read.
    """
    if path.name == MANIFEST:
        outcome = outcome_of(*documents.read_hashed(path, Manifest))
        return outcome and replace(outcome, ended_at=_modified_at(path))
    return outcome_of(*documents.read_hashed(path, Reason))


def outcome_of(document: Manifest | Reason, sha256: str) -> Outcome | None:
    """The outcome that a document with this hash records; None where it is not a link of the chain.

    A manifest does not state when its batch ended. Raises: MalformedDocument where its id does not begin with a time.
    """
    if isinstance(document.former_outcome_sha256, UnsetType):
        return None
    recorded = _published(document) if isinstance(document, Manifest) else _quarantined(document)
    return Outcome(
        batch_id=document.batch_id,
        job=document.job,
        claimed_at=_claimed_at(document.batch_id),
        sha256=sha256,
        former_sha256=document.former_outcome_sha256,
        **recorded,
    )


def _published(manifest: Manifest) -> dict[str, Any]:
    inputs = sorted(manifest.inputs, key=lambda it: it.file_name)
    return {
        "kind": "published",
        "code": None,
        "ended_at": None,
        "counts": manifest.rows,
        "sequence": None if isinstance(manifest.sequence, UnsetType) else manifest.sequence,
        "inputs": tuple(Input(it.file_name, it.sha256, it.settle_proof != "given") for it in inputs),
    }


def _quarantined(reason: Reason) -> dict[str, Any]:
    return {
        "kind": "quarantined",
        "code": reason.error,
        "ended_at": reason.quarantined_at,
        "counts": None,
        "inputs": tuple(Input(name, sha256) for name, sha256 in sorted(reason.inputs.items())),
    }


class OutcomeFiles:
    """The documents in ``outbox`` and, unless it is filled by hand, in ``inbox``."""

    def __init__(self, outbox: Path, inbox: Path | None) -> None:
        self._outbox = OutboxFolders(outbox)
        self._inbox = None if inbox is None else InboxFolders(inbox)

    def outcomes_of(self, batch_id: str) -> list[Outcome]:
        """The readable outcomes of one batch."""
        paths = [self._outbox.manifest_of(batch_id)]
        if self._inbox is not None:
            paths.append(self._inbox.reason_of(batch_id))
        return list(_readable(paths))

    def outcomes_except(self, known: Collection[str]) -> list[Outcome]:
        """The readable outcomes of all batches but those with a ``known`` id."""
        paths = list(self._outbox.batches.glob(f"*/{MANIFEST}"))
        if self._inbox is not None:
            paths.extend(self._inbox.quarantine.glob(f"*/{REASON}"))
        return list(_readable(path for path in paths if path.parent.name not in known))

    def has_set(self, batch_id: str) -> bool:
        """Whether the published set of this batch is in the outbox."""
        return self._outbox.set_of(batch_id).exists()


def in_order(outcomes: Iterable[Outcome], head: str | None) -> Iterator[Outcome]:
    """Outcomes along the links of the chain, from ``head`` on; where a link is missing, the earliest is next."""
    left = {outcome.sha256: outcome for outcome in sorted(outcomes, key=lambda outcome: outcome.batch_id)}
    follower = {outcome.former_sha256: outcome for outcome in reversed(left.values())}
    while left:
        following = follower.get(head)
        if following is None or following.sha256 not in left:
            begins = [outcome for outcome in left.values() if outcome.former_sha256 not in left]
            following = min(begins, key=lambda outcome: _position(outcome, follower))
        head = following.sha256
        yield left.pop(head)


def last_after(head: str | None, outcomes: Sequence[Outcome]) -> str | None:
    """The hash of the last outcome that follows ``head``, link by link; without ``head`` of the last of all, in order.

    ``head`` where none follows it.
    """
    if head is None:
        return outcomes[-1].sha256 if outcomes else None
    follower: dict[str | None, str] = {outcome.former_sha256: outcome.sha256 for outcome in outcomes}
    while head in follower:
        head = follower.pop(head)
    return head


def _position(outcome: Outcome, follower: Mapping[str | None, Outcome]) -> tuple[int, str]:
    """Where a part of the chain belongs that begins with this outcome: by the first position that it states."""
    following: Outcome | None = outcome
    seen: set[str] = set()
    while following is not None and following.sha256 not in seen:
        if following.sequence is not None:
            return following.sequence, ""
        seen.add(following.sha256)
        following = follower.get(following.sha256)
    return 0, outcome.batch_id


def _readable(paths: Iterable[Path]) -> Iterator[Outcome]:
    for path in paths:
        with suppress(OSError, documents.MalformedDocument):  # ``verify`` reports a damaged document
            outcome = read_outcome(path)
            if outcome is not None and outcome.batch_id == path.parent.name:
                yield outcome


def _modified_at(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")


def _claimed_at(batch_id: str) -> str:
    """The claim time with which a batch id begins. Raises: MalformedDocument where it is not a time."""
    try:
        return datetime.strptime(batch_id.partition("-")[0], "%Y%m%dT%H%M%S%z").isoformat()
    except ValueError:
        raise documents.MalformedDocument("batch_id does not begin with a time") from None
