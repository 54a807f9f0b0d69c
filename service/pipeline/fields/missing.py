"""Which cells are missing: the words, the definition, and the same rule as a regular expression for SQL."""

from __future__ import annotations

import re

from service.data import read_toml
from service.engine.contract import BLANK

MISSING_WORDS: frozenset[str] = frozenset(read_toml("words.toml")["missing"]["words"])


def is_missing(cell: str | None) -> bool:
    """Whether a whole cell is missing: absent, blank, or one of the missing words.

    >>> [is_missing(cell) for cell in (None, "  ", "N/A", " Unknown ", "Na Li", "0")]
    [True, True, True, True, False, False]
    """
    if cell is None:
        return True
    word = cell.strip().casefold()
    return not word or word in MISSING_WORDS


# Case-folding splits the ligature "fi", a regular expression does not.
_WORDS = "|".join(re.escape(word).replace("fi", "(?:fi|\ufb01)") for word in sorted(MISSING_WORDS))
_SIGNS = "|".join(re.escape(word) for word in sorted(MISSING_WORDS) if not word.isalpha())

MISSING_CELL = f"{BLANK}*(?:{_WORDS})?{BLANK}*"
"""Regular expression, to be matched without case: a whole cell that is missing."""
MISSING_PART = f"{BLANK}*(?:{_SIGNS})?{BLANK}*"
"""The same for one part of a composed value. A part may be "Na": only empty parts and mere signs are missing."""
