"""What a user asks about: a customer by its unified id, or a record as SOURCE:ID, found in the newest set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.engine.contract import PARQUET
from service.errors import TransientError, UsageError
from service.explanation.records import GroupRecord, RecordName, is_explained, records_of_customer
from service.folders import Folders
from service.history import History
from service.jobs.decided_records import SOURCE_AND_ID, first_step
from service.masters.customer_sets import CustomerSet, CustomerSets
from service.masters.id_history import state_of
from service.masters.missing import MissingThing
from service.pipeline.fields.source_id import id_key
from service.register import customer_of
from service.unified_ids import number_in, unified_id

MOST_RECORDS = 100_000
"""A customer of more records is not explained record by record."""
_BY_NAME = f"select unified_id from {PARQUET} where source_id = ? and source = ? order by ordinal limit 1"
_A_CUSTOMER = f"select unified_id from {PARQUET} where file_row_number = 0"


@dataclass(frozen=True)
class Newest:
    """The newest published customer master, and the folders that it lies in."""

    sets: CustomerSets
    of: CustomerSet
    state: Path


@dataclass(frozen=True)
class Asked:
    """What was asked for, as it was found."""

    shown: str
    """``CUST001`` or ``CRM:1001``."""
    unified_id: str
    """The customer that it is, or belongs to."""
    records: Sequence[GroupRecord]
    """All of that customer, in order of appearance; none where it is retired."""
    is_alias: bool = False
    named: GroupRecord | None = None
    """The record that was asked for; None where a customer was."""

    @property
    def record(self) -> GroupRecord:
        """The record that is meant: of a customer the kept one."""
        return self.named or next(it for it in self.records if it.is_kept)


def newest(folders: Folders, sets: CustomerSets | None = None) -> Newest:
    """The newest set, if it can explain anything. ``sets``: kept between calls. Raises: UsageError, ChangedSet."""
    sets = sets or CustomerSets(folders, History(folders))
    try:
        of = sets.find()
    except MissingThing as missing:
        raise UsageError(missing.message, where=str(folders.outbox), hint=_AGAIN) from None
    if of is None:
        raise UsageError(
            "no customer master is published yet, so there is nothing to explain",
            where=str(folders.outbox),
            hint=first_step(folders),
        )
    if of.shown.obstacle or not is_explained(sets, of):
        raise UsageError(
            f"batch {of.batch_id} was published by a version that did not store what an explanation needs",
            where=str(of.folder),
            hint=_AGAIN,
        )
    return Newest(sets, of, folders.state)


_AGAIN = "publish the exports once more, then ask again"


def find(label: str, given: str, within: Newest) -> Asked:
    """The customer or record of this name; ``label`` is what messages call it. Raises: UsageError."""
    number, of_source = number_in(given), SOURCE_AND_ID.fullmatch(given.strip())
    if number is not None:
        return _customer(label, unified_id(number), within)
    if of_source:
        return _record(label, of_source[1].upper(), of_source[2], within)
    raise UsageError(f"{label} is neither SOURCE:ID nor a unified id", hint=_hint(within))


def _customer(label: str, unified_id: str, within: Newest) -> Asked:
    """The customer with this id, or the one it was merged into."""
    found = _records(unified_id, within)
    if found:
        return Asked(unified_id, unified_id, found)
    state, merged_into = state_of(unified_id, within.of.folder) or (None, None)
    if state is None:
        raise UsageError(
            f"{label}: there is no customer {unified_id} in batch {within.of.batch_id}, and never was one",
            hint=_hint(within),
        )
    current = merged_into or unified_id
    return Asked(unified_id, current, _records(current, within) if merged_into else (), merged_into is not None)


def _record(label: str, source: str, source_id: str, within: Newest) -> Asked:
    name = RecordName(source=source, source_id=source_id)
    for customer in _customers_with(name, within):
        records = _records(customer, within)
        named = next((it for it in records if it.name == name), None)
        if named is not None:
            return Asked(name.shown, customer, records, named=named)
    known = _sources(within)
    if source not in known:
        message = f"{label}: batch {within.of.batch_id} has no such source, only {', '.join(known)}"
    else:
        message = f"{label}: no record of {source} in batch {within.of.batch_id} has this id"
    raise UsageError(message, hint=_hint(within))


def _customers_with(name: RecordName, within: Newest) -> Iterator[str]:
    """The customer that may have the record, from the register, then the one that has it, from a search of the set."""
    key = f"{name.source} id:{id_key(name.source_id)}"
    try:
        found = customer_of(key, within.of.batch_id, within.state, within.sets)
    except (MissingThing, TransientError):  # a batch was published meanwhile, or the state is not that of the outbox
        found = None
    if found is not None:
        yield found
    for (found,) in within.sets.rows(_BY_NAME, within.sets.records(within.of), name.source_id, name.source):
        yield found


def _records(unified_id: str, within: Newest) -> list[GroupRecord]:
    """All records of a customer of the set. Raises: UsageError where they are too many."""
    found = records_of_customer(within.sets, within.of, unified_id, MOST_RECORDS + 1)
    if len(found) > MOST_RECORDS:
        raise UsageError(
            f"customer {unified_id} has more than {MOST_RECORDS:,} records, too many to explain one by one",
            hint=f"{within.of.folder / 'literal_cost.csv'} names the values that tie so many",
        )
    return found


def _hint(within: Newest) -> str:
    """How to name a record or a customer of the set. An id of a source may be an address, so none is an example."""
    found = within.sets.rows(_A_CUSTOMER, within.sets.master(within.of))
    example = f", such as {found[0][0]}" if found else ""
    return (
        f"write SOURCE:ID, where SOURCE is {' or '.join(_sources(within))}, or a unified id{example};"
        f" {within.of.folder / 'crosswalk.csv'} lists every record"
    )


def _sources(within: Newest) -> list[str]:
    return [] if within.of.manifest is None else [it.source for it in within.of.manifest.inputs]
