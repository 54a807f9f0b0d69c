"""How much is tried: by default a sample, the same one every time; ``FAULTS`` asks for more."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

IS_FULL = os.environ.get("FAULTS") == "all"
"""``make faults``: everything."""
IS_SWEPT = IS_FULL or os.environ.get("FAULTS") == "sweep"
"""Every point at which the first pair ever can be killed, and a campaign of five minutes."""


def sample(population: Sequence[T], most: int, seed: str, *, most_in_full: int | None = None) -> list[T]:
    """At most so many, in their order; in the full run all, or ``most_in_full``."""
    most = (len(population) if most_in_full is None else most_in_full) if IS_FULL else most
    numbers = random.Random(seed).sample(range(len(population)), min(most, len(population)))
    return [population[number] for number in sorted(numbers)]


def all_faults(try_one: Callable[[int, T], list[str]], population: Sequence[T]) -> list[str]:
    """What went wrong with any of them; a house for every core at a time. ``try_one`` is told the number, too."""
    cores = 1 if "PYTEST_XDIST_WORKER" in os.environ else len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as houses:
        found = houses.map(try_one, range(len(population)), population)
        return [fault for faults in found for fault in faults]
