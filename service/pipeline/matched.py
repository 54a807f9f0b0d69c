"""What the stages between normalise and identify find."""

from __future__ import annotations

from dataclasses import dataclass

from service.engine.contract import Table
from service.pipeline.matching import Matcher


@dataclass(frozen=True)
class Matched:
    """The records of a batch as customers.

    records    RECORD
    keys       KEYS
    groups     ordinal · group_id
    survivors  GOLDEN
    evidence   EVIDENCE
    weights    LINK_WEIGHT, if the matcher weighs evidence
    """

    matcher: Matcher
    records: Table
    keys: Table
    groups: Table
    survivors: Table
    evidence: Table
    weights: Table | None = None
