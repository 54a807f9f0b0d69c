"""Weights of pairs in bits, by the model of Fellegi and Sunter (1969).

An outcome weighs log2(m / u): m is its chance between two records of one customer, u between records of two. u of an
equal value is the frequency of that value. m is estimated by expectation maximisation. Two customers may also be
relatives (one household or firm), who share addresses and numbers: the weight is against strangers and relatives
together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from service.pipeline.matching.safe.chances import chances_of
from service.pipeline.matching.safe.lexicon import known_names
from service.pipeline.matching.safe.outcomes import (
    DIFFERENT,
    MISSING,
    NEAR,
    OUTCOMES,
    SAME,
    VARIANT,
    FieldComparison,
    Outcomes,
    blocks,
)
from service.pipeline.matching.safe.prepared import NAMES, PLACES, Floats, Ints, PreparedRecords

_LEAST_POPULATION = 3_000
"""Fewer records do not make two of them more alike."""
_RELATED = -1.0
"""log2 of the pairs of relatives for each pair of one customer."""
_STRENGTH = 60.0
"""Pseudo-count of the starting chances of m, in pairs, and of ``_EXPECTED``, in records."""
_STRENGTH_APART = 400.0
"""The same for u."""
_PAIRS_TO_CONTRADICT = 1000.0
"""With this many expected pairs of one customer, half of the observed contradictions count."""
_EXPECTED = 0.5
"""Pairs of one customer, for each record."""
_COMMON = {"first": 1 / 30, "last": 1 / 50}
"""Chance that two strangers have one name, if the lists hold it."""
_RANDOM_PAIRS = 100_000
BESIDE_FIELDS = ("prior", "relatives", "names_alone")
"""What a weight is made of beside the fields: see ``Weights.parts``."""
_NAMES_ALONE = 0.5
"""Bits against a pair of nothing but names and places, which go together in families and countries."""
_ROUNDS = 8
"""Rounds of expectation maximisation."""
_IMPOSSIBLE = -99.0
"""log2 of a chance of zero."""
_MOST_BITS_OF_A_VALUE = 24.0
_STEPS = 2.0**20


@dataclass(frozen=True)
class ComparedPairs:
    """Pairs of distinct records, and their outcomes by field."""

    prepared: PreparedRecords
    ones: Ints
    others: Ints
    outcomes: Outcomes

    def blocks(self) -> Iterator[tuple[slice, ComparedPairs]]:
        """The pairs in blocks, and where each lies."""
        for block in blocks(len(self.ones)):
            yield block, ComparedPairs(self.prepared, self.ones[block], self.others[block], self.outcomes[block])


@dataclass(frozen=True)
class Weights:
    """What outcomes weigh, in bits.

    log_m        fields by outcomes: log2 of m; 0 where missing
    log_u        fields by outcomes: log2 of u, of all but SAME
    log_related  fields by outcomes: log2 of the chance between relatives
    rarity       for each field log2 of the frequency of each value
    prior        log2 of the odds that a pair of any records is one customer
    """

    log_m: Floats
    log_u: Floats
    log_related: Floats
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
        outcomes, rarity = pairs.outcomes, self._rarity_of(pairs)
        prior = np.full(len(outcomes), self.prior)
        has_more = (outcomes[:, _own_fields(pairs.prepared)] != MISSING).any(axis=1)
        names_alone = np.where(has_more, 0.0, -_NAMES_ALONE)
        return np.column_stack(
            (self._by_field(outcomes, rarity), prior, -self._relatives(outcomes, rarity), names_alone)
        )

    def _by_field(self, outcomes: Outcomes, rarity: Floats) -> Floats:
        """Pairs by fields: bits for one customer, against strangers."""
        fields = np.arange(outcomes.shape[1])
        equal, unequal = self.log_m[fields, SAME] - rarity, (self.log_m - self.log_u)[fields, outcomes]
        # A value that is almost the same is no better evidence than the same one: "smyth" is as common as "smith".
        unequal = np.where((outcomes == VARIANT) | (outcomes == NEAR), np.minimum(unequal, equal), unequal)
        return np.where(outcomes == SAME, equal, unequal)

    def _relatives(self, outcomes: Outcomes, rarity: Floats) -> Floats:
        """What relatives take off the weight: log2(1 + the odds of relatives against strangers)."""
        fields = np.arange(outcomes.shape[1])
        equal = np.maximum(self.log_related[fields, SAME] - rarity, 0.0)
        bits = np.where(outcomes == SAME, equal, (self.log_related - self.log_u)[fields, outcomes])
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
    """m by the starting chances, u by the frequencies of values; of other outcomes, by pairs of any two records."""
    log_m = np.zeros((len(comparison.fields), OUTCOMES))
    for number, field in enumerate(comparison.fields):
        log_m[number, SAME:] = _log2(chances_of(field).of_one)
    log_u, log_related = _between_two(comparison, np.arange(comparison.prepared.count))
    population = max(comparison.prepared.count, _LEAST_POPULATION)
    prior = float(_log2(_EXPECTED / population))
    return Weights(log_m, log_u, log_related, _rarity(comparison.prepared, None), prior)


def with_customers(weights: Weights, comparison: FieldComparison, customers: Ints) -> Weights:
    """The weights with u by customers: the frequencies of values among them, and of outcomes between two of them.

    Among pairs of records, those of one customer would make agreement look usual between two.

    In: customers  the customer of each distinct record, as far as they are found
    """
    log_u, log_related = _between_two(comparison, customers)
    return replace(weights, rarity=_rarity(comparison.prepared, customers), log_u=log_u, log_related=log_related)


def _between_two(comparison: FieldComparison, customers: Ints) -> tuple[Floats, Floats]:
    """``Weights.log_u`` and ``Weights.log_related``."""
    outcomes = _of_any_two(comparison, customers)
    log_u = np.zeros((len(comparison.fields), OUTCOMES))
    log_related = log_u.copy()
    for number, field in enumerate(comparison.fields):
        starting = chances_of(field)
        log_u[number] = _log_u(starting.of_two, outcomes[:, number])
        log_related[number] = _log_related(starting.related, log_u[number])
    return log_u, log_related


def estimated(weights: Weights, pairs: ComparedPairs) -> Weights:
    """The weights with m and the prior estimated from ``pairs``, each of which counts as its posterior."""
    records = pairs.prepared.count
    for _ in range(_ROUNDS):
        posterior = 1 / (1 + np.exp2(-np.clip(weights.of(pairs), -40, 40)))
        log_m = weights.log_m.copy()
        for number, field in enumerate(pairs.prepared.columns):
            counts = np.bincount(pairs.outcomes[:, number], weights=posterior, minlength=OUTCOMES)[SAME:]
            # A few pairs must not teach that contradictions are usual: these pairs may be two customers.
            counts[-1] *= counts.sum() / (counts.sum() + _PAIRS_TO_CONTRADICT)
            chances = counts + _STRENGTH * np.array(chances_of(field).of_one)
            log_m[number, SAME:] = _log2(chances / chances.sum())
        matches_per_record = (float(posterior.sum()) + _EXPECTED * _STRENGTH) / (records + _STRENGTH)
        prior = float(_log2(matches_per_record / max(records, _LEAST_POPULATION)))
        weights = replace(weights, log_m=log_m, prior=prior)
    return weights


def _log2(chance: npt.ArrayLike) -> Floats:
    return _exact(np.log2(chance))


def _exact(bits: Floats) -> Floats:
    """The same bits in steps of 2⁻²⁰, because processors differ in the last digits of a logarithm. Sums are exact."""
    found: Floats = np.round(bits * _STEPS) / _STEPS
    return found


def _of_any_two(comparison: FieldComparison, customers: Ints) -> Outcomes:
    """Outcomes of a sample of pairs of records of two customers; the same sample in each run."""
    count = comparison.prepared.count
    draw = np.random.Generator(np.random.PCG64(1))
    pairs = min(_RANDOM_PAIRS, count * (count - 1) // 2)
    ones, others = draw.integers(0, count, pairs), draw.integers(0, count, pairs)
    are_two = customers[ones] != customers[others]
    return comparison.of(ones[are_two], others[are_two])


def _log_u(starting: Sequence[float], outcomes: Outcomes) -> Floats:
    counts = np.bincount(outcomes, minlength=OUTCOMES)[VARIANT:]
    chances = counts + _STRENGTH_APART * np.array(starting) / sum(starting)
    found = np.zeros(OUTCOMES)
    found[VARIANT:] = _log2(chances / chances.sum())
    return found


def _log_related(starting: Sequence[float] | None, log_u: Floats) -> Floats:
    found = log_u.copy()
    if starting is not None:
        found[SAME : NEAR + 1] = np.maximum(_log2(starting), np.append(_IMPOSSIBLE, log_u[VARIANT : NEAR + 1]))
        found[DIFFERENT:] += _log2(1 - sum(starting))
    else:
        found[SAME] = _IMPOSSIBLE
    return found


def _rarity(prepared: PreparedRecords, customers: Ints | None) -> list[Floats]:
    found = []
    for field, values in prepared.columns.items():
        starting = chances_of(field)
        held = values.codes >= 0
        namesakes = np.bincount(values.codes[held], prepared.namesakes[held], len(values.texts))
        if customers is None:
            # Two records with a value may be one customer in two exports; of the others, half count as customers.
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
