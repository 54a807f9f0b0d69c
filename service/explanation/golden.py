"""The golden record: which record gave each of its values, and why; and the values that were not kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from service.explanation.records import FIELDS, GroupRecord, RecordName
from service.masters.customer_row import CustomerRow

SHOWN_HOLDERS = 3
"""The most records that are named for a value."""

Origin = Literal["kept", "filled", "stated", "missing"]


class GoldenCell(Struct, frozen=True, kw_only=True):
    """A value of the golden record, and where it comes from."""

    field: str
    value: str | None
    origin: Origin
    """``kept``: of the kept record. ``filled``: of another, because the kept one has none. ``stated``: of another that
    states it, while that of the kept one is a default. ``missing``: no record has one, or gaps are not filled."""
    taken_from: RecordName | None
    held_by: tuple[RecordName, ...]
    """The first of the records with the same value."""
    holders: int
    """The number of records with the same value."""


class Alternate(Struct, frozen=True, kw_only=True):
    """A value of a record that the golden record does not have."""

    field: str
    value: str
    held_by: tuple[RecordName, ...]
    """The first of the records with it."""
    holders: int
    """The number of records with it."""


def origin_of(value: str | None, own: str | None) -> Origin:
    """Of a value of the golden record, given that of the kept record."""
    if value is None or value == own:
        return "missing" if value is None else "kept"
    return "filled" if own is None else "stated"


def golden_cell(
    field: str, value: str | None, kept: GroupRecord, held_by: Sequence[RecordName], holders: int
) -> GoldenCell:
    """A cell, given the first records with its value and their number; gaps are filled from the first of them."""
    origin = origin_of(value, kept.values[field])
    taken_from = {"kept": kept.name, "missing": None}.get(origin, held_by[0] if held_by else None)
    return GoldenCell(
        field=field, value=value, origin=origin, taken_from=taken_from, held_by=tuple(held_by), holders=holders
    )


def provenance(
    customer: CustomerRow, records: Sequence[GroupRecord]
) -> tuple[tuple[GoldenCell, ...], tuple[Alternate, ...]]:
    """The cells of the golden record, and the other values, both in the order of ``FIELDS``; linear but for a sort.

    Among records with one value, and among values, that of the best record by survivorship comes first.

    Source: docs/specification.md section 6
    """
    ranked = sorted(records, key=lambda record: (not record.is_kept, record.rank))
    cells: list[GoldenCell] = []
    alternates: list[Alternate] = []
    for field in FIELDS:
        value = getattr(customer, field)
        holders = _holders(field, ranked)
        own = holders.pop(value, [])
        cells.append(golden_cell(field, value, ranked[0], own[:SHOWN_HOLDERS], len(own)))
        alternates += _alternates(field, holders)
    return tuple(cells), tuple(alternates)


def _holders(field: str, records: Sequence[GroupRecord]) -> dict[str | None, list[RecordName]]:
    """Value -> the records with it, in their order; a missing value is none."""
    holders: dict[str | None, list[RecordName]] = defaultdict(list)
    for record in records:
        value = record.values[field]
        if value is not None:
            holders[value].append(record.name)
    return holders


def _alternates(field: str, holders: Mapping[str | None, list[RecordName]]) -> Iterator[Alternate]:
    for value, names in holders.items():
        if value is not None:
            yield Alternate(field=field, value=value, held_by=tuple(names[:SHOWN_HOLDERS]), holders=len(names))
