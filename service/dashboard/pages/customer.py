"""One customer: the golden record, where its values come from, its records and their links, and the past of its id."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from service.dashboard.charts import GraphEdge, GraphNode
from service.dashboard.routes import PageRoute
from service.dashboard.sets.customer_records import (
    MOST_NODES,
    RECORDS_ON_A_PAGE,
    CustomerRecord,
    RecordLink,
    RecordSlice,
    records_of,
)
from service.dashboard.sets.customer_rows import BatchChoice, PageNumber
from service.dashboard.site import Site
from service.explanation.customer import SplitCause, WeighedCustomer
from service.explanation.golden import Alternate, GoldenCell
from service.explanation.touching import TouchingDecision
from service.explanation.words import rules_in_words, weighed_reason_in_words
from service.masters.customer_row import CustomerRow, customer_row
from service.masters.customer_sets import CustomerSet, ShownSet
from service.masters.id_history import CustomerState, IdHistory, history_of, number_of, state_of
from service.masters.missing import MissingThing

_HINT = "search for it: the ids of the sources are found there, too"


class CustomerParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which customer, of which set, and which page of its records."""

    unified_id: Annotated[str, Meta(max_length=100)]
    batch: BatchChoice = ""
    page: PageNumber = 1


class ShownExplanation(Struct, frozen=True, kw_only=True):
    """What all records of a customer explain."""

    alternates: tuple[Alternate, ...]
    """Values of records that the golden record does not have."""
    split_causes: tuple[SplitCause, ...]
    """The single values and records without which the records were not one customer; up to 100."""
    split_causes_in_all: int
    decisions: tuple[TouchingDecision, ...]
    """Of people, about its records."""
    weighed: WeighedCustomer | None = None
    """What holds the customer in a set of weighed evidence; null in others."""


class CustomerView(Struct, frozen=True, kw_only=True):
    """A customer."""

    unified_id: str
    shown: ShownSet | None
    state: CustomerState | Literal["unknown"]
    """``unknown`` where the set cannot be read."""
    merged_into: str | None = None
    """The customer whose alias the id is."""
    customer: CustomerRow | None = None
    """The golden record; null where the set does not have the customer any more."""
    golden: tuple[GoldenCell, ...] = ()
    records: tuple[CustomerRecord, ...] = ()
    """The kept record, then those of the page in the order of the batch."""
    page: int = 1
    pages: int = 1
    links: tuple[RecordLink, ...] = ()
    """Of up to 30 records all links, else those of the page."""
    explained: ShownExplanation | None = None
    """Null where it was not looked for: in a customer of many records, or in a set of an older program."""
    history: IdHistory = IdHistory()

    @property
    def first(self) -> int:
        """Number of the first record behind the kept one; that is number 1."""
        return (self.page - 1) * (RECORDS_ON_A_PAGE - 1) + 2

    @property
    def because(self) -> str:
        """Why its records are one customer."""
        reason = self.customer.match_reason if self.customer else None
        if self.shown is None or not self.shown.is_weighed:
            return f"because of the same {rules_in_words(reason)}"
        weighed = self.explained.weighed if self.explained else None
        return weighed_reason_in_words(weighed.held_by if weighed else None, reason)

    @property
    def nodes(self) -> list[GraphNode]:
        """The records as nodes of the graph; none where there are too many, or one."""
        if self.customer is None or not 1 < self.customer.records <= MOST_NODES:
            return []
        kept = self.records[0]
        names = [(kept.ordinal, kept.name), *((link.ordinal, link.record) for link in self.links)]
        return [
            GraphNode(ordinal, name.source_id, name.source, is_root=ordinal == kept.ordinal) for ordinal, name in names
        ]

    @property
    def edges(self) -> list[GraphEdge]:
        """The links as edges of the graph."""
        return [
            GraphEdge(link.via_ordinal, link.ordinal, rules_in_words(link.rules))
            for link in self.links
            if link.via_ordinal is not None
        ]


def _customer(site: Site, asked: CustomerParameters) -> CustomerView:
    sets = site.customer_sets
    of = sets.find(asked.batch or None)
    if number_of(asked.unified_id) is None:
        raise MissingThing("this is no id of a customer; they look like CUST001", _HINT)
    if of is None:
        raise MissingThing(f"there is no customer {asked.unified_id}: nothing was published yet", "see the overview")
    if of.shown.obstacle:
        return CustomerView(unified_id=asked.unified_id, shown=of.shown, state="unknown")
    found = customer_row(sets, of, asked.unified_id)
    history = history_of(asked.unified_id, site.outbox, sets.kept())
    if found is None:
        return _former(of, asked.unified_id, history)
    records = records_of(sets, of, found, asked.page, site.settings.state)
    return CustomerView(
        unified_id=asked.unified_id,
        shown=of.shown,
        state="live",
        customer=found,
        golden=records.golden,
        records=records.records,
        page=records.page,
        pages=records.pages,
        links=records.links,
        explained=_shown(records),
        history=history,
    )


def _shown(records: RecordSlice) -> ShownExplanation | None:
    found = records.found
    if found is None:
        return None
    return ShownExplanation(
        alternates=found.alternates,
        split_causes=found.split_causes,
        split_causes_in_all=found.split_causes_in_all,
        decisions=records.decisions,
        weighed=found.weighed,
    )


def _former(of: CustomerSet, unified_id: str, history: IdHistory) -> CustomerView:
    """An id that the set does not have (any more). Raises: MissingThing where nothing is known of it."""
    known = state_of(unified_id, of.folder)
    if known is None and not history.events:
        raise MissingThing(f"there is no customer {unified_id} in the set of batch {of.batch_id}", _HINT)
    state, merged_into = known or ("retired", None)
    return CustomerView(
        unified_id=unified_id,
        shown=of.shown,
        # An older set may have retired a customer that lives in a later one.
        state="unknown" if state == "live" else state,
        merged_into=merged_into,
        history=history,
    )


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute("customer", "/customers/<unified_id>", "one customer", CustomerParameters, CustomerView, _customer),
)
