"""The suffix of an export's name: that of ``crm_customers_2024-01-15.csv`` is ``2024-01-15``.

Suffixes that are dates or numbers have an order; any other only says which files belong together.
"""

from __future__ import annotations

import re
from datetime import date

SEPARATORS = "_-. "
"""One or more of them separate the name of the source and the suffix."""
_DATE = re.compile(r"(\d{4})[-_. ]?(\d{2})[-_. ]?(\d{2})")


def order_of(suffix: str) -> tuple[str, int] | None:
    """Kind and rank of a suffix that has an order: ``("date", day)`` or ``("number", n)``; None for any other.

    >>> order_of("2024-01-15") == order_of("20240115")
    True
    >>> order_of("17"), order_of("north")
    (('number', 17), None)
    """
    if written := _DATE.fullmatch(suffix):
        try:
            return "date", date(*map(int, written.groups())).toordinal()
        except ValueError:
            pass
    if suffix.isascii() and suffix.isdigit():
        return "number", int(suffix)
    return None


def is_before(suffix: str, other: str) -> bool:
    """Whether both suffixes are dates, or both numbers, and this one comes first."""
    one, two = order_of(suffix), order_of(other)
    return one is not None and two is not None and one[0] == two[0] and one[1] < two[1]


def sort_key(suffix: str) -> tuple[int, str, int]:
    """Order in which batches are processed: dates, then numbers, each ascending; then all others."""
    found = order_of(suffix)
    return (1, "", 0) if found is None else (0, *found)
