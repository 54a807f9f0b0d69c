"""Starting chances of the outcomes of each field; the data corrects them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.pipeline.matching.safe.prepared import IDENTIFIER

_NEVER = 1e-6
"""A chance that is not zero, because it has a logarithm."""


@dataclass(frozen=True)
class FieldChances:
    """Starting chances of the outcomes of one field, in the order of the outcomes.

    of_one   of SAME … CONTRARY between two records of one customer; relative, they need not sum to 1
    of_two   of VARIANT … CONTRARY between two customers; relative, too
    chance   chance that two strangers have one value, if all values were as frequent
    pseudo   pseudo-count of ``chance``: this many customers more are counted for each value
    related  chances of SAME, VARIANT, NEAR between two customers of one household or firm; None: as if strangers
    """

    of_one: tuple[float, float, float, float, float, float]
    of_two: tuple[float, float, float, float, float]
    chance: float
    pseudo: float
    related: tuple[float, float, float] | None = None


_CHANCES: Mapping[str, FieldChances] = {
    "first": FieldChances(
        of_one=(0.86, 0.08, 0.04, 0.03, 0.01, 0.0015),
        of_two=(0.005, 0.03, 0.003, 0.3, 0.66),
        chance=1 / 200,
        pseudo=1.0,
        related=(0.02, 0.005, 0.03),
    ),
    "last": FieldChances(
        of_one=(0.89, 0.05, 0.03, 0.01, 0.01, 0.02),
        of_two=(0.003, 0.02, 0.001, 0.3, 0.67),
        chance=1 / 2000,
        pseudo=1.0,
        related=(0.6, 0.03, 0.03),
    ),
    "generation": FieldChances(
        of_one=(0.97, 0.001, 0.05, _NEVER, 0.001, 0.00001),
        of_two=(0.01, 0.3, _NEVER, 0.01, 0.5),
        chance=1 / 3,
        pseudo=1.0,
    ),
    "email": FieldChances(
        of_one=(0.74, 0.06, 0.02, _NEVER, 0.17, 0.01),
        of_two=(0.0002, 0.002, _NEVER, 0.9, 0.09),
        chance=1e-7,
        pseudo=0.1,
        related=(0.08, 0.005, 0.01),
    ),
    "phone": FieldChances(
        of_one=(0.72, 0.05, 0.03, _NEVER, 0.19, 0.01),
        of_two=(0.0002, 0.002, _NEVER, 0.9, 0.09),
        chance=1e-6,
        pseudo=0.1,
        related=(0.35, 0.1, 0.1),
    ),
    "birth_date": FieldChances(
        of_one=(0.94, 0.04, 0.015, _NEVER, 0.004, 0.001),
        of_two=(0.002, 0.02, _NEVER, 0.9, 0.07),
        chance=1 / 20000,
        pseudo=0.5,
        related=(0.03, 0.003, 0.02),
    ),
    "address": FieldChances(
        of_one=(0.66, 0.12, 0.05, _NEVER, 0.16, 0.01),
        of_two=(0.0003, 0.01, _NEVER, 0.9, 0.09),
        chance=1e-5,
        pseudo=0.3,
        related=(0.5, 0.1, 0.05),
    ),
    "city": FieldChances(
        of_one=(0.84, 0.05, 0.02, _NEVER, 0.08, 0.01),
        of_two=(0.002, 0.02, _NEVER, 0.9, 0.07),
        chance=1 / 60,
        pseudo=1.0,
        related=(0.8, 0.05, 0.02),
    ),
    "postcode": FieldChances(
        of_one=(0.84, 0.06, 0.01, _NEVER, 0.08, 0.01),
        of_two=(0.01, 0.02, _NEVER, 0.9, 0.06),
        chance=1 / 500,
        pseudo=1.0,
        related=(0.8, 0.05, 0.01),
    ),
    "state": FieldChances(
        of_one=(0.93, 0.01, 0.01, _NEVER, 0.04, 0.01),
        of_two=(0.01, 0.01, _NEVER, 0.9, 0.06),
        chance=1 / 15,
        pseudo=1.0,
        related=(0.9, 0.01, 0.01),
    ),
}
# Relatives and colleagues often have numbers that follow each other.
_IDENTIFIER = FieldChances(
    of_one=(0.93, 0.04, 0.01, _NEVER, 0.01, 0.01),
    of_two=(0.0003, 0.003, _NEVER, 0.9, 0.09),
    chance=1e-7,
    pseudo=0.05,
    related=(1e-6, 0.1, 0.1),
)


def chances_of(field: str) -> FieldChances:
    """The starting chances of a compared field."""
    return _IDENTIFIER if field.startswith(IDENTIFIER) else _CHANCES[field]
