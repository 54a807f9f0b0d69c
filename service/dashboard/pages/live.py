"""The live part of the overview: whether it worked, the state with its reasons, what waits, and the batch in work."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from service.dashboard.formats import number
from service.dashboard.page_frame import PillState, ServiceState, service_state
from service.dashboard.routes import PageRoute
from service.dashboard.site import Site
from service.documents import HealthReport, Reason, StageProgress
from service.job_name import JobName
from service.jobs import JOBS
from service.ledger import Entry
from service.phrases import counted
from service.watch.waits import OTHER_VERSIONS, PERMISSION, TURN, WRITER

STAGES: Mapping[str, str] = {
    "extract": "Reading the exports",
    "normalise": "Normalising the values",
    "deduplicate": "Finding duplicates",
    "survive": "Choosing what is kept",
    "identify": "Giving the ids",
    "load": "Writing the files",
    "match": "Finding customers in the master",
    "enrich": "Enriching the customers",
    "export": "Writing the export",
    "publish": "Publishing",
}
"""The stages of all jobs, in words."""
_NAMED = 3
"""A sentence names at most so many files."""
_LEAST_ROWS = 10_000
"""The speed of a smaller batch says nothing about that of a larger one."""
_OTHER_CAUSES = frozenset({WRITER, TURN, OTHER_VERSIONS, PERMISSION})
Revision = Annotated[str, Meta(max_length=16)]


class LiveParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the page shows already."""

    seen: Revision = ""
    """Its ``revision``."""
    outcome: Revision = ""
    """Its ``outcome``."""


class LiveAnswer(Struct, frozen=True, kw_only=True):
    """Did it work?"""

    kind: Literal["silent", "failing", "working", "quarantined", "waiting", "published", "empty"]
    sentence: str
    at: str | None = None
    """When it was so."""
    batch_id: str | None = None


class StateReason(Struct, frozen=True, kw_only=True):
    """Why the state is not ok."""

    code: str
    """The runbook has an entry for it; empty in files of earlier versions."""
    text: str


class WaitingLine(Struct, frozen=True, kw_only=True):
    """A file in the inbox, and what it waits for."""

    file_name: str
    since: str
    waits_for: str
    missing: tuple[str, ...]
    """The exports that its batch still lacks; empty where it waits for something else."""


class BatchProgress(Struct, frozen=True, kw_only=True):
    """How far the batch in work has come."""

    batch_id: str | None
    stage: str
    title: str
    stage_number: int
    stage_count: int
    rows_done: int
    rows_in_all: int
    rows_per_second: int
    share: float
    """Of the stages, from 0 to 1."""
    stage_seconds_left: float | None
    """By the speed of this stage so far; None before a row is done."""
    seconds_left: float | None
    """By the speed of the last batch of this job; None where it was too small to be compared."""


class LiveView(Struct, frozen=True, kw_only=True):
    """The condition of the service at this moment."""

    state: PillState
    answer: LiveAnswer
    reasons: tuple[StateReason, ...]
    """The most important first."""
    waiting: tuple[WaitingLine, ...]
    waiting_count: int
    """``waiting`` lists the first hundred."""
    progress: BatchProgress | None
    outcome: Revision
    """Changes when a batch has ended."""
    revision: Revision
    """Changes when anything of this changes that is shown."""
    is_outcome_new: bool = False
    """Whether ``outcome`` is not that of the parameters."""


def live_view(site: Site, parameters: LiveParameters | None = None) -> LiveView:
    """The condition now; ``parameters`` of a page that is open."""
    found = service_state(site)
    report = found.report or HealthReport()
    # The story of the sample is its first half: a master made of two exports.
    job: JobName | None = "integration" if site.is_sample else None
    last = next(iter(site.history.batches(job, limit=1).entries), None)
    waiting = tuple(
        WaitingLine(file_name=it.file_name, since=it.since, waits_for=it.waits_for, missing=_missing(it.waits_for))
        for it in report.waiting
    )
    progress = None if found.is_silent else _progress(site, report)
    outcome = _hash((report.last_batch, report.quarantined, last and last.seq))
    reasons = _reasons(found, report)
    answer = _state_in_words(found, reasons, progress) or _waits_in_words(waiting) or _outcome_in_words(site, last)
    shown = (found.state, answer, reasons, waiting, progress, outcome, f"{site.now():%H:%M}")
    return LiveView(
        state=found.state,
        answer=answer,
        reasons=reasons,
        waiting=waiting,
        waiting_count=max(report.waiting_count, len(waiting)),
        progress=progress,
        outcome=outcome,
        revision=_hash(shown),
        is_outcome_new=parameters is not None and parameters.outcome != outcome,
    )


def _hash(shown: object) -> Revision:
    return hashlib.sha256(msgspec.json.encode(shown)).hexdigest()[:16]


def _missing(waits_for: str) -> tuple[str, ...]:
    return () if waits_for in _OTHER_CAUSES else tuple(waits_for.split(", "))


def _reasons(found: ServiceState, report: HealthReport) -> tuple[StateReason, ...]:
    if found.is_silent:
        return (StateReason(code="watcher_silent", text=found.sentence),)
    codes = report.codes if len(report.codes) == len(report.reasons) else ("",) * len(report.reasons)
    return tuple(StateReason(code=code, text=text) for code, text in zip(codes, report.reasons, strict=True))


# ------------------------------------------------------------------------------------------------ did it work?


def _state_in_words(
    found: ServiceState, reasons: tuple[StateReason, ...], progress: BatchProgress | None
) -> LiveAnswer | None:
    """None where the service works and no batch is in work."""
    if found.is_silent:
        return LiveAnswer(kind="silent", sentence=f"Nothing is processed at the moment: {found.sentence}.")
    if progress is not None:
        sentence = f"{progress.title}: stage {progress.stage_number} of {progress.stage_count}."
        return LiveAnswer(kind="working", sentence=sentence, batch_id=progress.batch_id)
    if found.state == "failing":
        why = f": {reasons[0].text}" if reasons else ""
        return LiveAnswer(kind="failing", sentence=f"Nothing can be processed{why}.")
    return None


def _waits_in_words(waiting: tuple[WaitingLine, ...]) -> LiveAnswer | None:
    """None where no file waits for other files or for its writer."""
    if missing := list(dict.fromkeys(name for line in waiting for name in line.missing)):
        return LiveAnswer(kind="waiting", sentence=f"Waiting for {_listed(missing)}.")
    if arriving := [line.file_name for line in waiting if line.waits_for == WRITER]:
        return LiveAnswer(kind="waiting", sentence=f"Waiting until {_listed(arriving)} is complete.")
    return None


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return f"{', '.join(names[:_NAMED])} and {more} more" if more > 0 else " and ".join(names)


def _outcome_in_words(site: Site, last: Entry | None) -> LiveAnswer:
    """What became of the last batch; a sentence that ends with its time."""
    if last is None:
        return LiveAnswer(kind="empty", sentence="Nothing was dropped into the inbox yet.")
    outcome = last.outcome
    counts, at = outcome.counts, outcome.ended_at
    if counts is None:
        details = site.history.batch(outcome.batch_id)
        reason = details.document if details is not None else None
        why = reason.message if isinstance(reason, Reason) else "see the quarantine"
        sentence = f"The last batch is not published but in quarantine: {why}"
        return LiveAnswer(kind="quarantined", sentence=sentence, at=at, batch_id=outcome.batch_id)
    if outcome.job == "analytics":
        sentence = f"{counted(counts.customers, 'customer')} exported for analytics"
    else:
        duplicates = "was a duplicate" if counts.duplicates == 1 else "were duplicates"
        records = f"{number(counts.duplicates) if counts.duplicates else 'None'} of {number(counts.records)} records"
        sentence = f"{records} {duplicates}; {counted(counts.customers, 'customer')} published"
    return LiveAnswer(kind="published", sentence=sentence, at=at, batch_id=outcome.batch_id)


# --------------------------------------------------------------------------------------------- the batch in work


def _progress(site: Site, report: HealthReport) -> BatchProgress | None:
    stage, progress = report.stage, report.progress
    if report.busy_since is None or stage is None or progress is None:
        return None
    done = min(progress.rows_done / progress.rows_in_all, 1.0) if progress.rows_in_all else 0.0
    left = progress.rows_in_all - progress.rows_done
    return BatchProgress(
        batch_id=report.batch_id,
        stage=stage,
        title=STAGES.get(stage, stage.capitalize()),
        stage_number=progress.stage_number,
        stage_count=progress.stage_count,
        rows_done=progress.rows_done,
        rows_in_all=progress.rows_in_all,
        rows_per_second=progress.rows_per_second,
        share=round((progress.stage_number - 1 + done) / progress.stage_count, 4),
        stage_seconds_left=round(max(left, 0) / progress.rows_per_second, 1) if progress.rows_per_second else None,
        seconds_left=_seconds_left(site, report.busy_since, stage, progress),
    )


def _seconds_left(site: Site, busy_since: str, stage: str, progress: StageProgress) -> float | None:
    """By the speed of the last published batch of the same job."""
    job = _job_of(stage, progress)
    entries = site.history.batches(job, limit=5).entries if job is not None else ()
    for entry in entries:
        counts = entry.outcome.counts
        if counts is not None and entry.seconds and counts.records >= _LEAST_ROWS:
            spent = (site.now() - datetime.fromisoformat(busy_since)).total_seconds()
            left = progress.rows_in_all * entry.seconds / counts.records - spent
            return round(left, 1) if left > 0 else None
    return None


def _job_of(stage: str, progress: StageProgress) -> JobName | None:
    for job in JOBS.values():
        stages = list(job.stages)
        if len(stages) == progress.stage_count and stage in stages:
            return job.name
    return None


def _is_unchanged(parameters: LiveParameters, view: LiveView) -> bool:
    return parameters.seen == view.revision


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute(
        "live",
        "/live",
        "the condition of the service at this moment",
        LiveParameters,
        LiveView,
        live_view,
        is_unchanged=_is_unchanged,
    ),
)
