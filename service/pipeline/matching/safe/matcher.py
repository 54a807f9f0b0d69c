"""The matcher: from columns to groups, and what a person should decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.pipeline.matching.compared import Weigh
from service.pipeline.matching.safe.average_linkage import grouped
from service.pipeline.matching.safe.candidates import candidates
from service.pipeline.matching.safe.compared_pairs import ComparedPairs
from service.pipeline.matching.safe.doubts import doubts, without_ambiguous
from service.pipeline.matching.safe.estimation import estimated
from service.pipeline.matching.safe.outcomes import FieldComparison
from service.pipeline.matching.safe.prepared import Ints, Pairs, PreparedRecords, Texts, prepare
from service.pipeline.matching.safe.scoring import Scorer
from service.pipeline.matching.safe.weights import first_weights, with_customers

AUTOMATIC = -2.5
"""Bits: groups with a higher mean weight are joined without a person."""
LEAST_ASKED = -2.9
"""Bits: about groups with a lower mean weight a person is not asked."""
_PASSES = 2


@dataclass(frozen=True)
class Question:
    """Two records about which a person should decide; ``against``: the fields that speak for two customers."""

    one: int
    other: int
    weight: float
    evidence: str
    against: str


@dataclass(frozen=True)
class Resolved:
    """What was found.

    groups     for each record the first record of its customer
    questions  what a person should decide, what gains most first
    weigh      ordinals of pairs -> for each pair its weight and its parts, as texts; see ``Scorer.weigh``
    """

    groups: Ints
    questions: Sequence[Question]
    weigh: Weigh


def match(fields: Mapping[str, Texts]) -> Resolved:
    """The customers among the records; ``fields`` as in ``prepare``."""
    return match_prepared(prepare(fields))


def match_prepared(prepared: PreparedRecords) -> Resolved:
    """The customers among the records."""
    if not prepared.columns:
        return Resolved(np.arange(len(prepared.distinct)), (), lambda ones, others: iter(()))
    scorer, pairs, groups = _weighed(FieldComparison(prepared), candidates(prepared))
    groups = without_ambiguous(groups, pairs, AUTOMATIC, scorer)
    records = _Records(prepared, scorer)
    asked = doubts(groups, pairs, LEAST_ASKED, scorer)
    texts = scorer.for_and_against(
        np.array([it.one for it in asked], np.int64), np.array([it.other for it in asked], np.int64)
    )
    questions = [
        Question(*records.pair(it.one, it.other), round(it.weight, 2), *text)
        for it, text in zip(asked, texts, strict=True)
    ]
    return Resolved(records.groups(groups), questions, records.weigh)


def _weighed(comparison: FieldComparison, near: tuple[Ints, Ints]) -> tuple[Scorer, Pairs, Ints]:
    """The weights, the candidates with them, and the groups, after passes with better and better frequencies."""
    prepared = comparison.prepared
    compared = ComparedPairs(prepared, *near, comparison.of(*near))
    weights, groups = first_weights(comparison), np.arange(prepared.count)
    for number in range(_PASSES):
        if number:
            weights = with_customers(weights, comparison, groups)
        weights = estimated(weights, compared)
        scorer, pairs = Scorer(comparison, weights), (*near, weights.of(compared))
        groups = grouped(prepared.count, pairs, AUTOMATIC, scorer.of)
    return scorer, pairs, groups


class _Records:
    """Translates results about distinct records to all records.

    Copies of a distinct record are one customer, unless its values are too common: where its weight with itself is not
    above ``AUTOMATIC``, each further copy is a customer of its own.
    """

    def __init__(self, prepared: PreparedRecords, scorer: Scorer) -> None:
        self._distinct = prepared.distinct
        self._firsts = np.unique(prepared.distinct, return_index=True)[1]
        self._scorer = scorer
        all_records = np.arange(prepared.count)
        self._own = scorer.of(all_records, all_records)

    def pair(self, one: int, other: int) -> tuple[int, int]:
        """The first copies of two distinct records, the earlier one first."""
        low, high = sorted((int(self._firsts[one]), int(self._firsts[other])))
        return low, high

    def weigh(self, ones: Ints, others: Ints) -> Iterator[tuple[str, str]]:
        """See ``Resolved.weigh``. Which of two comes first does not matter."""
        one, other = self._distinct[ones], self._distinct[others]
        return self._scorer.weigh(np.minimum(one, other), np.maximum(one, other))

    def groups(self, groups: Ints) -> Ints:
        """The first record of the customer, for each record."""
        found = self._firsts[groups][self._distinct]
        apart = self._is_copy() & (self._own[self._distinct] <= AUTOMATIC)
        found[apart] = np.flatnonzero(apart)
        return found

    def _is_copy(self) -> npt.NDArray[np.bool_]:
        is_copy: npt.NDArray[np.bool_] = self._firsts[self._distinct] != np.arange(len(self._distinct))
        return is_copy
