"""Figures of a customer master: how its customers came together, by reason, size and sources, and what that cost."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, TypeVar

from msgspec import Struct

from service.dashboard.sets.customer_rows import MOST_STATUS_LENGTH
from service.engine.contract import PARQUET
from service.files import open_file
from service.masters.customer_sets import CustomerSet, CustomerSets
from service.masters.set_files import read_set_file
from service.pipeline.difference import JOINED, PARTED, DifferenceCounts
from service.pipeline.literal_cost import LITERAL_COST

LARGEST = 20
_MOST_STATUSES = 12
_MOST_SHOWN_IDS = 5
_MOST_ROW_BYTES = 64 << 10
_MOST_COST_BYTES = 16 << 20
_GROUPED = f"""
    select source_system, match_reason, record_count, count(*) from {PARQUET} group by all
"""
_STATUSES = f"""
    select approx_top_k(status, {_MOST_STATUSES}) from {PARQUET} where length(status) <= {MOST_STATUS_LENGTH}
"""
_LARGEST = f"""
    select file_row_number from {PARQUET} where record_count > 1
    order by record_count desc, file_row_number limit {LARGEST}
"""
_SIZES = ((2, 2), (3, 3), (4, 4), (5, 5), (6, 10), (11, 50), (51, 1000), (1001, None))
_VALUES = ("email", "phone", "unreadable_phone", "id_alone")
"""Kinds of ``literal_cost.csv`` that are values; the others are groups."""

Key = TypeVar("Key", bound=Hashable)


class ReasonCount(Struct, frozen=True, kw_only=True):
    """Customers of more than one record that came together for the same reason."""

    reason: str
    customers: int
    records: int


class SizeCount(Struct, frozen=True, kw_only=True):
    """Customers of so many records."""

    least: int
    most: int | None
    """None: any number from ``least``."""
    customers: int
    records: int

    @property
    def title(self) -> str:
        """``2``, ``6 to 10``, ``1,001 or more``."""
        if self.most is None:
            return f"{self.least:,} or more"
        return f"{self.least:,}" if self.least == self.most else f"{self.least:,} to {self.most:,}"


class OverlapCount(Struct, frozen=True, kw_only=True):
    """Customers whose records come from exactly these sources."""

    sources: tuple[str, ...]
    customers: int
    records: int

    @property
    def choice(self) -> str:
        """The filter that shows them."""
        return "+".join(self.sources) if len(self.sources) > 1 else f"only:{self.sources[0]}"


class SharedValue(Struct, frozen=True, kw_only=True):
    """A value that connects records with different names: a row of ``literal_cost.csv``."""

    kind: str
    value: str
    records: int
    distinct_names: int
    unified_ids: tuple[str, ...]
    """The first of them."""


class ChangedCustomers(Struct, frozen=True, kw_only=True):
    """A customer that ``safe`` would part, or customers of whose records it would make one: a row of that file."""

    name: str
    records: int
    distinct_names: int
    unified_ids: tuple[str, ...]
    """The first of them."""
    safe_customers: int
    """How many customers ``safe`` makes of these records."""


@dataclass(frozen=True)
class SafeChanges:
    """What the matcher ``safe`` would change in a set; the largest changes of each kind first."""

    counts: DifferenceCounts
    parted: tuple[ChangedCustomers, ...]
    joined: tuple[ChangedCustomers, ...]


class CustomerChoices(Struct, frozen=True, kw_only=True):
    """What the filters can be set to in a set."""

    sources: tuple[str, ...] = ()
    combinations: tuple[tuple[str, ...], ...] = ()
    statuses: tuple[str, ...] = ()
    """The most frequent of those that are short enough for a filter."""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupFigures:
    """Counts of a whole master."""

    reasons: tuple[ReasonCount, ...]
    sizes: tuple[SizeCount, ...]
    overlap: tuple[OverlapCount, ...]


class _RiskCounts(Struct, frozen=True):
    groups_on_a_name_alone: int


class _NameAloneReport(Struct, frozen=True):
    literal_matching: _RiskCounts


class _ComparedReport(Struct, frozen=True):
    safe_matching: DifferenceCounts | None = None


class _CostRow(NamedTuple):
    """A row of ``literal_cost.csv``; of a long list of ids only the first are read."""

    kind: str
    value: str
    records: int
    distinct_names: int
    unified_ids: tuple[str, ...]
    safe_customers: int | None
    """None where matchers were not compared."""


def group_figures(sets: CustomerSets, of: CustomerSet) -> GroupFigures:
    """Customers by reason, by number of records, and by sources; the most frequent first, sizes in their order."""

    def count() -> GroupFigures:
        rows = sets.rows(_GROUPED, sets.master(of))
        merged = [row for row in rows if row[2] > 1]
        reasons = _sums((reason or "", size, times) for _, reason, size, times in merged)
        overlap = _sums((tuple(sources), size, times) for sources, _, size, times in rows)
        return GroupFigures(
            tuple(ReasonCount(reason=it, customers=n, records=records) for it, n, records in reasons),
            tuple(_sizes([(size, times) for *_, size, times in merged])),
            tuple(OverlapCount(sources=it, customers=n, records=records) for it, n, records in overlap),
        )

    return sets.figure(of, "groups", count)


def choices_of(sets: CustomerSets, of: CustomerSet) -> CustomerChoices:
    """What the filters can be set to."""

    def choose() -> CustomerChoices:
        [(statuses,)] = sets.rows(_STATUSES, sets.master(of))
        combinations = tuple(it.sources for it in figures.overlap)
        return CustomerChoices(
            sources=tuple(dict.fromkeys(name for names in combinations for name in names)),
            combinations=combinations,
            statuses=tuple(statuses or ()),
            reasons=tuple(it.reason for it in figures.reasons),
        )

    figures = group_figures(sets, of)
    return sets.figure(of, "choices", choose)


def largest_positions(sets: CustomerSets, of: CustomerSet) -> list[int]:
    """The positions of the customers with the most records, the largest first."""
    return sets.figure(of, "largest", lambda: [row[0] for row in sets.rows(_LARGEST, sets.master(of))])


def count_on_a_name_alone(of: CustomerSet) -> int | None:
    """Number of customers with a record that belongs by its name alone; None where the report cannot be read."""
    report = read_set_file(of.folder / "quality_report.json", _NameAloneReport)
    return None if report is None else report.literal_matching.groups_on_a_name_alone


def shared_values(sets: CustomerSets, of: CustomerSet) -> tuple[SharedValue, ...]:
    """The values that connect records with more than one name, those with the most names first."""

    def read() -> tuple[SharedValue, ...]:
        with suppress(OSError), open_file(of.folder / "literal_cost.csv") as file:
            found = [it for it in _cost_rows(file) if it.kind in _VALUES and it.distinct_names > 1]
            found.sort(key=lambda it: (-it.distinct_names, -it.records, it.value))
            return tuple(
                SharedValue(
                    kind=it.kind,
                    value=it.value,
                    records=it.records,
                    distinct_names=it.distinct_names,
                    unified_ids=it.unified_ids,
                )
                for it in found
            )
        return ()

    return sets.figure(of, "shared values", read)


def safe_changes(sets: CustomerSets, of: CustomerSet) -> SafeChanges | None:
    """What the matcher ``safe`` would change; None where the batch did not compare matchers."""

    def read() -> SafeChanges | None:
        report = read_set_file(of.folder / "quality_report.json", _ComparedReport)
        if report is None or report.safe_matching is None:
            return None
        rows: dict[str, list[ChangedCustomers]] = {PARTED: [], JOINED: []}
        with suppress(OSError), open_file(of.folder / "literal_cost.csv") as file:
            for it in _cost_rows(file):
                if it.kind in rows and it.safe_customers is not None:
                    rows[it.kind].append(_changed(it, it.safe_customers))
        return SafeChanges(report.safe_matching, tuple(rows[PARTED]), tuple(rows[JOINED]))

    return sets.figure(of, "changes by safe", read)


def _changed(row: _CostRow, safe_customers: int) -> ChangedCustomers:
    return ChangedCustomers(
        name=row.value,
        records=row.records,
        distinct_names=row.distinct_names,
        unified_ids=row.unified_ids,
        safe_customers=safe_customers,
    )


def _sums(rows: Iterator[tuple[Key, int, int]]) -> list[tuple[Key, int, int]]:
    """Key, customers and records, the most customers first."""
    customers: Counter[Key] = Counter()
    records: Counter[Key] = Counter()
    for key, size, times in rows:
        customers[key] += times
        records[key] += size * times
    return [(key, count, records[key]) for key, count in sorted(customers.items(), key=lambda it: (-it[1], str(it[0])))]


def _sizes(counts: list[tuple[int, int]]) -> Iterator[SizeCount]:
    for least, most in _SIZES:
        inside = [(size, times) for size, times in counts if size >= least and (most is None or size <= most)]
        if inside:
            yield SizeCount(
                least=least,
                most=most,
                customers=sum(times for _, times in inside),
                records=sum(size * times for size, times in inside),
            )


def _cost_rows(file: BinaryIO) -> Iterator[_CostRow]:
    """The rows of ``literal_cost.csv`` up to a size; of a long list of ids only the beginning is read."""
    left = _MOST_COST_BYTES
    while left > 0 and (line := file.readline(_MOST_ROW_BYTES)):
        left -= len(line)
        whole = line
        while whole and not whole.endswith(b"\n") and left > 0:
            whole = file.readline(_MOST_ROW_BYTES)
            left -= len(whole)
        cells = next(csv.reader([line.decode("utf-8", "replace").rstrip("\r\n")]), [])
        if len(cells) >= len(LITERAL_COST) and cells[2].isdigit() and cells[3].isdigit():
            kind, value, records, names, ids = cells[: len(LITERAL_COST)]
            shown = tuple(ids.split(",")[:_MOST_SHOWN_IDS])
            by_safe = next((int(it) for it in cells[len(LITERAL_COST) :] if it.isdigit()), None)
            yield _CostRow(kind, value, int(records), int(names), shown, by_safe)
