"""Which customer is which, over batches: ids that stay, merges, splits, aliases. Lives in ``state/``."""

from service.register.register import Identified, Register

__all__ = ["Identified", "Register"]
