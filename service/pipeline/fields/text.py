"""Steps that the definitions of several fields share, and how a definition refuses a value."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from service.printable import bounded

LONGEST_TEXT = 10_000  # Python sorts a run of combining marks in quadratic time: 200,000 of them take a minute


class Unusable(ValueError):
    """The cell has a text, but none that its column can hold. Carries the reason, never the value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def value_of(read: Callable[[], str]) -> str | None:
    """The value that ``read`` returns; None if it is unusable."""
    try:
        return read()
    except Unusable:
        return None


def reason_of(read: Callable[[], str]) -> str | None:
    """The reason why the value of ``read`` is unusable; None if it is usable."""
    try:
        read()
    except Unusable as unusable:
        return unusable.reason
    return None


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
        text = bounded(text)
        if (after := step(text)) == text:
            break
        text = after
    return text
