"""The story without an inbox: two files named on the command line become one published set."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Never

from tqdm import tqdm

from service.errors import ServiceError, UsageError
from service.files import fingerprint_of, sha256_of
from service.folders import Folders
from service.inbox.names import read_name
from service.jobs.batch_runner import BatchRunner
from service.jobs.integration import STAGES
from service.logs import Journal
from service.model import SOURCES, Batch, InputFile, Source, Summary, batch_id
from service.outbox import Outbox
from service.publication import PastBatches, Publication
from service.settings import Settings
from service.state import State

# On a terminal only, and only when the work takes longer than a second.
_BAR = "{desc:<11} {n_fmt}/{total_fmt} {bar} {elapsed}"


def integrate_files(paths: Sequence[Path], outbox: Path, settings: Settings, now: Callable[[], datetime]) -> Summary:
    """Integrate one export of each source, in their order, into ``outbox``.

    Its state is ``outbox/.state`` unless one is set.

    Raises: ServiceError; the text log then lies in the outbox, or in ``failed/`` where that holds a set.
    """
    started = now()
    batch = Batch("", started, ())
    journal = Journal("", now)
    try:
        batch = _batch(paths, outbox, started, settings.rules().sources)
        with tqdm(total=len(STAGES), delay=1, disable=None, leave=False, bar_format=_BAR) as bar:
            journal = Journal(batch.id, now, on_stage=lambda stage: _advance(bar, stage))
            return _integrated(batch, journal, outbox, settings)
    except (ServiceError, OSError, MemoryError) as error:
        _leave_log(_what(error), journal, outbox, batch.id or f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}")
        raise


def _batch(paths: Sequence[Path], outbox: Path, started: datetime, sources: Sequence[Source]) -> Batch:
    given = dict(zip((source.name for source in _asked_for(paths, sources)), paths, strict=True))
    inputs = tuple(delivery_of(source, given[source.name]) for source in sources if source.name in given)
    id_ = batch_id(started, inputs, lambda found: (outbox / "batches" / found).exists())
    return Batch(id_, started, inputs)


def _asked_for(paths: Sequence[Path], sources: Sequence[Source]) -> list[Source]:
    """The sources whose exports these are: by their names, else those built in, then those added, whoever wins ties."""
    named = [found.source for path in paths if (found := read_name(path.name, sources))]
    if len({source.name for source in named}) == len(paths):
        return named
    built_in = [source.name for source in SOURCES]
    order = [*built_in, *(source.name for source in sources if source.name not in built_in)]
    in_order = sorted(sources, key=lambda source: order.index(source.name))
    for asked in ([source for source in in_order if source.is_required], in_order):
        if len(asked) == len(paths):
            return asked
    listed = ", ".join(source.name for source in in_order)
    raise UsageError(f"{len(paths)} files for {len(in_order)} sources", hint=f"name one file for each of {listed}")


def delivery_of(source: Source, path: Path) -> InputFile:
    """A named file as an export of ``source``. Raises: UsageError where it is not there."""
    if not path.is_file():
        raise UsageError(f"File not found: {path.name}", where=str(path), hint="check the path and run again")
    # The exports stay where they are, so a link is as good as a file: the user named it.
    real = path.resolve()
    fingerprint = fingerprint_of(real)
    return InputFile(source, real, sha256_of(real), fingerprint, settle_proof="given")


def _integrated(batch: Batch, journal: Journal, outbox: Path, settings: Settings) -> Summary:
    state = settings.state if "state" in settings.model_fields_set else outbox / ".state"
    publication = Publication(PastBatches(Folders(None, outbox, state)))
    batch_runner = BatchRunner(settings, State(state), publication)
    batch_runner.open()
    try:
        summary = batch_runner.run(batch, journal)
        with suppress(OSError):  # the batch is published; the next one removes what is left
            batch_runner.prune(batch)
    finally:
        batch_runner.close()
    return summary


def _advance(bar: tqdm[Never], stage: str) -> None:
    bar.set_description(stage, refresh=False)
    bar.update()


def _what(error: Exception) -> str:
    """The error in one line; of a foreign one only what cannot quote a customer."""
    if isinstance(error, ServiceError):
        return error.message
    return f"{type(error).__name__}: {error.strerror}" if isinstance(error, OSError) else type(error).__name__


def _leave_log(message: str, journal: Journal, outbox: Path, run: str) -> None:
    if not journal.text():
        journal.line("INFO", "Pipeline started")
    journal.line("ERROR", message)
    journal.line("ERROR", "Pipeline failed")
    try:
        (Outbox(outbox).folder_for_failed_log(run) / "integration_log.txt").write_text(journal.text(), encoding="utf-8")
    except OSError:
        if not os.access(outbox, os.W_OK):
            return  # the error that is raised says why; there is nowhere to write it down
        raise
