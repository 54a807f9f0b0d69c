"""What the service says while it works: one JSON object per line on stdout, and the log of each batch.

Events are called ``noun.past_participle`` and carry ids and counts only; no name, e-mail address or phone
number ever. ``EVENTS`` lists them all: an unlisted event is an error of ours and raises.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

EVENTS: dict[str, str] = {
    "service.started": "the daemon runs; version and folders",
    "service.stopped": "the daemon ended; why, and after how many batches",
    "service.stood_by": "another instance works on this inbox; we wait for it to go",
    "setting.ignored": "an environment variable begins with SERVICE_ but is no setting",
    "inbox.degraded": "the inbox or its watch is not as it should be; the reason",
    "inbox.recovered": "the inbox is well again",
    "inbox.file_ignored": "something lies in the inbox that is no input",
    "export.contested": "several files for one export lie in the inbox, and none of them is taken",
    "health.unwritten": "the state folder takes no health file; a health check will find it too old",
    "partner.missed": "half of a pair has waited long",
    "partner.late": "the halves of a pair arrived far apart",
    "batch.claimed": "settled exports that make a batch were taken into work",
    "batch.recovered": "work that was begun before was rolled forward, begun again, or put back",
    "source.extracted": "rows and rejects of one source",
    "source.suspected": "something about a source's file that someone should know",
    "records.normalised": "values made missing, by reason",
    "records.deduplicated": "groups and removed records",
    "customers.identified": "ids kept, created, merged, split, retired, revived",
    "master.matched": "analytics: customers found in the master, by what",
    "customers.enriched": "analytics: customers by what is said of them, and by where that comes from",
    "batch.published": "the canonical line: one batch, its job, counts and seconds",
    "batch.quarantined": "the batch could not be integrated; the code",
    "batch.postponed": "a fault of the world; the batch is kept and tried again",
    "claim.refused": "the inbox took no claim; it is tried again",
    "batch.abandoned": "the service was asked to stop; the batch is kept",
    "batch.retried": "a quarantined batch was moved back",
    "ledger.unwritten": "the ledger took no note of what happened; it is made up for later",
    "batch.pruned": "an old published set was removed by retention",
    "sync.started": "the customers of the API are being fetched; whether a run that was broken off goes on",
    "sync.completed": "the canonical line of a sync: customers, pages, requests, retries, waits, bytes and seconds",
    "sync.postponed": "the API wants to be left alone; until when",
    "sync.suspended": "not every customer could be had yet; what was got is kept",
    "sync.rejected": "the API will not answer as things are; a setting is to be mended",
    "request.retried": "a request to the API failed and is sent again; page, reason and wait",
    "requests.paused": "the API limits our rate, and all requests wait",
    "pages.failed": "pages that could not be had with all their tries; they are asked for once more",
    "sweep.doubted": "what was read of the API does not add up; it is read once more",
    "api.suspected": "something about the API that someone should know",
    "simulator.started": "the simulated API listens; its port, customers and scenarios",
    "bug.found": "an error nobody foresaw; the traceback, without values",
}


class UnlistedEvent(AssertionError):
    """The code logged an event that ``EVENTS`` does not know."""


def _listed(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if event["event"] not in EVENTS:
        raise UnlistedEvent(event["event"])
    return event


def _traceback_without_values(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    # Neither locals nor the message of a foreign exception: either may quote a customer (an SQL error does).
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


class _Stdout:
    """Writes lines to stdout, as it is at that moment: a test or a redirect sees what is written.

    Where a line cannot be written (a full disk, a reader that went), the work goes on without it.
    """

    def msg(self, message: str) -> None:
        """Write one line."""
        with suppress(OSError):
            sys.stdout.write(f"{message}\n")
            sys.stdout.flush()

    info = warning = error = msg


_SHARED: list[structlog.typing.Processor] = [
    _listed,
    _traceback_without_values,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure() -> None:
    """Log to stdout: JSON lines, or coloured text when stdout is a terminal."""
    # Libraries talk through the standard library, watchdog of threads that end; what matters to us we find ourselves.
    for library in ("watchdog", "aiohttp"):
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
