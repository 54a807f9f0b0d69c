"""Pages of a table: how many there are."""

from __future__ import annotations


def page_count(rows: int, rows_on_a_page: int) -> int:
    """The number of pages that so many rows fill, at least 1."""
    return max(1, -(-rows // rows_on_a_page))
