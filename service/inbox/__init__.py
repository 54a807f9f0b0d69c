"""The inbox: settling (is the writer done?), pairing, claiming, archive, quarantine, recovery."""

from service.inbox.inbox import Inbox, Listing, Pair, Quarantined, Stranger, Unfinished, Waiting
from service.inbox.names import partner_name
from service.inbox.settling import Settling

__all__ = ["Inbox", "Listing", "Pair", "Quarantined", "Settling", "Stranger", "Unfinished", "Waiting", "partner_name"]
