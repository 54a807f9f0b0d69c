"""The inbox: which files wait, whether their writers are done, which belong together, and where they go."""

from service.inbox.claims import Unfinished
from service.inbox.inbox import Inbox
from service.inbox.names import partner_name, shown_error, shown_name, shown_text
from service.inbox.quarantine import Quarantine, QuarantinedBatch
from service.inbox.scan import Candidate, IgnoredFile, Scan, WaitingFile
from service.inbox.settling import Settling

__all__ = [
    "Candidate",
    "IgnoredFile",
    "Inbox",
    "Quarantine",
    "QuarantinedBatch",
    "Scan",
    "Settling",
    "Unfinished",
    "WaitingFile",
    "partner_name",
    "shown_error",
    "shown_name",
    "shown_text",
]
