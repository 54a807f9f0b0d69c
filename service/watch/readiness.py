"""The candidate to claim next: the oldest whose files, and those of all earlier ones of its job, have settled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from service.inbox import Candidate, Scan, Settling, WaitingFile
from service.model import JobName
from service.suffixes import is_before

_OPTIONAL_PATIENCE = 3  # an optional export may delay a complete batch for this many times the time to settle


@dataclass(frozen=True)
class Ready:
    """A candidate that can be claimed: all of its files have settled."""

    candidate: Candidate
    proofs: tuple[str, ...]
    """How each file proved that its writer is done, in the order of the files."""


class Readiness:
    """Follows the files of the inbox from scan to scan. Clocks are monotonic, in seconds, and passed in."""

    def __init__(self, settle_seconds: float) -> None:
        self._settle_seconds = settle_seconds
        self._settling = Settling(settle_seconds)
        self._delayed_since: dict[tuple[JobName, str], float] = {}
        self.unsettled: frozenset[str] = frozenset()
        """Names of the files of the last scan that were still waiting for their writers."""

    def note_closed(self, paths: Iterable[Path], now: float) -> None:
        """Record that writers closed these files, or renamed them into the inbox."""
        for path in paths:
            self._settling.closed(path, now)

    def next(self, scan: Scan, now: float) -> Ready | None:
        """The next candidate to claim: the oldest one whose files, and those of all earlier ones of its job, settled.

        Candidates of other jobs never delay it.
        """
        paired = [file for candidate in scan.candidates for file in candidate.files]
        self._settling.forget_all_but(file.path for file in (*paired, *scan.unpaired))
        for file in paired:
            self._settling.see(file.path, file.state, now)
        unsettled = {file.path.name for file in scan.unpaired if not self._proof(file, now)}
        arriving = [(file.source.job, file.suffix) for file in scan.unpaired if file.path.name in unsettled]
        ready: Ready | None = None
        for scanned in scan.candidates:
            candidate, proofs = self._proven(scanned, now)
            if not all(proofs):
                pairs = zip(candidate.files, proofs, strict=True)
                unsettled |= {file.path.name for file, proof in pairs if not proof}
                arriving.append((candidate.job, candidate.suffix))
            elif not any(job == candidate.job and is_before(suffix, candidate.suffix) for job, suffix in arriving):
                ready = Ready(candidate, proofs)
                break  # later candidates are checked when it is their turn: there may be thousands
        self.unsettled = frozenset(unsettled)
        return ready

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
