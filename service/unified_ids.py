"""Unified ids: how the number of a customer is written, ``CUST001``, and read from what a person types."""

from __future__ import annotations

import re

UNIFIED_ID_SQL = "'CUST' || case when {0} < 1000 then lpad({0}::varchar, 3, '0') else {0}::varchar end"
"""SQL: ``unified_id`` of the number in column ``{0}``."""
_TYPED = re.compile(r"CUST0*([1-9][0-9]{0,17})", re.IGNORECASE)


def unified_id(number: int) -> str:
    """The id of a customer, with at least three digits.

    >>> unified_id(7), unified_id(12345)
    ('CUST007', 'CUST12345')
    """
    return f"CUST{number:03}"


def number_in(text: str) -> int | None:
    """The number in an id that a person typed; None if it is none.

    >>> number_in(" cust7 "), number_in("CUST00042"), number_in("CUST0"), number_in("CRM:7")
    (7, 42, None, None)
    """
    found = _TYPED.fullmatch(text.strip())
    return int(found[1]) if found else None
