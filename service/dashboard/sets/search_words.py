"""The text of a search as conditions on the customer master: every word must occur somewhere in a customer.

Parts of words count; case, accents and the punctuation of phones do not. Measured on a million customers: a regular
expression with the accented forms of each letter takes half the time of removing the accents of all names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

from service.pipeline.fields.phone import phone_as_printed, read_phone
from service.pipeline.fields.text import Unusable

MOST_WORDS = 8
_UNIFIED_ID = re.compile(r"(?:(?:(?:C?U)?S)?T)?[0-9]+")
_WHOLE_UNIFIED_ID = re.compile(r"CUST[0-9]{3,18}")
_PHONE = re.compile(r"[+(]*[0-9][0-9()./+\-]*|\([0-9]+\)[0-9()./\-]*")
_ACCENTS = "[\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u2de0-\u2dff]*"
"""Accents that are characters of their own. The marks of all scripts would make a pattern of a thousand states."""
_SPELT = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"})
_SIGNS = {"'": "’‘ʼ`´", "-": "‐‑–"}
"""Characters that are written for one another in names."""
_LETTERS = (
    range(0x41, 0x5B),
    range(0x80, 0x3000),
    range(0xA640, 0xA800),
    range(0xAB53, 0xABC0),
    range(0x10400, 0x10600),
)
"""Where letters are that have a case or accents; few scripts have either."""

IdsOf = Callable[[str], Sequence[str]]
"""The unified ids of the customers that have a record with this id in its source."""


@dataclass(frozen=True)
class Condition:
    """An SQL condition, and the values of its parameters in order."""

    sql: str
    parameters: tuple[Any, ...] = ()


def joined(conditions: Iterable[Condition], word: str) -> Condition:
    """The conditions with ``and`` or ``or`` between them; there is at least one."""
    parts = tuple(conditions)
    return Condition(
        f"({f' {word} '.join(part.sql for part in parts)})", tuple(it for part in parts for it in part.parameters)
    )


def conditions_of(text: str, region: str, ids_of: IdsOf) -> list[Condition]:
    """A condition for each of the first words of ``text``; numbers in a row may also be parts of one phone."""
    words = unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode()).split()[:MOST_WORDS]
    found: list[tuple[int, Condition]] = []
    for is_number, several in groupby(words, lambda word: _PHONE.fullmatch(word) is not None):
        group = list(several)
        if is_number:
            each = joined((_of_word(word, ids_of) for word in group), "and")
            found.append((sum(map(len, group)), joined((_of_phone(" ".join(group), region), each), "or")))
        else:
            found += [(len(word), _of_word(word, ids_of)) for word in group]
    # Long words rule out most, and come first: the others are tested on what is left.
    return [condition for _, condition in sorted(found, key=lambda it: -it[0])]


def unified_ids_in(text: str) -> list[str]:
    """The words of ``text`` that are whole unified ids."""
    words = text.upper().split()[:MOST_WORDS]
    return [word for word in words if _WHOLE_UNIFIED_ID.fullmatch(word)]


def _of_phone(text: str, region: str) -> Condition:
    """Its digits within a phone, or the number that it is, as it is printed."""
    numbers = [re.sub(r"[^0-9]", "", text)]
    try:
        printed = phone_as_printed(read_phone(text, region), region)
    except Unusable:
        printed = numbers[0]
    return joined((Condition("contains(phone, ?)", (it,)) for it in dict.fromkeys([*numbers, printed])), "or")


def _of_word(word: str, ids_of: IdsOf) -> Condition:
    if "@" in word:
        return joined(_in_email(word), "or")
    parts = [_in_name(word), *_in_email(word)]
    if _UNIFIED_ID.fullmatch(word.upper()):
        parts.append(Condition("contains(unified_id, ?)", (word.upper(),)))
    if ids := tuple(ids_of(word)):
        parts.append(Condition(f"unified_id in ({', '.join('?' * len(ids))})", ids))
    return joined(parts, "or")


def _in_email(word: str) -> Iterator[Condition]:
    """Addresses are published in lower case; few have letters beyond ASCII."""
    yield Condition("contains(email, ?)", (word.lower(),))
    if any(character.isalpha() for character in word):
        yield Condition("(strlen(email) <> length(email) and regexp_matches(email, ?))", (pattern_of(word),))


def _in_name(word: str) -> Condition:
    if not any(character.isalpha() for character in word):
        return Condition("contains(full_name, ?)", (word,))
    pattern = Condition("regexp_matches(full_name, ?)", (pattern_of(word),))
    digits = max(re.findall(r"[0-9]+", word), key=len, default="")
    # Few names have digits, and a text is found in a third of the time of a pattern.
    return joined((Condition("contains(full_name, ?)", (digits,)), pattern), "and") if digits else pattern


def folded(text: str) -> str:
    """The text without case and accents.

    >>> folded("Łódź O’BRIEN-Weiß")
    "lodz o'brien-weiss"
    """
    bare: list[str] = []
    for character in unicodedata.normalize("NFD", text.casefold()):
        if not unicodedata.combining(character) or not (_is_accent(character) or _has_marks(bare[-1:])):
            bare.append(character)
    found = unicodedata.normalize("NFC", "".join(bare)).translate(_SPELT)
    for sign, others in _SIGNS.items():
        found = found.translate(dict.fromkeys(map(ord, others), sign))
    return found


def _is_accent(character: str) -> bool:
    return re.fullmatch(_ACCENTS, character) is not None


def _has_marks(letter: Sequence[str]) -> bool:
    """Whether it is of a script without cases: its marks are vowel signs, which may be left out."""
    return bool(letter) and unicodedata.category(letter[0]) == "Lo"


def pattern_of(word: str) -> str:
    """A regular expression for the word in any case, with any accents.

    Between letters there may be marks: not every letter with its accents is one character, and the vowel signs of
    Arabic and the like are often left out.

    >>> pattern_of(".")
    '\\\\.'
    """
    text, parts, at = folded(word), [], 0
    while at < len(text):
        both = text[at : at + 2]
        if len(both) == 2 and both in _forms():
            parts.append(f"(?:{_one_of(both[0])}{_ACCENTS}{_one_of(both[1])}|[{_forms()[both]}])")
            at += 2
        else:
            parts.append(_one_of(text[at]))
            at += 1
    return _ACCENTS.join(parts)


def _one_of(character: str) -> str:
    others = _forms().get(character, "")
    one = re.escape(character) if character.isascii() else character
    marks = r"\p{M}*" if _has_marks(character) else ""
    return f"[{one}{others}]{marks}" if others else f"{one}{marks}"


@cache
def _forms() -> dict[str, str]:
    """A character, or two -> the others that become it, or them, when they are folded."""
    forms: dict[str, list[str]] = {sign: list(others) for sign, others in _SIGNS.items()}
    for number in (number for numbers in _LETTERS for number in numbers):
        character = chr(number)
        if (base := folded(character)) != character and base:
            forms.setdefault(base, []).append(character)
    return {base: "".join(others) for base, others in forms.items()}
