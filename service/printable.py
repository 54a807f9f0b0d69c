"""Text from outside as one harmless line: for everything that is printed, logged or written for people."""

from __future__ import annotations

_FIRST_BYTE, _LAST_BYTE, _OFFSET = "\udc80", "\udcff", 0xDC00


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
