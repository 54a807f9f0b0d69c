"""``integrate``: files named on the command line become one published set, without an inbox."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Never, TextIO, cast

from tqdm import tqdm

from service.errors import ServiceError, UsageError, safe_text
from service.files import fingerprint_of, replace_text, sha256_of_each
from service.folders import TEXT_LOG, Folders, OutboxFolders
from service.inbox.names import copied_export, read_name
from service.jobs import JOBS
from service.jobs.batch_runner import BatchRunner
from service.jobs.reporting import report_failure, report_started
from service.journal import Journal
from service.model import SOURCES, Batch, InputFile, Source, Summary, batch_id
from service.outbox import Outbox
from service.progress import Meter, Reading, Reporter
from service.publication import PastBatches, Publication
from service.settings import Settings
from service.state import State

_JOB = JOBS["integration"]
BAR_AFTER_SECONDS = 1.0
"""Faster work shows no bar; without a terminal there is none."""
_BAR = "{desc:<15} {bar} {n:,}/{total:,} rows{postfix} {elapsed}"


def integrate_files(paths: Sequence[Path], outbox: Path, settings: Settings, now: Callable[[], datetime]) -> Summary:
    """Integrate one export of each source, in their order, into ``outbox``.

    Raises: ServiceError, OSError; the text log is then in the outbox, or in its ``failed/`` if it holds a set.
    """
    started = now()
    journal = Journal(f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}", now)
    try:
        batch = _batch(paths, outbox, started, _JOB.sources(settings))
        journal = Journal(batch.id, now, Meter(_JOB.stages))
        with _bar() as bar, _lines_above(bar), Reporter(journal.meter, batch.id, partial(_show, bar)):
            return _run(batch, journal, outbox, settings)
    except (ServiceError, OSError, MemoryError) as error:
        _write_failed_log(error, journal, outbox)
        raise


def folders_of(outbox: Path, settings: Settings) -> Folders:
    """The folders of an outbox that is filled by hand; its state is in it, unless ``SERVICE_STATE`` is set."""
    return Folders(None, outbox, settings.state if "state" in settings.model_fields_set else outbox / ".state")


def named_inputs(files: Sequence[tuple[Source, Path]]) -> tuple[InputFile, ...]:
    """Files named on the command line, each as an export of its source. Raises: UsageError if one does not exist."""
    for _, path in files:
        _refuse_unusable(path)
    # They are only read, so a link is as good as a file: the user named it.
    paths = [path.resolve() for _, path in files]
    states = [fingerprint_of(path) for path in paths]
    return tuple(
        InputFile(source, path, sha256, state, settle_proof="given")
        for (source, _), path, sha256, state in zip(files, paths, sha256_of_each(paths), states, strict=True)
    )


def _refuse_unusable(path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"File not found: {path.name}", where=str(path), hint="check the path and run again")
    if path.name != path.name.encode(errors="replace").decode():
        raise UsageError("the name of a file is not UTF-8", where=str(path), hint="rename it and run again")


def _batch(paths: Sequence[Path], outbox: Path, started: datetime, sources: Sequence[Source]) -> Batch:
    path_of = dict(zip((source.name for source in _sources_of(paths, sources)), paths, strict=True))
    inputs = named_inputs([(source, path_of[source.name]) for source in sources if source.name in path_of])
    sets = OutboxFolders(outbox)
    return Batch(batch_id(started, inputs, lambda id_: sets.set_of(id_).exists()), started, inputs)


def _sources_of(paths: Sequence[Path], sources: Sequence[Source]) -> list[Source]:
    """The source of each file: by the file names if they decide it, else by position.

    By position the built-in sources come first and the added ones after them, whatever order decides ties.
    """
    names = (copied_export(path.name, sources) or path.name for path in paths)
    named = [found.source for name in names if (found := read_name(name, sources))]
    if len({source.name for source in named}) == len(paths):
        return named
    built_in = [source.name for source in SOURCES]
    order = [*built_in, *(source.name for source in sources if source.name not in built_in)]
    in_order = sorted(sources, key=lambda source: order.index(source.name))
    for expected in ([source for source in in_order if source.is_required], in_order):
        if len(expected) == len(paths):
            return expected
    listed = ", ".join(source.name for source in in_order)
    raise UsageError(f"{len(paths)} files for {len(in_order)} sources", hint=f"name one file for each of {listed}")


def _run(batch: Batch, journal: Journal, outbox: Path, settings: Settings) -> Summary:
    folders = folders_of(outbox, settings)
    runner = BatchRunner(settings, State(folders.state), Publication(PastBatches(folders), JOBS))
    runner.open()
    try:
        summary = runner.run(batch, journal)
        with suppress(OSError):  # the batch is published; the next one removes the rest
            runner.prune(batch)
    finally:
        runner.close()
    return summary


def _bar() -> tqdm[Never]:
    """A bar that shows every reading, however small the difference to the last one."""
    return tqdm(total=0, delay=BAR_AFTER_SECONDS, disable=None, leave=False, mininterval=0, miniters=0, bar_format=_BAR)


class _AboveBar:
    """A terminal whose last line is the bar; what is written appears above it, and the next reading draws it again."""

    def __init__(self, bar: tqdm[Never], out: TextIO) -> None:
        self._bar = bar
        self._out = out

    def write(self, text: str) -> int:
        """Write whole lines."""
        with self._bar.get_lock():  # type: ignore[no-untyped-call]  # not in its types
            self._bar.clear(nolock=True)
            return self._out.write(text)

    def flush(self) -> None:
        """Write what is buffered."""
        self._out.flush()


@contextmanager
def _lines_above(bar: tqdm[Never]) -> Iterator[None]:
    """Until the block ends the log does not run into the bar, if both are on a terminal."""
    out = sys.stdout
    if bar.disable or out is None or not out.isatty():
        yield
        return
    with redirect_stdout(cast("TextIO", _AboveBar(bar, out))):
        yield


def _show(bar: tqdm[Never], reading: Reading) -> None:
    bar.set_description_str(f"{reading.stage_number}/{reading.stage_count} {reading.stage}", refresh=False)
    bar.set_postfix_str(f"{reading.rows_per_second:,}/s", refresh=False)
    bar.total = reading.rows_in_all
    bar.update(reading.rows_done - bar.n)


def _write_failed_log(error: Exception, journal: Journal, outbox: Path) -> None:
    if not journal.text():
        report_started(journal)
    report_failure(safe_text(error), journal)
    try:
        folder = Outbox(outbox).folder_for_failed_log(journal.batch_id)
        replace_text(folder / TEXT_LOG, journal.text())
    except OSError:
        if not os.access(outbox, os.W_OK):
            return  # the error that is raised says why; the log cannot be written
        raise
