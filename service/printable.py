"""Text from outside, made harmless: as one line that can be printed and logged, and bounded before it is normalised."""

from __future__ import annotations

import re
import unicodedata

_FIRST_BYTE, _LAST_BYTE, _OFFSET = "\udc80", "\udcff", 0xDC00
LONGEST_RUN = 30
"""No script puts more combining marks on one letter; Unicode's "stream-safe" texts have the same limit."""
_MAY_BE_A_LONGER_RUN = re.compile(rf"\W{{{LONGEST_RUN + 1}}}")  # no combining mark is part of a word, for Python


def printable(text: str) -> str:
    """The text with an escape for each character that is not printable.

    Those are line breaks, terminal escapes (C0, C1), marks that reorder text (bidi), invisible characters, blanks that
    look like a space, and the bytes of a file name that is not UTF-8. What is printable stays.

    >>> printable("a\\x1b[2J\\u202eb\\udcff"), printable("Zo\\xeb 1")
    ('a\\\\x1b[2J\\\\u202eb\\\\xff', 'Zo\\xeb 1')
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def printable_lines(text: str) -> str:
    """As ``printable``, for a text of several lines: its line breaks stay."""
    return "\n".join(map(printable, text.split("\n")))


def _escape(char: str) -> str:
    if _FIRST_BYTE <= char <= _LAST_BYTE:
        return f"\\x{ord(char) - _OFFSET:02x}"
    return char.encode("unicode_escape").decode("ascii")


def bounded(text: str) -> str:
    """The text without the combining marks beyond the first ``LONGEST_RUN`` of a run.

    To normalise a text sorts each run, in quadratic time: 200,000 marks take a minute.
    """
    if len(text) <= LONGEST_RUN or text.isascii() or not _MAY_BE_A_LONGER_RUN.search(text):
        return text
    kept: list[str] = []
    run = 0
    for char in text:
        run = run + 1 if unicodedata.combining(char) else 0
        if run <= LONGEST_RUN:
            kept.append(char)
    return text if len(kept) == len(text) else "".join(kept)
