"""Scoring: the weight of any pair of the different records, and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.pipeline.matching.safe.outcomes import CONTRARY, NEAR, OTHER, SAME, VARIANT, FieldComparison
from service.pipeline.matching.safe.prepared import Ints
from service.pipeline.matching.safe.weights import ComparedPairs, Floats, Weights

MOST_BITS = 14.0
"""In a mean no single pair counts for more."""
_MOST_MEMBERS = 12
_SETS_AT_ONCE = 20_000
_WORDS = {SAME: "same", VARIANT: "variant", NEAR: "near", OTHER: "different", CONTRARY: "contradicts"}


@dataclass(frozen=True)
class Scorer:
    """Weighs pairs of the records that ``comparison`` knows."""

    comparison: FieldComparison
    weights: Weights

    def of(self, ones: Ints, others: Ints) -> Floats:
        """log2 of the odds that each pair is one customer."""
        return self.weights.of(ComparedPairs(self.comparison.prepared, ones, self.comparison.of(ones, others)))

    def means(self, lefts: Sequence[Ints], rights: Sequence[Ints]) -> Floats:
        """The mean weight between each set of records on the left and its set on the right; of large sets the first."""
        if not lefts:
            return np.empty(0)
        cut = [(one[:_MOST_MEMBERS], other[:_MOST_MEMBERS]) for one, other in zip(lefts, rights, strict=True)]
        return np.concatenate([self._means(cut[it : it + _SETS_AT_ONCE]) for it in range(0, len(cut), _SETS_AT_ONCE)])

    def _means(self, sets: Sequence[tuple[Ints, Ints]]) -> Floats:
        sizes = np.array([len(one) * len(other) for one, other in sets])
        ones = np.concatenate([np.repeat(one, len(other)) for one, other in sets])
        others = np.concatenate([np.tile(other, len(one)) for one, other in sets])
        bits = np.clip(self.of(ones, others), -MOST_BITS, MOST_BITS)
        found: Floats = np.add.reduceat(bits, np.cumsum(sizes) - sizes) / sizes
        return found

    def explained(self, ones: Ints, others: Ints) -> list[tuple[str, str]]:
        """What speaks for one customer, and what against: names of fields and outcomes, the weightiest first."""
        levels = self.comparison.of(ones, others)
        bits = self.weights.by_field(levels, self.weights.rarity_of(self.comparison.prepared, ones))
        order = np.argsort(-np.abs(bits), axis=1, kind="stable")
        return [self._words(*row) for row in zip(levels.tolist(), bits.tolist(), order.tolist(), strict=True)]

    def _words(self, levels: Sequence[int], bits: Sequence[float], order: Sequence[int]) -> tuple[str, str]:
        words = [(f"{self.comparison.fields[it]} {_WORDS[levels[it]]}", bits[it] > 0) for it in order if levels[it]]
        return ", ".join(it for it, is_for in words if is_for), ", ".join(it for it, is_for in words if not is_for)
