"""A decision as a value: two records, by their keys, and what a person says about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DecisionKind = Literal["same", "different"]
KINDS: tuple[DecisionKind, ...] = ("same", "different")


@dataclass(frozen=True, order=True)
class DecidedRecord:
    """A record: the key by which it is known over batches, and how its source called it when it was decided."""

    key: str
    source: str
    source_id: str

    @property
    def shown(self) -> str:
        """As users write it: ``CRM:1001``."""
        return f"{self.source}:{self.source_id}"


@dataclass(frozen=True)
class Decision:
    """A decision in force, or undone; the keys ascend from left to right."""

    number: int
    """From 1, in the order in which decisions were made; never given again."""
    kind: DecisionKind
    left: DecidedRecord
    right: DecidedRecord
    decided_by: str
    decided_at: str
    """UTC: ``2026-11-27T14:00:00Z``."""
    note: str = ""
    undone_by: str | None = None
    undone_at: str | None = None
    """None while it is in force, as ``undone_by``."""

    @property
    def keys(self) -> tuple[str, str]:
        """Of both records, ascending."""
        return self.left.key, self.right.key
