"""Steps that the definitions of several fields share, and how a definition refuses a value."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from html.entities import html5

from service.engine.contract import BLANK
from service.printable import bounded

LONGEST_TEXT = 10_000  # no value is longer, and a step may take quadratic time
LONGEST_CACHED, MOST_CACHED = 64, 1 << 16
"""A word of at most so many characters is kept with its result, for so many words: most words of an export recur."""
_ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_NESTED_ENTITY = re.compile("&(?:amp;)+", re.IGNORECASE)


def compiled(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """A regular expression that is written for SQL, for Python."""
    return re.compile(pattern.replace(BLANK, r"\s"), flags)


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
    return until_stable(_plain_once, text)


def _plain_once(text: str) -> str:
    return visible(unicodedata.normalize("NFKC", text)).strip()


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


def without_entities(text: str) -> str:
    """The text with HTML entities that are closed by ";" resolved, again and again until there is none.

    Names of entities in another case count too, because exports are often changed to capitals: ``&AMP;``.

    >>> without_entities("O&#039;Neil &amp;amp; Sons"), without_entities("AT&T; R&D"), without_entities("&EACUTE;")
    ("O'Neil & Sons", 'AT&T; R&D', 'é')
    """
    while "&" in text and (after := _ENTITY.sub(_resolved, _NESTED_ENTITY.sub("&", text))) != text:
        text = after  # each round is shorter
    return text


def _resolved(entity: re.Match[str]) -> str:
    name = entity[1]
    if name.startswith("#"):
        return html.unescape(entity[0])
    return html5.get(f"{name};") or html5.get(f"{name.lower()};") or entity[0]
