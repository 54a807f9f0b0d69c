"""Which texts were missing, by the former rules."""

from __future__ import annotations

MISSING_WORDS = frozenset(
    ("n/a", "na", "null", "none", "nil", "nan", "-", "--", ".", "?", "unknown", "undefined", "#n/a", "#null!")
)


def is_missing(cell: str | None) -> bool:
    """Whether a whole cell is missing: absent, blank, or one of the missing words."""
    if cell is None:
        return True
    word = cell.strip().casefold()
    return not word or word in MISSING_WORDS
