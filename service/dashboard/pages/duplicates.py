"""Duplicates: which records became one customer, by reason, size and source, and where the rule may merge too much."""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct

from service.dashboard.paging import first_row, page_count
from service.dashboard.routes import PageRoute
from service.dashboard.sets.customer_figures import (
    ChangedCustomers,
    OverlapCount,
    ReasonCount,
    SafeChanges,
    SharedValue,
    SizeCount,
    count_on_a_name_alone,
    group_figures,
    largest_positions,
    safe_changes,
    shared_values,
)
from service.dashboard.sets.customer_rows import (
    BatchChoice,
    CustomerFilters,
    PageNumber,
    customers_of,
    rows_at,
)
from service.dashboard.site import Site
from service.masters.customer_row import CustomerRow
from service.masters.customer_sets import CustomerSet, CustomerSets, ShownSet

ON_A_PAGE = 50
Row = TypeVar("Row")


class DuplicatesParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which set, and which page of each of its long tables."""

    batch: BatchChoice = ""
    page: PageNumber = 1
    values_page: PageNumber = 1
    parted_page: PageNumber = 1
    joined_page: PageNumber = 1


class _DuplicatesTable(Struct, frozen=True, kw_only=True):
    """A page of one of the tables."""

    whole: int = 0
    """Number of rows on all pages."""
    page: int = 1
    pages: int = 1

    @property
    def first(self) -> int:
        """The number of its first row."""
        return first_row(self.page, ON_A_PAGE)


class OnNameAlone(_DuplicatesTable, frozen=True, kw_only=True):
    """Customers with a record that belongs to them by its name alone."""

    rows: tuple[CustomerRow, ...] = ()


class SharedValues(_DuplicatesTable, frozen=True, kw_only=True):
    """Values that connect records with different names."""

    rows: tuple[SharedValue, ...] = ()


class ChangedBySafe(_DuplicatesTable, frozen=True, kw_only=True):
    """Customers that ``safe`` would part, or groups of customers that it would join; the largest first."""

    rows: tuple[ChangedCustomers, ...] = ()


class SafeComparison(Struct, frozen=True, kw_only=True):
    """What the matcher ``safe`` would make of the records of the set."""

    customers: int
    parted_customers: int
    joined_customers: int
    groups_of_joined_customers: int
    parted: ChangedBySafe
    """Of all parted customers the largest."""
    joined: ChangedBySafe
    """Of all groups of joined customers the largest."""


class DuplicatesView(Struct, frozen=True, kw_only=True):
    """How the records of a set came together."""

    shown: ShownSet | None
    """Null where nothing was published yet."""
    groups: int = 0
    """Number of customers of more than one record."""
    removed: int = 0
    """Number of records beside the kept ones."""
    reasons: tuple[ReasonCount, ...] = ()
    sizes: tuple[SizeCount, ...] = ()
    overlap: tuple[OverlapCount, ...] = ()
    largest: tuple[CustomerRow, ...] = ()
    on_a_name_alone: OnNameAlone = OnNameAlone()
    shared_values: SharedValues = SharedValues()
    safe_comparison: SafeComparison | None = None
    """Null where the batch did not compare matchers (``SERVICE_COMPARE_MATCHING``)."""


def _duplicates(site: Site, asked: DuplicatesParameters) -> DuplicatesView:
    sets = site.customer_sets
    of = sets.find(asked.batch or None)
    if of is None:
        return DuplicatesView(shown=None)
    if of.shown.obstacle:
        return DuplicatesView(shown=of.shown)
    figures = group_figures(sets, of)
    groups = sum(it.customers for it in figures.reasons)
    return DuplicatesView(
        shown=of.shown,
        groups=groups,
        removed=sum(it.records for it in figures.reasons) - groups,
        reasons=figures.reasons,
        sizes=figures.sizes,
        overlap=figures.overlap,
        largest=rows_at(sets, of, largest_positions(sets, of)),
        on_a_name_alone=_on_a_name_alone(sets, of, asked.page),
        shared_values=_shared_values(sets, of, asked.values_page),
        safe_comparison=_safe_comparison(safe_changes(sets, of), asked),
    )


def _on_a_name_alone(sets: CustomerSets, of: CustomerSet, page: int) -> OnNameAlone:
    if count_on_a_name_alone(of) == 0:
        return OnNameAlone()
    found = customers_of(sets, of, CustomerFilters(name_alone=True, page=page, limit=ON_A_PAGE))
    return OnNameAlone(rows=found.rows, whole=found.whole, page=found.page, pages=found.pages)


def _shared_values(sets: CustomerSets, of: CustomerSet, page: int) -> SharedValues:
    found = shared_values(sets, of)
    rows, page, pages = _page_of(found, page)
    return SharedValues(rows=rows, whole=len(found), page=page, pages=pages)


def _safe_comparison(found: SafeChanges | None, asked: DuplicatesParameters) -> SafeComparison | None:
    if found is None:
        return None
    return SafeComparison(
        **found.counts.figures(),
        parted=_changed(found.parted, asked.parted_page),
        joined=_changed(found.joined, asked.joined_page),
    )


def _changed(found: tuple[ChangedCustomers, ...], page: int) -> ChangedBySafe:
    rows, page, pages = _page_of(found, page)
    return ChangedBySafe(rows=rows, whole=len(found), page=page, pages=pages)


def _page_of(found: tuple[Row, ...], page: int) -> tuple[tuple[Row, ...], int, int]:
    """The rows of a page or of the last one, its number, and the number of pages."""
    pages = page_count(len(found), ON_A_PAGE)
    page = min(page, pages)
    return found[(page - 1) * ON_A_PAGE : page * ON_A_PAGE], page, pages


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute("duplicates", "/duplicates", "merged records", DuplicatesParameters, DuplicatesView, _duplicates),
)
