"""The records of one customer: where each value of the golden record comes from, which cells agree, what links them.

The records of a customer lie together in ``records.parquet``, in the order of their ordinals; so any page of them is a
range of positions, also of a customer with a million records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import Struct

from service.dashboard.paging import page_count
from service.engine.contract import PARQUET
from service.explanation.customer import Explained, ExplainedRecord
from service.explanation.evidence import WeighedEvidence
from service.explanation.golden import SHOWN_HOLDERS, GoldenCell, golden_cell
from service.explanation.questions import decisions_about
from service.explanation.records import (
    COLUMNS,
    FIELDS,
    RULE_OF_FIELD,
    GroupRecord,
    RecordName,
    is_explained,
    record_of,
    records_of_customer,
)
from service.explanation.ties import SharedElsewhere, Tie
from service.explanation.touching import TouchingDecision, decisions_of
from service.explanation.weighed_customer import explained_in
from service.masters.customer_row import CustomerRow
from service.masters.customer_sets import CustomerSet, CustomerSets

MOST_NODES = 30
"""Larger groups have no graph."""
RECORDS_ON_A_PAGE = 8
_WHOLE_GROUP = 500
"""Larger groups are not explained; only the records of the page, and the kept one, are compared with each other."""
_RANK = " + ".join(f"({field} is null)::bigint" for field in FIELDS)
# The rank of survivorship: fewest missing fields first, then order of appearance.
_HOLDERS = ", ".join(
    f"count(*) filter ({field} = {value}), "
    f"min_by(row(source, source_id), ({_RANK}) * 1000000000000 + ordinal, {SHOWN_HOLDERS}) "
    f"filter ({field} = {value})"
    for field, value in ((field, "?::date" if field == "signup_date" else "?") for field in FIELDS)
)
_EXTENT = f"""
    select min(file_row_number), count(*), min(file_row_number) filter (is_kept), {_HOLDERS}
    from {PARQUET} where unified_id = ?
"""
_RECORDS = f"""
    select {COLUMNS} from {PARQUET}
    where file_row_number between ? and ? or file_row_number = ? order by is_kept desc, ordinal
"""


class RecordCell(Struct, frozen=True, kw_only=True):
    """A value of a record, as normalised."""

    field: str
    value: str | None
    agrees: bool
    """Whether another record of the customer has the same."""
    rule: str
    """The rule by which the agreement counts; empty for fields that are no evidence."""


class CustomerRecord(Struct, frozen=True, kw_only=True):
    """A record of the customer."""

    ordinal: int
    """Order of appearance in the batch."""
    name: RecordName
    is_kept: bool
    via: RecordName | None
    """The record it is linked through; null for the kept one."""
    rules: str
    """Why it belongs: the rules by which it agrees with that record."""
    shares_id: bool
    """Whether another record of its source has the same id."""
    cells: tuple[RecordCell, ...]


class RecordLink(Struct, frozen=True, kw_only=True):
    """What links a removed record to its customer."""

    ordinal: int
    record: RecordName
    via: RecordName
    via_ordinal: int | None
    """Null where that record was not read."""
    rules: str
    ties: tuple[Tie, ...] = ()
    """What the two share; none of a customer that is not explained."""
    evidence: WeighedEvidence | None = None
    """What weighed evidence says of the two; null where it does not make them one customer, or the rule is literal."""
    shares_with_others: tuple[SharedElsewhere, ...] = ()
    """Where weighed evidence alone links the two: what the record shares with others of the customer."""


@dataclass(frozen=True)
class RecordSlice:
    """The records of a page of a customer, the kept one first on each, and what goes with them."""

    golden: tuple[GoldenCell, ...]
    records: tuple[CustomerRecord, ...]
    links: tuple[RecordLink, ...]
    """All of a small group, else those of the page."""
    whole: int
    page: int
    found: Explained | None = None
    """What is explained by all records; None where they are too many, or an older program made the set."""
    decisions: tuple[TouchingDecision, ...] = ()

    @property
    def pages(self) -> int:
        """Number of pages, at least 1."""
        return page_count(self.whole - 1, RECORDS_ON_A_PAGE - 1)


def records_of(sets: CustomerSets, of: CustomerSet, customer: CustomerRow, page: int, state: Path) -> RecordSlice:
    """A page of the records of a customer; the last page where ``page`` is behind it. Raises: OSError."""
    if customer.records <= _WHOLE_GROUP and is_explained(sets, of):
        return _of_small(sets, of, customer, page, state)
    return _of_large(sets, of, customer, page)


def _of_small(sets: CustomerSets, of: CustomerSet, customer: CustomerRow, page: int, state: Path) -> RecordSlice:
    """By all records at once."""
    records = records_of_customer(sets, of, customer.unified_id, _WHOLE_GROUP)
    followed = decisions_of(sets, of)
    found = explained_in((sets, of), customer, records, followed)
    rows = sorted(records, key=lambda row: (not row.is_kept, row.ordinal))
    others = RECORDS_ON_A_PAGE - 1
    page = min(page, page_count(len(rows) - 1, others))
    shown = [rows[0], *rows[1:][(page - 1) * others : page * others]]
    parents = {it.ordinal: it.via_ordinal for it in found.records if it.via_ordinal is not None}
    shown_as = {it.ordinal: it for it in found.records}
    linked = rows if len(rows) <= MOST_NODES else shown
    return RecordSlice(
        golden=found.golden,
        records=tuple(_compared(rows, shown, parents)),
        links=tuple(_link(row, parents, shown_as[row.ordinal]) for row in linked if row.via is not None),
        whole=len(rows),
        page=page,
        found=found,
        decisions=decisions_about(records, followed, state),
    )


def _of_large(sets: CustomerSets, of: CustomerSet, customer: CustomerRow, page: int) -> RecordSlice:
    """By statements, and the records of the page."""
    golden = {field: getattr(customer, field) for field in FIELDS}
    values = [value for field in FIELDS for value in (golden[field], golden[field])]
    [(start, whole, kept_at, *holders)] = sets.rows(_EXTENT, *values, sets.records(of), customer.unified_id)
    others = RECORDS_ON_A_PAGE - 1
    page = min(page, page_count(whole - 1, others))
    positions = [it for it in range(start, start + whole) if it != kept_at] if whole <= _WHOLE_GROUP else None
    if positions is None:
        begin = start + (page - 1) * others
        positions_of_page = [it + (it >= kept_at) for it in range(begin, min(begin + others, start + whole - 1))]
        first, last = positions_of_page[0], positions_of_page[-1]
    else:
        positions_of_page = positions[(page - 1) * others : page * others]
        first, last = start, start + whole - 1
    rows = [record_of(row) for row in sets.rows(_RECORDS, sets.records(of), first, last, kept_at)]
    kept, by_position = rows[0], {row.position: row for row in rows}
    parents = parents_of(rows)
    shown = [kept, *(by_position[it] for it in positions_of_page)]
    linked = rows if whole <= MOST_NODES else shown
    return RecordSlice(
        golden=tuple(_golden(golden, kept, holders)),
        records=tuple(_compared(rows, shown, parents)),
        links=tuple(_link(row, parents) for row in linked if row.via is not None),
        whole=whole,
        page=page,
    )


def parents_of(rows: Sequence[GroupRecord]) -> dict[int, int]:
    """Ordinal of a removed record -> that of the record it is linked through, where that one is among ``rows``.

    Records of one source may share an id. Of those with the right one, the first that is already connected counts, so
    that the links are a tree.
    """
    connected: dict[RecordName, int] = {}
    for row in rows:
        if row.is_kept:
            connected.setdefault(row.name, row.ordinal)
    parents: dict[int, int] = {}
    left = [row for row in rows if row.via is not None]
    while left:
        reached = [row for row in left if row.via in connected]
        if not reached:
            return parents
        parents |= {row.ordinal: connected[row.via] for row in reached if row.via is not None}
        for row in reached:
            connected.setdefault(row.name, row.ordinal)
        left = [row for row in left if row.ordinal not in parents]
    return parents


def _golden(golden: Mapping[str, str | None], kept: GroupRecord, holders: Sequence[Any]) -> Iterator[GoldenCell]:
    for number, field in enumerate(FIELDS):
        count, first = holders[2 * number], holders[2 * number + 1] or ()
        held_by = tuple(RecordName(source=source, source_id=source_id) for source, source_id in first)
        yield golden_cell(field, golden[field], kept, held_by, count)


def _compared(
    rows: Sequence[GroupRecord], shown: Sequence[GroupRecord], parents: Mapping[int, int]
) -> Iterator[CustomerRecord]:
    counts = Counter((field, _comparable(value)) for row in rows for field, value in row.values.items() if value)
    names = Counter(row.name for row in rows)
    tied = {
        (ordinal, rule) for row in rows for rule in row.rules for ordinal in (row.ordinal, parents.get(row.ordinal, -1))
    }
    for row in shown:
        yield CustomerRecord(
            ordinal=row.ordinal,
            name=row.name,
            is_kept=row.is_kept,
            via=row.via,
            rules="+".join(row.rules),
            shares_id=names[row.name] > 1,
            cells=tuple(_cell(row, field, counts, tied) for field in FIELDS),
        )


def _cell(
    row: GroupRecord, field: str, counts: Mapping[tuple[str, str], int], tied: set[tuple[int, str]]
) -> RecordCell:
    value, rule = row.values[field], RULE_OF_FIELD.get(field, "")
    is_tied = (row.ordinal, rule) in tied
    agrees = is_tied or (value is not None and counts[field, _comparable(value)] > 1)
    return RecordCell(field=field, value=value, agrees=agrees, rule=rule if agrees else "")


def _link(row: GroupRecord, parents: Mapping[int, int], shown_as: ExplainedRecord | None = None) -> RecordLink:
    assert row.via is not None, "the kept record has no link"
    return RecordLink(
        ordinal=row.ordinal,
        record=row.name,
        via=row.via,
        via_ordinal=parents.get(row.ordinal),
        rules="+".join(row.rules),
        ties=shown_as.ties if shown_as else (),
        evidence=shown_as.evidence if shown_as else None,
        shares_with_others=shown_as.shares_with_others if shown_as else (),
    )


def _comparable(value: str) -> str:
    return value.casefold()
