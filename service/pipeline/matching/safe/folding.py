"""Folding: one spelling of a text for comparison, without case, accents, invisible marks and foreign letters."""

from __future__ import annotations

import re
import unicodedata

_LATIN = {
    **dict(zip("абвгдеёзийклмнопрстуфыэіїєґ", "abvgdeeziiklmnoprstufyeiieg", strict=True)),
    "ж": "zh",
    "х": "kh",
    "ц": "ts",
    "ч": "ch",
    "ш": "sh",
    "щ": "shch",
    "ю": "yu",
    "я": "ya",
    "ъ": "",
    "ь": "",
    **dict(zip("αβγδεζηικλμνξοπρστυφωςøłđðßıæœþ", "abgdeziiklmnxoprstufosolddsiaot", strict=True)),
    "θ": "th",
    "χ": "ch",
    "ψ": "ps",
}
"""Letter -> plain letters, for Cyrillic, Greek, and what has no accent that could be taken off."""
# One of these in a word of Latin letters only looks like a Latin letter.
_LOOK_ALIKE = {ord(a): b for a, b in zip("вкмнорстухѕјΒαοντρυ", "bkmhopctyxsjbaovtpy", strict=True)}
_FOREIGN = {ord(letter): latin for letter, latin in _LATIN.items()}
_NO_LETTER = re.compile(r"[\W_]+")
_LATIN_LETTER = re.compile("[a-z]")


def folded(text: str) -> str:
    """The words of the text in plain small letters and digits, one blank between them.

    >>> folded("  José  O'Brien-Łukasz "), folded("Владимир"), folded("Sm\\u200bith"), folded("NTONУ")
    ('jose obrien lukasz', 'vladimir', 'smith', 'ntony')
    """
    if text.isascii():
        return _NO_LETTER.sub(" ", text.lower().replace("'", "")).strip()
    text = "".join(it for it in unicodedata.normalize("NFKD", text) if unicodedata.category(it) not in {"Mn", "Cf"})
    words = _NO_LETTER.sub(" ", text.casefold().replace("'", "").replace("’", "")).split()
    return " ".join(
        (word.translate(_LOOK_ALIKE) if _LATIN_LETTER.search(word) else word).translate(_FOREIGN) for word in words
    )


def digits_of(text: str) -> str:
    """The digits 0-9 of the text."""
    return "".join(filter("0123456789".__contains__, text))
