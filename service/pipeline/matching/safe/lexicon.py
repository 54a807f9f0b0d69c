"""Words about names and mailboxes: variants of given names, titles, legal forms, role mailboxes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from service.data import read_toml


@cache
def words(table: str) -> frozenset[str]:
    """The words of one list of ``data/names.toml``."""
    return frozenset(str(read_toml("names.toml")[table]).split())


@cache
def suffixes() -> Mapping[str, str]:
    """Suffix as written -> the generation it stands for."""
    return dict(read_toml("names.toml")["suffixes"])


@cache
def variants() -> Mapping[str, frozenset[int]]:
    """Given name -> the numbers of the sets of variants that hold it."""
    found: dict[str, set[int]] = {}
    for number, line in enumerate(read_toml("names.toml")["variants"]):
        for name in line.split():
            found.setdefault(name, set()).add(number)
    return {name: frozenset(numbers) for name, numbers in found.items()}


@cache
def known_names() -> frozenset[str]:
    """Every given and family name of the lists."""
    return frozenset(variants()) | words("given") | words("family")


def are_variants(one: str, other: str) -> bool:
    """Whether one set of variants holds both given names.

    >>> are_variants("bob", "robert"), are_variants("bob", "bill")
    (True, False)
    """
    sets = variants()
    return bool(sets.get(one, frozenset()) & sets.get(other, frozenset()))
