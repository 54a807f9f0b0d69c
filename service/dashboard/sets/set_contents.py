"""The contents of a published set as its page shows them: counts, reports, and pages of rows; no customer's value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from service.dashboard.paging import first_row, page_count
from service.dashboard.sets.scanned_rows import PAGE_ROWS, CsvShape, DamagedSet, RowScan, Scans, page_of_rows
from service.files import is_regular
from service.folders import TEXT_LOG
from service.masters.set_files import read_set_file
from service.printable import printable

MOST_WARNINGS = 100
_BLOCK_BYTES = 1 << 20
_SHOWN_CHARACTERS = 500
_SHOWN_IDS = 8
_REJECTS = CsvShape(("source_system", "row_number", "code", "column", "explanation"), ("source_system", "code"))
_CHANGES = CsvShape(("unified_id", "change", "from_ids", "to_ids", "reason"), ("change",))
_EVIDENCE = CsvShape(
    ("unified_id", "removed_source", "removed_id", "via_source", "via_id", "rules"), ("removed_source", "rules")
)
_PROBLEM = re.compile(rb"\S+ \S+ - (WARNING|ERROR) - (.*)")
_MERGE = re.compile(rb"\S+ \S+ - WARNING - Record .* merged with .* \(duplicate ")


class SourceCounts(Struct, frozen=True, kw_only=True):
    """The records of one source."""

    source: str
    rows: int
    """That the export has: those that entered and the rejects."""
    rejects: int
    records: int
    """Rows that entered."""
    duplicates: int | None
    """Records that another one of the same customer stands for; null where that is not known."""
    records_before: int | None
    """In the set before."""
    warnings: tuple[str, ...] = ()


class FieldCounts(Struct, frozen=True, kw_only=True):
    """How complete a field of a source is, in records."""

    source: str
    field: str
    filled: int
    missing: int
    """Without a usable value; ``unusable`` are among them."""
    unusable: int
    changed: int | None
    """Values that normalising changed."""
    distinct: int
    unusable_by_reason: dict[str, int] = {}
    doubtful: dict[str, int] = {}


class CodeCount(Struct, frozen=True, kw_only=True):
    """Rejects of one source with one code."""

    source: str
    code: str
    rows: int


class ShownReject(Struct, frozen=True, kw_only=True):
    """One rejected row; ``column`` is a name of the export, never a value."""

    source: str
    row_number: str
    code: str
    column: str
    explanation: str


class _TablePage(Struct, frozen=True, kw_only=True):
    """A page of a table."""

    page: int = 1
    rows: int = 0
    """On all pages."""

    @property
    def first(self) -> int:
        """The number of its first row."""
        return first_row(self.page, PAGE_ROWS)

    @property
    def pages(self) -> int:
        """The number of pages, at least 1."""
        return page_count(self.rows, PAGE_ROWS)


class Rejects(_TablePage, frozen=True, kw_only=True):
    """The rejected rows."""

    counts: tuple[CodeCount, ...] = ()
    shown: tuple[ShownReject, ...] = ()


class ShownChange(Struct, frozen=True, kw_only=True):
    """One customer whose id changed; the ids are at most eight of each."""

    unified_id: str
    change: str
    from_ids: tuple[str, ...]
    from_count: int
    to_ids: tuple[str, ...]
    to_count: int
    reason: str


class Changes(_TablePage, frozen=True, kw_only=True):
    """What became of the customers since the batch before; ``rows`` are those of the chosen change."""

    counts: dict[str, int] = {}
    shown: tuple[ShownChange, ...] = ()


class DuplicateReason(Struct, frozen=True, kw_only=True):
    """Removed records by the rules on which they agree with the record before them."""

    rules: str
    records: int


class LogWarnings(Struct, frozen=True, kw_only=True):
    """Warnings and errors of the log that are not about single merges."""

    shown: tuple[str, ...] = ()
    """At most 100."""
    count: int = 0


class _FieldReport(Struct, frozen=True, kw_only=True):
    filled: int
    missing: int
    distinct: int
    made_missing: dict[str, int] = {}
    changed: int | None = None
    doubtful: dict[str, int] = {}


class _VolumeReport(Struct, frozen=True, kw_only=True):
    rows_published: int | None = None


class _SourceReport(Struct, frozen=True, kw_only=True):
    rows: int
    rejects: int
    fields: dict[str, _FieldReport]
    volume: _VolumeReport = _VolumeReport()
    warnings: tuple[str, ...] = ()


class _QualityReport(Struct, frozen=True, kw_only=True):
    """``quality_report.json``, as far as it is shown."""

    sources: dict[str, _SourceReport]


@dataclass
class SetReader:
    """Reads the files of one set; what cannot be read becomes a sentence in ``troubles``."""

    folder: Path
    scans: Scans
    sizes: Mapping[str, int] = field(default_factory=dict)
    """In bytes, as published: of a file of another size nothing is read, for it may be without end."""
    troubles: list[str] = field(default_factory=list)

    def sources(self) -> tuple[tuple[SourceCounts, ...], tuple[FieldCounts, ...]]:
        """Counts of each source, and of each of its fields, of an integration set."""
        name = "quality_report.json"
        report = read_set_file(self.folder / name, _QualityReport) if self._has_its_size(name) else None
        if report is None:
            self._add("quality_report.json is missing or damaged")
            return (), ()
        removed = self._evidence()
        sources = tuple(_source(name, it, removed) for name, it in report.sources.items())
        fields = (_field(name, of, it) for name, source in report.sources.items() for of, it in source.fields.items())
        return sources, tuple(fields)

    def duplicates(self) -> tuple[DuplicateReason, ...]:
        """The removed records by reason, the most frequent first."""
        counts: dict[str, int] = {}
        scan = self._evidence()
        for (_, rules), count in scan.counts.items() if scan else ():
            counts[rules] = counts.get(rules, 0) + count
        ordered = sorted(counts.items(), key=lambda it: (-it[1], it[0]))
        return tuple(DuplicateReason(rules=rules, records=count) for rules, count in ordered)

    def rejects(self, page: int) -> Rejects:
        """The rejected rows, by source and code, and a page of them."""
        path = self.folder / "rejects.csv"
        scan = self._scan(path, _REJECTS)
        if scan is None:
            return Rejects(page=page)
        counts = (CodeCount(source=source, code=code, rows=count) for (source, code), count in scan.counts.items())
        names = ("source", "row_number", "code", "column", "explanation")
        rows = self._page(path, _REJECTS, scan, page, None)
        shown = (ShownReject(**dict(zip(names, map(_shown, row), strict=True))) for row in rows)
        return Rejects(counts=tuple(counts), shown=tuple(shown), page=page, rows=scan.rows)

    def changes(self, page: int, change: str | None) -> Changes:
        """The changes of customers' ids by kind, and a page of those of one kind or of all."""
        path = self.folder / "id_changes.csv"
        scan = self._scan(path, _CHANGES)
        if scan is None:
            return Changes(page=page)
        kind = (change,) if change else None
        rows = self._page(path, _CHANGES, scan, page, kind)
        counts = {_shown(name): count for (name,), count in scan.counts.items()}
        return Changes(counts=counts, shown=tuple(map(_change, rows)), page=page, rows=scan.count(kind))

    def warnings(self) -> LogWarnings:
        """The warnings and errors of the log, without the lines about single merges."""
        try:
            self._refuse_another_size(TEXT_LOG)
            return self.scans.of(self.folder / TEXT_LOG, "warnings", _warnings)
        except DamagedSet as error:
            self._add(str(error))
            return LogWarnings()

    def _evidence(self) -> RowScan | None:
        return self._scan(self.folder / "match_evidence.csv", _EVIDENCE)

    def _scan(self, path: Path, shape: CsvShape) -> RowScan | None:
        try:
            self._refuse_another_size(path.name)
            found = self.scans.rows_of(path, shape)
        except DamagedSet as error:
            self._add(str(error))
            return None
        if not found.is_whole:
            self._add(f"{path.name} is very long: only its first {found.rows:,} rows are counted here")
        return found

    def _page(
        self, path: Path, shape: CsvShape, scan: RowScan, page: int, kind: tuple[str, ...] | None
    ) -> list[list[str]]:
        try:
            rows = page_of_rows(path, shape, scan, page, kind)
        except DamagedSet as error:
            self._add(str(error))
            return []
        return [row for row in rows if len(row) == len(shape.columns)]

    def _refuse_another_size(self, name: str) -> None:
        """Raises: DamagedSet where the file has another size than it was published with."""
        if not self._has_its_size(name):
            raise DamagedSet(f"{name} is damaged: it has another size than it was published with")

    def _has_its_size(self, name: str) -> bool:
        """True also where it is no regular file: what opens it says so."""
        path = self.folder / name
        return not is_regular(path) or self.sizes.get(name) in (None, path.lstat().st_size)

    def _add(self, trouble: str) -> None:
        if trouble not in self.troubles:
            self.troubles.append(trouble)


def _shown(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _source(name: str, report: _SourceReport, removed: RowScan | None) -> SourceCounts:
    duplicates = None
    if removed is not None:
        duplicates = sum(count for (source, _), count in removed.counts.items() if source == name)
    return SourceCounts(
        source=_shown(name),
        rows=report.rows + report.rejects,
        rejects=report.rejects,
        records=report.rows,
        duplicates=duplicates,
        records_before=report.volume.rows_published,
        warnings=tuple(map(_shown, report.warnings)),
    )


def _field(source: str, name: str, report: _FieldReport) -> FieldCounts:
    return FieldCounts(
        source=_shown(source),
        field=_shown(name),
        filled=report.filled,
        missing=report.missing,
        unusable=sum(report.made_missing.values()),
        changed=report.changed,
        distinct=report.distinct,
        unusable_by_reason=report.made_missing,
        doubtful=report.doubtful,
    )


def _change(row: list[str]) -> ShownChange:
    unified_id, change, from_ids, to_ids, reason = row
    former, following = ([it for it in ids.split(",") if it] for ids in (from_ids, to_ids))
    return ShownChange(
        unified_id=_shown(unified_id),
        change=_shown(change),
        from_ids=tuple(map(_shown, former[:_SHOWN_IDS])),
        from_count=len(former),
        to_ids=tuple(map(_shown, following[:_SHOWN_IDS])),
        to_count=len(following),
        reason=_shown(reason),
    )


def _warnings(file: BinaryIO) -> LogWarnings:
    shown: list[str] = []
    count = 0
    for lines in _lines(file):
        for line in (it for it in lines if (b" - WARNING - " in it or b" - ERROR - " in it) and not _MERGE.match(it)):
            if found := _PROBLEM.match(line):
                count += 1
                if len(shown) < MOST_WARNINGS:
                    level, message = (text.decode("utf-8", "replace") for text in found.groups())
                    shown.append(_shown(f"{level}: {message}"))
    return LogWarnings(shown=tuple(shown), count=count)


def _lines(file: BinaryIO) -> Iterator[list[bytes]]:
    """The lines of a log of any length, some at a time; of a longer line than any log has, pieces."""
    while block := file.read(_BLOCK_BYTES):
        yield (block + file.readline(_BLOCK_BYTES)).split(b"\n")
