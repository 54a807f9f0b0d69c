"""The inbox: settling (is the writer done?), pairing, claiming, archive, quarantine, recovery."""

from service.inbox.inbox import Candidate, IgnoredFile, Inbox, Quarantined, Scan, Unfinished, WaitingFile
from service.inbox.names import partner_name
from service.inbox.settling import Settling

__all__ = [
    "Candidate",
    "IgnoredFile",
    "Inbox",
    "Quarantined",
    "Scan",
    "Settling",
    "Unfinished",
    "WaitingFile",
    "partner_name",
]
