"""Rarity: log2 of how frequent values are among customers, which is the chance that two strangers share them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.pipeline.matching.safe.chances import chances_of
from service.pipeline.matching.safe.compared_pairs import ComparedPairs
from service.pipeline.matching.safe.lexicon import known_names
from service.pipeline.matching.safe.outcomes import SAME
from service.pipeline.matching.safe.prepared import LOCALITIES, Column, Floats, Ints, PreparedRecords

_COPIES = 2.0
"""Up to this many other customers with a value may be copies of one that are not found yet."""
_COMMON = {"first": 1 / 30, "last": 1 / 50}
"""Chance that two strangers have one name, if the lists hold it."""
_MOST_BITS = 24.0
_STEPS = 2.0**20


@dataclass(frozen=True)
class Rarity:
    """Frequencies, as log2.

    values      for each field that of each value
    localities  sets of LOCALITIES, as bits, by distinct records: that of the values of the record in these fields
    """

    values: Sequence[Floats]
    localities: Floats

    def of(self, pairs: ComparedPairs) -> Floats:
        """Pairs by fields: the frequency of the more frequent value of both.

        A town has its postcodes and its state, so that to share all three is hardly rarer than to share the postcode:
        each locality has what it adds to those before it.
        """
        columns = pairs.prepared.columns
        found = np.zeros((len(pairs.ones), len(columns)))
        for number, values in enumerate(columns.values()):
            rarity = np.append(self.values[number], -_MOST_BITS)  # the last one: of missing values, code -1
            found[:, number] = np.maximum(rarity[values.codes[pairs.ones]], rarity[values.codes[pairs.others]])
        shared, before = np.zeros(len(pairs.ones), np.int64), np.zeros(len(pairs.ones))
        for bit, locality in enumerate(_localities(pairs.prepared)):
            number = list(columns).index(locality)
            is_same = pairs.outcomes[:, number] == SAME
            shared |= is_same.astype(np.int64) << bit
            together = np.where(is_same, self.localities[shared, pairs.ones], before)
            found[is_same, number] = (together - before)[is_same]
            before = together
        return found


def rarity_of(prepared: PreparedRecords, customers: Ints | None) -> Rarity:
    """The frequencies among customers. ``customers``: that of each distinct record; None: not known yet."""
    return Rarity(
        [_of_values(prepared, field, values, customers) for field, values in prepared.columns.items()],
        _of_localities(prepared, customers),
    )


def log2(chance: npt.ArrayLike) -> Floats:
    """The logarithm, in steps that are the same on all processors."""
    return exact(np.log2(chance))


def exact(bits: Floats) -> Floats:
    """The same bits in steps of 2⁻²⁰, because processors differ in the last digits of a logarithm. Sums are exact."""
    found: Floats = np.round(bits * _STEPS) / _STEPS
    return found


def _localities(prepared: PreparedRecords) -> list[str]:
    """The localities among the fields, from the widest on."""
    return [it for it in LOCALITIES if it in prepared.columns]


def _of_values(prepared: PreparedRecords, field: str, values: Column, customers: Ints | None) -> Floats:
    starting = chances_of(field)
    held = values.codes >= 0
    namesakes = np.bincount(values.codes[held], prepared.namesakes[held], len(values.texts))
    others, total = _others(values, customers)
    if field in _COMMON:
        # A short list does not show that a name is common.
        usual = np.where([text in known_names() for text in values.texts], _COMMON[field], starting.chance)
    else:
        usual = np.full(len(values.texts), starting.chance)
    others, total = others + namesakes, total + int(prepared.namesakes.sum())
    chance = (others + starting.pseudo) / (total + starting.pseudo / usual)
    # The pseudo-count of a field whose values are rare would hide that one of them is frequent.
    return _rare(np.maximum(chance, np.maximum(others - _COPIES, 0) / total))


def _of_localities(prepared: PreparedRecords, customers: Ints | None) -> Floats:
    """``Rarity.localities``."""
    localities = _localities(prepared)
    found = np.zeros((1 << len(localities), prepared.count))
    for chosen in range(1, len(found)):
        fields = [locality for bit, locality in enumerate(localities) if chosen >> bit & 1]
        rows = np.stack([prepared.columns[it].codes for it in fields], axis=1)
        numbers = np.unique(rows, axis=0, return_inverse=True)[1].ravel()
        values = Column(np.where((rows >= 0).all(axis=1), numbers, -1), [""] * (int(numbers.max()) + 1))
        others, total = _others(values, customers)
        usual = min(chances_of(it).chance for it in fields)
        found[chosen] = _rare((others + 1) / (total + 1 / usual))[numbers]
    return found


def _others(values: Column, customers: Ints | None) -> tuple[Floats, int]:
    """For each value how many customers have it besides the one that a record belongs to, and how many there are."""
    if customers is None:
        # Two records with a value may be one customer in two exports; of the others, half count as customers.
        return np.maximum(values.counts() - 2, 0) / 2, len(values.codes)
    held, count = values.codes >= 0, int(customers.max()) + 1
    pairs = np.unique(values.codes[held] * count + customers[held])
    counts = np.bincount(pairs // count, minlength=len(values.texts))
    return np.maximum(counts - 1, 0).astype(np.float64), len(np.unique(customers))


def _rare(chance: Floats) -> Floats:
    return np.maximum(log2(chance), -_MOST_BITS)
