"""Which customer is which, over batches: stable ids, merges, splits, aliases. Kept in ``state/``."""

from service.register.identify import Identified
from service.register.register import Register

__all__ = ["Identified", "Register"]
