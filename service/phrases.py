"""Phrases that several rooms print: a number with its noun."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """``1 row``, ``1,200 rows``.

    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
