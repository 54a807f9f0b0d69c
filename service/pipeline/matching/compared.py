"""What a matcher compares, and what it leaves to people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from service.engine.contract import IntArray, Table

Weighed = Callable[[IntArray, IntArray], Iterator[tuple[str, str]]]
"""Of pairs of records, by their ordinals: the weight of each, and what it is made of, as texts."""


class Compared(NamedTuple):
    """What the rules of a matcher compare.

    keys       KEYS
    questions  QUESTION, if the matcher asks any
    weighed    how it weighs the evidence of pairs, if it does
    """

    keys: Table
    questions: Table | None = None
    weighed: Weighed | None = None
