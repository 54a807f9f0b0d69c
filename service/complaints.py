"""Error messages for wrong settings: what is wrong in which table or variable, never the value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from pydantic_core import ErrorDetails

_MESSAGES = {
    "missing": "{key} is missing",
    "string_pattern_mismatch": "{key} must be capitals, digits and underscores, such as LOYALTY",
    "dict_type": "{key} is a table of its own",
    "model_type": "{key} is a table of its own",
}
"""pydantic's type of an error -> our message."""


def closest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that is most similar to an unknown one, in any case; None if none is similar.

    >>> closest("Hihg", ["low", "high"]), closest("score", ["low", "high"])
    ('high', None)
    """
    spelling_of = {it.casefold(): it for it in known}
    close = get_close_matches(word.casefold(), sorted(spelling_of), n=1, cutoff=cutoff)
    return spelling_of[close[0]] if close else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown word; empty if no known word is similar."""
    close = closest(word, known)
    return f"; did you mean {close}?" if close else ""


def complaint(error: ErrorDetails, location: Sequence[int | str], keys: Iterable[str]) -> str:
    """The message for one error in a table.

    ``location``: the path from the table to the error, empty for the table itself. ``keys``: the keys that the table
    may have.
    """
    key = str(location[0]) if location else ""
    if error["type"] == "extra_forbidden":
        return f"there is no key {key!r}{suggestion(key, keys) or '; there are ' + ', '.join(keys)}"
    message = _MESSAGES.get(error["type"], "{key} {message}")
    return message.format(key=key, message=plain_message(error)).strip()


def plain_message(error: ErrorDetails) -> str:
    """pydantic's message without its prefix."""
    return error["msg"].removeprefix("Value error, ")
