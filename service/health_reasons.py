"""The reasons that health gives: each has a code, under which the runbook says what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ReasonCode = Literal[
    "inbox_unusable",
    "inbox_taken",
    "inbox_of_another_state",
    "inbox_replaced",
    "file_events_missing",
    "file_events_lost",
    "batch_postponed",
    "claim_refused",
    "claim_unreadable",
    "completion_postponed",
    "export_stuck",
    "sync_failed",
    "sync_rejected",
    "sync_limited",
    "folder_unwritable",
    "disk_low",
    "batch_quarantined",
    "batch_quarantined_by_fault",
    "export_copied",
    "export_contested",
    "export_unreadable",
    "export_unfinished",
    "partner_missing",
    "turn_overdue",
    "stands_by",
    "lock_held",
    "more",
]
"""``more``: there are more reasons than are listed. ``stands_by``, ``lock_held``: of an instance that does not work."""

AlertCode = Literal["watcher_silent", "dashboard_unreachable"]
"""What only others can notice, because the process that would report it is the one that is gone."""


@dataclass(frozen=True)
class HealthReason:
    """One reason: its code, and a sentence for a person with names and numbers."""

    code: ReasonCode
    text: str
