"""The identity register: stable customer ids over all batches, with merges, splits and aliases, in ``state/``."""

from service.register.events import known_events
from service.register.identify import Identified
from service.register.identity_history import IdentityEvent, IdentityHistory, history_of
from service.register.known_records import customer_of
from service.register.register import Register
from service.register.replay import replay
from service.register.tables import OPTIONAL_FILES, RegisterTables, no_tables

__all__ = [
    "OPTIONAL_FILES",
    "Identified",
    "IdentityEvent",
    "IdentityHistory",
    "Register",
    "RegisterTables",
    "customer_of",
    "history_of",
    "known_events",
    "no_tables",
    "replay",
]
