"""Steps that the former definitions share."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

LONGEST_TEXT = 10_000  # Python sorts a run of combining marks in quadratic time: 200,000 of them take a minute


def visible(text: str) -> str:
    """The text without control and zero-width characters; white space stays."""
    if text.isprintable():
        return text
    return "".join(c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


def plain(text: str) -> str:
    """The text in its everyday characters (NFKC: full-width, narrow blanks …), visible ones only, trimmed.

    Repeated until it is stable: characters that an invisible one separated may now combine.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    return until_stable(lambda it: visible(unicodedata.normalize("NFKC", it)).strip(), text)


def until_stable(step: Callable[[str], str], text: str) -> str:
    """Repeat the step until it changes nothing, so that normalising the value again gives the same value.

    Some characters need a second round: ŉ, ß and İ become several others when their case changes. Ten rounds are
    far more than any text needs. Returns "" for texts above ``LONGEST_TEXT``: no text may hang the service.
    """
    for _ in range(10):
        if len(text) > LONGEST_TEXT:
            return ""
        if (after := step(text)) == text:
            break
        text = after
    return text
