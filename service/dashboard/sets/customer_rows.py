"""Customers of a published master: filtered, searched, and read a page at a time.

A page has two statements: one finds the positions of its rows and counts all, from the columns that the filters name;
the other reads these rows. So the last page of a million costs what the first does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from service.dashboard.paging import first_row, page_count
from service.dashboard.sets.search_words import Condition, conditions_of, joined
from service.engine.contract import PARQUET
from service.masters.customer_row import COLUMNS, CustomerRow, row_of
from service.masters.customer_sets import CustomerSet, CustomerSets

MOST_STATUS_LENGTH = 100
"""Of a status that can be filtered by, in characters."""
MOST_IDS = 200
"""So many customers are found by the ids of their records in the sources."""
_ONLY = "only:"
_ON_A_NAME_ALONE = f"unified_id in (select unified_id from {PARQUET} where rules = 'name')"
_IN_MERGED_RECORDS = f"unified_id in (select unified_id from {PARQUET} where not is_kept and {{where}})"
_POSITIONS = f"""
    with hits as materialized (select file_row_number as position from {PARQUET} where {{where}})
    select (select count(*) from hits),
        (select list(position order by position) from (select position from hits order by position limit ? offset ?))
"""
_BY_SOURCE_ID = f"""
    select distinct unified_id from {PARQUET} where source_id in ({{ids}}) and (? = '' or source = ?) limit {MOST_IDS}
"""
_SOURCES = r"^((only:)?[A-Z][A-Z0-9_]*|[A-Z][A-Z0-9_]*(\+[A-Z][A-Z0-9_]*)+)?$"
_BATCH = r"^([0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}(-[1-9][0-9]*)?)?$"
_MOST_RECORDS = 1_000_000_000

MissingField = Literal["", "full_name", "email", "phone", "signup_date", "status"]
PageNumber = Annotated[int, Meta(ge=1, le=100_000_000)]
BatchChoice = Annotated[str, Meta(pattern=_BATCH, max_length=40)]
"""A batch id; empty for the latest set."""


class CustomerFilters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which customers, and which page of them. Nothing of a customer: it stands in URLs."""

    source: Annotated[str, Meta(pattern=_SOURCES, max_length=200)] = ""
    """``CRM``: with a record of it. ``CRM+ECOM``: of exactly these. ``only:CRM``: of no other."""
    status: Annotated[str, Meta(max_length=MOST_STATUS_LENGTH)] = ""
    reason: Annotated[str, Meta(pattern=r"^[a-z_+]*$", max_length=100)] = ""
    """As in ``duplicate_report.csv``: ``email+phone``."""
    min_records: Annotated[int, Meta(ge=1, le=_MOST_RECORDS)] = 1
    max_records: Annotated[int, Meta(ge=0, le=_MOST_RECORDS)] = 0
    """0: no limit."""
    name_alone: bool = False
    """Whether a record belongs to the customer by its name alone."""
    missing: MissingField = ""
    """A field without a value."""
    batch: BatchChoice = ""
    page: PageNumber = 1
    limit: Annotated[int, Meta(ge=1, le=200)] = 50

    def given(self, **others: Any) -> dict[str, Any]:
        """The parameters that are not at their defaults, ``others`` in place of them, for a URL or hidden fields."""
        values = {name: getattr(self, name) for name in CustomerFilters.__struct_fields__} | others
        defaults = dict(zip(CustomerFilters.__struct_fields__, CustomerFilters.__struct_defaults__, strict=True))
        changed = {name: value for name, value in values.items() if value != defaults[name]}
        return {name: "true" if value is True else str(value) for name, value in changed.items()}

    @property
    def is_any(self) -> bool:
        """Whether every customer is meant."""
        return not set(self.given()) - {"batch", "page", "limit"}


@dataclass(frozen=True)
class CustomerSlice:
    """Rows of a page, and how many there are in all."""

    rows: tuple[CustomerRow, ...]
    whole: int
    page: int
    """The last page where a later one was asked for."""
    limit: int

    @property
    def first(self) -> int:
        """Number of the first row, from 1; 0 where there is none."""
        return first_row(self.page, self.limit) if self.rows else 0

    @property
    def last(self) -> int:
        """Number of the last row."""
        return max(self.first + len(self.rows) - 1, 0)

    @property
    def pages(self) -> int:
        """Number of pages, at least 1."""
        return page_count(self.whole, self.limit)


def customers_of(
    sets: CustomerSets, of: CustomerSet, filters: CustomerFilters, words: Sequence[Condition] = ()
) -> CustomerSlice:
    """A page of the customers that meet all filters and words, by the number of their ids."""
    conditions = [*_conditions(sets, of, filters), *words]
    if not conditions:
        whole = of.shown.customers
        page = min(filters.page, page_count(whole, filters.limit))
        first = (page - 1) * filters.limit
        found = rows_between(sets, of, first, min(first + filters.limit, whole) - 1)
        return CustomerSlice(found, whole, page, filters.limit)
    page = filters.page
    whole, positions = _positions(sets, of, conditions, page, filters.limit)
    if whole and not positions:
        page = page_count(whole, filters.limit)
        whole, positions = _positions(sets, of, conditions, page, filters.limit)
    return CustomerSlice(rows_at(sets, of, positions), whole, page if whole else 1, filters.limit)


def words_of(sets: CustomerSets, of: CustomerSet, text: str, region: str) -> list[Condition]:
    """The conditions of a search in the customers as published, and in the ids of their records."""
    return conditions_of(text, region, partial(_ids_by_source_id, sets, of))


def words_in_merged_records(sets: CustomerSets, of: CustomerSet, text: str, region: str) -> list[Condition]:
    """The conditions of a search in the records that are not the kept ones: values that the master does not show."""
    words = conditions_of(text, region, lambda _: ())
    if not words:
        return []
    one = joined(words, "and")
    return [Condition(_IN_MERGED_RECORDS.format(where=one.sql), (sets.records(of), *one.parameters))]


def rows_between(sets: CustomerSets, of: CustomerSet, first: int, last: int) -> tuple[CustomerRow, ...]:
    """The customers at the positions from ``first`` to ``last``, from 0."""
    if last < first:
        return ()
    sql = f"select {COLUMNS} from {PARQUET} where file_row_number between ? and ? order by file_row_number"
    return tuple(row_of(row) for row in sets.rows(sql, sets.master(of), first, last))


def rows_at(sets: CustomerSets, of: CustomerSet, positions: Sequence[int]) -> tuple[CustomerRow, ...]:
    """The customers at these positions, in this order."""
    if not positions:
        return ()
    if list(positions) == list(range(positions[0], positions[0] + len(positions))):
        return rows_between(sets, of, positions[0], positions[-1])
    listed = ", ".join(str(int(position)) for position in positions)
    sql = f"select {COLUMNS} from {PARQUET} where file_row_number in ({listed})"
    found = {row[-1]: row_of(row) for row in sets.rows(sql, sets.master(of))}
    return tuple(found[position] for position in positions)


def _positions(
    sets: CustomerSets, of: CustomerSet, conditions: Sequence[Condition], page: int, limit: int
) -> tuple[int, list[int]]:
    where = " and ".join(condition.sql for condition in conditions)
    values = (value for condition in conditions for value in condition.parameters)
    sql = _POSITIONS.format(where=where)
    [(whole, positions)] = sets.rows(sql, sets.master(of), *values, limit, (page - 1) * limit)
    return whole, positions or []


def _conditions(sets: CustomerSets, of: CustomerSet, filters: CustomerFilters) -> Iterator[Condition]:
    if filters.min_records > 1:
        yield Condition("record_count >= ?", (filters.min_records,))
    if filters.max_records:
        yield Condition("record_count <= ?", (filters.max_records,))
    if filters.reason:
        yield Condition("match_reason = ?", (filters.reason,))
    if filters.status:
        yield _has_status(filters.status)
    if filters.source:
        names = filters.source.removeprefix(_ONLY).split("+")
        is_exact = len(names) > 1 or filters.source.startswith(_ONLY)
        yield (
            Condition("source_system = ?", (names,))
            if is_exact
            else Condition("list_contains(source_system, ?)", (names[0],))
        )
    if filters.missing:
        yield Condition(f"{filters.missing} is null")
    if filters.name_alone:
        yield Condition(_ON_A_NAME_ALONE, (sets.records(of),))


def _has_status(status: str) -> Condition:
    """Browsers send a line break in a value as two characters."""
    if "\n" not in status:
        return Condition("status = ?", (status,))
    return Condition("replace(status, ?, ?) = ?", ("\r\n", "\n", status.replace("\r\n", "\n")))


def _ids_by_source_id(sets: CustomerSets, of: CustomerSet, word: str) -> list[str]:
    """``EC1001`` in any case, or ``ECOM:EC1001``."""
    source, colon, rest = word.partition(":")
    source, given = (source.upper(), rest) if colon and rest else ("", word)
    spellings = tuple(dict.fromkeys((given, given.upper(), given.lower())))
    sql = _BY_SOURCE_ID.format(ids=", ".join("?" * len(spellings)))
    return sorted(row[0] for row in sets.rows(sql, sets.records(of), *spellings, source, source))
