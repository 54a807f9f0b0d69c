"""The identity register: for every record so far, the customer it last belonged to.

One generation per published batch, in ``state/register/<batch_id>/``; the file ``current`` names the one in force. The
next generation is staged before the batch is committed and advanced to afterwards, so that a crash at any point either
changes nothing or rolls forward. The events of the batch are staged with it, and go into the log of identities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from service import documents
from service.documents import Generation, RegisterFigures
from service.engine.contract import Engine, Table
from service.errors import TransientError
from service.files import make_folder, read_regular, remove_tree, replace_copies, replace_text
from service.folders import StateFolders
from service.model import PublishedMaster
from service.register.events import known_events
from service.register.identify import Identified, carried_over, identify
from service.register.identity_log import IdentityLog
from service.register.tables import RegisterTables, missing_files, no_tables, read_tables, size_of_tables

KEY_RULES = 2
"""The rules for record keys: 1 until 26 November 2026.

2 has ids without number formats and Salesforce's checksum, and values as ``pipeline.fields`` reads them since then.
"""
_NOTE, _FIGURES = "published.json", "figures.json"
_MOST_BYTES = 4096
"""The file ``current`` is far smaller."""


class Register:
    """The identity register in the state folder ``state``."""

    def __init__(self, state: Path) -> None:
        self.folder = StateFolders(state).register
        self._current_file = self.folder / "current"
        self._log = IdentityLog(state)

    def open(self) -> None:
        """Create what is missing."""
        make_folder(self.folder)

    def published(self) -> PublishedMaster | None:
        """The batch to whose set the generation in force belongs; None before the first."""
        note = self._note()
        if note is None:
            return None
        return PublishedMaster(note.batch_id, note.suffix, note.source_rows, self._figures().filled)

    def size_bytes(self) -> int:
        """The size of the generation in force; 0 before the first."""
        current = self._current()
        return 0 if current is None else size_of_tables(self.folder / current)

    def missing_files(self) -> list[str]:
        """The names of files that the generation in force should have and has not; none before the first."""
        current = self._current()
        return [] if current is None else missing_files(self.folder / current)

    def has_former_keys(self) -> bool:
        """Whether the keys of the generation in force were made by former rules."""
        return self._current() is not None and self._figures().key_rules < KEY_RULES

    def identify(
        self, records: Table, keys: Table, groups: Table, engine: Engine, former_keys: Table | None = None
    ) -> Identified:
        """Give every group its customer, by the generation in force; see ``identify``.

        ``former_keys``: record_key · former_key, where the generation has keys by former rules.
        """
        former = self.tables(engine)
        if former_keys is not None:
            former = carried_over(former, former_keys)
        identified = identify(records, keys, groups, former, engine)
        if self._current() is not None and not self.is_logged():
            # A register of an older program, or one whose log was lost.
            identified = replace(identified, events=identified.events.with_rows_of(known_events(former)))
        former.release()
        return identified

    def stage(self, identified: Identified, published: PublishedMaster) -> None:
        """Write the next generation durably; ``advance`` puts it in force."""
        self._write(identified.next, {published.batch_id: identified.events}, published)

    def adopt(self, rebuilt: RegisterTables, events: Mapping[str, Table], published: PublishedMaster) -> None:
        """Put a generation that was rebuilt from published sets in force; ``events``: of each batch, in order."""
        self._write(rebuilt, events, published)
        self.advance(published.batch_id)

    def has_generation(self, batch_id: str) -> bool:
        """Whether the generation of this batch is in force, or staged and so about to be."""
        return (self.folder / batch_id).is_dir()

    def is_logged(self) -> bool:
        """Whether the log of identities ends with the generation in force."""
        note = self._note()
        return note is not None and self._log.ends_with(note.batch_id)

    def logged(self) -> frozenset[str]:
        """The batches in the log of identities."""
        return frozenset(it.batch_id for it in self._log.batches())

    def tables(self, engine: Engine) -> RegisterTables:
        """The tables of the generation in force; empty before the first."""
        current = self._current()
        return no_tables(engine) if current is None else read_tables(self.folder / current, engine)

    def _write(self, tables: RegisterTables, events: Mapping[str, Table], published: PublishedMaster) -> None:
        folder = self.folder / published.batch_id
        if self._current() == published.batch_id:
            self._rename_current(folder)
        remove_tree(folder)
        make_folder(folder)
        tables.write(folder)
        for batch_id, its_events in events.items():
            self._log.stage(its_events, batch_id, folder)
        note = Generation(
            batch_id=published.batch_id,
            suffix=published.suffix,
            source_rows=dict(published.source_rows),
            former=self._current(),
        )
        filled = {name: dict(fields) for name, fields in published.filled.items()}
        documents.write_all({_FIGURES: RegisterFigures(key_rules=KEY_RULES, filled=filled), _NOTE: note}, folder)

    def advance(self, batch_id: str) -> None:
        """Put the generation of a published batch in force, and remove the others.

        Raises: TransientError if it is gone: nothing else has the ids of that set.
        """
        if not (self.folder / batch_id).is_dir():
            raise TransientError(
                "the register has lost the generation of a published set",
                where=f"batch {batch_id}",
                hint=f"restore the state folder; or remove outbox/batches/{batch_id} to integrate the batch again",
            )
        self._log.take_from(self.folder / batch_id)
        if self._current() != batch_id:
            replace_text(self._current_file, f"{batch_id}\n")
        for folder in self._generations():
            if folder.name != batch_id:
                remove_tree(folder)

    def recover(self, is_committed: Callable[[str], bool]) -> None:
        """After a crash: advance to a generation whose batch was committed, remove one whose batch was not."""
        current, note = self._current(), self._note()
        # The batch of the former generation was committed, too; its removal was interrupted.
        former = None if note is None else note.former
        for folder in self._generations():
            if folder.name not in (current, former) and is_committed(folder.name):
                self.advance(folder.name)
                return
        for folder in self._generations():
            if folder.name != current:
                remove_tree(folder)

    def _rename_current(self, folder: Path) -> None:
        """Keep the generation in force under another name while its batch is integrated again (its set was removed)."""
        kept = folder.with_name(f"{folder.name}.former")
        make_folder(kept)
        replace_copies({path.name: path for path in sorted(folder.iterdir())}, kept)
        replace_text(self._current_file, f"{kept.name}\n")

    def _current(self) -> str | None:
        """The name of the generation in force; None before the first."""
        try:
            return read_regular(self._current_file, _MOST_BYTES).decode("utf-8").strip()
        except FileNotFoundError:
            return None

    def _note(self) -> Generation | None:
        """The document of the generation in force; None before the first."""
        current = self._current()
        return None if current is None else documents.read(self.folder / current / _NOTE, Generation)

    def _figures(self) -> RegisterFigures:
        """The figures of the generation in force; those of an older program where it has none."""
        try:
            return documents.read(self.folder / (self._current() or "") / _FIGURES, RegisterFigures)
        except FileNotFoundError:
            return RegisterFigures()

    def _generations(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_dir())
