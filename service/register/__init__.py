"""The identity register: stable customer ids over all batches, with merges, splits and aliases, in ``state/``."""

from service.register.identify import Identified
from service.register.register import Register

__all__ = ["Identified", "Register"]
