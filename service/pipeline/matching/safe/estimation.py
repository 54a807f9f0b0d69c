"""Estimation: what agreement means in this data, by expectation maximisation over three classes of pairs.

A pair is one customer, two relatives (of one household or firm) or two strangers. Where a firm has many contacts, pairs
of colleagues outnumber those of one customer, and agree in as many fields. Only names differ, so contradictions
between them keep their starting chance, and what colleagues share is learned from pairs whose first names contradict.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from service.pipeline.matching.safe.chances import chances_of
from service.pipeline.matching.safe.compared_pairs import ComparedPairs
from service.pipeline.matching.safe.outcomes import CONTRARY, NEAR, OUTCOMES, SAME
from service.pipeline.matching.safe.prepared import NAMES, Floats
from service.pipeline.matching.safe.rarity import log2
from service.pipeline.matching.safe.weights import (
    EXPECTED,
    LEAST_RELATED,
    Weights,
    log_odds,
    log_related,
)

_ROUNDS = 8
_STRENGTH = 60.0
"""Pseudo-count of the starting chances, in pairs, and of ``EXPECTED``, in records."""
_RENAMED = 0.1
"""Up to this share of the pairs of one customer may have contradicting first names: second names, errors."""
_MOST_SHARED = 0.98
"""The chance that relatives have no other value is at least what is left of 1."""


def estimated(weights: Weights, pairs: ComparedPairs) -> Weights:
    """The weights with m, the chances between relatives and both priors estimated from the pairs."""
    for _ in range(_ROUNDS):
        one, related = weights.posteriors(pairs)
        prior = log_odds(_per_record(one, EXPECTED, pairs), pairs.prepared)
        of_relatives = log_odds(_per_record(related, EXPECTED * 2.0**LEAST_RELATED, pairs), pairs.prepared)
        weights = replace(
            weights,
            log_m=_log_m(pairs, one),
            log_related=_log_related(weights, pairs, _sure_relatives(pairs, one, related)),
            prior=prior,
            prior_related=max(of_relatives, prior + LEAST_RELATED),
        )
    return weights


def _per_record(posterior: Floats, expected: float, pairs: ComparedPairs) -> float:
    return (float(posterior.sum()) + expected * _STRENGTH) / (pairs.prepared.count + _STRENGTH)


def _log_m(pairs: ComparedPairs, one: Floats) -> Floats:
    """``Weights.log_m``; the chance of a contradiction is at most its starting chance."""
    found = np.zeros((len(pairs.prepared.columns), OUTCOMES))
    for number, field in enumerate(pairs.prepared.columns):
        starting = np.array(chances_of(field).of_one)
        starting = starting / starting.sum()
        counts = np.bincount(pairs.outcomes[:, number], weights=one, minlength=OUTCOMES)[SAME:]
        chances = counts + _STRENGTH * starting
        chances = chances / chances.sum()
        chances[-1] = min(chances[-1], starting[-1])
        found[number, SAME:] = log2(chances)
    return found


def _sure_relatives(pairs: ComparedPairs, one: Floats, related: Floats) -> Floats:
    """For each pair how much it counts where relatives are learned: nothing, unless the first names contradict.

    Among those pairs are some of one customer. All count less by their share, or nothing where they may be all.
    """
    fields = list(pairs.prepared.columns)
    if "first" not in fields:
        return np.zeros(len(related))
    found = np.where(pairs.outcomes[:, fields.index("first")] == CONTRARY, related, 0.0)
    in_all = float(found.sum())
    return found * max(0.0, 1 - _RENAMED * float(one.sum()) / in_all) if in_all else found


def _log_related(weights: Weights, pairs: ComparedPairs, sure: Floats) -> Floats:
    """``Weights.log_related``, where relatives share at least what the starting chances say; of names as it is."""
    found = weights.log_related.copy()
    for number, field in enumerate(pairs.prepared.columns):
        starting = chances_of(field).related
        if field not in NAMES and starting is not None:
            counts = np.bincount(pairs.outcomes[:, number], weights=sure, minlength=OUTCOMES)[SAME:]
            learned = (counts[:NEAR] + _STRENGTH * np.array(starting)) / (counts.sum() + _STRENGTH)
            chances = np.maximum(starting, learned)
            found[number] = log_related(chances * min(1.0, _MOST_SHARED / chances.sum()), weights.log_u[number])
    return found
