"""The log lines of the loop: a condition is logged once, when it begins."""

from __future__ import annotations

from collections.abc import Sequence

from service import logs
from service.health_reasons import HealthReason
from service.inbox import Scan, shown_name, shown_text
from service.model import Source
from service.watch.attempts import (
    Abandoned,
    ArchivedLate,
    CompletionPostponed,
    Postponed,
    Published,
    Quarantined,
    Result,
    names_of,
)
from service.watch.claiming import NextBatch


class EventLog:
    """Logs a condition when it begins, and not again until it has ended."""

    def __init__(self, sources: Sequence[Source]) -> None:
        """``sources``: those whose file names may be shown."""
        self._sources = sources
        self._problem = ""
        self._notices: set[tuple[str, str, str, str]] = set()
        self._refusal: str | None = None

    def log_problems(self, problems: Sequence[HealthReason]) -> None:
        """Log that the inbox or its file events have other problems now, or none any more."""
        problem = "; ".join(reason.text for reason in problems)
        if problem and problem != self._problem:
            logs.get().warning("inbox.degraded", reason=problem)
        if self._problem and not problem:
            logs.get().info("inbox.recovered")
        self._problem = problem

    def log_files(self, scan: Scan, overdue: list[tuple[str, str]]) -> None:
        """Log the files that a person should look at."""
        notices = {("inbox.file_ignored", entry.file_name, "why", entry.why) for entry in scan.ignored}
        notices |= {("export.contested", file.path.name, "", "") for file in scan.ambiguous}
        unpaired = {file.path.name for file in scan.unpaired}
        notices |= {("partner.missed", name, "missing", cause) for name, cause in overdue if name in unpaired}
        for event, name, key, value in sorted(notices - self._notices):
            logs.get().warning(event, file_name=shown_name(name, self._sources), **({key: value} if key else {}))
        self._notices = notices

    def log_next_batch(self, chosen: NextBatch, postponed: Postponed | None) -> None:
        """Log what happened during the search for the next batch; ``postponed``: what waits for another attempt."""
        for batch_id in chosen.put_back:
            logs.get().info("batch.recovered", batch_id=batch_id, how="put back")
        if chosen.refusal is not None:
            if chosen.refusal.bug is not None:
                logs.get().error("bug.found", error=chosen.refusal.bug)
            if chosen.refusal.reason != self._refusal:
                logs.get().error("claim.refused", reason=chosen.refusal.reason, retry_in_seconds=chosen.refusal.seconds)
        self._refusal = postponed.reason if postponed is not None and postponed.batch_id is None else None
        if chosen.batch is None:
            return
        if chosen.is_begun_again:
            logs.get().info("batch.recovered", batch_id=chosen.batch.id, how="begun again")
        if chosen.late_hours is not None:
            logs.get().warning("partner.late", batch_id=chosen.batch.id, gap_hours=chosen.late_hours)
        for name in chosen.passed:
            logs.get().warning("export.passed", batch_id=chosen.batch.id, file_name=shown_name(name, self._sources))
        if chosen.is_new:
            proofs = [file.settle_proof for file in chosen.batch.inputs]
            logs.get().info("batch.claimed", batch_id=chosen.batch.id, proofs=proofs)

    def log_result(self, result: Result) -> None:
        """Log the result of an attempt."""
        if isinstance(result, Published | Postponed | CompletionPostponed) and result.bug is not None:
            about = {"batch_id": result.batch_id if isinstance(result, Postponed) else result.batch.id}
            logs.get().error("bug.found", **about, error=result.bug)
        match result:
            case Published(pruned=pruned):  # the publication has logged it, before it archived the inputs
                for batch_id in pruned:
                    logs.get().info("batch.pruned", batch_id=batch_id)
            case ArchivedLate(batch=batch):
                logs.get().info("batch.recovered", batch_id=batch.id, how="archived late")
            case Quarantined(batch=batch, error=error):
                message, hint = (shown_text(text, names_of(batch)) for text in (error.message, error.hint))
                logs.get().error("batch.quarantined", batch_id=batch.id, code=error.code, message=message, hint=hint)
            case Postponed(batch_id=batch_id, reason=reason, seconds=seconds):
                logs.get().error("batch.postponed", batch_id=batch_id, reason=reason, retry_in_seconds=seconds)
            case CompletionPostponed(batch=batch, reason=reason):
                logs.get().error("completion.postponed", batch_id=batch.id, reason=reason)
            case Abandoned(batch=batch):
                logs.get().info("batch.abandoned", batch_id=batch.id)
