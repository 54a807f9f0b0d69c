"""The records that a user names in a decision, looked up in the newest published customer master.

A record is named ``SOURCE:ID``, or by a unified id, which stands for its kept record.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from service.commands import command
from service.decisions import DecidedRecord
from service.decisions.rows import csv_rows
from service.errors import UsageError
from service.folders import Folders, OutboxFolders
from service.register import Register
from service.unified_ids import number_in, unified_id

SOURCE_AND_ID = re.compile(r"([A-Za-z][A-Za-z0-9_]*):(.+)", re.DOTALL)
_HINT = "write SOURCE:ID, such as CRM:1001, or a unified id, such as CUST001; crosswalk.csv lists the records of a set"

_FIRST_STEP = "publish the exports first; an outbox that integrate filled is named by --outbox DIR"


def first_step(folders: Folders) -> str:
    """What to do where the state knows no published set."""
    batches = OutboxFolders(folders.outbox).batches
    if not batches.is_dir() or not any(batches.iterdir()):
        return _FIRST_STEP
    return f"the outbox has sets that this state does not know: `{command('adopt')}` takes them over"


Named = Mapping[str, str]
"""What messages call a record, such as ``A``, and its name as the user gave it."""


class NewestSet:
    """The published set of the customer master that the state calls the newest; its files are read row by row."""

    def __init__(self, folders: Folders) -> None:
        """Raises: UsageError where nothing is published yet, or the set was removed."""
        published = Register(folders.state).published()
        if published is None:
            raise UsageError(
                "no customer master is published yet, so there are no records to decide about",
                where=str(folders.outbox),
                hint=first_step(folders),
            )
        self.batch_id = published.batch_id
        self.sources = tuple(published.source_rows)
        self.folder = OutboxFolders(folders.outbox).set_of(published.batch_id)
        if not self.folder.is_dir():
            raise UsageError(
                f"the newest set, batch {published.batch_id}, is not in the outbox any more",
                where=str(self.folder),
                hint="publish the exports again, then decide",
            )

    def records(self, named: Named) -> dict[str, DecidedRecord]:
        """The record of each name. Raises: UsageError where there is none, OSError."""
        by_id: dict[str, tuple[str, str]] = {}
        by_number: dict[str, int] = {}
        for label, name in named.items():
            number, of_source = number_in(name), SOURCE_AND_ID.fullmatch(name.strip())
            if number is not None:
                by_number[label] = number
            elif of_source:
                by_id[label] = self._source(label, of_source[1]), of_source[2]
            else:
                raise UsageError(f"{label} is neither SOURCE:ID nor a unified id", hint=_HINT)
        return self._with_ids(by_id) | self._kept(by_number)

    def _source(self, label: str, name: str) -> str:
        """The source of the set with this name, in any case. Raises: UsageError."""
        if name.upper() not in self.sources:
            listed = ", ".join(self.sources)
            raise UsageError(f"{label}: batch {self.batch_id} has no such source, only {listed}", hint=_HINT)
        return name.upper()

    def _with_ids(self, wanted: Mapping[str, tuple[str, str]]) -> dict[str, DecidedRecord]:
        """The record of each source and id; of several the first."""
        if not wanted:
            return {}
        names, found = set(wanted.values()), dict[tuple[str, str], DecidedRecord]()
        for row in self._crosswalk():
            name = row["source_system"], row["source_id"]
            if name in names:
                found.setdefault(name, DecidedRecord(row["record_key"], *name))
        for label, (source, id_) in wanted.items():
            if (source, id_) not in found:
                raise UsageError(f"{label}: no record of {source} in batch {self.batch_id} has this id", hint=_HINT)
        return {label: found[name] for label, name in wanted.items()}

    def _kept(self, wanted: Mapping[str, int]) -> dict[str, DecidedRecord]:
        """The kept record of each customer: its only one that is not among the removed."""
        if not wanted:
            return {}
        numbers = self._live(wanted)
        ids = {unified_id(number): number for number in numbers.values()}
        removed = Counter(
            (row["removed_source"], row["removed_id"])
            for row in self._rows("match_evidence.csv")
            if row["unified_id"] in ids
        )
        kept: dict[int, DecidedRecord] = {}
        for row in self._crosswalk():
            if row["unified_id"] not in ids:
                continue
            name = row["source_system"], row["source_id"]
            if removed[name]:
                removed[name] -= 1
            else:
                kept[ids[row["unified_id"]]] = DecidedRecord(row["record_key"], *name)
        return {label: kept[number] for label, number in numbers.items()}

    def _live(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """The customers with records that the wanted ones are, or were merged into."""
        states = {
            int(row["number"]): (row["state"], row["merged_into"]) for row in self._rows("register_customers.csv")
        }
        found: dict[str, int] = {}
        for label, given in wanted.items():
            number, (state, into) = given, states.get(given, ("", ""))
            while state == "merged" and into:
                number = int(into)
                state, into = states.get(number, ("", ""))
            if not state:
                raise UsageError(f"{label}: there is no customer {unified_id(given)}", hint=_HINT)
            if state != "live":
                raise UsageError(
                    f"{label}: customer {unified_id(number)} is retired: batch {self.batch_id} has no record of it",
                    hint="decide when its records are in the exports again",
                )
            found[label] = number
        return found

    def _crosswalk(self) -> Iterator[dict[str, str]]:
        for row in self._rows("crosswalk.csv"):
            if "record_key" not in row:
                raise UsageError(
                    f"batch {self.batch_id} was published by a version that did not store the keys of records",
                    where=str(self.folder),
                    hint="publish the exports once more, then decide",
                )
            yield row

    def _rows(self, name: str) -> Iterator[dict[str, str]]:
        with csv_rows(self.folder / name) as rows:
            yield from rows
