"""Pages of a table: how many there are, and which rows one of them has."""

from __future__ import annotations


def page_count(rows: int, rows_on_a_page: int) -> int:
    """The number of pages that so many rows fill, at least 1."""
    return max(1, -(-rows // rows_on_a_page))


def first_row(page: int, rows_on_a_page: int) -> int:
    """The number of the first row of a page, both from 1."""
    return (page - 1) * rows_on_a_page + 1
