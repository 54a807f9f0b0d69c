"""Pairs of distinct records that were compared, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.pipeline.matching.safe.outcomes import Outcomes, blocks
from service.pipeline.matching.safe.prepared import Ints, PreparedRecords


@dataclass(frozen=True)
class ComparedPairs:
    """Pairs of distinct records, and their outcomes by field."""

    prepared: PreparedRecords
    ones: Ints
    others: Ints
    outcomes: Outcomes

    def blocks(self) -> Iterator[tuple[slice, ComparedPairs]]:
        """The pairs in blocks, and where each lies."""
        for block in blocks(len(self.ones)):
            yield block, ComparedPairs(self.prepared, self.ones[block], self.others[block], self.outcomes[block])
