"""Guards: reasons to hold a batch back that is probably a wrong export, unless a user accepted it.

All guards that would stop a batch are reported at once, so that one ``retry --accept`` lifts them all.
Source: docs/specification.md section 3
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from service.commands import command
from service.engine.contract import Table
from service.errors import ChangedIds, InputError, LostColumn, MissingColumn, OutdatedBatch, SuspiciousVolume
from service.model import Batch, Guards, PublishedMaster
from service.pipeline.lost_fields import listed
from service.pipeline.volume import Volume
from service.readers.quotable_names import quotable_names
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
    select source, count(*) filter (has_id), count(full_name), count(email), count(phone), count(signup_date),
        count(status) filter (status_stated)
    from this group by source order by source
"""

_IN_SETTINGS = "in service.toml (docs/sources.md)"


@dataclass(frozen=True)
class Hold:
    """A reason to hold a batch back."""

    error: type[InputError]
    text: str
    """What was found."""
    remedy: str = ""
    """What to do where the export is not right; empty where that is to export it again."""
    source: str = ""
    """The source whose columns are the reason; empty where others are."""


def filled_values(records: Table) -> dict[str, dict[str, int]]:
    """Source -> field -> number of rows with a usable value, of RECORD."""
    rows = records.rows(_FILLED)
    return {source: dict(zip(("source_id", *_FIELDS), counts, strict=True)) for source, *counts in rows}


def refuse_held(found: Iterable[Hold], batch: Batch, reports: Mapping[str, FileReport] | None = None) -> None:
    """Raises: the error of the first hold, whose message names all, unless a user accepted the batch.

    ``reports``: of the sources, to list the columns of the first one whose columns are a reason.
    """
    holds = list(found)
    if not holds or batch.accepted:
        return
    names = dict.fromkeys(it.error.__name__ for it in holds)
    details = [f"guards that hold it back: {', '.join(names)}"] if len(holds) > 1 else []
    at_fault = next((it.source for it in holds if it.source), "")
    file = next((it for it in batch.inputs if it.source.name == at_fault), None)
    if file and reports and (columns := _columns(reports[at_fault])):
        details.append(f"{'columns' if reports[at_fault].is_csv else 'members'} that are there: {listed(columns)}")
    accept = f"if the exports are right and complete: {command('retry', '--accept', batch.id)}"
    remedies = dict.fromkeys(it.remedy for it in holds if it.remedy)
    raise holds[0].error(
        "; ".join(it.text for it in holds),
        where=batch.where(file) if file else f"batch {batch.id}",
        found="; ".join(details),
        hint="; ".join((*(f"{it}, then: {command('retry', batch.id)}" for it in remedies), accept)),
    )


def _columns(report: FileReport) -> tuple[str, ...]:
    """Names of all columns or members of a file that a message may quote, those that are read first."""
    read = report.column_names.values() if report.is_csv else report.paths
    return tuple(dict.fromkeys((*quotable_names(read), *report.unread)))


@dataclass(frozen=True)
class Comparison:
    """A batch, and the published set that it is compared with."""

    published: PublishedMaster | None
    volumes: Mapping[str, Volume]
    reports: Mapping[str, FileReport]
    filled: Mapping[str, Mapping[str, int]]
    """See ``filled_values``."""
    recurring: Mapping[str, tuple[int, int]]
    """See ``register.Identified``."""


def held(batch: Batch, compared: Comparison, limits: Guards) -> Iterator[Hold]:
    """Every reason to hold the batch back."""
    yield from _outdated(batch, compared.published)
    yield from _suspicious_volume(compared.volumes, limits)
    yield from _missing_ids(batch, compared)
    yield from _lost_columns(compared)
    yield from _changed_ids(compared)


def held_export(volumes: Mapping[str, Volume], limits: Guards) -> Iterator[Hold]:
    """Every reason to hold an export of the API back; an empty one, too, however small the last was.

    Source: docs/specification.md section 8
    """
    for name, volume in volumes.items():
        if volume.rows_published and not volume.rows_now:
            found = f"the export has no customers, the published one had {volume.rows_published} records"
            yield Hold(SuspiciousVolume, found)
        else:
            yield from _suspicious_volume({name: volume}, limits)


def _suspicious_volume(volumes: Mapping[str, Volume], limits: Guards) -> Iterator[Hold]:
    """A source lost so many rows that it is probably a wrong export."""
    for name, volume in volumes.items():
        rows, former = volume.rows_now or 0, volume.rows_published or 0
        if former >= limits.volume_guard_rows and 100 * rows < limits.min_volume_percent * former:
            yield Hold(SuspiciousVolume, f"{name} has {rows} rows, the published set had {former}")


def _outdated(batch: Batch, published: PublishedMaster | None) -> Iterator[Hold]:
    if published is not None and is_before(batch.suffix, published.suffix):
        found = (
            f"the batch {batch.suffix} is older than the published set {published.suffix}, "
            f"which is that of batch {published.batch_id}"
        )
        yield Hold(OutdatedBatch, found)


def _lost_columns(compared: Comparison) -> Iterator[Hold]:
    """No row of a source has a field that many of its published rows had."""
    former = {} if compared.published is None else compared.published.filled
    for name, counts in former.items():
        volume = compared.volumes[name]
        rows = volume.rows_published or 0
        if name not in compared.reports or not volume.rows_now or rows < GUARDED_ROWS:
            continue
        for field, count in counts.items():
            if 100 * count >= LOST_FROM_PERCENT * rows and not compared.filled.get(name, {}).get(field, 0):
                paths = compared.reports[name].layout.paths_of(field)
                listed = ", ".join(f'"{path}"' for path in paths) or "no column"
                found = (
                    f"{name} has no usable {field} in any row, read from {listed}; "
                    f"{count} of the {rows} published rows had one"
                )
                remedy = f"export the column with its values again, or map another one {_IN_SETTINGS}"
                yield Hold(LostColumn, found, remedy, name)


def _changed_ids(compared: Comparison) -> Iterator[Hold]:
    """Most ids of a source are others than those of the published set, although its rows are as many."""
    for name, (count, again) in compared.recurring.items():
        volume = compared.volumes.get(name)
        rows = 0 if volume is None else volume.rows_published or 0
        # A source of which most rows have no id is no source with ids.
        if volume is None or rows < GUARDED_ROWS or 2 * count < rows:
            continue
        if 100 * again < MIN_RECURRING_PERCENT * count and 2 * (volume.rows_now or 0) >= rows:
            found = f"{again} of the {count} ids that {name} had in the published set are there again"
            remedy = f"export the column of the former ids again, or map it {_IN_SETTINGS}"
            yield Hold(ChangedIds, found, remedy, name)


def _missing_ids(batch: Batch, compared: Comparison) -> Iterator[Hold]:
    """A source has no id column, though its published rows had ids."""
    for file in batch.inputs:
        name = file.source.name
        report = compared.reports[name]
        had_ids = compared.recurring.get(name, (0, 0))[0] > 0
        if report.layout.lacks_ids and had_ids and not compared.filled.get(name, {}).get("source_id", 0):
            found = f"{file.file_name} has no column for ids, the published rows of {name} had them"
            yield Hold(MissingColumn, found, f"add the column again, or map it {_IN_SETTINGS}", name)
