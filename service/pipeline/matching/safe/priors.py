"""What is expected of each field before the data is looked at: a fixed table, which the data corrects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.pipeline.matching.safe.prepared import IDENTIFIER

_NEVER = 1e-6
"""A chance that is not zero, because it has a logarithm."""


@dataclass(frozen=True)
class Prior:
    """One field.

    same      chances of SAME, VARIANT, NEAR, OTHER, CONTRARY between two records of one customer
    apart     chances of VARIANT, NEAR, OTHER, CONTRARY between two records of different customers
    related   chances of SAME, VARIANT, NEAR between two customers of one household or firm; None: as if strangers
    chance    chance that two strangers have one value, if all values were as frequent
    pseudo    weight of ``chance``: so many customers more are thought to have each value
    initial   chances of INITIAL between two records of one customer, and of different ones
    """

    same: tuple[float, float, float, float, float]
    apart: tuple[float, float, float, float]
    chance: float
    pseudo: float
    related: tuple[float, float, float] | None = None
    initial: tuple[float, float] = (_NEVER, _NEVER)

    @property
    def of_one(self) -> tuple[float, ...]:
        """Chances of SAME … CONTRARY between two records of one customer, in the order of the outcomes."""
        return (*self.same[:3], self.initial[0], *self.same[3:])

    @property
    def of_two(self) -> tuple[float, ...]:
        """Chances of VARIANT … CONTRARY between two records of different customers, in the order of the outcomes."""
        return (*self.apart[:2], self.initial[1], *self.apart[2:])


_PRIORS: Mapping[str, Prior] = {
    "first": Prior(
        *((0.86, 0.08, 0.04, 0.01, 0.0005), (0.005, 0.03, 0.3, 0.66), 1 / 200, 1.0),
        related=(0.02, 0.005, 0.03),
        initial=(0.03, 0.003),
    ),
    "last": Prior(
        *((0.89, 0.05, 0.03, 0.01, 0.02), (0.003, 0.02, 0.3, 0.67), 1 / 2000, 1.0),
        related=(0.6, 0.03, 0.03),
        initial=(0.01, 0.001),
    ),
    "generation": Prior((0.97, 0.001, 0.05, 0.001, 0.00001), (0.01, 0.3, 0.01, 0.5), 1 / 3, 1.0),
    "email": Prior((0.74, 0.06, 0.02, 0.17, 0.01), (0.0002, 0.002, 0.9, 0.09), 1e-7, 0.1, (0.08, 0.005, 0.01)),
    "phone": Prior((0.72, 0.05, 0.03, 0.19, 0.01), (0.0002, 0.002, 0.9, 0.09), 1e-6, 0.1, (0.35, 0.1, 0.1)),
    "birth_date": Prior(
        (0.94, 0.04, 0.015, 0.004, 0.001), (0.002, 0.02, 0.9, 0.07), 1 / 20000, 0.5, (0.03, 0.003, 0.02)
    ),
    "address": Prior((0.66, 0.12, 0.05, 0.16, 0.01), (0.0003, 0.01, 0.9, 0.09), 1e-5, 0.3, (0.5, 0.1, 0.05)),
    "city": Prior((0.84, 0.05, 0.02, 0.08, 0.01), (0.002, 0.02, 0.9, 0.07), 1 / 60, 1.0, (0.8, 0.05, 0.02)),
    "postcode": Prior((0.84, 0.06, 0.01, 0.08, 0.01), (0.01, 0.02, 0.9, 0.06), 1 / 500, 1.0, (0.8, 0.05, 0.01)),
    "state": Prior((0.93, 0.01, 0.01, 0.04, 0.01), (0.01, 0.01, 0.9, 0.06), 1 / 15, 1.0, (0.9, 0.01, 0.01)),
}
# Relatives and colleagues often have numbers that follow each other.
_IDENTIFIER = Prior((0.93, 0.04, 0.01, 0.01, 0.01), (0.0003, 0.003, 0.9, 0.09), 1e-7, 0.05, (1e-6, 0.1, 0.1))


def prior_of(field: str) -> Prior:
    """The prior of a compared field."""
    return _IDENTIFIER if field.startswith(IDENTIFIER) else _PRIORS[field]
