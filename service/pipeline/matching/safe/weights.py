"""Weights: the evidence of a pair in bits, for one customer and against two.

For each field the chance of its outcome between records of one customer (m) stands against that between records of two
(u). u of an equal value is the frequency of the value. m is estimated from the data, by expectation and maximisation.
Two customers may be related: members of a household, people of a firm. They share addresses and numbers, so these are
evidence only against strangers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from service.pipeline.matching.safe.chances import chances_of
from service.pipeline.matching.safe.lexicon import known_names
from service.pipeline.matching.safe.outcomes import (
    LEVELS,
    MISSING,
    NEAR,
    OTHER,
    SAME,
    VARIANT,
    FieldComparison,
    Levels,
    blocks,
)
from service.pipeline.matching.safe.prepared import NAMES, PLACES, Ints, PreparedRecords

Floats = npt.NDArray[np.float64]
_LEAST_POPULATION = 3_000
"""Fewer records do not make two of them more alike."""
_RELATED = -1.0
"""Bits: one pair of relatives for two pairs of one customer."""
_STRENGTH = 60.0
"""So many pairs the fixed table counts for."""
_PAIRS_TO_CONTRADICT = 1000.0
_EXPECTED = 0.5
"""Pairs of one customer, for each record."""
_STRENGTH_APART = 400.0
_COMMON = {"first": 1 / 30, "last": 1 / 50}
"""Chance that two strangers have one name, if the lists hold it."""
_RANDOM_PAIRS = 100_000
BESIDE_FIELDS = ("prior", "relatives", "names_alone")
"""What a weight is made of beside the fields: see ``Weights.parts``."""
_NAMES_ALONE = 0.5
"""Bits against a pair of nothing but names and places, which go together in families and countries."""
_ROUNDS = 8
_MOST_BITS_OF_A_VALUE = 24.0
_STEPS = 2.0**20


@dataclass(frozen=True)
class ComparedPairs:
    """Pairs of distinct records, and their outcomes by field."""

    prepared: PreparedRecords
    ones: Ints
    others: Ints
    levels: Levels

    def blocks(self) -> Iterator[tuple[slice, ComparedPairs]]:
        """The pairs in blocks, and where each lies."""
        for block in blocks(len(self.ones)):
            yield block, ComparedPairs(self.prepared, self.ones[block], self.others[block], self.levels[block])


@dataclass(frozen=True)
class Weights:
    """What outcomes weigh, in bits.

    same     fields by outcomes: log2 of m; 0 where missing
    apart    fields by outcomes: log2 of u, of all but SAME
    related  fields by outcomes: log2 of the chance between relatives
    rarity   field -> log2 of the frequency of each value
    prior    log2 of the odds that a pair of any records is one customer
    """

    same: Floats
    apart: Floats
    related: Floats
    rarity: Sequence[Floats]
    prior: float

    def of(self, pairs: ComparedPairs) -> Floats:
        """log2 of the odds that each pair is one customer."""
        found = np.empty(len(pairs.ones))
        for at, block in pairs.blocks():
            found[at] = self.parts(block).sum(axis=1)
        return found

    def parts(self, pairs: ComparedPairs) -> Floats:
        """Pairs by fields and ``BESIDE_FIELDS``: bits, which sum up to ``of``."""
        levels, rarity = pairs.levels, self._rarity_of(pairs)
        prior = np.full(len(levels), self.prior)
        has_more = (levels[:, _own_fields(pairs.prepared)] != MISSING).any(axis=1)
        names_alone = np.where(has_more, 0.0, -_NAMES_ALONE)
        return np.column_stack((self._by_field(levels, rarity), prior, -self._against(levels, rarity), names_alone))

    def _by_field(self, levels: Levels, rarity: Floats) -> Floats:
        """Pairs by fields: bits for one customer, against strangers."""
        fields = np.arange(levels.shape[1])
        equal, unequal = self.same[fields, SAME] - rarity, (self.same - self.apart)[fields, levels]
        # A value that is almost the same is no better evidence than the same one: "smyth" is as common as "smith".
        unequal = np.where((levels == VARIANT) | (levels == NEAR), np.minimum(unequal, equal), unequal)
        return np.where(levels == SAME, equal, unequal)

    def _against(self, levels: Levels, rarity: Floats) -> Floats:
        """log2 of 1 and the odds that the two are related rather than strangers."""
        fields = np.arange(levels.shape[1])
        equal = np.maximum(self.related[fields, SAME] - rarity, 0.0)
        bits = np.where(levels == SAME, equal, (self.related - self.apart)[fields, levels])
        return _exact(np.logaddexp2(0.0, bits.sum(axis=1) + self.prior + _RELATED))

    def _rarity_of(self, pairs: ComparedPairs) -> Floats:
        """Pairs by fields: log2 of the frequency of the more frequent value of both."""
        found = np.zeros((len(pairs.ones), len(self.rarity)))
        for number, values in enumerate(pairs.prepared.columns.values()):
            rarity = np.append(self.rarity[number], -_MOST_BITS_OF_A_VALUE)  # the last one: of missing values, code -1
            found[:, number] = np.maximum(rarity[values.codes[pairs.ones]], rarity[values.codes[pairs.others]])
        return found


def _own_fields(prepared: PreparedRecords) -> list[int]:
    """The fields whose values few people share."""
    return [number for number, field in enumerate(prepared.columns) if field not in (*NAMES, *PLACES)]


def first_weights(comparison: FieldComparison) -> Weights:
    """The weights by the fixed table and the frequencies of values; of other outcomes, by pairs of any two records."""
    same = np.zeros((len(comparison.fields), LEVELS))
    for number, field in enumerate(comparison.fields):
        same[number, SAME:] = _log2(chances_of(field).of_one)
    apart, related = _between_two(comparison, np.arange(comparison.prepared.count))
    population = max(comparison.prepared.count, _LEAST_POPULATION)
    return Weights(same, apart, related, _rarity(comparison.prepared, None), float(_log2(_EXPECTED / population)))


def with_customers(weights: Weights, comparison: FieldComparison, customers: Ints) -> Weights:
    """The same weights with frequencies among customers: of values, and of outcomes between two of them.

    Among pairs of records, those of one customer would make agreement look usual between two.

    In: customers  the customer of each distinct record, as far as they are found
    """
    apart, related = _between_two(comparison, customers)
    return replace(weights, rarity=_rarity(comparison.prepared, customers), apart=apart, related=related)


def _between_two(comparison: FieldComparison, customers: Ints) -> tuple[Floats, Floats]:
    """``Weights.apart`` and ``Weights.related``."""
    levels = _of_any_two(comparison, customers)
    apart = np.zeros((len(comparison.fields), LEVELS))
    related = apart.copy()
    for number, field in enumerate(comparison.fields):
        starting = chances_of(field)
        apart[number] = _apart(starting.of_two, levels[:, number])
        related[number] = _related(starting.related, apart[number])
    return apart, related


def estimated(weights: Weights, pairs: ComparedPairs) -> Weights:
    """The weights with m and the prior by the pairs: each counts for as much as it is likely to be one customer."""
    records = pairs.prepared.count
    for _ in range(_ROUNDS):
        likely = 1 / (1 + np.exp2(-np.clip(weights.of(pairs), -40, 40)))
        same = weights.same.copy()
        for number, field in enumerate(pairs.prepared.columns):
            counts = np.bincount(pairs.levels[:, number], weights=likely, minlength=LEVELS)[SAME:]
            # A few pairs must not teach that contradictions are usual: these pairs may be two customers.
            counts[-1] *= counts.sum() / (counts.sum() + _PAIRS_TO_CONTRADICT)
            chances = counts + _STRENGTH * np.array(chances_of(field).of_one)
            same[number, SAME:] = _log2(chances / chances.sum())
        matches = (float(likely.sum()) + _EXPECTED * _STRENGTH) / (records + _STRENGTH)
        weights = replace(weights, same=same, prior=float(_log2(matches / max(records, _LEAST_POPULATION))))
    return weights


def _log2(chance: npt.ArrayLike) -> Floats:
    return _exact(np.log2(chance))


def _exact(bits: Floats) -> Floats:
    """The same bits in steps of 2⁻²⁰, because processors differ in the last digits of a logarithm. Sums are exact."""
    found: Floats = np.round(bits * _STEPS) / _STEPS
    return found


def _of_any_two(comparison: FieldComparison, customers: Ints) -> Levels:
    """Outcomes of a sample of pairs of two customers, the same in each run."""
    count = comparison.prepared.count
    draw = np.random.Generator(np.random.PCG64(1))
    pairs = min(_RANDOM_PAIRS, count * (count - 1) // 2)
    ones, others = draw.integers(0, count, pairs), draw.integers(0, max(count, 1), pairs)
    are_two = customers[ones] != customers[others]
    return comparison.of(ones[are_two], others[are_two])


def _apart(starting: Sequence[float], levels: Levels) -> Floats:
    counts = np.bincount(levels, minlength=LEVELS)[VARIANT:]
    chances = counts + _STRENGTH_APART * np.array(starting) / sum(starting)
    found = np.zeros(LEVELS)
    found[VARIANT:] = _log2(chances / chances.sum())
    return found


def _related(starting: Sequence[float] | None, apart: Floats) -> Floats:
    found = apart.copy()
    if starting is not None:
        found[SAME : NEAR + 1] = np.maximum(_log2(starting), np.append(-99.0, apart[VARIANT : NEAR + 1]))
        found[OTHER:] += _log2(1 - sum(starting))
    else:
        found[SAME] = -99.0
    return found


def _rarity(prepared: PreparedRecords, customers: Ints | None) -> list[Floats]:
    found = []
    for field, values in prepared.columns.items():
        starting = chances_of(field)
        held = values.codes >= 0
        namesakes = np.bincount(values.codes[held], prepared.namesakes[held], len(values.texts))
        if customers is None:
            others, total = np.maximum(values.counts() - 2, 0) / 2, prepared.count
        else:
            pairs = np.unique(values.codes[held] * (int(customers.max()) + 1) + customers[held])
            counts = np.bincount(pairs // (int(customers.max()) + 1), minlength=len(values.texts))
            others, total = np.maximum(counts - 1, 0).astype(np.float64), len(np.unique(customers))
        if field in _COMMON:
            # A short list does not show that a name is common.
            usual = np.where([text in known_names() for text in values.texts], _COMMON[field], starting.chance)
        else:
            usual = np.full(len(values.texts), starting.chance)
        chance = (others + namesakes + starting.pseudo) / (total + prepared.namesakes.sum() + starting.pseudo / usual)
        found.append(np.maximum(_log2(chance), -_MOST_BITS_OF_A_VALUE))
    return found
