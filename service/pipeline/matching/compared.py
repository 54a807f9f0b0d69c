"""What a matcher compares, and what it leaves to people."""

from __future__ import annotations

from typing import NamedTuple

from service.engine.contract import Table


class Compared(NamedTuple):
    """What the rules of a matcher compare.

    keys       KEYS
    questions  QUESTION, if the matcher asks any
    """

    keys: Table
    questions: Table | None = None
