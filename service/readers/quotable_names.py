"""Names of columns and members: which of them a message may quote, and which are ids."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_LONGEST = 60
_ID = re.compile(r"(?:^|[\W_]|[a-z])(?:ID|Id|id)\W*$")
_SMALL_ID = re.compile(r"[a-z]id\W*$")


def is_named_as_id(name: str) -> bool:
    """Whether the last word of a column or member is ``id``.

    >>> [is_named_as_id(name) for name in ("User ID", "userId", "user_id", "ID", "paid", "Valid")]
    [True, True, True, True, False, False]
    """
    return _ID.search(name) is not None and _SMALL_ID.search(name) is None


def quotable(name: str) -> str:
    """The name without invisible characters, if it may be quoted; else empty: it may be an address, an id or a phone.

    >>> quotable("\\ufeffSign-Up  Date"), quotable("ann@lee.org"), quotable("Phone (2nd)"), quotable("555 0101")
    ('Sign-Up Date', '', 'Phone (2nd)', '')
    """
    shown = " ".join("".join(c for c in name if c.isspace() or unicodedata.category(c)[0] != "C").split())
    is_value = "@" in shown or re.search(r"\d{3}", shown) or not re.search(r"[^\W\d]", shown)
    return "" if is_value or len(shown) > _LONGEST else shown


def quotable_names(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that a message may quote, as ``quotable`` gives them."""
    return tuple(name for name in map(quotable, names) if name)
