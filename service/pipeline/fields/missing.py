"""Which cells are missing: the words, the definition, and the same rule as a regular expression for SQL."""

from __future__ import annotations

import re

from service.data import read_toml
from service.engine.contract import BLANK
from service.pipeline.fields.text import compiled
from service.readers.rows import BOOLEAN_MARK

MISSING_WORDS: frozenset[str] = frozenset(word.casefold() for word in read_toml("words.toml")["missing"]["words"])
_NOT_A_PART = frozenset({"n/a", "#n/a"})

# Case-folding splits the ligature "fi", a regular expression does not.
_WORDS = "|".join(
    re.escape(word).replace("fi", "(?:fi|\ufb01)") for word in sorted(MISSING_WORDS, key=len, reverse=True)
)
BOOLEAN = f"{BOOLEAN_MARK}(?:true|false)"
"""Regular expression, to be matched without case: a truth value, as the readers write it."""
_WORD = f"(?:{_WORDS}|{BOOLEAN}|#{{3,}})"  # a column too narrow for its number is printed as ###

MISSING_CELL = f"{BLANK}*{_WORD}?{BLANK}*"
"""Regular expression, to be matched without case: a whole cell that is missing."""
MISSING_NAME = f"(?:{BLANK}|,)*(?:{_WORD}(?:{BLANK}|,)+)*{_WORD}?(?:{BLANK}|,)*"
"""The same: a name whose words are all missing words. Only other words make a name: Na Li, Jennifer Null."""
MISSING_PART = f"{BLANK}*(?:{'|'.join([*sorted(_NOT_A_PART), BOOLEAN])}){BLANK}*"
"""The same: a part of a composed name that says nothing although it has letters."""

# The beginning alone shows of nearly all cells that they are not missing.
_FIRST_CHARACTERS = "".join(sorted({BOOLEAN_MARK, "#", "\ufb01", *(word[0] for word in MISSING_WORDS)}))
_MAY_BE_MISSING = compiled(rf"(?:{BLANK}|,)*(?:[{re.escape(_FIRST_CHARACTERS)}]|\Z)", re.IGNORECASE)
_IS_MISSING = compiled(MISSING_CELL, re.IGNORECASE)
_IS_MISSING_NAME = compiled(MISSING_NAME, re.IGNORECASE)
_IS_MISSING_PART = compiled(MISSING_PART, re.IGNORECASE)


def is_missing(cell: str | None) -> bool:
    """Whether a whole cell is missing: absent, blank, or one of the missing words.

    >>> [is_missing(cell) for cell in (None, "  ", "N/A", " Unknown ", "####", "Na Li", "0")]
    [True, True, True, True, True, False, False]
    """
    return cell is None or bool(_MAY_BE_MISSING.match(cell) and _IS_MISSING.fullmatch(cell))


def is_missing_name(name: str | None) -> bool:
    """Whether every word of a name is a missing word, so that nothing names a person.

    >>> [is_missing_name(name) for name in ("NULL NULL", ", Unknown", "Na", "Na Li", "Jennifer Null")]
    [True, True, True, False, False]
    """
    return name is None or bool(_MAY_BE_MISSING.match(name) and _IS_MISSING_NAME.fullmatch(name))


def is_missing_part(part: str | None) -> bool:
    """Whether one part of a composed name is left out: absent, without a letter, or "n/a". A part may be "Na".

    >>> [is_missing_part(part) for part in (None, " - ", "#N/A", "Na", "Null")]
    [True, True, True, False, False]
    """
    return part is None or not any(map(str.isalpha, part)) or _IS_MISSING_PART.fullmatch(part) is not None


def is_missing_cell_sql(cell: str) -> str:
    """SQL: ``is_missing`` of a text."""
    return f"regexp_full_match({cell}, '(?i){MISSING_CELL}')"


def is_missing_part_sql(part: str) -> str:
    """SQL: ``is_missing_part`` of a text."""
    return rf"regexp_full_match({part}, '(?i){MISSING_PART}|\PL*')"


def is_missing_name_sql(name: str) -> str:
    """SQL: ``is_missing_name`` of a text."""
    return f"regexp_full_match({name}, '(?i){MISSING_NAME}')"
