"""The register and its log, rebuilt from the sets of the outbox. Source: docs/specification.md section 2."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import UnsetType

from service import logs
from service.adoption.older_states import NEW_IDS
from service.adoption.published_sets import PublishedSet
from service.documents import Manifest
from service.engine.contract import Engine, Table
from service.errors import UsageError
from service.files import open_file, sha256_of
from service.inbox.names import read_name
from service.model import PublishedMaster, Source
from service.pipeline.load import CROSSWALK, REGISTER_ALIASES, REGISTER_CUSTOMERS
from service.register import Register, RegisterTables, known_events, no_tables, replay

_CROSSWALK, _QUALITY = "crosswalk.csv", "quality_report.json"
_CUSTOMERS, _ALIASES = "register_customers.csv", "register_aliases.csv"
# Rows with the same key belong to one customer.
_RECORDS = """
    select record_key, any_value(cast(substr(unified_id, 5) as bigint)) as customer from this group by record_key
"""
_REGISTERED = """
    select cast(number as bigint) as customer, state, cast(merged_into as bigint) as merged_into from this
"""
# Numbers that only the state knows are never given again.
_WITH_NUMBERS_OF_THE_STATE = """
    select customer, state, merged_into from this
    union all
    select customer, 'retired', null from of_the_state where customer not in (select customer from this)
"""
_HAD = "select cast(number as bigint) as alias, record_key from this"


@dataclass(frozen=True)
class Unknown:
    """The sets that the state does not know, or whose events it has lost.

    sets           the newest last; there is one
    follow_state   they follow the generation in force; else the state has none that is of use
    are_the_first  it is known that no set was published before them
    """

    sets: Sequence[PublishedSet]
    follow_state: bool
    are_the_first: bool


def rebuild(unknown: Unknown, sources: Sequence[Source], register: Register, engine: Engine, work: Path) -> int:
    """Replay the sets; put the generation of the newest one in force, and the events that the log lacks into the log.

    Returns: the number of its customers. ``work``: the engine's work folder.

    Raises: UsageError where the newest set does not hold what is needed, or is not as its manifest states; OSError.
    """
    newest = unknown.sets[-1]
    if isinstance(newest.manifest.next_number, UnsetType):
        raise UsageError(
            f"batch {newest.batch_id} was published by a version that did not store the register in its set",
            where=str(newest.folder),
            hint=f"restore the state from a backup; or, {NEW_IDS}",
        )
    of_the_state = register.tables(engine)
    tables = of_the_state if unknown.follow_state else no_tables(engine)
    # Whether the generation before a set is known; else its events are ``known``.
    is_former_known = unknown.follow_state or unknown.are_the_first
    logged, events = register.logged(), dict[str, Table]()
    for published in unknown.sets:
        given = _tables_of(published, engine, work, is_needed=published is newest)
        if given is None:
            continue
        if published is newest:
            customers = given.customers.derive(_WITH_NUMBERS_OF_THE_STATE, of_the_state=of_the_state.customers)
            given = replace(given, customers=customers)
        done = replay(tables, given)
        given.records.release()
        if tables is not of_the_state:
            tables.release()
        if published.batch_id not in logged:
            events[published.batch_id] = done.events if is_former_known else known_events(done.next)
        tables, is_former_known = done.next, True
    current = register.published()
    if current is not None and current.batch_id == newest.batch_id:  # only its log was lost
        tables = of_the_state
    register.adopt(tables, events, _master_of(newest.manifest, sources, _filled(newest, work)))
    return tables.customers.derive("select 1 from this where state = 'live'").count()


def _tables_of(published: PublishedSet, engine: Engine, work: Path, *, is_needed: bool) -> RegisterTables | None:
    """The generation of a set, whose records are those of its batch; None where it is damaged and not needed."""
    try:
        records = engine.read_csv(_checked_copy(published, _CROSSWALK, work), CROSSWALK)
        customers = engine.read_csv(_checked_copy(published, _CUSTOMERS, work), REGISTER_CUSTOMERS)
        aliases = _aliases(published, engine, work)
    except (OSError, UsageError):
        if is_needed:
            raise
        logs.get().warning("set.skipped", batch_id=published.batch_id)
        return None
    found = RegisterTables(records.derive(_RECORDS), customers.derive(_REGISTERED), aliases)
    for table in (records, customers):
        table.release()
    return found


def _aliases(published: PublishedSet, engine: Engine, work: Path) -> Table:
    """The records that each alias had when it was merged; none where the set is of a program that did not note them."""
    if _ALIASES not in published.manifest.files:
        return no_tables(engine).aliases
    return engine.read_csv(_checked_copy(published, _ALIASES, work), REGISTER_ALIASES).derive(_HAD)


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
