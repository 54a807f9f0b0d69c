"""Samples of faults, the same ones every time, and the loop that tries them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

ONE_POINT = os.environ.get("POINT", "")
"""Only this point is tried, as a failure prints it; empty: as many as ``tests/sizes.py`` says."""


def sample(population: Sequence[T], most: int | None, seed: str) -> list[T]:
    """At most ``most`` of them, in their order; all of them where ``most`` is None."""
    size = len(population) if most is None else min(most, len(population))
    numbers = random.Random(seed).sample(range(len(population)), size)
    return [population[number] for number in sorted(numbers)]


def all_faults(try_one: Callable[[int, T], list[str]], population: Sequence[T]) -> list[str]:
    """The problems of all of them, tried on all cores at a time; ``try_one`` gets the number of the fault, too."""
    cores = 1 if "PYTEST_XDIST_WORKER" in os.environ else len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as houses:
        found = houses.map(try_one, range(len(population)), population)
        return [fault for faults in found for fault in faults]
