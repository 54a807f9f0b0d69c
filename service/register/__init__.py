"""The identity register: stable customer ids over all batches, with merges, splits and aliases, in ``state/``."""

from service.register.identify import Identified
from service.register.register import Register
from service.register.tables import RegisterTables, no_tables

__all__ = ["Identified", "Register", "RegisterTables", "no_tables"]
