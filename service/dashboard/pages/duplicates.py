"""Duplicates: which records became one customer, by reason, size and source, and where the rule may merge too much."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from service.dashboard.customer_figures import (
    OverlapCount,
    ReasonCount,
    SharedValue,
    SizeCount,
    count_on_a_name_alone,
    group_figures,
    largest_positions,
    shared_values,
)
from service.dashboard.customer_rows import (
    BatchChoice,
    CustomerFilters,
    CustomerRow,
    PageNumber,
    customers_of,
    rows_at,
)
from service.dashboard.customer_sets import ShownSet
from service.dashboard.routes import PageRoute
from service.dashboard.site import Site

_ON_A_PAGE = 50


class DuplicatesParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which set, and which page of the groups that rest on a name alone and of the shared values."""

    batch: BatchChoice = ""
    page: PageNumber = 1
    values_page: PageNumber = 1


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
    on_a_name_alone: int = 0
    """Number of customers with a record that belongs by its name alone."""
    name_alone: tuple[CustomerRow, ...] = ()
    """A page of them."""
    page: int = 1
    pages: int = 1
    shared_values: tuple[SharedValue, ...] = ()
    """A page of the values that tie records with different names."""
    shared_values_count: int = 0
    values_page: int = 1
    values_pages: int = 1


def _duplicates(site: Site, asked: DuplicatesParameters) -> DuplicatesView:
    sets = site.customer_sets
    of = sets.find(asked.batch or None)
    if of is None:
        return DuplicatesView(shown=None)
    if of.shown.obstacle:
        return DuplicatesView(shown=of.shown)
    figures = group_figures(sets, of)
    groups = sum(it.customers for it in figures.reasons)
    values = shared_values(sets, of)
    values_pages = max(1, -(-len(values) // _ON_A_PAGE))
    values_page = min(asked.values_page, values_pages)
    filters = CustomerFilters(on_name_alone=True, batch=asked.batch, page=asked.page, limit=_ON_A_PAGE)
    alone = None if count_on_a_name_alone(of) == 0 else customers_of(sets, of, filters)
    return DuplicatesView(
        shown=of.shown,
        groups=groups,
        removed=sum(it.records for it in figures.reasons) - groups,
        reasons=figures.reasons,
        sizes=figures.sizes,
        overlap=figures.overlap,
        largest=rows_at(sets, of, largest_positions(sets, of)),
        on_a_name_alone=alone.whole if alone else 0,
        name_alone=alone.rows if alone else (),
        page=alone.page if alone else 1,
        pages=alone.pages if alone else 1,
        shared_values=values[(values_page - 1) * _ON_A_PAGE : values_page * _ON_A_PAGE],
        shared_values_count=len(values),
        values_page=values_page,
        values_pages=values_pages,
    )


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute("duplicates", "/duplicates", "merged records", DuplicatesParameters, DuplicatesView, _duplicates),
)
