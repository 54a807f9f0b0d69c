"""The status: the definition, and the same rule in SQL."""

from __future__ import annotations


def read_status(text: str) -> str:
    """The status as its source states it, trimmed, in lower case.

    >>> read_status(" Active ")
    'active'
    """
    return text.strip().lower()


STATUS_SQL = "case when regexp_full_match(status, '[A-Za-z]+') then lower(status) else read_status(status) end"
"""SQL: the normalised ``status``."""
