"""Values that are almost the same: what two records nearly share, in words. They are no evidence for any rule."""

from __future__ import annotations

import re
import unicodedata

_MOST_COMPARED = 200
"""Longer values are not compared letter by letter."""
_FEW_DIGITS = 7


def likeness(field: str, left: str, right: str) -> str:
    """How two different values of a field are alike; empty where they are not.

    >>> likeness("email", "ann.lee@x.org", "annlee+shop@x.org"), likeness("full_name", "Ann Lee", "Lee Ann")
    ('the same but for dots or what follows a +', 'the same words in another order')
    >>> likeness("phone", "2125550101", "2125550110"), likeness("full_name", "Ann Lee", "Bob Ray")
    ('two signs are swapped', '')
    """
    return {"email": _of_emails, "phone": _of_phones, "full_name": _of_names}[field](left, right)


def _of_emails(left: str, right: str) -> str:
    (one, _, domain), (other, _, other_domain) = left.rpartition("@"), right.rpartition("@")
    if domain == other_domain and _mailbox(one) == _mailbox(other):
        return "the same but for dots or what follows a +"
    if domain != other_domain and one == other:
        return "the same before the @, at another domain"
    return _by_letters(left, right)


def _mailbox(local: str) -> str:
    return local.partition("+")[0].replace(".", "")


def _of_phones(left: str, right: str) -> str:
    one, other = re.sub(r"\D", "", left), re.sub(r"\D", "", right)
    shorter, longer = sorted((one, other), key=len)
    if one == other:
        return "the same digits, of another country"
    if len(shorter) >= _FEW_DIGITS and longer.endswith(shorter):
        return "one is the end of the other"
    return _by_letters(one, other)


def _of_names(left: str, right: str) -> str:
    one, other = _words(left), _words(right)
    if not one or not other:
        return ""
    if one == other:
        return "the same but for accents, case or punctuation"
    if sorted(one) == sorted(other):
        return "the same words in another order"
    if len(one) == len(other) and all(map(_are_alike, one, other)):
        return "one has an initial where the other has a name"
    if len(min(one, other, key=len)) > 1 and (set(one) < set(other) or set(other) < set(one)):
        return "one has a word more"
    return _by_letters(" ".join(one), " ".join(other)) or _by_last_word(one, other)


def _by_last_word(one: list[str], other: list[str]) -> str:
    return "the same last word" if one[-1] == other[-1] and len(one[-1]) > 1 else ""


def _words(name: str) -> list[str]:
    """The words of a name without case, accents and punctuation."""
    bare = "".join(it for it in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(it))
    return re.findall(r"\w+", bare)


def _are_alike(one: str, other: str) -> bool:
    """Whether two words are the same, or one is the initial of the other."""
    shorter, longer = sorted((one, other), key=len)
    return one == other or (len(shorter) == 1 and longer.startswith(shorter))


def _by_letters(left: str, right: str) -> str:
    """Whether one sign differs, is missing, or two neighbours are swapped; only in values of six signs or more."""
    if left == right or min(len(left), len(right)) < 6 or max(len(left), len(right)) > _MOST_COMPARED:
        return ""
    begin = next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    one, other = left[begin:], right[begin:]
    if one[1:] == other[1:] and one and other:
        return "one sign differs"
    if one[1:] == other or other[1:] == one:
        return "one has a sign more"
    if one[:2] == other[:2][::-1] and one[2:] == other[2:]:
        return "two signs are swapped"
    return ""
