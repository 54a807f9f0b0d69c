"""Weights of pairs in bits, by the model of Fellegi and Sunter (1969).

An outcome weighs log2(m / u): m is its chance between two records of one customer, u between records of two. u of an
equal value is the frequency of that value. ``estimation`` learns m from the data. Two customers may also be relatives
(one household or firm), who share addresses and numbers: the weight is against strangers and relatives together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from service.pipeline.matching.safe.chances import chances_of
from service.pipeline.matching.safe.compared_pairs import ComparedPairs
from service.pipeline.matching.safe.outcomes import (
    DIFFERENT,
    MISSING,
    NEAR,
    OUTCOMES,
    SAME,
    VARIANT,
    FieldComparison,
    Outcomes,
)
from service.pipeline.matching.safe.prepared import LOCALITIES, NAMES, Floats, Ints, PreparedRecords
from service.pipeline.matching.safe.rarity import Rarity, exact, log2, rarity_of

_LEAST_POPULATION = 3_000
"""Fewer records do not make two of them more alike."""
LEAST_RELATED = -1.0
"""log2 of the least pairs of relatives for each pair of one customer."""
EXPECTED = 0.5
"""Pairs of one customer, for each record."""
_STRENGTH_APART = 400.0
"""Pseudo-count of the starting chances of u, in pairs."""
_RANDOM_PAIRS = 100_000
BESIDE_FIELDS = ("prior", "relatives", "names_alone")
"""What a weight is made of beside the fields: see ``Weights.parts``."""
_NAMES_ALONE = 0.5
"""Bits against a pair of nothing but names and places, which go together in families and countries."""
_IMPOSSIBLE = -99.0
"""log2 of a chance of zero."""


@dataclass(frozen=True)
class Weights:
    """What outcomes weigh, in bits.

    log_m          fields by outcomes: log2 of m; 0 where missing
    log_u          fields by outcomes: log2 of u, of all but SAME
    log_related    fields by outcomes: log2 of the chance between relatives
    rarity         how frequent values are
    prior          log2 of the odds that a pair of any records is one customer
    prior_related  log2 of the odds that a pair of any records is two relatives
    """

    log_m: Floats
    log_u: Floats
    log_related: Floats
    rarity: Rarity
    prior: float
    prior_related: float

    def of(self, pairs: ComparedPairs) -> Floats:
        """log2 of the odds that each pair is one customer."""
        found = np.empty(len(pairs.ones))
        for at, block in pairs.blocks():
            found[at] = self.parts(block).sum(axis=1)
        return found

    def posteriors(self, pairs: ComparedPairs) -> tuple[Floats, Floats]:
        """For each pair the chance that it is one customer, and the chance that it is two relatives."""
        one, related = np.empty(len(pairs.ones)), np.empty(len(pairs.ones))
        for at, block in pairs.blocks():
            parts = self.parts(block)
            one[at] = 1 / (1 + np.exp2(-np.clip(parts.sum(axis=1), -40, 40)))
            against_strangers = parts[:, len(pairs.prepared.columns) + BESIDE_FIELDS.index("relatives")]
            related[at] = (1 - one[at]) * (1 - np.exp2(against_strangers))
        return one, related

    def parts(self, pairs: ComparedPairs) -> Floats:
        """Pairs by fields and ``BESIDE_FIELDS``: bits, which sum up to ``of``."""
        outcomes, rarity = pairs.outcomes, self.rarity.of(pairs)
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
        # In a sample of pairs a value that is merely different may be rarer than a contradiction.
        unequal = np.where(outcomes >= DIFFERENT, np.minimum(unequal, 0.0), unequal)
        return np.where(outcomes == SAME, equal, unequal)

    def _relatives(self, outcomes: Outcomes, rarity: Floats) -> Floats:
        """What relatives take off the weight: log2(1 + the odds of relatives against strangers)."""
        fields = np.arange(outcomes.shape[1])
        equal = np.maximum(self.log_related[fields, SAME] - rarity, 0.0)
        bits = np.where(outcomes == SAME, equal, (self.log_related - self.log_u)[fields, outcomes])
        return exact(np.logaddexp2(0.0, bits.sum(axis=1) + self.prior_related))


def _own_fields(prepared: PreparedRecords) -> list[int]:
    """The fields whose values few people share."""
    return [number for number, field in enumerate(prepared.columns) if field not in (*NAMES, *LOCALITIES)]


def first_weights(comparison: FieldComparison) -> Weights:
    """m by the starting chances, u by the frequencies of values; of other outcomes, by pairs of any two records."""
    log_m = np.zeros((len(comparison.fields), OUTCOMES))
    for number, field in enumerate(comparison.fields):
        log_m[number, SAME:] = log2(chances_of(field).of_one)
    log_u, related = _between_two(comparison, np.arange(comparison.prepared.count))
    prior = log_odds(EXPECTED, comparison.prepared)
    return Weights(log_m, log_u, related, rarity_of(comparison.prepared, None), prior, prior + LEAST_RELATED)


def log_odds(per_record: float, prepared: PreparedRecords) -> float:
    """log2 of the odds that two records are a pair of a kind, of which there are ``per_record`` for each record."""
    return float(log2(per_record / max(prepared.count, _LEAST_POPULATION)))


def with_customers(weights: Weights, comparison: FieldComparison, customers: Ints) -> Weights:
    """The weights with u by customers: the frequencies of values among them, and of outcomes between two of them.

    Among pairs of records, those of one customer would make agreement look usual between two.

    In: customers  the customer of each distinct record, as far as they are found
    """
    log_u, related = _between_two(comparison, customers)
    return replace(weights, rarity=rarity_of(comparison.prepared, customers), log_u=log_u, log_related=related)


def _between_two(comparison: FieldComparison, customers: Ints) -> tuple[Floats, Floats]:
    """``Weights.log_u`` and ``Weights.log_related``."""
    outcomes = _of_any_two(comparison, customers)
    log_u = np.zeros((len(comparison.fields), OUTCOMES))
    related = log_u.copy()
    for number, field in enumerate(comparison.fields):
        starting = chances_of(field)
        log_u[number] = _log_u(starting.of_two, outcomes[:, number])
        related[number] = log_related(starting.related, log_u[number])
    return log_u, related


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
    found[VARIANT:] = log2(chances / chances.sum())
    return found


def log_related(chances: Sequence[float] | None, log_u: Floats) -> Floats:
    """A row of ``Weights.log_related``.

    ``chances``: of SAME, VARIANT and NEAR between relatives; None: as between strangers.
    """
    found = log_u.copy()
    if chances is not None:
        found[SAME : NEAR + 1] = np.maximum(log2(chances), np.append(_IMPOSSIBLE, log_u[VARIANT : NEAR + 1]))
        found[DIFFERENT:] += log2(1 - sum(chances))
    else:
        found[SAME] = _IMPOSSIBLE
    return found
