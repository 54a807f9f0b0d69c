"""Names, by the former rules."""

from __future__ import annotations

import re
import unicodedata

from service.pipeline.fields.text import Unusable, value_of
from service.pipeline.former.missing import is_missing
from service.pipeline.former.text import until_stable, visible

PARTICLES = frozenset({"van", "von", "der", "den", "de", "da", "di", "del", "la", "le", "bin", "al"})
SUFFIXES = frozenset({"jr", "sr", "jnr", "snr", "ii", "iii", "iv", "md", "phd", "esq", "dds", "dvm", "cpa", "mba"})
# Letters and digits with their combining marks; any other character (blank, hyphen, full stop …) ends a part.
_MARKS = r"\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
# But the raised stop of a Catalan double l (Gal·la) is part of its word.
_PART = re.compile(rf"(?:[^\W_]|[{_MARKS}]|(?<=[lL])·(?=[lL]))+")
_ROMAN_NUMERALS = frozenset({"II", "III", "IV"})
_CAMEL_CASE = re.compile(r"(?:Ul+)+Ull+")


def read_name(text: str) -> str:
    """The name as it is printed: one blank between words, Title Case, inner capitals where they belong.

    Raises: Unusable (invalid_name).

    >>> [read_name(t) for t in ("john smith", "jOHN sMITH", "O'BRIEN", "mcdonald", "jean-luc", "DeVito")]
    ['John Smith', 'John Smith', "O'Brien", 'McDonald', 'Jean-Luc', 'DeVito']
    >>> read_name("Ludwig van Beethoven"), read_name("ludwig van beethoven"), read_name("Smith, John")
    ('Ludwig van Beethoven', 'Ludwig Van Beethoven', 'John Smith')
    >>> read_name("John Smith III"), read_name("JOHN SMITH III"), read_name("DİLEK"), read_name("IJsbrand")
    ('John Smith III', 'John Smith Iii', 'Dilek', 'IJsbrand')
    """
    name = until_stable(_name_once, text)
    # A missing word that invisible characters had hidden is no name. "Na", the part of a composed name, is one.
    if not name or (is_missing(name) and name.casefold() != text.strip().casefold()):
        raise Unusable("invalid_name")
    return name


def norm_name(text: str) -> str | None:
    """The name; None if it is unusable."""
    return value_of(lambda: read_name(text))


def _name_once(text: str) -> str:
    words = _last_name_last(" ".join(visible(unicodedata.normalize("NFC", text)).split())).split()
    has_capital = any(_is_capital(word[0]) for word in words)
    shown = [
        word if index and has_capital and word in PARTICLES else _PART.sub(_title_case, word)
        for index, word in enumerate(words)
    ]
    if _ends_in_a_numeral(words):
        shown[-1] = words[-1]
    return unicodedata.normalize("NFC", " ".join(shown))


def _ends_in_a_numeral(words: list[str]) -> bool:
    """John Smith III: a numeral is no word. In a name all in capitals the two look alike (Ii and Iv are names)."""
    return bool(words) and words[-1] in _ROMAN_NUMERALS and any(c.islower() for word in words for c in word)


def _last_name_last(name: str) -> str:
    """ "Last, First" as "First Last"; "Name, Jr" stays."""
    last, comma, first = (part.strip() for part in name.partition(","))
    if not (last and comma and first) or "," in first:
        return name
    if all(word.casefold().replace(".", "") in SUFFIXES for word in first.split()):
        return name
    return f"{first} {last}"


def _title_case(part: re.Match[str]) -> str:
    written = part[0]
    if _is_camel_case(written):
        return written
    lower = written.lower()
    if lower.startswith("mc") and len(lower) > 2:
        return "Mc" + _capitalised(lower[2:])
    return _capitalised(lower)


def _is_camel_case(part: str) -> bool:
    """DeVito, LaToya, JoAnn; not SmITH, JOhn: every piece has two letters, the last one three. IJsbrand too."""
    if part.islower() or part.isupper():
        return False
    if part.startswith("IJ"):  # one letter in Dutch
        part = part[1:]
        return len(part) > 2 and part[1:].islower()
    return _CAMEL_CASE.fullmatch("".join(map(_shape_of_letter, part))) is not None


def _shape_of_letter(letter: str) -> str:
    if _is_capital(letter):
        return "U"
    if letter.islower():
        return "l"
    return "" if _is_mark(letter) else "-"


def _capitalised(lower: str) -> str:
    """The first letter as a capital; marks may precede it (ʻOkina), a digit may not (3rd)."""
    for index, letter in enumerate(lower):
        if (capital := letter.title()) != letter:
            # Python's lower case of İ is an i with a second dot upon it; Turkish has one: DİLEK is Dilek.
            return lower[:index] + capital + lower[index + 1 :].replace("i\u0307", "i")
        if not _is_mark(letter):
            break
    return lower


def _is_capital(letter: str) -> bool:
    return letter.isupper() or letter.istitle()


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter) in ("Mn", "Mc", "Lm")
