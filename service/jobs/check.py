"""``check``: read a file as a batch would, and report what it is, how it is read and what is wrong with it.

Nothing is published. The report has column names, row numbers and counts; never a customer's value.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from service.engine import open_engine
from service.errors import InputError
from service.inbox.names import partner_name, read_name
from service.jobs import JOBS, all_sources
from service.jobs.by_hand import named_inputs
from service.jobs.checked import Checked
from service.model import Batch, Source
from service.settings import Settings


def check_file(path: Path, settings: Settings, now: datetime) -> Checked:
    """Read a file as the service would, and report on it.

    A file whose name belongs to no source is read as an export of the first source with files of that format.
    Raises: UsageError if there is no such file.
    """
    sources = all_sources(settings)
    named = read_name(path.name, sources)
    source = named.source if named else _likely_source(path, sources)
    checked = _check(Batch("check", now, named_inputs([(source, path)])), settings)
    head = f"{path.name}: {'an export of' if named else 'read as an export of'} {source.name}"
    notes = checked.notes if named else (_name_note(sources), *checked.notes)
    return Checked((head, *checked.lines), notes, checked.findings)


def _check(batch: Batch, settings: Settings) -> Checked:
    job = JOBS[batch.job]
    with tempfile.TemporaryDirectory(dir=large_folder(settings)) as folder:
        work = Path(folder)
        try:
            with open_engine(work, memory_limit_mb=settings.memory_mb, threads=settings.threads) as engine:
                return job.check(batch, job.rules(settings), engine, work)
        except InputError as error:
            return Checked((), findings=(error.explained().replace(f"batch {batch.id}, ", ""),))


def _likely_source(path: Path, sources: Sequence[Source]) -> Source:
    kind = sources[0].format_of(path.name)
    return next((it for it in sources if it.format_of(it.file_name) == kind), sources[0])


def _name_note(sources: Sequence[Source]) -> str:
    expected = ", ".join(f"{source.name} {partner_name(source, '')}" for source in sources)
    return f"the service does not take a file of this name from the inbox; expected are {expected}"


def large_folder(settings: Settings) -> Path | None:
    """The state folder if it can be written, else None: in a container the folder for temporary files is small."""
    return settings.state if os.access(settings.state, os.W_OK) else None
