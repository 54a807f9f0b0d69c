"""The log of identities: the events of every batch, one Parquet file each, in ``state/register_events/``.

A file is staged with the generation of its batch, under its final name, and moved into the log when that generation is
put in force. So the events of a batch that was not committed are never there, and those of a commit are there once. A
batch that is integrated again, because its set was removed, has a second file: what was different then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from service.engine.contract import Table
from service.files import make_folder, move, sync_files
from service.folders import StateFolders

_NAME = re.compile(r"([0-9]{8})-(.+)\.parquet")


@dataclass(frozen=True)
class LoggedBatch:
    """A batch in the log."""

    position: int
    """From 1, in the order in which the batches were put in force."""
    batch_id: str
    path: Path


class IdentityLog:
    """The log in the state folder ``state``."""

    def __init__(self, state: Path) -> None:
        self.folder = StateFolders(state).register_events

    def batches(self) -> list[LoggedBatch]:
        """Every batch in the log, in order."""
        return _batches_in(self.folder)

    def ends_with(self, batch_id: str) -> bool:
        """Whether this batch is the last one in the log."""
        return [it.batch_id for it in self.batches()[-1:]] == [batch_id]

    def stage(self, events: Table, batch_id: str, generation: Path) -> None:
        """Write the events of a batch durably into the folder of a generation, behind those that are there."""
        last = max((it.position for it in [*self.batches(), *_batches_in(generation)]), default=0)
        path = generation / f"{last + 1:08d}-{batch_id}.parquet"
        events.write_parquet(path, "customer, event, other")
        sync_files([path])

    def take_from(self, generation: Path) -> None:
        """Move the events that were staged with a generation into the log; may be repeated."""
        for staged in _batches_in(generation):
            make_folder(self.folder)
            move(staged.path, self.folder / staged.path.name)


def _batches_in(folder: Path) -> list[LoggedBatch]:
    try:
        found = [(path, _NAME.fullmatch(path.name)) for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    return sorted(
        (LoggedBatch(int(name[1]), name[2], path) for path, name in found if name), key=lambda it: it.position
    )
