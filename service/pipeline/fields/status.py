"""The status: the definition, and the same rule in SQL."""

from __future__ import annotations

from service.engine.contract import BLANK
from service.pipeline.fields.missing import BOOLEAN


def read_status(text: str) -> str:
    """The status as its source states it, trimmed, in lower case.

    >>> read_status(" Active ")
    'active'
    """
    return text.strip().lower()


STATUS_SQL = f"""
    case when regexp_full_match(status, '[A-Za-z]+') then lower(status)
         when not regexp_full_match(status, '(?i){BLANK}*{BOOLEAN}{BLANK}*') then read_status(status) end
"""
"""SQL: the normalised ``status``; null for a truth value."""
