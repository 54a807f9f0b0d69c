"""Guards: reasons to hold a batch back that is probably a wrong export, unless a user accepted it.

All guards that would stop a batch are reported at once, so that one ``retry --accept`` lifts them all.
Source: docs/specification.md section 3
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from service.commands import command
from service.engine.contract import Table
from service.errors import ChangedIds, InputError, LostColumn, MissingColumn, OutdatedBatch, SuspiciousVolume
from service.model import Batch, Guards, PublishedMaster
from service.pipeline.volume import Volume
from service.readers.rows import FileReport
from service.suffixes import is_before

GUARDED_ROWS = 100
"""Sources with fewer rows in the published set may lose a field, and change their ids."""
LOST_FROM_PERCENT = 20
"""A field with a usable value in a smaller share of the published rows may be lost."""
MIN_RECURRING_PERCENT = 50
"""With a smaller share of the published ids there again, the ids have changed."""

_FIELDS = ("full_name", "email", "phone", "signup_date", "status")
_FILLED = """
    select source, count(*) filter (has_id), count(full_name), count(email), count(phone_key), count(signup_date),
        count(status) filter (status_stated)
    from this group by source
"""

Guard = tuple[type[InputError], str]
"""The error that a guard raises, and what it found."""


def filled_values(records: Table) -> dict[str, dict[str, int]]:
    """Source -> field -> number of rows with a usable value, of RECORD."""
    rows = records.derive(_FILLED).rows()
    return {source: dict(zip(("source_id", *_FIELDS), counts, strict=True)) for source, *counts in rows}


def refuse_held(found: Iterable[Guard], batch: Batch) -> None:
    """Raises: the error of the first guard, whose message names all, unless a user accepted the batch."""
    held = list(found)
    if not held or batch.accepted:
        return
    error, _ = held[0]
    names = dict.fromkeys(it.__name__ for it, _ in held)
    raise error(
        "; ".join(text for _, text in held),
        where=f"batch {batch.id}",
        found=f"guards that hold it back: {', '.join(names)}" if len(held) > 1 else "",
        hint=f"if the exports are right and complete: {command('retry', '--accept', batch.id)}",
    )


def outdated(batch: Batch, published: PublishedMaster | None) -> Iterator[Guard]:
    """The suffix of the published set is later."""
    if published is not None and is_before(batch.suffix, published.suffix):
        yield OutdatedBatch, f"the pair {batch.suffix} is older than the published set {published.suffix}"


def suspicious_volume(volumes: Mapping[str, Volume], guards: Guards) -> Iterator[Guard]:
    """A source lost so many rows that it is probably a wrong export."""
    for name, volume in volumes.items():
        rows, former = volume.rows_now or 0, volume.rows_published or 0
        if former >= guards.volume_guard_rows and 100 * rows < guards.min_volume_percent * former:
            yield SuspiciousVolume, f"{name} has {rows} rows, the published set had {former}"


def lost_columns(
    filled: Mapping[str, Mapping[str, int]],
    published: PublishedMaster | None,
    volumes: Mapping[str, Volume],
    reports: Mapping[str, FileReport],
) -> Iterator[Guard]:
    """No row of a source has a field that many of its published rows had."""
    former = {} if published is None else published.filled
    for name, counts in former.items():
        rows_published = volumes[name].rows_published or 0
        if name not in reports or not volumes[name].rows_now or rows_published < GUARDED_ROWS:
            continue
        for field, count in counts.items():
            if 100 * count >= LOST_FROM_PERCENT * rows_published and not filled.get(name, {}).get(field, 0):
                places = ", ".join(f'"{path}"' for path in reports[name].layout.paths_of(field)) or "nowhere"
                yield (
                    LostColumn,
                    (
                        f"{name} has no usable {field} in any row, read from {places}; "
                        f"{count} of the {rows_published} published rows had one"
                    ),
                )


def changed_ids(recurring: Mapping[str, tuple[int, int]], volumes: Mapping[str, Volume]) -> Iterator[Guard]:
    """Most ids of a source are others than those of the published set, although its rows are as many."""
    for name, (count, again) in recurring.items():
        volume = volumes.get(name)
        if volume is None or (volume.rows_published or 0) < GUARDED_ROWS or 2 * count < (volume.rows_published or 0):
            continue
        if 100 * again < MIN_RECURRING_PERCENT * count and 2 * (volume.rows_now or 0) >= (volume.rows_published or 0):
            yield ChangedIds, f"{again} of the {count} ids that {name} had in the published set are there again"


def missing_ids(
    reports: Mapping[str, FileReport], recurring: Mapping[str, tuple[int, int]], filled: Mapping[str, Mapping[str, int]]
) -> Iterator[Guard]:
    """A source has no id column, though its published rows had ids."""
    for name, report in reports.items():
        had_ids = name in recurring and recurring[name][0]
        if report.layout.lacks_ids and had_ids and not filled.get(name, {}).get("source_id", 0):
            yield MissingColumn, f"{name} has no column for ids, the published set had them"
