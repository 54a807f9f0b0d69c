"""The customers of a published master: a table with filters in the URL, and a search whose text is in the body only."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from service.dashboard.routes import PageRoute
from service.dashboard.sets.customer_figures import CustomerChoices, choices_of
from service.dashboard.sets.customer_rows import (
    CustomerFilters,
    customers_of,
    words_in_merged_records,
    words_of,
)
from service.dashboard.sets.search_words import unified_ids_in
from service.dashboard.site import Site
from service.masters.customer_row import CustomerRow
from service.masters.customer_sets import ShownSet

SearchedRecords = Literal["customers", "merged"]


class CustomerSearch(CustomerFilters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which customers: all words of ``text`` must occur, each in a name, e-mail address, phone or id."""

    text: Annotated[str, Meta(max_length=200)] = ""
    within: SearchedRecords = "customers"
    """``merged``: in the records that were merged into customers, whose values the master may not show."""


class CustomersView(Struct, frozen=True, kw_only=True):
    """A page of customers."""

    shown: ShownSet | None
    """Null where nothing was published yet."""
    filters: CustomerFilters
    text: str = ""
    """What was searched for."""
    within: SearchedRecords = "customers"
    rows: tuple[CustomerRow, ...] = ()
    first: int = 0
    """Number of the first row, from 1; 0 where there is none."""
    last: int = 0
    whole: int = 0
    """Number of customers that meet the filters and the search."""
    page: int = 1
    pages: int = 1
    choices: CustomerChoices = CustomerChoices()
    former_ids: tuple[str, ...] = ()
    """Ids that were searched for and that no customer of the set has: they may have been merged or retired."""


def _customers(site: Site, filters: CustomerFilters) -> CustomersView:
    return _listed(site, filters, "", "customers")


def _customers_found(site: Site, search: CustomerSearch) -> CustomersView:
    filters = CustomerFilters(**{name: getattr(search, name) for name in CustomerFilters.__struct_fields__})
    return _listed(site, filters, search.text.strip(), search.within)


def _listed(site: Site, filters: CustomerFilters, text: str, within: SearchedRecords) -> CustomersView:
    sets = site.customer_sets
    of = sets.find(filters.batch or None)
    if of is None:
        return CustomersView(shown=None, filters=filters, text=text, within=within)
    if of.shown.obstacle:
        return CustomersView(shown=of.shown, filters=filters, text=text, within=within)
    conditions = words_of if within == "customers" else words_in_merged_records
    words = conditions(sets, of, text, site.settings.default_region) if text else []
    found = customers_of(sets, of, filters, words)
    ids = {row.unified_id for row in found.rows}
    return CustomersView(
        shown=of.shown,
        filters=filters,
        text=text,
        within=within,
        rows=found.rows,
        first=found.first,
        last=found.last,
        whole=found.whole,
        page=found.page,
        pages=found.pages,
        choices=choices_of(sets, of),
        former_ids=tuple(it for it in unified_ids_in(text) if it not in ids and filters.is_any),
    )


_SEARCH = "customers whose name, e-mail address, phone or id has all words of a text"
PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute("customers", "/customers", "the customers of a set", CustomerFilters, CustomersView, _customers),
    PageRoute(
        "customers_found",
        "/customers/search",
        _SEARCH,
        CustomerSearch,
        CustomersView,
        _customers_found,
        method="POST",
        template="customers.html",
    ),
)
