"""Published batches with a step after the commit that failed: each is tried again by itself, and stops no other."""

from __future__ import annotations

from dataclasses import dataclass

from service.health_reasons import HealthReason
from service.watch.attempts import CompletionPostponed, pause_seconds


@dataclass
class _Leftover:
    reason: str
    tries: int
    until: float


class Leftovers:
    """The batches whose inputs are not archived yet. The monotonic clock is passed in, in seconds."""

    def __init__(self, retry_seconds: float) -> None:
        self._retry_seconds = retry_seconds
        self._of: dict[str, _Leftover] = {}

    def note(self, result: CompletionPostponed, clock: float) -> None:
        """The batch is tried again after a pause, which doubles each time."""
        former = self._of.get(result.batch.id)
        tries = 1 if former is None else former.tries + 1
        until = clock + pause_seconds(self._retry_seconds, tries)
        self._of[result.batch.id] = _Leftover(result.reason, tries, until)

    def forget(self, batch_id: str) -> None:
        """The batch is complete, or is not there any more."""
        self._of.pop(batch_id, None)

    def waiting(self, clock: float) -> frozenset[str]:
        """Ids of the batches whose next try is not due yet."""
        return frozenset(batch_id for batch_id, leftover in self._of.items() if clock < leftover.until)

    def reasons(self) -> tuple[HealthReason, ...]:
        """One for each batch."""
        return tuple(
            HealthReason(
                "completion_postponed",
                f"batch {batch_id} is published, but a step after it failed and is tried again: {leftover.reason}",
            )
            for batch_id, leftover in self._of.items()
        )
