"""What a matcher compares, and what it leaves to people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from service.engine.contract import IntArray, Table

Weigh = Callable[[IntArray, IntArray], Iterator[tuple[str, str]]]
"""Ordinals of pairs -> for each pair its weight and its parts, as texts."""


class Compared(NamedTuple):
    """What the rules of a matcher compare.

    keys       KEYS
    questions  QUESTION, if the matcher asks any
    weigh      ordinals of pairs -> for each pair its weight and its parts, as texts; None: the matcher weighs nothing
    """

    keys: Table
    questions: Table | None = None
    weigh: Weigh | None = None
