"""The inbox: which files wait, whether their writers are done, which belong together, and where they go."""

from service.inbox.claims import Unfinished
from service.inbox.inbox import Inbox
from service.inbox.names import partner_name, shown_error, shown_name, shown_text
from service.inbox.quarantine import MovedBack, Quarantine, QuarantinedBatch
from service.inbox.scan import Candidate, IgnoredFile, Scan, WaitingFile
from service.inbox.settling import Settling
from service.inbox.upload import (
    NoSpaceForUpload,
    StagedUpload,
    UploadTooLarge,
    WrongUpload,
    landing_name,
    refuse_second,
    remove_partial_uploads,
)

__all__ = [
    "Candidate",
    "IgnoredFile",
    "Inbox",
    "MovedBack",
    "NoSpaceForUpload",
    "Quarantine",
    "QuarantinedBatch",
    "Scan",
    "Settling",
    "StagedUpload",
    "Unfinished",
    "UploadTooLarge",
    "WaitingFile",
    "WrongUpload",
    "landing_name",
    "partner_name",
    "refuse_second",
    "remove_partial_uploads",
    "shown_error",
    "shown_name",
    "shown_text",
]
