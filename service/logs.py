"""The structured log: one JSON object per line on stdout. ``service.journal`` is the log of one batch.

Events are called ``noun.past_participle`` and carry ids and counts only, as printable text: never a
person's name, an e-mail address or a phone number. ``EVENTS`` lists them all: an unlisted event is a bug and raises.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from service.printable import printable

EVENTS: dict[str, str] = {
    "service.started": "the watcher runs; version and folders",
    "service.stopped": "the watcher ended; why, and after how many batches",
    "service.stood_by": "another instance works on this inbox; this one waits for it to end",
    "state.adopted": "a lost or old state was rebuilt from the sets of the outbox",
    "set.skipped": "an older set cannot be read: its events, and records that it alone has, are missing",
    "setting.ignored": "an environment variable begins with SERVICE_ but is no setting",
    "inbox.degraded": "the inbox cannot be used, or its file events do not arrive; the reason",
    "inbox.recovered": "the inbox can be used again",
    "inbox.file_ignored": "something in the inbox is not an export",
    "export.contested": "the inbox has several files for one export; none of them is claimed",
    "export.passed": "an earlier export was not ready for long; this batch did not wait for it any more",
    "health.unwritten": "the health file cannot be written; a health check will find it too old",
    "partner.missed": "an export has waited long for the others of its batch",
    "partner.late": "the exports of a batch arrived far apart",
    "batch.claimed": "settled exports that make a batch were claimed",
    "batch.recovered": "an earlier process began this batch: rolled forward, begun again, put back, or archived late",
    "batch.progressed": "a batch takes long: stage, number of stages, rows done and in all, rows per second",
    "source.extracted": "rows and rejects of one source",
    "source.suspected": "a possible problem of the file of one source",
    "records.normalised": "values made missing, by reason",
    "records.deduplicated": "groups and removed records",
    "matchers.compared": "how many customers the matcher safe would make, part and join",
    "customers.identified": "ids kept, created, merged, split, retired, revived",
    "master.matched": "analytics: customers found in the master, by the field that matched",
    "customers.enriched": "analytics: customers by value of each field, and by evidence",
    "batch.published": "the canonical line: one batch, its job, counts and seconds",
    "batch.quarantined": "the batch could not be integrated; the code",
    "batch.postponed": "a fault of the environment; the batch is kept and tried again",
    "completion.postponed": "the batch is published, but a step after it failed; it is tried again",
    "claim.refused": "files cannot be claimed; tried again",
    "batch.abandoned": "the service was asked to stop; the batch is kept",
    "batch.retried": "a quarantined batch was moved back",
    "decision.made": "a user decided that two records are the same customer, or different ones; the number",
    "decisions.made": "a user decided about many pairs of records at once; the first number and the last",
    "decisions.undone": "a user undid decisions; their numbers",
    "decisions.imported": "a user imported decisions from a file; how many were made, of how many lines",
    "decisions.applied": "a batch followed decisions: how many of each kind, how many lack a record, links left out",
    "ledger.unwritten": "the ledger cannot be written; the next start adds what is missing",
    "outbox.unwritten": "the files in the outbox itself cannot be replaced; the next batch tries again",
    "batch.pruned": "an old published set was removed by retention",
    "sync.started": "a sync begins; whether it resumes an interrupted run",
    "sync.completed": "the canonical line of a sync: customers, pages, requests, retries, waits, bytes and seconds",
    "sync.postponed": "the API refuses requests for now; until when",
    "sync.suspended": "the sync ended before all pages were fetched; the pages so far are kept",
    "sync.unrecorded": "the report of the last runs cannot be written",
    "sync.rejected": "the API rejects the requests; a setting must be corrected",
    "request.retried": "a request to the API failed and is sent again; page, reason and wait",
    "requests.paused": "the API limits the rate, and all requests wait",
    "page.abandoned": "a page that was not needed failed: every customer had been received",
    "pages.failed": "pages that failed in all their tries; they are requested once more",
    "sweep.doubted": "the pages do not add up; all are read once more",
    "api.suspected": "a possible problem of the API",
    "notifier.started": "notifications are sent from now on; the number of recipients",
    "notification.sent": "a recipient, by its number, received a message; its event",
    "notification.postponed": "a recipient, by its number, could not be reached; when it is tried again",
    "notification.dropped": "too many messages wait for recipients; the oldest was dropped",
    "notification.unwritten": "what was sent cannot be kept; after a restart it may be sent again",
    "process.started": "the watcher, the dashboard or the notifications were started by run; the process id",
    "process.ended": "a process that run had started has ended; its exit code, and when it is started again",
    "simulator.started": "the simulated API listens; its port, customers and scenarios",
    "dashboard.started": "the dashboard listens; its port, and whether it needs a token",
    "dashboard.acted": "a user changed something by the dashboard or its API; the action, and ids",
    "dashboard.entered": "a user logged in",
    "dashboard.refused": "a request was refused: wrong token, foreign origin, unknown host name",
    "dashboard.failed": "a page could not be built; the reason",
    "bug.found": "an unexpected error; the traceback, without values",
}


class UnlistedEvent(AssertionError):
    """The code logged an event that is not in ``EVENTS``."""


def _listed(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if event["event"] not in EVENTS:
        raise UnlistedEvent(event["event"])
    return event


def _traceback_without_values(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    # Neither locals nor the message of the exception: either may quote a customer (an SQL error does).
    error = event.pop("error", None)
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        frames: list[str] = []
        step = error.__traceback__
        while step is not None:
            frames.append(f"{Path(step.tb_frame.f_code.co_filename).name}:{step.tb_lineno}")
            step = step.tb_next
        event["at"] = frames
    return event


def _all_printable(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {key: _printable_value(value) for key, value in event.items()}


def _printable_value(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(str(key)): _printable_value(inner) for key, inner in value.items()}
    return [_printable_value(inner) for inner in value] if isinstance(value, list | tuple) else value


class _Stdout:
    """Writes lines to ``sys.stdout`` as it is at that moment, so that a test can replace it.

    A line that cannot be written (a full disk, a closed stream) is dropped, and the work continues.
    """

    def msg(self, message: str) -> None:
        """Write one line."""
        with suppress(OSError, ValueError, AttributeError):
            sys.stdout.write(f"{message}\n")
            sys.stdout.flush()

    info = warning = error = msg


_SHARED: list[structlog.typing.Processor] = [
    _listed,
    _traceback_without_values,
    _all_printable,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure() -> None:
    """Log to stdout: JSON lines, or coloured text when stdout is a terminal."""
    # These libraries log to stderr by default (watchdog whenever a thread ends); we detect what matters ourselves.
    for library in ("watchdog", "aiohttp", "waitress"):
        logging.getLogger(library).addHandler(logging.NullHandler())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stdout.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*_SHARED, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Stdout(),
        cache_logger_on_first_use=False,
    )


def get() -> structlog.typing.FilteringBoundLogger:
    """The service's structured logger."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger
