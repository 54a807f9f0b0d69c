"""What reading one file gives: raw rows, rejected rows, and a report of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.model import Layout

RawRow = tuple[int, tuple[str | None, ...]]
"""Row number, and the cells in the order of the layout's paths; None where the row has none."""

RAW: Mapping[str, str] = {
    "row_number": "position in the file, from 1; blank rows do not count",
    "cell_0, cell_1, …": "text as written, one column for every path of the layout, in their order; null = absent",
}
"""The columns of the table that ``Engine.read`` returns."""


def cell_name(index: int) -> str:
    """The column of ``RAW`` that holds the layout's path with this index."""
    return f"cell_{index}"


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot enter the batch."""

    row_number: int
    code: str
    """The reason, one word."""
    explanation: str
    """The reason for a person; never a customer's value."""
    column: str = ""
    """The column or path at fault, if there is one."""


@dataclass(frozen=True)
class FileReport:
    """What reading one file showed besides its rows."""

    layout: Layout
    """The layout that fits the file; its paths are the cells of the table."""
    paths: tuple[str, ...] = ()
    """The paths of the layout that the file has."""
    rejects: tuple[RejectedRow, ...] = ()
    warnings: tuple[str, ...] = ()
    unknown_columns: int = 0
    """CSV: the number of columns that no field uses."""
    others: tuple[str, ...] = ()
    """Names of columns or paths of members that no field uses, as far as a message may quote them."""
    repeated_header: Mapping[str, str] = field(default_factory=dict)
    """CSV: path -> the name of its column in small letters; a row of these names is the header again."""
    is_csv: bool = False
    members: Mapping[str, str] = field(default_factory=dict)
    """JSON: scalar members before the array of customers, as text ("fetched_at", …); true is "true"."""
    written: str = "UTF-8"
    """Encoding and delimiter, for a person."""
