"""Scoring: the weight of any pair of distinct records, and what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from service.pipeline.matching.safe.compared_pairs import ComparedPairs
from service.pipeline.matching.safe.outcomes import CONTRARY, DIFFERENT, INITIAL, NEAR, SAME, VARIANT, FieldComparison
from service.pipeline.matching.safe.prepared import Floats, Ints
from service.pipeline.matching.safe.weights import BESIDE_FIELDS, Weights

MOST_BITS = 14.0
"""In a mean no single pair counts for more."""
_MOST_MEMBERS = 12
_SETS_AT_ONCE = 20_000
_LEAST_SHOWN = 0.005
_WORDS = {
    SAME: "same",
    VARIANT: "variant",
    NEAR: "near",
    INITIAL: "initial",
    DIFFERENT: "different",
    CONTRARY: "contradicts",
}


@dataclass(frozen=True)
class Scorer:
    """Weighs pairs of the records that ``comparison`` knows."""

    comparison: FieldComparison
    weights: Weights

    def of(self, ones: Ints, others: Ints) -> Floats:
        """log2 of the odds that each pair is one customer."""
        return self.weights.of(self._compared(ones, others))

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

    def for_and_against(self, ones: Ints, others: Ints) -> list[tuple[str, str]]:
        """What speaks for one customer, and what against: names of fields and outcomes, the weightiest first."""
        pairs = self._compared(ones, others)
        outcomes, bits = pairs.outcomes, self.weights.parts(pairs)[:, : len(self.comparison.fields)]
        order = np.argsort(-np.abs(bits), axis=1, kind="stable")
        return [self._words(*row) for row in zip(outcomes.tolist(), bits.tolist(), order.tolist(), strict=True)]

    def weigh(self, ones: Ints, others: Ints) -> Iterator[tuple[str, str]]:
        """For each pair its weight and its parts, as texts, such as ``email same 15.20, prior -12.10``.

        Both have two decimals. Parts are the fields that were compared, the weightiest first, with how far they agree;
        ``prior``, the weight of any pair; ``relatives``, by how much what relatives share counts for less; and
        ``names_alone``, what is taken off a pair that has nothing but names and places.
        """
        for _, block in self._compared(ones, others).blocks():
            outcomes, bits = block.outcomes, self.weights.parts(block)
            order = np.argsort(-np.abs(bits), axis=1, kind="stable")
            for row in zip(outcomes.tolist(), bits.tolist(), order.tolist(), strict=True):
                yield _decimals(sum(row[1])), self._parts(*row)

    def _compared(self, ones: Ints, others: Ints) -> ComparedPairs:
        return ComparedPairs(self.comparison.prepared, ones, others, self.comparison.of(ones, others))

    def _parts(self, outcomes: Sequence[int], bits: Sequence[float], order: Sequence[int]) -> str:
        fields = self.comparison.fields
        names = [f"{name} {_WORDS[outcome]}" if outcome else "" for name, outcome in zip(fields, outcomes, strict=True)]
        names += BESIDE_FIELDS
        # Without what would add nothing: a field that one of them lacks, and relatives where these are unlikely.
        shown = (it for it in order if names[it] and (it < len(fields) or abs(bits[it]) >= _LEAST_SHOWN))
        return ", ".join(f"{names[it]} {_decimals(bits[it])}" for it in shown)

    def _words(self, outcomes: Sequence[int], bits: Sequence[float], order: Sequence[int]) -> tuple[str, str]:
        words = [(f"{self.comparison.fields[it]} {_WORDS[outcomes[it]]}", bits[it] > 0) for it in order if outcomes[it]]
        return ", ".join(it for it, is_for in words if is_for), ", ".join(it for it, is_for in words if not is_for)


def _decimals(bits: float) -> str:
    """The number with two decimals.

    >>> _decimals(-0.001), _decimals(12.345678)
    ('0.00', '12.35')
    """
    # + 0.0 turns -0.0 into 0.0.
    return f"{round(bits, 2) + 0.0:.2f}"
