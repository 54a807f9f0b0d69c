"""The decisions of people about pairs of records: the same customer, or different ones. Kept in ``state/``.

Source: docs/specification.md section 5
"""

from service.decisions.decision import DecidedRecord, Decision, DecisionKind
from service.decisions.store import DecisionStore, Proposal

__all__ = ["DecidedRecord", "Decision", "DecisionKind", "DecisionStore", "Proposal"]
