"""The candidate to claim next: the oldest whose files, and those of all earlier ones of its job, have settled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from service.inbox import Candidate, Scan, Settling, WaitingFile
from service.job_name import JobName
from service.suffixes import is_before

_OPTIONAL_PATIENCE = 3  # an optional export may delay a complete batch for this many times the time to settle


@dataclass(frozen=True)
class Ready:
    """A candidate that can be claimed: all of its files have settled."""

    candidate: Candidate
    proofs: tuple[str, ...]
    """How each file proved that its writer is done, in the order of the files."""
    passed: tuple[str, ...] = ()
    """Names of earlier files of its job that have been stuck for too long: it does not wait for them any more."""


class Readiness:
    """Follows the files of the inbox from scan to scan. Clocks are monotonic, in seconds, and passed in."""

    def __init__(self, settle_seconds: float, stuck_seconds: float) -> None:
        """``stuck_seconds``: for how long files that do not settle hold up later candidates of their job."""
        self._settle_seconds = settle_seconds
        self._stuck_seconds = stuck_seconds
        self._settling = Settling(settle_seconds)
        self._delayed_since: dict[tuple[JobName, str], float] = {}
        self._held_up_since: dict[tuple[JobName, str], float] = {}
        """Since when candidates have been ready; those that are claimed at once are forgotten by the next scan."""
        self.unsettled: frozenset[str] = frozenset()
        """Names of the files of the last scan that were still waiting for their writers."""
        self.stuck: frozenset[str] = frozenset()
        """Names of those that later candidates of their job do not wait for any more."""

    def note_closed(self, paths: Iterable[Path], now: float) -> None:
        """Record that writers closed these files, or renamed them into the inbox."""
        for path in paths:
            self._settling.closed(path, now)

    def seconds_to_proof(self, now: float) -> float:
        """See ``Settling.seconds_to_proof``."""
        return self._settling.seconds_to_proof(now)

    def next(self, scan: Scan, now: float) -> Ready | None:
        """The next candidate to claim: the oldest one whose files, and those of all earlier ones of its job, settled.

        Candidates of other jobs never delay it, nor do earlier files that have been stuck for too long: counted from
        when it was ready and the file last changed.
        """
        files = [*(file for candidate in scan.candidates for file in candidate.files), *scan.unpaired]
        self._settling.forget_all_but(file.path for file in files)
        still_seconds = {file.path.name: self._settling.see(file.path, file.state, now) for file in files}
        arriving = [file for file in scan.unpaired if not self._proof(file, now)]
        there = {(candidate.job, candidate.suffix) for candidate in scan.candidates}
        self._held_up_since = {key: since for key, since in self._held_up_since.items() if key in there}
        ready: Ready | None = None
        for scanned in scan.candidates:
            candidate, proofs = self._proven(scanned, now)
            key = candidate.job, candidate.suffix
            if not all(proofs):
                self._held_up_since.pop(key, None)
                arriving += [file for file, proof in zip(candidate.files, proofs, strict=True) if not proof]
                continue
            since = self._held_up_since.setdefault(key, now)
            earlier = [file for file in arriving if _is_earlier(file, candidate)]
            waited = [min(now - since, still_seconds[file.path.name]) for file in earlier]
            if all(seconds >= self._stuck_seconds for seconds in waited):
                ready = Ready(candidate, proofs, tuple(file.path.name for file in earlier))
                break  # later candidates are checked when it is their turn: there may be thousands
        self._note(arriving, ready)
        return ready

    def _note(self, arriving: list[WaitingFile], ready: Ready | None) -> None:
        """What waits for its writer, and what of it was passed and waits still."""
        self.unsettled = frozenset(file.path.name for file in arriving)
        passed = ready.passed if ready is not None else ()
        self.stuck = (self.stuck | frozenset(passed)) & self.unsettled

    def _proven(self, candidate: Candidate, now: float) -> tuple[Candidate, tuple[str, ...]]:
        """The candidate and the proofs of its files, without optional files that have delayed it for too long.

        A file that has not settled has the proof "".
        """
        proofs = tuple(self._proof(file, now) or "" for file in candidate.files)
        files = list(zip(candidate.files, proofs, strict=True))
        key = candidate.job, candidate.suffix
        if all(proofs) or any(file.source.is_required and not proof for file, proof in files):
            self._delayed_since.pop(key, None)
            return candidate, proofs
        since = self._delayed_since.setdefault(key, now)
        if now - since < _OPTIONAL_PATIENCE * self._settle_seconds:
            return candidate, proofs
        late = tuple(file.path.name for file, proof in files if not proof)
        settled = tuple(file for file, proof in files if proof)
        without_late = replace(candidate, files=settled, left_behind=(*candidate.left_behind, *late))
        return without_late, tuple(proof for proof in proofs if proof)

    def _proof(self, file: WaitingFile, now: float) -> str | None:
        return self._settling.proof(file.path, file.state, now) if file.is_readable else None


def _is_earlier(file: WaitingFile, candidate: Candidate) -> bool:
    return file.source.job == candidate.job and is_before(file.suffix, candidate.suffix)
