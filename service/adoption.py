"""State and outbox belong together: compared at the start; ``adopt`` rebuilds the register from the outbox.

A state that is older than its outbox (a backup was restored, or the state was lost) does not know the numbers that were
published since, and would give them to other customers. Source: docs/specification.md section 2.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from msgspec import UnsetType

from service import documents, logs
from service.commands import command
from service.container import where_state_is
from service.documents import MalformedDocument, Manifest
from service.engine.contract import Engine, Table
from service.errors import StateBehindOutbox, UsageError
from service.files import open_file, sha256_of
from service.folders import OutboxFolders
from service.inbox.names import read_name
from service.ledger import Ledger
from service.model import JobName, PublishedMaster, Source
from service.pipeline.load import CROSSWALK, REGISTER_ALIASES, REGISTER_CUSTOMERS
from service.register import Register, RegisterTables, no_tables

_CROSSWALK, _QUALITY = "crosswalk.csv", "quality_report.json"
_CUSTOMERS, _ALIASES = "register_customers.csv", "register_aliases.csv"
_NEW_IDS = "to begin with new ids, empty the outbox and the file .lock of the inbox"
_NUMBER = "cast(substr(unified_id, 5) as bigint)"
# Of records that are in no later set; ``age`` counts the sets from the newest, which has 0.
_LATEST = f"""
    select * from this
    union all
    select record_key, any_value({_NUMBER}), {{age}}
    from crosswalk
    where record_key not in (select record_key from this)
    group by record_key
"""
_RECORDS = """
    with last as (select customer, min(age) as age from this group by customer)
    select this.record_key, this.customer,
        this.age = 0 or (customers.state = 'retired' and this.age = last.age) as in_last
    from this join last using (customer) join customers using (customer)
"""
_REGISTERED = """
    select cast(number as bigint) as customer, state, cast(merged_into as bigint) as merged_into from this
    union all
    -- numbers that only the former state knows are never given again
    select customer, 'retired', null from former
    where customer not in (select cast(number as bigint) from this)
"""
_HAD = "select cast(number as bigint) as alias, record_key from this"


@dataclass(frozen=True)
class PublishedSet:
    """A set of the outbox that has a generation of the register."""

    folder: Path
    manifest: Manifest
    position: int
    """Among all outcomes; greater is later."""

    @property
    def batch_id(self) -> str:
        """The batch that it was made of."""
        return self.manifest.batch_id


def refuse_older_state(state: Path, outbox: Path, ledger: Ledger, register: Register, job: JobName) -> None:
    """Compare the state with the sets of ``job`` in the outbox; nothing is written.

    An outbox that is empty, pruned or older than the state is no error, nor is a set whose generation is staged.

    Raises: StateBehindOutbox where the outbox has a later set than the state; OSError.
    """
    sets = sets_in_order(outbox, ledger, job)
    if not sets or register.has_generation(sets[-1].batch_id):
        return
    newest, current = sets[-1], register.published()
    if current is not None and newest.position < _position_of(current.batch_id, sets, ledger):
        return
    known = f"the last batch that the state knows is {current.batch_id}" if current else "the state has no customers"
    raise StateBehindOutbox(
        f"the state folder {state} is older than the outbox {outbox}: "
        f"batch {newest.batch_id} is published there, and {known}",
        where=f"{state}, {newest.folder}",
        hint=f"restore the state from a newer backup; or run: {_adopt_command(state, outbox)}, which rebuilds the"
        f" register from the newest set of the outbox; or, {_NEW_IDS}{where_state_is()}",
    )


def _adopt_command(state: Path, outbox: Path) -> str:
    """The command that adopts this outbox; a state within it is that of ``integrate``."""
    return command("adopt", *(("--outbox", shlex.quote(str(outbox))) if state.parent == outbox else ()))


def sets_in_order(outbox: Path, ledger: Ledger, job: JobName) -> list[PublishedSet]:
    """The sets of a job that lie in the outbox, the newest last.

    The order is that of the chain of outcomes, never of names or times.
    """
    folders = OutboxFolders(outbox)
    found: dict[str, PublishedSet] = {}
    for entry in ledger.entries()[0]:
        batch_id = entry.outcome.batch_id
        if entry.outcome.kind != "published" or entry.outcome.job != job:
            continue
        with suppress(OSError, MalformedDocument):  # removed, or damaged: ``verify`` reports it
            manifest = documents.read(folders.manifest_of(batch_id), Manifest)
            stated = manifest.sequence
            position = entry.seq if isinstance(stated, UnsetType) else stated
            found[batch_id] = PublishedSet(folders.set_of(batch_id), manifest, position)
    return sorted(found.values(), key=lambda it: it.position)


def _position_of(batch_id: str, sets: Sequence[PublishedSet], ledger: Ledger) -> int:
    """The position of a batch among all outcomes; 0 where it is not known."""
    entries = (entry.seq for entry in reversed(ledger.entries()[0]) if entry.outcome.batch_id == batch_id)
    return next((it.position for it in sets if it.batch_id == batch_id), next(entries, 0))


def adopt(
    sets: Sequence[PublishedSet], sources: Sequence[Source], register: Register, engine: Engine, work: Path
) -> int:
    """Rebuild the register from the newest of ``sets``, and put it in force; returns the number of its customers.

    Older sets say which records retired customers had. ``work``: the engine's work folder.

    Raises: UsageError where the newest set does not hold what is needed, or is not as its manifest states; OSError.
    """
    newest = sets[-1]
    if isinstance(newest.manifest.next_number, UnsetType):
        raise UsageError(
            f"batch {newest.batch_id} was published by a version that did not store the register in its set",
            where=str(newest.folder),
            hint=f"restore the state from a backup; or, {_NEW_IDS}",
        )
    registered = engine.read_csv(_checked_copy(newest, _CUSTOMERS, work), REGISTER_CUSTOMERS)
    customers = registered.derive(_REGISTERED, former=register.former_customers(engine))
    records = engine.text_table(("record_key",), ()).derive(
        "select record_key, 0::bigint as customer, 0 as age from this"
    )
    complete = [it for it in sets if not isinstance(it.manifest.next_number, UnsetType)]
    for age, published in enumerate(reversed(complete)):
        try:
            crosswalk = engine.read_csv(_checked_copy(published, _CROSSWALK, work), CROSSWALK)
        except (OSError, UsageError):
            if published is newest:
                raise
            logs.get().warning("set.skipped", batch_id=published.batch_id)
        else:
            records = records.derive(_LATEST.format(age=age), crosswalk=crosswalk)
            crosswalk.release()
    records = records.derive(_RECORDS, customers=customers)
    rebuilt = RegisterTables(records, customers, _aliases(newest, engine, work))
    register.adopt(rebuilt, _master_of(newest.manifest, sources, _filled(newest, work)))
    return customers.derive("select 1 from this where state = 'live'").count()


def _aliases(newest: PublishedSet, engine: Engine, work: Path) -> Table:
    """The records that each alias had when it was merged; none where the set is of a program that did not note them."""
    if _ALIASES not in newest.manifest.files:
        return no_tables(engine).aliases
    return engine.read_csv(_checked_copy(newest, _ALIASES, work), REGISTER_ALIASES).derive(_HAD)


def _checked_copy(published: PublishedSet, name: str, work: Path) -> Path:
    """A copy of a file of a set in the work folder. Raises: UsageError where it is not as the manifest states."""
    copy = work / f"{published.batch_id}-{name}"
    stated = published.manifest.files.get(name)
    if stated is not None:
        with open_file(published.folder / name) as file, open(copy, "wb") as copied:
            shutil.copyfileobj(file, copied)
    if stated is None or sha256_of(copy) != stated.sha256:
        raise UsageError(
            f"{name} is not as its manifest states",
            where=str(published.folder / name),
            hint="restore the set from a backup, then adopt it",
        )
    return copy


def _filled(published: PublishedSet, work: Path) -> dict[str, dict[str, int]]:
    """Source -> field -> number of rows with a usable value, by its report; without status, which has defaults."""
    report = json.loads(_checked_copy(published, _QUALITY, work).read_text(encoding="utf-8"))
    return {
        source: {field: counts["filled"] for field, counts in figures["fields"].items() if field != "status"}
        for source, figures in report["sources"].items()
        if figures["rows"]
    }


def _master_of(
    manifest: Manifest, sources: Sequence[Source], filled: Mapping[str, Mapping[str, int]]
) -> PublishedMaster:
    """What the register notes of the published set."""
    # Files named on the command line have no suffix, whatever they are called.
    names = (read_name(given.file_name, sources) for given in manifest.inputs if given.settle_proof != "given")
    suffix = next((found.suffix for found in names if found), "")
    source_rows = {given.source: given.rows for given in manifest.inputs}
    return PublishedMaster(manifest.batch_id, suffix, source_rows, filled)
