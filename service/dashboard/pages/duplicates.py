"""Duplicates: which records became one customer, by reason, size and source, and where the rule may merge too much."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from service.dashboard.paging import first_row, page_count
from service.dashboard.routes import PageRoute
from service.dashboard.sets.customer_figures import (
    OverlapCount,
    ReasonCount,
    SharedValue,
    SizeCount,
    count_on_a_name_alone,
    group_figures,
    largest_positions,
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


class DuplicatesParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which set, and which page of the groups that rest on a name alone and of the shared values."""

    batch: BatchChoice = ""
    page: PageNumber = 1
    values_page: PageNumber = 1


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
    )


def _on_a_name_alone(sets: CustomerSets, of: CustomerSet, page: int) -> OnNameAlone:
    if count_on_a_name_alone(of) == 0:
        return OnNameAlone()
    found = customers_of(sets, of, CustomerFilters(name_alone=True, page=page, limit=ON_A_PAGE))
    return OnNameAlone(rows=found.rows, whole=found.whole, page=found.page, pages=found.pages)


def _shared_values(sets: CustomerSets, of: CustomerSet, page: int) -> SharedValues:
    found = shared_values(sets, of)
    pages = page_count(len(found), ON_A_PAGE)
    page = min(page, pages)
    rows = found[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]
    return SharedValues(rows=rows, whole=len(found), page=page, pages=pages)


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute("duplicates", "/duplicates", "merged records", DuplicatesParameters, DuplicatesView, _duplicates),
)
