"""Names as they are compared: first name, last name, generation."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from service.pipeline.matching.safe.folding import folded
from service.pipeline.matching.safe.lexicon import suffixes, words

_EAST_ASIAN = re.compile("[\u4e00-\u9fff\uac00-\ud7a3]{2,4}")
_EAST_ASIAN_FOLDED = re.compile("[\u4e00-\u9fff\u1100-\u11ff]+")


class PersonName(NamedTuple):
    """The compared parts of a name; a firm has only a last name. Empty: missing."""

    first: str
    last: str
    generation: str = ""
    is_firm: bool = False


def person_name(name: str | None, first: str | None = None, last: str | None = None) -> PersonName:
    """The parts of a name that is written as one, or apart, which is preferred.

    >>> tuple(person_name("Dr. Robert J. Smith Jr.")), tuple(person_name(None, "Ann", "Lee"))
    (('robert', 'j smith', 'jr', False), ('ann', 'lee', '', False))
    >>> tuple(person_name("Acme, Inc.")), tuple(person_name(None, None, "Acme, Inc."))
    (('', 'acme', '', True), ('', 'acme', '', True))
    """
    if first or last:
        given, _ = _without_generation(_words(first))
        family, generation = _without_generation(_words(last))
        return (
            PersonName(" ".join(given), " ".join(family), generation)
            if given or not _is_firm(family)
            else _firm(family)
        )
    parts = _words(name)
    if len(parts) == 1 and _EAST_ASIAN.fullmatch(whole := unicodedata.normalize("NFC", (name or "").strip())):
        return _family_first(whole)
    if _is_firm(parts):
        return _firm(parts)
    parts, generation = _without_generation(parts)
    if len(parts) < 2:
        return PersonName("", " ".join(parts), generation)
    return PersonName(parts[0], " ".join(parts[1:]), generation)


def is_east_asian(name: str) -> bool:
    """Whether a folded name is of Chinese or Korean letters, of which one or two are a whole name."""
    return _EAST_ASIAN_FOLDED.fullmatch(name) is not None


def _family_first(name: str) -> PersonName:
    """
    >>> tuple(_family_first("王伟"))[:2], tuple(_family_first("欧阳娜娜"))[:2]
    (('伟', '王'), ('娜娜', '欧阳'))
    """
    family = 2 if len(name) > 3 else 1
    return PersonName(folded(name[family:]), folded(name[:family]))


def _is_firm(parts: list[str]) -> bool:
    return any(it in words("legal_forms") for it in parts[1:]) or not words("firms").isdisjoint(parts)


def _firm(parts: list[str]) -> PersonName:
    return PersonName("", " ".join(it for it in parts if it not in words("legal_forms")), is_firm=True)


def _words(text: str | None) -> list[str]:
    found = folded(text or "").split()
    while len(found) > 1 and found[0] in words("titles"):
        del found[0]
    return found


def _without_generation(parts: list[str]) -> tuple[list[str], str]:
    generations = suffixes()
    if len(parts) > 1 and parts[-1] in generations:
        return parts[:-1], generations[parts[-1]]
    return parts, ""
