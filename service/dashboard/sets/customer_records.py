"""The records of one customer: where each value of the golden record comes from, which cells agree, what links them.

The records of a customer lie together in ``records.parquet``, in the order of their ordinals; so any page of them is a
range of positions, also of a customer with a million records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from msgspec import Struct

from service.dashboard.paging import page_count
from service.dashboard.sets.customer_rows import CustomerRow
from service.engine.contract import PARQUET
from service.masters.customer_sets import CustomerSet, CustomerSets

FIELDS = ("full_name", "email", "phone", "signup_date", "status")
MOST_NODES = 30
"""Larger groups have no graph."""
RECORDS_ON_A_PAGE = 8
_WHOLE_GROUP = 500
"""Of larger groups only the records of the page, and the kept one, are compared with each other."""
_SHOWN_HOLDERS = 3
_RULES: Mapping[str, str] = {"full_name": "name", "email": "email", "phone": "phone"}
"""Field -> the rule that compares it."""
_RANK = " + ".join(f"({field} is null)::bigint" for field in FIELDS)
# The rank of survivorship: fewest missing fields first, then order of appearance.
_HOLDERS = ", ".join(
    f"count(*) filter ({field} = {value}), "
    f"min_by(row(source, source_id), ({_RANK}) * 1000000000000 + ordinal, {_SHOWN_HOLDERS}) "
    f"filter ({field} = {value})"
    for field, value in ((field, "?::date" if field == "signup_date" else "?") for field in FIELDS)
)
_EXTENT = f"""
    select min(file_row_number), count(*), min(file_row_number) filter (is_kept), {_HOLDERS}
    from {PARQUET} where unified_id = ?
"""
_RECORDS = f"""
    select file_row_number, ordinal, source, source_id, is_kept, {", ".join(FIELDS)}, via_source, via_id, rules
    from {PARQUET} where file_row_number between ? and ? or file_row_number = ? order by is_kept desc, ordinal
"""

Origin = Literal["kept", "filled", "stated", "missing"]


class RecordName(Struct, frozen=True, kw_only=True):
    """A record as its source knows it."""

    source: str
    source_id: str


class GoldenCell(Struct, frozen=True, kw_only=True):
    """A value of the golden record, and where it comes from."""

    field: str
    value: str | None
    origin: Origin
    """``kept``: of the kept record. ``filled``: of another, because the kept one has none. ``stated``: of another that
    states it, while that of the kept one is a default. ``missing``: no record has one."""
    taken_from: RecordName | None
    held_by: tuple[RecordName, ...]
    """The first of the records with the same value."""
    holders: int
    """The number of records with the same value."""


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


@dataclass(frozen=True)
class RecordSlice:
    """The records of a page of a customer, the kept one first on each, and what goes with them."""

    golden: tuple[GoldenCell, ...]
    records: tuple[CustomerRecord, ...]
    links: tuple[RecordLink, ...]
    """All of a small group, else those of the page."""
    whole: int
    page: int

    @property
    def pages(self) -> int:
        """Number of pages, at least 1."""
        return page_count(self.whole - 1, RECORDS_ON_A_PAGE - 1)

    @property
    def first(self) -> int:
        """Number of the first record of the page beside the kept one; that is number 1."""
        return (self.page - 1) * (RECORDS_ON_A_PAGE - 1) + 2


@dataclass(frozen=True)
class _Read:
    """A row of ``records.parquet``."""

    position: int
    ordinal: int
    name: RecordName
    is_kept: bool
    values: Mapping[str, str | None]
    via: RecordName | None
    rules: tuple[str, ...]


def records_of(sets: CustomerSets, of: CustomerSet, customer: CustomerRow, page: int) -> RecordSlice:
    """A page of the records of a customer; the last page where ``page`` is behind it."""
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
    rows = [_read(row) for row in sets.rows(_RECORDS, sets.records(of), first, last, kept_at)]
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


def parents_of(rows: Sequence[_Read]) -> dict[int, int]:
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


def _golden(golden: Mapping[str, str | None], kept: _Read, holders: Sequence[Any]) -> Iterator[GoldenCell]:
    for number, field in enumerate(FIELDS):
        count, first = holders[2 * number], holders[2 * number + 1] or ()
        held_by = tuple(RecordName(source=source, source_id=source_id) for source, source_id in first)
        value, own = golden[field], kept.values[field]
        origin = _origin(value, own)
        taken_from = {"kept": kept.name, "missing": None}.get(origin, held_by[0] if held_by else None)
        yield GoldenCell(field=field, value=value, origin=origin, taken_from=taken_from, held_by=held_by, holders=count)


def _origin(value: str | None, own: str | None) -> Origin:
    """Of a value of the golden record, given that of the kept record."""
    if value is None or value == own:
        return "missing" if value is None else "kept"
    return "filled" if own is None else "stated"


def _compared(rows: Sequence[_Read], shown: Sequence[_Read], parents: Mapping[int, int]) -> Iterator[CustomerRecord]:
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


def _cell(row: _Read, field: str, counts: Mapping[tuple[str, str], int], tied: set[tuple[int, str]]) -> RecordCell:
    value, rule = row.values[field], _RULES.get(field, "")
    is_tied = (row.ordinal, rule) in tied
    agrees = is_tied or (value is not None and counts[field, _comparable(value)] > 1)
    return RecordCell(field=field, value=value, agrees=agrees, rule=rule if agrees else "")


def _link(row: _Read, parents: Mapping[int, int]) -> RecordLink:
    assert row.via is not None, "the kept record has no link"
    return RecordLink(
        ordinal=row.ordinal,
        record=row.name,
        via=row.via,
        via_ordinal=parents.get(row.ordinal),
        rules="+".join(row.rules),
    )


def _comparable(value: str) -> str:
    return value.casefold()


def _read(row: Sequence[Any]) -> _Read:
    position, ordinal, source, source_id, is_kept, *values, via_source, via_id, rules = row
    return _Read(
        position,
        ordinal,
        RecordName(source=source, source_id=source_id),
        is_kept,
        {
            field: value.isoformat() if isinstance(value, date) else value
            for field, value in zip(FIELDS, values, strict=True)
        },
        None if via_source is None else RecordName(source=via_source, source_id=via_id),
        tuple((rules or "").split("+")) if rules else (),
    )
